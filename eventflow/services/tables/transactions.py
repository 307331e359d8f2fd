"""TransactWriteItems and TransactGetItems: all of it or nothing, in one transaction of the database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, valid_item
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.tables import items
from eventflow.services.tables.actions import LARGEST_TRANSACTION, Action, action_of, cancelled, charged_read, reason_of, refuse_malformed
from eventflow.services.tables.capacity import Consumed, read_units
from eventflow.services.tables.catalog import Catalog
from eventflow.services.tables.constraints import Constraints, refuse_stray_placeholders, table_name
from eventflow.services.tables.definition import SCOPES, Table
from eventflow.services.tables.keys import RowKey

Params = Mapping[str, Any]
Response = dict[str, Any]

MOST_ACTIONS = 100
LONGEST_TOKEN = 36
#: A client's token is remembered for ten minutes (milliseconds); so many old ones leave with each that comes.
TOKEN_LIFE = 10 * 60 * 1000
FORGOTTEN = 100

KNOWN = "SELECT fingerprint FROM transaction_tokens WHERE region = ? AND token = ? AND at > ?"
REMEMBER = "INSERT OR REPLACE INTO transaction_tokens (region, token, fingerprint, at) VALUES (?, ?, ?, ?)"
FORGET = """
DELETE FROM transaction_tokens WHERE (region, token) IN (SELECT region, token FROM transaction_tokens WHERE at <= ? ORDER BY at LIMIT ?)
"""
WRITES = ("ConditionCheck", "Put", "Update", "Delete")
TOO_LARGE = "The aggregate size of the items in the transaction exceeds 4 MB"


class Transactions:
    """The two operations on many items of many tables of one account."""

    def __init__(self, database: Database, clock: Clock, account: str, catalog: Catalog, compiler: Compiler) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._catalog = catalog
        self._compiler = compiler

    async def open(self) -> None:
        await self._database.migrate("transactions", "eventflow.services")

    # Writing.

    async def write_items(self, region: str, params: Params) -> Response:
        constraints = Constraints(params).required("TransactItems").choices("ReturnConsumedCapacity", "ReturnItemCollectionMetrics")
        check_token(constraints, params).refuse()
        refuse_malformed(params["TransactItems"], WRITES, MOST_ACTIONS)
        metrics = {"ReturnItemCollectionMetrics": params.get("ReturnItemCollectionMetrics")}
        members = [{kind: {**action, **metrics} for kind, action in member.items()} for member in params["TransactItems"]]
        actions = [action_of(member, self._compiler) for member in members]
        return await self.commit(region, params, actions, fingerprint_of(params["TransactItems"]))

    async def commit(self, region: str, params: Params, actions: Sequence[tuple[str, Action]], fingerprint: bytes) -> Response:
        """Do all of the actions, each with the table that it names, or none. ``params`` has the token and what is to be reported."""
        if sum(action.size for _name, action in actions) > LARGEST_TRANSACTION:
            raise invalid(TOO_LARGE)
        return await self._database.write(lambda connection: self._write(connection, region, params, actions, fingerprint))

    def _write(
        self, connection: sqlite3.Connection, region: str, params: Params, actions: Sequence[tuple[str, Action]], fingerprint: bytes
    ) -> Response:
        token = params.get("ClientRequestToken")
        tables = [self._table(connection, region, name) for name, _action in actions]
        if token is not None and self._is_repeated(connection, region, token, fingerprint):
            return self._repeated(connection, params, tables, actions)
        refuse_duplicates(tables, actions)
        done: list[Response] = []
        reasons: list[Response] = []
        for table, (_name, action) in zip(tables, actions, strict=True):
            try:
                done.append(action.apply(connection, table))
                if table.meter is not None:  # a write in a transaction costs twice
                    table.meter.charge_write(Consumed(done[-1]["ConsumedCapacity"]["Table"]["CapacityUnits"]))
                reasons.append({"Code": "None"})
            except ServiceError as error:
                reasons.append(reason_of(error))
        if len(done) < len(actions):
            raise cancelled(reasons)  # which takes back what the others did
        response = capacity_report(params.get("ReturnConsumedCapacity"), [report["ConsumedCapacity"] for report in done], "WriteCapacityUnits")
        collections: dict[str, list[Response]] = {}
        for table, report in zip(tables, done, strict=True):
            if "ItemCollectionMetrics" in report:
                collections.setdefault(table.name, []).append(report["ItemCollectionMetrics"])
        return response | ({"ItemCollectionMetrics": collections} if collections else {})

    def _is_repeated(self, connection: sqlite3.Connection, region: str, token: str, fingerprint: bytes) -> bool:
        """Whether this request was done within the last ten minutes; otherwise it is remembered, if the transaction succeeds."""
        now = round(self._clock.now() * 1000)
        row = connection.execute(KNOWN, (region, token, now - TOKEN_LIFE)).fetchone()
        if row is not None and row[0] != fingerprint:
            raise ServiceError(
                "IdempotentParameterMismatchException",
                f"The request uses the same client token as a previous, but non-identical request: {token}",
            )
        if row is None:
            connection.execute(FORGET, (now - TOKEN_LIFE, FORGOTTEN))
            connection.execute(REMEMBER, (region, token, fingerprint, now))
        return row is not None

    def _repeated(self, connection: sqlite3.Connection, params: Params, tables: list[Table], actions: Sequence[tuple[str, Action]]) -> Response:
        """A repeated request changes nothing, and reports the units of reading its items."""
        reads = []
        for table, (_name, action) in zip(tables, actions, strict=True):
            record = items.fetch(connection, table, action.key(table))
            reads.append(single(table, read_units(record.bytes if record else 0, consistent=True)))
        return capacity_report(params.get("ReturnConsumedCapacity"), reads, "ReadCapacityUnits")

    # Reading.

    async def get_items(self, region: str, params: Params) -> Response:
        Constraints(params).required("TransactItems").choices("ReturnConsumedCapacity").refuse()
        refuse_malformed(params["TransactItems"], ("Get",), MOST_ACTIONS)
        gets = [Get(member["Get"], self._compiler) for member in params["TransactItems"] if member.get("Get") is not None]
        if len(gets) != len(params["TransactItems"]):
            raise invalid("TransactItems can only contain one of Get")
        return await self.fetch(region, params, gets)

    async def fetch(self, region: str, params: Params, gets: Sequence[Reading]) -> Response:
        return await self._database.read(lambda connection: self._get(connection, region, params, gets))

    def _get(self, connection: sqlite3.Connection, region: str, params: Params, gets: Sequence[Reading]) -> Response:
        """All items as they were at one moment."""
        alone = not connection.in_transaction
        if alone:
            connection.execute("BEGIN")
        try:
            return self._read(connection, region, params, gets)
        finally:
            if alone:
                connection.execute("COMMIT")

    def _read(self, connection: sqlite3.Connection, region: str, params: Params, gets: Sequence[Reading]) -> Response:
        tables = [self._table(connection, region, get.table) for get in gets]
        responses: list[Response] = []
        reads: list[Response] = []
        reasons: list[Response] = []
        size = 0
        for table, get in zip(tables, gets, strict=True):
            try:
                record = items.fetch(connection, table, get.key(table))
                charged_read(table, 2 * read_units(record.bytes if record else 0, consistent=True))
            except ServiceError as error:
                reasons.append(reason_of(error))
                continue
            reasons.append({"Code": "None"})
            size += record.bytes if record else 0
            reads.append(single(table, read_units(record.bytes if record else 0, consistent=True)))
            shown = get.shown(record.item) if record else None
            responses.append({} if shown is None else {"Item": shown})
        if len(responses) < len(gets):
            raise cancelled(reasons)
        if size > LARGEST_TRANSACTION:
            raise invalid(TOO_LARGE)
        return {"Responses": responses} | capacity_report(params.get("ReturnConsumedCapacity"), reads, "ReadCapacityUnits")

    def _table(self, connection: sqlite3.Connection, region: str, name: str) -> Table:
        return self._catalog.get(connection, region, table_name(name, region, self._account))


class Reading(Protocol):
    """A read of one item of a table; ``shown`` is what is returned of it, None for nothing."""

    @property
    def table(self) -> str: ...
    def key(self, table: Table) -> RowKey: ...
    def shown(self, item: Item) -> Item | None: ...


class Get:
    """One read of a TransactGetItems."""

    def __init__(self, params: Params, compiler: Compiler) -> None:
        refuse_stray_placeholders(params, ("ProjectionExpression",))
        self.table: str = params["TableName"]
        self._key = valid_item(params["Key"])
        placeholders = Placeholders(params.get("ExpressionAttributeNames"), None)
        text = params.get("ProjectionExpression")
        self._projection = compiler.projection(text, placeholders) if text is not None else None
        placeholders.refuse_unused()

    def key(self, table: Table) -> RowKey:
        return table.keys.of_key(self._key)

    def shown(self, item: Item) -> Item | None:
        return self._projection.of(item) if self._projection else item


def check_token(constraints: Constraints, params: Params) -> Constraints:
    token = params.get("ClientRequestToken")
    if token is not None and not 1 <= len(token) <= LONGEST_TOKEN:
        rule = f"less than or equal to {LONGEST_TOKEN}" if token else "greater than or equal to 1"
        constraints.problem(token, "clientRequestToken", f"have length {rule}")
    return constraints


def refuse_duplicates(tables: list[Table], actions: Sequence[tuple[str, Action]]) -> None:
    """One action an item. A key that does not fit its table is a reason to cancel."""
    seen = set()
    reasons: list[Response] = []
    for table, (_name, action) in zip(tables, actions, strict=True):
        try:
            place = table.id, action.key(table)
        except ServiceError as error:
            reasons.append(reason_of(error))
            continue
        reasons.append({"Code": "None"})
        if place in seen:
            raise invalid("Transaction request cannot include multiple operations on one item")
        seen.add(place)
    if len(seen) < len(actions):
        raise cancelled(reasons)


def fingerprint_of(members: Any) -> bytes:
    text = json.dumps(members, sort_keys=True, default=lambda value: b64encode(value).decode())
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def single(table: Table, units: float) -> Response:
    return {"TableName": table.name, "CapacityUnits": units, "Table": {"CapacityUnits": units}}


def capacity_report(mode: str | None, reports: Iterable[Response], kind: str) -> Response:
    """The member ConsumedCapacity: the sums by table, twice what the same work costs outside a transaction. ``kind`` names the units once more."""
    if mode not in ("TOTAL", "INDEXES"):
        return {}
    tables: dict[str, Response] = {}
    for report in reports:
        found = tables.setdefault(report["TableName"], {"TableName": report["TableName"]})
        _add(found, report["CapacityUnits"], kind)
        if mode == "INDEXES":
            _add(found.setdefault("Table", {}), report["Table"]["CapacityUnits"], kind)
            for scope in SCOPES:
                for name, units in report.get(scope, {}).items():
                    _add(found.setdefault(scope, {}).setdefault(name, {}), units["CapacityUnits"], kind)
    return {"ConsumedCapacity": list(tables.values())}


def _add(found: Response, units: float, kind: str) -> None:
    for member in ("CapacityUnits", kind):
        found[member] = found.get(member, 0.0) + 2 * units
