"""Scan: all items of a table or an index, in the order of their slots; segments are ranges of slots."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from eventflow.services.attributes.refusals import invalid
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.tables.definition import Index, Table
from eventflow.services.tables.keys import SLOTS, RowKey, following
from eventflow.services.tables.pages import BAD_START, Request, Row, accept, read_page
from eventflow.services.tables.writes import refuse_nested_keys

MOST_SEGMENTS = 1_000_000

ITEMS = """
SELECT body, binary, bytes, bytes FROM table_items
WHERE table_id = ? AND (slot, hash, sort) >= (?, ?, ?) AND slot < ? ORDER BY slot, hash, sort
"""
ENTRIES = """
SELECT i.body, i.binary, e.bytes, i.bytes FROM table_entries AS e CROSS JOIN table_items AS i ON i.id = e.item_id
WHERE e.index_id = ? AND (e.slot, e.hash, e.sort, e.item_hash, e.item_sort) >= (?, ?, ?, ?, ?) AND e.slot < ?
ORDER BY e.slot, e.hash, e.sort, e.item_hash, e.item_sort
"""


class Scan:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        constraints = accept(params).between("Limit", 1)
        constraints.between("TotalSegments", 1, MOST_SEGMENTS).between("Segment", 0, MOST_SEGMENTS - 1).refuse()
        self.segment, self.segments = segment_of(params.get("Segment"), params.get("TotalSegments"))
        self.reading = Request(params, compiler, ("ProjectionExpression", "FilterExpression"))
        self.reading.compile()

    @property
    def slots(self) -> tuple[int, int]:
        """The first slot of the segment, and the first of the next one."""
        return -(-SLOTS * self.segment // self.segments), -(-SLOTS * (self.segment + 1) // self.segments)

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        index = self.reading.index_of(table)
        start = self._start(table, index)
        if self.reading.filter:
            refuse_nested_keys(table, self.reading.filter.paths)
        rows = self._entries(connection, index, start) if index else self._items(connection, table, start)
        return read_page(self.reading, table, index, rows)

    def _start(self, table: Table, index: Index | None) -> tuple[RowKey, RowKey] | None:
        start = self.reading.start_in(table, index)
        low, high = self.slots
        if start is not None and not low <= start[0].slot < high:
            raise invalid(
                f"{BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                f"TotalSegments: {self.segments} Segment: {self.segment}"
            )
        return start

    def _items(self, connection: sqlite3.Connection, table: Table, start: tuple[RowKey, RowKey] | None) -> Iterable[Row]:
        low, high = self.slots
        after = (start[0].slot, start[0].hash, following(start[0].sort)) if start else (low, b"", b"")
        return connection.execute(ITEMS, (table.id, *after, high))

    def _entries(self, connection: sqlite3.Connection, index: Index, start: tuple[RowKey, RowKey] | None) -> Iterable[Row]:
        low, high = self.slots
        after = (start[0].slot, *start[0], start[1].hash, following(start[1].sort)) if start else (low, b"", b"", b"", b"")
        return connection.execute(ENTRIES, (index.id, *after, high))


def segment_of(segment: int | None, segments: int | None) -> tuple[int, int]:
    if segments is None:
        if segment is not None:
            raise invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
        return 0, 1
    if segment is None:
        raise invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
    if segment >= segments:
        raise invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {segments}"
        )
    return segment, segments
