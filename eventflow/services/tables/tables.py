"""The tables of one account: what a service front end, the daemon and other services ask of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import SettingError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import valid_item
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.tables import items
from eventflow.services.tables.administration import Administration
from eventflow.services.tables.alteration import refuse_busy
from eventflow.services.tables.batches import BatchGet, BatchWrite
from eventflow.services.tables.capacity import Consumed, read_units
from eventflow.services.tables.catalog import Catalog
from eventflow.services.tables.constraints import Constraints, refuse_mixed, refuse_stray_placeholders, table_name
from eventflow.services.tables.creation import definition_from
from eventflow.services.tables.definition import Table
from eventflow.services.tables.older import check_older, older_projection
from eventflow.services.tables.pages import SHORT, Lengthy
from eventflow.services.tables.query import Query
from eventflow.services.tables.scan import Scan
from eventflow.services.tables.statements import Statements
from eventflow.services.tables.streams import Streams, refuse_specification
from eventflow.services.tables.sweeping import sweep
from eventflow.services.tables.tags import checked_tags, set_tags
from eventflow.services.tables.throughput import Throughput
from eventflow.services.tables.transactions import Transactions
from eventflow.services.tables.upkeep import Upkeep
from eventflow.services.tables.writes import DeleteItem, PutItem, UpdateItem, Write

T = TypeVar("T")
Params = Mapping[str, Any]
Response = dict[str, Any]

MOST_NAMES = 100
KEY_TYPES = {"S": "string", "N": "number", "B": "binary"}


class Tables:
    """DynamoDB's operations. Parameters and responses have AWS's members; binary values are bytes, instants Unix seconds.

    Each method takes the region that the request is for, and raises ``ServiceError`` with DynamoDB's codes and texts.
    """

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self.streams = Streams(database, clock, account)
        self._catalog = Catalog(account, self.streams.writer, Throughput(clock))
        self.upkeep = Upkeep(database, clock, self._catalog)
        self.administration = Administration(database, clock, account, self._catalog, self.upkeep, self.streams.trimming)
        self._compiler = Compiler()
        self.transactions = Transactions(database, clock, account, self._catalog, self._compiler)
        self.statements = Statements(database, account, self._catalog, self.transactions)

    async def prepare(self) -> None:
        """Bring the schema up to date, and finish a deletion that a crash interrupted. To be called once, before anything else."""
        await self._database.migrate("tables", "eventflow.services")
        await self.streams.open()
        await self.transactions.open()
        await self._purge()
        await self.upkeep.resume()

    # Tables

    async def create_table(self, region: str, params: Params) -> Response:
        name = table_name(params.get("TableName"), region, self._account, shortest=3)
        view = refuse_specification(params.get("StreamSpecification"))
        definition = self._complete(definition_from(params))
        tags = checked_tags(params.get("Tags") or ())

        def create(connection: sqlite3.Connection) -> Response:
            table = self._catalog.create(connection, region, name, definition)
            set_tags(connection, table.id, tags)
            if view is not None:
                table = self._catalog.set_stream(connection, table, view)
            return {"TableDescription": self._catalog.describe(connection, table)}

        response = await self._database.write(create)
        if view is not None:
            self.streams.trimming.arm()
        return response

    async def ensure(self, region: str, name: str, *, key: str, key_type: str = "S", sort: str | None = None, sort_type: str = "S") -> None:
        """Make the table if it is not there; a table of that name with another key is a ``SettingError``."""
        parts = [(key, key_type), *([(sort, sort_type)] if sort is not None else [])]
        params = {
            "AttributeDefinitions": [{"AttributeName": attribute, "AttributeType": kind} for attribute, kind in parts],
            "KeySchema": [{"AttributeName": attribute, "KeyType": role} for (attribute, _kind), role in zip(parts, ("HASH", "RANGE"), strict=False)],
            "BillingMode": "PAY_PER_REQUEST",
        }
        table_name(name, region, self._account, shortest=3)
        definition = self._complete(definition_from(params))

        def ensure(connection: sqlite3.Connection) -> None:
            table = self._catalog.find(connection, region, name)
            if table is None:
                self._catalog.create(connection, region, name, definition)
            elif table.keys.parts != tuple(parts):
                raise SettingError(
                    f"Table {name!r} in {region} exists with another key: it has {_shown(table.keys.parts)}, the application declares "
                    f"{_shown(parts)}. Declare the key that it has, choose another name, or delete the table."
                )

        await self._database.write(ensure)

    async def ensure_stream(self, region: str, name: str, view: str | None = None) -> None:
        """Enable a stream on a table that has none, with new and old images where no ``view`` is named. One that is enabled stays as it is; another
        view than the one that is named is a ``SettingError``."""

        def ensure(connection: sqlite3.Connection) -> None:
            table = self._catalog.find(connection, region, name)
            if table is None:
                raise SettingError(f"The stream of table {name!r} is wanted, and there is no such table in {region}: declare it with app.table.")
            enabled = table.definition.get("StreamSpecification")
            if enabled is None:
                self._catalog.set_stream(connection, table, view or "NEW_AND_OLD_IMAGES")
            elif view not in (None, enabled["StreamViewType"]):
                raise SettingError(
                    f"Table {name!r} in {region} has a stream with {enabled['StreamViewType']}, the application declares {view}. "
                    "Declare the view that it has, or disable its stream with UpdateTable."
                )

        await self._database.write(ensure)
        self.streams.trimming.arm()

    def _complete(self, definition: dict[str, Any]) -> dict[str, Any]:
        return {**definition, "CreationDateTime": round(self._clock.now(), 3), "TableId": self._clock.new_id()}

    async def describe_table(self, region: str, params: Params) -> Response:
        name = table_name(params.get("TableName"), region, self._account)
        return await self._database.read(
            lambda connection: {"Table": self._catalog.describe(connection, self._catalog.named(connection, region, name))}
        )

    async def list_tables(self, region: str, params: Params) -> Response:
        Constraints(params).between("Limit", 1, MOST_NAMES).refuse()
        after, limit = params.get("ExclusiveStartTableName") or "", params.get("Limit") or MOST_NAMES
        names, more = await self._database.read(lambda connection: self._catalog.list(connection, region, after, limit))
        return {"TableNames": names, "LastEvaluatedTableName": names[-1]} if more else {"TableNames": names}

    async def delete_table(self, region: str, params: Params) -> Response:
        """The table is gone once its name is; its items are deleted a slice at a time before this returns."""
        name = table_name(params.get("TableName"), region, self._account)

        def delete(connection: sqlite3.Connection) -> Response:
            table = self._catalog.named(connection, region, name)
            refuse_busy(name, table.definition)
            if table.definition.get("DeletionProtectionEnabled"):
                raise invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
            description = self._catalog.describe(connection, table, "DELETING")
            self._catalog.delete(connection, table)
            return {"TableDescription": description}

        response = await self._database.write(delete)
        await self._purge()
        return response

    async def _purge(self) -> None:
        while await self._database.write(sweep):
            pass

    # Items

    async def put_item(self, region: str, params: Params) -> Response:
        return await self._write(region, params, PutItem)

    async def update_item(self, region: str, params: Params) -> Response:
        return await self._write(region, params, UpdateItem)

    async def delete_item(self, region: str, params: Params) -> Response:
        return await self._write(region, params, DeleteItem)

    async def _write(self, region: str, params: Params, kind: Callable[[Params, Compiler], Write]) -> Response:
        name = table_name(params.get("TableName"), region, self._account)
        write = kind(params, self._compiler)
        return await self._database.write(lambda connection: write.apply(connection, self._catalog.get(connection, region, name)))

    async def get_item(self, region: str, params: Params, *, texts: bool = False) -> Response:
        """With ``texts`` an item that is returned whole is the JSON that is stored of it, see ``query``."""
        name = table_name(params.get("TableName"), region, self._account)
        check_older(Constraints(params).required("Key").choices("ReturnConsumedCapacity"), params).refuse()
        refuse_mixed(params)
        refuse_stray_placeholders(params, ("ProjectionExpression",))
        key = valid_item(params["Key"])
        placeholders = Placeholders(params.get("ExpressionAttributeNames"), None)
        text = params.get("ProjectionExpression")
        projection = self._compiler.projection(text, placeholders) if text is not None else older_projection(params)
        placeholders.refuse_unused()

        def get(connection: sqlite3.Connection) -> Response:
            table = self._catalog.get(connection, region, name)
            row_key = table.keys.of_key(key)
            if table.meter is not None:
                table.meter.admit_read(None)
            record = items.fetch(connection, table, row_key)
            units = Consumed(read_units(record.bytes if record else 0, bool(params.get("ConsistentRead"))))
            if table.meter is not None:
                table.meter.charge_read(units)
            report = units.report(params.get("ReturnConsumedCapacity"), table.name)
            response: Response = {} if report is None else {"ConsumedCapacity": report}
            if record is not None:
                response["Item"] = projection.of(record.item) if projection else record.body if texts else record.item
            return response

        return await self._database.look(get)

    async def query(self, region: str, params: Params, *, texts: bool = False) -> Response:
        """With ``texts`` the items, if they are returned whole, are one text: a JSON array of what is stored of them, put together and not read."""
        return await self._read(region, params, Query, texts)

    async def scan(self, region: str, params: Params, *, texts: bool = False) -> Response:
        """``texts`` as for ``query``."""
        return await self._read(region, params, Scan, texts)

    async def _read(self, region: str, params: Params, kind: type[Query] | type[Scan], texts: bool) -> Response:
        name = table_name(params.get("TableName"), region, self._account)
        reading = kind(params, self._compiler)
        reading.reading.texts = texts

        def read(connection: sqlite3.Connection) -> Response:
            return reading.apply(connection, self._catalog.get(connection, region, name))

        if kind is Query:
            reading.reading.most = SHORT
            try:
                return await self._database.look(read)
            except Lengthy:
                reading.reading.most = None
        return await self._database.read(read)

    async def batch_get_item(self, region: str, params: Params) -> Response:
        batch = BatchGet(params, self._compiler)
        return await self._database.read(lambda connection: batch.apply(connection, self._lookup(connection, region)))

    async def batch_write_item(self, region: str, params: Params) -> Response:
        """All writes of the batch happen together: it is one transaction here, though AWS promises no more than each write by itself."""
        batch = BatchWrite(params)
        return await self._database.write(lambda connection: batch.apply(connection, self._lookup(connection, region)))

    def _lookup(self, connection: sqlite3.Connection, region: str) -> Callable[[str], Table]:
        return lambda name: self._catalog.get(connection, region, table_name(name, region, self._account, place="requestItems"))


def _shown(parts: Any) -> str:
    return " and ".join(f"{name} ({KEY_TYPES[kind]})" for name, kind in parts)
