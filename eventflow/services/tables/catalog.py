"""Which tables there are: created, found by name, described, listed and deleted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid_parameters
from eventflow.services.tables.constraints import arn
from eventflow.services.tables.definition import GLOBAL, SCOPES, Table, at_rest, not_built, place_of, table_from
from eventflow.services.tables.streamwriter import StreamWriter
from eventflow.services.tables.throughput import Throughput

FIND = "SELECT id, version FROM tables WHERE region = ? AND name = ?"
NAMED = "SELECT region, name FROM tables WHERE id = ?"
#: One statement, so that indexes and definition are of one state.
LOAD = """
SELECT region, name, definition, version, (SELECT json_group_object(x.name, x.id) FROM table_indexes AS x WHERE x.table_id = tables.id)
FROM tables WHERE id = ?
"""
#: A version is a random number: one that was rolled back never comes again with another definition.
REDEFINE = "UPDATE tables SET definition = ?, version = random() WHERE id = ?"
LOAD_INDEXES = "SELECT name, id FROM table_indexes WHERE table_id = ?"
CREATE = "INSERT INTO tables (region, name, definition, version) VALUES (?, ?, ?, random())"
DELETE_INDEX = "DELETE FROM table_indexes WHERE id = ?"
CREATE_INDEX = "INSERT INTO table_indexes (table_id, name) VALUES (?, ?)"
DELETE = "DELETE FROM tables WHERE id = ?"
LIST = "SELECT name FROM tables WHERE region = ? AND name > ? ORDER BY name LIMIT ?"
COUNTS = "SELECT items, bytes FROM tables WHERE id = ?"
INDEX_COUNTS = "SELECT name, items, bytes FROM table_indexes WHERE table_id = ?"


class Catalog:
    """What was read of a definition is kept with its version; whether there is the table, and in which version, is asked each time."""

    def __init__(self, account: str, streams: StreamWriter, throughput: Throughput) -> None:
        self._account = account
        self._streams = streams
        self._throughput = throughput
        self._tables: dict[int, tuple[int, Table]] = {}

    def find(self, connection: sqlite3.Connection, region: str, name: str) -> Table | None:
        row = connection.execute(FIND, (region, name)).fetchone()
        if row is None:
            return None
        known = self._tables.get(row[0])
        return known[1] if known is not None and known[0] == row[1] else self._load(connection, row[0])

    def by_id(self, connection: sqlite3.Connection, id: int) -> Table | None:
        row = connection.execute(NAMED, (id,)).fetchone()
        return self.find(connection, *row) if row else None

    def _load(self, connection: sqlite3.Connection, id: int) -> Table:
        region, name, definition, version, indexes = connection.execute(LOAD, (id,)).fetchone()
        table = self._table(id, region, name, json.loads(definition), json.loads(indexes))
        self._tables[id] = version, table
        return table

    def _table(self, id: int, region: str, name: str, definition: Mapping[str, Any], index_ids: Mapping[str, int]) -> Table:
        table = table_from(id, region, name, definition, index_ids)
        return replace(table, stream=self._streams.of(definition), meter=self._throughput.of(id, definition))

    def redefine(self, connection: sqlite3.Connection, table: Table, definition: Mapping[str, Any]) -> Table:
        """Give the table another definition; the table that it is from here on."""
        connection.execute(REDEFINE, (json.dumps(definition), table.id))
        known = dict(connection.execute(LOAD_INDEXES, (table.id,)))
        named = {index["IndexName"] for scope in SCOPES for index in definition.get(scope, ()) if "Deleting" not in index}
        for name in named - known.keys():
            known[name] = connection.execute(CREATE_INDEX, (table.id, name)).lastrowid or 0
        for name in known.keys() - named:
            connection.execute(DELETE_INDEX, (known[name],))
        return self._table(table.id, table.region, table.name, definition, known)

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
        return self._table(table_id, region, name, definition, indexes)

    def set_stream(self, connection: sqlite3.Connection, table: Table, view: str | None) -> Table:
        """Enable a stream with this StreamViewType, or disable the one that there is (None); the table that it is from here on."""
        enabled = "StreamSpecification" in table.definition
        if view is not None and enabled:
            raise invalid_parameters(f"Table already has an enabled stream: TableName: {table.name}")
        if view is None and not enabled:
            raise invalid_parameters(f"Table already has a disabled stream, or never had one: TableName: {table.name}")
        if view is not None:
            return self.redefine(connection, table, {**table.definition, **self._streams.open(connection, table, view)})
        self._streams.close(connection, table.definition)
        rest = {member: value for member, value in table.definition.items() if member != "StreamSpecification"}
        return self.redefine(connection, table, rest)

    def delete(self, connection: sqlite3.Connection, table: Table) -> None:
        """From here on the table is gone; its rows follow with ``sweep``."""
        self._streams.close(connection, table.definition)
        connection.execute(DELETE, (table.id,))
        self._tables.pop(table.id, None)
        self._throughput.forget(table.id)

    def list(self, connection: sqlite3.Connection, region: str, after: str, limit: int) -> tuple[list[str], bool]:
        """Names in order, and whether there are more."""
        names = [row[0] for row in connection.execute(LIST, (region, after, limit + 1))]
        return names[:limit], len(names) > limit

    def describe(self, connection: sqlite3.Connection, table: Table, status: str | None = None) -> dict[str, Any]:
        """AWS's TableDescription."""
        definition = table.definition
        counted = {name: (items, size) for name, items, size in connection.execute(INDEX_COUNTS, (table.id,))}
        items, size = connection.execute(COUNTS, (table.id,)).fetchone()
        found = {
            "TableName": table.name,
            "TableArn": arn(table.region, self._account, table.name),
            "TableId": definition["TableId"],
            "TableStatus": status or ("ACTIVE" if at_rest(definition) else "UPDATING"),
            "CreationDateTime": definition["CreationDateTime"],
            "AttributeDefinitions": definition["AttributeDefinitions"],
            "KeySchema": definition["KeySchema"],
            "ProvisionedThroughput": _throughput(definition),
            "ItemCount": items,
            "TableSizeBytes": size,
            "DeletionProtectionEnabled": definition.get("DeletionProtectionEnabled", False),
        }
        since = definition.get("LastUpdateToPayPerRequestDateTime", definition["CreationDateTime"])
        if definition["BillingMode"] == "PAY_PER_REQUEST":
            found["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": since}
        elif "LastUpdateToPayPerRequestDateTime" in definition:
            found["BillingModeSummary"] = {"BillingMode": "PROVISIONED", "LastUpdateToPayPerRequestDateTime": since}
        if "TableClass" in definition:
            found["TableClassSummary"] = {"TableClass": definition["TableClass"]}
        if "StreamSpecification" in definition:
            found["StreamSpecification"] = definition["StreamSpecification"]
        if label := definition.get("LatestStreamLabel"):
            found |= {"LatestStreamLabel": label, "LatestStreamArn": f"{found['TableArn']}/stream/{label}"}
        for scope in SCOPES:
            if scope in definition:
                found[scope] = [
                    _describe_index(found["TableArn"], scope, index, *counted.get(index["IndexName"], (0, 0))) for index in definition[scope]
                ]
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
        found |= {"IndexStatus": _index_status(index), "ProvisionedThroughput": _throughput(index)}
        if "Built" in index:
            found["Backfilling"] = place_of(index["Built"]) != place_of(not_built())
    return found


def _index_status(index: Mapping[str, Any]) -> str:
    if "Deleting" in index:
        return "DELETING"
    return "CREATING" if "Built" in index else "ACTIVE"
