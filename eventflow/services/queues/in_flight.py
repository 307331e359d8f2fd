"""How many messages a queue may have in flight, kept without counting them at every receive."""

from __future__ import annotations

import sqlite3

#: AWS: "Amazon SQS message quotas", in-flight messages of a queue.
MOST_IN_FLIGHT = 120_000

COUNT = "SELECT COUNT(*) FROM queue_messages WHERE queue = ? AND visible_at > ? AND receives > 0"


class InFlight:
    """An upper bound for each queue: the last count and all that was taken since. Deletions and expiries only make the truth smaller,
    so the messages are counted again no sooner than the bound reaches the limit. Used in the database's writer thread alone."""

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self._bounds: dict[int, int] = {}

    def room(self, connection: sqlite3.Connection, queue: int, wanted: int, now: int) -> int:
        """How many of ``wanted`` more messages may be taken."""
        bound = self._bounds.get(queue)
        if bound is None or bound + wanted > self._most:
            bound = self._bounds[queue] = connection.execute(COUNT, (queue, now)).fetchone()[0]
        return max(0, min(wanted, self._most - bound))

    def took(self, queue: int, number: int) -> None:
        self._bounds[queue] = self._bounds.get(queue, self._most) + number
