"""From a form's flat names (``Attribute.1.Name``) to parameters, each shape compiled once to a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.aws.protocols.refusal import BadDocument, Missing, Unreadable
from eventflow.aws.protocols.scalars import text_reader
from eventflow.aws.protocols.wire_names import WireNames

DEEPEST = 32
#: A form as a tree: a text, or parts by name.
Tree = str | dict[str, Any]
ReadForm = Callable[[Any], Any]


def nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """The tree of a form's dotted names. Raises BadDocument."""
    root: dict[str, Any] = {}
    for name, text in fields.items():
        parts = name.split(".")
        if len(parts) > DEEPEST:
            raise BadDocument(f"A name in the form has more than {DEEPEST} parts.")
        node = root
        for part in parts[:-1]:
            below = node.get(part)
            if not isinstance(below, dict):
                # An empty list is sent as its bare name; where members follow, they count.
                below = node[part] = {}
            node = below
        if not isinstance(node.get(parts[-1]), dict):
            node[parts[-1]] = text
    return root


class FormReaders:
    """Functions from a form's tree to parameters."""

    def __init__(self, names: WireNames) -> None:
        self._names = names
        self._known: dict[tuple[str, bool, str | None], ReadForm] = {}

    def of(self, shape: Shape) -> ReadForm:
        key = (shape.name, bool(shape.serialization.get("flattened")), shape.serialization.get("timestampFormat"))
        if key not in self._known:
            self._known[key] = lambda tree: self._known[key](tree)
            self._known[key] = self._compile(shape)
        return self._known[key]

    def _compile(self, shape: Shape) -> ReadForm:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        read = text_reader(shape, "iso8601")
        return lambda tree: read(text_of(tree))

    def _structure(self, shape: StructureShape) -> ReadForm:
        readers = [(name, self._names.member(name, member), self.of(member)) for name, member in shape.members.items()]
        required = frozenset(shape.required_members)

        def read(tree: Tree) -> dict[str, Any]:
            parts = parts_of(tree)
            found = {}
            for name, wire_name, reader in readers:
                if wire_name in parts:
                    try:
                        found[name] = reader(parts[wire_name])
                    except Unreadable as error:
                        raise error.inside(wire_name) from None
                elif name in required:
                    raise Missing(name)
            return found

        return read

    def _list(self, shape: ListShape) -> ReadForm:
        read_item = self.of(shape.member)
        item_name = None if shape.serialization.get("flattened") else shape.member.serialization.get("name", "member")

        def read(tree: Tree) -> list[Any]:
            parts = parts_of(tree)
            if item_name is not None:
                parts = parts_of(parts.get(item_name, ""))
            return [read_item(item) for _, item in numbered(parts)]

        return read

    def _map(self, shape: MapShape) -> ReadForm:
        key_name, value_name = self._names.entry(shape)
        read_key, read_value = self.of(shape.key), self.of(shape.value)
        flattened = shape.serialization.get("flattened")

        def read(tree: Tree) -> dict[str, Any]:
            parts = parts_of(tree)
            if not flattened:
                parts = parts_of(parts.get("entry", ""))
            found = {}
            for number, item in numbered(parts):
                entry = parts_of(item)
                if key_name not in entry or value_name not in entry:
                    raise Unreadable(f"Entry {number} needs {key_name} and {value_name}.")
                found[read_key(entry[key_name])] = read_value(entry[value_name])
            return found

        return read


def text_of(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    raise Unreadable("A single value is expected here, not members.")


def parts_of(tree: Tree) -> dict[str, Any]:
    if isinstance(tree, dict):
        return tree
    if tree:
        raise Unreadable("Members are expected here, not a single value.")
    return {}


def numbered(parts: dict[str, Any]) -> list[tuple[int, Any]]:
    """The parts in the order of their numbers."""
    try:
        return sorted(((int(number), item) for number, item in parts.items()), key=lambda part: part[0])
    except ValueError:
        raise Unreadable("The items of a list are numbered from 1.") from None
