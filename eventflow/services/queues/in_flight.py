"""How many messages a queue may have in flight, kept without counting them at every receive."""

from __future__ import annotations

import sqlite3

from eventflow.services.queues import messages as queue_messages
from eventflow.services.queues.records import Queue

#: AWS: "Amazon SQS message quotas", in-flight messages of a queue.
MOST_IN_FLIGHT = 120_000

#: A number that is needed for more than the limit is counted again after so long (milliseconds), and the later the longer it takes.
FRESH = 1000


class InFlight:
    """An upper bound for each queue: the last count and all that was taken since. Deletions and expiries only make the truth smaller,
    so the messages are counted again no sooner than the bound reaches the limit. Used in the database's writer thread alone."""

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self._bounds: dict[int, int] = {}
        self._counted_at: dict[int, int] = {}

    def room(self, connection: sqlite3.Connection, queue: Queue, wanted: int, now: int) -> int:
        """How many of ``wanted`` more messages may be taken."""
        bound = self._bounds.get(queue.id)
        if bound is None or bound + wanted > self._most:
            bound = self._count(connection, queue, now)
        return max(0, min(wanted, self._most - bound))

    def about(self, connection: sqlite3.Connection, queue: Queue, now: int) -> int:
        """How many are in flight, not much more than there are."""
        if abs(now - self._counted_at.get(queue.id, 0)) > FRESH + self._bounds.get(queue.id, 0) // 20:
            self._count(connection, queue, now)
        return self._bounds[queue.id]

    def took(self, queue: Queue, number: int) -> None:
        self._bounds[queue.id] = self._bounds.get(queue.id, self._most) + number

    def _count(self, connection: sqlite3.Connection, queue: Queue, now: int) -> int:
        self._bounds[queue.id] = queue_messages.hidden(connection, queue, now)[0]
        self._counted_at[queue.id] = now
        return self._bounds[queue.id]
