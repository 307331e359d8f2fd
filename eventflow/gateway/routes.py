"""Routes of one API, compiled: which of them a method and a path lead to, by AWS's priorities and in a time that does not grow with their number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from eventflow.errors import SettingError

T = TypeVar("T")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
ANY = "ANY"
DEFAULT = "$default"
VARIABLE = re.compile(r"\{([A-Za-z0-9._:-]+)(\+?)\}")
SEGMENT = re.compile(r"[^{}/?#%\s]+")
#: A letter, a digit, or one of ``-._~``, which means the same with and without its encoding (RFC 3986, 2.3).
NEEDLESS = re.compile(r"%(2[DdEe]|3\d|4[1-9A-Fa-f]|5[\dAaFf]|6[1-9A-Fa-f]|7[\dAaEe])")


@dataclass(frozen=True)
class RouteKey:
    """``GET /items/{id}`` taken apart; ``segments`` are literal texts, ``{name}`` for a variable, and last perhaps ``{name+}``. The key
    ``$default`` has no method and no path."""

    method: str
    path: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> RouteKey:
        """Raises SettingError, which says what a route key looks like."""
        if text == DEFAULT:
            return cls(ANY, "", ())
        method, _, path = text.partition(" ")
        if method not in (*METHODS, ANY):
            raise SettingError(f"the route {text!r} is refused: it begins with a method ({', '.join((*METHODS, ANY))}) and a space.")
        if not path.startswith("/"):
            raise SettingError(f"the route {text!r} is refused: its path begins with '/', as in {method} /items/{{id}}.")
        return cls(method, path, segments_of(text, path))

    def __str__(self) -> str:
        return f"{self.method} {self.path}" if self.path else DEFAULT


def as_sent(path: str) -> str:
    """A path as a REST API compares it: as it was sent, but for what was encoded without need. Else another encoding of a closed route's path would
    lead to an open route beside it."""
    return NEEDLESS.sub(lambda found: chr(int(found[1], 16)), path) if "%" in path else path


def segments_of(text: str, path: str) -> tuple[str, ...]:
    segments = tuple(path[1:].split("/")) if path != "/" else ()
    names = []
    for place, segment in enumerate(segments):
        variable = VARIABLE.fullmatch(segment)
        if variable is None:
            is_slash_at_the_end = segment == "" and place == len(segments) - 1 > 0
            if not SEGMENT.fullmatch(segment) and not is_slash_at_the_end:
                raise SettingError(
                    f"the route {text!r} is refused: {segment!r} is no part of a path; it takes a text (not encoded), {{name}}, or {{name+}} last."
                )
            continue
        names.append(variable[1])
        if variable[2] and place != len(segments) - 1:
            raise SettingError(f"the route {text!r} is refused: {segment!r} takes the rest of the path, so it stands at the end.")
    if len(set(names)) != len(names):
        raise SettingError(f"the route {text!r} is refused: it has two variables of one name.")
    return segments


@dataclass(slots=True)
class Leaf(Generic[T]):
    """What is at one path: the routes by method, each with the names of its variables."""

    methods: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)

    def find(self, method: str) -> tuple[T, tuple[str, ...]] | None:
        return self.methods.get(method) or self.methods.get(ANY)


@dataclass(slots=True)
class Node(Generic[T]):
    fixed: dict[str, Node[T]] = field(default_factory=dict)
    variable: Node[T] | None = None
    here: Leaf[T] = field(default_factory=Leaf)
    greedy: Leaf[T] = field(default_factory=Leaf)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    route: T
    parameters: dict[str, str]


class RouteTable(Generic[T]):
    """``find`` prefers, with HTTP APIs, a full match to a greedy one and that to ``$default``; a literal part of the path to a variable, from left
    to right; a longer literal part before a greedy variable to a shorter one; at one path, the method to ANY ("Routing API requests", API Gateway
    developer guide).

    A REST API (``by_resource``) chooses the resource by the path alone, and then has the method or not; it takes no notice of a slash at the end.
    """

    def __init__(self, routes: Iterable[tuple[RouteKey, T]], *, by_resource: bool = False) -> None:
        self._root: Node[T] = Node()
        self._default: T | None = None
        self._by_resource = by_resource
        self._plain: dict[tuple[str, str], Match[T]] = {}
        for key, route in routes:
            self._add(key, route)

    def _add(self, key: RouteKey, route: T) -> None:
        if not key.path:
            if self._default is not None:
                raise SettingError("two functions have the route $default; keep one of them.")
            self._default = route
            return
        node, names = self._root, []
        leaf: Leaf[T] | None = None
        segments = key.segments[:-1] if self._by_resource and key.segments and key.segments[-1] == "" else key.segments
        for segment in segments:
            variable = VARIABLE.fullmatch(segment)
            if variable is None:
                node = node.fixed.setdefault(segment, Node())
                continue
            names.append(variable[1])
            if variable[2]:
                leaf = node.greedy
            else:
                node.variable = node = node.variable or Node()
        leaf = leaf or node.here
        if key.method in leaf.methods:
            raise SettingError(f"two functions have the route {key}; keep one of them.")
        leaf.methods[key.method] = (route, tuple(names))
        if not names and key.method != ANY:
            self._plain[key.method, key.path] = Match(route, {})

    def find(self, method: str, path: str) -> Match[T] | None:
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain
        parts = path[1:].split("/")
        if parts == [""] or (self._by_resource and parts[-1] == ""):
            parts.pop()
        found = self._search(method, parts)
        if found is not None:
            leaf, values = found
            chosen = leaf.find(method)
            return None if chosen is None else Match(chosen[0], dict(zip(chosen[1], values, strict=True)))
        return None if self._default is None else Match(self._default, {})

    def _search(self, method: str, parts: list[str]) -> tuple[Leaf[T], list[str]] | None:
        """The leaf that a path leads to, and the values of its variables."""
        greedy: tuple[int, Leaf[T], list[str]] | None = None
        # What is still to be looked at, the best last: a node, how many parts led to it, the values on the way.
        waiting: list[tuple[Node[T], int, list[str]]] = [(self._root, 0, [])]
        while waiting:
            node, depth, values = waiting.pop()
            if depth == len(parts):
                if self._serves(node.here, method):
                    return node.here, values
                continue
            if node.greedy.methods and self._serves(node.greedy, method) and parts[depth] != "" and (greedy is None or depth > greedy[0]):
                greedy = depth, node.greedy, [*values, "/".join(parts[depth:])]
            if node.variable is not None and parts[depth] != "":
                waiting.append((node.variable, depth + 1, [*values, parts[depth]]))
            if (fixed := node.fixed.get(parts[depth])) is not None:
                waiting.append((fixed, depth + 1, values))
        return None if greedy is None else greedy[1:]

    def _serves(self, leaf: Leaf[T], method: str) -> bool:
        return bool(leaf.methods) if self._by_resource else leaf.find(method) is not None
