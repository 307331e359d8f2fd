"""What lists and maps are called in forms and XML, also for services that moved from the query protocol to JSON and lost these names."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.model import ListShape, MapShape, Shape, StructureShape

#: Where the singular alone is not the old name.
IRREGULAR = {"Actions": "ActionName"}


@dataclass(frozen=True)
class WireNames:
    """``singular`` is for models without the old names (SQS): a flattened list of structures bears the structure's name, other flattened lists and
    maps the singular of the member's name, and a map's entries are Name and Value, except those of Tags."""

    singular: bool = False

    def member(self, name: str, shape: Shape) -> str:
        own: str | None = shape.serialization.get("name")
        if not shape.serialization.get("flattened"):
            return own or name
        if isinstance(shape, ListShape):
            own = shape.member.serialization.get("name") or own
        return self._singular(own or name, shape) if self.singular else own or name

    def _singular(self, name: str, shape: Shape) -> str:
        if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
            return str(shape.member.name)
        return IRREGULAR.get(name) or name[0].upper() + name[1:].removesuffix("s")

    def entry(self, shape: MapShape) -> tuple[str, str]:
        key, value = ("Key", "Value") if shape.name == "TagMap" else ("Name", "Value")
        default = (key, value) if self.singular else ("key", "value")
        return shape.key.serialization.get("name", default[0]), shape.value.serialization.get("name", default[1])
