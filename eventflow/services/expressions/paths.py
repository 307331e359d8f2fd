"""Document paths: ``a.b[3].#c``, parsed, compared with each other, and followed into an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eventflow.services.attributes.values import Item, Value
from eventflow.services.expressions.lexer import Cursor, ExpressionError
from eventflow.services.expressions.reserved import is_reserved

#: Names and list positions from the top of the item. As parsed, a name that begins with # still stands for another; once resolved, none does.
Path = tuple[str | int, ...]

DEEPEST_PATH = 32


def parse_path(cursor: Cursor, keywords: Sequence[str] = ()) -> Path:
    """A path at the cursor; words of the surrounding grammar cannot be names in it."""
    return continue_path(cursor, (_name(cursor, keywords),), keywords)


def continue_path(cursor: Cursor, path: Path, keywords: Sequence[str] = ()) -> Path:
    while True:
        if cursor.accept("."):
            path = (*path, _name(cursor, keywords))
        elif cursor.accept("["):
            if cursor.token.kind != "index":
                raise cursor.unexpected()
            path = (*path, _position(cursor))
            cursor.expect("]")
        else:
            break
    if len(path) > DEEPEST_PATH:
        raise ExpressionError(f"The document path has too many nesting elements; nesting level: {len(path)}")
    return path


def _name(cursor: Cursor, keywords: Sequence[str]) -> str:
    if cursor.token.kind not in ("name", "alias") or cursor.at_word(*keywords):
        raise cursor.unexpected()
    return cursor.advance().text


def _position(cursor: Cursor) -> int:
    text = cursor.advance().text.lstrip("0") or "0"
    if len(text) > 9:
        raise ExpressionError(f"List index is not within the allowable range; index: [{text}]")
    return int(text)


def refuse_reserved(paths: Sequence[Path]) -> None:
    for path in paths:
        for element in path:
            if isinstance(element, str) and is_reserved(element):
                raise ExpressionError(f"Attribute name is a reserved keyword; reserved keyword: {element}")


@dataclass(slots=True)
class _Node:
    """A place that paths lead to or through: the first path that did, whether one ends here, and where others go on."""

    path: Path
    ends: bool = False
    children: dict[str | int, _Node] = field(default_factory=dict)


def refuse_overlaps(paths: Sequence[Path]) -> None:
    """No two of the resolved paths may name the same thing, one of them part of the other, or one place as both a map and a list."""
    root = _Node(())
    conflict: ExpressionError | None = None
    for path in paths:
        node = root
        for element in path:
            if node.ends:
                raise _collision("overlap", node.path, path)
            sibling = next(iter(node.children), element)
            if conflict is None and type(sibling) is not type(element):
                conflict = _collision("conflict", node.children[sibling].path, path)
            node = node.children.setdefault(element, _Node(path))
        if node.ends or node.children:
            raise _collision("overlap", node.path, path)
        node.ends = True
    if conflict is not None:
        raise conflict


def _collision(verb: str, one: Path, two: Path) -> ExpressionError:
    return ExpressionError(
        f"Two document paths {verb} with each other; must remove or rewrite one of these paths; "
        f"path one: {path_text(one)}, path two: {path_text(two)}"
    )


def path_text(path: Path) -> str:
    return "[" + ", ".join(f"[{element}]" if isinstance(element, int) else element for element in path) + "]"


def lookup(path: Path, item: Item) -> Value | None:
    """What is at a resolved path, None where the path leads nowhere."""
    value = item.get(str(path[0]))
    for element in path[1:]:
        if value is None:
            return None
        value = step(value, element)
    return value


def step(value: Value, element: str | int) -> Value | None:
    if isinstance(element, str):
        return value["M"].get(element) if "M" in value else None
    members = value.get("L", ())
    return members[element] if element < len(members) else None
