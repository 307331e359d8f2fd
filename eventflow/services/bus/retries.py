"""Deliveries that failed: when they are tried again, when that ends, and what a dead letter says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from eventflow.services.bus.targets import Target, read_target

#: Seconds before the first further attempt, doubled each time up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 600.0
LONGEST_MESSAGE = 1024

INSERT = """
INSERT INTO bus_retries (due_at, accepted_at, attempts, region, rule_arn, target, payload, event, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
DUE = """
SELECT id, region, rule_arn, target, payload, event, trace, accepted_at, attempts FROM bus_retries WHERE due_at <= ? ORDER BY due_at LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One target's share of one event. ``payload`` is what it gets, ``event`` what the bus got; ``attempts`` are those that failed before."""

    region: str
    rule_arn: str
    target: Target
    payload: str
    event: str
    trace: str | None
    accepted_at: float
    attempts: int = 0


def exhausted(delivery: Delivery, now: float) -> str | None:
    """Why there is no further attempt after one that failed ``now``, in AWS's words; None if there is one."""
    if delivery.attempts >= delivery.target.attempts:
        return "MaximumRetryAttempts"
    if now + pause(delivery) - delivery.accepted_at > delivery.target.age:
        return "MaximumEventAgeInSeconds"
    return None


def pause(delivery: Delivery) -> float:
    return min(FIRST_PAUSE * 2.0 ** min(delivery.attempts, 32), LONGEST_PAUSE)


def keep(connection: sqlite3.Connection, delivery: Delivery, now: float) -> None:
    """Have it tried again."""
    row = (now + pause(delivery), delivery.accepted_at, delivery.attempts + 1, delivery.region, delivery.rule_arn)
    connection.execute(INSERT, (*row, delivery.target.settings, delivery.payload, delivery.event, delivery.trace))


def take_due(connection: sqlite3.Connection, account: str, now: float, limit: int) -> list[Delivery]:
    """Take out those whose time has come: whoever takes them delivers them, or keeps them again, in this transaction."""
    taken = []
    for id, region, rule_arn, target, *others in connection.execute(DUE, (now, limit)).fetchall():
        connection.execute("DELETE FROM bus_retries WHERE id = ?", (id,))
        taken.append(Delivery(region, rule_arn, read_target(json.loads(target), account), *others))
    return taken


def next_due(connection: sqlite3.Connection) -> float | None:
    row = connection.execute("SELECT due_at FROM bus_retries ORDER BY due_at LIMIT 1").fetchone()
    return None if row is None else row[0]


def dead_letter_attributes(delivery: Delivery, code: str, message: str, exhausted: str | None) -> Mapping[str, str | Mapping[str, str]]:
    """The message attributes of a dead letter (EventBridge user guide, "Using dead-letter queues to process undelivered events")."""
    attributes: dict[str, str | Mapping[str, str]] = {
        "RULE_ARN": delivery.rule_arn,
        "TARGET_ARN": delivery.target.arn,
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message.encode()[:LONGEST_MESSAGE].decode(errors="ignore") or code,
    }
    if exhausted is not None:
        attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        attributes["RETRY_ATTEMPTS"] = {"DataType": "Number", "StringValue": str(delivery.attempts)}
    return attributes
