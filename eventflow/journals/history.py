"""Looking at the journal: events, their attempts and the ledger, as plain mappings for people and programs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

STATES = ("ready", "waiting", "done", "dead")
SUMMARY = (
    "sequence, id, function, source, accepted_at, state, due_at, settled_at, function_errors + system_errors, reason, length(payload), qualifier"
)
LIST = (
    f"SELECT {SUMMARY} FROM events WHERE sequence < :before AND (:state IS NULL OR state = :state) AND (:function IS NULL OR function = :function)"
    " ORDER BY sequence DESC LIMIT :limit"
)
SHOW = f"SELECT {SUMMARY}, payload, trace, key FROM events WHERE id = ?"
ATTEMPTS = (
    "SELECT function, synchronous, status, error_type, error_message, started_at, duration_ms, billed_ms, init_ms, memory_mb, max_memory_mb"
    " FROM attempts WHERE event_id = ? ORDER BY sequence"
)
COUNTS = "SELECT function, state, count(*) FROM events GROUP BY function, state"
DEAD = "SELECT id FROM events WHERE state = 3 AND (:function IS NULL OR function = :function) ORDER BY sequence"
END = 2**62


def list_events(
    connection: sqlite3.Connection, *, state: str | None, function: str | None, limit: int, before: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest events first, and the ``before`` of the next page if there may be one. ``running`` is no state of the store: those are ``ready``."""
    number = None if state is None else STATES.index(state)
    arguments = {"before": END if before is None else before, "state": number, "function": function, "limit": limit}
    rows = connection.execute(LIST, arguments).fetchall()
    return [summary(row) for row in rows], rows[-1][0] if len(rows) == limit else None


def show_event(connection: sqlite3.Connection, id: str) -> dict[str, Any] | None:
    """One event whole, or what the ledger holds of a synchronous invocation; None if neither is known."""
    row = connection.execute(SHOW, (id,)).fetchone()
    attempts = [attempt(found) for found in connection.execute(ATTEMPTS, (id,))]
    if row is None:
        if not attempts:
            return None
        return {"id": id, "function": attempts[0]["function"], "source": "synchronous invocation", "state": "done", "attempts": attempts}
    return {**summary(row[:12]), "payload": json.loads(row[12]), "trace": row[13], "key": row[14], "attempts": attempts}


def count_events(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """How many events of each function are in each state."""
    counts: dict[str, dict[str, int]] = {}
    for function, state, count in connection.execute(COUNTS):
        counts.setdefault(function, {})[STATES[state]] = count
    return counts


def dead_events(connection: sqlite3.Connection, function: str | None) -> list[str]:
    return [row[0] for row in connection.execute(DEAD, {"function": function})]


def summary(row: tuple[Any, ...]) -> dict[str, Any]:
    names = (
        *("sequence", "id", "function", "source", "accepted_at", "state", "retry_at", "settled_at", "failed_attempts", "reason", "bytes"),
        "qualifier",
    )
    return {**dict(zip(names, row, strict=True)), "state": STATES[row[5]]}


def attempt(row: tuple[Any, ...]) -> dict[str, Any]:
    names = (
        "function",
        "synchronous",
        "status",
        "error_type",
        "error_message",
        "started_at",
        "duration_ms",
        "billed_ms",
        "init_ms",
        "memory_mb",
        "max_memory_mb",
    )
    found: Mapping[str, Any] = dict(zip(names, row, strict=True))
    return {**found, "synchronous": bool(found["synchronous"]), "gb_seconds": found["memory_mb"] / 1024 * found["billed_ms"] / 1000}
