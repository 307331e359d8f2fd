"""Schedules: when they fire, once each whatever is killed, what their targets get, and what becomes of what a target does not take."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow import App, faultpoint
from eventflow.clock import iso
from eventflow.database import Database
from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.errors import ServiceError
from eventflow.services.queues import Queues
from eventflow.services.schedules import DaemonTargets, Schedules
from eventflow.services.schedules.definition import Definition
from eventflow.services.schedules.destination import Place
from eventflow.testing.harness import Harness
from eventflow.testing.virtual_clock import VirtualClock, unix_time
from tests.examples import examples
from triggers import Bus

ACCOUNT, REGION = "000000000000", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"
LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:work"
START = unix_time("2026-03-01T10:00:00Z")


class Functions:
    """A dispatcher: it takes an event of one id once, and can be told to fail first."""

    def __init__(self) -> None:
        self.accepted: dict[str, tuple[str, Any]] = {}
        self.calls = 0
        self.called = asyncio.Event()

    async def emit(self, function: str, payload: bytes, *, key: str, source: str) -> str:
        self.calls += 1
        self.called.set()
        if function != "work":
            raise UnknownFunction(f"There is no function {function!r}.")
        self.accepted.setdefault(key, (function, json.loads(payload)))
        return key


class World:
    def __init__(self, database: Database, clock: VirtualClock, functions: Functions) -> None:
        self.database, self.clock, self.functions = database, clock, functions
        self.queues = Queues(database, clock, ACCOUNT)
        self.schedules = Schedules(database, clock, ACCOUNT, DaemonTargets(functions, self.queues))  # type: ignore[arg-type]

    async def create(self, expression: str, target: dict[str, Any] | str = QUEUE, name: str = "nightly", **more: Any) -> str:
        return await self.schedules.create(REGION, "default", name, parameters(expression, target, **more), None)

    async def messages(self, queue: str = "jobs") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while received := await self.queues.receive(REGION, queue, limit=10):
            found += [one.message(("All",), ("All",)) for one in received]
            await self.queues.delete_messages(REGION, queue, [message["ReceiptHandle"] for message in found[-len(received) :]])
        return found

    async def times(self) -> list[str]:
        """The scheduled times of what came, oldest first."""
        return [json.loads(message["Body"])["time"] for message in await self.messages()]


def parameters(expression: str, target: dict[str, Any] | str = QUEUE, **more: Any) -> dict[str, Any]:
    full = {"Arn": target, "RoleArn": ROLE} if isinstance(target, str) else {"RoleArn": ROLE, **target}
    return {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": full, **more}


def in_world(folder: Path, clock: VirtualClock, work: Callable[[World], Awaitable[None]], functions: Functions | None = None) -> None:
    """Run ``work`` while schedules fire; the next call on the folder finds what this one left, as a restarted daemon would."""

    async def run() -> None:
        database = Database(folder / "state.db")
        world = World(database, clock, functions or Functions())
        settlers = clock._settlers
        settlers[:] = [world.schedules.settle]
        try:
            await world.queues.open()
            await world.schedules.open()
            for queue in ("jobs", "letters"):
                await world.queues.ensure(REGION, queue)
            world.schedules.start()
            await work(world)
        finally:
            await world.schedules.close()
            database.close()

    asyncio.run(run())


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


def test_a_one_time_schedule_fires_once_in_its_zone_and_says_so_in_the_event(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        arn = await world.create("at(2026-03-01T12:00:00)", ScheduleExpressionTimezone="Europe/Berlin")
        await clock.advance("59m59s")
        assert await world.messages() == []
        await clock.advance("24h")
        (message,) = await world.messages()
        event = json.loads(message["Body"])
        assert event == {
            "version": "0",
            "id": event["id"],
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": ACCOUNT,
            "time": "2026-03-01T11:00:00Z",
            "region": REGION,
            "resources": [arn],
            "detail": "{}",
        }
        assert (await world.schedules.find(REGION, "default", "nightly")).name == "nightly"

    in_world(tmp_path, clock, work)


def test_a_schedule_that_is_to_be_deleted_after_completion_is_gone_with_its_last_instant(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        await world.create("rate(1 hour)", EndDate=START + 7_200, ActionAfterCompletion="DELETE")
        await clock.advance("1h")
        assert (await world.schedules.find(REGION, "default", "nightly")).definition.after == "DELETE"
        await clock.advance("5h")
        assert len(await world.times()) == 3
        with pytest.raises(ServiceError, match=r"Schedule nightly does not exist\."):
            await world.schedules.find(REGION, "default", "nightly")

    in_world(tmp_path, clock, work)


def test_a_rate_begins_at_once_or_at_its_start_date_and_keeps_its_phase_over_restarts(tmp_path: Path, clock: VirtualClock) -> None:
    async def first(world: World) -> None:
        await world.create("rate(20 minutes)")
        await world.create("rate(1 day)", name="later", StartDate=START + 1_800)
        await clock.advance("25m")
        assert await world.times() == ["2026-03-01T10:00:00Z", "2026-03-01T10:20:00Z"]

    async def second(world: World) -> None:
        await clock.advance(0)
        assert await world.times() == ["2026-03-01T10:30:00Z", "2026-03-01T10:40:00Z"]  # what came while nothing ran, once each
        await clock.advance("25m")
        assert await world.times() == ["2026-03-01T11:00:00Z"]

    in_world(tmp_path, clock, first)
    clock.jump(1_500)
    in_world(tmp_path, clock, second)


def test_instants_that_are_older_than_the_retry_policy_allows_are_dropped(tmp_path: Path, clock: VirtualClock, caplog: Any) -> None:
    async def first(world: World) -> None:
        await world.create("cron(0 * * * ? *)", {"Arn": QUEUE, "RetryPolicy": {"MaximumEventAgeInSeconds": 7_200}})

    async def second(world: World) -> None:
        await clock.advance(0)
        assert await world.times() == ["2026-03-11T09:00:00Z", "2026-03-11T10:00:00Z"]

    in_world(tmp_path, clock, first)
    clock.jump(10 * 86_400 + 1_800)
    in_world(tmp_path, clock, second)
    assert "missed its instants from 2026-03-01T11:00:00.000Z on" in caplog.text


def test_a_flexible_window_delivers_at_one_moment_within_it_that_restarts_choose_again(tmp_path: Path, clock: VirtualClock) -> None:
    definition = Definition("rate(1 hour)", "UTC", None, None, True, 30, None, "NONE", {})
    moments = [definition.due(f"arn:{number}", START) - START for number in range(300)]
    assert all(0 <= moment < 1_800 for moment in moments)
    assert min(moments) < 60
    assert max(moments) > 1_740

    async def first(world: World) -> None:
        arn = await world.create("at(2026-03-01T10:10:00)", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30})
        moment = definition.due(arn, START + 600)
        await clock.advance(moment - START - 1)
        assert await world.messages() == []

    async def second(world: World) -> None:
        await clock.advance(0)
        assert await world.messages() == []
        await clock.advance(2)
        assert await world.times() == ["2026-03-01T10:10:00Z"]

    in_world(tmp_path, clock, first)
    in_world(tmp_path, clock, second)


def test_a_disabled_schedule_does_not_fire_and_makes_nothing_good_when_it_is_enabled(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        await world.create("cron(0 * * * ? *)", State="DISABLED")
        await clock.advance("3h")
        await world.schedules.update(REGION, "default", "nightly", parameters("cron(0 * * * ? *)"))
        await clock.advance("90m")
        assert await world.times() == ["2026-03-01T14:00:00Z"]
        await world.schedules.update(REGION, "default", "nightly", parameters("cron(0 * * * ? *)", State="DISABLED"))
        await clock.advance("3h")
        assert await world.times() == []

    in_world(tmp_path, clock, work)


def test_an_update_fires_no_instant_again_and_keeps_a_rates_phase(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        await world.create("rate(1 hour)")
        await clock.advance("10m")
        await world.schedules.update(REGION, "default", "nightly", parameters("rate(1 hour)", {"Arn": QUEUE, "Input": "changed"}))
        await clock.advance("60m")
        assert [message["Body"] for message in await world.messages()][1:] == ["changed"]
        await world.schedules.update(REGION, "default", "nightly", parameters("rate(2 hours)"))
        await clock.advance("1m")
        assert await world.times() == ["2026-03-01T11:10:00Z"]

    in_world(tmp_path, clock, work)


def test_context_attributes_are_filled_in(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        text = "<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time> <aws.scheduler.attempt-number> <aws.scheduler.execution-id>"
        arn = await world.create("at(2026-03-01T10:00:05)", {"Arn": QUEUE, "Input": text})
        await clock.advance("5s")
        (message,) = await world.messages()
        *known, execution = message["Body"].split(" ")
        assert known == [arn, "2026-03-01T10:00:05Z", "1"]
        assert len(execution) == 16

    in_world(tmp_path, clock, work)


def test_a_fifo_queue_gets_its_message_in_the_group(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        await world.queues.ensure(REGION, "ordered.fifo", ContentBasedDeduplication="true")
        await world.create("at(2026-03-01T10:00:05)", {"Arn": f"{QUEUE[:-4]}ordered.fifo", "SqsParameters": {"MessageGroupId": "night"}})
        await clock.advance("5s")
        (message,) = await world.messages("ordered.fifo")
        assert message["Attributes"]["MessageGroupId"] == "night"

    in_world(tmp_path, clock, work)


def test_a_target_that_is_not_there_is_tried_again_and_then_its_dead_letter_says_why(tmp_path: Path, clock: VirtualClock) -> None:
    missing = f"{QUEUE[:-4]}missing"
    target = {"Arn": missing, "Input": "late", "DeadLetterConfig": {"Arn": LETTERS}, "RetryPolicy": {"MaximumRetryAttempts": 3}}

    async def work(world: World) -> None:
        arn = await world.create("at(2026-03-01T10:00:00)", target)
        await clock.advance("6s")
        assert await world.messages("letters") == []
        await clock.advance("1s")  # 1 + 2 + 4 seconds
        (letter,) = await world.messages("letters")
        attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        assert letter["Body"] == "late"
        assert attributes.pop("ERROR_MESSAGE")
        assert len(attributes.pop("EXECUTION_ID")) == 16
        assert attributes == {
            "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue",
            "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": "3",
            "SCHEDULED_TIME": "2026-03-01T10:00:00Z",
            "SCHEDULE_ARN": arn,
            "TARGET_ARN": missing,
        }
        await clock.advance("24h")
        assert await world.messages("letters") == []

    in_world(tmp_path, clock, work)


def test_a_target_that_comes_in_time_gets_what_it_was_owed(tmp_path: Path, clock: VirtualClock) -> None:
    async def first(world: World) -> None:
        await world.create("at(2026-03-01T10:00:00)", f"{QUEUE[:-4]}missing")
        await clock.advance("10s")

    async def second(world: World) -> None:
        await world.queues.ensure(REGION, "missing")
        await clock.advance("5m")
        assert len(await world.messages("missing")) == 1
        await clock.advance("24h")
        assert await world.messages("missing") == []

    in_world(tmp_path, clock, first)
    in_world(tmp_path, clock, second)


def test_retries_end_with_the_age_of_the_event(tmp_path: Path, clock: VirtualClock) -> None:
    policy = {"MaximumEventAgeInSeconds": 60}

    async def work(world: World) -> None:
        target = {"Arn": f"{FUNCTION}-missing", "RetryPolicy": policy, "DeadLetterConfig": {"Arn": LETTERS}}
        await world.create("at(2026-03-01T10:00:00)", target)
        await clock.advance("10m")
        (letter,) = await world.messages("letters")
        attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
        assert attributes["ERROR_CODE"] == "ResourceNotFoundException"
        assert attributes["RETRY_ATTEMPTS"] == "5"  # after 1, 3, 7, 15 and 31 seconds; 63 would be too late

    in_world(tmp_path, clock, work)


def test_a_function_gets_an_event_once_whose_fire_was_not_ended_when_the_daemon_was_killed(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = Functions()

    async def first(world: World) -> None:
        def kill(_point: str) -> None:
            if _point == "fire.emitted":
                raise asyncio.CancelledError

        monkeypatch.setattr(faultpoint, "reach", kill)
        await world.create("at(2026-03-01T10:00:00)", {"Arn": FUNCTION, "Input": '{"n": 1}'})
        await functions.called.wait()
        await world.schedules.close()
        monkeypatch.undo()

    async def second(world: World) -> None:
        await clock.advance("1h")
        assert functions.calls == 2
        assert list(functions.accepted.values()) == [("work", {"n": 1})]

    in_world(tmp_path, clock, first, functions)
    in_world(tmp_path, clock, second, functions)


def test_ten_thousand_schedules_that_wait_cost_nothing(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        def fill(connection: Any) -> None:
            text = Definition.of(parameters("at(2027-01-01T00:00:00)"), START, place()).text()
            row = (REGION, "default", text, START, START, START, START + 86_400, START + 86_400)
            statement = "INSERT INTO schedules (region, group_name, definition, created_at, modified_at, anchor, instant, due_at, name)"
            connection.executemany(f"{statement} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [(*row, f"s-{number}") for number in range(10_000)])

        await world.database.write(fill)
        await world.create("at(2027-01-01T00:00:00)")
        await clock.advance(1)
        asked = 0
        read = world.database.read

        async def counted(query: Callable[[Any], Any]) -> Any:
            nonlocal asked
            asked += 1
            return await read(query)

        world.database.read = counted  # type: ignore[method-assign]
        await clock.advance("23h")
        assert asked == 0
        assert sum(not timer.cancelled for timer in clock._timers) == 1

    in_world(tmp_path, clock, work)


def place() -> Place:
    return Place(REGION, ACCOUNT, False)


def test_a_client_token_makes_a_repeated_call_harmless(tmp_path: Path, clock: VirtualClock) -> None:
    async def work(world: World) -> None:
        async def create(token: str, expression: str = "rate(1 hour)") -> str:
            return await world.schedules.create(REGION, "default", "nightly", parameters(expression), token)

        assert await create("a") == await create("a")
        for token, expression in (("b", "rate(1 hour)"), ("a", "rate(2 hours)")):
            with pytest.raises(ServiceError, match=r"Schedule nightly already exists\."):
                await create(token, expression)
        await world.schedules.delete(REGION, "default", "nightly", "d")
        await world.schedules.delete(REGION, "default", "nightly", "d")
        with pytest.raises(ServiceError, match=r"Schedule nightly does not exist\."):
            await world.schedules.delete(REGION, "default", "nightly", "e")

    in_world(tmp_path, clock, work)


EXPRESSIONS = ["rate(7 minutes)", "rate(1 hour)", "cron(0/15 * * * ? *)", "cron(30 2 * * ? *)", "at(2026-03-29T12:34:56)"]


@settings(max_examples=examples(15), deadline=None)
@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    steps=st.lists(st.tuples(st.integers(1, 5_400), st.booleans()), min_size=1, max_size=8),
)
def test_every_instant_is_delivered_once_whenever_the_daemon_is_restarted(expression: str, zone: str, steps: list[tuple[int, bool]]) -> None:
    begin = unix_time("2026-03-29T00:00:00Z")  # the clocks of Berlin go forward at one
    clock = VirtualClock(begin)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:

        async def create(world: World) -> None:
            await world.create(expression, ScheduleExpressionTimezone=zone)

        in_world(Path(folder), clock, create)
        for seconds, down in steps:

            async def work(world: World, seconds: int = 0 if down else seconds) -> None:
                await clock.advance(seconds)
                found.extend(await world.times())

            if down:
                clock.jump(seconds)
            in_world(Path(folder), clock, work)
    definition = Definition.of(parameters(expression, ScheduleExpressionTimezone=zone), begin, place())
    anchor = definition.begin(begin)
    wanted: list[str] = []
    instant = definition.first(anchor, begin)
    while instant is not None and instant <= clock.now():
        wanted.append(iso(instant, milliseconds=False))
        instant = definition.following(anchor, instant)
    assert sorted(found) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ScheduleExpression": "rate(5 minute)"}, "Invalid Schedule Expression rate(5 minute): "),
        ({"ScheduleExpression": "every day"}, "Invalid Schedule Expression every day: "),
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "The ScheduleExpressionTimezone Mars/Olympus is not valid"),
        ({"StartDate": START - 301}, "The StartDate you specify cannot be earlier than 5 minutes ago."),
        ({"StartDate": START + 60, "EndDate": START + 60}, "must come after the StartDate"),
        ({"EndDate": datetime.fromtimestamp(START, UTC)}, "must come after now"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes must be set"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "MaximumWindowInMinutes must not be set"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1"}, "KmsKeyArn is not supported"),
    ],
)
def test_what_a_schedule_cannot_say_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match="ValidationException") as refused:
        Definition.of({**parameters("rate(1 hour)"), **change}, START, place())
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "The universal target arn:aws:scheduler:::aws-sdk:sqs:sendMessage is not supported"),
        ("arn:aws:ecs:us-east-1:000000000000:cluster/c", "is not supported"),
        ("arn:aws:events:us-east-1:000000000000:event-bus/default", "is not supported"),
        ("jobs", "Provided Arn is not in correct format: jobs"),
        (f"{FUNCTION}:3", "names a version or alias"),
        ("arn:aws:sqs:eu-west-1:000000000000:jobs", "is not in this region and account"),
        ("arn:aws:sqs:us-east-1:111111111111:jobs", "is not in this region and account"),
        (f"{QUEUE}.fifo", "MessageGroupId must be specified"),
        ({"Arn": QUEUE, "EcsParameters": {"TaskDefinitionArn": "t"}}, "Target.EcsParameters is not supported"),
        ({"Arn": FUNCTION, "SqsParameters": {"MessageGroupId": "g"}}, "does not belong to the target"),
        ({"Arn": FUNCTION, "Input": "no json"}, "Target.Input is not valid JSON"),
        ({"Arn": QUEUE, "Input": "x" * 300_000}, "longer than 262144 bytes"),
    ],
)
def test_what_a_target_cannot_be_is_refused(target: Any, message: str) -> None:
    with pytest.raises(ServiceError, match="ValidationException") as refused:
        Definition.of(parameters("rate(1 hour)", target), START, place())
    assert message in refused.value.message


def test_an_application_s_function_and_bus_get_what_schedules_send(eventflow_harness: Callable[[App], Harness]) -> None:
    app, ran, heard = App("t"), [], []

    @app.function()
    def work(event: Any, context: Any) -> None:
        ran.append((event, harness.clock.now() - start))

    @app.on(Bus({"source": ["night"], "detail": {"n": [7]}}))
    def listen(event: Any, context: Any) -> None:
        heard.append(event)

    harness = eventflow_harness(app)
    start = harness.clock.now()
    scheduler = boto3.client("scheduler", region_name=REGION)
    off, bus = {"Mode": "OFF"}, f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    scheduler.create_schedule(
        Name="call", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow=off, Target={"Arn": FUNCTION, "RoleArn": ROLE, "Input": '{"n": 1}'}
    )
    event_target = {"Arn": bus, "RoleArn": ROLE, "Input": '{"n": 7}', "EventBridgeParameters": {"Source": "night", "DetailType": "Chime"}}
    arn = scheduler.create_schedule(Name="chime", ScheduleExpression="rate(1 day)", FlexibleTimeWindow=off, Target=event_target)["ScheduleArn"]
    harness.advance("2h")
    assert ran == [({"n": 1}, 0), ({"n": 1}, 3_600), ({"n": 1}, 7_200)]
    (event,) = heard
    assert (event["detail-type"], event["resources"], event["detail"]) == ("Chime", [arn], {"n": 7})
    assert event["time"] == iso(start, milliseconds=False)
