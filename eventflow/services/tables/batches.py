"""BatchGetItem and BatchWriteItem: many items of many tables in one request."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, valid_item
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.tables import items
from eventflow.services.tables.capacity import Consumed, read_units, reports
from eventflow.services.tables.constraints import Constraints, refuse_mixed, refuse_stray_placeholders
from eventflow.services.tables.definition import Table
from eventflow.services.tables.keys import RowKey
from eventflow.services.tables.older import check_older, older_projection
from eventflow.services.tables.throughput import EXCEEDED, TABLE_EXCEEDED
from eventflow.services.tables.writes import PUT_TOO_LARGE, Returns

MOST_GETS = 100
MOST_WRITES = 25
LARGEST_BATCH = 16 * 1024 * 1024

DUPLICATES = "Provided list of item keys contains duplicates"

#: A request names tables by name or ARN; this gives the table, or the error that there is none.
Lookup = Callable[[str], Table]


class _Keys:
    """What a BatchGetItem wants of one table."""

    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        check_older(Constraints(params), params).refuse()
        refuse_mixed(params)
        refuse_stray_placeholders(params, ("ProjectionExpression",))
        placeholders = Placeholders(params.get("ExpressionAttributeNames"), None)
        text = params.get("ProjectionExpression")
        self.params = params
        self.projection = compiler.projection(text, placeholders) if text is not None else older_projection(params)
        placeholders.refuse_unused()
        self.keys = [valid_item(key) for key in params["Keys"]]

    @property
    def consistent(self) -> bool:
        return bool(self.params.get("ConsistentRead"))

    def left(self, keys: list[Item]) -> dict[str, Any]:
        """The same wish for these keys alone, as UnprocessedKeys has it."""
        return {**self.params, "Keys": keys}


class BatchGet:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        requested = requested_items(params, "BatchGetItem")
        Constraints(params).choices("ReturnConsumedCapacity").refuse()
        for name, wish in requested.items():
            refuse_length(f"RequestItems.{name}.member.Keys", wish.get("Keys") or (), MOST_GETS)
        self.capacity: str | None = params.get("ReturnConsumedCapacity")
        self.wishes = {name: _Keys(wish, compiler) for name, wish in requested.items()}
        if sum(len(wish.keys) for wish in self.wishes.values()) > MOST_GETS:
            raise invalid("Too many items requested for the BatchGetItem call")

    def apply(self, connection: sqlite3.Connection, lookup: Lookup) -> dict[str, Any]:
        """What was found; keys beyond 16 MB of items, and those of a table without throughput left, come back as unprocessed."""
        tables = {name: lookup(name) for name in self.wishes}
        keys = {name: distinct([tables[name].keys.of_key(key) for key in wish.keys]) for name, wish in self.wishes.items()}
        responses: dict[str, list[Item]] = {}
        unprocessed: dict[str, Any] = {}
        consumed: list[tuple[str, Consumed]] = []
        room = LARGEST_BATCH
        for name, wish in self.wishes.items():
            found, used, units = self._read(connection, tables[name], wish, keys[name], room)
            room -= used
            responses[name] = [item for item in found if item is not None]
            consumed.append((tables[name].name, Consumed(units)))
            if len(found) < len(wish.keys):
                unprocessed[name] = wish.left(wish.keys[len(found) :])
        if not any(tables[name].meter is None or responses[name] or name not in unprocessed for name in tables):
            raise ServiceError(EXCEEDED, TABLE_EXCEEDED)
        return {"Responses": responses, "UnprocessedKeys": unprocessed, **reports(self.capacity, consumed)}

    def _read(self, connection: sqlite3.Connection, table: Table, wish: _Keys, keys: list[RowKey], room: int) -> tuple[list[Item | None], int, float]:
        found: list[Item | None] = []
        used, units = 0, 0.0
        if not admitted(table):
            return found, used, units
        for key in keys:
            if used >= room:
                break
            record = items.fetch(connection, table, key)
            size = record.bytes if record else 0
            used += size
            units += read_units(size, wish.consistent)
            found.append((wish.projection.of(record.item) if wish.projection else record.item) if record else None)
        if table.meter is not None:
            table.meter.charge_read(Consumed(units))
        return found, used, units


@dataclass(frozen=True, slots=True)
class _Put:
    item: Item
    size: int


@dataclass(frozen=True, slots=True)
class _Delete:
    key: Item


class BatchWrite:
    def __init__(self, params: Mapping[str, Any]) -> None:
        requested = requested_items(params, "BatchWriteItem")
        Constraints(params).choices("ReturnConsumedCapacity", "ReturnItemCollectionMetrics").refuse()
        self.returns = Returns(params)
        for name, requests in requested.items():
            refuse_writes(name, requests)
        if sum(map(len, requested.values())) > MOST_WRITES:
            raise invalid("Too many items requested for the BatchWriteItem call")
        self.requested = {name: list(requests) for name, requests in requested.items()}
        self.writes = {name: [write_from(request) for request in requests] for name, requests in requested.items()}
        if sum(write.size for writes in self.writes.values() for write in writes if isinstance(write, _Put)) > LARGEST_BATCH:
            raise invalid("Item collection too large: the items of one BatchWriteItem call may have 16 MB together")

    def apply(self, connection: sqlite3.Connection, lookup: Lookup) -> dict[str, Any]:
        tables = {name: lookup(name) for name in self.writes}
        planned = {name: self._keys(tables[name], writes) for name, writes in self.writes.items()}
        consumed: list[tuple[str, Consumed]] = []
        metrics: dict[str, list[dict[str, Any]]] = {}
        unprocessed: dict[str, Any] = {}
        for name, writes in self.writes.items():
            total = Consumed()
            collections: dict[bytes, dict[str, Any]] = {}
            for position, (key, write) in enumerate(zip(planned[name], writes, strict=True)):
                if not admitted(tables[name], writes=True):
                    unprocessed[name] = list(self.requested[name][position:])
                    break
                total.add(self._write(connection, tables[name], key, write))
                found = self.returns.metrics_of(connection, tables[name], key, write.item if isinstance(write, _Put) else write.key)
                if found is not None:
                    collections[key.hash] = found
            consumed.append((tables[name].name, total))
            if collections:
                metrics[name] = list(collections.values())
        if unprocessed == self.requested:
            raise ServiceError(EXCEEDED, TABLE_EXCEEDED)
        response = {"UnprocessedItems": unprocessed, **reports(self.returns.capacity, consumed)}
        return response | {"ItemCollectionMetrics": metrics} if metrics else response

    def _keys(self, table: Table, writes: list[_Put | _Delete]) -> list[RowKey]:
        """The keys of all writes of a table; everything that the table says against them comes up before the first is made."""
        keys = []
        for write in writes:
            if isinstance(write, _Put):
                keys.append(table.keys.of_item(write.item))
                for index in table.indexes.values():
                    index.refuse_keys(write.item)
            else:
                keys.append(table.keys.of_key(write.key))
        return distinct(keys)

    def _write(self, connection: sqlite3.Connection, table: Table, key: RowKey, write: _Put | _Delete) -> Consumed:
        old = items.fetch(connection, table, key)
        if isinstance(write, _Put):
            return items.change(connection, table, key, old, write.item, write.size)
        return items.change(connection, table, key, old, None, 0)


def admitted(table: Table, *, writes: bool = False) -> bool:
    """Whether the table's provisioned throughput lets a batch go on with it."""
    if table.meter is None:
        return True
    try:
        table.meter.admit_write() if writes else table.meter.admit_read(None)
    except ServiceError:
        return False
    return True


def requested_items(params: Mapping[str, Any], operation: str) -> Mapping[str, Any]:
    requested: Mapping[str, Any] | None = params.get("RequestItems")
    if not requested:
        raise invalid(f"The requestItems parameter is required for {operation}")
    return requested


def refuse_length(place: str, found: Any, most: int) -> None:
    if not found:
        raise invalid(
            f"1 validation error detected: Value at '{place}' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    if len(found) > most:
        raise invalid(
            f"1 validation error detected: Value at '{place}' failed to satisfy constraint: Member must have length less than or equal to {most}"
        )


def refuse_writes(name: str, requests: Any) -> None:
    if not 1 <= len(requests) <= MOST_WRITES:
        raise invalid(
            f"1 validation error detected: Value '{{{name}=[{len(requests)} requests]}}' at 'requestItems' failed to satisfy constraint: "
            f"Map value must satisfy constraint: [Member must have length less than or equal to {MOST_WRITES}, "
            "Member must have length greater than or equal to 1]"
        )


def write_from(request: Mapping[str, Any]) -> _Put | _Delete:
    put, delete = request.get("PutRequest"), request.get("DeleteRequest")
    if (put is None) == (delete is None):
        raise invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
    if put is not None:
        item = valid_item(put.get("Item") or {})
        return _Put(item, items.fitting(item, PUT_TOO_LARGE))
    return _Delete(valid_item((delete or {}).get("Key") or {}))


def distinct(keys: list[RowKey]) -> list[RowKey]:
    if len(set(keys)) != len(keys):
        raise invalid(DUPLICATES)
    return keys
