"""Schedule: every tick fires once, whatever happens to the daemon, the disk and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow import SettingError, StorageError
from eventflow.testing.recording_target import RecordingTarget
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.timetable import parse_timetable, parse_zone
from tests.examples import examples
from tests.patience import PATIENCE
from triggers.schedule import Schedule

HOURLY = "cron(0 * * * ? *)"


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def target_at(start: str = "2026-01-01T00:00:00Z") -> tuple[RecordingTarget, VirtualClock]:
    clock = VirtualClock(start)
    return RecordingTarget(clock, function="tidy"), clock


@contextlib.asynccontextmanager
async def running(schedule: Schedule, target: RecordingTarget) -> AsyncIterator[VirtualClock]:
    clock = target.clock
    assert isinstance(clock, VirtualClock)
    task = asyncio.create_task(schedule.run(target))
    await clock.settle()
    try:
        yield clock
        assert not task.done(), f"run ended: {task}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def times(target: RecordingTarget) -> list[str]:
    """The instants of the ticks, without the date where it is the first of January."""
    return [payload["time"].removeprefix("2026-01-01T").removesuffix("Z") for payload in target.payloads]


# Settings


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"expression": "rate(5 minute)"}, ["rate(5 minute)", "a rate of 5 takes minutes, hours or days", "^"]),
        ({"expression": "rate(1 minutes)"}, ["a rate of 1 takes minute, hour or day"]),
        ({"expression": "rate(0 minutes)"}, ["0 is not a positive whole number"]),
        ({"expression": "rate(1.5 hours)"}, ["1.5 is not a positive whole number"]),
        ({"expression": "rate(5)"}, ["a number and a unit"]),
        ({"expression": "rate(9999999999 days)"}, ["longer than 36525 days"]),
        ({"expression": "every day"}, ["none of rate(5 minutes)"]),
        ({"expression": "cron(0 3 * * ? *"}, ["none of rate(5 minutes)"]),
        ({"expression": "cron(0 25 * * ? *)"}, ["hour 25 is outside 0-23", "           ^"]),
        ({"expression": "at(2026-02-30T00:00:00)"}, ["not in the calendar"]),
        ({"expression": "at(2026-02-20T00:00:00Z)"}, ["without a zone"]),
        ({"expression": "at(2026-02-20 00:00:00)"}, ["yyyy-mm-ddThh:mm:ss"]),
        ({"expression": "at(9999-12-31T23:59:59)"}, ["year 9999 is outside 1970-2199"]),
        ({"expression": "at(2026-03-29T02:30:00)", "timezone": "Europe/Berlin"}, ["not shown by any clock in Europe/Berlin"]),
        ({"expression": 5}, ["expression=5", "is not text"]),
        ({"expression": HOURLY, "timezone": "Mars/Olympus"}, ["timezone='Mars/Olympus'", "IANA"]),
        ({"expression": HOURLY, "timezone": "../../etc/passwd"}, ["timezone=", "IANA"]),
        ({"expression": "rate(1 day)", "timezone": "Europe/Berlin"}, ["does nothing to rate(1 day)"]),
        ({"expression": HOURLY, "catch_up": "some"}, ["catch_up='some'", "skip, once, all"]),
        ({"expression": HOURLY, "input": {1, 2}}, ["input=", "not a JSON value"]),
    ],
)
def test_bad_settings_are_refused_in_sentences(settings_: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as refused:
        Schedule(**settings_)
    text = str(refused.value)
    assert text.startswith("Schedule: ")
    for word in words:
        assert word in text


def test_the_mark_stands_under_the_mistake() -> None:
    with pytest.raises(SettingError) as refused:
        Schedule("cron(0 3 15W,3 * ? *)")
    _sentence, expression, mark = str(refused.value).split("\n")
    assert expression[mark.index("^")] == "W"


def test_a_schedule_is_a_value() -> None:
    schedule = Schedule("cron(0 3 ? * MON *)", timezone="Europe/Berlin", catch_up="all", input={"a": (1, 2)})
    assert Schedule(**schedule.parameters()) == schedule
    assert "cron(0 3 ? * MON *)" in str(schedule)
    assert "Europe/Berlin" in str(schedule)


# The event


def test_the_event_is_eventbridges() -> None:
    async def scenario() -> None:
        target, _clock = target_at()
        async with running(Schedule(HOURLY), target) as clock:
            await clock.advance("1h")
        [delivery] = target.deliveries
        event = delivery.payload
        assert uuid.UUID(event.pop("id")) == uuid.UUID(delivery.id or "")
        [rule] = event.pop("resources")
        assert rule.startswith("arn:aws:events:us-east-1:000000000000:rule/tidy-")
        assert event == {
            "version": "0",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": "2026-01-01T01:00:00Z",
            "region": "us-east-1",
            "detail": {},
        }

    drive(scenario())


def test_ids_and_rules_are_stable_and_tell_schedules_apart() -> None:
    async def first_tick(schedule: Schedule, function: str = "tidy") -> tuple[str | None, str]:
        target, _clock = target_at()
        target.function = function
        async with running(schedule, target) as clock:
            await clock.advance("1h")
        return target.deliveries[0].id, target.deliveries[0].payload["resources"][0]

    async def scenario() -> None:
        assert await first_tick(Schedule(HOURLY)) == await first_tick(Schedule(HOURLY, catch_up="all"))
        others = [await first_tick(Schedule(HOURLY)), await first_tick(Schedule("cron(0/30 * * * ? *)")), await first_tick(Schedule(HOURLY), "other")]
        assert len({tick for tick, _rule in others}) == len({rule for _tick, rule in others}) == 3
        _tick, rule = await first_tick(Schedule(HOURLY), "f" * 64)
        assert len(rule.rpartition("/")[2]) == 64

    drive(scenario())


def test_input_takes_the_place_of_the_event() -> None:
    async def scenario() -> None:
        target, _clock = target_at()
        async with running(Schedule(HOURLY, input={"mode": "full"}), target) as clock:
            await clock.advance("2h")
        assert target.payloads == [{"mode": "full"}] * 2

    drive(scenario())


# When


def test_a_tick_fires_at_its_instant_and_not_before() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:59:58.250Z")
        async with running(Schedule(HOURLY), target):
            await clock.advance("1749ms")
            assert target.payloads == []
            await clock.advance("1ms")
            assert times(target) == ["01:00:00"]
            assert target.deliveries[0].at == clock.now()

    drive(scenario())


def test_a_rate_counts_from_its_first_start_and_keeps_its_phase() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:02:03.700Z")
        async with running(Schedule("rate(5 minutes)"), target):
            await clock.advance("11m")
        assert times(target) == ["00:07:03", "00:12:03"]
        assert target.deliveries[0].at % 1 == 0, "ticks are whole seconds, as the event's time is"
        await clock.advance("1h")
        async with running(Schedule("rate(5 minutes)"), target):
            await clock.advance("10m")
        assert times(target)[2:] == ["01:17:03", "01:22:03"]

    drive(scenario())


def test_wall_clocks_that_skip_and_repeat_fire_as_eventbridge_scheduler_says() -> None:
    async def ticks(expression: str, zone: str, start: str, hours: int) -> list[str]:
        target, clock = target_at(start)
        async with running(Schedule(expression, timezone=zone, catch_up="all"), target):
            await clock.advance(hours * 3600)
        return [payload["time"] for payload in target.payloads]

    async def scenario() -> None:
        # 02:30 does not exist in Berlin on 29 March 2026 and exists twice on 25 October.
        assert await ticks("cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T00:00:00Z", 72) == ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
        assert await ticks("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T12:00:00Z", 40) == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        # Started between the two 02:30s, the first is over and the second does not count.
        assert await ticks("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-25T01:00:00Z", 20) == []
        assert await ticks("at(2026-07-01T09:00:00)", "America/New_York", "2026-07-01T12:00:00Z", 5) == ["2026-07-01T13:00:00Z"]
        # Samoa left out the whole of 30 December 2011.
        assert await ticks("cron(0 12 * * ? *)", "Pacific/Apia", "2011-12-29T12:00:00Z", 48) == ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]

    drive(scenario())


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "America/Sao_Paulo", "UTC"])
daily = st.builds("{} {} * * ? *".format, st.sampled_from(["0", "30", "0/20", "59"]), st.sampled_from(["0", "1", "2", "3", "23", "*", "0/2"]))


@settings(max_examples=examples(60), deadline=None)
@given(zones, daily, st.integers(0, 8760))
def test_each_wall_clock_time_fires_at_most_once_and_only_if_it_was_shown(zone: str, expression: str, hour: int) -> None:
    place, begin = parse_zone(zone), 1_767_225_600.0 + hour * 3600
    timetable = parse_timetable(f"cron({expression})", place)
    shown: dict[datetime, float] = {}
    for minute in range(1, 40 * 60):
        instant = begin + minute * 60
        shown.setdefault(datetime.fromtimestamp(instant, place).replace(tzinfo=None), instant)
    found, instant = [], begin
    while (following := timetable.after(instant, 0)) is not None and following < begin + 40 * 3600:
        instant = following
        found.append(instant)
    repeated_from_before = {datetime.fromtimestamp(begin - minute * 60, place).replace(tzinfo=None) for minute in range(180)}
    minutes, hours = expression.split()[:2]
    expected = [
        instant for wall, instant in shown.items() if allowed(minutes, wall.minute) and allowed(hours, wall.hour) and wall not in repeated_from_before
    ]
    assert found == expected


def allowed(field: str, actual: int) -> bool:
    begin, _, step = field.partition("/")
    return field == "*" or (actual % int(step) == int(begin) if step else actual == int(begin))


# Restarts


async def stopped_for_five_hours(schedule: Schedule) -> tuple[RecordingTarget, VirtualClock]:
    target, clock = target_at("2026-01-01T00:30:00Z")
    async with running(schedule, target):
        await clock.advance("1h")
    assert times(target) == ["01:00:00"]
    await clock.advance("5h")
    return target, clock


def test_a_tick_fires_once_however_often_the_daemon_restarts() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        for _restart in range(20):
            async with running(Schedule(HOURLY, catch_up="all"), target):
                await clock.advance("7m")
        assert times(target) == ["01:00:00", "02:00:00"]
        assert target.reports == []

    drive(scenario())


def test_skip_drops_what_was_missed_and_says_how_much() -> None:
    async def scenario() -> None:
        target, clock = await stopped_for_five_hours(Schedule(HOURLY))
        async with running(Schedule(HOURLY), target):
            await clock.advance("1h")
        assert times(target) == ["01:00:00", "07:00:00"]
        [report] = target.reports
        assert "missed 5 ticks since 2026-01-01T02:00:00Z" in report
        assert "catch_up='skip' drops them" in report

    drive(scenario())


def test_once_fires_for_the_newest_missed_tick() -> None:
    async def scenario() -> None:
        target, clock = await stopped_for_five_hours(Schedule(HOURLY, catch_up="once"))
        async with running(Schedule(HOURLY, catch_up="once"), target):
            assert times(target) == ["01:00:00", "06:00:00"]
            await clock.advance("1h")
        assert times(target)[2:] == ["07:00:00"]
        assert "missed 5 ticks" in target.reports[0]

    drive(scenario())


def test_all_fires_for_each_missed_tick_in_order() -> None:
    async def scenario() -> None:
        target, clock = await stopped_for_five_hours(Schedule(HOURLY, catch_up="all"))
        async with running(Schedule(HOURLY, catch_up="all"), target):
            await clock.advance("30m")
        assert times(target) == [f"0{hour}:00:00" for hour in range(1, 8)]
        assert len(target.reports) == 1

    drive(scenario())


def test_a_tick_missed_by_seconds_still_fires() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        async with running(Schedule(HOURLY), target):
            await clock.advance("29m50s")
        await clock.advance("30s")
        async with running(Schedule(HOURLY), target):
            assert times(target) == ["01:00:00"]
        assert target.reports == []

    drive(scenario())


def test_a_year_of_missed_minutes_is_counted_no_further_than_needed() -> None:
    async def scenario() -> None:
        target, clock = target_at()
        minutely = "cron(* * * * ? *)"
        async with running(Schedule(minutely, catch_up="once"), target):
            await clock.advance("1m")
        await clock.advance("365d")
        async with running(Schedule(minutely, catch_up="once"), target):
            pass
        assert len(target.payloads) == 2
        assert target.payloads[1]["time"] == "2027-01-01T00:01:00Z"
        assert "more than 1000 ticks" in target.reports[0]

    drive(scenario())


def test_the_newest_of_rare_ticks_is_found() -> None:
    async def scenario() -> None:
        target, clock = target_at()
        leap = Schedule("cron(0 0 29 2 ? *)", catch_up="once")
        async with running(leap, target):
            pass
        await clock.advance(12 * 366 * 86_400)
        async with running(leap, target):
            pass
        assert times(target) == ["2036-02-29T00:00:00"]

    drive(scenario())


def test_another_expression_or_zone_begins_afresh() -> None:
    async def scenario() -> None:
        target, clock = await stopped_for_five_hours(Schedule(HOURLY, catch_up="all"))
        async with running(Schedule("cron(0/30 * * * ? *)", catch_up="all"), target):
            assert len(target.payloads) == 1
            await clock.advance("30m")
        assert times(target)[1:] == ["07:00:00"]
        assert target.reports == []
        await clock.advance("5h")
        async with running(Schedule("cron(0/30 * * * ? *)", catch_up="all", timezone="Asia/Kolkata"), target):
            assert len(target.payloads) == 2

    drive(scenario())


def test_catch_up_and_input_may_change_without_losing_the_place() -> None:
    async def scenario() -> None:
        target, _clock = await stopped_for_five_hours(Schedule(HOURLY))
        async with running(Schedule(HOURLY, catch_up="all", input=[1]), target):
            assert target.payloads[1:] == [[1]] * 5

    drive(scenario())


def test_a_kill_between_the_disk_and_the_next_line_fires_nothing_twice() -> None:
    async def scenario() -> None:
        target, clock = target_at()
        for _restart in range(3):
            target.restart()
            target.crash_after(1)
            async with running(Schedule(HOURLY, catch_up="all"), target):
                await clock.advance("90m")
        async with running(Schedule(HOURLY, catch_up="all"), target):
            pass
        assert times(target) == ["01:00:00", "02:00:00", "03:00:00", "04:00:00"]

    drive(scenario())


# at


def test_at_fires_once_and_then_rests() -> None:
    async def scenario() -> None:
        target, clock = target_at()
        for _restart in range(2):
            async with running(Schedule("at(2026-01-01T09:05:00)"), target):
                await clock.advance("12h")
        assert times(target) == ["09:05:00"]
        assert target.reports == []

    drive(scenario())


@pytest.mark.parametrize(("catch_up", "expected"), [("skip", []), ("once", ["09:05:00"]), ("all", ["09:05:00"])])
def test_an_at_that_had_passed_before_the_first_start(catch_up: str, expected: list[str]) -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T09:05:30Z")
        for _restart in range(2):
            async with running(Schedule("at(2026-01-01T09:05:00)", catch_up=catch_up), target):
                await clock.advance("1h")
        assert times(target) == expected
        if catch_up == "skip":
            assert "names no instant after 2026-01-01T09:05:30Z: it will not fire" in target.reports[0]

    drive(scenario())


def test_an_at_that_passed_while_nothing_ran_is_reported_and_caught_up() -> None:
    async def scenario() -> None:
        target, clock = target_at()
        schedule = Schedule("at(2026-01-01T09:05:00)", catch_up="once")
        async with running(schedule, target):
            pass
        await clock.advance("12h")
        async with running(schedule, target):
            assert times(target) == ["09:05:00"]
        assert "missed 1 tick at 2026-01-01T09:05:00Z" in target.reports[0]

    drive(scenario())


# A clock that is set, a disk that is full


def test_a_clock_that_goes_back_fires_nothing_twice() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        async with running(Schedule(HOURLY, catch_up="all"), target):
            await clock.advance("2h")
            clock.jump(-5400)
            await clock.advance("1h")
            assert times(target) == ["01:00:00", "02:00:00"]
            await clock.advance("1h")
        assert times(target) == ["01:00:00", "02:00:00", "03:00:00"]

    drive(scenario())


def test_a_clock_that_goes_forward_misses_ticks_and_says_so() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        async with running(Schedule(HOURLY, catch_up="once"), target):
            clock.jump(4 * 3600)
            await clock.settle()
            assert times(target) == ["04:00:00"]
        assert "missed 4 ticks" in target.reports[0]

    drive(scenario())


def test_a_clock_that_was_years_ahead_does_not_silence_the_schedule() -> None:
    async def scenario() -> None:
        target, clock = target_at("2031-01-01T00:30:00Z")
        async with running(Schedule("rate(1 hour)"), target):
            await clock.advance("1h")
            clock.jump(datetime(2026, 1, 1, tzinfo=UTC).timestamp() - clock.now())
            await clock.advance("3h")
        assert times(target) == ["2031-01-01T01:30:00", "02:00:00", "03:00:00"]
        assert "fired for 2031-01-01T01:30:00Z, which is to come: it begins anew" in target.reports[0]

    drive(scenario())


def test_a_full_disk_delays_a_tick_and_does_not_lose_it() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        async with running(Schedule(HOURLY), target):
            target.refuse(StorageError("The disk is full."))
            await clock.advance("40m")
            assert target.payloads == []
            assert "could not fire for 2026-01-01T01:00:00Z and goes on trying. The disk is full." in target.reports[0]
            target.accept()
            await clock.advance("1m")
            assert times(target) == ["01:00:00"]
            await clock.advance("1h")
        assert times(target) == ["01:00:00", "02:00:00"]

    drive(scenario())


def test_a_first_start_that_cannot_be_kept_is_no_start() -> None:
    async def scenario() -> None:
        target, _clock = target_at()
        target.refuse(StorageError("The disk is full."))
        with pytest.raises(StorageError):
            await Schedule(HOURLY).run(target)
        assert not target.is_ready

    drive(scenario())


# Sweeping


def test_a_sweep_delivers_every_due_tick_now() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        schedule = Schedule(HOURLY)
        assert await schedule.sweep(target) == 0
        await clock.advance("3h")
        assert await schedule.sweep(target) == 3
        assert await schedule.sweep(target) == 0
        assert times(target) == ["01:00:00", "02:00:00", "03:00:00"]

    drive(scenario())


def test_a_sweep_beside_a_run_delivers_nothing_twice() -> None:
    async def scenario() -> None:
        target, clock = target_at("2026-01-01T00:30:00Z")
        schedule = Schedule(HOURLY)
        async with running(schedule, target):
            for _hour in range(3):
                sweeping = asyncio.create_task(schedule.sweep(target))
                await clock.advance("1h")
                await sweeping
                await schedule.sweep(target)
        assert times(target) == ["01:00:00", "02:00:00", "03:00:00"]

    drive(scenario())
