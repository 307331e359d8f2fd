"""Attribute values: what makes one valid, how large it is, when two are equal and which comes first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from eventflow.services.attributes import numbers
from eventflow.services.attributes.refusals import PARAMETERS_INVALID, invalid, invalid_parameters

#: ``{"S": "text"}``, ``{"N": "12.5"}``, ``{"B": b"..."}``, ``{"M": {...}}``, ...: exactly one member, named by its type.
Value = dict[str, Any]
Item = dict[str, Value]

TYPES = frozenset(("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"))
SETS = frozenset(("SS", "NS", "BS"))
ORDERED = frozenset(("S", "N", "B"))

#: An attribute is level 1, what is in its list or map level 2, and so on.
DEEPEST_LEVEL = 32
LONGEST_NAME = 65_535
TOO_DEEP = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"

EMPTY_VALUE = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
EMPTY_SETS = {
    "SS": "An string set  may not be empty",
    "NS": "An number set  may not be empty",
    "BS": "Binary sets should not be empty",
}


def type_of(value: Value) -> str:
    return next(iter(value))


def valid_item(item: Mapping[str, Value]) -> Item:
    """A copy of the item in canonical form, or DynamoDB's refusal of the first thing that is wrong with it."""
    return {valid_name(name): valid_value(value) for name, value in item.items()}


def valid_name(name: str) -> str:
    length = text_size(name)
    if 0 < length <= LONGEST_NAME:
        return name
    if length:
        raise invalid_parameters(f"Attribute name is too large, must be less than 65536 bytes; attribute name length: {length}")
    raise invalid_parameters("Empty attribute name")


def valid_value(value: Mapping[str, Any] | None, level: int = 1) -> Value:
    if level > DEEPEST_LEVEL:
        raise invalid(TOO_DEEP)
    if value is None:
        raise invalid(EMPTY_VALUE)
    kinds = [kind for kind in value if kind in VALIDATORS]
    if len(kinds) == 1:
        kind = kinds[0]
        return {kind: VALIDATORS[kind](value[kind], level)}
    if not kinds:
        raise invalid(EMPTY_VALUE)
    raise invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")


def refuse_deep(value: Value, level: int = 1) -> None:
    """For values that were put together from valid ones."""
    if level > DEEPEST_LEVEL:
        raise invalid(TOO_DEEP)
    for inner in value.get("L") or value.get("M", {}).values():
        refuse_deep(inner, level + 1)


def _valid_text(content: str, level: int) -> str:
    if not content.isascii():
        text_size(content)
    return content


def _valid_number(content: str, level: int) -> str:
    return numbers.canonical(content)


def _valid_binary(content: bytes, level: int) -> bytes:
    return bytes(content)


def _valid_boolean(content: bool, level: int) -> bool:
    return bool(content)


def _valid_null(content: bool, level: int) -> bool:
    if not content:
        raise invalid_parameters("Null attribute value types must have the value of true")
    return True


def _valid_list(content: list[Value], level: int) -> list[Value]:
    return [valid_value(value, level + 1) for value in content]


def _valid_map(content: dict[str, Value], level: int) -> Item:
    return {valid_name(name): valid_value(value, level + 1) for name, value in content.items()}


def _valid_text_set(content: list[str], level: int) -> list[str]:
    members = [_valid_text(member, level) for member in _not_empty("SS", content)]
    if len(set(members)) != len(members):
        raise invalid_parameters(f"Input collection [{', '.join(members)}] contains duplicates.")
    return members


def _valid_number_set(content: list[str], level: int) -> list[str]:
    members = [numbers.canonical(member) for member in _not_empty("NS", content)]
    if len(set(members)) != len(members):
        raise invalid("Input collection contains duplicates")
    return members


def _valid_binary_set(content: list[bytes], level: int) -> list[bytes]:
    members = [bytes(member) for member in _not_empty("BS", content)]
    if len(set(members)) != len(members):
        raise invalid(f"{PARAMETERS_INVALID}Input collection of type BS contains duplicates.")
    return members


def _not_empty(kind: str, content: list[Any]) -> list[Any]:
    if not content:
        raise invalid_parameters(EMPTY_SETS[kind])
    return content


VALIDATORS: Mapping[str, Callable[[Any, int], Any]] = {
    "S": _valid_text,
    "N": _valid_number,
    "B": _valid_binary,
    "BOOL": _valid_boolean,
    "NULL": _valid_null,
    "L": _valid_list,
    "M": _valid_map,
    "SS": _valid_text_set,
    "NS": _valid_number_set,
    "BS": _valid_binary_set,
}


def text_size(text: str) -> int:
    """Bytes of the text as UTF-8; half of a surrogate pair, which JSON can smuggle in, has none and is refused."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise invalid_parameters(f"A string is not valid Unicode: it has an unpaired surrogate at position {error.start}") from error


def item_size(item: Mapping[str, Value]) -> int:
    """Bytes that DynamoDB counts for an item (AWS: "DynamoDB item sizes and formats")."""
    return sum(text_size(name) + value_size(value) for name, value in item.items())


def value_size(value: Value) -> int:
    kind, content = next(iter(value.items()))
    return SIZES[kind](content)


#: A list or map costs 3 bytes and each of its elements 1; a number 1 byte for two digits and 1 more.
SIZES: Mapping[str, Callable[[Any], int]] = {
    "S": text_size,
    "N": numbers.size,
    "B": len,
    "BOOL": lambda content: 1,
    "NULL": lambda content: 1,
    "L": lambda content: 3 + sum(1 + value_size(value) for value in content),
    "M": lambda content: 3 + len(content) + item_size(content),
    "SS": lambda content: sum(map(text_size, content)),
    "NS": lambda content: sum(map(numbers.size, content)),
    "BS": lambda content: sum(map(len, content)),
}


def equal(left: Value, right: Value) -> bool:
    """Whether two canonical values are the same to DynamoDB: sets in any order, everything else as written."""
    kind = type_of(left)
    if kind != type_of(right):
        return False
    one, other = left[kind], right[kind]
    if kind in SETS:
        return set(one) == set(other)
    if kind == "L":
        return len(one) == len(other) and all(map(equal, one, other))
    if kind == "M":
        return one.keys() == other.keys() and all(equal(value, other[name]) for name, value in one.items())
    return bool(one == other)


def order(value: Value) -> Any:
    """What sorts values of one of the ordered types. Text compares by code point, which is the order of its UTF-8 bytes."""
    if "N" in value:
        return Decimal(value["N"])
    return value[type_of(value)]
