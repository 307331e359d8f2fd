"""Trimming of streams: records that are older than a day are deleted, and streams that were closed as long ago."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from eventflow.clock import Clock, Timer
from eventflow.database import Database
from eventflow.errors import StorageError
from eventflow.services.tables.streamreads import Stream, everything

log = logging.getLogger("eventflow.tables")

#: Records that are deleted in one transaction, and seconds between two rounds.
SLICE = 500
ROUND = 600.0


class Trimming:
    """Once it was started it looks every ten minutes while there is any stream, closed ones included: where none is, no timer runs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._started = False
        self._timer: Timer | None = None
        self._round: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Delete from now on, first what grew old while nothing ran."""
        self._started = True
        self._begin_round()

    def close(self) -> None:
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
        if self._round is not None:
            self._round.cancel()

    def arm(self) -> None:
        """There may be a stream: look in ten minutes."""
        if self._started and self._timer is None:
            self._timer = self._clock.call_later(ROUND, self._begin_round)

    async def settle(self) -> bool:
        """Wait for the round that is under way; whether there was one."""
        if self._round is None or self._round.done():
            return False
        await self._round
        return True

    def _begin_round(self) -> None:
        self._timer = None
        self._round = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            if await self.trim():
                self.arm()
        except StorageError as error:
            log.warning("old records of streams are deleted later: %s", error)
            self.arm()

    async def trim(self) -> bool:
        """Delete what is too old, a slice at a time, so that other writes get in between; whether there is any stream."""
        streams = await self._database.read(everything)
        for stream in streams:
            if await self._database.read(lambda connection, stream=stream: stream.due(connection, self._now())):  # type: ignore[misc]
                while await self._database.write(lambda connection, stream=stream: self._slice(connection, stream)) == SLICE:  # type: ignore[misc]
                    pass
        return bool(streams)

    def _slice(self, connection: sqlite3.Connection, stream: Stream) -> int:
        return stream.trim(connection, self._now(), SLICE)

    def _now(self) -> int:
        return round(self._clock.now() * 1000)
