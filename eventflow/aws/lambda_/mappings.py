"""Lambda's operations on event source mappings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from eventflow.aws.constraints import check
from eventflow.aws.operation import Call, operation
from eventflow.aws.wire import Wires
from eventflow.services.mappings import Mappings
from eventflow.services.mappings.settings import ABSENT

Params = dict[str, Any]
Answer = Mapping[str, Any]
PARTLY = "SQS queues and DynamoDB streams"


class MappingOperations:
    """``mappings`` is given by whoever puts the services together."""

    mappings: Mappings

    @cached_property
    def _mapping_model(self) -> Any:
        return Wires().of("lambda").model

    @operation("CreateEventSourceMapping", partly=PARTLY, refuses=ABSENT)
    async def create_event_source_mapping(self, call: Call, params: Params) -> Answer:
        self._check_mapping(call, params)
        return await self.mappings.create(params)

    @operation("GetEventSourceMapping")
    async def get_event_source_mapping(self, call: Call, params: Params) -> Answer:
        return await self.mappings.get(params["UUID"])

    @operation("ListEventSourceMappings")
    async def list_event_source_mappings(self, call: Call, params: Params) -> Answer:
        self._check_mapping(call, params)
        return await self.mappings.page(params)

    @operation("UpdateEventSourceMapping", partly=PARTLY, refuses=ABSENT)
    async def update_event_source_mapping(self, call: Call, params: Params) -> Answer:
        self._check_mapping(call, params)
        return await self.mappings.update(params.pop("UUID"), params)

    @operation("DeleteEventSourceMapping")
    async def delete_event_source_mapping(self, call: Call, params: Params) -> Answer:
        return await self.mappings.delete(params["UUID"])

    def _check_mapping(self, call: Call, params: Params) -> None:
        check(self._mapping_model.operation_model(call.operation).input_shape, params)
