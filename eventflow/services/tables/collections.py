"""Item collections: the items of one hash key in a table with local secondary indexes, whose size is limited and can be asked for."""

from __future__ import annotations

import sqlite3
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.values import Item, item_size
from eventflow.services.tables.definition import LOCAL, Table
from eventflow.services.tables.keys import RowKey

LARGEST = 10 * 1024**3
GIGABYTE = 1024**3
TOO_LARGE = "Collection size exceeded."

ADD = """
INSERT INTO table_collections (table_id, slot, hash, bytes) VALUES (?, ?, ?, ?)
ON CONFLICT (table_id, slot, hash) DO UPDATE SET bytes = bytes + excluded.bytes RETURNING bytes
"""
FORGET = "DELETE FROM table_collections WHERE table_id = ? AND slot = ? AND hash = ? AND bytes <= 0"
SIZE = "SELECT bytes FROM table_collections WHERE table_id = ? AND slot = ? AND hash = ?"


def change_collection(connection: sqlite3.Connection, table: Table, key: RowKey, old: Item | None, new: Item | None) -> None:
    """Refuses what would make the collection larger than 10 GB."""
    grown = _weight(table, new) - _weight(table, old)
    if not grown:
        return
    place = (table.id, key.slot, key.hash)
    size = connection.execute(ADD, (*place, grown)).fetchone()[0]
    if size <= 0:
        connection.execute(FORGET, place)
    elif grown > 0 and size > LARGEST:
        raise ServiceError("ItemCollectionSizeLimitExceededException", TOO_LARGE)


def _weight(table: Table, item: Item | None) -> int:
    """Bytes of the item in the table and in its local indexes."""
    if item is None:
        return 0
    entries = (index.entry(item) for index in table.indexes.values() if index.scope == LOCAL)
    return item_size(item) + sum(entry.bytes for entry in entries if entry is not None)


def collection_metrics(connection: sqlite3.Connection, table: Table, key: RowKey, item: Item) -> dict[str, Any] | None:
    """AWS's ItemCollectionMetrics for the collection of this item or key; None for a table without collections."""
    if not table.has_collections:
        return None
    row = connection.execute(SIZE, (table.id, key.slot, key.hash)).fetchone()
    whole = int((row[0] if row else 0) // GIGABYTE)
    return {"ItemCollectionKey": {table.keys.hash: item[table.keys.hash]}, "SizeEstimateRangeGB": [float(whole), float(whole + 1)]}
