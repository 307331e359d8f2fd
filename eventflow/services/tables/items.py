"""Items as rows: fetched by key, and changed in one place that keeps the secondary indexes and the counts in step."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from typing import Any

from eventflow import faultpoint
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, item_size
from eventflow.services.tables.capacity import Consumed, write_units
from eventflow.services.tables.collections import change_collection
from eventflow.services.tables.definition import Entry, Index, Table
from eventflow.services.tables.expiries import change_expiry
from eventflow.services.tables.keys import RowKey

LARGEST_ITEM = 400 * 1024

FETCH = "SELECT id, body, binary, bytes FROM table_items WHERE table_id = ? AND slot = ? AND hash = ? AND sort = ?"
INSERT = "INSERT INTO table_items (table_id, slot, hash, sort, body, binary, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE table_items SET body = ?, binary = ?, bytes = ? WHERE id = ?"
DELETE = "DELETE FROM table_items WHERE id = ?"
COUNT = "UPDATE tables SET items = items + ?, bytes = bytes + ? WHERE id = ?"

ENTER = "INSERT INTO table_entries (index_id, slot, hash, sort, item_hash, item_sort, item_id, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
LEAVE = "DELETE FROM table_entries WHERE index_id = ? AND slot = ? AND hash = ? AND sort = ? AND item_hash = ? AND item_sort = ?"
RESIZE = "UPDATE table_entries SET bytes = ? WHERE index_id = ? AND slot = ? AND hash = ? AND sort = ? AND item_hash = ? AND item_sort = ?"
COUNT_INDEX = "UPDATE table_indexes SET items = items + ?, bytes = bytes + ? WHERE id = ?"


class Record:
    """An item as it is stored; ``bytes`` is its size by DynamoDB's rules. A write that needs no old image does not decode it."""

    __slots__ = ("_item", "binary", "body", "bytes", "id")

    def __init__(self, id: int, body: str, binary: int, bytes: int) -> None:
        self.id, self.body, self.binary, self.bytes = id, body, binary, bytes
        self._item: Item | None = None

    @property
    def item(self) -> Item:
        if self._item is None:
            self._item = load(self.body, self.binary)
        return self._item


def dump(item: Item) -> tuple[str, bool]:
    """The item as JSON, and whether there is binary in it (as base64)."""
    try:
        return PLAIN.encode(item), False
    except TypeError:
        return WITH_BASE64.encode(item), True


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
WITH_BASE64 = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_base64)


def load(body: str, binary: int) -> Item:
    return json.loads(body, object_hook=_with_bytes) if binary else json.loads(body)  # type: ignore[no-any-return]


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """An attribute named B holds an object, never a text, so a text under B can only be a binary value."""
    if isinstance(value.get("B"), str):
        return {"B": b64decode(value["B"])}
    members = value.get("BS")
    return {"BS": [b64decode(member) for member in members]} if isinstance(members, list) else value


def fetch(connection: sqlite3.Connection, table: Table, key: RowKey) -> Record | None:
    row = connection.execute(FETCH, (table.id, key.slot, key.hash, key.sort)).fetchone()
    return Record(*row) if row else None


def fitting(item: Item, message: str) -> int:
    """The size of an item that may be stored."""
    size = item_size(item)
    if size > LARGEST_ITEM:
        raise invalid(message)
    return size


def change(
    connection: sqlite3.Connection, table: Table, key: RowKey, old: Record | None, new: Item | None, size: int, *, expired: bool = False
) -> Consumed:
    """Replace an item's old image by the new one (None: there is no item), in every place that has it.

    All changes of items come through here, in the transaction that they belong to, with both images: what must happen together with a
    change has its place here. ``size`` is that of the new image; ``expired`` says that the item's time to live is over.
    """
    if table.meter is not None and not expired:
        table.meter.admit_write()
    item_id = _change_row(connection, table, key, old, new, size)
    faultpoint.reach("item.written")
    consumed = Consumed(write_units(max(size, old.bytes if old else 0)))
    if table.indexes:
        before = old.item if old else None
        for index in table.indexes.values():
            if index.covers(key):
                consumed.charge(index, _change_entry(connection, index, key, item_id, before, new))
    if table.lifetime is not None:
        change_expiry(connection, table.lifetime, key, item_id, old.item if old else None, new)
    if table.has_collections:
        change_collection(connection, table, key, old.item if old else None, new)
    grown = (new is not None) - (old is not None), size - (old.bytes if old else 0)
    if any(grown):
        connection.execute(COUNT, (*grown, table.id))
    if table.stream is not None:
        table.stream.record(connection, table, old.item if old else None, new, expired)
    if table.meter is not None and not expired:
        table.meter.charge_write(consumed)
    faultpoint.reach("item.indexed")
    return consumed


def _change_row(connection: sqlite3.Connection, table: Table, key: RowKey, old: Record | None, new: Item | None, size: int) -> int:
    if new is None:
        if old is None:
            return 0
        connection.execute(DELETE, (old.id,))
        return old.id
    body, binary = dump(new)
    if old is not None:
        connection.execute(UPDATE, (body, binary, size, old.id))
        return old.id
    return connection.execute(INSERT, (table.id, key.slot, key.hash, key.sort, body, binary, size)).lastrowid or 0


def _change_entry(connection: sqlite3.Connection, index: Index, key: RowKey, item_id: int, old: Item | None, new: Item | None) -> float:
    """The write units: one write for what appears, disappears or changes in the index, two where its key there changes, none where nothing does."""
    before, after = index.entry(old), index.entry(new)
    if before is None and after is None:
        return 0.0
    units = 0.0
    if before is not None and after is not None and before.key == after.key:
        if old is not None and new is not None and index.view(old) == index.view(new):
            return 0.0
        connection.execute(RESIZE, (after.bytes, *_place(index, before, key)))
        units = write_units(max(before.bytes, after.bytes))
    else:
        if before is not None:
            connection.execute(LEAVE, _place(index, before, key))
            units += write_units(before.bytes)
        if after is not None:
            connection.execute(ENTER, (*_place(index, after, key), item_id, after.bytes))
            units += write_units(after.bytes)
    grown = (after is not None) - (before is not None), (after.bytes if after else 0) - (before.bytes if before else 0)
    if any(grown):
        connection.execute(COUNT_INDEX, (*grown, index.id))
    return units


def _place(index: Index, entry: Entry, key: RowKey) -> tuple[int, int, bytes, bytes, bytes, bytes]:
    return index.id, entry.key.slot, entry.key.hash, entry.key.sort, key.hash, key.sort
