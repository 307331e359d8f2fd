"""From an operation's answer to JSON: shapes that JSON can hold as they are cost nothing, the others are compiled once to a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.aws.protocols.scalars import timestamp_writer, to_unix, write_blob, write_float

ToJson = Callable[[Any], Any]


def dump(value: Any) -> bytes:
    return ENCODER.encode(value).encode()


def dump_with(members: Mapping[str, Any], texts: Mapping[str, str]) -> bytes:
    """A structure of which some members are JSON already."""
    ready = ",".join([f'"{name}":{text}' for name, text in texts.items()])
    return (f"{ENCODER.encode(members)[:-1]},{ready}}}" if members else f"{{{ready}}}").encode()


def encode_value(value: Any) -> Any:
    """What JSON has no word for, as AWS writes it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return write_blob(bytes(value))
    if isinstance(value, datetime):
        return to_unix(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"An operation answered a {type(value).__name__}, which JSON cannot hold: {value!r}")


ENCODER = json.JSONEncoder(default=encode_value, separators=(",", ":"), allow_nan=False)


class JsonWriters:
    """Functions from answers to what ``dump`` takes; None for a shape that ``dump`` takes as it is, however deep."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], ToJson | None] = {}

    def of(self, shape: Shape) -> ToJson | None:
        key = (shape.name, shape.serialization.get("timestampFormat"))
        if key not in self._known:
            self._known[key] = None if is_plain(shape, set()) else self._recursive(key, shape)
        return self._known[key]

    def _recursive(self, key: tuple[str, str | None], shape: Shape) -> ToJson:
        def later(value: Any) -> Any:
            finished = self._known[key]
            return finished(value) if finished is not None else value

        self._known[key] = later
        return self._compile(shape)

    def _compile(self, shape: Shape) -> ToJson:
        if isinstance(shape, StructureShape):
            return self.structure(shape.members)
        if isinstance(shape, ListShape):
            write_item = self.of(shape.member) or unchanged
            return lambda value: [None if item is None else write_item(item) for item in value]
        if isinstance(shape, MapShape):
            write_value = self.of(shape.value) or unchanged
            return lambda value: {key: None if item is None else write_value(item) for key, item in value.items()}
        if shape.type_name == "timestamp":
            return timestamp_writer(shape.serialization["timestampFormat"])
        return lambda value: value if abs(value) < float("inf") else write_float(value)

    def structure(self, members: Mapping[str, Shape]) -> ToJson:
        """Write these members of a structure; one that the model does not have is a mistake of ours and raises."""
        writers = {name: (member.serialization.get("name", name), self.of(member)) for name, member in members.items()}

        def write(value: Mapping[str, Any]) -> dict[str, Any]:
            written = {}
            for name, item in value.items():
                key, writer = writers[name]
                if item is not None:
                    written[key] = item if writer is None else writer(item)
            return written

        return write


def unchanged(value: Any) -> Any:
    return value


def is_plain(shape: Shape, seen: set[str]) -> bool:
    """Whether ``dump`` writes every value of this shape correctly by itself."""
    if shape.type_name in ("float", "double"):
        return False
    if shape.type_name == "timestamp":
        return str(shape.serialization.get("timestampFormat", "unixtimestamp")).lower() == "unixtimestamp"
    if shape.name in seen:
        return True
    seen.add(shape.name)
    if isinstance(shape, StructureShape):
        return all(member.serialization.get("name", name) == name and is_plain(member, seen) for name, member in shape.members.items())
    if isinstance(shape, ListShape):
        return is_plain(shape.member, seen)
    return not isinstance(shape, MapShape) or is_plain(shape.value, seen)
