"""API keys and usage plans: who may come in, how fast, and how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.database import Database
from eventflow.gateway.plans import period_of
from eventflow.services.api_keys import ApiKeys
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.server import GatewayServer, gateway
from triggers import Http, Rest

GOLD, IRON = "gold-" + "g" * 20, "iron-" + "i" * 20


def shop(declare: Callable[[App], Any], **options: Any) -> App:
    app = App("shop")
    if options:
        app.rest_api(**options)
    app.api_key("gold", GOLD)
    app.api_key("iron", IRON)
    declare(app)

    @app.on(Rest("GET /items", api_key=True))
    def items(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": "items"}

    @app.on(Rest("GET /orders", api_key=True))
    def orders(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": "orders"}

    @app.on(Rest("GET /open"))
    def everybody(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": "open"}

    return app


def test_routes_that_no_key_opens_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """AWS deploys them, and answers 403."""
    with gateway(shop(lambda app: None)) as server:
        assert ask(server, GOLD) == 403
    (told,) = [record.message for record in caplog.records if "No usage plan" in record.message]
    assert told == (
        "No usage plan has an API key for GET /items of the REST API 'default', GET /orders of the REST API 'default': every request is answered "
        "403. Declare app.api_key(...) and app.usage_plan(..., keys=[...])."
    )
    caplog.clear()
    with gateway(shop(lambda app: app.usage_plan("basic", keys=["gold"]))):
        assert "No usage plan" not in caplog.text


def test_methods_of_a_plan_are_checked_whatever_api_comes_last() -> None:
    app = shop(lambda app: app.usage_plan("p", keys=["gold"], methods={"GET /none": (1, 1)}))
    app.websocket_api("last")
    with pytest.raises(SettingError, match="none of its APIs has the route 'GET /none'"), gateway(app):
        pass


def ask(server: GatewayServer, key: str | None, path: str = "/prod/items") -> int:
    return server.get(path, **({} if key is None else {"x_api_key": key})).status


def test_a_route_is_closed_to_those_without_a_key_of_a_plan() -> None:
    with gateway(shop(lambda app: app.usage_plan("basic", keys=["gold"]))) as server:
        refused = server.get("/prod/items")
        assert (refused.status, refused.json(), refused["x-amzn-errortype"]) == (403, {"message": "Forbidden"}, "ForbiddenException")
        assert [ask(server, key) for key in (None, "", "x" * 25, GOLD[:-1], IRON, GOLD)] == [403, 403, 403, 403, 403, 200]
        assert ask(server, None, "/prod/open") == 200
        identity = server.events[0]["requestContext"]["identity"]
        assert identity["apiKey"] == GOLD
        assert identity["apiKeyId"] == server.service.admission.describe()[0]["id"]
        assert "apiKey" not in server.events[1]["requestContext"]["identity"]


def test_a_key_that_is_not_enabled_is_unknown() -> None:
    def declare(app: App) -> None:
        app.api_key("former", "f" * 20, enabled=False)
        app.usage_plan("basic", keys=["former"])

    with gateway(shop(declare)) as server:
        assert ask(server, "f" * 20) == 403


def test_each_key_has_its_own_rate_and_its_own_quota() -> None:
    def declare(app: App) -> None:
        app.usage_plan("basic", keys=["gold"], rate=0.01, burst=2)
        app.usage_plan("counted", keys=["iron"], quota=3, period="MONTH")

    with gateway(shop(declare)) as server:
        assert [ask(server, GOLD) for _ in range(3)] == [200, 200, 429]
        assert [ask(server, IRON) for _ in range(4)] == [200, 200, 200, 429]
        exhausted = server.get("/prod/orders", x_api_key=IRON)
        assert (exhausted.json(), exhausted["x-amzn-errortype"]) == ({"message": "Limit Exceeded"}, "LimitExceededException")
        assert int(exhausted["retry-after"] or "") >= 1
        assert server.get("/prod/items", x_api_key=GOLD).json() == {"message": "Too Many Requests"}


def test_a_method_of_a_plan_has_a_limit_of_its_own() -> None:
    def declare(app: App) -> None:
        app.usage_plan("basic", keys=["gold", "iron"], rate=100, burst=100, methods={"GET /items": {"rate": 0.01, "burst": 1}})

    with gateway(shop(declare)) as server:
        assert [ask(server, GOLD), ask(server, GOLD), ask(server, IRON), ask(server, GOLD, "/prod/orders")] == [200, 429, 200, 200]


def test_what_was_throttled_is_not_counted_by_the_quota() -> None:
    with gateway(shop(lambda app: app.usage_plan("both", keys=["gold"], rate=0.01, burst=1, quota=5))) as server:
        assert [ask(server, GOLD) for _ in range(9)] == [200] + [429] * 8
        assert server.service.admission.describe()[0]["plans"] == [{"name": "both", "quota": 5, "period": "DAY", "used": 1}]


def test_a_plan_is_for_the_apis_that_it_names() -> None:
    def declare(app: App) -> None:
        other = app.rest_api("other", base_path="/other")
        app.usage_plan("basic", keys=["gold"], apis=[other])
        app.on(Rest("GET /items", api="other", api_key=True), name="there")(lambda event, context: {"statusCode": 200})

    with gateway(shop(declare)) as server:
        assert [ask(server, GOLD), ask(server, GOLD, "/other/items")] == [403, 200]


def test_a_reload_takes_keys_away_and_keeps_what_was_counted() -> None:
    with gateway(shop(lambda app: app.usage_plan("basic", keys=["gold", "iron"], quota=2))) as server:
        assert [ask(server, GOLD), ask(server, IRON)] == [200, 200]
        server.load(shop(lambda app: app.usage_plan("basic", keys=["gold"], quota=2)))
        assert [ask(server, GOLD), ask(server, GOLD), ask(server, IRON)] == [200, 429, 403]


def test_a_key_without_a_value_gets_one_that_it_keeps(caplog: pytest.LogCaptureFixture) -> None:
    def declare(app: App) -> None:
        app.api_key("made")
        app.usage_plan("basic", keys=["made"])

    caplog.set_level(logging.DEBUG)
    with gateway(shop(declare)) as server:
        described = {key["name"]: key for key in server.service.admission.describe()}
        value = str(described["made"]["value"])
        assert len(value) == 40
        assert described["gold"]["value"] is None
        server.load(shop(declare))
        assert ask(server, value) == 200
        assert value not in caplog.text


def test_a_value_comes_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def declare(app: App) -> None:
        app.api_key("variable", variable="PARTNER_KEY")
        app.api_key("file", file=tmp_path / "key")
        app.usage_plan("basic", keys=["variable", "file"])

    monkeypatch.setenv("PARTNER_KEY", "from-the-environment")
    (tmp_path / "key").write_text("from-a-file-of-the-owner\n")
    with gateway(shop(declare)) as server:
        assert [ask(server, "from-the-environment"), ask(server, "from-a-file-of-the-owner")] == [200, 200]
        monkeypatch.delenv("PARTNER_KEY")
        with pytest.raises(SettingError, match="API key 'variable': the environment variable PARTNER_KEY is not set"):
            server.load(shop(declare))
        assert ask(server, "from-the-environment") == 200


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda app: app.api_key("short", "secret"), "API key 'short': its value of 6 characters is refused"),
        (lambda app: app.api_key("twin", GOLD), "The API keys 'gold' and 'twin' have one value"),
        (lambda app: app.api_key("two", "x" * 20, variable="X"), "API key 'two': its value comes from one place; it has value and variable"),
        (lambda app: app.api_key("gold", "other" * 5), "declares the api key 'gold' twice"),
        (lambda app: app.usage_plan("p", keys=["none"]), "Usage plan 'p': there is no API key named 'none'"),
        (lambda app: app.usage_plan("p", keys=["gold"], apis=["none"]), "Usage plan 'p': there is no REST API named 'none'"),
        (lambda app: app.usage_plan("p", keys=["gold"], rate=5), "Usage plan 'p': throttle=.* takes a rate a second and a burst"),
        (lambda app: app.usage_plan("p", keys=["gold"], quota=0), "quota=0 is refused"),
        (lambda app: app.usage_plan("p", keys=["gold"], quota=5, period="YEAR"), "period='YEAR' is refused"),
        (lambda app: app.usage_plan("p", keys=["gold"], methods={"GET /none": (1, 1)}), "none of its APIs has the route 'GET /none'"),
        (
            lambda app: [app.usage_plan(name, keys=["gold"]) for name in "pq"],
            "The API key 'gold' is in the usage plans 'p' and 'q' for the REST API 'default'",
        ),
    ],
)
def test_what_cannot_be_enforced_is_refused_and_no_value_is_told(declare: Callable[[App], Any], why: str) -> None:
    with pytest.raises(SettingError, match=why) as refused, gateway(shop(declare)):
        pass
    assert GOLD not in str(refused.value)


def test_sources_of_keys_are_refused_by_name() -> None:
    with pytest.raises(SettingError, match="api_key_source='COOKIE' is refused"), gateway(shop(lambda app: None, api_key_source="COOKIE")):
        pass
    app = App("http")
    app.http_api(api_key_source="HEADER")
    app.on(Http("GET /x"), name="x")(lambda event, context: None)
    with pytest.raises(SettingError, match="api_key_source='HEADER' is refused: REST APIs take"), gateway(app):
        pass


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [("DAY", "2026-12-31", "2027-01-01"), ("WEEK", "2026-12-27", "2027-01-03"), ("MONTH", "2026-12-01", "2027-01-01")],
)
def test_periods_begin_at_midnight_in_utc(period: str, start: str, end: str) -> None:
    now = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    expected = [datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in (start, end)]
    assert list(period_of(period, now)) == expected
    assert period_of(period, expected[1])[0] == expected[1]


def test_counts_and_made_values_are_there_after_a_restart(tmp_path: Path) -> None:
    async def first(clock: VirtualClock) -> str:
        database = Database(tmp_path / "db")
        store = ApiKeys(database, clock)
        await store.open()
        value = store.value("partner")
        store.keep(["partner"])
        await store.settled()
        for _ in range(5):
            store.count("plan", "partner", 1000)
        store.close()
        database.close()
        return value

    async def second(clock: VirtualClock, value: str) -> None:
        database = Database(tmp_path / "db")
        store = ApiKeys(database, clock)
        await store.open()
        assert store.value("partner") == value
        assert store.used("plan", "partner", 1000) == 5
        assert store.used("plan", "partner", 500) == 5, "a clock that was set back gives nothing back"
        assert store.used("plan", "partner", 2000) == 0
        store.count("plan", "partner", 2000)
        assert store.used("plan", "partner", 2000) == 1
        store.close()
        database.close()

    clock = VirtualClock()
    value = asyncio.run(first(clock))
    asyncio.run(second(clock, value))


def test_counts_are_written_within_a_second_of_use(tmp_path: Path) -> None:
    async def run() -> None:
        clock = VirtualClock()
        database = Database(tmp_path / "db")
        store = ApiKeys(database, clock)
        await store.open()
        store.count("plan", "partner", 1000)
        store.count("plan", "partner", 1000)
        await clock.advance(1.0)
        await store.settled()
        assert await database.read(
            lambda connection: connection.execute("SELECT plan, api_key, period_start, used FROM api_key_usage").fetchall()
        ) == [("plan", "partner", 1000, 2)]
        database.close()

    asyncio.run(run())
