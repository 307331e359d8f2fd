"""Lambda's operations on event source mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.lambda_.form import check
from eventflow.aws.operation import Call, operation
from eventflow.services.mappings import Mappings
from eventflow.services.mappings.settings import ABSENT

Params = dict[str, Any]
Answer = Mapping[str, Any]
PARTLY = "SQS queues and DynamoDB streams"


class MappingOperations:
    """``mappings`` is given by whoever puts the services together."""

    mappings: Mappings

    @operation("CreateEventSourceMapping", partly=PARTLY, refuses=ABSENT)
    async def create_event_source_mapping(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self.mappings.create(params)

    @operation("GetEventSourceMapping")
    async def get_event_source_mapping(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self.mappings.get(params["UUID"])

    @operation("ListEventSourceMappings")
    async def list_event_source_mappings(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self.mappings.page(params)

    @operation("UpdateEventSourceMapping", partly=PARTLY, refuses=ABSENT)
    async def update_event_source_mapping(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self.mappings.update(params.pop("UUID"), params)

    @operation("DeleteEventSourceMapping")
    async def delete_event_source_mapping(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self.mappings.delete(params["UUID"])
