"""Log groups that rules of EventBridge write into: events kept on disk, by time, for as many days as was asked for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError, SettingError

NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
DAY = 86_400_000
#: CloudWatch Logs: what PutRetentionPolicy takes, in days.
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
#: CloudWatch Logs: what one answer holds at most, in events and in bytes, and what each event counts beyond its message.
MOST_EVENTS, MOST_BYTES, EXTRA_BYTES = 10_000, 1024 * 1024, 26
#: Old events that one new event clears away, and events that one step of a deletion does.
SWEEP, STEP = 20, 2000

GROUP = "SELECT id, region, name, retention_days, created_at, bytes FROM log_groups"
INSERT = "INSERT INTO log_events (log_group, stream, time, ingested_at, message) VALUES (?, ?, ?, ?, ?)"
FORGET = (
    "DELETE FROM log_events WHERE id IN (SELECT id FROM log_events WHERE log_group = ? AND time < ? ORDER BY time LIMIT ?) RETURNING length(message)"
)
COUNT = "UPDATE log_groups SET bytes = bytes + ? WHERE id = ?"
READ = """
SELECT id, stream, time, ingested_at, message FROM log_events
WHERE log_group = ? AND (time, id) > (?, ?) AND time >= ? AND time < ? AND (? IS NULL OR stream = ?) ORDER BY time, id LIMIT ?
"""
STREAMS = """
SELECT stream, min(time), max(time), max(ingested_at) FROM log_events
WHERE log_group = ? AND stream > ? AND substr(stream, 1, ?) = ? AND time >= ? GROUP BY stream ORDER BY stream LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class LogGroup:
    id: int
    region: str
    name: str
    retention_days: int | None
    created_at: int
    bytes: int

    def oldest(self, now: int) -> int:
        """Events before this are gone, whether they were cleared away yet or not."""
        return 0 if self.retention_days is None else now - self.retention_days * DAY


@dataclass(frozen=True, slots=True)
class LogEvent:
    id: int
    stream: str
    time: int
    ingested_at: int
    message: str


#: Behind which event a page begins: its time and id.
Place = tuple[int, int]


class LogGroups:
    """The log groups of one account. Every method that changes something returns once that is on disk."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self._clock = clock

    async def open(self) -> None:
        await self.database.migrate("log_groups", "eventflow.services")

    async def create(self, region: str, name: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if look_up(connection, region, name) is not None:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
            connection.execute("INSERT INTO log_groups (region, name, created_at) VALUES (?, ?, ?)", (region, name, self._now()))

        if not NAME.fullmatch(name):
            raise ServiceError(
                "InvalidParameterException",
                f"1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {NAME.pattern}",
            )
        await self.database.write(change)

    async def declare(self, region: str, name: str, retention_days: int | None = None) -> None:
        """Make a group if it is not there, and have it keep events for so long. Raises SettingError for what CloudWatch would refuse."""
        try:
            try:
                await self.create(region, name)
            except ServiceError as error:
                if error.code != "ResourceAlreadyExistsException":
                    raise
            await self.set_retention(region, name, retention_days)
        except ServiceError as error:
            raise SettingError(f"Log group {name!r}: {error.message}") from error

    def ensure_in(self, connection: sqlite3.Connection, region: str, name: str) -> None:
        """Make a group, if it is not there, inside somebody else's ``database.write``. The name is one that ``NAME`` allows."""
        if look_up(connection, region, name) is None:
            connection.execute("INSERT INTO log_groups (region, name, created_at) VALUES (?, ?, ?)", (region, name, self._now()))

    async def delete(self, region: str, name: str) -> None:
        """Forget its events, some at a time, and then the group."""
        group = await self.find(region, name)
        while await self.database.write(lambda connection: forget(connection, group.id, 1 << 62, STEP)) == STEP:
            pass
        await self.database.write(lambda connection: connection.execute("DELETE FROM log_groups WHERE id = ?", (group.id,)))

    async def find(self, region: str, name: str) -> LogGroup:
        return await self.database.read(lambda connection: find(connection, region, name))

    async def listed(self, region: str, prefix: str, after: str, limit: int) -> list[LogGroup]:
        query = f"{GROUP} WHERE region = ? AND name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        arguments = (region, after, len(prefix), prefix, limit)
        return await self.database.read(lambda connection: [LogGroup(*row) for row in connection.execute(query, arguments)])

    async def set_retention(self, region: str, name: str, days: int | None) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE log_groups SET retention_days = ? WHERE id = ?", (days, find(connection, region, name).id))

        if days not in (None, *RETENTIONS):
            raise ServiceError("InvalidParameterException", f"retentionInDays {days} is not valid: it takes {', '.join(map(str, RETENTIONS))}.")
        await self.database.write(change)

    async def streams(self, region: str, name: str, prefix: str, after: str, limit: int) -> list[tuple[str, int, int, int]]:
        """Names of streams with the times of their first and last events and of the last arrival."""

        def query(connection: sqlite3.Connection) -> list[tuple[str, int, int, int]]:
            group = find(connection, region, name)
            return connection.execute(STREAMS, (group.id, after, len(prefix), prefix, group.oldest(self._now()), limit)).fetchall()

        return await self.database.read(query)

    async def read(
        self, region: str, name: str, after: Place, *, stream: str | None = None, start: int = 0, end: int | None = None, limit: int | None = None
    ) -> tuple[list[LogEvent], bool]:
        """The events behind a place by time, up to 10,000 or 1 MB; whether there are more. ``start`` is inclusive, ``end`` is not."""

        def query(connection: sqlite3.Connection) -> tuple[list[LogEvent], bool]:
            group = find(connection, region, name)
            most, first = min(limit or MOST_EVENTS, MOST_EVENTS), max(start, group.oldest(self._now()))
            rows = connection.execute(READ, (group.id, *after, first, 1 << 62 if end is None else end, stream, stream, most + 1))
            return cut(rows, most)

        return await self.database.read(query)

    def write_in(self, connection: sqlite3.Connection, region: str, name: str, stream: str, message: str, time: float) -> None:
        """Add an event of this instant (Unix seconds) inside somebody else's ``database.write``. Raises ServiceError where there is no such group."""
        group, now = find(connection, region, name), self._now()
        if group.retention_days is not None:
            forget(connection, group.id, group.oldest(now), SWEEP)
        connection.execute(INSERT, (group.id, stream, int(time * 1000), now, message))
        connection.execute(COUNT, (len(message), group.id))

    def _now(self) -> int:
        return int(self._clock.now() * 1000)


def look_up(connection: sqlite3.Connection, region: str, name: str) -> LogGroup | None:
    row = connection.execute(f"{GROUP} WHERE region = ? AND name = ?", (region, name)).fetchone()
    return None if row is None else LogGroup(*row)


def find(connection: sqlite3.Connection, region: str, name: str) -> LogGroup:
    group = look_up(connection, region, name)
    if group is None:
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
    return group


def forget(connection: sqlite3.Connection, group: int, before: int, limit: int) -> int:
    """Forget some events before an instant; how many those were."""
    gone = [size for (size,) in connection.execute(FORGET, (group, before, limit)).fetchall()]
    if gone:
        connection.execute(COUNT, (-sum(gone), group))
    return len(gone)


def cut(rows: sqlite3.Cursor, most: int) -> tuple[list[LogEvent], bool]:
    """The events that fit into one answer, one at least; whether there are more."""
    events: list[LogEvent] = []
    size = 0
    for row in rows:
        event = LogEvent(*row)
        size += len(event.message.encode()) + EXTRA_BYTES
        if events and (len(events) == most or size > MOST_BYTES):
            return events, True
        events.append(event)
    return events, False


#: ``LogGroups.write_in``.
WriteLog = Callable[[sqlite3.Connection, str, str, str, str, float], Any]
