"""What all that is done to functions made by API has in common: one change of a function at a time, on disk first, and then running."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import EventflowError
from eventflow.function import Function, Package, names_version
from eventflow.services.functions import rows
from eventflow.services.functions.code import CodeStore
from eventflow.services.functions.destinations import destination_of
from eventflow.services.functions.names import Place, conflict, not_found
from eventflow.services.functions.records import NEWEST, Alias, EventSettings, Settings, Shared, Version

T = TypeVar("T")


class Deployments(Protocol):
    """Who runs functions. ``deploy`` returns once every invocation from now on runs the function as it is given; what runs ends as it began.
    It raises EventflowError where the function cannot be run at all. ``remove`` takes the key of a function (``Function.key``);
    ``configure_aliases`` what becomes of events that came by an alias (``Dispatcher.configure_aliases``); ``warm`` says how many environments of it
    have done their init, and whether the last one failed."""

    async def deploy(self, function: Function) -> None: ...
    async def remove(self, key: str) -> None: ...
    def configure_aliases(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> None: ...
    def warm(self, key: str) -> tuple[int, bool]: ...


class Nobody:
    """Stands in until somebody who runs functions is there."""

    async def deploy(self, function: Function) -> None:
        raise EventflowError(f"Nothing here runs functions that were made by API: {function.key} is kept, and runs when a daemon has this state.")

    async def remove(self, key: str) -> None:
        """There is nothing that could run."""

    def configure_aliases(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """There are no events."""

    def warm(self, key: str) -> tuple[int, bool]:
        return 0, False


class World(Protocol):
    """The other services, as far as functions name what they have. ``exists`` takes a kind of destination and a name; ``content`` raises
    ServiceError where there is no such object, ``check_runtime`` SettingError where functions of a runtime cannot run here; it may take its time.
    ``drop_events`` ends all events that wait for a deleted function, by the dispatcher's key of it, and tells how many those were; what came by
    a qualifier that has an heir (a key too) waits for that one."""

    async def exists(self, kind: str, name: str) -> bool: ...
    def check_runtime(self, runtime: str) -> None: ...
    async def content(self, bucket: str, key: str, version: str | None) -> AsyncIterable[bytes]: ...
    async def drop_events(self, key: str, heirs: Mapping[str, str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Provision:
    """How many environments are to be warm, and since when that is so, in Unix seconds."""

    wanted: int
    modified_at: float


@dataclass(slots=True)
class Routes:
    """Where the invocations of a function may go: its published versions and its aliases; and, by these, what is kept warm."""

    numbers: set[int] = field(default_factory=set)
    aliases: dict[str, Alias] = field(default_factory=dict)
    provisions: dict[str, Provision] = field(default_factory=dict)

    def provisioned(self, number: int) -> int:
        """How many environments of a version are to be warm."""
        named = ((self.aliases[qualifier].number if qualifier in self.aliases else int(qualifier), one) for qualifier, one in self.provisions.items())
        return sum(one.wanted for version, one in named if version == number)


class Ledger:
    """``loaded`` tells all functions that run, those of the application too, by their keys. ``routes`` has every function made by API."""

    def __init__(
        self, database: Database, clock: Clock, place: Place, folder: Path, world: World, loaded: Callable[[], Mapping[str, Function]]
    ) -> None:
        self.database = database
        self.clock = clock
        self.place = place
        self.world = world
        self.code = CodeStore(folder, clock, self._named)
        self.deployments: Deployments = Nobody()
        self.routes: dict[str, Routes] = {}
        self.running: set[str] = set()
        self.failures: dict[str, str] = {}
        self._loaded = loaded
        self._changing: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def _named(self, contents: Iterable[str]) -> set[str]:
        some = list(contents)
        return await self.database.read(lambda connection: rows.named(connection, some))

    # The application's functions.

    def declared(self) -> dict[str, Function]:
        """The functions of the application, by name."""
        return {key: function for key, function in self._loaded().items() if function.name not in self.routes}

    def check_changeable(self, name: str) -> None:
        """Raises ServiceError where there is no function of this name, or where the application declares it."""
        if name in self.routes:
            return
        function = self.declared().get(name)
        if function is None:
            raise not_found(f"Function not found: {self.place.function_arn(name)}")
        raise conflict(
            f"The function {name} is declared by the application ({origin(function)}). Change it there and load the application again: "
            "Lambda's API changes only the functions that it created."
        )

    # One change at a time.

    async def alone(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do this to a function while nothing else is done to it; to the end, even if the caller goes. Raises ResourceConflictException if
        something else is under way."""
        if name in self._changing:
            arn = self.place.function_arn(name)
            raise conflict(f"The operation cannot be performed at this time. An update is in progress for resource: {arn}")
        self._changing.add(name)
        task = asyncio.ensure_future(work())
        self._tasks.add(task)

        def over(task: asyncio.Task[T]) -> None:
            self._changing.discard(name)
            self._tasks.discard(task)
            if not task.cancelled():
                task.exception()  # whoever asked may be gone

        task.add_done_callback(over)
        return await asyncio.shield(task)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.code.close()

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        written = await self.database.write(change)
        faultpoint.reach("code.recorded")
        return written

    # What is on disk runs.

    async def deploy(self, name: str, numbers: Iterable[int] | None = None) -> None:
        """Run some versions of a function, or all, as they are on disk; and settle events that came by its aliases as is said there."""
        wanted = None if numbers is None else set(numbers)

        def query(connection: sqlite3.Connection) -> tuple[list[Version], Shared, dict[str, EventSettings]]:
            if wanted is None:
                found = rows.versions(connection, name)
            else:
                found = [rows.found_version(connection, self.place, name, number) for number in wanted]
            return found, rows.found_shared(connection, self.place, name), dict(rows.all_event_settings(connection, name))

        versions, shared, events = await self.database.read(query)
        aliases = {qualifier: one for qualifier, one in events.items() if not names_version(qualifier)}
        self.deployments.configure_aliases(name, {alias: self.asynchronous(one) for alias, one in aliases.items()})
        for version in versions:
            await self._deploy(version, shared, events.get(version.version))
        faultpoint.reach("code.deployed")

    async def _deploy(self, version: Version, shared: Shared, events: EventSettings | None) -> None:
        try:
            gone = [self.code.path(sha) for sha in version.contents if not self.code.path(sha).is_dir()]
            if gone:
                raise EventflowError(f"The code of {version.key} is gone from {gone[0]}. Send it again with UpdateFunctionCode.")
            await self.deployments.deploy(self.function_of(version, shared, events))
        except EventflowError as error:
            self.failures[version.key] = str(error)
        else:
            self.failures.pop(version.key, None)
            self.running.add(version.key)

    async def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.running.discard(key)
            self.failures.pop(key, None)
            await self.deployments.remove(key)

    def function_of(self, version: Version, shared: Shared, events: EventSettings | None) -> Function:
        settings = version.settings
        return Function(
            name=version.function,
            handler=settings.handler,
            memory=settings.memory,
            timeout=settings.timeout,
            reserved_concurrency=shared.reserved_concurrency,
            dead_letter_queue=None if settings.dead_letter is None else settings.dead_letter.rpartition(":")[2],
            environment=settings.environment,
            description=settings.description,
            log_format=settings.log_format,
            application_log_level=settings.application_log_level,
            system_log_level=settings.system_log_level,
            package=self._package(version, settings),
            version=version.version,
            recursive_loop=shared.recursive_loop,
            provisioned_concurrency=self.routes[version.function].provisioned(version.number) if version.function in self.routes else 0,
            **({} if events is None else self.asynchronous(events)),
        )

    def asynchronous(self, events: EventSettings) -> dict[str, Any]:
        """What was set, by the names of ``Function``'s settings."""
        return {
            **({} if events.retries is None else {"retries": events.retries}),
            **({} if events.maximum_age is None else {"maximum_event_age": events.maximum_age}),
            **({} if events.on_success is None else {"on_success": destination_of(events.on_success, self.place, failure=False)}),
            **({} if events.on_failure is None else {"on_failure": destination_of(events.on_failure, self.place, failure=True)}),
        }

    def _package(self, version: Version, settings: Settings) -> Package:
        layers = tuple(str(self.code.path(layer.code.sha)) for layer in version.layers)
        return Package(settings.runtime, str(self.code.path(version.code.sha)), layers)


def origin(function: Function) -> str:
    """Where an application's function is written."""
    if function.package is not None:
        return f"handler {function.handler} in {function.package.folder}"
    module, _, name = function.handler.partition(":")
    return f"{name} in the module {module}"


def routes_of(connection: sqlite3.Connection, name: str) -> Routes:
    """The routes of a function as they are on disk."""
    numbers = {one.number for one in rows.versions(connection, name)} - {NEWEST}
    provisions = {qualifier: Provision(wanted, at) for qualifier, wanted, at in rows.provisions(connection, name)}
    return Routes(numbers, rows.aliases(connection, name), provisions)
