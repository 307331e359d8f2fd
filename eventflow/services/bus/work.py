"""What buses do by themselves: ticks of schedules, further attempts, replays, and the end of what was archived too long ago."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.alarm import Alarm
from eventflow.errors import StorageError
from eventflow.services.bus import archives, records, replays, retries, ticks
from eventflow.services.bus.names import rule_arn
from eventflow.services.bus.routing import Effects, Router
from eventflow.services.bus.targets import read_target

log = logging.getLogger("eventflow.bus")

#: Rules and attempts of one transaction.
STEP = 100
#: Seconds between two looks for events that are archived no longer.
EXPIRE_EVERY = 3600.0
AGAIN_AFTER = 1.0
#: After an error of this program's own, which may come again at once.
LONG_AFTER = 60.0


class Worker:
    """Looks when its alarm rings, and whenever it is ``woken``, until nothing is due."""

    def __init__(self, database: Database, clock: Clock, account: str, router: Router, follow: Callable[[Effects], None]) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._router = router
        self._follow = follow
        self._alarm = Alarm(clock, clock.now, self.wake)
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        self._stopped = False
        self._expire_at = 0.0

    def wake(self) -> None:
        """Look now."""
        self._asked = True
        if self._task is None and not self._stopped:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(self._ended)

    async def settle(self) -> bool:
        """Wait for the work that is under way; whether there was any."""
        if self._task is None:
            return False
        await asyncio.wait([self._task])
        return True

    def close(self) -> None:
        self._stopped = True
        self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while self._asked:
                self._asked = False
                await self._until_done()
        except StorageError as error:
            log.error("schedules, further attempts and replays of buses wait: %s", error)
            self._alarm.ask(self._clock.now() + AGAIN_AFTER)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("schedules, further attempts and replays of buses wait", exc_info=task.exception())
            self._alarm.ask(self._clock.now() + LONG_AFTER)
        elif self._asked:
            self.wake()

    async def _until_done(self) -> None:
        more, next_due = True, None
        while more and not self._stopped:
            effects, more, next_due = await self._database.write(self._step)
            self._follow(effects)
        if next_due is not None:
            self._alarm.ask(next_due)

    def _step(self, connection: sqlite3.Connection) -> tuple[Effects, bool, float | None]:
        """A little of everything that is due; whether there is more, and else when there will be."""
        effects, now = Effects(), self._clock.now()
        more = self._tick(connection, now, effects)
        more = self._try_again(connection, now, effects) or more
        more = self._replay(connection, now, effects) or more
        more = self._expire(connection, now) or more
        return effects, more, None if more else self._next_due(connection)

    def _tick(self, connection: sqlite3.Connection, now: float, effects: Effects) -> bool:
        due = records.due_rules(connection, now, STEP)
        for rule in due:
            tick = ticks.due_tick(rule, now)
            connection.execute("UPDATE bus_rules SET next_at = ? WHERE id = ?", (tick.following, rule.id))
            if tick.at is not None:
                event = ticks.tick_event(rule, tick.at, id=self._clock.new_id(), account=self._account)
                targets = [read_target(target, self._account) for target in records.targets(connection, rule.id)]
                arn = rule_arn(rule.region, self._account, rule.bus, rule.name)
                self._router.deliver_to(connection, rule.region, arn, targets, event, effects)
        return bool(due)

    def _try_again(self, connection: sqlite3.Connection, now: float, effects: Effects) -> bool:
        due = retries.take_due(connection, self._account, now, STEP)
        for delivery in due:
            self._router.attempt(connection, delivery, effects)
        return bool(due)

    def _replay(self, connection: sqlite3.Connection, now: float, effects: Effects) -> bool:
        replay = replays.active(connection)
        if replay is None:
            return False
        if replay.state == "CANCELLING":
            replays.set_state(connection, replay, "CANCELLED", now)
            return True
        only = None if replay.rules is None else frozenset(json.loads(replay.rules))
        for event in replays.take_next(connection, replay, now):
            self._router.route(connection, replay.region, event, effects, visited=frozenset(), only=only)
        return True

    def _expire(self, connection: sqlite3.Connection, now: float) -> bool:
        if now < self._expire_at:
            return False
        more = archives.expire(connection, now)
        if not more:
            self._expire_at = now + EXPIRE_EVERY
        return more

    def _next_due(self, connection: sqlite3.Connection) -> float | None:
        (tick,) = connection.execute("SELECT min(next_at) FROM bus_rules WHERE next_at IS NOT NULL").fetchone()
        (kept,) = connection.execute("SELECT max(retention_days) FROM bus_archives").fetchone()
        instants = [tick, retries.next_due(connection), self._expire_at if kept else None]
        return min((at for at in instants if at is not None), default=None)
