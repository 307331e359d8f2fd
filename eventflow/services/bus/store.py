"""Event buses with the semantics of Amazon EventBridge, on the one database: what was accepted is on disk, with all that follows from it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.journal import Event
from eventflow.errors import ServiceError
from eventflow.pattern import compile_pattern
from eventflow.services.bus import entries, records, subscriptions
from eventflow.services.bus.catalog import Catalog
from eventflow.services.bus.entries import PutEvent
from eventflow.services.bus.history import History
from eventflow.services.bus.names import DEFAULT
from eventflow.services.bus.routing import Doors, Effects, Router
from eventflow.services.bus.source import EmbeddedBus
from eventflow.services.bus.work import Worker

T = TypeVar("T")

#: Events of a reader that is no more that one transaction gives to its function: few enough that other changes hardly wait.
HANDED_OVER = 500


class Buses:
    """The buses of one account. Every method that changes something returns once that is on disk.

    ``append`` stores events of functions inside a transaction, ``offer`` hands them to their functions after it; ``known`` tells whether a function
    is loaded; ``send`` sends to a queue inside a transaction, ``wake`` tells its readers after it.
    """

    def __init__(
        self, database: Database, clock: Clock, account: str, doors: Doors, offer: Callable[[Sequence[Event]], None], wake: Callable[[str, str], None]
    ) -> None:
        self.account = account
        self._database = database
        self._clock = clock
        self._offer = offer
        self._wake = wake
        self._router = Router(clock, account, doors)
        self._worker = Worker(database, clock, account, self._router, self._follow)
        self.catalog = Catalog(database, clock, account, self._worker.wake)
        self.history = History(database, clock, account, self._worker.wake)
        #: Held by those who wait; gone with the last of them.
        self._bells: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def open(self) -> None:
        await self._database.migrate("bus", "eventflow.services")

    def start(self) -> None:
        """Take up schedules, further attempts and replays: once the functions are known."""
        self._worker.wake()

    async def settle(self) -> bool:
        """Wait for the work that is under way; whether there was any. (For a virtual clock, which does not see threads.)"""
        return await self._worker.settle()

    def close(self) -> None:
        self._worker.close()

    # Events.

    async def put_events(self, region: str, given: Sequence[Mapping[str, Any]], trace: str | None = None) -> list[PutEvent | ServiceError]:
        """Accept entries of PutEvents, each by itself and in order; those accepted are on disk with all deliveries that follow from them."""
        entries.check_request(given)
        now = self._clock.now()
        read = [attempt(partial(self._entry, region, entry, now, trace)) for entry in given]

        def change(connection: sqlite3.Connection) -> tuple[list[PutEvent | ServiceError], Effects]:
            effects = Effects()
            return [one if isinstance(one, ServiceError) else self._put(connection, region, one, effects) for one in read], effects

        outcomes, effects = await self._database.write(change)
        self._follow(effects)
        return outcomes

    def _entry(self, region: str, entry: Mapping[str, Any], now: float, trace: str | None) -> PutEvent:
        return entries.read_entry(entry, id=self._clock.new_id(), account=self.account, region=region, now=now, trace=trace)

    def _put(self, connection: sqlite3.Connection, region: str, event: PutEvent, effects: Effects) -> PutEvent | ServiceError:
        try:
            records.find_bus(connection, region, event.bus)
        except ServiceError as error:
            return error  # AWS takes the entry and drops it; here what was acknowledged is never dropped
        self._router.put(connection, region, event, effects)
        return event

    async def put(
        self, region: str, source: str, detail_type: str, detail: Mapping[str, Any], *, resources: Sequence[str] = (), bus: str = DEFAULT,
        time: float | None = None, trace: str | None = None
    ) -> str:  # fmt: skip
        """Put an event of eventflow itself (``source`` may be ``aws.s3``); its id once it is on disk. ``time`` is Unix seconds, now by default."""

        def change(connection: sqlite3.Connection) -> tuple[str, Effects]:
            return self.put_in(connection, region, source, detail_type, detail, resources=resources, bus=bus, time=time, trace=trace)

        id, effects = await self._database.write(change)
        self.after(effects)
        return id

    def put_in(
        self, connection: sqlite3.Connection, region: str, source: str, detail_type: str, detail: Mapping[str, Any], *,
        resources: Sequence[str] = (), bus: str = DEFAULT, time: float | None = None, trace: str | None = None
    ) -> tuple[str, Effects]:  # fmt: skip
        """``put`` inside somebody else's ``database.write``: the event's id, and what to pass to ``after`` once that has committed."""
        records.find_bus(connection, region, bus)
        event = entries.event_of(
            id=self._clock.new_id(), bus=bus, source=source, detail_type=detail_type, detail=detail, account=self.account, region=region,
            time=self._clock.now() if time is None else time, resources=resources, trace=trace
        )  # fmt: skip
        effects = Effects()
        self._router.put(connection, region, event, effects)
        return event.id, effects

    def after(self, effects: Effects) -> None:
        """Tell functions, queues and readers what was put inside a transaction that is on disk now."""
        self._follow(effects)

    def _follow(self, effects: Effects) -> None:
        self._offer(effects.events)
        for region, queue in effects.queues:
            self._wake(region, queue)
        for owner in effects.owners:
            bell = self._bells.pop(owner, None)
            if bell is not None:
                bell.set()
        if effects.retries:
            self._worker.wake()

    # Readers.

    async def source(self, region: str, name: str, owner: str) -> EmbeddedBus:
        """The bus as its trigger sees it."""
        await self._database.read(lambda connection: records.find_bus(connection, region, name))
        return EmbeddedBus(self, region, name, owner)

    async def subscribe(self, region: str, name: str, owner: str, pattern: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            records.find_bus(connection, region, name)
            if subscriptions.subscribe(connection, owner, region, name, pattern):
                records.revise(connection, self._clock.new_id())

        if not await self._database.read(lambda connection: subscriptions.reads(connection, owner, region, name, pattern)):
            compile_pattern(pattern)
            await self._database.write(change)

    async def keep_subscriptions(self, owners: Collection[str]) -> None:
        """End all subscriptions but those of these owners; what still waits for the others goes to their functions."""
        for owner in await self._database.read(lambda connection: subscriptions.others(connection, owners)):
            while not await self._hand_over(owner):
                pass

    async def _hand_over(self, owner: str) -> bool:
        """Some of what waits for a reader that is no more; whether that was the last of it."""

        def change(connection: sqlite3.Connection) -> tuple[bool, Effects]:
            effects = Effects()
            done = self._router.hand_over(connection, owner, HANDED_OVER, effects)
            if done:
                subscriptions.end(connection, owner)
                records.revise(connection, self._clock.new_id())
            return done, effects

        done, effects = await self._database.write(change)
        self._follow(effects)
        return done

    async def waiting(self, owner: str, limit: int, wait: float) -> list[subscriptions.Waiting]:
        """The next events for a reader; waits up to so many seconds for the first."""
        began = self._clock.monotonic()
        while True:
            bell = self._bells.setdefault(owner, asyncio.Event())  # before the look, or an event in between would be missed
            found = await self._database.read(lambda connection: subscriptions.waiting(connection, owner, limit))
            left = began + wait - self._clock.monotonic()
            if found or left <= 0:
                return found
            await self._clock.wait(bell, left)

    async def forget(self, owner: str, position: int) -> None:
        await self._database.write(lambda connection: subscriptions.forget(connection, owner, position))


def attempt(make: Callable[[], PutEvent]) -> PutEvent | ServiceError:
    try:
        return make()
    except ServiceError as error:
        return error
