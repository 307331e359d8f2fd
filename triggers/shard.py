"""An event source mapping on a stream at work: reads records in order, runs one function on batches of them, and remembers how far it has come."""

from __future__ import annotations

import asyncio

from eventflow import EventflowError, Filters, Target
from triggers.progress import Limits, Progress
from triggers.stream_batches import StreamBatches
from triggers.stream_reader import StreamReader


class Shard:
    """The records of one stream, dealt out to lanes by their keys. What is done is written down after each batch; after a restart a lane goes on
    behind it, and only a batch that was running comes again."""

    def __init__(self, progress: Progress, target: Target, limits: Limits, filters: Filters) -> None:
        self._progress = progress
        self._clock = target.clock
        self._reader = StreamReader(progress, target, filters)
        self._batches = StreamBatches(progress, target, limits)

    @classmethod
    async def open(cls, table: str, target: Target, limits: Limits, filters: Filters, latest: bool, stream: str | None = None) -> Shard:
        """Where it was; the first time at the stream's end or beginning, which is written down before this returns. The stream is the table's newest,
        or the one with this ARN."""
        return cls(await Progress.open(table, target, limits, latest, stream), target, limits, filters)

    async def run(self) -> None:
        progress = self._progress
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._reader.run())
                    workers = [group.create_task(self._batches.work(lane)) for lane in progress.lanes]
                    await reading
                    while progress.busy:
                        for lane in progress.lanes:
                            lane.filled.set()  # the window of a stream that has ended is over
                        progress.room.clear()
                        await progress.room.wait()
                    for worker in workers:
                        worker.cancel()
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            if not await progress.followed():
                raise EventflowError(progress.ending())

    async def sweep(self) -> int:
        """Run the function on all that is due now; how many records that were."""
        progress, batches = self._progress, self._batches
        swept = 0
        while (read := await self._reader.fill()) or any(map(batches.due, progress.lanes)) or (read is None and await progress.followed()):
            for lane in progress.lanes:
                while batches.due(lane) and await batches.ready(lane):
                    swept += await batches.attempt(lane)
        self._mark()
        return swept

    def _mark(self) -> None:
        """Have a clock that tests move stop where something is due next."""
        now, window = self._clock.now(), self._progress.window
        for lane in self._progress.lanes:
            left = lane.retry_at - now
            if lane.waiting or self._progress.closes(lane):
                self._clock.call_later(left, nothing)
            elif window is not None:
                self._clock.call_later(max(left, window.left(now)), nothing)


def nothing() -> None:
    """What a timer does that only marks an instant."""
