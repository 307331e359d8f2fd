"""Query: the items of one hash key, in the order of their sort keys, of a table or an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Value
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.keyconditions import KeyTest
from eventflow.services.tables.definition import Index, Table
from eventflow.services.tables.keys import ABOVE_ALL, EMPTY_KEY, KINDS, KeySchema, RowKey, encode, end_of_prefix, following, refuse_long
from eventflow.services.tables.older import older_key_tests
from eventflow.services.tables.pages import Request, Row, accept, read_page
from eventflow.services.tables.writes import refuse_nested_keys

ITEMS = "SELECT body, binary, bytes, bytes FROM table_items WHERE table_id = ? AND slot = ? AND hash = ? AND sort >= ? AND sort < ?"
UP = f"{ITEMS} ORDER BY sort"
DOWN = f"{ITEMS} ORDER BY sort DESC"

# CROSS JOIN keeps SQLite from starting with the items.
ENTRIES = """
SELECT i.body, i.binary, e.bytes, i.bytes FROM table_entries AS e CROSS JOIN table_items AS i ON i.id = e.item_id
WHERE e.index_id = ? AND e.slot = ? AND e.hash = ?
AND (e.sort, e.item_hash, e.item_sort) >= (?, ?, ?) AND (e.sort, e.item_hash, e.item_sort) < (?, ?, ?)
"""
INDEX_UP = f"{ENTRIES} ORDER BY e.sort, e.item_hash, e.item_sort"
INDEX_DOWN = f"{ENTRIES} ORDER BY e.sort DESC, e.item_hash DESC, e.item_sort DESC"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sort keys from ``low`` up to, and without, ``high``."""

    low: bytes = b""
    high: bytes = ABOVE_ALL

    def __contains__(self, sort: bytes) -> bool:
        return self.low <= sort < self.high


class Query:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        accept(params).refuse()
        if params.get("Limit") is not None and params["Limit"] < 1:
            raise invalid(
                "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
            )
        self.reading = Request(params, compiler, ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"))
        key_condition = self._key_condition(params, compiler)
        self.reading.compile()
        self.tests = key_condition()
        self.filtered_by = "QueryFilter" if params.get("QueryFilter") else "Filter Expression"
        self.forward = params.get("ScanIndexForward") is not False

    def _key_condition(self, params: Mapping[str, Any], compiler: Compiler) -> Callable[[], dict[str, KeyTest]]:
        text = params.get("KeyConditionExpression")
        if text is not None:
            return compiler.key_condition(text, self.reading.placeholders)
        tests = older_key_tests(params)
        if tests is None:
            raise invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
        return lambda: tests

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        index = self.reading.index_of(table)
        keys = index.keys if index else table.keys
        hash_key, bounds = key_range(keys, self.tests)
        start = self._start(table, index, hash_key, bounds)
        if self.reading.filter:
            refuse_keys_in_filter(self.filtered_by, keys, self.reading.filter.paths)
            refuse_nested_keys(table, self.reading.filter.paths)
        rows = self._entries(connection, index, hash_key, bounds, start) if index else self._items(connection, table, hash_key, bounds, start)
        return read_page(self.reading, table, index, rows)

    def _start(self, table: Table, index: Index | None, hash_key: bytes, bounds: Bounds) -> tuple[RowKey, RowKey] | None:
        start = self.reading.start_in(table, index)
        if start is None:
            return None
        if start[0].hash != hash_key:
            raise invalid("The provided starting key is outside query boundaries based on provided conditions")
        if start[0].sort not in bounds:
            raise invalid("The provided starting key does not match the range key predicate")
        return start

    def _items(
        self, connection: sqlite3.Connection, table: Table, hash_key: bytes, bounds: Bounds, start: tuple[RowKey, RowKey] | None
    ) -> Iterable[Row]:
        low, high = bounds.low, bounds.high
        if start and self.forward:
            low = following(start[0].sort)
        elif start:
            high = start[0].sort
        return connection.execute(UP if self.forward else DOWN, (table.id, RowKey(hash_key, b"").slot, hash_key, low, high))

    def _entries(
        self, connection: sqlite3.Connection, index: Index, hash_key: bytes, bounds: Bounds, start: tuple[RowKey, RowKey] | None
    ) -> Iterable[Row]:
        low, high = (bounds.low, b"", b""), (bounds.high, b"", b"")
        if start and self.forward:
            low = (start[0].sort, start[1].hash, following(start[1].sort))
        elif start:
            high = (start[0].sort, start[1].hash, start[1].sort)
        return connection.execute(INDEX_UP if self.forward else INDEX_DOWN, (index.id, RowKey(hash_key, b"").slot, hash_key, *low, *high))


def key_range(keys: KeySchema, tests: Mapping[str, KeyTest]) -> tuple[bytes, Bounds]:
    """The hash key and the bounds of the sort key that a key condition asks for."""
    if keys.sort is None and len(tests) > 1 and keys.hash in tests:
        raise invalid("Query key condition not supported")
    for name, kind in keys.parts:
        if name in tests:
            _refuse_values(name, kind, tests[name].values)
        elif name == keys.hash or len(tests) > 1:
            raise invalid(f"Query condition missed key schema element: {name}")
    on_hash = tests[keys.hash]
    if on_hash.operator != "=":
        raise invalid("Query key condition not supported")
    on_sort = tests.get(keys.sort) if keys.sort else None
    bounds = bounds_of(on_sort) if on_sort else Bounds()
    return encode(on_hash.values[0]), bounds


def _refuse_values(name: str, kind: str, values: tuple[Value, ...]) -> None:
    for value in values:
        if kind not in value:
            raise invalid_parameters("Condition parameter type does not match schema type")
        if kind in KINDS and not value[kind]:
            raise invalid(f"One or more parameter values are not valid. {EMPTY_KEY.format(KINDS[kind])} Key: {name}")


def bounds_of(test: KeyTest) -> Bounds:
    first, last = encode(test.values[0]), encode(test.values[-1])
    refuse_long(RowKey(b"", max(first, last, key=len)))
    return {
        "=": Bounds(first, following(first)),
        "<": Bounds(high=first),
        "<=": Bounds(high=following(first)),
        ">": Bounds(following(first)),
        ">=": Bounds(first),
        "BETWEEN": Bounds(first, following(last)),
        "begins_with": Bounds(first, end_of_prefix(first)),
    }[test.operator]


def refuse_keys_in_filter(parameter: str, keys: KeySchema, paths: Iterable[tuple[str | int, ...]]) -> None:
    heads = {path[0] for path in paths}
    for name in keys.names:
        if name in heads:
            raise invalid(f"{parameter} can only contain non-primary key attributes: Primary key attribute: {name}")
