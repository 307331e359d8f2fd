"""What is grouped into one call of a store, and when that is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eventflow.dispatch.batch import Batcher


class Bench:
    """A store that keeps its calls, one of which takes until ``free`` is set; ``collect`` takes until it is hurried."""

    def __init__(self, *, collects: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.emptied = 0
        self.batcher = Batcher(self.store, self.count, self.collect if collects else None)

    async def store(self, items: list[int]) -> None:
        self.calls.append(items)
        await self.free.wait()

    def count(self) -> None:
        self.emptied += 1

    async def collect(self, hurry: asyncio.Event) -> None:
        await hurry.wait()


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))


async def turns() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


def test_what_arrives_while_the_store_is_busy_goes_together() -> None:
    async def work() -> None:
        bench = Bench()
        bench.free.clear()
        bench.batcher.add(1)
        await turns()
        bench.batcher.add(2)
        bench.batcher.add(3)
        bench.free.set()
        await bench.batcher.drained()
        assert (bench.calls, bench.emptied, bench.batcher.idle) == ([[1], [2, 3]], 1, True)

    run(work)


def test_a_moment_that_is_collected_lasts_until_somebody_waits() -> None:
    async def work() -> None:
        bench = Bench(collects=True)
        for number in (1, 2):
            bench.batcher.add(number)
            await turns()
        assert bench.calls == []
        await bench.batcher.drained()
        assert bench.calls == [[1, 2]]
        bench.batcher.add(3)
        await turns()
        assert bench.calls == [[1, 2]], "the next moment lasts as long again"
        await bench.batcher.drained()
        assert bench.calls == [[1, 2], [3]]

    run(work)


def test_what_comes_while_somebody_waits_is_not_collected() -> None:
    async def work() -> None:
        bench = Bench(collects=True)
        bench.free.clear()
        bench.batcher.add(1)
        bench.batcher.hurry()
        await turns()
        bench.batcher.add(2)
        bench.free.set()
        await turns()
        assert bench.calls == [[1], [2]]

    run(work)
