"""Who reads a bus: triggers of functions. What matches is kept for each until it says that it has it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from eventflow.pattern import compile_pattern
from eventflow.pattern_index import PatternIndex
from eventflow.services.bus.entries import PutEvent

SUBSCRIBE = """
INSERT INTO bus_subscriptions (owner, region, bus, pattern) VALUES (?, ?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET region = excluded.region, bus = excluded.bus, pattern = excluded.pattern
"""
KEEP = "INSERT INTO bus_waiting (subscription, event, trace) VALUES (?, ?, ?)"
WAITING = """
SELECT w.sequence, w.event, w.trace FROM bus_waiting w JOIN bus_subscriptions s ON s.id = w.subscription
WHERE s.owner = ? ORDER BY w.sequence LIMIT ?
"""
FORGET = """
DELETE FROM bus_waiting WHERE subscription = (SELECT id FROM bus_subscriptions WHERE owner = ?) AND sequence <= ?
"""

#: A subscription's number and its owner.
Reader = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits for its reader, and its place in the line."""

    position: int
    event: dict[str, Any]
    trace: str | None

    @property
    def id(self) -> str:
        """What tells it from all others: a replay sends an event with its former id."""
        return "/".join(filter(None, (str(self.event["id"]), self.event.get("replay-name"))))


def reads(connection: sqlite3.Connection, owner: str, region: str, bus: str, pattern: str) -> bool:
    """Whether there is this subscription."""
    row = connection.execute("SELECT region, bus, pattern FROM bus_subscriptions WHERE owner = ?", (owner,)).fetchone()
    return bool(row == (region, bus, pattern))


def subscribe(connection: sqlite3.Connection, owner: str, region: str, bus: str, pattern: str) -> bool:
    """Read a bus from now on; whether that is new or different."""
    if reads(connection, owner, region, bus, pattern):
        return False
    connection.execute(SUBSCRIBE, (owner, region, bus, pattern))
    return True


def others(connection: sqlite3.Connection, owners: Collection[str]) -> list[str]:
    """Those who read a bus and are not among these."""
    return [owner for (owner,) in connection.execute("SELECT owner FROM bus_subscriptions").fetchall() if owner not in owners]


def end(connection: sqlite3.Connection, owner: str) -> None:
    connection.execute("DELETE FROM bus_subscriptions WHERE owner = ?", (owner,))


def of_bus(connection: sqlite3.Connection, region: str, bus: str) -> PatternIndex[Reader]:
    rows = connection.execute("SELECT id, owner, pattern FROM bus_subscriptions WHERE region = ? AND bus = ?", (region, bus))
    return PatternIndex((compile_pattern(pattern), (id, owner)) for id, owner, pattern in rows)


def keep(connection: sqlite3.Connection, readers: PatternIndex[Reader], event: PutEvent) -> set[str]:
    """Let the event wait for those whom it concerns; who that is."""
    concerned = readers.matching(event.event)
    connection.executemany(KEEP, [(id, event.text, event.trace) for id, _owner in concerned])
    return {owner for _id, owner in concerned}


def waiting(connection: sqlite3.Connection, owner: str, limit: int) -> list[Waiting]:
    return [Waiting(position, json.loads(event), trace) for position, event, trace in connection.execute(WAITING, (owner, limit))]


def forget(connection: sqlite3.Connection, owner: str, position: int) -> None:
    connection.execute(FORGET, (owner, position))
