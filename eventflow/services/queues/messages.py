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
NEWEST = "SELECT MAX(id) FROM queue_messages"
PURGE = """
DELETE FROM queue_messages
WHERE id IN (SELECT id FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = ? AND id <= ? LIMIT ?) RETURNING group_id
"""
TOTAL = "SELECT messages FROM queue_totals WHERE queue = ?"
EXPIRED = "SELECT COUNT(*) FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = ? AND sent_at <= ?"
#: The covering indexes alone are walked, and of them what is hidden: at most 120,000 in flight, and those sent in the last 15 minutes with a delay.
HIDDEN = " UNION ALL ".join(
    f"""
SELECT COALESCE(SUM(receives > 0 AND visible_at > :now), 0), COALESCE(SUM(receives = 0), 0) FROM queue_messages INDEXED BY {index}
WHERE queue = :queue AND {condition} AND visible_at > :now - :delay AND sent_at > :oldest
"""
    for index, condition in (("queue_messages_ungrouped", "group_id IS NULL"), ("queue_messages_grouped", "group_id IS NOT NULL"))
)


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
        if queue.fifo or visible_at <= now:  # a tenant waits for no message in flight
            message_groups.refresh(connection, queue, [group], now)


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
    message_groups.refresh(connection, queue, [group], now)


def expire(connection: sqlite3.Connection, queue: Queue, now: int, limit: int) -> int:
    """Clear away up to ``limit`` of the messages that are past the retention period; how many that were."""
    if connection.execute(ANY_EXPIRED, (queue.id, queue.oldest(now))).fetchone() is None:
        return 0
    removed = connection.execute(EXPIRE, (queue.id, queue.oldest(now), limit)).fetchall()
    message_groups.refresh(connection, queue, {group for (group,) in removed}, now)
    return len(removed)


def newest(connection: sqlite3.Connection) -> int:
    """The id of the newest message of all queues: what comes to this one from now on is greater."""
    return connection.execute(NEWEST).fetchone()[0] or 0


def purge(connection: sqlite3.Connection, queue: Queue, newest: int, limit: int, now: int) -> int:
    """Delete up to ``limit`` of the messages that came no later than ``newest``; how many that were."""
    removed = connection.execute(PURGE, (queue.id, newest, limit)).fetchall()
    message_groups.refresh(connection, queue, {group for (group,) in removed}, now)
    return len(removed)


def hidden(connection: sqlite3.Connection, queue: Queue, now: int) -> tuple[int, int]:
    """How many messages are in flight, and delayed; those past the retention period count no more."""
    values = {"now": now, "queue": queue.id, "delay": queue.delay, "oldest": queue.oldest(now)}
    in_flight, delayed = (sum(column) for column in zip(*connection.execute(HIDDEN, values), strict=True))
    return in_flight, delayed


def counts(connection: sqlite3.Connection, queue: Queue, now: int) -> tuple[int, int, int]:
    """How many messages are visible, in flight and delayed."""
    total = connection.execute(TOTAL, (queue.id,)).fetchone()[0]
    expired = connection.execute(EXPIRED, (queue.id, queue.oldest(now))).fetchone()[0]
    in_flight, delayed = hidden(connection, queue, now)
    return total - expired - in_flight - delayed, in_flight, delayed
