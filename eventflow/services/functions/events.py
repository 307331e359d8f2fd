"""What becomes of a function's asynchronous events: attempts, age, destinations; each version and each alias has its own, for what comes by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from eventflow.function import names_version
from eventflow.services.functions import rows
from eventflow.services.functions.destinations import destination_of
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import not_found, wrong
from eventflow.services.functions.records import EventSettings, number_of

T = TypeVar("T")
#: AWS: attempts after the first, and seconds.
MOST_RETRIES = 2
LEAST_AGE, MOST_AGE = 60, 21_600


class Events:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def put(self, name: str, qualifier: str, settings: EventSettings, *, merge: bool) -> EventSettings:
        """Set what is to become of events that come by a qualifier; with ``merge``, what is None stays as it was, and an empty destination is taken
        away."""
        ledger = self._ledger
        ledger.check_changeable(name)
        check(settings)
        for arn, failure in ((settings.on_success, False), (settings.on_failure, True)):
            await self._check_there(arn, failure=failure)

        def change(connection: sqlite3.Connection) -> EventSettings:
            self._check_qualifier(connection, name, qualifier)
            former = rows.event_settings(connection, name, qualifier)
            if merge and former is None:
                raise self._none(name, qualifier)
            after = replace(merged(former, settings) if merge and former else settings, modified_at=ledger.clock.now())
            after = replace(after, on_success=after.on_success or None, on_failure=after.on_failure or None)
            rows.put_event_settings(connection, name, qualifier, after)
            return after

        return await self._apply(name, qualifier, change)

    async def delete(self, name: str, qualifier: str) -> None:
        ledger = self._ledger
        ledger.check_changeable(name)

        def change(connection: sqlite3.Connection) -> None:
            if not rows.delete_event_settings(connection, name, qualifier):
                raise self._none(name, qualifier)

        await self._apply(name, qualifier, change)

    async def _apply(self, name: str, qualifier: str, change: Callable[[sqlite3.Connection], T]) -> T:
        ledger = self._ledger

        async def work() -> T:
            found = await ledger.write(change)
            await ledger.deploy(name, [number_of(qualifier)] if names_version(qualifier) else [])
            return found

        return await ledger.alone(name, work)

    async def find(self, name: str, qualifier: str) -> EventSettings:
        def query(connection: sqlite3.Connection) -> EventSettings | None:
            self._check_qualifier(connection, name, qualifier)
            return rows.event_settings(connection, name, qualifier)

        found = await self._ledger.database.read(query)
        if found is None:
            raise self._none(name, qualifier)
        return found

    async def all(self, name: str, first: str, limit: int) -> list[tuple[str, EventSettings]]:
        """All settings of a function with their qualifiers, from one on."""
        return await self._ledger.database.read(lambda connection: rows.all_event_settings(connection, name, first, limit))

    def _check_qualifier(self, connection: sqlite3.Connection, name: str, qualifier: str) -> None:
        """Raises ServiceError where the function has no such version or alias."""
        place = self._ledger.place
        if names_version(qualifier):
            rows.found_version(connection, place, name, number_of(qualifier))
        elif qualifier not in rows.aliases(connection, name):
            raise not_found(f"Function not found: {place.function_arn(name, qualifier)}")

    async def _check_there(self, arn: str | None, *, failure: bool) -> None:
        if not arn:
            return
        target = destination_of(arn, self._ledger.place, failure=failure)
        if not await self._ledger.world.exists(target.kind, target.name):
            raise wrong(f"The destination ARN {arn} is invalid: there is no such {target.kind}.")

    def _none(self, name: str, qualifier: str) -> Exception:
        return not_found(f"The function {self._ledger.place.function_arn(name, qualifier)} doesn't have an EventInvokeConfig")


def check(settings: EventSettings) -> None:
    if settings.retries is None and settings.maximum_age is None and settings.on_success is None and settings.on_failure is None:
        raise wrong("You must specify at least one of error handling or destination setting.")
    if settings.retries is not None and not 0 <= settings.retries <= MOST_RETRIES:
        raise wrong(f"MaximumRetryAttempts is {settings.retries}; it may be 0 to {MOST_RETRIES}.")
    if settings.maximum_age is not None and not LEAST_AGE <= settings.maximum_age <= MOST_AGE:
        raise wrong(f"MaximumEventAgeInSeconds is {settings.maximum_age}; it may be {LEAST_AGE} to {MOST_AGE}.")


def merged(former: EventSettings, settings: EventSettings) -> EventSettings:
    return EventSettings(
        former.retries if settings.retries is None else settings.retries,
        former.maximum_age if settings.maximum_age is None else settings.maximum_age,
        former.on_success if settings.on_success is None else settings.on_success,
        former.on_failure if settings.on_failure is None else settings.on_failure,
    )
