"""Sending: a message checked, deduplicated on a FIFO queue, and stored, inside the caller's transaction. Instants are in milliseconds."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from eventflow import faultpoint
from eventflow.services.queues import message_attributes, message_groups
from eventflow.services.queues.attributes import LONGEST_DELAY
from eventflow.services.queues.errors import between, invalid, invalid_value, missing
from eventflow.services.queues.message_attributes import MessageAttributes
from eventflow.services.queues.message_groups import content_id, sequence_text
from eventflow.services.queues.messages import expire
from eventflow.services.queues.records import Queue

#: How many expired messages one send clears away; it adds one, so they cannot pile up behind it.
SWEEP = 20

INSERT = """
INSERT INTO queue_messages (queue, visible_at, sent_at, message_id, sender, group_id, deduplication_id) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
INSERT_BODY = "INSERT INTO queue_bodies (id, body, attributes, trace) VALUES (?, ?, ?, ?)"


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
    """FIFO queues need a group and a deduplication id. On a standard queue a group names who the message is for (AWS: "Amazon SQS fair queues")."""
    for parameter, value in (("MessageGroupId", message.group), ("MessageDeduplicationId", message.deduplication_id)):
        if value is None:
            continue
        if not queue.fifo and parameter != "MessageGroupId":
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
    delay = 0 if queue.fifo else queue.number("DelaySeconds") if message.delay is None else message.delay  # a FIFO queue's own counts at each look
    visible_at = now + 1000 * delay
    row = (queue.id, visible_at, now, message_id, message.sender, message.group, duplicate_id)
    key = connection.execute(INSERT, row).lastrowid or 0
    connection.execute(INSERT_BODY, (key, message.body, message_attributes.to_json(message.attributes), message.trace))
    message_groups.joined(connection, queue, message.group, visible_at, now)
    faultpoint.reach("message.stored")
    return key


def sent(message: Outgoing, message_id: str, sequence: int | None) -> Sent:
    digest = message_attributes.md5(message.attributes) if message.attributes else None
    return Sent(message_id, message_attributes.body_md5(message.body), digest, None if sequence is None else sequence_text(sequence))
