"""Messages in their queue: sent, received, deleted, hidden and expired, inside the caller's transaction. Instants are in milliseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from eventflow.services import message_attributes, message_groups, queue_records
from eventflow.services.message_attributes import MessageAttributes
from eventflow.services.message_groups import content_id, sequence_text
from eventflow.services.queue_attributes import LONGEST_DELAY, LONGEST_VISIBILITY
from eventflow.services.queue_errors import between, invalid, invalid_value, missing
from eventflow.services.queue_records import Queue
from eventflow.services.receipts import Receipt

#: How many expired messages one send clears away; it adds one, so they cannot pile up behind it.
SWEEP = 20
#: And one receive, which is looked at again while there are more.
LARGE_SWEEP = 1000

INSERT = """
INSERT INTO queue_messages (queue, visible_at, sent_at, message_id, sender, group_id, deduplication_id) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
INSERT_BODY = "INSERT INTO queue_bodies (id, body, attributes, trace) VALUES (?, ?, ?, ?)"
COLUMNS = (
    "id, message_id, receives, earlier_receives, sent_at, first_received_at, sender, group_id, deduplication_id, source_arn, body, attributes, trace"
)
VISIBLE = f"""
SELECT {COLUMNS} FROM queue_messages INDEXED BY queue_messages_by_visibility CROSS JOIN queue_bodies USING (id)
WHERE queue = ? AND visible_at <= ? AND sent_at > ? ORDER BY visible_at, receives, id LIMIT ?
"""
VISIBLE_OF_GROUP = f"""
SELECT {COLUMNS}, visible_at FROM queue_messages INDEXED BY queue_messages_by_group CROSS JOIN queue_bodies USING (id)
WHERE queue = ? AND group_id = ? AND sent_at > ? ORDER BY id LIMIT ?
"""
NEXT_VISIBLE = "SELECT MIN(visible_at) FROM queue_messages WHERE queue = ? AND visible_at > ?"
TAKE = """
UPDATE queue_messages SET receives = receives + 1, visible_at = ?, received_at = ?, first_received_at = COALESCE(first_received_at, ?) WHERE id = ?
"""
UNDO_TAKE = """
UPDATE queue_messages SET receives = receives - 1, visible_at = ?, first_received_at = CASE WHEN receives > 1 THEN first_received_at END
WHERE queue = ? AND id = ? AND receives = ?
"""
STATE = "SELECT receives, visible_at, received_at, group_id FROM queue_messages WHERE queue = ? AND id = ?"
HIDE = "UPDATE queue_messages SET visible_at = ? WHERE id = ?"
DELETE = "DELETE FROM queue_messages WHERE id = ?"
EXPIRE = """
DELETE FROM queue_messages WHERE id IN (SELECT id FROM queue_messages WHERE queue = ? AND sent_at <= ? ORDER BY sent_at LIMIT ?) RETURNING group_id
"""
MOVE = """
INSERT INTO queue_messages (queue, visible_at, earlier_receives, sent_at, message_id, sender, group_id, deduplication_id, source_arn)
SELECT ?, ?, earlier_receives + receives, CASE WHEN ? THEN ? ELSE sent_at END, message_id, sender, group_id, deduplication_id, ?
FROM queue_messages WHERE id = ?
"""
MOVE_BODY = "UPDATE queue_bodies SET id = ? WHERE id = ?"
DELAY_AGAIN = "UPDATE queue_messages SET visible_at = sent_at + ? WHERE queue = ? AND receives = 0"
NEWEST = "SELECT MAX(id) FROM queue_messages"
PURGE = "DELETE FROM queue_messages WHERE id IN (SELECT id FROM queue_messages INDEXED BY queue_messages_by_age WHERE queue = ? AND id <= ? LIMIT ?)"
COUNTS = """
SELECT COALESCE(SUM(visible_at <= :now), 0), COALESCE(SUM(visible_at > :now AND receives > 0), 0),
       COALESCE(SUM(visible_at > :now AND receives = 0), 0)
FROM queue_messages WHERE queue = :queue
"""
EXPIRED_COUNTS = COUNTS.rstrip() + " AND sent_at <= :oldest\n"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. ``delay`` in seconds, the queue's own when None."""

    body: str
    attributes: MessageAttributes = field(default_factory=dict)
    trace: str | None = None
    delay: int | None = None
    group: str | None = None
    deduplication_id: str | None = None
    sender: str = ""

    def size(self) -> int:
        return len(self.body.encode("utf-8", "surrogatepass")) + message_attributes.size(self.attributes)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender learns of an accepted message."""

    message_id: str
    body_md5: str
    attributes_md5: str | None
    sequence: str | None


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


def check(queue: Queue, message: Outgoing) -> None:
    """Refuse what SQS refuses of a message, before anything is written."""
    if not message.body:
        raise missing("MessageBody")
    check_delay(queue, message)
    check_order(queue, message)
    message_attributes.check(message.attributes)
    largest = queue.number("MaximumMessageSize")
    if message.size() > largest:
        raise invalid(f"One or more parameters are invalid. Reason: Message must be shorter than {largest} bytes.")
    message_attributes.check_text(message.body)


def check_delay(queue: Queue, message: Outgoing) -> None:
    if message.delay and queue.fifo:
        raise invalid_value("DelaySeconds", message.delay, "The request include parameter that is not valid for this queue type.")
    between("DelaySeconds", message.delay, 0, LONGEST_DELAY, f"DelaySeconds must be >= 0 and <= {LONGEST_DELAY}.")


def check_order(queue: Queue, message: Outgoing) -> None:
    """FIFO queues need a group and a deduplication id; a standard queue here has no use for either (fair queues are not offered)."""
    for parameter, value in (("MessageGroupId", message.group), ("MessageDeduplicationId", message.deduplication_id)):
        if value is None:
            continue
        if not queue.fifo:
            raise invalid_value(parameter, value, "The request include parameter that is not valid for this queue type.")
        if not 1 <= len(value) <= 128 or not value.isascii() or not value.isprintable() or " " in value:
            raise invalid_value(parameter, value, f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.")
    if queue.fifo:
        check_fifo(queue, message)


def check_fifo(queue: Queue, message: Outgoing) -> None:
    if message.group is None:
        raise missing("MessageGroupId")
    if message.deduplication_id is None and not queue.deduplicates_content:
        raise invalid("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")


def send(connection: sqlite3.Connection, queue: Queue, message: Outgoing, message_id: str, now: int) -> Sent:
    """Accept one message; on a FIFO queue a duplicate gets the first one's answer and is not stored."""
    check(queue, message)
    expire(connection, queue, now, SWEEP)
    if not queue.fifo:
        store(connection, queue, message, message_id, now)
        return sent(message, message_id, None)
    group, duplicate_id = message.group or "", message.deduplication_id or content_id(message.body)
    earlier = message_groups.accepted(connection, queue, group, duplicate_id, now)
    if earlier is not None:
        return sent(message, earlier[0], earlier[1])
    sequence = store(connection, queue, message, message_id, now, duplicate_id)
    message_groups.remember(connection, queue, group, duplicate_id, message_id, sequence, now)
    return sent(message, message_id, sequence)


def store(connection: sqlite3.Connection, queue: Queue, message: Outgoing, message_id: str, now: int, duplicate_id: str | None = None) -> int:
    visible_at = now + 1000 * (queue.number("DelaySeconds") if message.delay is None or queue.fifo else message.delay)
    row = (queue.id, visible_at, now, message_id, message.sender, message.group, duplicate_id)
    key = connection.execute(INSERT, row).lastrowid or 0
    connection.execute(INSERT_BODY, (key, message.body, message_attributes.to_json(message.attributes), message.trace))
    if message.group is not None:
        message_groups.joined(connection, queue.id, message.group, visible_at)
    return key


def sent(message: Outgoing, message_id: str, sequence: int | None) -> Sent:
    digest = message_attributes.md5(message.attributes) if message.attributes else None
    return Sent(message_id, message_attributes.body_md5(message.body), digest, None if sequence is None else sequence_text(sequence))


def receive(connection: sqlite3.Connection, queue: Queue, limit: int, visibility: int, arn: str, now: int) -> tuple[list[Received], bool]:
    """Up to ``limit`` messages that are visible now, hidden for ``visibility`` seconds from here on. Those that were received too often go to
    the dead-letter queue instead, in this same transaction; the second value says whether some did. ``arn`` is this queue's own."""
    taker = Taker(connection, queue, visibility, dead_letter_queue(connection, queue), arn, now)
    received = taker.take_groups(limit) if queue.fifo else taker.take(limit)
    return received, taker.moved > 0


def dead_letter_queue(connection: sqlite3.Connection, queue: Queue) -> Queue | None:
    """None also when the dead-letter queue was deleted: then messages stay and are received again, as on SQS."""
    policy = queue.redrive
    return queue_records.lookup(connection, queue.region, policy.dead_letter) if policy else None


@dataclass(slots=True)
class Taker:
    """One receive under way. ``moved`` counts the messages that went to the dead-letter queue."""

    connection: sqlite3.Connection
    queue: Queue
    visibility: int
    dead_letter: Queue | None
    arn: str
    now: int
    moved: int = 0

    def take(self, limit: int) -> list[Received]:
        while True:
            rows = self.connection.execute(VISIBLE, (self.queue.id, self.now, self.queue.oldest(self.now), limit)).fetchall()
            if not self._bury(rows):
                return [self._taken(row) for row in rows]

    def take_groups(self, limit: int) -> list[Received]:
        found: list[Received] = []
        served: set[str] = set()
        while len(found) < limit:
            groups = message_groups.open_groups(self.connection, self.queue.id, self.now, len(served) + 1)
            group = next((group for group in groups if group not in served), None)
            if group is None:
                break
            found += self._take_of(group, limit - len(found))
            # A group received with no visibility timeout is open again at once: it is served once a receive.
            served.add(group)
            message_groups.refresh(self.connection, self.queue.id, [group])
        return found

    def _take_of(self, group: str, limit: int) -> list[Received]:
        while True:
            rows = self.connection.execute(VISIBLE_OF_GROUP, (self.queue.id, group, self.queue.oldest(self.now), limit)).fetchall()
            visible = list(takewhile(lambda row: row[-1] <= self.now, rows))  # a delayed message holds up those behind it
            if not self._bury(visible):
                return [self._taken(row) for row in visible]

    def _bury(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Move those of the rows to the dead-letter queue that were received often enough; how many that were."""
        policy = self.queue.redrive
        if self.dead_letter is None or policy is None:
            return 0
        dead = [row for row in rows if row[2] >= policy.maximum]
        for row in dead:
            move(self.connection, row[0], self.dead_letter, self.arn, self.now)
        self.moved += len(dead)
        return len(dead)

    def _taken(self, row: tuple[Any, ...]) -> Received:
        key, message_id, receives, earlier, sent_at, first, sender, group, duplicate_id, source, body, attributes, trace = row[:13]
        self.connection.execute(TAKE, (self.now + 1000 * self.visibility, self.now, self.now, key))
        system = {
            "SenderId": sender,
            "SentTimestamp": str(sent_at),
            "ApproximateReceiveCount": str(earlier + receives + 1),
            "ApproximateFirstReceiveTimestamp": str(self.now if first is None else first),
        }
        if self.queue.fifo:
            system |= {"SequenceNumber": sequence_text(key), "MessageGroupId": group, "MessageDeduplicationId": duplicate_id}
        if trace:
            system[message_attributes.TRACE] = trace
        if source:
            system["DeadLetterQueueSourceArn"] = source
        return Received(Receipt(self.queue.id, key, receives + 1), message_id, body, message_attributes.from_json(attributes), system)


def move(connection: sqlite3.Connection, key: int, target: Queue, source_arn: str, now: int) -> None:
    """Put a message at the end of another queue. It keeps its identity and, on a standard queue, its age (retention counts from the first send)."""
    moved = connection.execute(MOVE, (target.id, now, target.fifo, now, source_arn, key)).lastrowid
    connection.execute(MOVE_BODY, (moved, key))
    connection.execute(DELETE, (key,))
    if target.fifo:
        group = connection.execute("SELECT group_id FROM queue_messages WHERE id = ?", (moved,)).fetchone()[0]
        message_groups.joined(connection, target.id, group, now)


def next_change(connection: sqlite3.Connection, queue: Queue, now: int) -> int | None:
    """When the next message becomes visible by itself, if one will."""
    if queue.fifo:
        return message_groups.next_opening(connection, queue.id, now)
    instant: int | None = connection.execute(NEXT_VISIBLE, (queue.id, now)).fetchone()[0]
    return instant


def give_back(connection: sqlite3.Connection, received: Iterable[Received], now: int) -> None:
    """Undo a receive whose messages nobody got: they are visible again and the receive does not count."""
    groups = set()
    queue = 0
    for one in received:
        queue = one.receipt.queue
        connection.execute(UNDO_TAKE, (now, queue, one.receipt.id, one.receipt.receives))
        groups.add(one.system.get("MessageGroupId"))
    message_groups.refresh(connection, queue, [group for group in groups if group is not None])


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
        message_groups.refresh(connection, queue.id, [group] if group is not None else [])


def change_visibility(connection: sqlite3.Connection, queue: Queue, handle: str, seconds: int, now: int) -> bool:
    """Hide the message of a handle for so many seconds from now; True when that brings it back in flight."""
    between("VisibilityTimeout", seconds, 0, LONGEST_VISIBILITY, f"VisibilityTimeout must be an integer between 0 and {LONGEST_VISIBILITY}.")
    receipt = Receipt.parse(handle, queue.id)
    row = connection.execute(STATE, (queue.id, receipt.id)).fetchone()
    if row is None or row[0] != receipt.receives:
        raise invalid_value("ReceiptHandle", handle, "Message does not exist or is not available for visibility timeout change.")
    _receives, visible_at, received_at, group = row
    until = now + 1000 * seconds
    if queue.fifo and visible_at <= now:
        raise invalid_value("ReceiptHandle", handle, "The receipt handle has expired.")
    if until - received_at > 1000 * LONGEST_VISIBILITY:
        raise invalid_value(
            "VisibilityTimeout", seconds, f"Total VisibilityTimeout for the message is beyond the limit [{LONGEST_VISIBILITY} seconds]."
        )
    connection.execute(HIDE, (until, receipt.id))
    message_groups.refresh(connection, queue.id, [group] if group is not None else [])
    return bool(visible_at <= now < until)


def expire(connection: sqlite3.Connection, queue: Queue, now: int, limit: int) -> int:
    """Clear away up to ``limit`` of the messages that are past the retention period; how many that were."""
    removed = connection.execute(EXPIRE, (queue.id, queue.oldest(now), limit)).fetchall()
    message_groups.refresh(connection, queue.id, {group for (group,) in removed if group is not None})
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
    removed = connection.execute(PURGE, (queue.id, newest, limit)).rowcount
    if queue.fifo and removed < limit:
        message_groups.refresh_all(connection, queue.id)
    return removed


def counts(connection: sqlite3.Connection, queue: Queue, now: int) -> tuple[int, int, int]:
    """How many messages are visible, in flight and delayed; those past the retention period count no more."""
    bindings = {"now": now, "queue": queue.id, "oldest": queue.oldest(now)}
    everything = connection.execute(COUNTS, bindings).fetchone()
    expired = connection.execute(EXPIRED_COUNTS, bindings).fetchone()
    return everything[0] - expired[0], everything[1] - expired[1], everything[2] - expired[2]
