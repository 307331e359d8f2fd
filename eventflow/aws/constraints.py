"""The constraints of a service model, for services that check them all before anything else: lengths, ranges, patterns, enumerations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from eventflow.errors import ServiceError

#: Java's classes of letters, numbers and separators, as near as Python's expressions have them.
CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s", r"\p{M}": r"\w"}


def check(shape: StructureShape | None, params: Mapping[str, Any]) -> None:
    """Refuse parameters that their model does not allow, all at once, in the words of AWS's front ends."""
    problems = list(structure_problems(shape, params, "")) if shape is not None else []
    if problems:
        count = len(problems)
        raise ServiceError("ValidationException", f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(problems)}")


def structure_problems(shape: StructureShape, value: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, member in shape.members.items():
        path = f"{place}.{lower_first(name)}" if place else lower_first(name)
        if value.get(name) is None:
            if name in shape.required_members:
                yield problem(None, path, "not be null")
        else:
            yield from problems_of(member, value[name], path)


def problems_of(shape: Shape, value: Any, place: str) -> Iterator[str]:
    match shape:
        case StructureShape():
            yield from structure_problems(shape, value, place)
        case ListShape():
            yield from limits(shape, len(value), value, place, "length")
            for number, member in enumerate(value, 1):
                yield from problems_of(shape.member, member, f"{place}.{number}.member")
        case MapShape():
            yield from limits(shape, len(value), value, place, "length")
            for key, member in value.items():
                yield from problems_of(shape.key, key, place)
                yield from problems_of(shape.value, member, f"{place}.{key}.member")
        case _ if shape.type_name == "string":
            yield from text_problems(shape, value, place)
        case _ if shape.type_name in ("integer", "long"):
            yield from limits(shape, value, value, place, "value")


def text_problems(shape: Shape, value: str, place: str) -> Iterator[str]:
    enum = getattr(shape, "enum", None) or []
    if enum and value not in enum:
        yield problem(value, place, f"satisfy enum value set: [{', '.join(enum)}]")
    yield from limits(shape, len(value), value, place, "length")
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern)(value):
        yield problem(value, place, f"satisfy regular expression pattern: {pattern}")


def limits(shape: Shape, size: int, value: Any, place: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield problem(value, place, f"have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield problem(value, place, f"have {what} less than or equal to {most}")


def problem(value: Any, place: str, rule: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{place}' failed to satisfy constraint: Member must {rule}"


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Callable[[str], object]:
    if r"\p{" not in pattern:
        return re.compile(pattern, re.ASCII).fullmatch
    for theirs, ours in CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    return re.compile(pattern).fullmatch


def lower_first(name: str) -> str:
    return name[0].lower() + name[1:]
