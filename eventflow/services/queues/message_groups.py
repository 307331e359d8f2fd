"""Message groups. On a FIFO queue a group is served one batch at a time, and a message accepted within the last five minutes is not accepted again;
on a standard queue groups are tenants, see ``tenants``."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

from eventflow.services.queues import tenants
from eventflow.services.queues.records import Queue

DEDUPLICATION = 300_000  # milliseconds
#: Messages in flight are always among the first of their group: a group is not served while any of it is, and one receive takes at most ten.
MOST_IN_FLIGHT = 10
#: How many old rows one send clears away; more than the one row it adds, so that they cannot pile up.
SWEEP = 20

#: A fresh group opens when the queue's delay is over, whatever it is by now.
OPEN_GROUPS = """
SELECT group_id FROM (
    SELECT * FROM (
        SELECT group_id, available_at AS opened FROM queue_groups
        WHERE queue = :queue AND fresh = 0 AND available_at <= :now ORDER BY available_at LIMIT :limit
    ) UNION ALL SELECT * FROM (
        SELECT group_id, available_at + :delay AS opened FROM queue_groups
        WHERE queue = :queue AND fresh = 1 AND available_at <= :now - :delay ORDER BY available_at LIMIT :limit
    )
) ORDER BY opened, group_id LIMIT :limit
"""
NEXT_OPENING = """
SELECT MIN(opened) FROM (
    SELECT MIN(available_at) AS opened FROM queue_groups WHERE queue = :queue AND fresh = 0 AND available_at > :now
    UNION ALL
    SELECT MIN(available_at) + :delay FROM queue_groups WHERE queue = :queue AND fresh = 1 AND available_at > :now - :delay
)
"""
ADD_GROUP = "INSERT OR IGNORE INTO queue_groups (queue, group_id, available_at, fresh) VALUES (?, ?, ?, 1)"
SET_GROUP = "UPDATE queue_groups SET available_at = ?, fresh = ? WHERE queue = ? AND group_id = ?"
DROP_GROUP = "DELETE FROM queue_groups WHERE queue = ? AND group_id = ?"
HEAD = """
SELECT visible_at, receives FROM queue_messages INDEXED BY queue_messages_by_group
WHERE queue = ? AND group_id = ? AND deduplication_id IS NOT NULL ORDER BY id LIMIT ?
"""

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


def joined(connection: sqlite3.Connection, queue: Queue, group: str | None, visible_at: int, now: int) -> None:
    """A message was added at the end of its group, if it has one; on a FIFO queue ``visible_at`` is without the queue's delay, and matters for a new
    group only."""
    if group is None:
        return
    if queue.fifo:
        connection.execute(ADD_GROUP, (queue.id, group, visible_at))
    else:
        tenants.joined(connection, queue.id, group, visible_at, now)


def open_groups(connection: sqlite3.Connection, queue: Queue, now: int, limit: int) -> list[str]:
    """Groups of a FIFO queue that may be served now, the one that has waited longest first."""
    values = {"queue": queue.id, "now": now, "delay": queue.delay, "limit": limit}
    return [group for (group,) in connection.execute(OPEN_GROUPS, values)]


def next_opening(connection: sqlite3.Connection, queue: Queue, now: int) -> int | None:
    instant: int | None = connection.execute(NEXT_OPENING, {"queue": queue.id, "now": now, "delay": queue.delay}).fetchone()[0]
    return instant


def refresh(connection: sqlite3.Connection, queue: Queue, groups: Iterable[str | None], now: int) -> None:
    """Work out anew when these groups may be served: on a FIFO queue, once nothing of them is in flight and the first message's delay is over."""
    named = [group for group in groups if group is not None]
    if not queue.fifo:
        tenants.settle(connection, queue.id, named, now)
        return
    for group in named:
        head = connection.execute(HEAD, (queue.id, group, MOST_IN_FLIGHT)).fetchall()
        if not head:
            connection.execute(DROP_GROUP, (queue.id, group))
            continue
        received = max((visible_at for visible_at, receives in head if receives), default=0)
        first, receives = head[0]
        if receives or received > now:
            connection.execute(SET_GROUP, (max(received, first if receives else first + queue.delay), 0, queue.id, group))
        else:
            connection.execute(SET_GROUP, (first, 1, queue.id, group))
