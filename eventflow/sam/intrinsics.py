"""CloudFormation's intrinsic functions, resolved: first what parameters, mappings and conditions tell, then what names and ARNs of resources do."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.sam.problems import TemplateError

VARIABLE = re.compile(r"\$\{(!?)([^{}]*)\}")
CONDITION_FUNCTIONS = ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition")
NO_VALUE = "AWS::NoValue"


class Removed:
    """What ``AWS::NoValue`` stands for: the property or element is left out."""


REMOVED = Removed()


class LaterError(Exception):
    """A resource is meant, and what is known of resources comes later: the function stays as it is."""


@dataclass
class Resolver:
    """``variables`` are parameters and pseudo parameters. ``ref`` and ``attribute`` tell of resources (a logical id; and an attribute of it) and
    raise TemplateError for those that are not there; without them functions that mean resources are left in place."""

    variables: Mapping[str, Any]
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    ref: Callable[[str], Any] | None = None
    attribute: Callable[[str, str], Any] | None = None
    _known: dict[str, bool] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def resolve(self, value: Any) -> Any:
        """The value with its functions carried out; REMOVED for one that is to be left out. Raises TemplateError."""
        if isinstance(value, list):
            return [found for one in value if (found := self.resolve(one)) is not REMOVED]
        if not isinstance(value, Mapping):
            return value
        function = str(next(iter(value))) if len(value) == 1 else None
        if function is not None and function in FUNCTIONS:
            try:
                return FUNCTIONS[function](self, value[function])
            except LaterError:
                return {function: self._inside(function, value[function])}
        if function is not None and function.startswith("Fn::"):
            raise TemplateError(REFUSED.get(function, f"{function} is no function that eventflow carries out."))
        return {str(name): found for name, one in value.items() if (found := self.resolve(one)) is not REMOVED}

    def condition(self, name: Any) -> bool:
        """Whether a condition of the template holds."""
        if not isinstance(name, str) or name not in self.conditions:
            raise TemplateError(f"There is no condition {name!r}; the template has: {', '.join(self.conditions) or 'none'}.")
        if name in self._open:
            raise TemplateError(f"The conditions {' -> '.join([*self._open, name])} depend on each other.")
        if name not in self._known:
            self._open.append(name)
            try:
                self._known[name] = self.truth(self.conditions[name])
            finally:
                self._open.pop()
        return self._known[name]

    def truth(self, value: Any) -> bool:
        if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in CONDITION_FUNCTIONS:
            ((function, argument),) = value.items()
            return CONDITIONS[function](self, argument)
        if isinstance(value, bool) or value in ("true", "false"):
            return value in (True, "true")
        raise TemplateError(f"{shown(value)} is no condition: it takes Fn::Equals, Fn::And, Fn::Or, Fn::Not or Condition.")

    def settled(self, value: Any) -> Any:
        """A value that is known now; LaterError if something in it is not."""
        found = self.resolve(value)
        if self.ref is None and unsettled(found):
            raise LaterError
        return found

    def text(self, value: Any, function: str) -> str:
        found = self.settled(value)
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, str | int | float):
            return str(found)
        raise TemplateError(f"{function}: {shown(found)} is not a text.")

    def _inside(self, function: str, argument: Any) -> Any:
        """The argument of a function that must wait, with what can be known of it. A Sub's text waits as a whole."""
        if function == "Fn::Sub":
            return [argument[0], self.resolve(argument[1])] if isinstance(argument, list) and len(argument) == 2 else argument
        return argument if function in ("Ref", "Fn::GetAtt") else self.resolve(argument)


def unsettled(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(unsettled, value))
    if isinstance(value, Mapping):
        return (len(value) == 1 and next(iter(value)) in FUNCTIONS) or any(map(unsettled, value.values()))
    return False


def shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def arguments(value: Any, function: str, *counts: int) -> list[Any]:
    if not isinstance(value, list) or (counts and len(value) not in counts):
        raise TemplateError(f"{function}: {shown(value)} is refused: it takes a list of {' or '.join(map(str, counts)) or 'values'}.")
    return value


# The functions. Each takes the resolver and the function's argument.


def ref(resolver: Resolver, argument: Any) -> Any:
    if not isinstance(argument, str):
        raise TemplateError(f"Ref: {shown(argument)} is refused: it takes a name.")
    if argument == NO_VALUE:
        return REMOVED
    if argument in resolver.variables:
        return resolver.variables[argument]
    if argument.startswith("AWS::"):
        raise TemplateError(f"Ref: there is no pseudo parameter {argument!r}.")
    if resolver.ref is None:
        raise LaterError
    return resolver.ref(argument)


def get_att(resolver: Resolver, argument: Any) -> Any:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):
        raise TemplateError(f"Fn::GetAtt: {shown(argument)} is refused: it takes a resource's logical id and the name of an attribute.")
    name = resolver.text(parts[1], "Fn::GetAtt")
    if resolver.attribute is None:
        raise LaterError
    return resolver.attribute(parts[0], name)


def sub(resolver: Resolver, argument: Any) -> str:
    text, own = argument if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    if not isinstance(text, str) or not isinstance(own, Mapping):
        raise TemplateError(f"Fn::Sub: {shown(argument)} is refused: it takes a text, or a text and a mapping of variables.")

    def replaced(match: re.Match[str]) -> str:
        literal, name = match[1], match[2].strip()
        if literal:
            return f"${{{match[2]}}}"
        if name in own:
            return resolver.text(own[name], f"Fn::Sub: {name}")
        function = {"Fn::GetAtt": name.split(".", 1)} if "." in name and name not in resolver.variables else {"Ref": name}
        value = resolver.settled(function)
        if isinstance(value, list):
            return ",".join(map(str, value))
        return resolver.text(value, f"Fn::Sub: {name}")

    return VARIABLE.sub(replaced, text)


def join(resolver: Resolver, argument: Any) -> str:
    separator, values = arguments(argument, "Fn::Join", 2)
    found = resolver.settled(values)
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not isinstance(separator, str):
        raise TemplateError(f"Fn::Join: {shown(argument)} is refused: it takes a separator and a list.")
    return separator.join(resolver.text(one, "Fn::Join") for one in found)


def split(resolver: Resolver, argument: Any) -> list[str]:
    separator, text = arguments(argument, "Fn::Split", 2)
    if not isinstance(separator, str) or not separator:
        raise TemplateError("Fn::Split: the separator is refused: it takes a text.")
    return resolver.text(text, "Fn::Split").split(separator)


def select(resolver: Resolver, argument: Any) -> Any:
    index, values = arguments(argument, "Fn::Select", 2)
    found, position = resolver.settled(values), resolver.text(index, "Fn::Select")
    if not isinstance(found, list) or not position.isdecimal() or int(position) >= len(found):
        raise TemplateError(f"Fn::Select: there is no element {position} in {shown(found)}.")
    return found[int(position)]


def choose(resolver: Resolver, argument: Any) -> Any:
    name, when_true, when_false = arguments(argument, "Fn::If", 3)
    return resolver.resolve(when_true if resolver.condition(name) else when_false)


def find_in_map(resolver: Resolver, argument: Any) -> Any:
    name, *keys = arguments(argument, "Fn::FindInMap", 3, 4)
    default = keys.pop() if len(keys) == 3 else None
    path = [resolver.text(one, "Fn::FindInMap") for one in (name, *keys)]
    value: Any = resolver.mappings
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            if isinstance(default, Mapping) and "DefaultValue" in default:
                return resolver.resolve(default["DefaultValue"])
            raise TemplateError(f"Fn::FindInMap: the Mappings have no {'.'.join(path)}.")
        value = value[key]
    return value


def in_base64(resolver: Resolver, argument: Any) -> str:
    return base64.b64encode(resolver.text(argument, "Fn::Base64").encode()).decode()


def length(resolver: Resolver, argument: Any) -> int:
    found = resolver.settled(argument)
    if not isinstance(found, list):
        raise TemplateError(f"Fn::Length: {shown(found)} is not a list.")
    return len(found)


def to_json(resolver: Resolver, argument: Any) -> str:
    return json.dumps(resolver.settled(argument), separators=(",", ":"))


def availability_zones(resolver: Resolver, argument: Any) -> list[str]:
    region = resolver.text(argument, "Fn::GetAZs") or str(resolver.variables["AWS::Region"])
    return [f"{region}{letter}" for letter in "abc"]


def as_condition(function: str) -> Callable[[Resolver, Any], Any]:
    return lambda resolver, argument: CONDITIONS[function](resolver, argument)


def equals(resolver: Resolver, argument: Any) -> bool:
    left, right = (resolver.resolve(one) for one in arguments(argument, "Fn::Equals", 2))
    if unsettled(left) or unsettled(right):
        raise TemplateError(f"Fn::Equals: {shown(argument)} is refused: a condition knows parameters and mappings, not resources.")
    return bool(comparable(left) == comparable(right))


def comparable(value: Any) -> Any:
    """CloudFormation compares texts: 1 and "1" are equal."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def several(function: str, hold: Callable[[Any], bool]) -> Callable[[Resolver, Any], bool]:
    def evaluate(resolver: Resolver, argument: Any) -> bool:
        parts = arguments(argument, function)
        if not 2 <= len(parts) <= 10:
            raise TemplateError(f"{function}: {len(parts)} conditions are refused: it takes 2 to 10.")
        return hold([resolver.truth(one) for one in parts])

    return evaluate


CONDITIONS: Mapping[str, Callable[[Resolver, Any], bool]] = {
    "Fn::And": several("Fn::And", all),
    "Fn::Or": several("Fn::Or", any),
    "Fn::Not": lambda resolver, argument: not resolver.truth(arguments(argument, "Fn::Not", 1)[0]),
    "Fn::Equals": equals,
    "Condition": lambda resolver, argument: resolver.condition(argument),
}
FUNCTIONS: Mapping[Any, Callable[[Resolver, Any], Any]] = {
    "Ref": ref,
    "Fn::GetAtt": get_att,
    "Fn::Sub": sub,
    "Fn::Join": join,
    "Fn::Split": split,
    "Fn::Select": select,
    "Fn::If": choose,
    "Fn::FindInMap": find_in_map,
    "Fn::Base64": in_base64,
    "Fn::Length": length,
    "Fn::ToJsonString": to_json,
    "Fn::GetAZs": availability_zones,
    **{function: as_condition(function) for function in ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals")},
}
REFUSED = {
    "Fn::ImportValue": "Fn::ImportValue is refused: eventflow runs one template, and there are no exports of others; make it a parameter.",
    "Fn::Transform": "Fn::Transform is refused: eventflow has no macros; put what it includes into the template.",
    "Fn::Cidr": "Fn::Cidr is refused: eventflow has no networks.",
    "Fn::ForEach": "Fn::ForEach is refused: write the resources out.",
}
