"""An event source mapping on a stream at work: reads records in order, runs one function on batches of them, and remembers how far it has come."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass
from typing import Any

from eventflow import EventflowError, Filters, Outcome, ServiceError, Status, StorageError, StreamSource, Target, Throttled, dynamodb_event, iso
from triggers.lane import Entry, Lane, entry_of, reported

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
    """What the trigger's settings say; ``retries`` and ``age`` are -1 for no end."""

    batch_size: int
    window: float
    lanes: int
    bisect: bool
    retries: int
    age: int
    partial_failures: bool
    on_failure: str | None


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

    @classmethod
    async def open(cls, table: str, target: Target, limits: Limits, filters: Filters, latest: bool) -> Shard:
        """At the place that was written down. Where none is, at the stream's end or beginning, and that is written down before this returns."""
        shard = cls(table, target, limits, filters)
        kept = (await target.cursor.items()).get("place")
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

    async def _begin(self, source: StreamSource, latest: bool) -> None:
        self._source = source
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
                    while any(lane.waiting for lane in self._lanes):
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
            if lane.waiting:
                self._target.clock.call_later(lane.retry_at - self._target.clock.now(), nothing)  # a clock that tests move stops there
        return swept

    def _due(self, lane: Lane) -> bool:
        return bool(lane.waiting) and lane.retry_at <= self._target.clock.now()

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
        if any(lane.waiting for lane in self._lanes):
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
            await lane.filled.wait()
            if self._limits.window and not lane.ends:
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
        entries = lane.batch(self._limits.batch_size)
        old = self._too_old(entries)
        if old:
            await self._give_up(lane, old, "RecordAgeExceeded")
            return 0
        try:
            outcome: Outcome | None = await self._target.invoke({"Records": [entry.record for entry in entries]})
        except (Throttled, StorageError):
            outcome = None
        except EventflowError as error:
            self._target.report(f"A batch of {self._source.arn} was not run: {error}")
            outcome = None
        if outcome is None or outcome.status is Status.SYSTEM_ERROR:
            lane.keep(entries)
            lane.retry_at = self._target.clock.now() + FIRST_PAUSE
            return 0
        await self._settle(lane, entries, outcome)
        return len(entries)

    async def _settle(self, lane: Lane, entries: list[Entry], outcome: Outcome) -> None:
        done = 0
        if outcome.ok:
            found = reported(outcome.payload, entries) if self._limits.partial_failures else len(entries)
            done = found or 0
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
        """Go on behind records that failed for good, once the queue for them has been told."""
        if self._limits.on_failure is not None:
            await self._target.send(self._limits.on_failure, json.dumps(self._record_of(entries, condition, lane.failures)))
        lane.advance(entries)
        await self._write_down()

    def _record_of(self, entries: list[Entry], condition: str, invocations: int) -> dict[str, Any]:
        """What an on-failure destination gets (Lambda developer guide, "Retain discarded records"): where the batch lies, not the records."""
        target = self._target
        found: dict[str, Any] = {
            "requestContext": {
                "requestId": target.clock.new_id(),
                "functionArn": f"arn:aws:lambda:{target.region}:{target.account}:function:{target.function}",
                "condition": condition,
                "approximateInvokeCount": invocations,
            }
        }
        if invocations:
            found["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        return found | {
            "version": "1.0",
            "timestamp": iso(target.clock.now()),
            "DDBStreamBatchInfo": {
                "shardId": self._source.shard,
                "startSequenceNumber": entries[0].number,
                "endSequenceNumber": entries[-1].number,
                "approximateArrivalOfFirstRecord": iso(entries[0].at, milliseconds=False),
                "approximateArrivalOfLastRecord": iso(entries[-1].at, milliseconds=False),
                "batchSize": len(entries),
                "streamArn": self._source.arn,
            },
        }

    async def _write_down(self) -> None:
        """Where each lane is. One that has nothing to do is where the reading is."""
        for lane in self._lanes:
            if not lane.waiting:
                lane.done = max(lane.done, self._read)
        self._written = self._read
        await self._target.cursor.update({"place": {"stream": self._source.arn, "lanes": [lane.state() for lane in self._lanes]}})

    def _left_over(self, attempt: asyncio.Future[int]) -> None:
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._target.report(f"A batch of {self._source.arn} that ran while its trigger stopped may come again: {error}")


def pause(failures: int) -> float:
    """Seconds before the next attempt after so many failures before this one."""
    return min(FIRST_PAUSE * float(2 ** min(failures, 10)), LONGEST_PAUSE)


def nothing() -> None:
    """What a timer does that only marks an instant."""
