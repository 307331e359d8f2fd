"""Event buses on a virtual clock: what reaches functions, what is tried again, schedules, archives and replays over restarts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.composition import Core
from eventflow.database import Database
from eventflow.errors import ServiceError, StorageError
from eventflow.function import Function
from eventflow.pattern import Pattern, compile_pattern
from eventflow.services.bus import store
from eventflow.services.bus.inputs import Cause, is_json, is_string, payload_of
from eventflow.services.bus.paths import NOTHING, JsonPath
from eventflow.services.bus.routing import Effects
from eventflow.testing.virtual_clock import VirtualClock

ACCOUNT, REGION = "000000000000", "us-east-1"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:work"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/"
SHOP = json.dumps({"source": ["shop"]})
DAY = 86_400


class Bench:
    """A core on a file, which may be opened again; ``clock`` goes on. Nothing takes events from functions: they stay in the journal."""

    def __init__(self, folder: Path, clock: VirtualClock) -> None:
        self.folder, self.clock = folder, clock

    async def open(self, *functions: str) -> None:
        self.database = Database(self.folder / "bus.db")
        self.core = Core(self.database, self.clock, buckets=self.folder / "buckets", account=ACCOUNT, region=REGION)
        await self.core.open()
        await self.core.queues.ensure(REGION, "letters")
        self.buses = self.core.buses
        await self.load(*functions)
        self.buses.start()
        await self.settle()

    async def load(self, *functions: str) -> None:
        await self.core.dispatcher.start({name: Function(name, "app:handler") for name in functions})

    async def close(self) -> None:
        await self.core.dispatcher.stop(0.0)
        await self.core.schedules.close()
        self.core.close()
        self.database.close()

    async def settle(self) -> None:
        while await self.buses.settle():
            pass

    async def pass_time(self, duration: float | str) -> None:
        await self.clock.advance(duration)
        await self.settle()

    async def rule(self, targets: list[dict[str, Any]], name: str = "r", bus: str = "default", **params: Any) -> None:
        await self.buses.catalog.put_rule(REGION, bus, {"Name": name, "EventPattern": SHOP, **params})
        await self.buses.catalog.put_targets(REGION, bus, name, targets)

    async def put(self, detail: Any, **more: Any) -> Any:
        entry = {"Source": "shop", "DetailType": "order", "Detail": json.dumps(detail), **more}
        (outcome,) = await self.buses.put_events(REGION, [entry])
        return outcome

    async def events(self) -> list[Any]:
        rows = await self.database.read(lambda connection: connection.execute("SELECT payload FROM events ORDER BY sequence").fetchall())
        return [json.loads(payload) for (payload,) in rows]

    async def letters(self) -> list[tuple[Any, dict[str, str]]]:
        received = await self.core.queues.receive(REGION, "letters", limit=10)
        messages = [one.message(["All"], ["All"]) for one in received]
        return [
            (json.loads(message["Body"]), {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()})
            for message in messages
        ]


@asynccontextmanager
async def opened(folder: Path, *functions: str) -> AsyncIterator[Bench]:
    clock = VirtualClock("2026-03-01T10:00:30Z")
    bench = Bench(folder, clock)
    await bench.open(*functions)
    clock.also_settle(lambda: bench.buses.settle())
    try:
        yield bench
    finally:
        await bench.close()


def drive(scenario: Any) -> None:
    import asyncio

    asyncio.run(scenario())


def test_a_rule_that_changes_has_no_others_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def counted(pattern: str) -> Pattern:
        compiled.append(pattern)
        return compile_pattern(pattern)

    monkeypatch.setattr("eventflow.services.bus.routing.compile_pattern", counted)

    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            for number in range(5):
                await bench.rule([{"Id": "f", "Arn": FUNCTION}], f"r{number}", EventPattern=json.dumps({"detail": {"n": [str(number)]}}))
            await bench.put({"n": "0"})
            assert len(compiled) == 5
            await bench.rule([{"Id": "f", "Arn": FUNCTION}], "r1", EventPattern=json.dumps({"detail": {"n": ["another"]}}))
            await bench.put({"n": "1"})
            await bench.put({"n": "another"})
            await bench.buses.catalog.put_rule(REGION, "default", {"Name": "r0", "EventPattern": SHOP, "State": "DISABLED"})
            await bench.put({"n": "0"})
            assert len(compiled) == 6
            assert [event["detail"]["n"] for event in await bench.events()] == ["0", "another"]

    drive(scenario)


def test_a_function_gets_the_event_in_the_transaction_that_takes_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}])
            event = await bench.put({"n": 1})
            assert await bench.events() == [event.event]
            (kept,) = await bench.database.read(lambda connection: connection.execute("SELECT source, trace FROM events").fetchall())
            assert kept == (f"{RULE}r", None)
            await bench.put({"n": 2}, TraceHeader="Root=1-2;Lineage=aa:3")
            assert bench.core.dispatcher.backlog("work") == 2, "the function was not told"

    drive(scenario)


def test_nothing_is_taken_where_it_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "q", "Arn": QUEUE}, {"Id": "f", "Arn": FUNCTION}])

            def fails(*_arguments: Any) -> Any:
                raise StorageError("The disk is full.")

            monkeypatch.setattr("eventflow.journals.sqlite.event_row", fails)
            with pytest.raises(StorageError):
                await bench.put({"n": 1})
            assert await bench.letters() == [], "the queue's share of a refused event was kept"

    drive(scenario)


def test_a_function_that_is_not_loaded_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}])
            await bench.put({"n": 1})
            await bench.pass_time(2)
            assert await bench.events() == []
            await bench.load("work")
            await bench.pass_time(5)
            assert [event["detail"] for event in await bench.events()] == [{"n": 1}]
            await bench.pass_time("1d")
            assert await bench.letters() == []

    drive(scenario)


@pytest.mark.parametrize(
    ("policy", "exhausted", "attempts"),
    [
        ({"MaximumRetryAttempts": 3}, "MaximumRetryAttempts", "3"),
        ({"MaximumEventAgeInSeconds": 60}, "MaximumEventAgeInSeconds", "5"),
        ({"MaximumRetryAttempts": 0}, "MaximumRetryAttempts", "0"),
    ],
)
def test_the_retry_policy_is_kept_to(tmp_path: Path, policy: dict[str, int], exhausted: str, attempts: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION, "RetryPolicy": policy, "DeadLetterConfig": {"Arn": QUEUE}, "InputPath": "$.detail"}])
            event = await bench.put({"n": 1})
            await bench.pass_time("1h")
            ((body, told),) = await bench.letters()
            assert body == event.event
            assert told == {
                "RULE_ARN": f"{RULE}r",
                "TARGET_ARN": FUNCTION,
                "ERROR_CODE": "NO_RESOURCE",
                "ERROR_MESSAGE": f"Function not found: {FUNCTION}",
                "EXHAUSTED_RETRY_CONDITION": exhausted,
                "RETRY_ATTEMPTS": attempts,
            }

    drive(scenario)


def test_further_attempts_outlive_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}])
            await bench.put({"n": 1})
            await bench.close()
            await bench.pass_time("1m")
            await bench.open("work")
            assert [event["detail"] for event in await bench.events()] == [{"n": 1}]

    drive(scenario)


def test_schedules(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}], EventPattern=None, ScheduleExpression="cron(5 10 * * ? *)")
            await bench.rule([{"Id": "f", "Arn": FUNCTION, "Input": '"tick"'}], name="often", ScheduleExpression="rate(2 minutes)")
            await bench.pass_time("5m")
            (first, second, third) = await bench.events()
            assert (first, second) == ("tick", "tick")
            assert {key: third[key] for key in ("detail-type", "source", "time", "resources", "detail")} == {
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "time": "2026-03-01T10:05:00Z",
                "resources": [f"{RULE}r"],
                "detail": {},
            }
            await bench.buses.catalog.enable_rule(REGION, "default", "often", enabled=False)
            await bench.pass_time("1d")
            assert len(await bench.events()) == 4, "a disabled rule fired, or the daily one did not"

    drive(scenario)


def test_what_a_schedule_missed_is_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}], EventPattern=None, ScheduleExpression="rate(10 minutes)")
            await bench.pass_time("10m")
            await bench.close()
            await bench.clock.advance("65m")
            await bench.open("work")
            await bench.pass_time("6m")
            assert [event["time"][11:] for event in await bench.events()] == ["10:10:30Z", "11:20:30Z"]

    drive(scenario)


def test_archives_keep_events_for_their_days(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as bench:
            await bench.buses.history.create_archive(REGION, "default", {"ArchiveName": "day", "EventSourceArn": f"{BUS}default", "RetentionDays": 1})
            await bench.buses.history.create_archive(REGION, "default", {"ArchiveName": "ever", "EventSourceArn": f"{BUS}default"})
            await bench.put({"n": 1})
            await bench.pass_time(DAY / 2)
            await bench.put({"n": 2})
            await bench.pass_time(DAY / 2 + 7200)
            counts = {name: (await bench.buses.history.archive(REGION, name)).events for name in ("day", "ever")}
            assert counts == {"day": 1, "ever": 2}
            ((left,),) = await bench.database.read(lambda connection: connection.execute("SELECT count(*) FROM bus_archived").fetchall())
            assert left == 3

    drive(scenario)


async def archive_of(bench: Bench, number: int) -> float:
    """An archive with so many events of this moment, and this moment."""
    await bench.buses.history.create_archive(REGION, "default", {"ArchiveName": "a", "EventSourceArn": f"{BUS}default"})
    now = bench.clock.now()
    for n in range(number):
        await bench.put({"n": n})
    await bench.rule([{"Id": "f", "Arn": FUNCTION}])
    return now


def test_a_replay_goes_on_after_a_kill(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            now = await archive_of(bench, 250)
            params = {"ReplayName": "again", "Destination": {"Arn": f"{BUS}default"}}
            replay = await bench.buses.history.start_replay(REGION, "a", "default", params, now - 60, now + 60)
            assert replay.state == "STARTING"
            await bench.close()  # whatever step it has come to
            replayed = await count_events(bench)
            assert replayed < 250
            await bench.open("work")
            assert (await bench.buses.history.replay(REGION, "again")).state == "COMPLETED"
            events = await bench.events()
            assert [event["detail"]["n"] for event in events] == list(range(250))
            assert {event["replay-name"] for event in events} == {"again"}

    drive(scenario)


async def count_events(bench: Bench) -> int:
    database = Database(bench.folder / "bus.db")
    try:
        ((count,),) = await database.read(lambda connection: connection.execute("SELECT count(*) FROM events").fetchall())
    finally:
        database.close()
    return int(count)


def test_a_replay_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            now = await archive_of(bench, 150)
            params = {"ReplayName": "again", "Destination": {"Arn": f"{BUS}default"}}
            await bench.buses.history.start_replay(REGION, "a", "default", params, now - 60, now + 60)
            await bench.buses.history.cancel_replay(REGION, "again")
            await bench.settle()
            assert (await bench.buses.history.replay(REGION, "again")).state == "CANCELLED"
            await bench.buses.catalog.ensure(REGION, "other")
            with pytest.raises(ServiceError, match="Cross event bus replay is not permitted"):
                await bench.buses.history.start_replay(REGION, "a", "other", params | {"ReplayName": "x"}, now - 60, now)

    drive(scenario)


def test_rules_are_those_of_the_database_after_a_refused_change(tmp_path: Path) -> None:
    """A rule whose transaction failed must not live on in memory."""

    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.put({"n": 0})  # the book is read

            def put_and_fail(connection: Any) -> None:
                from eventflow.services.bus import records, rules

                rules.put(connection, REGION, "default", {"Name": "ghost", "EventPattern": SHOP}, 0.0)
                rule = records.find_rule(connection, REGION, "default", "ghost")
                records.put_target(connection, rule.id, "f", FUNCTION, json.dumps({"Id": "f", "Arn": FUNCTION}))
                records.revise(connection, "ghost")
                bench.buses.put_in(connection, REGION, "shop", "order", {"n": 1})
                raise RuntimeError("the commit failed")

            with pytest.raises(RuntimeError):
                await bench.database.write(put_and_fail)
            await bench.put({"n": 2})
            assert await bench.events() == []

    drive(scenario)


def test_an_event_of_eventflow_itself_joins_its_transaction(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}], EventPattern='{"source": ["aws.s3"]}')

            def change(connection: Any) -> Any:
                return bench.buses.put_in(connection, REGION, "aws.s3", "Object Created", {"bucket": {"name": "b"}}, resources=["arn:aws:s3:::b"])

            id, effects = await bench.database.write(change)
            bench.buses.after(effects)
            assert [event["id"] for event in await bench.events()] == [id]
            assert bench.core.dispatcher.backlog("work") == 1
            assert await bench.buses.put(REGION, "aws.s3", "Object Deleted", {}) != id

    drive(scenario)


def test_a_log_group_keeps_events_for_its_days(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as bench:
            groups = bench.core.log_groups
            await groups.create(REGION, "kept")
            await groups.set_retention(REGION, "kept", 1)
            await bench.rule([{"Id": "l", "Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:kept", "InputPath": "$.detail.n"}])
            await bench.put({"n": 1})
            bench.clock.jump(DAY + 1)
            assert await groups.read(REGION, "kept", (0, 0)) == ([], False), "what is too old is told"
            await bench.put({"n": 2})
            events, more = await groups.read(REGION, "kept", (0, 0))
            assert ([event.message for event in events], more) == (["2"], False)
            assert (await groups.find(REGION, "kept")).bytes == 1, "what is too old was not cleared away"

    drive(scenario)


def test_what_waits_for_a_reader_that_is_gone_goes_to_its_function(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.buses.subscribe(REGION, "default", "work/bus/1", SHOP)
            await bench.put({"n": 1})
            await bench.buses.keep_subscriptions({"work/bus/2"})
            assert [event["detail"] for event in await bench.events()] == [{"n": 1}]
            await bench.put({"n": 2})
            assert len(await bench.events()) == 1, "who reads no more still got an event"

    drive(scenario)


def test_a_long_line_of_a_reader_that_is_gone_is_handed_over_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "HANDED_OVER", 2)

    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.buses.subscribe(REGION, "default", "work/bus/1", SHOP)
            for n in range(5):
                await bench.put({"n": n})
            pieces: list[int] = []
            follow = bench.buses._follow

            def note(effects: Effects) -> None:
                pieces.append(len(effects.events))
                follow(effects)

            monkeypatch.setattr(bench.buses, "_follow", note)
            await bench.buses.keep_subscriptions(set())
            assert pieces == [2, 2, 1]
            assert sorted(event["detail"]["n"] for event in await bench.events()) == [0, 1, 2, 3, 4]
            assert await bench.buses.waiting("work/bus/1", 10, 0) == []

    drive(scenario)


@pytest.mark.parametrize(
    "detail",
    ["", "{", "[]", "5", '{"n": 1e400}', '{"n": NaN}', '{"n": "\\ud800"}', '{"a":' * 401 + "1" + "}" * 401, "{" * 5000, '{"a":' + "[" * 100_000],
)
def test_details_that_cannot_be_kept_are_refused(tmp_path: Path, detail: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}, {"Id": "q", "Arn": QUEUE}])
            outcome = await bench.put(None, Detail=detail)
            assert isinstance(outcome, ServiceError)
            assert outcome.code == ("MalformedDetail" if detail else "InvalidArgument")
            assert await bench.events() == await bench.letters() == []

    drive(scenario)


def test_deep_and_odd_details_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, "work") as bench:
            await bench.rule([{"Id": "f", "Arn": FUNCTION}, {"Id": "q", "Arn": QUEUE, "InputPath": "$.detail"}])
            for detail in ('{"a":' * 399 + "1" + "}" * 399, '{"é😀\\u0000": [1, -0.5, 12345678901234567890123, null, ""]}'):
                assert not isinstance(await bench.put(None, Detail=detail), ServiceError)
                assert (await bench.events())[-1]["detail"] == json.loads(detail)

    drive(scenario)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": [{"b": 1}, {"b": 2}], "c-d": {"e.f": 3}}),
        ("$.a[0].b", 1),
        ("$.a[*].b", [1, 2]),
        ("$['c-d']['e.f']", 3),
        ("$.c-d", {"e.f": 3}),
        ("$.a[2]", NOTHING),
        ("$.a.b", NOTHING),
        ("$.x", NOTHING),
        ("$.a[*].x", NOTHING),
    ],
)
def test_paths(path: str, found: Any) -> None:
    assert JsonPath(path).of({"a": [{"b": 1}, {"b": 2}], "c-d": {"e.f": 3}}) == found


@pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$..a", "$.a[", "$.a[-1]", "$.a[?(@.b)]", "$.a[0:2]", "$.*"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ValueError, match=r"begin with|no path"):
        JsonPath(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_what_a_template_makes_is_json_whatever_is_in_the_event(value: Any) -> None:
    template = '{"bare": <x>, "quoted": "say \\"<x>\\" <x>", "list": [<x>, "<x>"]}'
    payload = payload_of({"Id": "t", "InputTransformer": {"InputPathsMap": {"x": "$.detail.x"}, "InputTemplate": template}})
    event = {"detail": {"x": value}}
    made = json.loads(payload(Cause(event, json.dumps(event), f"{RULE}r", 0.0)))
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert made == {"bare": value, "quoted": f'say "{text}" {text}', "list": [value, text]}


@given(st.text('{}[]"<>x\\: ,\n', max_size=20))
def test_a_template_is_refused_or_makes_json(template: str) -> None:
    try:
        payload = payload_of({"Id": "t", "InputTransformer": {"InputPathsMap": {"x": "$.detail.x"}, "InputTemplate": template}})
    except ServiceError:
        return
    for value in ('say "x"', 5, {"a": ["<x>"]}):
        made = payload(Cause({"detail": {"x": value}}, "", f"{RULE}r", 0.0))
        assert is_json(made) or all(is_string(line) for line in made.splitlines() if line.strip()), made
