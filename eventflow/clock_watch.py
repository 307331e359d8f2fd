"""Notices that the machine's clock was set back, and lets what waits for an instant wait no longer for that."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

from eventflow.composition import Core
from eventflow.errors import StorageError

log = logging.getLogger("eventflow.clock")

LOOK_EVERY = 15.0
#: A smaller step is none: the clock of a machine is slewed all the time.
SMALLEST_STEP = 5.0

NEWEST = "SELECT max(accepted_at) FROM (SELECT accepted_at FROM events ORDER BY sequence DESC LIMIT 100)"
#: Retries whose instant was reckoned before the step. One that was reckoned since lies nearer.
RETRIES = "UPDATE events SET due_at = due_at - :step WHERE state = 1 AND due_at > :now + :step - :window"
#: Messages that are hidden, or would be because they were sent in what is the future now; not those sent or received since the step.
MESSAGES = (
    "UPDATE queue_messages SET visible_at = visible_at - :step WHERE visible_at > :now"
    " AND coalesce(received_at, sent_at) NOT BETWEEN :now - :window AND :now"
)
GROUPS = "UPDATE queue_groups SET available_at = available_at - :step WHERE available_at > :now"
TENANTS = "UPDATE queue_tenants SET available_at = available_at - :step WHERE available_at > :now"
DEDUPLICATION = "UPDATE queue_deduplication SET sent_at = sent_at - :step WHERE sent_at > :now"
QUEUES = "SELECT region, name FROM queues"


@dataclass(frozen=True)
class Moved:
    retries: int
    messages: int


class ClockWatch:
    """Compares the wall clock with the monotonic one from time to time. ``run`` goes on until it is cancelled.

    A step back by an hour would make each retry and each hidden message wait an hour longer: their instants are set back by as much. A step
    forward needs nothing; it is told.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._clock = core.clock

    async def run(self) -> None:
        difference = self._difference()
        step = await self._step_while_stopped()
        while True:
            try:
                if step >= SMALLEST_STEP:
                    await self._set_back(step)
                elif -step >= SMALLEST_STEP:
                    log.warning("The clock went forward by %.0f s, or the machine slept. Schedules make that good as their catch_up says.", -step)
                difference -= step
            except StorageError as error:
                log.warning("The clock was set back; what waits is told later: %s", error)
            await self._clock.sleep(LOOK_EVERY)
            step = difference - self._difference()

    def _difference(self) -> float:
        return self._clock.now() - self._clock.monotonic()

    async def _step_while_stopped(self) -> float:
        """How far the newest events are in the future: at least so far the clock was set back since they came."""
        newest = await self._core.database.read(lambda connection: connection.execute(NEWEST).fetchone()[0])
        return 0.0 if newest is None else max(0.0, newest - self._clock.now())

    async def _set_back(self, step: float) -> None:
        now = self._clock.now()
        moved, queues = await self._core.database.write(lambda connection: set_back(connection, now, step))
        await self._core.dispatcher.look_anew()
        for region, name in queues:
            self._core.queues.wake(region, name)
        log.warning(
            "The clock was set back by %.0f s: %d retries and %d hidden messages keep the rest of their wait. "
            "Schedules do not fire a second time for instants that they fired for.",
            step,
            moved.retries,
            moved.messages,
        )


def set_back(connection: sqlite3.Connection, now: float, step: float) -> tuple[Moved, list[tuple[str, str]]]:
    """Set the instants that are waited for back by ``step`` seconds; how many, and the queues, by region and name."""
    retries = connection.execute(RETRIES, {"now": now, "step": step, "window": 2 * LOOK_EVERY}).rowcount
    times = {"now": round(now * 1000), "step": round(step * 1000), "window": round(2 * LOOK_EVERY * 1000)}
    messages = connection.execute(MESSAGES, times).rowcount
    connection.execute(GROUPS, times)
    connection.execute(TENANTS, times)
    connection.execute(DEDUPLICATION, times)
    return Moved(retries, messages), connection.execute(QUEUES).fetchall()
