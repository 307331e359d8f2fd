"""The properties of one resource, read so that none is passed over: what nobody takes is refused by its path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from eventflow.sam.problems import Problems


class Properties:
    """``take`` gives a property once its place is understood; ``finish`` refuses the rest as not there. ``where`` is the path for messages."""

    def __init__(self, where: str, values: Any, problems: Problems) -> None:
        self.where = where
        self.problems = problems
        self._taken: set[str] = set()
        self._parts: list[Properties] = []
        self._named: dict[str, Properties] = {}
        self.values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}
        if values is not None and not isinstance(values, Mapping):
            problems.wrong(where, "it takes a mapping.")

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def take(self, name: str, default: Any = None) -> Any:
        self._taken.add(name)
        value = self.values.get(name)
        return default if value is None else value

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text; a number is taken as one, as CloudFormation does."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            self.wrong(name, "it takes a text.")
            return default
        return None if value is None else str(value)

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number; its text is taken too, as CloudFormation does."""
        value = self.take(name, default)
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            return int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self.wrong(name, f"{value!r} is refused: it takes a whole number.")
            return default
        return value

    def truth(self, name: str, default: bool = False) -> bool:
        value = self.take(name, default)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            self.wrong(name, f"{value!r} is refused: it takes true or false.")
            return default
        return value

    def json(self, name: str) -> Any:
        """A text of JSON as its value; what is no text is taken as it is."""
        value = self.take(name)
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            self.wrong(name, f"it is not JSON: {error}.")
            return None

    def listed(self, name: str) -> list[Any]:
        """A list; one value in its place is taken as a list of one, as CloudFormation does."""
        value = self.take(name, [])
        return value if isinstance(value, list) else [value]

    def at(self, name: str) -> Properties:
        """A property that is a mapping, with properties of its own; an empty one where it is not given."""
        if name not in self._named:
            self._named[name] = Properties(f"{self.where}.{name}", self.take(name), self.problems)
            self._parts.append(self._named[name])
        return self._named[name]

    def each(self, name: str) -> Iterator[Properties]:
        """The elements of a list of mappings."""
        for position, value in enumerate(self.listed(name)):
            part = Properties(f"{self.where}.{name}[{position}]", value, self.problems)
            self._parts.append(part)
            yield part

    def only(self, name: str, *allowed: Any, why: str) -> None:
        """A property that may only say what is so here anyhow."""
        value = self.take(name)
        if value is not None and value not in allowed:
            self.absent(name, f"{value!r}: {why}")

    def ignore(self, *names: str) -> None:
        """What changes nothing of what functions see."""
        self._taken.update(names)

    def wrong(self, name: str, text: str) -> None:
        self.problems.wrong(f"{self.where}.{name}" if name else self.where, text)

    def absent(self, name: str, text: str) -> None:
        self.problems.absent(f"{self.where}.{name}" if name else self.where, text)

    def finish(self) -> None:
        for name in self.values:
            if name not in self._taken:
                self.absent(name, "eventflow does not have this property.")
        for part in self._parts:
            part.finish()
