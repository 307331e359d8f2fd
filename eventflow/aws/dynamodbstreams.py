"""DynamoDB Streams' operations, handed to the streams of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, Operation, operation, operations_of
from eventflow.services.tables.streams import Streams


class DynamoDBStreams:
    """The service ``dynamodbstreams``: each operation is the method of ``Streams`` with its name."""

    name = "dynamodbstreams"

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.operations: Mapping[str, Operation] = operations_of(self)

    @operation("ListStreams")
    async def list_streams(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._streams.list_streams(call.region, params)

    @operation("DescribeStream")
    async def describe_stream(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._streams.describe_stream(call.region, params)

    @operation("GetShardIterator")
    async def get_shard_iterator(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._streams.get_shard_iterator(call.region, params)

    @operation("GetRecords")
    async def get_records(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self._streams.get_records(call.region, params)
