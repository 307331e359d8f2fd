"""What the tests of tables share: tables in a database of their own, and short ways to say items and refusals."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from eventflow.clock import Clock, SystemClock
from eventflow.database import MEMORY, Database
from eventflow.errors import ServiceError
from eventflow.services.tables import Tables

ACCOUNT = "000000000000"
REGION = "eu-central-1"


def steps_of(connection: sqlite3.Connection, work: Callable[[], object]) -> int:
    """Steps of SQLite's machine."""
    taken = 0

    def count() -> None:
        nonlocal taken
        taken += 1

    connection.set_progress_handler(count, 1)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 0)
    return taken


class FrozenClock(SystemClock):
    def now(self) -> float:
        return 1_700_000_000.0


class Bench:
    """Tables, with the region filled in: ``await bench("PutItem", TableName=..., Item=...)``."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self.database = database
        self.tables = Tables(database, clock or FrozenClock(), ACCOUNT)
        self.methods: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "CreateTable": self.tables.create_table,
            "DescribeTable": self.tables.describe_table,
            "ListTables": self.tables.list_tables,
            "DeleteTable": self.tables.delete_table,
            "PutItem": self.tables.put_item,
            "GetItem": self.tables.get_item,
            "UpdateItem": self.tables.update_item,
            "DeleteItem": self.tables.delete_item,
            "Query": self.tables.query,
            "Scan": self.tables.scan,
            "BatchGetItem": self.tables.batch_get_item,
            "BatchWriteItem": self.tables.batch_write_item,
            "UpdateTable": self.tables.administration.update_table,
            "UpdateTimeToLive": self.tables.administration.update_time_to_live,
            "DescribeTimeToLive": self.tables.administration.describe_time_to_live,
            "TagResource": self.tables.administration.tag_resource,
            "UntagResource": self.tables.administration.untag_resource,
            "ListTagsOfResource": self.tables.administration.list_tags_of_resource,
            "DescribeLimits": self.tables.administration.describe_limits,
            "DescribeContinuousBackups": self.tables.administration.describe_continuous_backups,
        }

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.methods[operation](REGION, params)
        return found

    async def refusal(self, operation: str, **params: Any) -> str:
        """The text of a ValidationException."""
        error = await self.error(operation, **params)
        assert error.code == "ValidationException", error
        return error.message

    async def error(self, operation: str, **params: Any) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            await self(operation, **params)
        return caught.value

    async def put(self, table: str, **attributes: Any) -> dict[str, Any]:
        return await self("PutItem", TableName=table, Item=item(**attributes))

    async def get(self, table: str, **key: Any) -> dict[str, Any] | None:
        return (await self("GetItem", TableName=table, Key=item(**key))).get("Item")


def value(plain: Any) -> dict[str, Any]:
    match plain:
        case bool():
            return {"BOOL": plain}
        case int() | float():
            return {"N": str(plain)}
        case str():
            return {"S": plain}
        case bytes():
            return {"B": plain}
        case list():
            return {"L": [value(element) for element in plain]}
        case dict():
            return {"M": item(**plain)}
        case None:
            return {"NULL": True}
    raise AssertionError(plain)


def item(**attributes: Any) -> dict[str, Any]:
    return {name: value(plain) for name, plain in attributes.items()}


def values(**plain: Any) -> dict[str, Any]:
    return {f":{name}": value(content) for name, content in plain.items()}


def definition(table: str, *keys: str, **members: Any) -> dict[str, Any]:
    """CreateTable's parameters; ``"p:S"`` says an attribute and its type. Attributes of indexes go into ``attributes``."""
    attributes = [*keys, *members.pop("attributes", [])]
    return {
        "TableName": table,
        "AttributeDefinitions": [{"AttributeName": text[:-2], "AttributeType": text[-1]} for text in attributes],
        "KeySchema": schema(*(text[:-2] for text in keys)),
        "BillingMode": "PAY_PER_REQUEST",
        **members,
    }


def schema(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": role} for name, role in zip(names, ("HASH", "RANGE", "RANGE"), strict=False)]


def index(name: str, *keys: str, projection: str = "ALL", attributes: list[str] | None = None) -> dict[str, Any]:
    shape: dict[str, Any] = {"ProjectionType": projection}
    if attributes is not None:
        shape["NonKeyAttributes"] = attributes
    return {"IndexName": name, "KeySchema": schema(*keys), "Projection": shape}


def run(scenario: Callable[[Bench], Coroutine[Any, Any, None]], path: Path | str = MEMORY, clock: Clock | None = None) -> None:
    async def main() -> None:
        database = Database(path)
        try:
            bench = Bench(database, clock)
            await bench.tables.prepare()
            await scenario(bench)
        finally:
            database.close()

    asyncio.run(main())
