"""A table as the rules see it: its key, its secondary indexes, and the definition that it was created with."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Item, item_size, type_of
from eventflow.services.tables.keys import EMPTY_KEY, KINDS, KeySchema, RowKey, refuse_long

GLOBAL = "GlobalSecondaryIndexes"
LOCAL = "LocalSecondaryIndexes"
SCOPES = (LOCAL, GLOBAL)


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

    @property
    def is_global(self) -> bool:
        return self.scope == GLOBAL

    def view(self, item: Item) -> Item:
        """The item as the index has it."""
        if self.projected is None:
            return item
        return {name: value for name, value in item.items() if name in self.projected}

    def entry(self, item: Item | None) -> Entry | None:
        """None for an item that lacks one of the index's key attributes: it is not in the index."""
        if item is None or any(name not in item for name in self.keys.names):
            return None
        return Entry(self.keys.row_key(item), item_size(self.view(item)))

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

    def index(self, name: str) -> Index:
        found = self.indexes.get(name)
        if found is None:
            raise invalid(f"The table does not have the specified index: {name}")
        return found


def table_from(id: int, region: str, name: str, definition: Mapping[str, Any], index_ids: Mapping[str, int]) -> Table:
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in definition["AttributeDefinitions"]}
    keys = key_schema(definition["KeySchema"], types)
    indexes = {
        index["IndexName"]: _index_from(index_ids[index["IndexName"]], scope, index, keys, types)
        for scope in SCOPES
        for index in definition.get(scope, ())
    }
    return Table(id, region, name, keys, indexes, definition)


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
    return Index(id, index["IndexName"], scope, keys, projected)
