"""What is asked about tables once they are there: changes, tags, time to live, limits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.tables.alteration import Alteration
from eventflow.services.tables.catalog import Catalog
from eventflow.services.tables.constraints import Constraints, table_name
from eventflow.services.tables.creation import MOST_UNITS
from eventflow.services.tables.definition import Table
from eventflow.services.tables.lifetimes import describe_lifetime, specification, with_lifetime
from eventflow.services.tables.streams import refuse_specification
from eventflow.services.tables.tags import checked_tags, list_tags, refuse_reserved, remove_tags, set_tags, table_of_arn
from eventflow.services.tables.trimming import Trimming
from eventflow.services.tables.upkeep import Upkeep

T = TypeVar("T")
Params = Mapping[str, Any]
Response = dict[str, Any]


class Administration:
    """DynamoDB's operations on tables that exist, as those of ``Tables``."""

    def __init__(self, database: Database, clock: Clock, account: str, catalog: Catalog, upkeep: Upkeep, trimming: Trimming) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._catalog = catalog
        self._upkeep = upkeep
        self._trimming = trimming

    async def update_table(self, region: str, params: Params) -> Response:
        """The change is in force when this returns; an index that was added or deleted is filled or emptied after that."""
        name = table_name(params.get("TableName"), region, self._account)
        alteration = Alteration(params)
        stream = params.get("StreamSpecification")
        view = refuse_specification(stream)
        now = round(self._clock.now(), 3)

        def update(connection: sqlite3.Connection) -> tuple[int, Response]:
            table = self._catalog.named(connection, region, name)
            table = self._catalog.redefine(connection, table, alteration.apply(name, table.definition, now))
            if stream is not None:
                table = self._catalog.set_stream(connection, table, view)
            return table.id, {"TableDescription": self._catalog.describe(connection, table)}

        table_id, response = await self._database.write(update)
        self._upkeep.wake(table_id)
        if stream is not None:
            self._trimming.arm()
        return response

    async def update_time_to_live(self, region: str, params: Params) -> Response:
        name = table_name(params.get("TableName"), region, self._account)
        enabled, attribute = specification(params)

        def update(connection: sqlite3.Connection) -> int:
            table = self._catalog.named(connection, region, name)
            definition = with_lifetime(connection, table.id, table.definition, enabled, attribute)
            return self._catalog.redefine(connection, table, definition).id

        self._upkeep.wake(await self._database.write(update))
        return {"TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute}}

    async def describe_time_to_live(self, region: str, params: Params) -> Response:
        name = table_name(params.get("TableName"), region, self._account)
        table = await self._database.read(lambda connection: self._catalog.named(connection, region, name))
        return {"TimeToLiveDescription": describe_lifetime(table.definition)}

    async def tag_resource(self, region: str, params: Params) -> None:
        name = table_of_arn(params.get("ResourceArn"), region, self._account)
        Constraints(params).required("Tags").refuse()
        if not params["Tags"]:
            raise invalid("Atleast one Tag needs to be provided as Input.")
        tags = checked_tags(params["Tags"])
        await self._database.write(lambda connection: set_tags(connection, self._tagged(connection, region, name, params).id, tags))

    async def untag_resource(self, region: str, params: Params) -> None:
        name = table_of_arn(params.get("ResourceArn"), region, self._account)
        Constraints(params).required("TagKeys").refuse()
        if not params["TagKeys"]:
            raise invalid("Atleast one Tag Key needs to be provided as Input.")
        refuse_reserved(params["TagKeys"])
        await self._database.write(lambda connection: remove_tags(connection, self._tagged(connection, region, name, params).id, params["TagKeys"]))

    async def list_tags_of_resource(self, region: str, params: Params) -> Response:
        """All tags of a table are one page."""
        name = table_of_arn(params.get("ResourceArn"), region, self._account)
        if params.get("NextToken") is not None:
            raise invalid("Invalid NextToken: no list of tags has more than one page.")
        return {"Tags": await self._read(lambda connection: list_tags(connection, self._tagged(connection, region, name, params).id))}

    def _tagged(self, connection: sqlite3.Connection, region: str, name: str, params: Params) -> Table:
        table = self._catalog.find(connection, region, name)
        if table is None:
            raise ServiceError("ResourceNotFoundException", f"Requested resource not found: ResourcArn: {params['ResourceArn']} not found")
        return table

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._database.read(query)

    async def describe_limits(self, region: str, params: Params) -> Response:
        """The most that CreateTable takes; there is no limit on an account."""
        return {f"{whose}Max{kind}CapacityUnits": MOST_UNITS for whose in ("Account", "Table") for kind in ("Read", "Write")}

    async def describe_continuous_backups(self, region: str, params: Params) -> Response:
        """There are none."""
        name = table_name(params.get("TableName"), region, self._account)
        if await self._read(lambda connection: self._catalog.find(connection, region, name)) is None:
            raise ServiceError("TableNotFoundException", f"Table not found: {name}")
        recovery = {"PointInTimeRecoveryStatus": "DISABLED"}
        return {"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "DISABLED", "PointInTimeRecoveryDescription": recovery}}
