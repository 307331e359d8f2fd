"""What tables need done behind their users' backs: new indexes filled, deleted ones emptied, expired items deleted, each a slice at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

from eventflow.clock import Clock, Timer
from eventflow.database import Database
from eventflow.errors import StorageError
from eventflow.services.attributes.values import Item
from eventflow.services.tables import expiries, items
from eventflow.services.tables.catalog import Catalog
from eventflow.services.tables.definition import GLOBAL, SCOPES, Index, Lifetime, Place, Table, at_rest, written_place
from eventflow.services.tables.keys import RowKey
from eventflow.services.tables.sweeping import ENTRIES, sweep

log = logging.getLogger("eventflow.tables")

#: Seconds between two looks at what has expired: items leave within a minute.
ROUND = 20.0
#: One transaction fills an index with so many items, or fewer where they have more bytes than that; or deletes so many expired items.
SLICE = 500
SLICE_BYTES = 1024 * 1024
EXPIRED_SLICE = 100

DEFINITIONS = "SELECT id, definition FROM tables"
LIFETIMES = "SELECT table_id FROM table_lifetimes"
FOLLOWING = """
SELECT id, slot, hash, sort, body, binary, bytes FROM table_items
WHERE table_id = ? AND (slot, hash, sort) > (?, ?, ?) ORDER BY slot, hash, sort LIMIT ?
"""

#: Where an item lies, its identifier, and the item.
Found = tuple[Place, int, Item]


class Upkeep:
    """Works when it is woken, and once it was started every 20 seconds while any table has a time to live: where none has, no timer runs. What a
    crash interrupts goes on at the next start."""

    def __init__(self, database: Database, clock: Clock, catalog: Catalog) -> None:
        self._database = database
        self._clock = clock
        self._catalog = catalog
        self._unfinished: set[int] = set()
        self._timer: Timer | None = None
        self._started = False
        self._task: asyncio.Task[None] | None = None
        self._again = False

    async def resume(self) -> None:
        """Find what was left unfinished, and go on with it."""
        self._unfinished = await self._database.read(unfinished)
        if self._unfinished:
            self.wake()

    def start(self) -> None:
        self._started = True
        self.wake()

    def close(self) -> None:
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _arm(self) -> None:
        if self._started and self._timer is None:
            self._timer = self._clock.call_later(ROUND, self._begin_round)

    def _begin_round(self) -> None:
        self._timer = None
        self.wake()

    def wake(self, table_id: int | None = None) -> None:
        """Do what there is to do, for this table among others."""
        if table_id is not None:
            self._unfinished.add(table_id)
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def settle(self) -> bool:
        """Wait for the work that is under way; whether there was any."""
        if self._task is None or self._task.done():
            return False
        await self._task
        return True

    async def _work(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await self.round()
            except StorageError as error:
                log.warning("indexes are filled and expired items deleted later: %s", error)
                self._arm()

    async def round(self) -> None:
        """All that there is to do now."""
        while self._unfinished:
            table_id = self._unfinished.pop()  # before the work: what is asked for meanwhile is not forgotten
            try:
                await self._finish(table_id)
            except StorageError:
                self._unfinished.add(table_id)
                raise
        tables = await self._database.look(lambda connection: connection.execute(LIFETIMES).fetchall())
        if tables:
            self._arm()
        for (table_id,) in tables:
            while await self._expire(table_id):
                pass

    # Indexes, and the rows of a time to live.

    async def _finish(self, table_id: int) -> None:
        while await self._database.write(lambda connection: self._advance(connection, table_id)):
            pass
        while await self._database.write(sweep):
            pass

    def _advance(self, connection: sqlite3.Connection, table_id: int) -> bool:
        """One slice of what is unfinished about a table; whether there was anything."""
        table = self._catalog.by_id(connection, table_id)
        if table is None:
            return False
        for number, index in enumerate(table.definition.get(GLOBAL, ())):
            if "Deleting" in index:
                self._empty(connection, table, number)
                return True
            if "Built" in index:
                self._fill(connection, table, number)
                return True
        if table.lifetime is not None and table.lifetime.built is not None:
            self._note_expiries(connection, table, table.lifetime, table.lifetime.built)
            return True
        return False

    def _empty(self, connection: sqlite3.Connection, table: Table, number: int) -> None:
        """The index is none of the table's any more, and stays in its definition for as long as there are rows."""
        if ENTRIES.gone(connection):
            return
        indexes = list(table.definition[GLOBAL])
        del indexes[number]
        self._catalog.redefine(connection, table, with_indexes(table.definition, indexes))

    def _fill(self, connection: sqlite3.Connection, table: Table, number: int) -> None:
        indexes = [dict(index) for index in table.definition[GLOBAL]]
        index = table.indexes[indexes[number]["IndexName"]]
        assert index.built is not None, "this one is being built"
        slice = list(following(connection, table, index.built))
        for place, item_id, item in slice:
            enter(connection, index, place, item_id, item)
        set_built(indexes[number], slice)
        self._catalog.redefine(connection, table, with_indexes(table.definition, indexes))

    def _note_expiries(self, connection: sqlite3.Connection, table: Table, lifetime: Lifetime, built: Place) -> None:
        slice = list(following(connection, table, built))
        for _place, item_id, item in slice:
            instant = lifetime.instant(item)
            if instant is not None:
                expiries.add_expiry(connection, lifetime, item_id, instant)
        noted = dict(table.definition["TimeToLive"])
        set_built(noted, slice)
        self._catalog.redefine(connection, table, {**table.definition, "TimeToLive": noted})

    # Expired items.

    async def _expire(self, table_id: int) -> bool:
        """Delete some items of a table that have expired; whether there may be more."""
        now = self._clock.now()
        if not await self._database.look(lambda connection: self._due(connection, table_id, now, 1)):
            return False
        return await self._database.write(lambda connection: self._delete_expired(connection, table_id, now)) == EXPIRED_SLICE

    def _due(self, connection: sqlite3.Connection, table_id: int, now: float, most: int) -> list[Any]:
        table = self._catalog.by_id(connection, table_id)
        return [] if table is None or table.lifetime is None else list(expiries.due(connection, table.lifetime, now, most))

    def _delete_expired(self, connection: sqlite3.Connection, table_id: int, now: float) -> int:
        table = self._catalog.by_id(connection, table_id)
        if table is None or table.lifetime is None:
            return 0
        due = expiries.due(connection, table.lifetime, now, EXPIRED_SLICE)
        for instant, item_id, hash_key, sort_key in due:
            old = items.fetch(connection, table, RowKey(hash_key, sort_key or b"")) if hash_key is not None else None
            if old is not None:
                items.change(connection, table, RowKey(hash_key or b"", sort_key or b""), old, None, 0, expired=True)
            expiries.remove_expiry(connection, table.lifetime, instant, item_id)
        return len(due)


def unfinished(connection: sqlite3.Connection) -> set[int]:
    """Tables with an index or a time to live that is not there wholly, or not gone wholly."""
    found: Iterator[tuple[int, dict[str, Any]]] = ((id, json.loads(text)) for id, text in connection.execute(DEFINITIONS))
    return {id for id, definition in found if not at_rest(definition) or "Built" in definition.get("TimeToLive", {})}


def following(connection: sqlite3.Connection, table: Table, after: Place) -> Iterator[Found]:
    """A slice of the table's items, from the first after a place; none when there is no more."""
    room = SLICE_BYTES
    for item_id, slot, hash_key, sort_key, body, binary, size in connection.execute(FOLLOWING, (table.id, *after, SLICE)):
        yield (slot, hash_key, sort_key), item_id, items.load(body, binary)
        room -= size
        if room <= 0:
            break


def enter(connection: sqlite3.Connection, index: Index, place: Place, item_id: int, item: Item) -> None:
    entry = index.entry(item)
    if entry is not None:
        key = RowKey(place[1], place[2])
        connection.execute(items.ENTER, (index.id, entry.key.slot, *entry.key, *key, item_id, entry.bytes))
        connection.execute(items.COUNT_INDEX, (1, entry.bytes, index.id))


def set_built(holder: dict[str, Any], slice: list[Found]) -> None:
    """Note how far something has got; after a slice without items it is done."""
    if slice:
        holder["Built"] = written_place(slice[-1][0])
    else:
        del holder["Built"]


def with_indexes(definition: Any, indexes: list[dict[str, Any]]) -> dict[str, Any]:
    """The definition with these global indexes, and the attributes alone that are still part of a key."""
    found = {**definition, GLOBAL: indexes}
    if not indexes:
        del found[GLOBAL]
    schemas = [found["KeySchema"], *(index["KeySchema"] for scope in SCOPES for index in found.get(scope, ()))]
    used = {element["AttributeName"] for schema in schemas for element in schema}
    found["AttributeDefinitions"] = [each for each in definition["AttributeDefinitions"] if each["AttributeName"] in used]
    return found
