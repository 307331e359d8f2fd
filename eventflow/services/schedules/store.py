"""Schedules of one account on the one database, and the one task that fires them all."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import EventflowError, ServiceError, StorageError
from eventflow.services.schedules import catalog, firing
from eventflow.services.schedules.catalog import Group, Schedule, group_arn, schedule_arn
from eventflow.services.schedules.definition import Definition
from eventflow.services.schedules.destination import Fire, Place
from eventflow.services.schedules.firing import Deliveries, Refusal

log = logging.getLogger("eventflow.schedules")

#: Seconds before the state file, or a function's journal, is tried again after it refused.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class Targets(Deliveries, Protocol):
    """What a schedule may invoke. ``emit`` returns once the function's event is on disk, and takes an id that it knows for done; ``wake`` lets those
    look who wait at a queue, ``after`` those whom an event on a bus concerns. ``has_buses`` says whether there are event buses."""

    has_buses: bool

    async def emit(self, function: str, payload: str, id: str) -> None: ...
    def wake(self, arn: str) -> None: ...
    def after(self, put: object) -> None: ...


class Schedules:
    """The schedules of one account. Every method that changes something returns once that is on disk.

    Each instant is delivered once. The transaction in which it leaves its schedule writes it down as a fire; the one that ends the fire has the
    queue's message or the bus's event in it; a function's event has the fire's id, and is accepted once. What came while nothing ran is delivered
    at the next start, up to the age that its retry policy allows.
    """

    def __init__(self, database: Database, clock: Clock, account: str, targets: Targets) -> None:
        self.account = account
        self._database = database
        self._clock = clock
        self._targets = targets
        self._changed = asyncio.Event()
        #: Nothing is due, as far as is known.
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._database.migrate("schedules", "eventflow.services")

    def start(self) -> None:
        """Begin to fire: once functions and their triggers are there."""
        if self._task is None:
            self._idle.clear()
            self._task = asyncio.create_task(self._run(), name="schedules")

    async def close(self) -> None:
        """Fire no more; what has come and is not delivered is on disk."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._idle.set()

    # Schedules.

    async def create(self, region: str, group: str, name: str, params: Mapping[str, Any], token: str | None) -> str:
        now = self._clock.now()
        definition = self._definition(region, params, now)
        await self._write(lambda connection: catalog.create(connection, region, self.account, group, name, definition, token, now))
        return schedule_arn(region, self.account, group, name)

    async def update(self, region: str, group: str, name: str, params: Mapping[str, Any]) -> str:
        now = self._clock.now()
        definition = self._definition(region, params, now)

        def change(connection: sqlite3.Connection) -> None:
            catalog.update(connection, self.account, catalog.find(connection, region, group, name), definition, now)

        await self._write(change)
        return schedule_arn(region, self.account, group, name)

    async def find(self, region: str, group: str, name: str) -> Schedule:
        return await self._database.read(lambda connection: catalog.find(connection, region, group, name))

    async def delete(self, region: str, group: str, name: str, token: str | None) -> None:
        subject, now = f"schedule/{group}/{name}", self._clock.now()

        def change(connection: sqlite3.Connection) -> None:
            if not catalog.recalled(connection, region, subject, token):
                catalog.delete(connection, catalog.find(connection, region, group, name))
                catalog.remember(connection, region, subject, token, now)

        await self._write(change)

    async def page(
        self, region: str, group: str | None, prefix: str, enabled: bool | None, limit: int | None, token: str | None
    ) -> tuple[list[Schedule], str | None]:
        return await self._database.read(lambda connection: catalog.page(connection, region, group, prefix, enabled, limit, token))

    def _definition(self, region: str, params: Mapping[str, Any], now: float) -> Definition:
        return Definition.of(params, now, Place(region, self.account, self._targets.has_buses))

    # Groups.

    async def create_group(self, region: str, name: str, tags: Mapping[str, str], token: str | None) -> str:
        now = self._clock.now()
        await self._write(lambda connection: catalog.create_group(connection, region, name, tags, token, now))
        return group_arn(region, self.account, name)

    async def find_group(self, region: str, name: str) -> Group:
        return await self._database.read(lambda connection: catalog.find_group(connection, region, name))

    async def delete_group(self, region: str, name: str, token: str | None) -> None:
        """Delete a group with all its schedules, at once (AWS: eventually)."""
        subject, now = f"schedule-group/{name}", self._clock.now()

        def change(connection: sqlite3.Connection) -> None:
            if not catalog.recalled(connection, region, subject, token):
                catalog.delete_group(connection, region, name)
                catalog.remember(connection, region, subject, token, now)

        await self._write(change)

    async def groups(self, region: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Group], str | None]:
        return await self._database.read(lambda connection: catalog.groups(connection, region, prefix, limit, token))

    async def change_tags(self, region: str, group: str, added: Mapping[str, str], removed: Iterable[str]) -> None:
        now = self._clock.now()
        await self._write(lambda connection: catalog.change_tags(connection, region, group, added, removed, now))

    # Firing.

    async def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        await self._database.write(change)
        self._changed.set()
        if self._task is not None:
            self._idle.clear()

    async def settle(self) -> bool:
        """For tests: return once nothing is due; whether there was anything."""
        busy = not self._idle.is_set()
        await self._idle.wait()
        return busy

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._changed.clear()
            try:
                while await self._fire_due():
                    pass
                following = await self._database.read(firing.next_instant)
            except Exception as error:
                trace = None if isinstance(error, EventflowError) else error
                log.error("Schedules could not be fired and are tried again: %s", error, exc_info=trace)
                following, pause = self._clock.now() + pause, min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
            if not self._changed.is_set():
                self._idle.set()
            await self._wait(following)

    async def _wait(self, instant: float | None) -> None:
        """Until this instant on the wall's clock, or until something was changed."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if instant is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(instant)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            self._idle.clear()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _fire_due(self) -> bool:
        """Fire what is due, up to some at once; whether there was any."""
        planned, fires, put = await self._database.write(self._take_up)
        for event in put:
            self._targets.after(event)
        for fire in fires:
            self._targets.wake(fire.to)
            if "DeadLetterConfig" in fire.target:
                self._targets.wake(fire.target["DeadLetterConfig"].get("Arn", ""))
        await self._emit([fire for fire in fires if fire.service == "lambda"])
        return planned or bool(fires)

    def _take_up(self, connection: sqlite3.Connection) -> tuple[bool, list[Fire], list[object]]:
        now = self._clock.now()
        planned = firing.plan(connection, self.account, now)
        fires = firing.waiting(connection, now)
        followed = [firing.deliver(connection, self._targets, fire, now) for fire in fires if fire.service != "lambda"]
        return planned, fires, [put for put in followed if put is not None]

    async def _emit(self, fires: list[Fire]) -> None:
        """Give fires to their functions, whose journal knows each by its id."""
        if not fires:
            return
        outcomes = await asyncio.gather(*(self._tried(fire) for fire in fires))
        done = [fire for fire, outcome in zip(fires, outcomes, strict=True) if outcome is None]
        refused = [outcome for outcome in outcomes if outcome is not None]
        faultpoint.reach("fire.emitted")
        await self._database.write(partial(self._settle, done, refused))
        for refusal in refused:
            self._targets.wake((refusal.fire.target.get("DeadLetterConfig") or {}).get("Arn", ""))

    def _settle(self, done: list[Fire], refused: list[Refusal], connection: sqlite3.Connection) -> None:
        firing.settle(connection, self._targets, done, refused, self._clock.now())

    async def _tried(self, fire: Fire) -> Refusal | None:
        name = fire.to.split(":")[6]
        try:
            await self._targets.emit(name, fire.payload(), fire.id)
        except ServiceError as error:
            return Refusal(fire, error.code, error.message)
        except StorageError:
            raise
        except EventflowError as error:
            return Refusal(fire, type(error).__name__, str(error))
        return None
