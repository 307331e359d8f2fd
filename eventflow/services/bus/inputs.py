"""What a target gets of an event: all of it, a part, a constant, or a text that is made from it (EventBridge user guide, "Input transformation")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventflow.clock import iso
from eventflow.services.bus.entries import as_json
from eventflow.services.bus.errors import invalid
from eventflow.services.bus.paths import NOTHING, JsonPath

CHOICES = ("Input", "InputPath", "InputTransformer")
VARIABLE = re.compile(r"[A-Za-z0-9_-]{1,256}")
PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
#: Variables that are there without a path.
PREDEFINED = ("aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time", "aws.events.event", "aws.events.event.json")
MOST_VARIABLES = 100


class Cause(NamedTuple):
    """What a payload is made of: the event, its JSON, the rule that it matched, and when the bus took it (Unix seconds)."""

    event: Mapping[str, Any]
    text: str
    rule_arn: str
    accepted_at: float


#: From a cause to the JSON that the target gets.
Payload = Callable[[Cause], str]


def payload_of(target: Mapping[str, Any]) -> Payload:
    """How to make the target's payload; raises ValidationException for what EventBridge refuses."""
    name, given = target["Id"], [choice for choice in CHOICES if target.get(choice) is not None]
    if len(given) > 1:
        raise invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}.")
    match given:
        case ["Input"]:
            text = constant(name, target["Input"])
            return lambda _cause: text
        case ["InputPath"]:
            path = read_path(f"InputPath for target {name}", target["InputPath"])
            return lambda cause: part(path.of(cause.event))
        case ["InputTransformer"]:
            return Transformer.read(name, target["InputTransformer"]).payload
    return lambda cause: cause.text


def constant(name: str, text: str) -> str:
    if not is_json(text):
        raise invalid(f"JSON syntax error in input for target {name}")
    return text


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def read_path(where: str, text: str) -> JsonPath:
    try:
        return JsonPath(text)
    except ValueError as error:
        raise invalid(f"Invalid {where}: {error}.") from error


def part(value: Any) -> str:
    return "null" if value is NOTHING else as_json(value)


@dataclass(frozen=True)
class Transformer:
    """``pieces`` alternate: text, variable, text, ...; ``quoted`` says for each variable whether it stands inside a JSON string."""

    paths: Mapping[str, JsonPath]
    pieces: tuple[str, ...]
    quoted: tuple[bool, ...]

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> Transformer:
        paths = {}
        for variable, path in (given.get("InputPathsMap") or {}).items():
            if not VARIABLE.fullmatch(variable) or variable.upper().startswith("AWS"):
                raise invalid(f"Invalid InputPathsMap for target {name}: {variable!r} is no name of a variable; it may not begin with AWS.")
            paths[variable] = read_path(f"InputPathsMap for target {name}", path)
        if len(paths) > MOST_VARIABLES:
            raise invalid(f"Invalid InputPathsMap for target {name}: it has {len(paths)} variables, it may have {MOST_VARIABLES}.")
        pieces = tuple(PLACEHOLDER.split(given["InputTemplate"]))
        unknown = [variable for variable in pieces[1::2] if variable not in paths and variable not in PREDEFINED]
        if unknown:
            raise invalid(f"InputTemplate for target {name} contains placeholder(s) that are not in InputPathsMap: {', '.join(unknown)}.")
        transformer = cls(paths, pieces, places(pieces))
        sample = transformer.filled(dict.fromkeys(pieces[1::2], 0))
        if not is_json(sample) and not all(is_string(line) for line in sample.splitlines() if line.strip()):
            raise invalid(f"Invalid InputTemplate for target {name} : it is neither JSON nor lines of JSON strings.")
        return transformer

    def payload(self, cause: Cause) -> str:
        return self.filled({variable: self._value(variable, cause) for variable in set(self.pieces[1::2])})

    def _value(self, variable: str, cause: Cause) -> Any:
        match variable:
            case "aws.events.rule-arn":
                return cause.rule_arn
            case "aws.events.rule-name":
                return cause.rule_arn.rpartition("/")[2]
            case "aws.events.event.ingestion-time":
                return iso(cause.accepted_at, milliseconds=True)
            case "aws.events.event":
                return {name: value for name, value in cause.event.items() if name != "detail"}
            case "aws.events.event.json":
                return cause.event
        value = self.paths[variable].of(cause.event)
        return "" if value is NOTHING else value

    def filled(self, values: Mapping[str, Any]) -> str:
        """The template with these values. Inside quotes a text stands as it is, and anything else as its JSON, both escaped as a string demands."""
        filled = [self.pieces[0]]
        for index, quoted in enumerate(self.quoted):
            value = values[self.pieces[2 * index + 1]]
            text = as_json(value)
            if quoted:
                text = as_json(value if isinstance(value, str) else text)[1:-1]
            filled += [text, self.pieces[2 * index + 2]]
        return "".join(filled)


def places(pieces: tuple[str, ...]) -> tuple[bool, ...]:
    """For each variable whether it is inside a string: after an odd number of quotes that no backslash escapes."""
    inside, quoted = False, []
    for piece in pieces[:-1:2]:
        inside ^= len(re.findall(r'"', re.sub(r"\\.", "", piece, flags=re.DOTALL))) % 2 == 1
        quoted.append(inside)
    return tuple(quoted)


def is_string(line: str) -> bool:
    text = line.strip()
    return text.startswith('"') and is_json(text)
