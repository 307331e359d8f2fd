"""Messages in their queue: deleted, hidden, expired, counted, inside the caller's transaction. Instants are in milliseconds."""

from __future__ import annotations

import sqlite3

from eventflow.errors import ServiceError
from eventflow.services.queues import message_groups
from eventflow.services.queues.attributes import LONGEST_VISIBILITY
from eventflow.services.queues.errors import between, invalid_value
from eventflow.services.queues.receipts import Receipt
from eventflow.services.queues.records import Queue

STATE = "SELECT receives, visible_at, received_at, group_id FROM queue_messages WHERE queue = ? AND id = ?"
HIDE = "UPDATE queue_messages SET visible_at = ? WHERE id = ?"
DELETE = "DELETE FROM queue_messages WHERE id = ?"
ANY_EXPIRED = "SELECT 1 FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = ? AND sent_at <= ? LIMIT 1"
EXPIRE = """
DELETE FROM queue_messages WHERE id IN (SELECT id FROM queue_messages WHERE queue = ? AND sent_at <= ? ORDER BY sent_at LIMIT ?) RETURNING group_id
"""
DELAY_AGAIN = "UPDATE queue_messages SET visible_at = sent_at + ? WHERE queue = ? AND receives = 0"
NEWEST = "SELECT MAX(id) FROM queue_messages"
PURGE = """
DELETE FROM queue_messages
WHERE id IN (SELECT id FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = ? AND id <= ? LIMIT ?) RETURNING group_id
"""
#: The covering index alone is walked; the expired, mostly none, are found by age and taken off.
COUNTS = """
SELECT COUNT(*), 0, 0 FROM queue_messages INDEXED BY queue_messages_by_visibility WHERE queue = :queue AND visible_at <= :now
UNION ALL
SELECT 0, COALESCE(SUM(receives > 0), 0), COALESCE(SUM(receives = 0), 0)
FROM queue_messages INDEXED BY queue_messages_by_visibility WHERE queue = :queue AND visible_at > :now
UNION ALL
SELECT -COALESCE(SUM(visible_at <= :now), 0), -COALESCE(SUM(visible_at > :now AND receives > 0), 0),
       -COALESCE(SUM(visible_at > :now AND receives = 0), 0)
FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = :queue AND sent_at <= :oldest
"""


def delete(connection: sqlite3.Connection, queue: Queue, handle: str, now: int) -> None:
    """Delete the message of a handle. Without effect, and without an error, when it is gone or, on a standard queue, was received again since."""
    receipt = Receipt.parse(handle, queue.id)
    row = connection.execute(STATE, (queue.id, receipt.id)).fetchone()
    if row is None:
        return
    receives, visible_at, _received_at, group = row
    if queue.fifo and (receives != receipt.receives or visible_at <= now):
        raise invalid_value("ReceiptHandle", handle, "The receipt handle has expired.")
    if receives == receipt.receives:
        connection.execute(DELETE, (receipt.id,))
        message_groups.refresh(connection, queue.id, [group] if queue.fifo else [])


def change_visibility(connection: sqlite3.Connection, queue: Queue, handle: str, seconds: int, now: int) -> None:
    """Hide the message of a handle, which must be in flight, for so many seconds from now."""
    between("VisibilityTimeout", seconds, 0, LONGEST_VISIBILITY, f"VisibilityTimeout must be an integer between 0 and {LONGEST_VISIBILITY}.")
    receipt = Receipt.parse(handle, queue.id)
    row = connection.execute(STATE, (queue.id, receipt.id)).fetchone()
    if row is None or row[0] != receipt.receives:
        raise invalid_value("ReceiptHandle", handle, "Message does not exist or is not available for visibility timeout change.")
    _receives, visible_at, received_at, group = row
    until = now + 1000 * seconds
    if visible_at <= now:
        if queue.fifo:
            raise invalid_value("ReceiptHandle", handle, "The receipt handle has expired.")
        raise ServiceError("MessageNotInflight", "The message referred to isn't in flight.")
    if until - received_at > 1000 * LONGEST_VISIBILITY:
        raise invalid_value(
            "VisibilityTimeout", seconds, f"Total VisibilityTimeout for the message is beyond the limit [{LONGEST_VISIBILITY} seconds]."
        )
    connection.execute(HIDE, (until, receipt.id))
    message_groups.refresh(connection, queue.id, [group] if queue.fifo else [])


def expire(connection: sqlite3.Connection, queue: Queue, now: int, limit: int) -> int:
    """Clear away up to ``limit`` of the messages that are past the retention period; how many that were."""
    if connection.execute(ANY_EXPIRED, (queue.id, queue.oldest(now))).fetchone() is None:
        return 0
    removed = connection.execute(EXPIRE, (queue.id, queue.oldest(now), limit)).fetchall()
    message_groups.refresh(connection, queue.id, {group for (group,) in removed} if queue.fifo else ())
    return len(removed)


def delay_again(connection: sqlite3.Connection, queue: Queue) -> None:
    """On a FIFO queue a new DelaySeconds also holds for the messages already there (AWS: "Amazon SQS delay queues")."""
    connection.execute(DELAY_AGAIN, (1000 * queue.number("DelaySeconds"), queue.id))
    message_groups.refresh_all(connection, queue.id)


def newest(connection: sqlite3.Connection) -> int:
    """The id of the newest message of all queues: what comes to this one from now on is greater."""
    return connection.execute(NEWEST).fetchone()[0] or 0


def purge(connection: sqlite3.Connection, queue: Queue, newest: int, limit: int) -> int:
    """Delete up to ``limit`` of the messages that came no later than ``newest``; how many that were."""
    removed = connection.execute(PURGE, (queue.id, newest, limit)).fetchall()
    message_groups.refresh(connection, queue.id, {group for (group,) in removed} if queue.fifo else ())
    return len(removed)


def counts(connection: sqlite3.Connection, queue: Queue, now: int) -> tuple[int, int, int]:
    """How many messages are visible, in flight and delayed; those past the retention period count no more."""
    rows = connection.execute(COUNTS, {"now": now, "queue": queue.id, "oldest": queue.oldest(now)}).fetchall()
    visible, hidden, delayed = (sum(column) for column in zip(*rows, strict=True))
    return visible, hidden, delayed
