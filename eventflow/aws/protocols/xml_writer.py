"""From an operation's answer to XML: each shape compiled once to a function that appends text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.aws.protocols.scalars import text_writer
from eventflow.aws.protocols.wire_names import WireNames

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
#: Carriage returns would be read as newlines; the other control characters S3 writes like this too, though XML 1.0 has no place for them.
SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]')
NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
#: Types whose texts have none of these.
NEEDS_NO_ESCAPE = frozenset(("boolean", "integer", "long", "float", "double", "timestamp", "blob"))

#: Appends one member under its element's name to the text so far.
WriteXml = Callable[[str, Any, list[str]], None]


def escape(text: str) -> str:
    return text if SPECIAL.search(text) is None else SPECIAL.sub(lambda found: NAMED.get(found[0]) or f"&#x{ord(found[0]):X};", text)


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


class XmlWriters:
    """Functions that write a member of a shape."""

    def __init__(self, names: WireNames | None = None) -> None:
        self._names = names or WireNames()
        self._known: dict[tuple[str, bool, str | None], WriteXml] = {}

    def of(self, shape: Shape) -> WriteXml:
        key = (shape.name, bool(shape.serialization.get("flattened")), shape.serialization.get("timestampFormat"))
        if key not in self._known:
            self._known[key] = lambda name, value, out: self._known[key](name, value, out)
            self._known[key] = self._compile(shape)
        return self._known[key]

    def _compile(self, shape: Shape) -> WriteXml:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        write_text = text_writer(shape, "iso8601")
        if shape.type_name in NEEDS_NO_ESCAPE:
            return lambda name, value, out: out.append(f"<{name}>{write_text(value)}</{name}>")
        return lambda name, value, out: out.append(element(name, write_text(value)))

    def _structure(self, shape: StructureShape) -> WriteXml:
        attributes = {name: member.serialization["name"] for name, member in shape.members.items() if member.serialization.get("xmlAttribute")}
        write_members = self.members({name: member for name, member in shape.members.items() if name not in attributes})
        namespace = namespace_of(shape)
        if not attributes:

            def write_plain(name: str, value: Mapping[str, Any], out: list[str]) -> None:
                out.append(f"<{name}{namespace}>")
                write_members(value, out)
                out.append(f"</{name}>")

            return write_plain

        def write(name: str, value: Mapping[str, Any], out: list[str]) -> None:
            marks = "".join(f' {wire}="{escape(str(value[member]))}"' for member, wire in attributes.items() if value.get(member) is not None)
            out.append(f"<{name}{namespace}{marks}>")
            write_members({member: item for member, item in value.items() if member not in attributes}, out)
            out.append(f"</{name}>")

        return write

    def members(self, members: Mapping[str, Shape]) -> Callable[[Mapping[str, Any], list[str]], None]:
        """Write these members in the model's order; one that the model does not have is a mistake of ours and raises."""
        writers = {name: (self._names.member(name, member), self.of(member)) for name, member in members.items()}
        order = {name: place for place, name in enumerate(writers)}

        @lru_cache(64)  # answers have few forms, and a listing has one a thousand times
        def plan(*given: str) -> list[tuple[str, str, WriteXml]]:
            refuse_strangers(given, writers)
            return [(name, *writers[name]) for name in sorted(given, key=order.__getitem__)]

        def write(value: Mapping[str, Any], out: list[str]) -> None:
            for name, wire_name, writer in plan(*value):
                item = value[name]
                if item is not None:
                    writer(wire_name, item, out)

        return write

    def _list(self, shape: ListShape) -> WriteXml:
        write_item = self.of(shape.member)
        if shape.serialization.get("flattened"):

            def write_flat(name: str, value: Iterable[Any], out: list[str]) -> None:
                for item in value:
                    write_item(name, item, out)

            return write_flat
        item_name = shape.member.serialization.get("name", "member")

        def write(name: str, value: Iterable[Any], out: list[str]) -> None:
            out.append(f"<{name}>")
            for item in value:
                write_item(item_name, item, out)
            out.append(f"</{name}>")

        return write

    def _map(self, shape: MapShape) -> WriteXml:
        key_name, value_name = self._names.entry(shape)
        write_key, write_value = self.of(shape.key), self.of(shape.value)
        flattened = bool(shape.serialization.get("flattened"))

        def write_entries(name: str, value: Mapping[str, Any], out: list[str]) -> None:
            for key, item in value.items():
                out.append(f"<{name}>")
                write_key(key_name, key, out)
                write_value(value_name, item, out)
                out.append(f"</{name}>")

        def write(name: str, value: Mapping[str, Any], out: list[str]) -> None:
            out.append(f"<{name}>")
            write_entries("entry", value, out)
            out.append(f"</{name}>")

        return write_entries if flattened else write


def refuse_strangers(given: Iterable[str], known: Mapping[str, Any]) -> None:
    if strangers := set(given) - known.keys():
        raise KeyError(f"An operation answered members that the service model does not have: {', '.join(sorted(strangers))}")


def namespace_of(shape: Shape) -> str:
    namespace = shape.serialization.get("xmlNamespace")
    if namespace is None:
        return ""
    uri, prefix = (namespace, None) if isinstance(namespace, str) else (namespace["uri"], namespace.get("prefix"))
    return f' xmlns:{prefix}="{uri}"' if prefix else f' xmlns="{uri}"'
