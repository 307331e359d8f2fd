"""Receiving: messages taken out of sight for a while, or moved to the dead-letter queue. Instants are in milliseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from eventflow.services.queues import message_attributes, message_groups, tenants
from eventflow.services.queues import records as queue_records
from eventflow.services.queues.message_attributes import MessageAttributes
from eventflow.services.queues.message_groups import sequence_text
from eventflow.services.queues.messages import DELETE, HIDE
from eventflow.services.queues.receipts import Receipt
from eventflow.services.queues.records import Queue

COLUMNS = (
    "id, message_id, receives, earlier_receives, sent_at, first_received_at, sender, group_id, deduplication_id, source_arn, body, attributes, trace"
)
VISIBLE = f"""
SELECT {COLUMNS} FROM queue_messages INDEXED BY queue_messages_ungrouped CROSS JOIN queue_bodies USING (id)
WHERE queue = ? AND group_id IS NULL AND visible_at <= ? AND sent_at > ? ORDER BY visible_at, receives, sent_at, id LIMIT ?
"""
VISIBLE_OF_TENANT = f"""
SELECT {COLUMNS} FROM queue_messages INDEXED BY queue_messages_by_tenant CROSS JOIN queue_bodies USING (id)
WHERE queue = ? AND group_id = ? AND deduplication_id IS NULL AND visible_at <= ? AND sent_at > ? ORDER BY visible_at, receives, sent_at, id LIMIT ?
"""
VISIBLE_OF_GROUP = f"""
SELECT {COLUMNS}, visible_at FROM queue_messages INDEXED BY queue_messages_by_group CROSS JOIN queue_bodies USING (id)
WHERE queue = ? AND group_id = ? AND deduplication_id IS NOT NULL AND sent_at > ? ORDER BY id LIMIT ?
"""
BY_ID = f"SELECT {COLUMNS} FROM queue_messages CROSS JOIN queue_bodies USING (id) WHERE id = ?"
NEXT_VISIBLE = (
    "SELECT MIN(visible_at) FROM queue_messages INDEXED BY queue_messages_ungrouped WHERE queue = ? AND group_id IS NULL AND visible_at > ?"
)
TAKE = """
UPDATE queue_messages SET receives = receives + 1, visible_at = ?, received_at = ?, first_received_at = COALESCE(first_received_at, ?) WHERE id = ?
"""
UNDO_TAKE = """
UPDATE queue_messages SET receives = receives - 1, first_received_at = CASE WHEN receives > 1 THEN first_received_at END,
    visible_at = CASE WHEN receives > 1 OR deduplication_id IS NULL THEN ? ELSE sent_at END
WHERE queue = ? AND id = ? AND receives = ?
"""
MOVE = """
INSERT INTO queue_messages (queue, visible_at, earlier_receives, sent_at, message_id, sender, group_id, deduplication_id, source_arn)
SELECT ?, ?, earlier_receives + receives, CASE WHEN ? THEN ? ELSE sent_at END, message_id, sender, group_id, deduplication_id, ?
FROM queue_messages WHERE id = ?
"""
MOVE_BODY = "UPDATE queue_bodies SET id = ? WHERE id = ?"
#: The most messages that one receive moves to the dead-letter queue: few enough that other changes hardly wait.
MOST_BURIED = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """One receive of one message. ``receives`` counts all queues it was in, this receive included."""

    receipt: Receipt
    message_id: str
    body: str
    attributes: MessageAttributes
    system: Mapping[str, str]

    def message(self, system_names: Iterable[str], attribute_names: Iterable[str]) -> dict[str, Any]:
        """The Message shape of ReceiveMessage, with the attributes that were asked for."""
        wanted = set(system_names)
        system = {name: value for name, value in self.system.items() if name in wanted or "All" in wanted}
        attributes = message_attributes.selected(self.attributes, attribute_names)
        message: dict[str, Any] = {
            "MessageId": self.message_id,
            "ReceiptHandle": self.receipt.handle(),
            "MD5OfBody": message_attributes.body_md5(self.body),
            "Body": self.body,
        }
        if system:
            message["Attributes"] = system
        if attributes:
            message |= {"MD5OfMessageAttributes": message_attributes.md5(attributes), "MessageAttributes": attributes}
        return message


def taker(connection: sqlite3.Connection, queue: Queue, visibility: int, arn: str, now: int, in_flight: Callable[[], int]) -> Taker:
    """What receives from a queue, whose own ARN is ``arn``. Messages are hidden for ``visibility`` seconds from ``now`` on; ``in_flight`` tells how
    many of the queue's messages are, about."""
    return Taker(connection, queue, visibility, dead_letter_queue(connection, queue), arn, now, in_flight)


def dead_letter_queue(connection: sqlite3.Connection, queue: Queue) -> Queue | None:
    """None also when the dead-letter queue was deleted: then messages stay and are received again, as on SQS."""
    policy = queue.redrive
    return queue_records.lookup(connection, queue.region, policy.dead_letter) if policy else None


@dataclass(slots=True)
class Taker:
    """One receive under way. ``moved`` counts the messages that went to the dead-letter queue, ``pending`` says that there may be more to receive."""

    connection: sqlite3.Connection
    queue: Queue
    visibility: int
    dead_letter: Queue | None
    arn: str
    now: int
    in_flight: Callable[[], int]
    moved: int = 0
    pending: bool = False

    def take(self, limit: int) -> list[Received]:
        """Up to ``limit`` messages that are visible now, hidden from here on. Those that were received too often go to the dead-letter queue instead,
        in this same transaction, at most ``MOST_BURIED``."""
        if self.queue.fifo:
            found = self._take_groups(limit)
        elif tenants.any_group(self.connection, self.queue.id):
            found = self._take_fairly(limit)
        else:
            found = self._take_of_tenant(tenants.UNGROUPED, limit)
        self.pending = self.pending or self.moved >= MOST_BURIED
        return found

    def _take_fairly(self, limit: int) -> list[Received]:
        self.pending = not tenants.awake(self.connection, self.queue.id, self.now)
        found: list[Received] = []
        while (room := limit - len(found)) > 0 and self.moved < MOST_BURIED:
            groups = tenants.in_turn(self.connection, self.queue.id, self.now, room, self.in_flight() + len(found))
            before = len(found), self.moved
            for group in groups:
                found += self._take_of_tenant(group, min(max(1, room // len(groups)), limit - len(found)))
                tenants.served(self.connection, self.queue.id, group, self.now)
            # What is received with no visibility timeout is visible again at once: each group is served once a receive.
            if before == (len(found), self.moved) or not self.visibility:
                break
        return found

    def _take_of_tenant(self, group: str, limit: int) -> list[Received]:
        now, oldest = self.now, self.queue.oldest(self.now)
        while self.moved < MOST_BURIED:
            if group == tenants.UNGROUPED:
                rows = self.connection.execute(VISIBLE, (self.queue.id, now, oldest, limit)).fetchall()
            else:
                rows = self.connection.execute(VISIBLE_OF_TENANT, (self.queue.id, group, now, oldest, limit)).fetchall()
            if not self._bury(rows):
                return [self._taken(row) for row in rows]
        return []

    def _take_groups(self, limit: int) -> list[Received]:
        found: list[Received] = []
        served: set[str] = set()
        while len(found) < limit and self.moved < MOST_BURIED:
            groups = message_groups.open_groups(self.connection, self.queue, self.now, len(served) + 1)
            group = next((group for group in groups if group not in served), None)
            if group is None:
                break
            found += self._take_of_group(group, limit - len(found))
            # A group received with no visibility timeout is open again at once: it is served once a receive.
            served.add(group)
            message_groups.refresh(self.connection, self.queue, [group], self.now)
        return found

    def _take_of_group(self, group: str, limit: int) -> list[Received]:
        while self.moved < MOST_BURIED:
            rows = self.connection.execute(VISIBLE_OF_GROUP, (self.queue.id, group, self.queue.oldest(self.now), limit)).fetchall()
            # A delayed message holds up those behind it.
            visible = list(takewhile(lambda row: row[-1] + (0 if row[2] else self.queue.delay) <= self.now, rows))
            if not self._bury(visible):
                return [self._taken(row) for row in visible]
        return []

    def _bury(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Move those of the rows to the dead-letter queue that were received often enough; how many that were."""
        policy = self.queue.redrive
        if self.dead_letter is None or policy is None:
            return 0
        dead = [row for row in rows if row[2] >= policy.maximum]
        for row in dead:
            move(self.connection, row[0], row[7], self.dead_letter, self.arn, self.now)
        self.moved += len(dead)
        return len(dead)

    def _taken(self, row: tuple[Any, ...]) -> Received:
        self.connection.execute(TAKE, (self.now + 1000 * self.visibility, self.now, self.now, row[0]))
        return received_of(self.queue, row, row[2] + 1, self.now)


def received_of(queue: Queue, row: tuple[Any, ...], receives: int, now: int) -> Received:
    """The message of a row of ``COLUMNS``, at its receive of this number."""
    key, message_id, _receives, earlier, sent_at, first, sender, group, duplicate_id, source, body, attributes, trace = row[:13]
    system = {
        "SenderId": sender,
        "SentTimestamp": str(sent_at),
        "ApproximateReceiveCount": str(earlier + receives),
        "ApproximateFirstReceiveTimestamp": str(now if first is None else first),
    }
    if queue.fifo:
        system |= {"SequenceNumber": sequence_text(key), "MessageDeduplicationId": duplicate_id}
    if group is not None:
        system["MessageGroupId"] = group
    if trace:
        system[message_attributes.TRACE] = trace
    if source:
        system["DeadLetterQueueSourceArn"] = source
    return Received(Receipt(queue.id, key, receives), message_id, body, message_attributes.from_json(attributes), system)


def receive_again(connection: sqlite3.Connection, queue: Queue, receipts: Iterable[Receipt], visibility: int, now: int) -> list[Received]:
    """The messages of these receipts, which are in flight, as they were received; hidden for ``visibility`` seconds from here on."""
    found = []
    for receipt in receipts:
        connection.execute(HIDE, (now + 1000 * visibility, receipt.id))
        row = connection.execute(BY_ID, (receipt.id,)).fetchone()
        found.append(received_of(queue, row, receipt.receives, now))
    message_groups.refresh(connection, queue, {one.system["MessageGroupId"] for one in found}, now)
    return found


def move(connection: sqlite3.Connection, key: int, group: str | None, target: Queue, source_arn: str, now: int) -> None:
    """Put a message, of this group if it has one, at the end of another queue. It keeps its identity and, on a standard queue, its age (retention
    counts from the first send)."""
    moved = connection.execute(MOVE, (target.id, now, target.fifo, now, source_arn, key)).lastrowid
    connection.execute(MOVE_BODY, (moved, key))
    connection.execute(DELETE, (key,))
    message_groups.joined(connection, target, group, now, now)


def next_change(connection: sqlite3.Connection, queue: Queue, now: int) -> int | None:
    """When the next message becomes visible by itself, if one will."""
    if queue.fifo:
        return message_groups.next_opening(connection, queue, now)
    instants = connection.execute(NEXT_VISIBLE, (queue.id, now)).fetchone()[0], tenants.next_opening(connection, queue.id, now)
    return min((instant for instant in instants if instant is not None), default=None)


def give_back(connection: sqlite3.Connection, queue: Queue, received: Iterable[Received], now: int) -> None:
    """Undo a receive whose messages nobody got: they are visible again and the receive does not count."""
    groups = set()
    for one in received:
        connection.execute(UNDO_TAKE, (now, queue.id, one.receipt.id, one.receipt.receives))
        groups.add(one.system.get("MessageGroupId"))
    message_groups.refresh(connection, queue, groups, now)
