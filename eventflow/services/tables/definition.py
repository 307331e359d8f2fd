"""A table as the rules see it: its key, its secondary indexes, and the definition that it was created with."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Item, item_size, type_of
from eventflow.services.tables.keys import EMPTY_KEY, KINDS, LONGEST_HASH, LONGEST_SORT, KeySchema, RowKey, refuse_long

if TYPE_CHECKING:
    from eventflow.services.tables.capacity import Consumed

GLOBAL = "GlobalSecondaryIndexes"
LOCAL = "LocalSecondaryIndexes"
SCOPES = (LOCAL, GLOBAL)

#: A place in the order in which a table's items lie: slot, hash and sort.
Place = tuple[int, bytes, bytes]
#: Beyond any instant that anybody means.
LATEST_INSTANT = 10**14


@dataclass(frozen=True, slots=True)
class Entry:
    """What an index has of one item: its key there, and the size of what is projected."""

    key: RowKey
    bytes: int


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index; ``scope`` is the member of AWS's shapes that it belongs to, ``projected`` the attributes in it, None for all."""

    id: int
    name: str
    scope: str
    keys: KeySchema
    projected: frozenset[str] | None
    built: Place | None = None

    def covers(self, key: RowKey) -> bool:
        """Whether the index has what it should have of the item with this key: one that is being built has it up to ``built``."""
        return self.built is None or (key.slot, *key) <= self.built

    @property
    def is_global(self) -> bool:
        return self.scope == GLOBAL

    def view(self, item: Item) -> Item:
        """The item as the index has it."""
        if self.projected is None:
            return item
        return {name: value for name, value in item.items() if name in self.projected}

    def entry(self, item: Item | None) -> Entry | None:
        """None for an item that lacks one of the index's key attributes, or has something in one that is no key, which may have been there before
        the index: it is not in the index."""
        if item is None:
            return None
        for name, kind in self.keys.parts:
            value = item.get(name)
            if value is None or not value.get(kind):
                return None
        key = self.keys.row_key(item)
        return None if len(key.hash) > LONGEST_HASH or len(key.sort) > LONGEST_SORT else Entry(key, item_size(self.view(item)))

    def refuse_keys(self, item: Item) -> None:
        """An item whose attributes cannot be keys of this index cannot be put."""
        for name, kind in self.keys.parts:
            if name not in item:
                continue
            if kind not in item[name]:
                raise self.mismatch(name, kind, type_of(item[name]))
            if kind in KINDS and not item[name][kind]:
                raise invalid(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
                    f"{EMPTY_KEY.format(KINDS[kind])} IndexName: {self.name}, IndexKey: {name}"
                )
        if all(name in item for name in self.keys.names):
            refuse_long(self.keys.row_key(item))

    def mismatch(self, name: str, expected: str, actual: str) -> Exception:
        return invalid_parameters(f"Type mismatch for Index Key {name} Expected: {expected} Actual: {actual} IndexName: {self.name}")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A table's time to live: the number attribute that says in Unix seconds when an item expires. ``id`` is that of its rows; ``built`` is the
    place up to which they are there, None for all."""

    id: int
    attribute: str
    built: Place | None

    def covers(self, key: RowKey) -> bool:
        return self.built is None or (key.slot, *key) <= self.built

    def instant(self, item: Item | None) -> int | None:
        """When the item expires; None for one that does not."""
        text = item.get(self.attribute, {}).get("N") if item else None
        instant = Decimal(text) if text is not None else None
        return int(instant) if instant is not None and abs(instant) < LATEST_INSTANT else None


class Meter(Protocol):
    """What a table with provisioned throughput asks before it is read or written, and tells afterwards. ``admit`` raises
    ProvisionedThroughputExceededException. ``index`` is a global one."""

    def admit_read(self, index: str | None) -> None: ...
    def admit_write(self) -> None: ...
    def charge_read(self, consumed: Consumed) -> None: ...
    def charge_write(self, consumed: Consumed) -> None: ...


class ItemStream(Protocol):
    """What is told of every change of an item of its table, inside the transaction of the change. ``expired``: it was the table's time to live."""

    def record(self, connection: sqlite3.Connection, table: Table, old: Item | None, new: Item | None, expired: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Table:
    """``definition`` is JSON: the accepted members of CreateTable, ``CreationDateTime`` and ``TableId``. ``stream`` takes each change of an item,
    where the table has one."""

    id: int
    region: str
    name: str
    keys: KeySchema
    indexes: Mapping[str, Index]
    definition: Mapping[str, Any]
    stream: ItemStream | None = None
    lifetime: Lifetime | None = None
    meter: Meter | None = None

    @property
    def has_collections(self) -> bool:
        """Item collections are those of tables with local indexes."""
        return LOCAL in self.definition

    def index(self, name: str) -> Index:
        """The index, to be read."""
        found = self.indexes.get(name)
        if found is None:
            raise invalid(f"The table does not have the specified index: {name}")
        if found.built is not None:
            raise invalid(f"Cannot read from backfilling global secondary index: {name}")
        return found


def table_from(id: int, region: str, name: str, definition: Mapping[str, Any], index_ids: Mapping[str, int]) -> Table:
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in definition["AttributeDefinitions"]}
    keys = key_schema(definition["KeySchema"], types)
    indexes = {
        index["IndexName"]: _index_from(index_ids[index["IndexName"]], scope, index, keys, types)
        for scope in SCOPES
        for index in definition.get(scope, ())
        if not index.get("Deleting")
    }
    return Table(id, region, name, keys, indexes, definition, lifetime=_lifetime_from(definition))


def _lifetime_from(definition: Mapping[str, Any]) -> Lifetime | None:
    found = definition.get("TimeToLive")
    return Lifetime(found["Id"], found["AttributeName"], place_of(found.get("Built"))) if found else None


def not_built() -> list[Any]:
    """The place before the first item, as definitions have it."""
    return [-1, "", ""]


def place_of(written: list[Any] | None) -> Place | None:
    return None if written is None else (written[0], bytes.fromhex(written[1]), bytes.fromhex(written[2]))


def written_place(place: Place) -> list[Any]:
    return [place[0], place[1].hex(), place[2].hex()]


def at_rest(definition: Mapping[str, Any]) -> bool:
    """Whether no index of the table is being built or deleted."""
    return not any("Built" in index or "Deleting" in index for index in definition.get(GLOBAL, ()))


def key_schema(elements: list[dict[str, str]], types: Mapping[str, str]) -> KeySchema:
    names = [element["AttributeName"] for element in elements]
    sort = names[1] if len(names) > 1 else None
    return KeySchema(names[0], types[names[0]], sort, types[sort] if sort else None)


def _index_from(id: int, scope: str, index: Mapping[str, Any], table_keys: KeySchema, types: Mapping[str, str]) -> Index:
    keys = key_schema(index["KeySchema"], types)
    projection = index["Projection"]
    projected = None
    if projection["ProjectionType"] != "ALL":
        projected = frozenset((*table_keys.names, *keys.names, *projection.get("NonKeyAttributes", ())))
    return Index(id, index["IndexName"], scope, keys, projected, place_of(index.get("Built")))
