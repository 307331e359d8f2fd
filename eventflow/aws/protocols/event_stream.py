"""Event streams as AWS's REST protocols send them: each event a message of headers and payload, with check sums (smithy.io, "Event stream
specification")."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any

from botocore.model import Shape, StructureShape

CONTENT_TYPE = "application/vnd.amazon.eventstream"
#: Length of the message, length of its headers.
PRELUDE = struct.Struct(">II")
CHECKSUM = struct.Struct(">I")
#: Type of a header's value: a text, with its length in two bytes.
TEXT = 7

#: Writes the members of a structure as JSON, or whatever the protocol has.
WriteMembers = Callable[[Mapping[str, Shape]], Callable[[Mapping[str, Any]], bytes]]


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    named = b"".join(_header(name, value) for name, value in headers.items())
    begin = PRELUDE.pack(PRELUDE.size + 2 * CHECKSUM.size + len(named) + len(payload), len(named))
    begin += CHECKSUM.pack(zlib.crc32(begin)) + named
    return begin + payload + CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(begin)))


def _header(name: str, value: str) -> bytes:
    encoded = value.encode()
    return bytes((len(name),)) + name.encode() + struct.pack(">BH", TEXT, len(encoded)) + encoded


def event_writer(stream: StructureShape, content_type: str, write_members: WriteMembers) -> Callable[[Mapping[str, Any]], bytes]:
    """Writes an event, ``{"PayloadChunk": {"Payload": b"..."}}``, as a message; ``content_type`` is that of events that are structures."""
    writers = {name: _payload_writer(member, content_type, write_members) for name, member in stream.members.items()}

    def write(event: Mapping[str, Any]) -> bytes:
        ((kind, values),) = event.items()
        content, payload = writers[kind](values)
        return message({":event-type": kind, ":content-type": content, ":message-type": "event"}, payload)

    return write


def _payload_writer(shape: Shape, content_type: str, write_members: WriteMembers) -> Callable[[Mapping[str, Any]], tuple[str, bytes]]:
    assert isinstance(shape, StructureShape)
    for name, member in shape.members.items():
        if member.serialization.get("eventpayload"):
            return lambda values, name=name: ("application/octet-stream", values[name])  # type: ignore[misc]
    write = write_members(shape.members)
    return lambda values: (content_type, write(values))


async def written(events: AsyncIterable[Mapping[str, Any]], write: Callable[[Mapping[str, Any]], bytes]) -> AsyncIterator[bytes]:
    """The body of an answer that is a stream of events."""
    async for event in events:
        yield write(event)
