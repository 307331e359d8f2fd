"""Places in a document by their JSON pointers, so that what is refused can be found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.errors import SettingError


@dataclass(frozen=True)
class Place:
    """A value of a document. ``where`` names the document, ``pointer`` is RFC 6901's; ``root`` is the whole of it."""

    where: str
    root: Any
    value: Any
    pointer: str = ""

    def at(self, name: str) -> Place:
        """A member, None where there is none."""
        value = self.value.get(name) if isinstance(self.value, Mapping) else None
        return Place(self.where, self.root, value, f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}")

    def refused(self, why: str) -> SettingError:
        shown = json.dumps(self.value, default=str)
        return SettingError(f"{self.where}{self.pointer or '/'}: {shown if len(shown) <= 80 else shown[:77] + '...'} is refused: {why}.")

    def only(self, names: Iterable[str]) -> None:
        """Refuse a member that is none of these."""
        for name in self.mapping():
            if name not in names:
                raise self.at(name).refused("there is no such thing here; leave it out, nothing would enforce it")

    def mapping(self) -> Mapping[str, Any]:
        """The value as a mapping; an absent one is empty."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping) or not all(isinstance(name, str) for name in self.value):
            raise self.refused("it takes an object")
        return self.value

    def members(self) -> Iterator[tuple[str, Place]]:
        for name in self.mapping():
            yield name, self.at(name)

    def elements(self) -> Iterator[Place]:
        if self.value is not None and not isinstance(self.value, list):
            raise self.refused("it takes a list")
        for number, value in enumerate(self.value or ()):
            yield Place(self.where, self.root, value, f"{self.pointer}/{number}")

    def text(self, name: str) -> str:
        value = self.mapping().get(name)
        if not isinstance(value, str) or not value:
            raise self.at(name).refused("it takes a text")
        return value

    def resolved(self) -> Place:
        """What a ``$ref`` of this document leads to; the place itself where there is none."""
        reference = self.value.get("$ref") if isinstance(self.value, Mapping) else None
        if reference is None:
            return self
        found = Place(self.where, self.root, self.root)
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self.at("$ref").refused("references lead to places of the same document")
        for part in reference[2:].split("/"):
            found = found.at(part.replace("~1", "/").replace("~0", "~"))
        if found.value is None or (isinstance(found.value, Mapping) and "$ref" in found.value):
            raise self.at("$ref").refused("it leads nowhere")
        return found
