"""What becomes of a function's asynchronous events: attempts, age, destinations; for ``$LATEST`` and for each version of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from eventflow.services.functions import rows
from eventflow.services.functions.destinations import destination_of
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import is_version, not_found, wrong
from eventflow.services.functions.records import NEWEST, EventSettings, number_of, version_of

T = TypeVar("T")
#: AWS: attempts after the first, and seconds.
MOST_RETRIES = 2
LEAST_AGE, MOST_AGE = 60, 21_600


class Events:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def number(self, name: str, qualifier: str | None) -> int:
        """The version that settings are for. Raises ServiceError for an alias."""
        if not is_version(qualifier):
            if name in self._ledger.routes and qualifier not in self._ledger.routes[name].aliases:
                raise not_found(f"Function not found: {self._ledger.place.function_arn(name, qualifier)}")
            raise wrong(
                f"eventflow does not support settings for the asynchronous events of an alias yet (Qualifier {qualifier}); "
                "make them for the version that it names."
            )
        return NEWEST if qualifier is None else number_of(qualifier)

    async def put(self, name: str, qualifier: str | None, settings: EventSettings, *, merge: bool) -> EventSettings:
        """Set what is to become of events; with ``merge``, what is None stays as it was, and an empty destination is taken away."""
        ledger, number = self._ledger, self.number(name, qualifier)
        ledger.check_changeable(name)
        check(settings)
        for arn, failure in ((settings.on_success, False), (settings.on_failure, True)):
            await self._check_there(arn, failure=failure)

        def change(connection: sqlite3.Connection) -> EventSettings:
            rows.found_version(connection, ledger.place, name, number)
            former = rows.event_settings(connection, name, number)
            if merge and former is None:
                raise self._none(name, number)
            after = replace(merged(former, settings) if merge and former else settings, modified_at=ledger.clock.now())
            after = replace(after, on_success=after.on_success or None, on_failure=after.on_failure or None)
            rows.put_event_settings(connection, name, number, after)
            return after

        return await self._apply(name, number, change)

    async def delete(self, name: str, qualifier: str | None) -> None:
        ledger, number = self._ledger, self.number(name, qualifier)
        ledger.check_changeable(name)

        def change(connection: sqlite3.Connection) -> None:
            if not rows.delete_event_settings(connection, name, number):
                raise self._none(name, number)

        await self._apply(name, number, change)

    async def _apply(self, name: str, number: int, change: Callable[[sqlite3.Connection], T]) -> T:
        ledger = self._ledger

        async def work() -> T:
            found = await ledger.write(change)
            await ledger.deploy(name, [number])
            return found

        return await ledger.alone(name, work)

    async def find(self, name: str, qualifier: str | None) -> tuple[int, EventSettings]:
        number = self.number(name, qualifier)

        def query(connection: sqlite3.Connection) -> EventSettings | None:
            rows.found_version(connection, self._ledger.place, name, number)
            return rows.event_settings(connection, name, number)

        found = await self._ledger.database.read(query)
        if found is None:
            raise self._none(name, number)
        return number, found

    async def all(self, name: str, first: int, limit: int) -> list[tuple[int, EventSettings]]:
        """Settings of a function's versions, from a number on."""
        return await self._ledger.database.read(lambda connection: rows.all_event_settings(connection, name, first, limit))

    async def _check_there(self, arn: str | None, *, failure: bool) -> None:
        if not arn:
            return
        target = destination_of(arn, self._ledger.place, failure=failure)
        if not await self._ledger.world.exists(target.kind, target.name):
            raise wrong(f"The destination ARN {arn} is invalid: there is no such {target.kind}.")

    def _none(self, name: str, number: int) -> Exception:
        return not_found(f"The function {self._ledger.place.function_arn(name, version_of(number))} doesn't have an EventInvokeConfig")


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
