"""What is grouped into one call of a store, and when that is made."""

from __future__ import annotations

import asyncio

from eventflow.dispatch.batch import Batcher


class Bench:
    """A store that keeps its calls, each of which takes until ``free`` is set."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.emptied = 0
        self.batcher = Batcher(self.store, self.count)

    async def store(self, items: list[int]) -> None:
        self.calls.append(items)
        await self.free.wait()

    def count(self) -> None:
        self.emptied += 1


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

    asyncio.run(work())
