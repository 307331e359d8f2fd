"""Schedules that an application declares: made once, changed, gone with their declaration, and others' left alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventflow.errors import SettingError
from eventflow.services.schedules.declaration import declare_schedules
from eventflow.testing.virtual_clock import VirtualClock, unix_time
from tests.unit.test_schedules import FUNCTION, LETTERS, REGION, Functions, World, in_world, parameters

START = unix_time("2026-03-01T10:00:00Z")
MISSED = {"Arn": FUNCTION.replace("work", "gone"), "DeadLetterConfig": {"Arn": LETTERS}, "RetryPolicy": {"MaximumRetryAttempts": 0}}


async def declare(world: World, *, by: str = "shop", **declared: Mapping[str, Any]) -> None:
    await declare_schedules(world.schedules, REGION, by, declared)


async def names(world: World) -> list[str]:
    found, _token = await world.schedules.page(REGION, None, "", None, None, None)
    return [one.name for one in found]


def test_what_never_reaches_its_function_is_in_the_dead_letter_queue_that_was_declared(tmp_path: Path) -> None:
    clock = VirtualClock(START)

    async def work(world: World) -> None:
        await declare(world, hourly=parameters("rate(1 hour)", MISSED))
        await clock.advance(30)
        (message,) = await world.messages("letters")
        assert message["MessageAttributes"]["TARGET_ARN"]["StringValue"] == MISSED["Arn"]

    in_world(tmp_path, clock, work)


def test_a_schedule_that_is_declared_again_keeps_its_phase_and_fires_no_more_often(tmp_path: Path) -> None:
    clock, functions = VirtualClock(START), Functions()
    hourly, once = parameters("rate(1 hour)", FUNCTION), parameters("at(2026-03-01T10:30:00)", FUNCTION)

    async def work(world: World) -> None:
        await declare(world, hourly=hourly, once=once)
        await clock.advance(45 * 60)
        await declare(world, hourly=hourly, once=once)
        await clock.advance(45 * 60)

    for _start in range(2):
        in_world(tmp_path, clock, work, functions)
    times = sorted(event["time"] for _function, event in functions.accepted.values())
    assert times == [f"2026-03-01T{time}:00Z" for time in ("10:00", "10:30", "11:00", "12:00", "13:00")]


def test_what_is_declared_no_more_is_gone_and_others_schedules_stay(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.create("rate(1 day)", FUNCTION, name="by-hand")
        await declare(world, by="other", theirs=parameters("rate(1 day)", FUNCTION))
        await declare(world, one=parameters("rate(1 day)", FUNCTION), two=parameters("rate(1 day)", FUNCTION))
        await declare(world, two=parameters("rate(2 days)", FUNCTION))
        assert await names(world) == ["by-hand", "theirs", "two"]
        assert (await world.schedules.find(REGION, "default", "two")).definition.expression == "rate(2 days)"
        for name in ("by-hand", "theirs"):
            with pytest.raises(SettingError, match=f"Schedule '{name}' is there already and was not made by 'shop'"):
                await declare_schedules(world.schedules, REGION, "shop", {name: parameters("rate(1 day)", FUNCTION)})

    in_world(tmp_path, VirtualClock(START), work)


def test_what_scheduler_refuses_is_refused_by_the_schedules_name(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        with pytest.raises(SettingError, match=r"Schedule 'odd': Target\.EcsParameters is not supported"):
            await declare(world, odd=parameters("rate(1 day)", {"Arn": FUNCTION, "EcsParameters": {}}))

    in_world(tmp_path, VirtualClock(START), work)
