"""ReceiveRequestAttemptId: a receive of a FIFO queue whose answer got lost is repeated, and gives the same messages with the same handles."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence

from eventflow.services.queues.errors import invalid_value
from eventflow.services.queues.message_groups import DEDUPLICATION
from eventflow.services.queues.receipts import Receipt
from eventflow.services.queues.records import Queue

#: Letters, digits and punctuation, 1 to 128 of them (AWS: ReceiveMessage in the API reference).
ATTEMPT_ID = re.compile(r"[!-~]{1,128}")
#: How many old rows one receive clears away; more than the one row it adds, so that they cannot pile up.
SWEEP = 20

FIND = "SELECT hidden_until, messages FROM queue_receive_attempts WHERE queue = ? AND attempt_id = ? AND received_at > ?"
KEEP = "INSERT OR REPLACE INTO queue_receive_attempts (queue, attempt_id, received_at, hidden_until, messages) VALUES (?, ?, ?, ?, ?)"
HIDDEN_AGAIN = "UPDATE queue_receive_attempts SET hidden_until = ? WHERE queue = ? AND attempt_id = ?"
FORGET = """
DELETE FROM queue_receive_attempts WHERE (queue, attempt_id) IN (
    SELECT queue, attempt_id FROM queue_receive_attempts WHERE queue = ? AND received_at <= ? ORDER BY received_at LIMIT ?
)
"""
UNCHANGED = "SELECT 1 FROM queue_messages WHERE queue = ? AND id = ? AND receives = ? AND visible_at = ?"


def check(fifo: bool, attempt_id: str) -> None:
    if not fifo:
        raise invalid_value("ReceiveRequestAttemptId", attempt_id, "The request include parameter that is not valid for this queue type.")
    if not ATTEMPT_ID.fullmatch(attempt_id):
        reason = "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise invalid_value("ReceiveRequestAttemptId", attempt_id, reason)


def earlier(connection: sqlite3.Connection, queue: Queue, attempt_id: str, now: int) -> list[Receipt]:
    """The receipts of the receive that was made under this id in the last five minutes, if all its messages are as it left them: in flight,
    not deleted, their visibility not changed. Else none, and the receive is a new one."""
    row = connection.execute(FIND, (queue.id, attempt_id, now - DEDUPLICATION)).fetchone()
    if row is None or row[0] <= now:
        return []
    receipts = [Receipt(queue.id, key, receives) for key, receives in json.loads(row[1])]
    same = all(connection.execute(UNCHANGED, (queue.id, receipt.id, receipt.receives, row[0])).fetchone() for receipt in receipts)
    return receipts if same else []


def remember(connection: sqlite3.Connection, queue: Queue, attempt_id: str, receipts: Sequence[Receipt], hidden_until: int, now: int) -> None:
    connection.execute(FORGET, (queue.id, now - DEDUPLICATION, SWEEP))
    messages = json.dumps([[receipt.id, receipt.receives] for receipt in receipts])
    connection.execute(KEEP, (queue.id, attempt_id, now, hidden_until, messages))


def hidden_again(connection: sqlite3.Connection, queue: Queue, attempt_id: str, hidden_until: int) -> None:
    connection.execute(HIDDEN_AGAIN, (hidden_until, queue.id, attempt_id))
