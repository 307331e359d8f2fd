"""The queues themselves as rows: found, listed, made, changed and removed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from eventflow.services.queues.attributes import NUMBERS, is_fifo, with_defaults
from eventflow.services.queues.errors import no_such_queue
from eventflow.services.queues.redrive import RedriveAllowPolicy, RedrivePolicy

COLUMNS = "id, region, name, attributes, created_at, modified_at, purged_at"
FIND = f"SELECT {COLUMNS} FROM queues WHERE region = ? AND name = ?"
BY_ID = f"SELECT {COLUMNS} FROM queues WHERE id = ?"
INSERT = "INSERT INTO queues (region, name, attributes, dead_letter, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?)"
CHANGE = "UPDATE queues SET attributes = ?, dead_letter = ?, modified_at = ? WHERE id = ?"
MARK_PURGED = "UPDATE queues SET purged_at = ? WHERE id = ?"
DELETE = "DELETE FROM queues WHERE id = ?"
REMEMBER_DELETION = "INSERT OR REPLACE INTO queue_deletions (region, name, deleted_at) VALUES (?, ?, ?)"
FORGET_DELETIONS = "DELETE FROM queue_deletions WHERE deleted_at <= ?"
DELETED = "SELECT 1 FROM queue_deletions WHERE region = ? AND name = ? AND deleted_at > ?"
NAMES = "SELECT name FROM queues WHERE region = ? AND name > ? AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?"
SOURCES = "SELECT name FROM queues WHERE region = ? AND dead_letter = ? AND name > ? ORDER BY name LIMIT ?"

#: A deleted queue's name is given to no new one for this long (milliseconds).
NAME_PAUSE = 60_000
#: So many rows are remembered as what they say; a row that was changed says something else.
REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as it is on disk. ``kept`` are the attributes that were set; instants in milliseconds."""

    id: int
    region: str
    name: str
    kept: Mapping[str, str]
    created_at: int
    modified_at: int
    purged_at: int | None

    @property
    def fifo(self) -> bool:
        return is_fifo(self.name)

    def number(self, attribute: str) -> int:
        return int(self.kept.get(attribute, NUMBERS[attribute][2]))

    @property
    def redrive(self) -> RedrivePolicy | None:
        text = self.kept.get("RedrivePolicy")
        return RedrivePolicy.parse(text) if text else None

    @property
    def redrive_allow(self) -> RedriveAllowPolicy:
        text = self.kept.get("RedriveAllowPolicy")
        return RedriveAllowPolicy.parse(text) if text else RedriveAllowPolicy("allowAll")

    @property
    def deduplicates_content(self) -> bool:
        return self.kept.get("ContentBasedDeduplication") == "true"

    @property
    def deduplicates_by_group(self) -> bool:
        return self.kept.get("DeduplicationScope") == "messageGroup"

    @property
    def delay(self) -> int:
        """What a FIFO queue's DelaySeconds adds now, in milliseconds, to the instant of a message that was never received."""
        return 1000 * self.number("DelaySeconds") if self.fifo else 0

    def attributes(self) -> dict[str, str]:
        return with_defaults(self.kept, fifo=self.fifo)

    def oldest(self, now: int) -> int:
        """A message sent at this instant or before is past the retention period."""
        return now - 1000 * self.number("MessageRetentionPeriod")


def queue_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


def lookup(connection: sqlite3.Connection, region: str, name: str) -> Queue | None:
    row = connection.execute(FIND, (region, name)).fetchone()
    return queue_of(row) if row else None


def find(connection: sqlite3.Connection, region: str, name: str) -> Queue:
    queue = lookup(connection, region, name)
    if queue is None:
        raise no_such_queue()
    return queue


def by_id(connection: sqlite3.Connection, key: int) -> Queue:
    """A queue that is known to be there."""
    return queue_of(connection.execute(BY_ID, (key,)).fetchone())


@lru_cache(REMEMBERED)
def queue_of(row: tuple[int, str, str, str, int, int, int | None]) -> Queue:
    return Queue(row[0], row[1], row[2], json.loads(row[3]), *row[4:])


def insert(connection: sqlite3.Connection, region: str, name: str, kept: Mapping[str, str], now: int) -> Queue:
    key = connection.execute(INSERT, (region, name, json.dumps(kept), dead_letter_of(kept), now, now)).lastrowid
    return by_id(connection, key or 0)


def change(connection: sqlite3.Connection, queue: Queue, kept: Mapping[str, str], now: int) -> None:
    connection.execute(CHANGE, (json.dumps(kept), dead_letter_of(kept), now, queue.id))


def dead_letter_of(kept: Mapping[str, str]) -> str | None:
    text = kept.get("RedrivePolicy")
    return RedrivePolicy.parse(text).dead_letter if text else None


def mark_purged(connection: sqlite3.Connection, queue: Queue, now: int) -> None:
    connection.execute(MARK_PURGED, (now, queue.id))


def delete(connection: sqlite3.Connection, queue: Queue, now: int) -> None:
    connection.execute(DELETE, (queue.id,))
    connection.execute(FORGET_DELETIONS, (now - NAME_PAUSE,))
    connection.execute(REMEMBER_DELETION, (queue.region, queue.name, now))


def deleted_recently(connection: sqlite3.Connection, region: str, name: str, now: int) -> bool:
    return connection.execute(DELETED, (region, name, now - NAME_PAUSE)).fetchone() is not None


def names(connection: sqlite3.Connection, region: str, prefix: str, after: str, limit: int) -> list[str]:
    return [name for (name,) in connection.execute(NAMES, (region, after, prefix, prefix, limit))]


def sources(connection: sqlite3.Connection, region: str, dead_letter: str, after: str, limit: int) -> list[str]:
    return [name for (name,) in connection.execute(SOURCES, (region, dead_letter, after, limit))]
