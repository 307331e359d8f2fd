"""Queues made, declared and changed: what is asked of one, checked against what is there, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.queues import records as queue_records
from eventflow.services.queues import tags as queue_tags
from eventflow.services.queues.attributes import checked_for_change, checked_for_creation, is_fifo
from eventflow.services.queues.errors import invalid_value
from eventflow.services.queues.records import Queue, queue_arn
from eventflow.services.queues.redrive import RedrivePolicy


def create(connection: sqlite3.Connection, account: str, region: str, name: str, kept: Mapping[str, str], tags: Mapping[str, str], now: int) -> None:
    """CreateQueue: one that is there must have these attributes, and keeps its own tags; a name is not given again within a minute of a deletion."""
    queue = queue_records.lookup(connection, region, name)
    if queue is not None:
        check_same(queue, kept)
        return
    if queue_records.deleted_recently(connection, region, name, now):
        text = "You must wait 60 seconds after deleting a queue before you can create another with the same name."
        raise ServiceError("QueueDeletedRecently", text)
    make(connection, account, region, name, kept, now)
    if tags:
        queue_tags.add(connection, queue_records.find(connection, region, name), tags)


def make(connection: sqlite3.Connection, account: str, region: str, name: str, kept: Mapping[str, str], now: int) -> None:
    check_redrive(connection, account, region, name, kept)
    given = {attribute: value for attribute, value in kept.items() if value != ""}
    queue_records.insert(connection, region, name, given, now)


def check_same(queue: Queue, given: Mapping[str, str]) -> None:
    current = queue.attributes()
    for attribute, value in given.items():
        if current.get(attribute, "") != value:
            raise ServiceError("QueueNameExists", f"A queue already exists with the same name and a different value for attribute {attribute}")


def declare(connection: sqlite3.Connection, account: str, region: str, name: str, given: Mapping[str, str], now: int) -> None:
    """Make a queue, or give the one that is there these attributes; those not given stay as they are."""
    queue = queue_records.lookup(connection, region, name)
    if queue is not None:
        change(connection, account, queue, given, now)
        return
    attributes = {**given, "FifoQueue": "true"} if is_fifo(name) else given
    make(connection, account, region, name, checked_for_creation(name, attributes), now)


def change(connection: sqlite3.Connection, account: str, queue: Queue, attributes: Mapping[str, str], now: int) -> None:
    kept = checked_for_change(attributes, queue.kept, fifo=queue.fifo)
    if kept == queue.kept:
        return
    check_redrive(connection, account, queue.region, queue.name, {name: kept[name] for name in attributes if name in kept})
    queue_records.change(connection, queue, kept, now)


def check_redrive(connection: sqlite3.Connection, account: str, region: str, name: str, kept: Mapping[str, str]) -> None:
    """A dead-letter queue must be there, be of the same kind, and agree."""
    text = kept.get("RedrivePolicy")
    if not text:
        return
    policy = RedrivePolicy.parse(text)
    target = queue_records.lookup(connection, region, policy.dead_letter)
    if target is None or policy.arn != queue_arn(region, account, policy.dead_letter):
        raise invalid_value("RedrivePolicy", text, "Dead letter target does not exist.")
    if target.fifo != is_fifo(name):
        raise invalid_value("RedrivePolicy", text, "Dead-letter queue must be same type of queue as the source.")
    if not target.redrive_allow.allows(queue_arn(region, account, name)):
        raise invalid_value("RedrivePolicy", text, f"The RedriveAllowPolicy of {policy.dead_letter} does not allow this queue.")


def declared(name: str, options: Mapping[str, Any]) -> tuple[dict[str, str], str | None, int]:
    """The options of ``ensure``: attributes as text, dead-letter queue, its receives."""
    given = dict(options)
    dead_letter, receives = given.pop("dead_letter_queue", None), given.pop("max_receive_count", None)
    if (dead_letter is None) != (receives is None):
        raise SettingError(f"Queue {name!r}: dead_letter_queue and max_receive_count go together; give both.")
    attributes = {**given.pop("Attributes", {}), **given}
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in attributes.items()}
    return texts, dead_letter, 0 if receives is None else int(receives)
