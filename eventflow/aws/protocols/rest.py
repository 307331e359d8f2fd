"""What the REST protocols share: members in the address, the query, headers and the status, and a body that only their codecs understand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from eventflow.aws.protocols import event_stream
from eventflow.aws.protocols.dialect import Match, ReadRequest, WriteReply
from eventflow.aws.protocols.json_reader import body_members
from eventflow.aws.protocols.refusal import Missing, Unreadable
from eventflow.aws.protocols.scalars import text_reader, text_writer
from eventflow.aws.protocols.uri import Addresses
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request, decode, decode_pairs

#: Reads one member out of a request; None when it is not there.
Take = Callable[[Request, Match, bytes], Any]
#: Puts one member of an answer into the reply.
Put = Callable[[Any, Reply], None]
LIST_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|$)')


class BodyCodec(Protocol):
    """How a REST protocol writes bodies. ``read_members`` and ``write_members`` are for the members of a structure that have no other place,
    ``read_payload`` and ``write_payload`` for the one member that is the body."""

    content_type: str
    blob_type: str

    def read_members(self, shape: StructureShape, members: Mapping[str, Shape]) -> Callable[[bytes], dict[str, Any]]: ...
    def read_payload(self, shape: Shape) -> Callable[[bytes], Any]: ...
    def write_members(self, operation: str, members: Mapping[str, Shape]) -> Callable[[Mapping[str, Any]], bytes]: ...
    def write_payload(self, name: str, shape: Shape) -> Callable[[Any], bytes]: ...


class Rest:
    """The request and answer half of a REST protocol; errors are its subclasses' own."""

    names_operation_in_body = False

    def __init__(self, model: ServiceModel, codec: BodyCodec) -> None:
        self._codec = codec
        self._addresses = Addresses(model.operation_model(name) for name in model.operation_names)

    def find(self, request: Request, body: bytes) -> Match:
        return Match(*self._addresses.find(request, self.path(request)))

    def path(self, request: Request) -> str:
        return request.path

    # Reading

    def reader(self, operation: OperationModel) -> ReadRequest:
        shape = operation.input_shape
        if shape is None:
            return lambda request, match, body: {}
        named = names_in_query(operation, shape)
        takes, in_headers = [], {}
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            if location == "header":  # an operation may know forty of them, and a request has ten: it is asked for what it has
                in_headers[member.serialization.get("name", name).lower()] = name, taker(name, member, named)
            elif location is not None:
                takes.append((name, taker(name, member, named)))
        required = tuple(name for name in shape.required_members if not is_streaming(shape.members[name]))
        read_body = self._body_reader(shape)

        def read(request: Request, match: Match, body: bytes) -> dict[str, Any]:
            found = read_body(body)
            for name, take in (*takes, *[in_headers[key] for key in request.headers if key in in_headers]):
                try:
                    value = take(request, match, body)
                except Unreadable as error:
                    raise error.inside(name) from None
                if value is not None:
                    found[name] = value
            for name in required:
                if name not in found:
                    raise Missing(name)
            return found

        return read

    def _body_reader(self, shape: StructureShape) -> Callable[[bytes], dict[str, Any]]:
        payload = shape.serialization.get("payload")
        if payload is None:
            members = body_members(shape)
            return self._codec.read_members(shape, members) if members else lambda body: {}
        member = shape.members[payload]
        if is_streaming(member):
            return lambda body: {}
        raw, must = raw_reader(member), payload in shape.required_members
        read_payload = raw or self._codec.read_payload(member)

        def read(body: bytes) -> dict[str, Any]:
            # An empty body is a raw payload that was not given, unless it has to be: then it is an empty one.
            if not body and not (raw and must):
                return {}
            try:
                return {payload: read_payload(body)}
            except Unreadable as error:
                raise error.inside(payload) from None

        return read

    # Writing

    def writer(self, operation: OperationModel) -> WriteReply:
        status = operation.http.get("responseCode", 200)
        shape = operation.output_shape
        if shape is None:
            return lambda answer, request_id: Reply(status)
        puts = {name: putter(name, member) for name, member in shape.members.items() if "location" in member.serialization}
        put_body, known = self._body_writer(operation, shape), frozenset(shape.members)

        def write(answer: Mapping[str, Any], request_id: str) -> Reply:
            if not answer.keys() <= known:
                raise KeyError(f"{operation.name} answered members that the service model does not have: {', '.join(sorted(answer.keys() - known))}")
            reply = Reply(status)
            put_body(answer, reply)
            for name, value in answer.items():
                if value is not None and name in puts:
                    puts[name](value, reply)
            return reply

        return write

    def _body_writer(self, operation: OperationModel, shape: StructureShape) -> Callable[[Mapping[str, Any], Reply], None]:
        payload = shape.serialization.get("payload")
        if payload is not None:
            return self._payload_writer(operation.name, payload, shape.members[payload])
        members, content_type = body_members(shape), self._codec.content_type
        if not members:
            return lambda answer, reply: None
        write_members = self._codec.write_members(operation.name, members)

        def put(answer: Mapping[str, Any], reply: Reply) -> None:
            reply.headers["content-type"] = content_type
            reply.body = write_members({name: value for name, value in answer.items() if name in members})

        return put

    def _payload_writer(self, operation: str, payload: str, member: Shape) -> Callable[[Mapping[str, Any], Reply], None]:
        if isinstance(member, StructureShape) and member.serialization.get("eventstream"):
            return self._event_stream_writer(operation, payload, member)
        if member.type_name in ("blob", "string"):
            return raw_payload(payload, self._codec.blob_type)
        write, content_type = self._codec.write_payload(payload, member), self._codec.content_type

        def put(answer: Mapping[str, Any], reply: Reply) -> None:
            if answer.get(payload) is not None:
                reply.headers["content-type"] = content_type
                reply.body = write(answer[payload])

        return put

    def _event_stream_writer(self, operation: str, payload: str, member: StructureShape) -> Callable[[Mapping[str, Any], Reply], None]:
        write = event_stream.event_writer(member, self._codec.content_type, lambda members: self._codec.write_members(operation, members))

        def put(answer: Mapping[str, Any], reply: Reply) -> None:
            reply.headers["content-type"] = event_stream.CONTENT_TYPE
            reply.body = event_stream.written(answer[payload], write)

        return put


def is_streaming(member: Shape) -> bool:
    return bool(member.serialization.get("streaming"))


def raw_reader(member: Shape) -> Callable[[bytes], Any] | None:
    if member.type_name == "blob":
        return bytes
    return read_utf8 if member.type_name == "string" else None


def read_utf8(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("The body is not UTF-8.") from error


def raw_payload(payload: str, content_type: str) -> Callable[[Mapping[str, Any], Reply], None]:
    def put(answer: Mapping[str, Any], reply: Reply) -> None:
        body: bytes | str | AsyncIterator[bytes] | None = answer.get(payload)
        if body is not None:
            reply.headers["content-type"] = content_type
            reply.body = body.encode() if isinstance(body, str) else body

    return put


def names_in_query(operation: OperationModel, shape: StructureShape) -> frozenset[str]:
    """The names in the query that have a meaning of their own; a map in the query takes the others."""
    members = (member.serialization.get("name", name) for name, member in shape.members.items() if not isinstance(member, MapShape))
    return frozenset(members) | decode_pairs(operation.http["requestUri"].partition("?")[2]).keys()


def taker(name: str, member: Shape, named: frozenset[str]) -> Take:
    """How to read a member that has a place outside the body."""
    location, key = member.serialization["location"], member.serialization.get("name", name)
    if location == "uri":
        read = text_reader(member, "iso8601")
        return lambda request, match, body: read(decode(match.values[key]))
    if location == "querystring":
        return query_map_taker(member, named) if isinstance(member, MapShape) else query_taker(key, member)
    if location == "headers":
        return header_map_taker(key.lower())
    return header_taker(key.lower(), member)


def query_map_taker(member: MapShape, named: frozenset[str]) -> Take:
    as_list = isinstance(member.value, ListShape)

    def take(request: Request, match: Match, body: bytes) -> dict[str, Any] | None:
        return {name: values if as_list else values[0] for name, values in request.query.items() if name not in named} or None

    return take


def query_taker(key: str, member: Shape) -> Take:
    if isinstance(member, ListShape):
        read_item = text_reader(member.member, "iso8601")
        return lambda request, match, body: [read_item(value) for value in request.query[key]] if key in request.query else None
    read = text_reader(member, "iso8601")
    return lambda request, match, body: read(request.query[key][0]) if key in request.query else None


def header_taker(key: str, member: Shape) -> Take:
    if isinstance(member, ListShape):
        read_item = text_reader(member.member, "rfc822")
        return lambda request, match, body: [read_item(item) for item in split_list(request.headers[key])] if key in request.headers else None
    if member.type_name == "string" and not member.serialization.get("jsonvalue"):
        return lambda request, match, body: request.headers.get(key)
    read = text_reader(member, "rfc822")
    return lambda request, match, body: read(request.headers[key]) if request.headers.get(key) else None


def header_map_taker(prefix: str) -> Take:
    size = len(prefix)
    return lambda request, match, body: {name[size:]: value for name, value in request.headers.items() if name.startswith(prefix)} or None


def split_list(text: str) -> list[str]:
    """The items of a header's list; an item in double quotes may hold commas."""
    items, position = [], 0
    while position < len(text):
        found = LIST_ITEM.match(text, position)
        if found is None:
            raise Unreadable("The header is not a list of items that commas separate.")
        quoted, plain = found.groups()
        items.append(quoted.replace('\\"', '"') if quoted is not None else plain.strip())
        position = found.end()
    return items


def putter(name: str, member: Shape) -> Put:
    """How to write a member that has a place outside the body."""
    location, key = member.serialization["location"], member.serialization.get("name", name).lower()
    if location == "statusCode":
        return put_status
    if location == "headers":
        return lambda value, reply: reply.headers.update({f"{key}{item}": str(text) for item, text in value.items()})
    if isinstance(member, ListShape):
        write_item = text_writer(member.member, "rfc822")
        return lambda value, reply: reply.headers.__setitem__(key, ",".join(map(write_item, value)))
    write = text_writer(member, "rfc822")
    return lambda value, reply: reply.headers.__setitem__(key, write(value))


def put_status(value: int, reply: Reply) -> None:
    reply.status = value
