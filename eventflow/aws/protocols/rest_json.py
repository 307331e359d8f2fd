"""REST with JSON bodies, as Lambda speaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ServiceModel, Shape, StructureShape

from eventflow.aws.protocols.json_reader import JsonReaders, document_reader
from eventflow.aws.protocols.json_rpc import missing_sentence
from eventflow.aws.protocols.json_writer import JsonWriters, dump
from eventflow.aws.protocols.modeled import ErrorShapes, status_of, text_member
from eventflow.aws.protocols.refusal import Missing, Unreadable
from eventflow.aws.protocols.rest import Rest, putter
from eventflow.aws.reply import Reply
from eventflow.errors import ServiceError


class JsonCodec:
    content_type = "application/json"
    blob_type = "application/json"  # what Lambda says of an invocation's result

    def __init__(self) -> None:
        self._readers, self.writers = JsonReaders(), JsonWriters()

    def read_members(self, shape: StructureShape, members: Mapping[str, Shape]) -> Callable[[bytes], dict[str, Any]]:
        return document_reader(self._readers.structure(shape, members))

    def read_payload(self, shape: Shape) -> Callable[[bytes], Any]:
        return document_reader(self._readers.of(shape))

    def write_members(self, operation: str, members: Mapping[str, Shape]) -> Callable[[Mapping[str, Any]], bytes]:
        write = self.writers.structure(members)
        return lambda answer: dump(write(answer))

    def write_payload(self, name: str, shape: Shape) -> Callable[[Any], bytes]:
        write = self.writers.of(shape)
        return lambda value: dump(value if write is None else write(value))


class RestJson(Rest):
    """A service that speaks REST with JSON."""

    family = "rest-json"

    def __init__(self, model: ServiceModel) -> None:
        self._json = JsonCodec()
        super().__init__(model, self._json)
        self._errors = ErrorShapes(model)

    def refuse(self, error: Unreadable) -> ServiceError:
        if isinstance(error, Missing):
            return ServiceError("ValidationException", missing_sentence(error))
        return ServiceError("SerializationException", error.sentence)

    def unknown(self, message: str) -> ServiceError:
        return ServiceError("UnknownOperationException", message, 404)

    def fault(self, error: ServiceError, request_id: str) -> Reply:
        shape = self._errors.find(error.code)
        status = status_of(error.status, shape)
        reply = Reply(status, {"content-type": "application/json", "x-amzn-errortype": error.code})
        members = dict(error.members)
        if shape is not None and "Type" in shape.members:
            members.setdefault("Type", "User" if status < 500 else "Service")
        for name, member in shape.members.items() if shape is not None else ():
            if name in members and "location" in member.serialization:
                putter(name, member)(members.pop(name), reply)
        reply.body = dump({text_member(shape): error.message, **members})
        return reply
