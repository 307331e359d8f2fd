"""ExpressionAttributeNames and ExpressionAttributeValues of one request, and which of them its expressions used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import LONGEST_NAME, Item, Value, text_size, valid_value, value_size
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.paths import Path

ALIAS = re.compile(r"#[A-Za-z0-9_]+")
VALUE_NAME = re.compile(r":[A-Za-z0-9_]+")

LARGEST_SUBSTITUTION = 2 * 1024 * 1024


class Placeholders:
    """What ``#name`` and ``:value`` stand for. Values are canonical."""

    def __init__(self, names: Mapping[str, str] | None, values: Mapping[str, Value] | None) -> None:
        self.names = checked_names(names)
        self.values = checked_values(values)
        self._unused_names = dict.fromkeys(self.names)
        self._unused_values = dict.fromkeys(self.values)

    def path(self, path: Path) -> Path:
        """The path with the attributes' real names."""
        return tuple(self._name(element) if isinstance(element, str) and element[0] == "#" else element for element in path)

    def _name(self, alias: str) -> str:
        if alias not in self.names:
            raise ExpressionError(f"An expression attribute name used in the document path is not defined; attribute name: {alias}")
        self._unused_names.pop(alias, None)
        return self.names[alias]

    def value(self, name: str) -> Value:
        if name not in self.values:
            raise ExpressionError(f"An expression attribute value used in expression is not defined; attribute value: {name}")
        self._unused_values.pop(name, None)
        return self.values[name]

    def use(self, names: Iterable[str], values: Iterable[str]) -> None:
        """Note that an expression uses these, which are there."""
        for name in names:
            self._unused_names.pop(name, None)
        for value in values:
            self._unused_values.pop(value, None)

    def refuse_unused(self) -> None:
        """To be called once all expressions of the request are bound."""
        if self._unused_names:
            raise invalid(f"Value provided in ExpressionAttributeNames unused in expressions: keys: {{{', '.join(self._unused_names)}}}")
        if self._unused_values:
            raise invalid(f"Value provided in ExpressionAttributeValues unused in expressions: keys: {{{', '.join(self._unused_values)}}}")


def checked_names(names: Mapping[str, str] | None) -> dict[str, str]:
    if names is None:
        return {}
    if not names:
        raise invalid("ExpressionAttributeNames must not be empty")
    for alias, name in names.items():
        if not ALIAS.fullmatch(alias):
            raise invalid(f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{alias}"')
        if not 0 < text_size(name) <= LONGEST_NAME:
            raise invalid(
                "ExpressionAttributeNames contains invalid value: attribute names must be 1 to 65535 bytes long; "
                f"attribute name length: {text_size(name)} for key {alias}"
            )
    return dict(names)


def checked_values(values: Mapping[str, Value] | None) -> Item:
    if values is None:
        return {}
    if not values:
        raise invalid("ExpressionAttributeValues must not be empty")
    for name in values:
        if not VALUE_NAME.fullmatch(name):
            raise invalid(f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{name}"')
    checked = {name: _checked_value(name, value) for name, value in values.items()}
    if sum(map(value_size, checked.values())) > LARGEST_SUBSTITUTION:
        raise invalid("ExpressionAttributeValues exceeds max size: all values together may have 2 MB")
    return checked


def _checked_value(name: str, value: Value) -> Value:
    try:
        return valid_value(value)
    except ServiceError as error:
        raise invalid(f"ExpressionAttributeValues contains invalid value: {error.message} for key {name}") from error
