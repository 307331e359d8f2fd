"""Instants that have come: each becomes one fire, in the transaction that moves its schedule on, and stays until its target has it."""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventflow import faultpoint
from eventflow.clock import iso
from eventflow.errors import ServiceError
from eventflow.services.schedules import catalog
from eventflow.services.schedules.catalog import Schedule, schedule_arn
from eventflow.services.schedules.destination import Fire
from eventflow.timetable import At

log = logging.getLogger("eventflow.schedules")

#: How many schedules move on, and how many fires are tried, in one transaction.
MOST_AT_ONCE = 100
#: Seconds before a fire is tried again: doubled each time, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
FIRES = uuid.UUID("0d7c5b0e-6f0f-4c55-9a8c-3f1f6a3e9b57")

DUE = f"SELECT {catalog.COLUMNS}, instant, due_at FROM schedules WHERE due_at <= ? ORDER BY due_at LIMIT {MOST_AT_ONCE}"
MOVE_ON = "UPDATE schedules SET instant = ?, due_at = ? WHERE id = ?"
COMPLETE = "DELETE FROM schedules WHERE id = ?"
FIRE = "INSERT OR IGNORE INTO schedule_fires (id, schedule_id, arn, instant, due_at, target, try_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
WAITING = f"SELECT id, arn, instant, due_at, target, attempts FROM schedule_fires WHERE try_at <= ? ORDER BY try_at LIMIT {MOST_AT_ONCE}"
DONE = "DELETE FROM schedule_fires WHERE id = ?"
AGAIN = "UPDATE schedule_fires SET attempts = attempts + 1, try_at = ? WHERE id = ?"
NEXT = "SELECT MIN(at) FROM (SELECT MIN(due_at) AS at FROM schedules WHERE due_at IS NOT NULL UNION ALL SELECT MIN(try_at) FROM schedule_fires)"


class Deliveries(Protocol):
    """Targets that take part in the transaction that ends a fire. They raise ServiceError, and have then written nothing."""

    def send_message(self, connection: sqlite3.Connection, queue: str, body: str, group: str | None, attributes: Mapping[str, str]) -> None: ...
    def put_event(self, connection: sqlite3.Connection, fire: Fire) -> object:
        """What is to be told to those concerned once the transaction is on disk."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a target did not take a fire."""

    fire: Fire
    code: str
    message: str


def plan(connection: sqlite3.Connection, account: str, now: float) -> bool:
    """Turn every instant that is due into a fire, once, and move its schedule on to the next; whether there was any."""
    rows = connection.execute(DUE, (now,)).fetchall()
    for row in rows:
        schedule, (instant, due_at) = Schedule.of(row[:-2]), row[-2:]
        definition, arn = schedule.definition, schedule_arn(schedule.region, account, schedule.group, schedule.name)
        oldest = now - definition.target["RetryPolicy"]["MaximumEventAgeInSeconds"]
        if due_at < oldest and not isinstance(definition.timetable, At):
            log.warning("The schedule %s missed its instants from %s on while nothing ran: they are too old to be delivered.", arn, iso(instant))
            following = definition.following(schedule.anchor, max(instant, oldest - definition.window * 60))
        else:
            identity = str(uuid.uuid5(FIRES, f"{arn} {schedule.created_at} {instant}"))
            connection.execute(FIRE, (identity, schedule.id, arn, instant, due_at, json.dumps(definition.target), due_at))
            following = definition.following(schedule.anchor, instant)
        if following is None and definition.after == "DELETE":
            connection.execute(COMPLETE, (schedule.id,))
        else:
            connection.execute(MOVE_ON, (following, None if following is None else definition.due(arn, following), schedule.id))
        faultpoint.reach("fire.planned")
    return bool(rows)


def waiting(connection: sqlite3.Connection, now: float) -> list[Fire]:
    rows = connection.execute(WAITING, (now,)).fetchall()
    return [Fire(id, arn, instant, due_at, json.loads(target), attempts) for id, arn, instant, due_at, target, attempts in rows]


def deliver(connection: sqlite3.Connection, deliveries: Deliveries, fire: Fire, now: float) -> object:
    """Give a fire to a queue or a bus, and end it, in one transaction; what a bus wants to be told afterwards."""
    followed = None
    try:
        followed = hand_over(connection, deliveries, fire)
    except ServiceError as error:
        settle_refusal(connection, deliveries, Refusal(fire, error.code, error.message), now)
    else:
        connection.execute(DONE, (fire.id,))
    faultpoint.reach("fire.delivered")
    return followed


def hand_over(connection: sqlite3.Connection, deliveries: Deliveries, fire: Fire) -> object:
    if fire.service == "events":
        return deliveries.put_event(connection, fire)
    group = (fire.target.get("SqsParameters") or {}).get("MessageGroupId")
    deliveries.send_message(connection, fire.to, fire.payload(), group, {})
    return None


def settle(connection: sqlite3.Connection, deliveries: Deliveries, done: Sequence[Fire], refused: Sequence[Refusal], now: float) -> None:
    """What became of the fires that were given to functions."""
    for fire in done:
        connection.execute(DONE, (fire.id,))
    for refusal in refused:
        settle_refusal(connection, deliveries, refusal, now)


def settle_refusal(connection: sqlite3.Connection, deliveries: Deliveries, refusal: Refusal, now: float) -> None:
    """Try again later, or give up: the dead-letter queue gets what the target did not take."""
    fire = refusal.fire
    policy = fire.target["RetryPolicy"]
    try_at = now + min(FIRST_PAUSE * 2 ** min(fire.attempts, 20), LONGEST_PAUSE)
    if fire.attempts < policy["MaximumRetryAttempts"] and try_at <= fire.due_at + policy["MaximumEventAgeInSeconds"]:
        connection.execute(AGAIN, (try_at, fire.id))
        return
    exhausted = "MaximumRetryAttempts" if fire.attempts >= policy["MaximumRetryAttempts"] else "MaximumEventAgeInSeconds"
    connection.execute(DONE, (fire.id,))
    queue = (fire.target.get("DeadLetterConfig") or {}).get("Arn")
    lost = f"The schedule {fire.arn} could not invoke {fire.to} for {fire.time} ({exhausted}): {refusal.code}: {refusal.message}"
    if queue is None:
        log.error("%s It has no dead-letter queue.", lost)
        return
    try:
        deliveries.send_message(connection, queue, fire.payload(), None, fire.letter(refusal.code, refusal.message, exhausted))
    except ServiceError as error:
        log.error("%s Nor could its dead-letter queue take it: %s", lost, error)


def next_instant(connection: sqlite3.Connection) -> float | None:
    found: float | None = connection.execute(NEXT).fetchone()[0]
    return found
