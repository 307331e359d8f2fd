"""Fair queues: the message groups of a standard queue are served in turn, those with most in flight last, so that no group's backlog holds up others.

AWS: "How Amazon SQS fair queues work". A group is *noisy* while it has at least 30 messages and more than a tenth of all in flight; then messages of
quiet groups come first, and among noisy ones those of the group with the fewest in flight. Beyond that, SQS promises no order: here quiet groups
take turns, and all messages without a group together are one of them. Nothing is held back: a noisy group's messages come when no others are there.

A row of ``queue_tenants`` says where to look, the messages say what is there. So nothing is written when a message of a group is deleted or its
visibility is prolonged: the row is put right once its instant has come.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

#: The turn that all messages without a group take together; SQS takes no empty group.
UNGROUPED = ""
NOISY_IN_FLIGHT = 30
#: More than a tenth of all that is in flight is had by so many groups at most.
MOST_NOISY = 9
#: Nobody counts further than this what a group has in flight.
MOST_COUNTED = 1000
#: Rows whose instant has come that one receive puts right; it is made again while there are more.
SWEEP = 1000

NEXT_TURN = "(SELECT COALESCE(MAX(turn), 0) + 1 FROM queue_tenants WHERE queue = :queue AND available_at IS NULL)"
JOIN_VISIBLE = f"""
INSERT INTO queue_tenants (queue, group_id, available_at, turn) VALUES (:queue, :group, NULL, {NEXT_TURN})
ON CONFLICT (queue, group_id) DO UPDATE SET available_at = NULL WHERE available_at IS NOT NULL
"""
JOIN_HIDDEN = f"""
INSERT INTO queue_tenants (queue, group_id, available_at, turn) VALUES (:queue, :group, :visible_at, {NEXT_TURN})
ON CONFLICT (queue, group_id) DO UPDATE SET available_at = excluded.available_at WHERE available_at > excluded.available_at
"""
SETTLE = "UPDATE queue_tenants SET available_at = :available_at WHERE queue = :queue AND group_id = :group"
SERVED = f"UPDATE queue_tenants SET available_at = :available_at, turn = {NEXT_TURN} WHERE queue = :queue AND group_id = :group"
DROP = "DELETE FROM queue_tenants WHERE queue = :queue AND group_id = :group"
DUE = "SELECT group_id FROM queue_tenants WHERE queue = ? AND available_at <= ? ORDER BY available_at LIMIT ?"
IN_TURN = "SELECT group_id FROM queue_tenants WHERE queue = ? AND available_at IS NULL ORDER BY turn LIMIT ?"
NEXT_OPENING = "SELECT MIN(available_at) FROM queue_tenants WHERE queue = ? AND available_at > ?"
FIRST = "SELECT MIN(visible_at) FROM queue_messages INDEXED BY queue_messages_by_tenant WHERE queue = ? AND group_id = ? AND deduplication_id IS NULL"
FIRST_UNGROUPED = "SELECT MIN(visible_at) FROM queue_messages INDEXED BY queue_messages_ungrouped WHERE queue = ? AND group_id IS NULL"
IN_FLIGHT = """
SELECT COUNT(*) FROM (
    SELECT 1 FROM queue_messages INDEXED BY queue_messages_by_tenant
    WHERE queue = ? AND group_id = ? AND deduplication_id IS NULL AND visible_at > ? AND receives > 0 LIMIT ?
)
"""
ANY_GROUP = "SELECT 1 FROM queue_tenants WHERE queue = ? AND group_id > '' LIMIT 1"


def joined(connection: sqlite3.Connection, queue: int, group: str, visible_at: int, now: int) -> None:
    """A message of the group is visible from this instant on."""
    values = {"queue": queue, "group": group, "visible_at": visible_at}
    connection.execute(JOIN_VISIBLE if visible_at <= now else JOIN_HIDDEN, values)


def settle(connection: sqlite3.Connection, queue: int, groups: Iterable[str], now: int) -> None:
    """Put the rows of groups right whose messages went away, or became visible."""
    for group in groups:
        write(connection, SETTLE, queue, group, now)


def served(connection: sqlite3.Connection, queue: int, group: str, now: int) -> None:
    """The group was served, as far as there was anything: it is the last in turn."""
    write(connection, SERVED, queue, group, now)


def write(connection: sqlite3.Connection, statement: str, queue: int, group: str, now: int) -> None:
    first = first_of(connection, queue, group)
    if first is None:
        connection.execute(DROP, {"queue": queue, "group": group})
    else:
        connection.execute(statement, {"queue": queue, "group": group, "available_at": first if first > now else None})


def first_of(connection: sqlite3.Connection, queue: int, group: str) -> int | None:
    """When the first message of a group is visible, or was."""
    cursor = connection.execute(FIRST_UNGROUPED, (queue,)) if group == UNGROUPED else connection.execute(FIRST, (queue, group))
    instant: int | None = cursor.fetchone()[0]
    return instant


def any_group(connection: sqlite3.Connection, queue: int) -> bool:
    return connection.execute(ANY_GROUP, (queue,)).fetchone() is not None


def awake(connection: sqlite3.Connection, queue: int, now: int) -> bool:
    """Put those right whose instant has come; whether that were all."""
    due = [group for (group,) in connection.execute(DUE, (queue, now, SWEEP))]
    settle(connection, queue, due, now)
    return len(due) < SWEEP


def in_turn(connection: sqlite3.Connection, queue: int, now: int, limit: int, in_flight: int) -> list[str]:
    """Up to ``limit`` groups of which a message is visible, to be served in this order. ``in_flight``: how many messages of the whole queue are."""
    ungrouped = first_of(connection, queue, UNGROUPED)
    if ungrouped is not None and ungrouped <= now:  # a send without a group says nothing here, for the sake of queues that have none
        joined(connection, queue, UNGROUPED, now, now)
    groups = [group for (group,) in connection.execute(IN_TURN, (queue, limit + MOST_NOISY))]
    if in_flight < NOISY_IN_FLIGHT:
        return groups[:limit]
    least = min(max(NOISY_IN_FLIGHT, in_flight // 10 + 1), MOST_COUNTED)
    held = {group: held_by(connection, queue, group, now) for group in groups}
    quiet = [group for group in groups if held[group] < least]
    return quiet[:limit] or sorted(groups, key=held.__getitem__)[:1]


def held_by(connection: sqlite3.Connection, queue: int, group: str, now: int) -> int:
    """How many messages of the group are in flight, at most ``MOST_COUNTED``."""
    if group == UNGROUPED:
        return 0
    held: int = connection.execute(IN_FLIGHT, (queue, group, now, MOST_COUNTED)).fetchone()[0]
    return held


def next_opening(connection: sqlite3.Connection, queue: int, now: int) -> int | None:
    instant: int | None = connection.execute(NEXT_OPENING, (queue, now)).fetchone()[0]
    return instant
