"""Archives: events of a bus, kept for as many days as was asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventflow.pattern import Pattern, compile_pattern
from eventflow.services.bus.entries import PutEvent
from eventflow.services.bus.errors import not_found

DAY = 86_400.0
#: Events that one transaction forgets: few enough that other changes hardly wait.
STEP = 2000
ARCHIVE = "SELECT id, region, name, bus, description, pattern, retention_days, created_at, events, bytes FROM bus_archives"
INSERT = "INSERT INTO bus_archives (region, name, bus, description, pattern, retention_days, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE bus_archives SET description = ?, pattern = ?, retention_days = ? WHERE id = ?"
KEEP = "INSERT INTO bus_archived (archive, time, archived_at, bytes, event) VALUES (?, ?, ?, ?, ?)"
COUNT = "UPDATE bus_archives SET events = events + ?, bytes = bytes + ? WHERE id = ?"
NEXT = """
SELECT sequence, time, event FROM bus_archived
WHERE archive = ? AND (time, sequence) > (?, ?) AND time < ? AND archived_at > ? ORDER BY time, sequence LIMIT ?
"""
OLDEST = """
SELECT a.id, (SELECT count(*) FROM (SELECT 1 FROM bus_archived WHERE archive = a.id AND archived_at <= ? - a.retention_days * 86400.0 LIMIT ?))
FROM bus_archives a WHERE a.retention_days > 0
"""
FORGET = """
DELETE FROM bus_archived WHERE sequence IN (SELECT sequence FROM bus_archived WHERE archive = ? AND archived_at <= ? ORDER BY archived_at LIMIT ?)
RETURNING bytes
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """``retention_days`` is 0 for events that are kept for ever."""

    id: int
    region: str
    name: str
    bus: str
    description: str | None
    pattern: str | None
    retention_days: int
    created_at: float
    events: int
    bytes: int

    def oldest(self, now: float) -> float:
        """Events that were archived at or before this are gone, whether they were cleared away yet or not."""
        return now - self.retention_days * DAY if self.retention_days else 0.0


def look_up(connection: sqlite3.Connection, region: str, name: str) -> Archive | None:
    row = connection.execute(f"{ARCHIVE} WHERE region = ? AND name = ?", (region, name)).fetchone()
    return None if row is None else Archive(*row)


def find(connection: sqlite3.Connection, region: str, name: str) -> Archive:
    archive = look_up(connection, region, name)
    if archive is None:
        raise not_found(f"Archive {name} does not exist.")
    return archive


def listed(connection: sqlite3.Connection, region: str, prefix: str, bus: str | None, after: str, limit: int) -> list[Archive]:
    where = "region = ? AND name > ? AND substr(name, 1, ?) = ? AND (? IS NULL OR bus = ?) ORDER BY name LIMIT ?"
    rows: list[tuple[Any, ...]] = connection.execute(f"{ARCHIVE} WHERE {where}", (region, after, len(prefix), prefix, bus, bus, limit)).fetchall()
    return [Archive(*row) for row in rows]


def of_bus(connection: sqlite3.Connection, region: str, bus: str) -> tuple[tuple[int, Pattern | None], ...]:
    rows = connection.execute("SELECT id, pattern FROM bus_archives WHERE region = ? AND bus = ?", (region, bus))
    return tuple((id, None if pattern is None else compile_pattern(pattern)) for id, pattern in rows)


def keep(connection: sqlite3.Connection, archives: Sequence[tuple[int, Pattern | None]], event: PutEvent, now: float) -> None:
    for id, pattern in archives:
        if pattern is None or pattern.matches(event.event):
            size = len(event.text.encode())
            connection.execute(KEEP, (id, event.time, now, size, event.text))
            connection.execute(COUNT, (1, size, id))


def expire(connection: sqlite3.Connection, now: float) -> bool:
    """Forget events that are older than their archive keeps them, some at a time; whether there may be more."""
    more = False
    for id, old in connection.execute(OLDEST, (now, 1)).fetchall():
        if old:
            (days,) = connection.execute("SELECT retention_days FROM bus_archives WHERE id = ?", (id,)).fetchone()
            more = forget(connection, id, now - days * DAY) or more
    return more


def forget(connection: sqlite3.Connection, archive: int, until: float) -> bool:
    """Forget events that were archived until then, some at a time; whether there may be more."""
    gone = [size for (size,) in connection.execute(FORGET, (archive, until, STEP)).fetchall()]
    connection.execute(COUNT, (-len(gone), -sum(gone), archive))
    return len(gone) == STEP
