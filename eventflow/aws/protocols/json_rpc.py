"""AWS JSON 1.0 and 1.1: the operation in X-Amz-Target, everything else in one JSON object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, StructureShape

from eventflow.aws.protocols.dialect import Match, ReadRequest, WriteReply
from eventflow.aws.protocols.json_reader import JsonReaders, document_reader
from eventflow.aws.protocols.json_writer import JsonWriters, dump, dump_with
from eventflow.aws.protocols.modeled import ErrorShapes, blamed, status_of, text_member
from eventflow.aws.protocols.query_codes import query_code
from eventflow.aws.protocols.refusal import Missing, UnknownOperation, Unreadable
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.errors import ServiceError

DATED_TARGET = re.compile(r"([A-Za-z]+?)(?:Streams)?_(\d{8})")


class JsonRpc:
    """A service that speaks AWS JSON."""

    names_operation_in_body = False

    def __init__(self, model: ServiceModel) -> None:
        self._readers = JsonReaders()
        self._writers = JsonWriters()
        self._errors = ErrorShapes(model)
        self._service = model.service_name
        self._query_compatible = bool(model.is_query_compatible)
        self._content_type = f"application/x-amz-json-{model.metadata['jsonVersion']}"
        self.target_prefix = model.metadata["targetPrefix"]
        self._namespace = namespace_of(model)
        self.family = "query" if self._query_compatible else "json"

    def find(self, request: Request, body: bytes) -> Match:
        prefix, _, name = request.headers.get("x-amz-target", "").rpartition(".")
        if not name:
            raise UnknownOperation("The header X-Amz-Target, which names the operation, is missing or empty.")
        if prefix != self.target_prefix:
            raise UnknownOperation(f"X-Amz-Target must begin with {self.target_prefix}, not {prefix!r}.")
        return Match(name, {})

    def reader(self, operation: OperationModel) -> ReadRequest:
        shape = operation.input_shape
        if shape is None:
            return lambda request, match, body: {}
        read = document_reader(self._readers.of(shape))
        return lambda request, match, body: read(body)

    def writer(self, operation: OperationModel) -> WriteReply:
        headers = {"content-type": self._content_type}
        members = operation.output_shape.members if operation.output_shape else {}
        if not members:
            return lambda answer, request_id: Reply(200, headers.copy(), b"{}")
        write = self._writers.structure(members)
        compound = frozenset(name for name, shape in members.items() if isinstance(shape, (StructureShape, ListShape, MapShape)))

        def written(answer: Mapping[str, Any], request_id: str) -> Reply:
            ready = {name: value for name, value in answer.items() if type(value) is str and name in compound}
            if not ready:
                return Reply(200, headers.copy(), dump(write(answer)))
            rest = {name: value for name, value in answer.items() if name not in ready}
            return Reply(200, headers.copy(), dump_with(write(rest), ready))

        return written

    def refuse(self, error: Unreadable) -> ServiceError:
        if isinstance(error, Missing) and self._query_compatible:
            return ServiceError("MissingParameter", f"The request must contain the parameter {error.path[-1]}.")
        if isinstance(error, Missing):
            return ServiceError("ValidationException", missing_sentence(error))
        return ServiceError("SerializationException", error.sentence)

    def unknown(self, message: str) -> ServiceError:
        return ServiceError("UnknownOperationException", message)

    def fault(self, error: ServiceError, request_id: str) -> Reply:
        shape = self._errors.find(error.code)
        status = status_of(error.status, shape)
        headers = {"content-type": self._content_type}
        if self._query_compatible:
            code = query_code(self._service, error.code, shape)
            headers["x-amzn-query-error"] = f"{code};{blamed(status)}"
        body = {"__type": self._type(error.code, shape), text_member(shape): error.message, **self._members(error, shape)}
        return Reply(status, headers, dump(body))

    def _type(self, code: str, shape: StructureShape | None) -> str:
        if shape is not None:
            return f"{self._namespace}{shape.name}"
        return f"com.amazon.coral.service#{code}" if self._namespace and not self._query_compatible else code

    def _members(self, error: ServiceError, shape: StructureShape | None) -> Mapping[str, Any]:
        if shape is None:
            return error.members
        modeled = {name: value for name, value in error.members.items() if name in shape.members}
        written: dict[str, Any] = self._writers.structure(shape.members)(modeled)
        return error.members | written


def namespace_of(model: ServiceModel) -> str:
    """What AWS puts before an error's name: ``com.amazonaws.dynamodb.v20120810#``, ``com.amazonaws.sqs#``, or nothing."""
    if model.is_query_compatible:
        return f"com.amazonaws.{model.service_name}#"
    dated = DATED_TARGET.fullmatch(model.metadata["targetPrefix"])
    return f"com.amazonaws.{dated[1].lower()}.v{dated[2]}#" if dated and dated[1] == "DynamoDB" else ""


def missing_sentence(error: Missing) -> str:
    path = ".".join(part[:1].lower() + part[1:] for part in error.path)
    return f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
