"""An event source mapping on a stream at work: reads records in order, runs one function on batches of them, and remembers how far it has come."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from eventflow import EventflowError, Filters, Outcome, ServiceError, Status, StorageError, StreamSource, Target, Throttled, dynamodb_event
from triggers.discarded import Discarded, tell
from triggers.lane import Entry, Lane, entry_of, reported
from triggers.tumbling import Window

LONGEST_POLL = 60.0
PAGE = 1000
#: Records that wait in memory, by number and by bytes of their JSON; reading goes on when there are fewer.
MOST_WAITING = 10_000
MOST_BYTES = 24 * 1024 * 1024
#: Records that may be passed over (filtered out) before the place is written down.
LONGEST_UNWRITTEN = 1000
#: Seconds before a failed batch comes again; they double.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@dataclass(frozen=True)
class Limits:
    """What the trigger's settings say; ``retries`` and ``age`` are -1 for no end. With ``tumbling`` seconds there is one lane."""

    batch_size: int
    window: float
    lanes: int
    bisect: bool
    retries: int
    age: int
    partial_failures: bool
    on_failure: str | None
    tumbling: int = 0


class Shard:
    """The records of one stream, dealt out to lanes by their keys. What is done is written down after each batch; after a restart a lane goes on
    behind it, and only a batch that was running comes again."""

    def __init__(self, table: str, target: Target, limits: Limits, filters: Filters) -> None:
        self._table = table
        self._target = target
        self._limits = limits
        self._filters = filters
        self._source: StreamSource
        self._lanes: list[Lane] = []
        self._room = asyncio.Event()
        self._read = 0
        self._written = 0
        self._ended = False
        self._window: Window | None = None

    @classmethod
    async def open(cls, table: str, target: Target, limits: Limits, filters: Filters, latest: bool) -> Shard:
        """At the place that was written down. Where none is, at the stream's end or beginning, and that is written down before this returns."""
        shard = cls(table, target, limits, filters)
        memory = await target.cursor.items()
        kept = memory.get("place")
        await shard._resume_window(memory.get("window"))
        if kept is None or not await shard._resume(kept):
            await shard._begin(await target.stream(table), latest and kept is None)
        return shard

    async def _resume(self, kept: Any) -> bool:
        try:
            self._source = await self._target.stream(self._table, kept["stream"])
        except ServiceError as error:
            if error.code != "ResourceNotFoundException":
                raise
            self._target.report(f"The stream {kept['stream']} is gone; reading the table's newest stream from its beginning.")
            return False
        if len(kept["lanes"]) == self._limits.lanes:
            self._lanes = [Lane(*state) for state in kept["lanes"]]
        else:  # dealt out anew, from the place up to which all lanes were done
            self._lanes = [Lane(min(state[0] for state in kept["lanes"])) for _ in range(self._limits.lanes)]
        self._read = self._written = min(lane.done for lane in self._lanes)
        return True

    async def _resume_window(self, kept: Any) -> None:
        if kept is None:
            return
        if self._limits.tumbling:
            self._window = Window(**kept)
        else:
            self._target.report(f"The window of {kept['arn']} that began at {kept['start']} is forgotten: its trigger has tumbling windows no more.")
            await self._target.cursor.update({"window": None})

    async def _begin(self, source: StreamSource, latest: bool) -> None:
        self._source, self._ended = source, False
        self._read = int(await source.edge(latest))
        self._lanes = [Lane(self._read) for _ in range(self._limits.lanes)]
        await self._write_down()

    # Reading.

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._read_on())
                    workers = [group.create_task(self._work(lane)) for lane in self._lanes]
                    await reading
                    while self._busy():
                        for lane in self._lanes:
                            lane.filled.set()  # the window of a stream that has ended is over
                        self._room.clear()
                        await self._room.wait()
                    for worker in workers:
                        worker.cancel()
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            if not await self._followed():
                raise EventflowError(f"The stream of table {self._table} was disabled. Enable one, and it is read from its beginning.")

    async def sweep(self) -> int:
        """Run the function on all that is due now; how many records that were."""
        swept = 0
        while (read := await self._fill(0)) or any(self._due(lane) for lane in self._lanes) or (read is None and await self._followed()):
            for lane in self._lanes:
                while self._due(lane):
                    swept += await self._attempt(lane)
        for lane in self._lanes:
            left = lane.retry_at - self._target.clock.now()
            if lane.waiting or self._closes(lane):
                self._target.clock.call_later(left, nothing)  # a clock that tests move stops there
            elif self._window is not None:
                self._target.clock.call_later(max(left, self._window.left(self._target.clock.now())), nothing)
        return swept

    def _due(self, lane: Lane) -> bool:
        return (bool(lane.waiting) or self._closes(lane)) and lane.retry_at <= self._target.clock.now()

    def _busy(self) -> bool:
        return self._window is not None or any(lane.waiting for lane in self._lanes)

    async def _read_on(self) -> None:
        """Read until the stream is closed and has no more."""
        while True:
            while self._full():
                self._room.clear()
                await self._room.wait()
            if await self._fill(LONGEST_POLL) is None:
                return

    async def _followed(self) -> bool:
        """The stream is closed and read to its end: go on with the one that came after it, if there is one and all of this is done."""
        if self._busy():
            return False
        newest = await self._target.stream(self._table)
        if newest.arn == self._source.arn:
            return False
        await self._begin(newest, latest=False)
        return True

    def _full(self) -> bool:
        waiting = [lane.waiting for lane in self._lanes]
        return sum(map(len, waiting)) >= MOST_WAITING or sum(entry.size for entries in waiting for entry in entries) >= MOST_BYTES

    async def _fill(self, wait: float) -> int | None:
        """Read the next records and deal them out; how many were read, None where the stream has ended."""
        if self._full():
            return 0
        records, ended = await self._source.read(str(self._read), PAGE, wait)
        if ended:
            self._ended = True
            return None
        for record in dynamodb_event(records, arn=self._source.arn)["Records"]:
            entry = entry_of(record)
            if entry.sequence > self._read + 1:
                self._target.report(
                    f"{entry.sequence - self._read - 1} records of {self._source.arn} were kept for a day and are gone: they were not read in time."
                )
            self._read = entry.sequence
            lane = self._lane_of(entry)
            if entry.sequence > lane.done and self._filters.matches(record):
                lane.add(entry)
        if self._read - self._written > LONGEST_UNWRITTEN and not any(lane.waiting for lane in self._lanes):
            await self._write_down()
        return len(records)

    def _lane_of(self, entry: Entry) -> Lane:
        keys = json.dumps(entry.record["dynamodb"]["Keys"], sort_keys=True)
        return self._lanes[zlib.crc32(keys.encode()) % len(self._lanes)]

    # Running.

    async def _work(self, lane: Lane) -> None:
        clock = self._target.clock
        while True:
            await self._something(lane)
            if self._limits.window and lane.waiting and not lane.ends:
                await self._gather(lane)
            if lane.retry_at > clock.now():
                await clock.sleep_until(lane.retry_at)
            attempt = asyncio.ensure_future(self._attempt(lane))
            try:
                await asyncio.shield(attempt)
            except asyncio.CancelledError:
                attempt.add_done_callback(self._left_over)  # the function is running: what it has done is to be written down
                raise
            self._room.set()

    async def _something(self, lane: Lane) -> None:
        """Wait until there are records, or the window is over."""
        while not lane.waiting and not self._closes(lane):
            lane.filled.clear()
            await self._target.clock.wait(lane.filled, self._window.left(self._target.clock.now()) if self._window is not None else None)

    async def _gather(self, lane: Lane) -> None:
        """Wait until there is a whole batch, or the window that began with its first record is over."""
        clock = self._target.clock
        end = clock.monotonic() + self._limits.window
        while len(lane.waiting) < self._limits.batch_size and len(lane.batch(self._limits.batch_size)) == len(lane.waiting):
            left = end - clock.monotonic()
            if left <= 0:
                return
            lane.filled.clear()
            await clock.wait(lane.filled, left)
        lane.filled.set()

    async def _attempt(self, lane: Lane) -> int:
        """Run the function on the next records of a lane; how many were delivered."""
        if self._window is not None and self._closes(lane):
            return await self._close(lane, self._window)
        entries = self._next(lane)
        old = self._too_old(entries)
        if old:
            await self._give_up(lane, old, "RecordAgeExceeded")
            return 0
        if self._limits.tumbling and self._window is None:
            self._window = Window.around(entries[0], self._limits.tumbling, self._source)
        event = {"Records": [entry.record for entry in entries]} if self._window is None else self._window.event(entries)
        outcome = await self._invoke(event)
        if outcome is None:
            lane.keep(entries)
            lane.retry_at = self._target.clock.now() + FIRST_PAUSE
            return 0
        await self._settle(lane, entries, outcome)
        return len(entries)

    async def _invoke(self, event: Any) -> Outcome | None:
        """How the function ended; None where it could not be run."""
        try:
            outcome = await self._target.invoke(event)
        except (Throttled, StorageError):
            return None
        except EventflowError as error:
            self._target.report(f"A batch of {self._source.arn} was not run: {error}")
            return None
        return None if outcome.status is Status.SYSTEM_ERROR else outcome

    def _next(self, lane: Lane) -> list[Entry]:
        """The records of the next attempt; those of one window where there are windows."""
        if not self._limits.tumbling:
            return lane.batch(self._limits.batch_size)
        window = self._window or Window.around(lane.waiting[0], self._limits.tumbling, self._source)
        return list(takewhile(window.takes, lane.batch(self._limits.batch_size, window.size)))

    def _closes(self, lane: Lane) -> bool:
        """Whether the window is over, and the function is to be told so next."""
        window = self._window
        if window is None:
            return False
        if window.early or window.arn != self._source.arn:
            return True
        return not window.takes(lane.waiting[0]) if lane.waiting else self._ended or window.left(self._target.clock.now()) <= 0

    async def _close(self, lane: Lane, window: Window) -> int:
        """Run the function on what it has made of a window."""
        outcome = await self._invoke(window.event((), final=True))
        if outcome is None:
            lane.retry_at = self._target.clock.now() + FIRST_PAUSE
            return 0
        if not outcome.ok:
            lane.failures += 1
            if not 0 <= self._limits.retries < lane.failures:
                lane.retry_at = self._target.clock.now() + pause(lane.failures - 1)
                await self._write_down()
                return 1
            await self._discard(Discarded(window.last, window.last, window.at, window.at, 0), "RetryAttemptsExhausted", lane.failures)
        lane.failures, lane.retry_at, self._window = 0, 0.0, None
        await self._write_down()
        return 1

    async def _settle(self, lane: Lane, entries: list[Entry], outcome: Outcome) -> None:
        done = 0
        if outcome.ok:
            found = reported(outcome.payload, entries) if self._limits.partial_failures else len(entries)
            done = found or 0
            if done and self._window is not None and not self._window.took(outcome.payload, entries[:done]):
                done = 0
        if done == len(entries):
            lane.advance(entries)
        else:
            await self._fail(lane, entries[done:], entries[:done])
        await self._write_down()

    async def _fail(self, lane: Lane, failed: list[Entry], done: list[Entry]) -> None:
        """What failed comes again: halved, as it was, or not any more."""
        if done:
            lane.keep([*done, *failed])
            lane.advance(done)
        elif self._limits.bisect and len(failed) > 1:
            lane.cut(failed)
            lane.retry_at = self._target.clock.now() + pause(lane.failures)
            return
        lane.failures += 1
        if 0 <= self._limits.retries < lane.failures:
            await self._give_up(lane, failed, "RetryAttemptsExhausted")
            return
        lane.keep(failed)
        lane.retry_at = self._target.clock.now() + pause(lane.failures - 1)

    def _too_old(self, entries: list[Entry]) -> list[Entry]:
        if self._limits.age < 0:
            return []
        oldest = self._target.clock.now() - self._limits.age
        return [entry for entry in entries if entry.at < oldest]

    async def _give_up(self, lane: Lane, entries: list[Entry], condition: str) -> None:
        """Go on behind records that failed for good, once who is to hear of them has been told."""
        first, last = entries[0], entries[-1]
        await self._discard(Discarded(first.number, last.number, first.at, last.at, len(entries)), condition, lane.failures)
        lane.advance(entries)
        await self._write_down()

    async def _discard(self, discarded: Discarded, condition: str, invocations: int) -> None:
        if self._limits.on_failure is not None:
            await tell(self._target, self._limits.on_failure, self._source, discarded, condition, invocations)

    async def _write_down(self) -> None:
        """Where each lane is. One that has nothing to do is where the reading is."""
        for lane in self._lanes:
            if not lane.waiting:
                lane.done = max(lane.done, self._read)
        self._written = self._read
        memory: dict[str, Any] = {"place": {"stream": self._source.arn, "lanes": [lane.state() for lane in self._lanes]}}
        if self._limits.tumbling:
            memory["window"] = self._window.kept() if self._window is not None else None
        await self._target.cursor.update(memory)

    def _left_over(self, attempt: asyncio.Future[int]) -> None:
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._target.report(f"A batch of {self._source.arn} that ran while its trigger stopped may come again: {error}")


def pause(failures: int) -> float:
    """Seconds before the next attempt after so many failures before this one."""
    return min(FIRST_PAUSE * float(2 ** min(failures, 10)), LONGEST_PAUSE)


def nothing() -> None:
    """What a timer does that only marks an instant."""
