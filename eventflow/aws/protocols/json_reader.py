"""From JSON to parameters: each shape of a service model compiled once to a function that checks and converts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.aws.protocols.large_json import LARGE, LargeText, load
from eventflow.aws.protocols.refusal import BadDocument, Missing, Unreadable
from eventflow.aws.protocols.scalars import INTEGER_BITS, SPECIAL_FLOATS, from_unix, read_blob, timestamp_reader

ReadJson = Callable[[Any], Any]
#: How AWS's JSON errors call what they found.
WORDS: dict[type, str] = {
    dict: "START_OBJECT",
    list: "START_ARRAY",
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    bool: "TRUE_VALUE",
    type(None): "VALUE_NULL",
    LargeText: "STRING_VALUE",
}


def load_object(body: bytes) -> dict[str, Any]:
    """A request's JSON object; an empty body is an empty object. Raises BadDocument."""
    if not body.strip():
        return {}
    try:
        value = decoded(body.decode("utf-8")) if len(body) < LARGE else load(body, decoded)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"The body is not a JSON document: {error}.") from error
    if type(value) is not dict:
        raise BadDocument(f"The body must be a JSON object, not {WORDS[type(value)]}.")
    return value


def document_reader(read: ReadJson) -> Callable[[bytes], Any]:
    """A function from a body to what ``read`` makes of its JSON object. Raises Unreadable."""

    def read_document(body: bytes) -> Any:
        value = load_object(body)
        try:
            return read(value)
        except RecursionError as error:  # the decoder takes more levels than shapes that contain themselves can be followed for
            raise BadDocument("The body is nested too deep to be read.") from error

    return read_document


def decoded(text: str) -> Any:
    """What a JSON document says: most begin and end without white space, which the decoder would look for twice."""
    try:
        value, end = DECODER.raw_decode(text)
    except ValueError:
        end = -1
    return value if end == len(text) else DECODER.decode(text)


def refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


DECODER = json.JSONDecoder(parse_constant=refuse_constant)


class JsonReaders:
    """Functions from parsed JSON to parameters. Unknown members are left out, as AWS does, and null is the same as absent."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], ReadJson] = {}

    def of(self, shape: Shape) -> ReadJson:
        key = (shape.name, shape.serialization.get("timestampFormat"))
        if key not in self._known:
            # A shape that contains itself finds this first, and the finished function later.
            self._known[key] = lambda value: self._known[key](value)
            self._known[key] = self._compile(shape)
        return self._known[key]

    def _compile(self, shape: Shape) -> ReadJson:
        if isinstance(shape, StructureShape):
            return pass_through if shape.is_document_type else self.structure(shape, body_members(shape))
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        if shape.type_name == "timestamp":
            return read_timestamp(shape.serialization.get("timestampFormat", "unixtimestamp"))
        if shape.type_name in INTEGER_BITS:
            return read_integer(INTEGER_BITS[shape.type_name])
        return SCALARS.get(shape.type_name, read_string)

    def structure(self, shape: StructureShape, members: Mapping[str, Shape]) -> ReadJson:
        """Read these members of a structure."""
        readers = {member.serialization.get("name", name): (name, self.of(member)) for name, member in members.items()}
        required = tuple(name for name in shape.required_members if name in members)

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise unexpected(value, "a structure")
            found: dict[str, Any] = {}
            for key, item in value.items():
                if item is not None and (reader := readers.get(key)) is not None:
                    try:
                        found[reader[0]] = reader[1](item)
                    except Unreadable as error:
                        raise error.inside(key) from None
            for name in required:
                if name not in found:
                    raise Missing(name)
            return found

        return read

    def _list(self, shape: ListShape) -> ReadJson:
        read_item, nothing = self.of(shape.member), nothing_for(shape.member)

        def read(value: Any) -> list[Any]:
            if type(value) is not list:
                raise unexpected(value, "a list")
            found = []
            for number, item in enumerate(value, 1):
                try:
                    found.append(read_item(nothing if item is None else item))
                except Unreadable as error:
                    raise error.inside(f"{number}.member") from None
            return found

        return read

    def _map(self, shape: MapShape) -> ReadJson:
        read_item, nothing = self.of(shape.value), nothing_for(shape.value)

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise unexpected(value, "a map")
            found = {}
            for key, item in value.items():
                try:
                    found[read_string(key)] = read_item(nothing if item is None else item)
                except Unreadable as error:
                    raise error.inside(f"{key}.member") from None
            return found

        return read


def nothing_for(shape: Shape) -> Any:
    """What null stands for in a list or map: a structure without members; of anything else there must be some."""
    return {} if isinstance(shape, StructureShape) else None


def body_members(shape: StructureShape) -> dict[str, Shape]:
    """The members that travel in the body."""
    return {name: member for name, member in shape.members.items() if "location" not in member.serialization}


def unexpected(value: Any, wanted: str) -> Unreadable:
    word = "FALSE_VALUE" if value is False else WORDS[type(value)]
    return Unreadable(f"{word} can not be converted to {wanted}.")


def pass_through(value: Any) -> Any:
    return value


def read_string(value: Any) -> str:
    if type(value) is LargeText:
        return str(value)
    if type(value) is not str:
        raise unexpected(value, "a String")
    # JSON can spell half a surrogate pair, which no encoding can store.
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise Unreadable("A string holds half of a surrogate pair.")
    return value


def read_integer(bits: int) -> ReadJson:
    def read(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise unexpected(value, "an Integer")
        if not -(1 << bits) <= value < 1 << bits:
            raise Unreadable(f"The number is out of range for {bits + 1} bits.")
        return value

    return read


def read_float(value: Any) -> float:
    if type(value) is str and value in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[value]
    if type(value) not in (int, float):
        raise unexpected(value, "a Double")
    try:
        return float(value)
    except OverflowError:
        raise Unreadable("The number is out of range for a Double.") from None


def read_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise unexpected(value, "a Boolean")
    return value


def read_json_blob(value: Any) -> bytes:
    if type(value) is LargeText:
        try:
            return value.decoded()
        except ValueError as error:
            raise Unreadable(f"A text of {len(str(value))} characters is not Base64.") from error
    return read_blob(read_string(value))


def read_timestamp(form: str) -> ReadJson:
    read_text = timestamp_reader(form)

    def read(value: Any) -> datetime:
        if type(value) in (int, float):
            try:
                return from_unix(value)
            except (ValueError, OverflowError, OSError):
                raise Unreadable("The number is not a time in Unix seconds.") from None
        return read_text(read_string(value))  # type: ignore[no-any-return]

    return read


SCALARS: dict[str, ReadJson] = {"boolean": read_boolean, "float": read_float, "double": read_float, "blob": read_json_blob}
