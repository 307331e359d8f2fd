"""API keys' memory: values that were made here, and how much of their quotas keys have used."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import string
from collections.abc import Callable, Iterable

from eventflow.clock import Clock, Timer
from eventflow.database import Database

log = logging.getLogger("eventflow.gateway")

#: A generated value has as many characters as AWS's.
LENGTH = 40
ALPHABET = string.ascii_letters + string.digits
#: Counts are written so many seconds after the first of them: that much of a quota's use may be forgotten if the daemon is killed.
WRITE_AFTER = 1.0

KEEP_KEY = "INSERT INTO api_keys (name, value, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING"
KEEP_USE = """
INSERT INTO api_key_usage (plan, api_key, period_start, used) VALUES (?, ?, ?, ?)
ON CONFLICT (plan, api_key) DO UPDATE SET period_start = excluded.period_start, used = excluded.used
"""


Change = Callable[[sqlite3.Connection], None]


class ApiKeys:
    """All of it is in memory, and follows to the disk: it is as much as an application declares. Call ``open`` before anything else.

    A value is on disk before ``settled`` returns, and is told to nobody before. Counts are written at most a second after a request; after a kill
    a key may so have a second's requests more than its quota. A daemon that stops forgets none.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._values: dict[str, str] = {}
        self._kept: set[str] = set()
        self._used: dict[tuple[str, str], tuple[int, int]] = {}
        self._changed: set[tuple[str, str]] = set()
        self._timer: Timer | None = None
        self._writing: set[asyncio.Future[None]] = set()
        self._failing = False

    async def open(self) -> None:
        def query(connection: sqlite3.Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str, int, int]]]:
            keys = connection.execute("SELECT name, value FROM api_keys").fetchall()
            return keys, connection.execute("SELECT plan, api_key, period_start, used FROM api_key_usage").fetchall()

        await self._database.migrate("api_keys", "eventflow.services")
        keys, uses = await self._database.read(query)
        self._values = dict(keys)
        self._kept = set(self._values)
        self._used = {(plan, key): (start, used) for plan, key, start, used in uses}

    def value(self, name: str) -> str:
        """The value of a key that the application gave none: the one that it had before, or a fresh one."""
        if name not in self._values:
            self._values[name] = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        return self._values[name]

    def keep(self, names: Iterable[str]) -> None:
        """Write down the fresh values of these keys."""
        fresh = [(name, self._values[name], self._clock.now()) for name in names if name not in self._kept]
        if fresh:
            written = {name for name, _value, _now in fresh}
            self._kept |= written
            self._write(lambda connection: write_all(connection, KEEP_KEY, fresh), lambda: self._kept.difference_update(written))

    async def settled(self) -> None:
        """All that was handed in is on disk. Raises StorageError."""
        while self._writing:
            await asyncio.gather(*self._writing)

    def used(self, plan: str, key: str, start: int) -> int:
        """How many requests of the period that begins at ``start`` (Unix seconds) were counted."""
        begun, used = self._used.get((plan, key), (start, 0))
        return used if begun >= start else 0  # a clock that was set back begins no period anew

    def count(self, plan: str, key: str, start: int) -> None:
        begun, used = self._used.get((plan, key), (start, 0))
        self._used[plan, key] = (begun, used + 1) if begun >= start else (start, 1)
        self._changed.add((plan, key))
        if self._timer is None:
            self._timer = self._clock.call_later(WRITE_AFTER, self.flush)

    def flush(self) -> None:
        """Hand in the counts that are not written yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows = [(plan, key, *self._used[plan, key]) for plan, key in self._changed]
        self._changed.clear()
        if rows:
            again = {(plan, key) for plan, key, _start, _used in rows}  # with the next count of any key
            self._write(lambda connection: write_all(connection, KEEP_USE, rows), lambda: self._changed.update(again))

    def close(self) -> None:
        self.flush()

    def _write(self, change: Change, undo: Callable[[], None]) -> None:
        written = self._database.write_along(change)
        self._writing.add(written)

        def done(future: asyncio.Future[None]) -> None:
            self._writing.discard(future)
            error = None if future.cancelled() else future.exception()
            if error is not None:
                undo()
                if not self._failing:
                    log.error("API keys and their use are not written down: %s", error)
            self._failing = error is not None

        written.add_done_callback(done)


def write_all(connection: sqlite3.Connection, statement: str, rows: list[tuple[str, str, float]] | list[tuple[str, str, int, int]]) -> None:
    connection.executemany(statement, rows)
