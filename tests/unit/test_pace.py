"""Pace: how many batches of a queue run at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from eventflow.testing.virtual_clock import VirtualClock
from triggers.pace import Pace


def run(test: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test(VirtualClock()))


async def take(pace: Pace, count: int) -> list[asyncio.Task[bool]]:
    """So many ask for a slot; those that have none yet."""
    tasks = [asyncio.create_task(pace.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    return [task for task in tasks if not task.done()]


async def give_up(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_five_at_first_and_five_more_each_second() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 1_000, 30)
        waiting = await take(pace, 20)
        assert len(waiting) == 15
        await clock.advance(0.9)
        assert sum(not task.done() for task in waiting) == 15
        await clock.advance(0.2)
        assert sum(not task.done() for task in waiting) == 10
        await clock.advance(2)
        assert all(task.done() for task in waiting)

    run(test)


def test_never_more_than_the_limits_allow() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 7, 30)
        waiting = await take(pace, 9)
        await clock.advance(60)
        assert pace.limit == 7
        left = [task for task in waiting if not task.done()]
        assert len(left) == 2
        pace.release()
        await asyncio.sleep(0)
        await clock.advance(0)
        assert sum(not task.done() for task in left) == 1
        await give_up(left)

    run(test)


def test_fewer_than_five_where_the_limits_say_so() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 2, 30)
        waiting = await take(pace, 3)
        assert len(waiting) == 1
        pace.waited(math.inf)
        assert pace.limit == 2
        await give_up(waiting)

    run(test)


def test_half_as_many_when_batches_wait_for_an_environment() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 1_000, 30)
        waiting = await take(pace, 40)
        await clock.advance(7)
        assert pace.limit == 40
        for _ in range(40):  # the batches of one moment all tell the same
            pace.waited(1.5)
        assert pace.limit == 20
        await clock.advance(1)
        pace.waited(1.5)
        assert pace.limit == 10
        await give_up(waiting)

    run(test)


def test_a_wait_is_long_by_the_visibility_of_what_waits() -> None:
    async def test(clock: VirtualClock) -> None:
        patient, hurried = Pace(clock, 1_000, 30), Pace(clock, 1_000, 2)
        for pace in (patient, hurried):
            waiting = await take(pace, 20)
            await clock.advance(3)
            assert pace.limit == 20
            pace.waited(0.5)
            await give_up(waiting)
        assert (patient.limit, hurried.limit) == (20, 10)

    run(test)


def test_an_empty_queue_begins_with_five_again() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 1_000, 30)
        assert not await take(pace, 5)
        waiting = await take(pace, 5)
        await clock.advance(1)
        assert pace.limit == 10
        assert all(task.done() for task in waiting)
        for _ in range(10):
            pace.release()
        pace.idle()
        await clock.advance(60)
        waiting = await take(pace, 6)
        assert len(waiting) == 1
        await give_up(waiting)

    run(test)


def test_fewer_while_the_function_fails_and_again_more_when_it_does_not() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 1_000, 30)
        waiting = await take(pace, 40)
        await clock.advance(7)
        limits = []
        for _ in range(6):
            for _batch in range(3):  # those of one moment tell the same
                pace.failed()
            limits.append(pace.limit)
            await clock.advance(1)
        assert limits == [20, 10, 5, 2, 2, 2]
        for _ in range(40):
            pace.release()
        waiting = await take(pace, 12)
        await clock.advance(10)
        assert all(task.done() for task in waiting)
        assert pace.limit == 12

    run(test)


def test_as_many_as_the_function_may_run_by_now() -> None:
    async def test(clock: VirtualClock) -> None:
        pace = Pace(clock, 0, 30)
        waiting = asyncio.create_task(pace.acquire(5))
        await clock.advance(4)
        assert not waiting.done()
        await clock.advance(1)
        assert await waiting is False
        pace.allow(3)
        assert len(await take(pace, 4)) == 1
        pace.allow(1)
        assert (pace.limit, pace.full) == (1, True)
        await give_up([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])

    run(test)
