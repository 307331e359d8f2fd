"""Replays: archived events sent to their bus again, a few at a time, going on after a restart where they were."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.services.bus import archives
from eventflow.services.bus.entries import PutEvent, as_json
from eventflow.services.bus.errors import not_found

#: Events of one transaction: few enough that other changes hardly wait.
STEP = 100
REPLAY = """
SELECT id, region, name, archive, bus, rules, description, state, reason, start_time, end_time, started_at, ended_at, reached_time, reached_sequence
FROM bus_replays
"""
INSERT = """
INSERT INTO bus_replays (region, name, archive, bus, rules, description, state, start_time, end_time, started_at)
VALUES (?, ?, ?, ?, ?, ?, 'STARTING', ?, ?, ?)
"""
ACTIVE = ("STARTING", "RUNNING", "CANCELLING")


@dataclass(frozen=True, slots=True)
class Replay:
    id: int
    region: str
    name: str
    archive: str
    bus: str
    rules: str | None
    description: str | None
    state: str
    reason: str | None
    start_time: float
    end_time: float
    started_at: float
    ended_at: float | None
    reached_time: float | None
    reached_sequence: int

    @property
    def rule_arns(self) -> list[str]:
        """The rules that it is for; none where it is for all."""
        return [] if self.rules is None else list(json.loads(self.rules))


def find(connection: sqlite3.Connection, region: str, name: str) -> Replay:
    replay = look_up(connection, region, name)
    if replay is None:
        raise not_found(f"Replay {name} does not exist.")
    return replay


def look_up(connection: sqlite3.Connection, region: str, name: str) -> Replay | None:
    row = connection.execute(f"{REPLAY} WHERE region = ? AND name = ?", (region, name)).fetchone()
    return None if row is None else Replay(*row)


def listed(connection: sqlite3.Connection, region: str, asked: Mapping[str, str | None], after: str, limit: int) -> list[Replay]:
    prefix = asked.get("prefix") or ""
    where = """
    region = ? AND name > ? AND substr(name, 1, ?) = ? AND (? IS NULL OR state = ?) AND (? IS NULL OR archive = ?) ORDER BY name LIMIT ?
    """
    state, archive = asked.get("state"), asked.get("archive")
    rows = connection.execute(f"{REPLAY} WHERE {where}", (region, after, len(prefix), prefix, state, state, archive, archive, limit)).fetchall()
    return [Replay(*row) for row in rows]


def active(connection: sqlite3.Connection) -> Replay | None:
    """The oldest replay that is not at its end."""
    row = connection.execute(f"{REPLAY} WHERE state IN ('STARTING', 'RUNNING', 'CANCELLING') ORDER BY id LIMIT 1").fetchone()
    return None if row is None else Replay(*row)


def set_state(connection: sqlite3.Connection, replay: Replay, state: str, now: float, reason: str | None = None) -> None:
    ended = now if state in ("COMPLETED", "CANCELLED", "FAILED") else None
    connection.execute("UPDATE bus_replays SET state = ?, reason = ?, ended_at = ? WHERE id = ?", (state, reason, ended, replay.id))


def take_next(connection: sqlite3.Connection, replay: Replay, now: float) -> list[PutEvent]:
    """The events that come next, with the replay's name; the replay moves on behind them in this transaction. None at its end, or where its
    archive is gone."""
    archive = archives.look_up(connection, replay.region, replay.archive)
    if archive is None:
        set_state(connection, replay, "FAILED", now, f"Archive {replay.archive} does not exist.")
        return []
    reached = (replay.start_time, 0) if replay.reached_time is None else (replay.reached_time, replay.reached_sequence)
    rows = connection.execute(archives.NEXT, (archive.id, *reached, replay.end_time, archive.oldest(now), STEP)).fetchall()
    if not rows:
        set_state(connection, replay, "COMPLETED", now)
        return []
    sequence, time, _event = rows[-1]
    connection.execute("UPDATE bus_replays SET state = 'RUNNING', reached_time = ?, reached_sequence = ? WHERE id = ?", (time, sequence, replay.id))
    return [replayed(replay, time, text) for _sequence, time, text in rows]


def replayed(replay: Replay, time: float, text: str) -> PutEvent:
    event: dict[str, Any] = {**json.loads(text), "replay-name": replay.name}
    return PutEvent(replay.bus, event, as_json(event), time, None)
