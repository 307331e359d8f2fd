"""Runs a function on the records of lanes, a batch at a time: retries, halves and gives up what fails, and closes tumbling windows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from eventflow import EventflowError, Outcome, Status, StorageError, Target, Throttled
from triggers.discarded import Discarded, tell
from triggers.lane import Entry, Lane, reported
from triggers.progress import Limits, Progress
from triggers.tumbling import Window

#: Seconds before a failed batch comes again; they double.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class StreamBatches:
    """Attempts of one function. What is done is written down after each."""

    def __init__(self, progress: Progress, target: Target, limits: Limits) -> None:
        self._progress = progress
        self._target = target
        self._limits = limits

    def due(self, lane: Lane) -> bool:
        """Whether there is something to attempt now."""
        return (bool(lane.waiting) or self._progress.closes(lane)) and lane.retry_at <= self._target.clock.now()

    async def ready(self, lane: Lane) -> bool:
        """Whether there are records, or the window is over and all that may be of it was read: after a restart much may be unread."""
        return bool(lane.waiting) or (self._progress.closes(lane) and not await self._progress.behind())

    async def work(self, lane: Lane) -> None:
        """Attempt what there is in a lane, for ever."""
        clock = self._target.clock
        while True:
            await self._something(lane)
            if self._limits.window and lane.waiting and not lane.ends:
                await self._gather(lane)
            if lane.retry_at > clock.now():
                await clock.sleep_until(lane.retry_at)
            attempt = asyncio.ensure_future(self.attempt(lane))
            try:
                await asyncio.shield(attempt)
            except asyncio.CancelledError:
                attempt.add_done_callback(self._left_over)  # the function is running: what it has done is to be written down
                raise
            self._progress.room.set()

    async def _something(self, lane: Lane) -> None:
        """Wait until there are records, or the window is over."""
        clock = self._target.clock
        while True:
            lane.filled.clear()  # before the look, or what comes during it would be missed
            if await self.ready(lane):
                return
            window = self._progress.window
            await clock.wait(lane.filled, None if window is None or self._progress.closes(lane) else window.left(clock.now()))

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

    async def attempt(self, lane: Lane) -> int:
        """Run the function on the next records of a lane; how many were delivered."""
        if self._progress.window is not None and self._progress.closes(lane):
            return await self._close(lane, self._progress.window)
        entries = self._next(lane)
        old = self._too_old(entries)
        if old:
            await self._give_up(lane, old, "RecordAgeExceeded")
            return 0
        if self._limits.tumbling and self._progress.window is None:
            self._progress.window = Window.around(entries[0], self._limits.tumbling, self._progress.source)
        event = {"Records": [entry.record for entry in entries]} if self._progress.window is None else self._progress.window.event(entries)
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
            self._target.report(f"A batch of {self._progress.source.arn} was not run: {error}")
            return None
        return None if outcome.status is Status.SYSTEM_ERROR else outcome

    def _next(self, lane: Lane) -> list[Entry]:
        """The records of the next attempt; those of one window where there are windows."""
        if not self._limits.tumbling:
            return lane.batch(self._limits.batch_size)
        window = self._progress.window or Window.around(lane.waiting[0], self._limits.tumbling, self._progress.source)
        return list(takewhile(window.takes, lane.batch(self._limits.batch_size, window.size)))

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
                await self._progress.write_down()
                return 1
            end = Discarded(window.last, window.last, window.at, window.at, 0)
            await self._discard(end, "RetryAttemptsExhausted", lane.failures, window.event((), final=True))
        lane.failures, lane.retry_at, self._progress.window = 0, 0.0, None
        await self._progress.write_down()
        return 1

    async def _settle(self, lane: Lane, entries: list[Entry], outcome: Outcome) -> None:
        done = 0
        if outcome.ok:
            found = reported(outcome.payload, entries) if self._limits.partial_failures else len(entries)
            done = found or 0
            if done and self._progress.window is not None and not self._progress.window.took(outcome.payload, entries[:done]):
                done = 0
        if done == len(entries):
            lane.advance(entries)
        else:
            await self._fail(lane, entries[done:], entries[:done])
        await self._progress.write_down()

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
        event = {"Records": [entry.record for entry in entries]}
        await self._discard(Discarded(first.number, last.number, first.at, last.at, len(entries)), condition, lane.failures, event)
        lane.advance(entries)
        await self._progress.write_down()

    async def _discard(self, discarded: Discarded, condition: str, invocations: int, event: Mapping[str, Any]) -> None:
        if self._limits.on_failure is not None:
            await tell(self._target, self._limits.on_failure, self._progress.source, discarded, condition, invocations, event)

    def _left_over(self, attempt: asyncio.Future[int]) -> None:
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._target.report(f"A batch of {self._progress.source.arn} that ran while its trigger stopped may come again: {error}")


def pause(failures: int) -> float:
    """Seconds before the next attempt after so many failures before this one."""
    return min(FIRST_PAUSE * float(2 ** min(failures, 10)), LONGEST_PAUSE)
