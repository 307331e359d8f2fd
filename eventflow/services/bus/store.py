"""Event buses with the semantics of Amazon EventBridge, on the one database: what was accepted is on disk, with all that follows from it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.journal import Event
from eventflow.errors import ServiceError, SettingError
from eventflow.pattern import compile_pattern
from eventflow.services.bus import archives, entries, records, replays, rules, subscriptions, tags
from eventflow.services.bus.archives import Archive
from eventflow.services.bus.entries import PutEvent
from eventflow.services.bus.errors import already_exists, invalid, refuse_members, unlike
from eventflow.services.bus.names import BUS_NAME, DEFAULT, NAME, check_name
from eventflow.services.bus.records import Bus, Rule
from eventflow.services.bus.replays import Replay
from eventflow.services.bus.routing import Doors, Effects, Router
from eventflow.services.bus.source import EmbeddedBus
from eventflow.services.bus.targets import read_target
from eventflow.services.bus.work import Worker

T = TypeVar("T")

LARGEST_PAGE = 100
#: Parameters of buses that there are none of here.
REFUSED_OF_BUSES = ("EventSourceName", "KmsKeyIdentifier", "DeadLetterConfig")
REFUSED_OF_ARCHIVES = ("KmsKeyIdentifier",)


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
        await self._read(lambda connection: records.find_bus(connection, region, name))
        return EmbeddedBus(self, region, name, owner)

    async def subscribe(self, region: str, name: str, owner: str, pattern: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            records.find_bus(connection, region, name)
            if subscriptions.subscribe(connection, owner, region, name, pattern):
                records.revise(connection, self._clock.new_id())

        if not await self._read(lambda connection: subscriptions.reads(connection, owner, region, name, pattern)):
            compile_pattern(pattern)
            await self._database.write(change)

    async def keep_subscriptions(self, owners: Collection[str]) -> None:
        """End all subscriptions but those of these owners; what still waits for the others goes to their functions."""

        def change(connection: sqlite3.Connection) -> Effects:
            effects = Effects()
            for owner in subscriptions.others(connection, owners):
                self._router.hand_over(connection, owner, effects)
                subscriptions.end(connection, owner)
                records.revise(connection, self._clock.new_id())
            return effects

        self._follow(await self._database.write(change))

    async def waiting(self, owner: str, limit: int, wait: float) -> list[subscriptions.Waiting]:
        """The next events for a reader; waits up to so many seconds for the first."""
        began = self._clock.monotonic()
        while True:
            bell = self._bells.setdefault(owner, asyncio.Event())  # before the look, or an event in between would be missed
            found = await self._read(lambda connection: subscriptions.waiting(connection, owner, limit))
            left = began + wait - self._clock.monotonic()
            if found or left <= 0:
                return found
            await self._clock.wait(bell, left)

    async def forget(self, owner: str, position: int) -> None:
        await self._database.write(lambda connection: subscriptions.forget(connection, owner, position))

    # Buses.

    async def ensure(self, region: str, name: str) -> None:
        """Declare a bus: it is made if it is not there."""
        try:
            check_name("name", name, 256, BUS_NAME)
            await self._change(lambda connection: self._ensure(connection, region, name))
        except ServiceError as error:
            raise SettingError(f"Bus {name!r}: {error.message}") from error

    def _ensure(self, connection: sqlite3.Connection, region: str, name: str) -> None:
        if records.look_up(connection, region, name) is None:
            records.insert_bus(connection, region, name, None, "{}", self._clock.now())

    async def create_bus(self, region: str, params: Mapping[str, Any]) -> None:
        check_bus(params)
        name, given = params["Name"], json.dumps(tags.checked_tags(params.get("Tags")))

        def change(connection: sqlite3.Connection) -> None:
            if records.look_up(connection, region, name) is not None:
                raise already_exists(f"Event bus {name} already exists.")
            records.insert_bus(connection, region, name, params.get("Description"), given, self._clock.now())

        check_name("name", name, 256, BUS_NAME)
        if "/" in name:
            raise invalid(f"Event bus name {name} is not valid: / is for partners' buses.")
        await self._change(change)

    async def update_bus(self, region: str, name: str, params: Mapping[str, Any]) -> Bus:
        check_bus(params)

        def change(connection: sqlite3.Connection) -> Bus:
            now = self._clock.now()
            id = records.bus_id(connection, records.find_bus(connection, region, name), now)
            connection.execute("UPDATE bus_buses SET description = ?, modified_at = ? WHERE id = ?", (params.get("Description"), now, id))
            return records.find_bus(connection, region, name)

        return await self._change(change)

    async def delete_bus(self, region: str, name: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            bus = records.look_up(connection, region, name)
            if bus is None:
                return
            if records.rules(connection, bus, "", "", 1):
                raise invalid(f"Event bus {name} can't be deleted since it has rules.")
            connection.execute("DELETE FROM bus_buses WHERE id = ?", (bus.id,))

        if name == DEFAULT:
            raise invalid("Cannot delete event bus default.")
        await self._change(change)

    async def bus(self, region: str, name: str) -> Bus:
        return await self._read(lambda connection: records.find_bus(connection, region, name))

    async def buses(self, region: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Bus], str | None]:
        return await self._page(partial(records.buses, region=region, prefix=prefix), lambda bus: bus.name, limit, token)

    # Rules.

    async def put_rule(self, region: str, bus: str, params: Mapping[str, Any]) -> None:
        rules.check_rule(params, bus)
        await self._change(lambda connection: rules.put(connection, region, bus, params, self._clock.now()))
        self._worker.wake()

    async def delete_rule(self, region: str, bus: str, name: str) -> None:
        await self._change(lambda connection: rules.delete(connection, region, bus, name))

    async def rule(self, region: str, bus: str, name: str) -> Rule:
        return await self._read(lambda connection: records.find_rule(connection, region, bus, name))

    async def enable_rule(self, region: str, bus: str, name: str, *, enabled: bool) -> None:
        def change(connection: sqlite3.Connection) -> None:
            rules.set_enabled(connection, records.find_rule(connection, region, bus, name), enabled, self._clock.now())

        await self._change(change)
        self._worker.wake()

    async def rules(self, region: str, bus: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Rule], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[Rule]:
            return records.rules(connection, records.find_bus(connection, region, bus), prefix, after, limit)

        return await self._page(query, lambda rule: rule.name, limit, token)

    async def rule_names_by_target(
        self, region: str, bus: str, target_arn: str, limit: int | None, token: str | None
    ) -> tuple[list[str], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[str]:
            return records.rule_names_by_target(connection, records.find_bus(connection, region, bus), target_arn, after, limit)

        return await self._page(query, str, limit, token)

    async def put_targets(self, region: str, bus: str, name: str, given: Sequence[Mapping[str, Any]]) -> None:
        targets = [read_target(target, self.account) for target in given]
        if len({target.id for target in targets}) < len(targets):
            raise invalid("Two targets of the request have the same Id.")

        def change(connection: sqlite3.Connection) -> None:
            rules.put_targets(connection, records.find_rule(connection, region, bus, name), targets)

        await self._change(change)

    async def remove_targets(self, region: str, bus: str, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        def change(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            return rules.remove_targets(connection, records.find_rule(connection, region, bus, name), ids)

        return await self._change(change)

    async def targets(self, region: str, bus: str, name: str, limit: int | None, token: str | None) -> tuple[list[dict[str, Any]], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[dict[str, Any]]:
            return list(records.targets(connection, records.find_rule(connection, region, bus, name).id, after, limit))

        return await self._page(query, lambda target: str(target["Id"]), limit, token)

    # Tags.

    async def tags(self, region: str, arn: str) -> dict[str, str]:
        return await self._read(lambda connection: tags.read(connection, region, arn))

    async def change_tags(self, region: str, arn: str, added: Sequence[Mapping[str, str]], removed: Sequence[str]) -> None:
        checked = tags.checked_tags(added)
        await self._change(lambda connection: tags.change(connection, region, arn, checked, removed, self._clock.now()))

    # Archives and replays.

    async def create_archive(self, region: str, bus: str, params: Mapping[str, Any]) -> Archive:
        name = params["ArchiveName"]
        check_archive(params)

        def change(connection: sqlite3.Connection) -> Archive:
            records.find_bus(connection, region, bus)
            if archives.look_up(connection, region, name) is not None:
                raise already_exists(f"Archive {name} already exists.")
            row = (region, name, bus, params.get("Description"), params.get("EventPattern") or None, params.get("RetentionDays") or 0)
            connection.execute(archives.INSERT, (*row, self._clock.now()))
            return archives.find(connection, region, name)

        archive = await self._change(change)
        self._worker.wake()
        return archive

    async def update_archive(self, region: str, name: str, params: Mapping[str, Any]) -> Archive:
        check_archive(params)

        def change(connection: sqlite3.Connection) -> Archive:
            archive = archives.find(connection, region, name)
            given = (params.get("Description"), params.get("EventPattern"), params.get("RetentionDays"))
            kept = (archive.description, archive.pattern, archive.retention_days)
            new = [one if one is not None else other for one, other in zip(given, kept, strict=True)]
            connection.execute(archives.UPDATE, (*new, archive.id))
            return archives.find(connection, region, name)

        archive = await self._change(change)
        self._worker.wake()
        return archive

    async def archive(self, region: str, name: str) -> Archive:
        return await self._read(lambda connection: archives.find(connection, region, name))

    async def archives(self, region: str, prefix: str, bus: str | None, limit: int | None, token: str | None) -> tuple[list[Archive], str | None]:
        return await self._page(partial(archives.listed, region=region, prefix=prefix, bus=bus), lambda archive: archive.name, limit, token)

    async def delete_archive(self, region: str, name: str) -> None:
        """Forget the events, some at a time, and then the archive."""
        archive = await self.archive(region, name)
        while await self._database.write(lambda connection: archives.forget(connection, archive.id, self._clock.now())):
            pass
        await self._change(lambda connection: connection.execute("DELETE FROM bus_archives WHERE id = ?", (archive.id,)))

    async def start_replay(self, region: str, archive_name: str, bus: str, params: Mapping[str, Any], start: float, end: float) -> Replay:
        name, only = params["ReplayName"], params["Destination"].get("FilterArns")
        check_name("replayName", name, 64, NAME)
        rules.check_description(params.get("Description"))
        if end <= start:
            raise invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")

        def change(connection: sqlite3.Connection) -> Replay:
            archive = archives.find(connection, region, archive_name)
            if archive.bus != bus:
                raise invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
            if replays.look_up(connection, region, name) is not None:
                raise already_exists(f"Replay {name} already exists.")
            row = (region, name, archive_name, bus, json.dumps(only) if only else None, params.get("Description"), start, end, self._clock.now())
            connection.execute(replays.INSERT, row)
            return replays.find(connection, region, name)

        replay = await self._database.write(change)
        self._worker.wake()
        return replay

    async def replay(self, region: str, name: str) -> Replay:
        return await self._read(lambda connection: replays.find(connection, region, name))

    async def replays(self, region: str, asked: Mapping[str, str | None], limit: int | None, token: str | None) -> tuple[list[Replay], str | None]:
        return await self._page(partial(replays.listed, region=region, asked=asked), lambda replay: replay.name, limit, token)

    async def cancel_replay(self, region: str, name: str) -> Replay:
        def change(connection: sqlite3.Connection) -> Replay:
            replay = replays.find(connection, region, name)
            if replay.state not in replays.ACTIVE or replay.state == "CANCELLING":
                raise ServiceError("IllegalStatusException", f"Replay {name} is not in a valid state for this operation.")
            replays.set_state(connection, replay, "CANCELLING", self._clock.now())
            return replays.find(connection, region, name)

        replay = await self._database.write(change)
        self._worker.wake()
        return replay

    # The steps.

    async def _change(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Change what a bus does with events."""

        def revised(connection: sqlite3.Connection) -> T:
            value = change(connection)
            records.revise(connection, self._clock.new_id())
            return value

        return await self._database.write(revised)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._database.read(query)

    async def _page(self, query: Any, key: Callable[[Any], str], limit: int | None, token: str | None) -> tuple[list[Any], str | None]:
        """A page, and the token of the next."""
        if limit is not None and not 1 <= limit <= LARGEST_PAGE:
            raise unlike("limit", limit, f"have value between 1 and {LARGEST_PAGE}")
        after, most = after_token(token), limit or LARGEST_PAGE
        found = await self._read(lambda connection: query(connection, after=after, limit=most + 1))
        page = found[:most]
        return page, token_after(key(page[-1])) if len(found) > most else None


def attempt(make: Callable[[], PutEvent]) -> PutEvent | ServiceError:
    try:
        return make()
    except ServiceError as error:
        return error


def check_bus(params: Mapping[str, Any]) -> None:
    refuse_members(params, REFUSED_OF_BUSES, "the parameter ")
    if (params.get("LogConfig") or {}).get("Level") not in (None, "OFF"):
        refuse_members(params, ("LogConfig",), "the parameter ")
    rules.check_description(params.get("Description"))


def check_archive(params: Mapping[str, Any]) -> None:
    check_name("archiveName", params["ArchiveName"], 48, NAME)
    refuse_members(params, REFUSED_OF_ARCHIVES, "the parameter ")
    rules.check_description(params.get("Description"))
    if (params.get("RetentionDays") or 0) < 0:
        raise unlike("retentionDays", params["RetentionDays"], "have value greater than or equal to 0")
    if params.get("EventPattern"):
        compile_pattern(params["EventPattern"])


def token_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def after_token(token: str | None) -> str:
    try:
        return "" if token is None else base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("NextToken is not valid: take it as the last answer had it, or leave it out.") from error
