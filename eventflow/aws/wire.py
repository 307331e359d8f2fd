"""One service on the wire: botocore's model of it, and its operations compiled for each protocol that its clients speak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from eventflow.aws.operation import Call, Operation
from eventflow.aws.protocols.dialect import Dialect, Match, ReadRequest, WriteReply
from eventflow.aws.protocols.json_rpc import JsonRpc
from eventflow.aws.protocols.large_json import LARGE
from eventflow.aws.protocols.query import Query, is_form
from eventflow.aws.protocols.rest import is_streaming
from eventflow.aws.protocols.rest_json import RestJson
from eventflow.aws.protocols.rest_xml import RestXml
from eventflow.aws.protocols.s3 import S3
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request


@dataclass(frozen=True, slots=True)
class WireOperation:
    """One operation in one protocol. ``streaming`` says that the body is not read before the operation runs; ``checksummed`` that its checksum
    headers are of the request's body."""

    name: str
    streaming: bool
    checksummed: bool
    read: ReadRequest
    write: WriteReply

    async def perform(self, implementation: Operation, call: Call, request: Request, match: Match, body: bytes) -> Reply:
        """Read the parameters, run the implementation, write its answer."""
        # What takes tens of milliseconds is done beside the event loop, on which all others wait.
        large = len(body) >= LARGE
        params = await asyncio.to_thread(self.read, request, match, body) if large else self.read(request, match, body)
        answer = await implementation(call, params)
        reply = self.write(answer or {}, call.request_id)
        reply.status = call.status or reply.status
        return reply


class SpokenService:
    """A service in one of its protocols; operations are compiled when they are first called."""

    def __init__(self, model: ServiceModel, dialect: Dialect) -> None:
        self.dialect = dialect
        self._model = model
        self._names = frozenset(model.operation_names)
        self._operations: dict[str, WireOperation] = {}

    def operation(self, name: str) -> WireOperation | None:
        """The compiled operation, or None if the model has none of this name."""
        if name not in self._operations:
            if name not in self._names:
                return None
            self._operations[name] = compiled(self._model.operation_model(name), self.dialect)
        return self._operations[name]

    def written(self, name: str, answer: Mapping[str, Any], request_id: str) -> Reply:
        """The answer of an operation that the model has."""
        operation = self.operation(name)
        assert operation is not None
        return operation.write(answer, request_id)


def compiled(operation: OperationModel, dialect: Dialect) -> WireOperation:
    return WireOperation(
        operation.name,
        streams(operation),
        "requestAlgorithmMember" in (operation.http_checksum or {}),
        dialect.reader(operation),
        dialect.writer(operation),
    )


def streams(operation: OperationModel) -> bool:
    """Whether the body is a stream by the model's word. (botocore's own has_streaming_input is also true for plain blobs, as Lambda's Payload is.)"""
    shape = operation.input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    return shape is not None and payload is not None and is_streaming(shape.members[payload])


class Wire:
    """A service's protocols."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model

    @cached_property
    def main(self) -> SpokenService:
        return SpokenService(self.model, dialect_of(self.model))

    @cached_property
    def query(self) -> SpokenService:
        """The query protocol, which a service that moved to JSON still understands."""
        return SpokenService(self.model, Query(self.model))

    def spoken(self, request: Request) -> SpokenService:
        """The protocol that a request is in."""
        if self.model.is_query_compatible and "x-amz-target" not in request.headers and (is_form(request) or "Action=" in request.query_string):
            return self.query
        return self.main

    @property
    def target_prefix(self) -> str | None:
        return self.model.metadata.get("targetPrefix")


def dialect_of(model: ServiceModel) -> Dialect:
    if model.service_name == "s3":
        return S3(model)
    protocol = model.metadata["protocol"]
    if protocol == "json":
        return JsonRpc(model)
    if protocol == "query":
        return Query(model)
    if protocol == "rest-json":
        return RestJson(model)
    if protocol == "rest-xml":
        return RestXml(model)
    raise NotImplementedError(f"The service {model.service_name} speaks {protocol}, not json, query, rest-json or rest-xml.")


class Wires:
    """The services of botocore, each loaded when it is first asked for."""

    def __init__(self) -> None:
        # Only botocore's own models: what a user keeps in ~/.aws/models must not change what the endpoint understands.
        self._loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
        self._known: dict[str, Wire] = {}

    def of(self, service: str) -> Wire:
        """A service's wire, by botocore's name of it. Raises UnknownServiceError."""
        if service not in self._known:
            self._known[service] = Wire(ServiceModel(self._loader.load_service_model(service, "service-2"), service))
        return self._known[service]

    def load(self, services: Iterable[str]) -> None:
        """Load these now, so that the first request of each is not slow."""
        for service in services:
            _ = self.of(service).main
