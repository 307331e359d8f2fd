"""One step of a message move task: the next messages out of their queue and into others, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any

from eventflow.services.queues import message_groups
from eventflow.services.queues import records as queue_records
from eventflow.services.queues.messages import DELETE
from eventflow.services.queues.records import Queue
from eventflow.services.queues.redrive import QUEUE_ARN

#: Those of a message that was sent to the dead-letter queue by hand, and of one whose queue is gone.
NO_SOURCE = "CouldNotDetermineMessageSource"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"

#: A standard queue is emptied of the messages without a group first, then of the others.
NEXT_UNGROUPED, NEXT_GROUPED = (
    f"""
SELECT id, source_arn, group_id FROM queue_messages INDEXED BY {index}
WHERE queue = ? AND {condition} AND visible_at <= ? AND sent_at > ? AND id <= ? ORDER BY {order} LIMIT ?
"""
    for index, condition, order in (
        ("queue_messages_ungrouped", "group_id IS NULL", "visible_at, receives, sent_at, id"),
        ("queue_messages_grouped", "group_id IS NOT NULL", "visible_at, receives, sent_at, group_id, id"),
    )
)
#: A FIFO queue is emptied group by group, each in its order. A group of which a consumer holds something stays.
OPEN_GROUPS = "SELECT group_id FROM queue_groups WHERE queue = ? AND fresh = ? AND available_at <= ?"
NEXT_OF_GROUP = """
SELECT id, source_arn, group_id, visible_at, receives FROM queue_messages INDEXED BY queue_messages_by_group
WHERE queue = ? AND group_id = ? AND deduplication_id IS NOT NULL AND id <= ? AND sent_at > ? ORDER BY id LIMIT ?
"""
#: The message as a new one: its own id, age and receives; what it says stays.
MOVE = """
INSERT INTO queue_messages (queue, visible_at, sent_at, message_id, sender, group_id, deduplication_id)
SELECT ?, ?, ?, ?, sender, group_id, deduplication_id FROM queue_messages WHERE id = ?
"""
MOVE_BODY = "UPDATE queue_bodies SET id = ? WHERE id = ?"


@dataclass(slots=True)
class Outcome:
    """How many messages a step moved, to which queues (region and name), and why it went no further if something was in its way."""

    moved: int = 0
    queues: set[tuple[str, str]] = field(default_factory=set)
    failure: str | None = None


def move(
    connection: sqlite3.Connection,
    source: Queue,
    account: str,
    destination_arn: str | None,
    newest: int,
    limit: int,
    now: int,
    new_id: Callable[[], str],
) -> Outcome:
    """Move up to ``limit`` messages that came no later than ``newest``."""
    outcome = Outcome()
    groups: set[str | None] = set()
    targets: dict[str, Queue | None] = {}
    for key, source_arn, group, *_ in waiting(connection, source, newest, limit, now):
        arn = destination_arn or source_arn
        if arn is None:
            outcome.failure = NO_SOURCE
            break
        if arn not in targets:
            targets[arn] = queue_of(connection, account, arn)
        target = targets[arn]
        if target is None:
            outcome.failure = NO_QUEUE
            break
        put(connection, key, target, group, new_id(), now)
        outcome.queues.add((target.region, target.name))
        outcome.moved += 1
        groups.add(group)
    message_groups.refresh(connection, source, groups, now)
    return outcome


def waiting(connection: sqlite3.Connection, source: Queue, newest: int, limit: int, now: int) -> list[tuple[Any, ...]]:
    if source.fifo:
        return list(islice(in_order(connection, source, newest, limit, now), limit))
    found: list[tuple[Any, ...]] = []
    for statement in (NEXT_UNGROUPED, NEXT_GROUPED):
        found += connection.execute(statement, (source.id, now, source.oldest(now), newest, limit - len(found))).fetchall()
    return found


def in_order(connection: sqlite3.Connection, source: Queue, newest: int, limit: int, now: int) -> Iterator[tuple[Any, ...]]:
    for fresh, delay in ((False, 0), (True, source.delay)):
        for (group,) in connection.execute(OPEN_GROUPS, (source.id, fresh, now - delay)):
            found = connection.execute(NEXT_OF_GROUP, (source.id, group, newest, source.oldest(now), limit))
            yield from takewhile(lambda row: row[3] + (0 if row[4] else source.delay) <= now, found)  # a delayed one holds up those behind it


def queue_of(connection: sqlite3.Connection, account: str, arn: str) -> Queue | None:
    match = QUEUE_ARN.fullmatch(arn)
    return queue_records.lookup(connection, match["region"], match["name"]) if match and match["account"] == account else None


def put(connection: sqlite3.Connection, key: int, target: Queue, group: str | None, message_id: str, now: int) -> None:
    moved = connection.execute(MOVE, (target.id, now, now, message_id, key)).lastrowid
    connection.execute(MOVE_BODY, (moved, key))
    connection.execute(DELETE, (key,))
    message_groups.joined(connection, target, group, now, now)
