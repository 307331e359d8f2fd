"""From XML to parameters: a parser that knows no DTDs, and each shape compiled once to a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.aws.protocols.refusal import BadDocument, Missing, Unreadable
from eventflow.aws.protocols.scalars import text_reader

#: No request of AWS nests deeper than a dozen elements.
DEEPEST = 64

ReadXml = Callable[[list[Element]], Any]


def load_xml(body: bytes) -> Element:
    """The root element. Raises BadDocument, also for any document type declaration: entities are how small documents grow without bound."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise BadDocument(f"The document nests deeper than {DEEPEST} elements.")
        builder.start(local_name(tag), attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(local_name(tag))

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise BadDocument(f"The body is not well-formed XML: {error}.") from error
    return builder.close()


def refuse_doctype(*_: Any) -> None:
    raise BadDocument("Document type declarations are not accepted.")


def local_name(tag: str) -> str:
    return tag.rpartition(":")[2]


class XmlReaders:
    """Functions from the elements that bear a member's name to the member's value."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool, str | None], ReadXml] = {}

    def of(self, shape: Shape) -> ReadXml:
        key = (shape.name, bool(shape.serialization.get("flattened")), shape.serialization.get("timestampFormat"))
        if key not in self._known:
            self._known[key] = lambda elements: self._known[key](elements)
            self._known[key] = self._compile(shape)
        return self._known[key]

    def _compile(self, shape: Shape) -> ReadXml:
        if isinstance(shape, StructureShape):
            read_members = self.structure(shape, shape.members)
            return lambda elements: read_members(only(elements))
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        read = text_reader(shape, "iso8601")
        if shape.type_name == "string":
            return lambda elements: only(elements).text or ""
        return lambda elements: read((only(elements).text or "").strip())

    def structure(self, shape: StructureShape, members: Mapping[str, Shape]) -> Callable[[Element], dict[str, Any]]:
        """Read these members of a structure from the children and attributes of its element."""
        attributes = {local_name(member.serialization["name"]): name for name, member in members.items() if member.serialization.get("xmlAttribute")}
        children = {
            member.serialization.get("name", name): (name, self.of(member)) for name, member in members.items() if name not in attributes.values()
        }
        required = tuple(name for name in shape.required_members if name in members)

        def read(element: Element) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for attribute, text in element.attrib.items():
                if (attributed := attributes.get(local_name(attribute))) is not None:
                    found[attributed] = text
            for tag, elements in grouped(element).items():
                if (child := children.get(tag)) is not None:
                    try:
                        found[child[0]] = child[1](elements)
                    except Unreadable as error:
                        raise error.inside(tag) from None
            for name in required:
                if name not in found:
                    raise Missing(name)
            return found

        return read

    def _list(self, shape: ListShape) -> ReadXml:
        read_item = self.of(shape.member)
        if shape.serialization.get("flattened"):
            return lambda elements: [read_item([element]) for element in elements]
        return lambda elements: [read_item([item]) for item in only(elements)]

    def _map(self, shape: MapShape) -> ReadXml:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        read_key, read_value = self.of(shape.key), self.of(shape.value)
        flattened = shape.serialization.get("flattened")

        def read(elements: list[Element]) -> dict[str, Any]:
            found = {}
            for entry in elements if flattened else only(elements):
                parts = grouped(entry)
                if key_name not in parts or value_name not in parts:
                    raise Unreadable(f"An entry of a map needs {key_name} and {value_name}.")
                found[read_key(parts[key_name])] = read_value(parts[value_name])
            return found

        return read


def only(elements: list[Element]) -> Element:
    if len(elements) != 1:
        raise Unreadable(f"The element {elements[0].tag} may occur only once.")
    return elements[0]


def grouped(element: Element) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for child in element:
        found.setdefault(child.tag, []).append(child)
    return found
