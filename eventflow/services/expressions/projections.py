"""Projections: the parts of an item that a list of document paths names, in the shape they have in the item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventflow.services.attributes.values import Item, Value
from eventflow.services.expressions.lexer import Cursor
from eventflow.services.expressions.paths import Path, parse_path, refuse_overlaps, refuse_reserved
from eventflow.services.expressions.placeholders import Placeholders

#: Paths as a tree: what to take of each name or position, None for all of it.
Branches = dict[str | int, "Branches | None"]


def parse_projection(text: str) -> tuple[Path, ...]:
    cursor = Cursor(text)
    paths = [parse_path(cursor)]
    while cursor.accept(","):
        paths.append(parse_path(cursor))
    cursor.expect_end()
    refuse_reserved(paths)
    return tuple(paths)


class Projection:
    """Resolved paths, no two of which overlap."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._tree: Branches = {}
        for path in paths:
            self._plant(path)

    def _plant(self, path: Path) -> None:
        branches = self._tree
        for element in path[:-1]:
            following = branches.setdefault(element, {})
            assert following is not None, "overlapping paths are refused before"
            branches = following
        branches[path[-1]] = None

    def of(self, item: Item) -> Item:
        """The projected part: possibly empty, list elements closed up in their order."""
        return _pick_members(item, self._tree)


def bind_projection(paths: Sequence[Path], placeholders: Placeholders) -> Projection:
    resolved = [placeholders.path(path) for path in paths]
    refuse_overlaps(resolved)
    return Projection(resolved)


def _pick(value: Value, branches: Branches | None) -> Value | None:
    if branches is None:
        return value
    if "M" in value:
        members = _pick_members(value["M"], branches)
        return {"M": members} if members else None
    if "L" in value:
        elements = _pick_elements(value["L"], branches)
        return {"L": elements} if elements else None
    return None


def _pick_members(members: Mapping[str, Value], branches: Branches) -> Item:
    picked = ((name, _pick(members[name], below)) for name, below in branches.items() if isinstance(name, str) and name in members)
    return {name: value for name, value in picked if value is not None}


def _pick_elements(elements: list[Value], branches: Branches) -> list[Value]:
    positions = sorted(position for position in branches if isinstance(position, int) and position < len(elements))
    picked = (_pick(elements[position], branches[position]) for position in positions)
    return [value for value in picked if value is not None]
