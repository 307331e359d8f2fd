"""The virtual clock: what waits sees time pass in order, and nothing else does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from eventflow.errors import EventflowError, SettingError
from eventflow.testing.virtual_clock import VirtualClock, parse_duration
from tests.patience import PATIENCE

NEW_YEAR = 1_767_225_600.0


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("2m", 120),
        ("1h30m", 5400),
        ("1h 30m 10s", 5410),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("7d", 604_800),
        (3, 3),
        (0.5, 0.5),
        ("0s", 0),
    ],
)
def test_durations_are_read(text: str | float, expected: float) -> None:
    assert parse_duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "2", "m", "2 fortnights", "-2m", "1h30", "2mm", -1, float("nan"), float("inf"), True, None])
def test_what_is_no_duration_is_refused_by_name(text: Any) -> None:
    with pytest.raises(SettingError, match=r"The duration .* is not"):
        parse_duration(text)


def test_it_starts_at_new_year_2026_or_where_it_is_told_to() -> None:
    assert VirtualClock().now() == NEW_YEAR
    assert VirtualClock("2026-01-01T01:00:00+01:00").now() == NEW_YEAR
    assert VirtualClock("2026-01-01T00:00:00").now() == NEW_YEAR
    assert VirtualClock(NEW_YEAR + 0.5).now() == NEW_YEAR + 0.5


def test_waits_end_in_the_order_of_time_and_each_sees_its_own_instant() -> None:
    async def scenario() -> None:
        clock, seen = VirtualClock(), []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            seen.append((name, clock.now() - NEW_YEAR, clock.monotonic()))

        tasks = [asyncio.create_task(sleeper(name, seconds)) for name, seconds in (("late", 30), ("soon", 10), ("same", 10), ("never", 31))]
        await clock.advance("30s")
        assert seen == [("soon", 10, 10), ("same", 10, 10), ("late", 30, 30)]
        await clock.advance("1s")
        assert len(seen) == len(tasks)

    drive(scenario())


def test_what_a_wait_sets_off_is_done_before_time_goes_on() -> None:
    async def scenario() -> None:
        clock, beats = VirtualClock(), []

        async def beat() -> None:
            while True:
                await clock.sleep(60)
                for _ in range(20):
                    await asyncio.sleep(0)
                beats.append(clock.now() - NEW_YEAR)

        task = asyncio.create_task(beat())
        await clock.advance("6h")
        assert beats == [60 * minute for minute in range(1, 361)]
        task.cancel()

    drive(scenario())


def test_settling_follows_bytes_through_a_socket() -> None:
    async def scenario() -> None:
        clock, heard = VirtualClock(), []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                heard.append((line, clock.now() - NEW_YEAR))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        clock_task = asyncio.create_task(clock.sleep(5))
        clock_task.add_done_callback(lambda _task: writer.write(b"five\n"))
        await clock.advance("10s")
        assert heard == [(b"five\n", 5)]
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    drive(scenario())


def test_settling_waits_for_work_in_other_threads_that_it_was_told_of() -> None:
    async def scenario() -> None:
        clock, done, under_way = VirtualClock(), [], []

        async def write() -> None:
            await clock.sleep(1)
            finished = asyncio.Event()
            under_way.append(finished)
            loop = asyncio.get_running_loop()
            threading.Timer(0.02, loop.call_soon_threadsafe, (finished.set,)).start()
            await finished.wait()
            done.append(clock.now() - NEW_YEAR)

        async def settler() -> bool:
            busy = [event for event in under_way if not event.is_set()]
            for event in busy:
                await event.wait()
            return bool(busy)

        clock.also_settle(settler)
        task = asyncio.create_task(write())
        await clock.advance("1h")
        assert done == [1]
        await task

    drive(scenario())


def test_a_task_that_never_waits_is_named_as_the_reason() -> None:
    async def scenario() -> None:
        clock = VirtualClock()

        async def spin() -> None:
            while True:
                await clock.sleep(0)

        task = asyncio.create_task(spin())
        with pytest.raises(EventflowError, match="goes round without waiting"):
            await clock.advance("1s")
        task.cancel()

    drive(scenario())


def test_wait_tells_the_event_from_the_time() -> None:
    async def scenario() -> None:
        clock, event = VirtualClock(), asyncio.Event()
        waiting = asyncio.create_task(clock.wait(event, 60))
        await clock.advance("59s")
        assert not waiting.done()
        await clock.advance("1s")
        assert await waiting is False
        waiting = asyncio.create_task(clock.wait(event, 60))
        await clock.settle()
        event.set()
        assert await waiting is True
        assert await clock.wait(event, None) is True

    drive(scenario())


def test_cancelled_timers_do_not_fire() -> None:
    async def scenario() -> None:
        clock, fired = VirtualClock(), []
        kept, dropped = clock.call_later(1, lambda: fired.append("kept")), clock.call_later(1, lambda: fired.append("dropped"))
        dropped.cancel()
        await clock.advance("1s")
        kept.cancel()
        kept.cancel()
        assert fired == ["kept"]

    drive(scenario())


def test_a_jump_moves_the_wall_clock_alone_and_wakes_who_waits_for_an_instant() -> None:
    async def scenario() -> None:
        clock, woken = VirtualClock(), []

        async def until() -> None:
            await clock.sleep_until(NEW_YEAR + 3600)
            woken.append(clock.now())

        tasks = [asyncio.create_task(until()), asyncio.create_task(clock.sleep(10))]
        await clock.settle()
        clock.jump(7200)
        await clock.settle()
        assert woken == [NEW_YEAR + 7200]
        assert clock.monotonic() == 0
        assert not tasks[1].done()
        await clock.advance("10s")
        assert tasks[1].done()

    drive(scenario())


def test_a_jump_back_lets_who_waits_for_an_instant_wait_longer() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        waiting = asyncio.create_task(clock.sleep_until(NEW_YEAR + 60))
        await clock.settle()
        clock.jump(-60)
        await clock.advance("119s")
        assert not waiting.done()
        await clock.advance("1s")
        assert waiting.done()

    drive(scenario())


def test_an_hour_of_tenths_ends_on_the_hour() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        for _ in range(36_000 // 10):
            await clock.advance(1.0)
        assert clock.now() == NEW_YEAR + 3600
        for _ in range(10):
            await clock.advance(0.1)
        assert clock.now() == NEW_YEAR + 3601

    drive(scenario())


def test_a_wait_shorter_than_the_clock_can_tell_still_ends() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        waiting = asyncio.create_task(clock.sleep_until(NEW_YEAR + 1.000_000_2))
        await clock.advance("2s")
        assert waiting.done()

    drive(scenario())


def test_identifiers_repeat_from_run_to_run_and_sort_by_creation() -> None:
    async def scenario() -> None:
        first, second = VirtualClock(), VirtualClock()
        made = []
        for _ in range(300):
            made.append(first.new_id())
            await first.advance(0.01)
        assert made == sorted(made)
        assert len(set(made)) == len(made)
        assert made[0] == second.new_id()

    drive(scenario())


def test_another_thread_moves_the_clock_of_a_running_loop() -> None:
    clock, beats = VirtualClock(), []
    loop = asyncio.new_event_loop()

    async def beat() -> None:
        while True:
            await clock.sleep(60)
            beats.append(clock.now() - NEW_YEAR)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    beating = asyncio.run_coroutine_threadsafe(beat(), loop)
    clock.advance_from_thread(loop, "2m")
    assert beats == [60, 120]
    clock.advance_from_thread(loop, "1m")
    assert beats == [60, 120, 180]
    beating.cancel()
    clock.advance_from_thread(loop, "1m")
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()
    assert beats == [60, 120, 180]
