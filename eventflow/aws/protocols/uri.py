"""Which operation a REST request is for: method, address template, and the query and headers that only one of several operations needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from botocore.model import OperationModel

from eventflow.aws.protocols.refusal import UnknownOperation
from eventflow.aws.request import Request, decode_pairs

#: How many addresses are remembered, and the longest.
MOST_KNOWN = 512
LONGEST_KNOWN = 128


@dataclass(frozen=True, slots=True)
class Route:
    """One operation at one address. ``query`` are the literals of its template; ``needed_query`` and ``needed_headers`` its required members there,
    which tell UploadPart from PutObject and CopyObject from both."""

    operation: str
    labels: tuple[str, ...]
    query: Mapping[str, str]
    needed_query: frozenset[str]
    needed_headers: frozenset[str]
    deprecated: bool

    def is_for(self, query: Mapping[str, Sequence[str]]) -> bool:
        return all(name in query and (not value or value in query[name]) for name, value in self.query.items())

    def rank(self, query: Mapping[str, Sequence[str]], headers: Mapping[str, str]) -> tuple[bool, int, bool]:
        complete = self.needed_query <= query.keys() and self.needed_headers <= headers.keys()
        return complete, len(self.query) + len(self.needed_query) + len(self.needed_headers), not self.deprecated


@dataclass(slots=True)
class Node:
    """A place in the tree of address segments; ``greedy`` are the routes whose last label takes the rest of the address."""

    literals: dict[str, Node] = field(default_factory=dict)
    label: Node | None = None
    routes: dict[str, list[Route]] = field(default_factory=dict)
    greedy: dict[str, list[Route]] = field(default_factory=dict)


class Addresses:
    """All addresses of a service."""

    def __init__(self, operations: Iterable[OperationModel]) -> None:
        self._root = Node()
        self._known: dict[tuple[str, str], tuple[list[Route], tuple[str, ...]]] = {}
        for operation in operations:
            self._add(operation)

    def _add(self, operation: OperationModel) -> None:
        template, _, query = operation.http["requestUri"].partition("?")
        node, labels, greedy = self._root, [], False
        for segment in segments_of(template):
            if greedy:
                raise ValueError(f"The address of {operation.name} goes on after a label that takes the rest of it: {template}")
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, Node())
                continue
            greedy = segment.endswith("+}")
            labels.append(segment.strip("{+}"))
            if not greedy:
                node.label = node.label or Node()
                node = node.label
        routes = node.greedy if greedy else node.routes
        routes.setdefault(operation.http["method"], []).append(route_of(operation, tuple(labels), query))

    def find(self, request: Request, path: str) -> tuple[str, dict[str, str]]:
        """The operation's name and its labels, still percent-encoded. Raises UnknownOperation."""
        routes, values = self._at(request.method, path)
        query = request.query
        routes = [route for route in routes if not route.query or (query and route.is_for(query))]
        if not routes:
            raise UnknownOperation(f"No operation is at {request.method} {path}.")
        best = max(routes, key=lambda route: route.rank(query, request.headers)) if len(routes) > 1 else routes[0]
        return best.operation, dict(zip(best.labels, values, strict=True))

    def _at(self, method: str, path: str) -> tuple[list[Route], tuple[str, ...]]:
        """The routes of an address, and its labels. Short addresses are remembered: the same few come again and again."""
        found = self._known.get((method, path))
        if found is None:
            segments = path[1:].split("/") if path != "/" else []
            found = self._walk(self._root, method, segments, ())
            if found is None and segments and not segments[-1]:
                found = self._walk(self._root, method, segments[:-1], ())
            found = found or ([], ())
            if len(path) <= LONGEST_KNOWN:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[method, path] = found
        return found

    def _walk(self, node: Node, method: str, rest: Sequence[str], values: tuple[str, ...]) -> tuple[list[Route], tuple[str, ...]] | None:
        if not rest:
            return (node.routes[method], values) if method in node.routes else None
        if rest[0] in node.literals and (found := self._walk(node.literals[rest[0]], method, rest[1:], values)):
            return found
        if node.label and rest[0] and (found := self._walk(node.label, method, rest[1:], (*values, rest[0]))):
            return found
        remainder = "/".join(rest)
        return (node.greedy[method], (*values, remainder)) if remainder and method in node.greedy else None


def segments_of(template: str) -> list[str]:
    return [segment for segment in template.split("/") if segment]


def route_of(operation: OperationModel, labels: tuple[str, ...], query: str) -> Route:
    needed: dict[str, set[str]] = {"querystring": set(), "header": set()}
    shape = operation.input_shape
    for name, member in [(name, shape.members[name]) for name in shape.required_members] if shape is not None else ():
        location = member.serialization.get("location")
        if location in needed:
            wire_name = member.serialization.get("name", name)
            needed[location].add(wire_name.lower() if location == "header" else wire_name)
    literals = {name: values[0] for name, values in decode_pairs(query).items()}
    return Route(operation.name, labels, literals, frozenset(needed["querystring"]), frozenset(needed["header"]), operation.deprecated)
