"""DynamoDB's operations, handed to the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, Operation, operation, operations_of
from eventflow.services.tables import Tables


class DynamoDB:
    """The service ``dynamodb``: each operation is the method of ``Tables`` with its name. What is not here, the endpoint answers with 501."""

    name = "dynamodb"

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.operations: Mapping[str, Operation] = operations_of(self)

    @operation("CreateTable")
    async def create_table(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.create_table(call.region, params)

    @operation("DescribeTable")
    async def describe_table(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.describe_table(call.region, params)

    @operation("ListTables")
    async def list_tables(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.list_tables(call.region, params)

    @operation("DeleteTable")
    async def delete_table(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.delete_table(call.region, params)

    @operation("UpdateTable")
    async def update_table(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.update_table(call.region, params)

    @operation("UpdateTimeToLive")
    async def update_time_to_live(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.update_time_to_live(call.region, params)

    @operation("DescribeTimeToLive")
    async def describe_time_to_live(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.describe_time_to_live(call.region, params)

    @operation("TagResource")
    async def tag_resource(self, call: Call, params: dict[str, Any]) -> None:
        await self._tables.administration.tag_resource(call.region, params)

    @operation("UntagResource")
    async def untag_resource(self, call: Call, params: dict[str, Any]) -> None:
        await self._tables.administration.untag_resource(call.region, params)

    @operation("ListTagsOfResource")
    async def list_tags_of_resource(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.list_tags_of_resource(call.region, params)

    @operation("DescribeLimits")
    async def describe_limits(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.describe_limits(call.region, params)

    @operation("DescribeContinuousBackups")
    async def describe_continuous_backups(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.administration.describe_continuous_backups(call.region, params)

    @operation("DescribeEndpoints")
    async def describe_endpoints(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        """The endpoint that was asked, for a day."""
        return {"Endpoints": [{"Address": call.base_url.partition("://")[2], "CachePeriodInMinutes": 1440}]}

    @operation("PutItem")
    async def put_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.put_item(call.region, params)

    @operation("GetItem")
    async def get_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.get_item(call.region, params, texts=True)

    @operation("UpdateItem")
    async def update_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.update_item(call.region, params)

    @operation("DeleteItem")
    async def delete_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.delete_item(call.region, params)

    @operation("Query")
    async def query(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.query(call.region, params, texts=True)

    @operation("Scan")
    async def scan(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.scan(call.region, params, texts=True)

    @operation("BatchGetItem")
    async def batch_get_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.batch_get_item(call.region, params)

    @operation("TransactWriteItems")
    async def transact_write_items(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.transactions.write_items(call.region, params)

    @operation("TransactGetItems")
    async def transact_get_items(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.transactions.get_items(call.region, params)

    @operation("ExecuteStatement")
    async def execute_statement(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.statements.execute(call.region, params)

    @operation("BatchExecuteStatement")
    async def batch_execute_statement(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.statements.batch(call.region, params)

    @operation("ExecuteTransaction")
    async def execute_transaction(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.statements.transaction(call.region, params)

    @operation("BatchWriteItem")
    async def batch_write_item(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._tables.batch_write_item(call.region, params)
