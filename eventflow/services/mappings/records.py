"""Mappings as rows, inside the caller's transaction."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eventflow.services.mappings.names import FunctionName, Source, parsed
from eventflow.services.mappings.refusals import duplicate, in_use, unknown_mapping

COLUMNS = "uuid, function, qualifier, source, settings, tags, enabled, state, modified_at, result"
ALL = f"SELECT {COLUMNS} FROM mappings ORDER BY uuid"
FIND = "SELECT state FROM mappings WHERE uuid = ?"
TAKEN = "SELECT uuid FROM mappings WHERE source = ? AND function = ? AND qualifier = ? AND uuid != ?"
INSERT = f"INSERT INTO mappings ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE mappings SET function = ?, qualifier = ?, settings = ?, enabled = ?, state = ?, modified_at = ? WHERE uuid = ?"
SETTLE = "UPDATE mappings SET state = ?, modified_at = ? WHERE uuid = ?"
TAG = "UPDATE mappings SET tags = ? WHERE uuid = ?"
NOTE = "UPDATE mappings SET result = ? WHERE uuid = ?"
DELETE = "DELETE FROM mappings WHERE uuid = ?"
FORGET = "DELETE FROM cursors WHERE owner = ?"


class State(StrEnum):
    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"


AT_REST = (State.ENABLED, State.DISABLED)


@dataclass(frozen=True, slots=True)
class Record:
    """``enabled`` says where a state that passes leads to. ``modified_at`` is Unix seconds, ``result`` Lambda's LastProcessingResult."""

    uuid: str
    function: FunctionName
    source: Source
    settings: Mapping[str, Any]
    tags: Mapping[str, str]
    enabled: bool
    state: State
    modified_at: float
    result: str | None = None

    @property
    def owner(self) -> str:
        """Whose memory of the stream it is."""
        return f"mapping/{self.uuid}"

    @property
    def runs(self) -> bool:
        """Whether it polls, or is about to. One that is being disabled or deleted does not, and is not begun again."""
        return self.enabled and self.state not in (State.DISABLING, State.DELETING)

    def after(self, state: State, now: float) -> Record:
        return dataclasses.replace(self, state=state, modified_at=now)


def load(connection: sqlite3.Connection) -> list[Record]:
    return [record_of(*row) for row in connection.execute(ALL)]


def record_of(
    uuid: str, function: str, qualifier: str, arn: str, settings: str, tags: str, enabled: int, state: str, modified_at: float, result: str | None
) -> Record:
    source = parsed(arn)
    assert source is not None, f"the mapping {uuid} was written with the source {arn}"
    return Record(
        uuid, FunctionName(function, qualifier), source, json.loads(settings), json.loads(tags), bool(enabled), State(state), modified_at, result
    )


def insert(connection: sqlite3.Connection, record: Record) -> None:
    refuse_duplicate(connection, record)
    connection.execute(
        INSERT,
        (
            record.uuid,
            record.function.name,
            record.function.qualifier,
            record.source.arn,
            json.dumps(record.settings),
            json.dumps(record.tags),
            record.enabled,
            record.state,
            record.modified_at,
            record.result,
        ),
    )


def refuse_duplicate(connection: sqlite3.Connection, record: Record) -> None:
    function = record.function
    row = connection.execute(TAKEN, (record.source.arn, function.name, function.qualifier, record.uuid)).fetchone()
    if row is not None:
        raise duplicate(record.source.kind, record.source.arn, function.name, row[0])


def change(connection: sqlite3.Connection, record: Record, verb: str) -> None:
    """Write down a mapping that a caller changed, if it is at rest."""
    row = connection.execute(FIND, (record.uuid,)).fetchone()
    if row is None:
        raise unknown_mapping()
    if row[0] not in AT_REST:
        raise in_use(verb)
    refuse_duplicate(connection, record)
    function = record.function
    values = (function.name, function.qualifier, json.dumps(record.settings), record.enabled, record.state, record.modified_at, record.uuid)
    connection.execute(UPDATE, values)


def settle(connection: sqlite3.Connection, record: Record) -> None:
    connection.execute(SETTLE, (record.state, record.modified_at, record.uuid))


def tag(connection: sqlite3.Connection, uuid: str, tags: Mapping[str, str]) -> None:
    connection.execute(TAG, (json.dumps(tags), uuid))


def delete(connection: sqlite3.Connection, record: Record) -> None:
    """The mapping, and what it remembers of its stream."""
    connection.execute(DELETE, (record.uuid,))
    connection.execute(FORGET, (record.owner,))
