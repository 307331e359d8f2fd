"""A clock that jumps: an hour back, a day forward, a machine that slept."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from eventflow.clock_watch import ClockWatch
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.function import Function
from eventflow.journals import history
from eventflow.services.queues.sends import Outgoing
from eventflow.testing.inline import InlineRunner
from eventflow.testing.virtual_clock import VirtualClock, quiet

HOUR, DAY = 3_600.0, 86_400.0
REGION = "us-east-1"
T = TypeVar("T")


class World:
    """The core with a function ``work`` that fails until ``mended``, on a virtual clock."""

    def __init__(self, core: Core, clock: VirtualClock) -> None:
        self.core = core
        self.clock = clock
        self.mended = False
        self.ran: list[float] = []
        self._watching: asyncio.Task[None] | None = None

    def handler(self, _name: str) -> Callable[[Any, Any], Any]:
        def handle(_event: Any, _context: Any) -> None:
            self.ran.append(self.clock.monotonic())
            if not self.mended:
                raise ValueError("not yet")

        return handle

    def watch(self) -> None:
        self._watching = asyncio.create_task(ClockWatch(self.core).run())

    async def emit(self) -> str:
        id = await self.core.dispatcher.emit("work", b"{}")
        await self.clock.settle()
        return id

    async def send(self, queue: str, *bodies: str, group: str | None = None) -> None:
        await self.core.queues.send(REGION, queue, [Outgoing(body, group=group, deduplication_id=body if group else None) for body in bodies])

    async def receive(self, queue: str) -> list[str]:
        found = await self.core.queues.receive(REGION, queue, limit=10, wait=0)
        return [message.body for message in found]

    async def state(self, id: str) -> str:
        found = await self.core.database.read(lambda connection: history.show_event(connection, id))
        assert found is not None
        return str(found["state"])

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)


class Observed(Database):
    """Tells how many are waiting for it."""

    busy = 0

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        self.busy += 1
        try:
            return await super().write(change)
        finally:
            self.busy -= 1

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self.busy += 1
        try:
            return await super().read(query)
        finally:
            self.busy -= 1


def in_world(path: Path, work: Callable[[World], Awaitable[None]], start: str = "2026-03-01T12:00:00Z") -> None:
    async def main() -> None:
        clock = VirtualClock(start)
        database = Observed(path / "clock.db")
        core = Core(database, clock, buckets=path / "buckets", account="000000000000", region=REGION)
        await core.open()
        world = World(core, clock)
        functions = {"work": Function("work", "app:work")}
        core.concurrency.configure(functions.values())
        runner = InlineRunner(core.dispatcher, clock, core.concurrency, core.arn, world.handler)
        core.dispatcher.attach(runner)
        await core.dispatcher.start(functions)

        async def quiesce() -> bool:
            busy = not core.dispatcher.idle
            await core.dispatcher.quiesce()
            await quiet()
            while database.busy:  # the watch reads, writes and looks again: the database's threads do not show in the loop
                await asyncio.sleep(0.001)
                await quiet()
            return busy

        clock.also_settle(quiesce)
        try:
            await work(world)
        finally:
            await world.close()
            await core.dispatcher.stop(0.0)
            runner.close()
            core.close()
            database.close()

    asyncio.run(main())


def test_a_clock_set_back_by_an_hour_does_not_delay_a_retry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.clock.settle()
        await world.emit()
        await world.clock.advance("10s")
        world.clock.jump(-HOUR)
        world.mended = True
        await world.clock.advance("51s")
        assert world.ran == [0.0, pytest.approx(60.0, abs=16.0)]
        assert "set back by 3600 s: 1 retries" in caplog.text

    in_world(tmp_path, work)


def test_a_retry_that_was_reckoned_after_the_step_is_not_hastened(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.clock.advance("20s")
        world.clock.jump(-HOUR)
        await world.clock.advance("5s")
        await world.emit()  # before the step is noticed
        begin = world.ran[0]
        await world.clock.advance("59s")
        assert world.ran == [begin]
        await world.clock.advance("2s")
        assert world.ran == [begin, begin + 60.0]

    in_world(tmp_path, work)


def test_a_clock_set_back_while_the_daemon_was_down_does_not_delay_a_retry_either(tmp_path: Path) -> None:
    async def before(world: World) -> None:
        await world.emit()
        assert len(world.ran) == 1

    async def after(world: World) -> None:
        world.mended = True
        world.watch()
        await world.clock.advance("61s")
        assert len(world.ran) == 1

    in_world(tmp_path, before)
    in_world(tmp_path, after, "2026-03-01T10:00:00Z")


def test_a_message_is_hidden_no_longer_than_its_timeout_when_the_clock_is_set_back(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.core.queues.ensure(REGION, "orders", VisibilityTimeout=60)
        await world.send("orders", "one")
        assert await world.receive("orders") == ["one"]
        await world.clock.advance("10s")
        await world.send("orders", "two")  # visible at once: in what is the future a moment later
        world.clock.jump(-HOUR)
        await world.clock.advance("20s")
        assert await world.receive("orders") == ["two"]
        await world.clock.advance("31s")
        assert await world.receive("orders") == ["one"]

    in_world(tmp_path, work)


def test_a_message_received_after_the_step_stays_hidden(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.core.queues.ensure(REGION, "orders", VisibilityTimeout=60)
        await world.clock.advance("1s")
        world.clock.jump(-HOUR)
        await world.send("orders", "one")
        assert await world.receive("orders") == ["one"]
        await world.clock.advance("50s")
        assert await world.receive("orders") == []
        await world.clock.advance("11s")
        assert await world.receive("orders") == ["one"]

    in_world(tmp_path, work)


def test_a_message_group_is_served_again_when_the_clock_is_set_back(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.core.queues.ensure(REGION, "orders.fifo", VisibilityTimeout=60)
        await world.send("orders.fifo", "one", "two", group="shop")
        assert await world.receive("orders.fifo") == ["one", "two"]
        world.clock.jump(-HOUR)
        await world.clock.advance("61s")
        assert await world.receive("orders.fifo") == ["one", "two"]

    in_world(tmp_path, work)


@pytest.mark.parametrize("jump", [-HOUR, DAY])
def test_a_visibility_timeout_runs_out_once_whatever_the_clock_does(tmp_path: Path, jump: float) -> None:
    """A step forward (a machine that slept) ends it early at most: the message comes again, and is not lost."""

    async def work(world: World) -> None:
        world.watch()
        await world.core.queues.ensure(REGION, "orders", VisibilityTimeout=300)
        await world.send("orders", "one")
        assert await world.receive("orders") == ["one"]
        world.clock.jump(jump)
        await world.clock.advance("301s")
        assert await world.receive("orders") == ["one"]

    in_world(tmp_path, work)


def test_after_a_day_forward_a_retry_is_made_and_then_the_event_is_too_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Age is counted by the wall clock, as on AWS: six hours asleep are six hours."""

    async def work(world: World) -> None:
        world.watch()
        await world.clock.settle()
        old = await world.emit()
        world.clock.jump(DAY)
        await world.clock.advance("120s")
        assert await world.state(old) == "dead"
        fresh = await world.emit()
        world.mended = True
        await world.clock.advance("60s")
        assert await world.state(fresh) == "done"
        assert "went forward by 86400 s" in caplog.text

    in_world(tmp_path, work)


def test_small_steps_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        world.watch()
        for _time in range(20):
            world.clock.jump(-0.5)
            await world.clock.advance("15s")

    in_world(tmp_path, work)
    assert "clock" not in caplog.text


def test_a_step_that_cannot_be_written_is_made_good_when_it_can(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.watch()
        await world.clock.settle()
        await world.emit()
        world.mended = True
        world.core.database._writer.execute("PRAGMA query_only = ON")
        world.clock.jump(-HOUR)
        await world.clock.advance("20s")
        world.core.database._writer.execute("PRAGMA query_only = OFF")
        await world.clock.advance("61s")
        assert len(world.ran) == 2

    in_world(tmp_path, work)
