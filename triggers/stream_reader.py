"""Reads the records of a stream in order, and deals those that the function wants out to lanes by their keys."""

from __future__ import annotations

import json
import zlib

from eventflow import Filters, Target, dynamodb_event
from triggers.lane import Entry, Lane, entry_of
from triggers.progress import Progress

LONGEST_POLL = 60.0
PAGE = 1000
#: Records that wait in memory, by number and by bytes of their JSON; reading goes on when there are fewer.
MOST_WAITING = 10_000
MOST_BYTES = 24 * 1024 * 1024
#: Records that may be passed over (filtered out) before the place is written down.
LONGEST_UNWRITTEN = 1000


class StreamReader:
    """Fills the lanes while there is room in them."""

    def __init__(self, progress: Progress, target: Target, filters: Filters) -> None:
        self._progress = progress
        self._target = target
        self._filters = filters

    async def run(self) -> None:
        """Read until the stream is closed and has no more."""
        room = self._progress.room
        while True:
            while self._full():
                room.clear()
                await room.wait()
            if await self.fill(LONGEST_POLL) is None:
                return

    async def fill(self, wait: float = 0) -> int | None:
        """Read the next records and deal them out; how many were read, None where the stream has ended."""
        if self._full():
            return 0
        progress = self._progress
        source = progress.source
        records, ended = await source.read(str(progress.read), PAGE, wait)
        if ended:
            progress.ended = True
            return None
        for record in dynamodb_event(records, arn=source.arn)["Records"]:
            entry = entry_of(record)
            if entry.sequence > progress.read + 1:
                self._target.report(
                    f"{entry.sequence - progress.read - 1} records of {source.arn} were kept for a day and are gone: they were not read in time."
                )
            progress.read = entry.sequence
            lane = self._lane_of(entry)
            if entry.sequence > lane.done and self._filters.matches(record):
                lane.add(entry)
        if records and progress.window is not None:
            for lane in progress.lanes:
                lane.filled.set()  # who waited for them to close the window looks again, be they for the lane or not
        if progress.unwritten > LONGEST_UNWRITTEN and not progress.waits:
            await progress.write_down()
        return len(records)

    def _full(self) -> bool:
        waiting = [lane.waiting for lane in self._progress.lanes]
        return sum(map(len, waiting)) >= MOST_WAITING or sum(entry.size for entries in waiting for entry in entries) >= MOST_BYTES

    def _lane_of(self, entry: Entry) -> Lane:
        keys = json.dumps(entry.record["dynamodb"]["Keys"], sort_keys=True)
        lanes = self._progress.lanes
        return lanes[zlib.crc32(keys.encode()) % len(lanes)]
