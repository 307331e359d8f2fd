"""Token buckets against a model, and throttles as clients meet them."""

from __future__ import annotations

import asyncio
import socket
from copy import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow import App, SettingError
from eventflow.gateway.seams import Refusal
from eventflow.gateway.throttle import LONGEST_WAIT, MOST_WAITING, PACE, Limit, Refusals, TokenBucket, admitted
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.server import gateway
from tests.patience import PATIENCE
from triggers import Http, Rest, WebSocket


def hello(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "hello"}


def app_with(*routes: Any, **options: Any) -> App:
    app = App("throttled")
    if options:
        app.http_api(**options)
    for route in routes:
        hello_again = lambda event, context: hello(event, context)  # noqa: E731 - each route has a function of its own
        hello_again.__name__ = hello_again.__qualname__ = f"hello{id(route)}"
        app.on(route)(hello_again)
    return app


@settings(deadline=None)
@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(0, 20),
    pauses=st.lists(st.floats(0, 5), max_size=60),
)
def test_a_bucket_never_gives_more_than_its_burst_and_what_came_back(rate: float, burst: int, pauses: list[float]) -> None:
    bucket = TokenBucket(Limit(rate, burst), 0.0)
    now = 0.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        refusal = admitted([bucket], now)
        if refusal is None:
            taken.append(now)
        else:
            wait = bucket.wait()
            assert (wait is None) == (burst == 0)
            if wait is not None:
                assert copy(bucket).has(now + wait + 1e-6)  # the promise of Retry-After is kept
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * rate + 1e-6


def test_in_a_flood_refusals_go_out_one_after_another() -> None:
    async def run() -> None:
        clock = VirtualClock()
        refusals, refusal = Refusals(clock), Refusal("THROTTLED")
        for _ in range(PACE.burst):
            assert await asyncio.wait_for(refusals.paced(refusal), PATIENCE) is refusal
        waiting = [asyncio.create_task(refusals.paced(refusal)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        assert await asyncio.wait_for(refusals.paced(refusal), PATIENCE) is refusal, "so many hold up nobody else"
        await clock.advance(100.5 / PACE.rate)
        assert sum(task.done() for task in waiting) == 100
        await clock.advance(LONGEST_WAIT)
        assert all(task.done() for task in waiting)
        await clock.advance(1.0)
        assert await asyncio.wait_for(refusals.paced(refusal), PATIENCE) is refusal, "the flood is over"

    asyncio.run(run())


def test_who_is_refused_by_one_limit_uses_up_no_other() -> None:
    wide, narrow = TokenBucket(Limit(0, 10), 0.0), TokenBucket(Limit(0, 1), 0.0)
    assert admitted((wide, narrow), 0.0) is None
    for _ in range(50):
        assert admitted((wide, narrow), 0.0) is not None
    for _ in range(9):
        assert admitted((wide,), 0.0) is None


def test_a_route_refuses_what_is_too_much_and_says_when_to_come_again() -> None:
    with gateway(app_with(Http("GET /slow", throttle={"rate": 0.1, "burst": 2}), Http("GET /free"))) as server:
        assert [server.get("/slow").status for _ in range(3)] == [200, 200, 429]
        refused = server.get("/slow")
        assert refused.json() == {"message": "Too Many Requests"}
        assert 1 <= int(refused["retry-after"] or "") <= 10
        assert server.get("/free").status == 200
        assert len(server.events) == 3


def test_rest_apis_refuse_with_awss_error_type() -> None:
    with gateway(app_with(Rest("GET /slow", throttle=(0.02, 1)))) as server:
        server.get("/prod/slow")
        refused = server.get("/prod/slow")
        assert (refused.status, refused["x-amzn-errortype"]) == (429, "TooManyRequestsException")
        assert 1 <= int(refused["retry-after"] or "") <= 50


def test_routes_without_a_function_have_limits_too() -> None:
    app = App("mocked")
    app.mock("GET /limited", 204, throttle={"rate": 0.01, "burst": 1})
    app.mock("GET /closed", 204, api_key=True)
    with gateway(app) as server:
        assert [server.get(f"/prod/{path}").status for path in ("limited", "limited", "closed")] == [204, 429, 403]
    app.mock("GET /wrong", 204, speed=5)
    with pytest.raises(SettingError, match=r"app.mock\('GET /wrong'\): speed=5 is not supported"), gateway(app):
        pass


def test_a_stage_has_one_bucket_for_all_its_routes() -> None:
    with gateway(app_with(Http("GET /a"), Http("GET /b"), throttle={"rate": 0.01, "burst": 3})) as server:
        assert [server.get(path).status for path in ("/a", "/b", "/a", "/b")] == [200, 200, 200, 429]


def test_an_account_has_one_bucket_for_everything() -> None:
    with gateway(app_with(Http("GET /a"), Rest("GET /b")), surroundings={"account_limit": Limit(0.01, 2)}) as server:
        assert [server.get(path).status for path in ("/a", "/prod/b", "/a")] == [200, 200, 429]


def test_a_limit_without_a_burst_lets_nothing_through_and_promises_nothing() -> None:
    with gateway(app_with(Http("GET /shut", throttle={"rate": 0, "burst": 0}))) as server:
        refused = server.get("/shut")
        assert (refused.status, refused["retry-after"]) == (429, None)


def test_buckets_outlive_a_reload_unless_their_limit_changes() -> None:
    with gateway(app_with(Http("GET /slow", throttle={"rate": 0.01, "burst": 1}))) as server:
        assert server.get("/slow").status == 200
        server.load(app_with(Http("GET /slow", throttle={"rate": 0.01, "burst": 1})))
        assert server.get("/slow").status == 429
        server.load(app_with(Http("GET /slow", throttle={"rate": 0.01, "burst": 2})))
        assert server.get("/slow").status == 200


def test_a_refused_load_changes_no_bucket() -> None:
    with gateway(app_with(Http("GET /slow", throttle={"rate": 0.01, "burst": 1}))) as server:
        assert server.get("/slow").status == 200
        with pytest.raises(SettingError):
            server.load(app_with(Http("GET /slow", throttle={"rate": 0.01, "burst": 5}), Http("GET /b", throttle="fast")))
        assert server.get("/slow").status == 429


def test_who_is_refused_is_answered_before_the_body_is_sent() -> None:
    with (
        gateway(app_with(Http("POST /upload", throttle={"rate": 0, "burst": 0}))) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as link,
    ):
        link.sendall(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
        link.sendall(b"x" * 400_000)
        assert link.recv(100).startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize(
    "throttle", ["fast", 5, {"rate": 1}, {"rate": -1, "burst": 1}, {"rate": 1, "burst": 1.5}, (1, 2, 3), {"rate": True, "burst": 1}]
)
def test_what_is_no_throttle_is_refused(throttle: Any) -> None:
    with pytest.raises(SettingError, match=r"GET /x.* throttle"), gateway(app_with(Http("GET /x", throttle=throttle))):
        pass


def test_connections_are_limited_where_nobody_is_asked() -> None:
    app = App("unasked")
    app.websocket_api(throttle={"rate": 0.001, "burst": 2})
    app.on(WebSocket("$default"), name="said")(lambda event, context: {"statusCode": 200})
    handshake = b"GET /prod HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    with gateway(app) as server:
        answers = [server.raw(handshake + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")[9:12] for _ in range(3)]
    assert answers == [b"101", b"101", b"429"]
