"""Which tables there are: created, found by name, described, listed and deleted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.tables.constraints import arn
from eventflow.services.tables.definition import GLOBAL, SCOPES, Table, table_from

FIND = "SELECT id FROM tables WHERE region = ? AND name = ?"
LOAD = "SELECT region, name, definition FROM tables WHERE id = ?"
LOAD_INDEXES = "SELECT name, id FROM table_indexes WHERE table_id = ?"
CREATE = "INSERT INTO tables (region, name, definition) VALUES (?, ?, ?)"
CREATE_INDEX = "INSERT INTO table_indexes (table_id, name) VALUES (?, ?)"
DELETE = "DELETE FROM tables WHERE id = ?"
LIST = "SELECT name FROM tables WHERE region = ? AND name > ? ORDER BY name LIMIT ?"
COUNTS = "SELECT items, bytes FROM tables WHERE id = ?"
INDEX_COUNTS = "SELECT name, items, bytes FROM table_indexes WHERE table_id = ?"

#: Rows of tables and indexes that are gone; a slice at a time, so that other writes get in between.
SLICE = 2000
PURGE_ITEMS = f"""
DELETE FROM table_items WHERE id IN (
    SELECT id FROM table_items WHERE table_id = (
        SELECT gone.table_id FROM (SELECT DISTINCT table_id FROM table_items) AS gone
        WHERE NOT EXISTS (SELECT 1 FROM tables WHERE tables.id = gone.table_id) LIMIT 1
    ) LIMIT {SLICE}
)
"""
PURGE_ENTRIES = f"""
DELETE FROM table_entries WHERE (index_id, slot, hash, sort, item_hash, item_sort) IN (
    SELECT index_id, slot, hash, sort, item_hash, item_sort FROM table_entries WHERE index_id = (
        SELECT gone.index_id FROM (SELECT DISTINCT index_id FROM table_entries) AS gone
        WHERE NOT EXISTS (SELECT 1 FROM table_indexes WHERE table_indexes.id = gone.index_id) LIMIT 1
    ) LIMIT {SLICE}
)
"""


class Catalog:
    """Definitions never change, so what was read of one is kept by its identifier; whether it still exists is asked each time."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._tables: dict[int, Table] = {}

    def find(self, connection: sqlite3.Connection, region: str, name: str) -> Table | None:
        row = connection.execute(FIND, (region, name)).fetchone()
        if row is None:
            return None
        return self._tables.get(row[0]) or self._load(connection, row[0])

    def _load(self, connection: sqlite3.Connection, id: int) -> Table:
        region, name, definition = connection.execute(LOAD, (id,)).fetchone()
        table = table_from(id, region, name, json.loads(definition), dict(connection.execute(LOAD_INDEXES, (id,))))
        self._tables[id] = table
        return table

    def get(self, connection: sqlite3.Connection, region: str, name: str) -> Table:
        """The table that items are read from or written to."""
        table = self.find(connection, region, name)
        if table is None:
            raise ServiceError("ResourceNotFoundException", "Requested resource not found")
        return table

    def named(self, connection: sqlite3.Connection, region: str, name: str) -> Table:
        """The table that a request about tables names."""
        table = self.find(connection, region, name)
        if table is None:
            raise ServiceError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        return table

    def create(self, connection: sqlite3.Connection, region: str, name: str, definition: Mapping[str, Any]) -> Table:
        if self.find(connection, region, name) is not None:
            raise ServiceError("ResourceInUseException", f"Table already exists: {name}")
        table_id = connection.execute(CREATE, (region, name, json.dumps(definition))).lastrowid or 0
        indexes = {
            index["IndexName"]: connection.execute(CREATE_INDEX, (table_id, index["IndexName"])).lastrowid or 0
            for scope in SCOPES
            for index in definition.get(scope, ())
        }
        return table_from(table_id, region, name, definition, indexes)

    def delete(self, connection: sqlite3.Connection, table: Table) -> None:
        """From here on the table is gone; its rows follow with ``purge``."""
        connection.execute(DELETE, (table.id,))
        self._tables.pop(table.id, None)

    def purge(self, connection: sqlite3.Connection) -> int:
        """Delete some rows of what is gone; how many those were, 0 when none are left."""
        return connection.execute(PURGE_ITEMS).rowcount + connection.execute(PURGE_ENTRIES).rowcount

    def list(self, connection: sqlite3.Connection, region: str, after: str, limit: int) -> tuple[list[str], bool]:
        """Names in order, and whether there are more."""
        names = [row[0] for row in connection.execute(LIST, (region, after, limit + 1))]
        return names[:limit], len(names) > limit

    def describe(self, connection: sqlite3.Connection, table: Table, status: str = "ACTIVE") -> dict[str, Any]:
        """AWS's TableDescription."""
        definition = table.definition
        counted = {name: (items, size) for name, items, size in connection.execute(INDEX_COUNTS, (table.id,))}
        items, size = connection.execute(COUNTS, (table.id,)).fetchone()
        found = {
            "TableName": table.name,
            "TableArn": arn(table.region, self._account, table.name),
            "TableId": definition["TableId"],
            "TableStatus": status,
            "CreationDateTime": definition["CreationDateTime"],
            "AttributeDefinitions": definition["AttributeDefinitions"],
            "KeySchema": definition["KeySchema"],
            "ProvisionedThroughput": _throughput(definition),
            "ItemCount": items,
            "TableSizeBytes": size,
            "DeletionProtectionEnabled": False,
        }
        if definition["BillingMode"] == "PAY_PER_REQUEST":
            since = definition["CreationDateTime"]
            found["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": since}
        for scope in SCOPES:
            if scope in definition:
                found[scope] = [_describe_index(found["TableArn"], scope, index, *counted[index["IndexName"]]) for index in definition[scope]]
        return found


def _throughput(holder: Mapping[str, Any]) -> dict[str, int]:
    return {"NumberOfDecreasesToday": 0, **holder["ProvisionedThroughput"]}


def _describe_index(table_arn: str, scope: str, index: Mapping[str, Any], items: int, size: int) -> dict[str, Any]:
    found = {
        "IndexName": index["IndexName"],
        "KeySchema": index["KeySchema"],
        "Projection": index["Projection"],
        "IndexSizeBytes": size,
        "ItemCount": items,
        "IndexArn": f"{table_arn}/index/{index['IndexName']}",
    }
    if scope == GLOBAL:
        found |= {"IndexStatus": "ACTIVE", "ProvisionedThroughput": _throughput(index)}
    return found
