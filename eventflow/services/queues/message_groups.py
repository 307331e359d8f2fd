"""FIFO order: a message group is served one batch at a time, and a message accepted within the last five minutes is not accepted again."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator

from eventflow.services.queues.records import Queue

DEDUPLICATION = 300_000  # milliseconds
#: Messages in flight are always among the first of their group: a group is not served while any of it is, and one receive takes at most ten.
MOST_IN_FLIGHT = 10
#: How many old rows one send clears away; more than the one row it adds, so that they cannot pile up.
SWEEP = 20

OPEN_GROUPS = "SELECT group_id FROM queue_groups WHERE queue = ? AND available_at <= ? ORDER BY available_at LIMIT ?"
NEXT_OPENING = "SELECT MIN(available_at) FROM queue_groups WHERE queue = ? AND available_at > ?"
ADD_GROUP = "INSERT OR IGNORE INTO queue_groups (queue, group_id, available_at) VALUES (?, ?, ?)"
SET_GROUP = "UPDATE queue_groups SET available_at = ? WHERE queue = ? AND group_id = ?"
DROP_GROUP = "DELETE FROM queue_groups WHERE queue = ? AND group_id = ?"
HEAD = "SELECT visible_at, receives FROM queue_messages WHERE queue = ? AND group_id = ? ORDER BY id LIMIT ?"
GROUP_NAMES = "SELECT group_id FROM queue_groups WHERE queue = ?"

ACCEPTED = "SELECT message_id, sequence FROM queue_deduplication WHERE queue = ? AND scope = ? AND deduplication_id = ? AND sent_at > ?"
REMEMBER = "INSERT OR REPLACE INTO queue_deduplication (queue, scope, deduplication_id, message_id, sequence, sent_at) VALUES (?, ?, ?, ?, ?, ?)"
FORGET = """
DELETE FROM queue_deduplication WHERE (queue, scope, deduplication_id) IN (
    SELECT queue, scope, deduplication_id FROM queue_deduplication WHERE queue = ? AND sent_at <= ? ORDER BY sent_at LIMIT ?
)
"""


def content_id(body: str) -> str:
    """The deduplication id of a body: its SHA-256, attributes left out, as on SQS."""
    return hashlib.sha256(body.encode()).hexdigest()


def sequence_text(sequence: int) -> str:
    """A SequenceNumber: twenty digits, so that texts order as numbers do."""
    return f"{sequence:020d}"


def accepted(connection: sqlite3.Connection, queue: Queue, group: str, deduplication_id: str, now: int) -> tuple[str, int] | None:
    """The message id and sequence of the message that was accepted under this id, if that was less than five minutes ago."""
    scope = group if queue.deduplicates_by_group else ""
    row: tuple[str, int] | None = connection.execute(ACCEPTED, (queue.id, scope, deduplication_id, now - DEDUPLICATION)).fetchone()
    return row


def remember(connection: sqlite3.Connection, queue: Queue, group: str, deduplication_id: str, message_id: str, sequence: int, now: int) -> None:
    connection.execute(FORGET, (queue.id, now - DEDUPLICATION, SWEEP))
    scope = group if queue.deduplicates_by_group else ""
    connection.execute(REMEMBER, (queue.id, scope, deduplication_id, message_id, sequence, now))


def joined(connection: sqlite3.Connection, queue: int, group: str, visible_at: int) -> None:
    """A message was added at the end of its group: only a new group's opening depends on it."""
    connection.execute(ADD_GROUP, (queue, group, visible_at))


def open_groups(connection: sqlite3.Connection, queue: int, now: int, limit: int) -> list[str]:
    """Groups that may be served now, the one that has waited longest first."""
    return [group for (group,) in connection.execute(OPEN_GROUPS, (queue, now, limit))]


def next_opening(connection: sqlite3.Connection, queue: int, now: int) -> int | None:
    instant: int | None = connection.execute(NEXT_OPENING, (queue, now)).fetchone()[0]
    return instant


def refresh(connection: sqlite3.Connection, queue: int, groups: Iterable[str]) -> None:
    """Work out anew when these groups open: once nothing of them is in flight and the first message's delay is over."""
    for group in groups:
        head = connection.execute(HEAD, (queue, group, MOST_IN_FLIGHT)).fetchall()
        if not head:
            connection.execute(DROP_GROUP, (queue, group))
            continue
        opens = max(head[0][0], *(visible_at for visible_at, receives in head if receives), 0)
        connection.execute(SET_GROUP, (opens, queue, group))


def refresh_all(connection: sqlite3.Connection, queue: int) -> None:
    refresh(connection, queue, list(group_names(connection, queue)))


def group_names(connection: sqlite3.Connection, queue: int) -> Iterator[str]:
    return (group for (group,) in connection.execute(GROUP_NAMES, (queue,)))
