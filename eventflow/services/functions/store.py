"""Functions that are made, changed and deleted by API, and what is told of them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import SettingError
from eventflow.function import Function, names_version
from eventflow.services.functions import rows
from eventflow.services.functions.aliases import Aliases
from eventflow.services.functions.code import Code
from eventflow.services.functions.concurrency import SharedSettings
from eventflow.services.functions.events import Events
from eventflow.services.functions.layers import Layers
from eventflow.services.functions.ledger import Deployments, Ledger, Routes, World, routes_of
from eventflow.services.functions.names import Place, conflict, not_found, wrong
from eventflow.services.functions.provisioned import Provisioned
from eventflow.services.functions.records import NEWEST, Settings, Shared, Version, number_of, version_of
from eventflow.services.functions.revisions import check_revision
from eventflow.services.functions.settings import QUEUE, settings_of
from eventflow.services.functions.urls import Urls
from eventflow.services.functions.versions import Versions, check_stored, check_unzipped, layers_in, publish_in

log = logging.getLogger("eventflow.functions")


@dataclass(frozen=True, slots=True)
class State:
    """``Active``, ``Pending`` or ``Failed``, and how the last update went; ``reason`` where one of them failed."""

    state: str
    update: str
    reason: str = ""


class Functions:
    """The functions of one region and account. What changes one returns once that is on disk, and runs; it raises ServiceError.

    ``attach`` says who runs them; then ``deploy_all`` has all of them run, once the application's functions are there.
    """

    def __init__(
        self, database: Database, clock: Clock, place: Place, folder: Path, world: World, loaded: Callable[[], Mapping[str, Function]]
    ) -> None:
        self.ledger = Ledger(database, clock, place, folder, world, loaded)
        self.place = place
        self.versions = Versions(self.ledger)
        self.aliases = Aliases(self.ledger)
        self.layers = Layers(self.ledger)
        self.shared = SharedSettings(self.ledger)
        self.events = Events(self.ledger)
        self.urls = Urls(self.ledger)
        self.provisioned = Provisioned(self.ledger)
        self.drops = self.versions.drops

    async def open(self) -> None:
        ledger = self.ledger
        await ledger.database.migrate("functions", "eventflow.services")
        await ledger.code.open()

        def query(connection: sqlite3.Connection) -> dict[str, Routes]:
            names = [row[0] for row in connection.execute(rows.NAMES).fetchall()]
            return {name: routes_of(connection, name) for name in names}

        ledger.routes.update(await ledger.database.read(query))
        await self.drops.finish()

    def attach(self, deployments: Deployments) -> None:
        self.ledger.deployments = deployments

    async def deploy_all(self) -> None:
        """Run every function that is on disk."""
        for name in sorted(self.ledger.routes):
            await self.ledger.deploy(name)
        for key, reason in self.ledger.failures.items():
            log.error("the function %s does not run: %s", key, reason)

    async def close(self) -> None:
        """Finish what is under way."""
        await self.ledger.close()

    # Made, changed, deleted.

    async def create(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], archive: IO[bytes], *, publish: bool) -> Version:
        ledger = self.ledger
        self._check_free(name)
        settings = settings_of(params, None, self.place)
        await self._check_around(settings)

        def change(connection: sqlite3.Connection, code: Code) -> Version:
            if rows.shared(connection, name) is not None:
                raise conflict(f"Function already exist: {name}")
            layers = layers_in(connection, self.place, settings, ())
            check_unzipped(code, layers)
            check_stored(connection, code.size)
            latest = Version(name, NEWEST, settings, code, layers, ledger.clock.new_id(), ledger.clock.now())
            connection.execute(rows.INSERT_FUNCTION, (name, rows.json_of(tags)))
            rows.put_version(connection, latest)
            return self._published(connection, latest) if publish else latest

        async def work() -> Version:
            async with ledger.code.holding(archive) as code:
                self._check_free(name)
                await self.drops.finish(name)
                version = await ledger.write(lambda connection: change(connection, code))
                ledger.routes[name] = Routes()
            await ledger.deploy(name)
            ledger.routes[name].numbers.update({version.number} - {NEWEST})
            return version

        return await ledger.alone(name, work)

    def _check_free(self, name: str) -> None:
        if name in self.ledger.declared():
            self.ledger.check_changeable(name)
        if name in self.ledger.routes:
            raise conflict(f"Function already exist: {name}")

    async def update_code(
        self, name: str, archive: IO[bytes], *, revision: str | None = None, dry_run: bool = False, publish: bool = False
    ) -> Version:
        ledger = self.ledger

        async def work() -> Version:
            async with ledger.code.holding(archive) as code:

                def changed(connection: sqlite3.Connection, latest: Version) -> Version:
                    check_unzipped(code, latest.layers)
                    check_stored(connection, max(0, code.size - latest.code.size))
                    return replace(latest, code=code)

                return await self._update(name, revision, changed, dry_run=dry_run, publish=publish)

        return await self._alone(name, work)

    async def update_settings(self, name: str, params: Mapping[str, Any], *, revision: str | None = None) -> Version:
        ledger = self.ledger

        async def work() -> Version:
            former = await ledger.database.read(lambda connection: rows.found_version(connection, self.place, name, NEWEST))
            settings = settings_of(params, former.settings, self.place)
            await self._check_around(settings)

            def changed(connection: sqlite3.Connection, latest: Version) -> Version:
                layers = layers_in(connection, self.place, settings, latest.layers)
                check_unzipped(latest.code, layers)
                return replace(latest, settings=settings, layers=layers)

            return await self._update(name, revision, changed)

        return await self._alone(name, work)

    async def _alone(self, name: str, work: Callable[[], Coroutine[Any, Any, Version]]) -> Version:
        self.ledger.check_changeable(name)
        return await self.ledger.alone(name, work)

    async def _update(
        self,
        name: str,
        revision: str | None,
        changed: Callable[[sqlite3.Connection, Version], Version],
        *,
        dry_run: bool = False,
        publish: bool = False,
    ) -> Version:
        ledger = self.ledger

        def change(connection: sqlite3.Connection) -> tuple[Version, Version]:
            latest = rows.found_version(connection, self.place, name, NEWEST)
            check_revision(revision, latest.revision)
            after = changed(connection, latest)
            if dry_run:
                return latest, after
            after = replace(after, revision=ledger.clock.new_id(), modified_at=ledger.clock.now())
            rows.put_version(connection, after)
            return latest, self._published(connection, after) if publish else after

        if dry_run:
            return (await ledger.database.read(change))[1]
        before, after = await ledger.write(change)
        await ledger.deploy(name, [NEWEST])
        if after.number != NEWEST:
            await self.versions.published(after)
        ledger.code.forget(set(before.contents) - set(after.contents))
        return after

    def _published(self, connection: sqlite3.Connection, latest: Version) -> Version:
        return publish_in(connection, latest, None, self.ledger.clock.new_id(), self.ledger.clock.now())

    async def _check_around(self, settings: Settings) -> None:
        """Raises ServiceError where the machine has not what the settings need."""
        try:
            await asyncio.to_thread(self.ledger.world.check_runtime, settings.runtime)
        except SettingError as error:
            raise wrong(f"Value {settings.runtime} at 'runtime' failed to satisfy constraint: {error}") from error
        if settings.dead_letter is not None:
            match = QUEUE.fullmatch(settings.dead_letter)
            if match is None or not await self.ledger.world.exists("queue", match["name"]):
                raise not_found(f"The dead letter queue {settings.dead_letter} does not exist.")

    async def delete(self, name: str) -> None:
        """Delete a function with all its versions and aliases, and the events that wait for it. What runs ends as it began."""
        ledger = self.ledger

        def change(connection: sqlite3.Connection) -> list[Version]:
            gone = rows.versions(connection, name)
            connection.execute(rows.DELETE_FUNCTION, (name,))
            self.drops.record_in(connection, [version.key for version in gone])
            return gone

        async def work() -> None:
            gone = await ledger.write(change)
            await ledger.remove([version.key for version in gone])
            ledger.deployments.configure_aliases(name, {})
            ledger.routes.pop(name, None)
            await self.drops.try_to_finish(name)
            ledger.code.forget(sha for version in gone for sha in version.contents)

        ledger.check_changeable(name)
        await ledger.alone(name, work)

    # What there is.

    async def version(self, name: str, qualifier: str | None) -> Version:
        """The version that a qualifier names; an alias stands for its first one."""
        if not names_version(qualifier):
            number = self.aliases.find(name, str(qualifier)).number
        else:
            number = NEWEST if qualifier is None else self._number(name, qualifier)
        return await self.ledger.database.read(lambda connection: rows.found_version(connection, self.place, name, number))

    async def shared_of(self, name: str) -> Shared:
        return await self.ledger.database.read(lambda connection: rows.found_shared(connection, self.place, name))

    async def page(self, after: tuple[str, int], limit: int, *, all_versions: bool) -> list[Version]:
        """Versions in order of name and number, from behind ``after``: ``$LATEST`` of every function, or all of them."""

        def query(connection: sqlite3.Connection) -> list[Version]:
            chosen = (rows.ALL_VERSIONS, (*after, limit)) if all_versions else (rows.ALL_NEWEST, (after[0], limit))
            return [rows.version_in(connection, row) for row in connection.execute(*chosen).fetchall()]

        return await self.ledger.database.read(query)

    async def stored_bytes(self) -> int:
        return await self.ledger.database.read(rows.total_size)

    def state(self, version: Version) -> State:
        runs, failure = version.key in self.ledger.running, self.ledger.failures.get(version.key, "")
        if failure:
            return State("Active" if runs else "Failed", "Failed", failure)
        return State("Active", "Successful") if runs else State("Pending", "InProgress")

    # Where an invocation goes.

    def route(self, name: str, qualifier: str | None) -> tuple[str, str]:
        """The dispatcher's key of the function that an invocation runs, and its version. Raises ServiceError where there is
        none, or it does not run."""
        number = NEWEST if qualifier is None else self._number(name, qualifier)
        routes = self.ledger.routes[name]
        if number != NEWEST and number not in routes.numbers:
            raise not_found(f"Function not found: {self.place.function_arn(name, qualifier)}")
        key = name if number == NEWEST else f"{name}:{number}"
        if key not in self.ledger.running:
            state = "Failed" if key in self.ledger.failures else "Pending"
            reason = f" {self.ledger.failures[key]}" if key in self.ledger.failures else ""
            raise conflict(f"The operation cannot be performed at this time. The function is currently in the following state: {state}.{reason}")
        return key, "$LATEST" if number == NEWEST else str(number)

    def _number(self, name: str, qualifier: str) -> int:
        if not names_version(qualifier):
            return self.aliases.choose(name, qualifier)
        number = number_of(qualifier)
        if version_of(number) != qualifier:  # such as 01
            raise not_found(f"Function not found: {self.place.function_arn(name, qualifier)}")
        return number

    def knows(self, name: str) -> bool:
        """Whether a function of this name was made by API."""
        return name in self.ledger.routes
