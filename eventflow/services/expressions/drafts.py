"""What an update does: its actions, bound to a request's names and values, turn an item into the next one and leave the old one as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from eventflow.services.attributes import numbers
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import SETS, Item, Value, type_of
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.operands import (
    Call,
    Operand,
    PathOperand,
    ValueOperand,
    bind_path,
    literal_type,
    needs_path,
    refuse_count,
    wrong_type,
)
from eventflow.services.expressions.paths import Path, refuse_overlaps, step
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.updates import Action, Arithmetic, Source

WRONG_OPERAND = "An operand in the update expression has an incorrect data type"
NO_SUCH_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
INVALID_PATH = "The document path provided in the update expression is invalid for update"

TYPE_NAMES = {"S": "STRING", "N": "NUMBER", "B": "BINARY", "NULL": "NULL", "BOOL": "BOOLEAN", "L": "LIST", "M": "MAP"}


#: An operand whose names are bound: what it is for an item and a request's values, None where it refers to nothing.
Evaluate = Callable[[Item, Mapping[str, Value]], Value | None]
#: The same of an action, from the value that is at its path.
Compute = Callable[[Item, Value | None, Mapping[str, Value]], Value | None]


@dataclass(frozen=True, slots=True)
class Assignment:
    """An action ready to run: ``compute`` gives the new value at the path, None to remove it; ``literal`` is its type, where that is certain."""

    section: str
    path: Path
    compute: Compute
    literal: str | None = None


class Update:
    """The assignments of one update expression, and the request's values that they refer to."""

    def __init__(self, assignments: Sequence[Assignment], values: Mapping[str, Value] | None = None) -> None:
        self.assignments = assignments
        self._values = values or {}
        self.paths = [assignment.path for assignment in assignments]
        #: REMOVE and DELETE alone do not bring an item into being.
        self.creates = any(assignment.section in ("SET", "ADD") for assignment in assignments)

    def with_values(self, values: Mapping[str, Value]) -> Update:
        """The same with other values, which have the same types."""
        other = copy(self)
        other._values = values
        return other

    def apply(self, item: Item) -> Item:
        """The next state of the item. Every operand is read from the item as it was; positions in lists are those of the lists as they were."""
        draft = _Draft(item)
        places = [(draft.place(assignment.path), assignment) for assignment in self.assignments]
        results = [(place, assignment.compute(item, place.current, self._values)) for place, assignment in places]
        for place, value in results:
            draft.put(place, value)
        return draft.finish()


def bind_update(actions: Sequence[Action], placeholders: Placeholders) -> Update:
    for action in actions:
        for path in action.paths():
            placeholders.path(path)
    for action in actions:
        for name in action.values():
            placeholders.value(name)
    refuse_overlaps([placeholders.path(action.path) for action in actions])
    for action in actions:
        _refuse_operand(action, placeholders)
    return Update([_bind_action(action, placeholders) for action in actions], placeholders.values)


def _refuse_operand(action: Action, placeholders: Placeholders) -> None:
    """ADD takes a number or a set, DELETE a set."""
    if action.section in ("ADD", "DELETE") and isinstance(action.source, ValueOperand):
        kind = literal_type(action.source, placeholders)
        if kind not in SETS and not (kind == "N" and action.section == "ADD"):
            name = TYPE_NAMES[str(kind)]
            raise ExpressionError(f"Incorrect operand type for operator or function; operator: {action.section}, operand type: {name}")


def _bind_action(action: Action, placeholders: Placeholders) -> Assignment:
    path = placeholders.path(action.path)
    if action.source is None:
        return Assignment(action.section, path, lambda item, current, values: None)
    if action.section == "SET":
        source = bind_source(action.source, placeholders)
        literal = static_type(action.source, placeholders)
        return Assignment(action.section, path, lambda item, current, values: _present(source(item, values)), literal)
    name = action.source.name if isinstance(action.source, ValueOperand) else ""
    change = added if action.section == "ADD" else deleted
    literal = type_of(placeholders.value(name)) if action.section == "ADD" else None
    return Assignment(action.section, path, lambda item, current, values: change(current, values[name]), literal)


def static_type(source: Source, placeholders: Placeholders) -> str | None:
    """The type that a source has whatever the item."""
    if isinstance(source, Arithmetic):
        return "N"
    if isinstance(source, Call):
        return "L" if source.function == "list_append" else None
    return literal_type(source, placeholders)


def bind_source(source: Source, placeholders: Placeholders) -> Evaluate:
    if isinstance(source, Arithmetic):
        return _bind_arithmetic(source, placeholders)
    return bind_operand(source, placeholders)


def bind_operand(operand: Operand, placeholders: Placeholders) -> Evaluate:
    if isinstance(operand, PathOperand):
        read = bind_path(operand.path, placeholders)
        return lambda item, values: read(item)
    if isinstance(operand, ValueOperand):
        name = operand.name
        return lambda item, values: values[name]
    refuse_count(operand.function, len(operand.arguments))
    first, second = operand.arguments
    if operand.function == "if_not_exists" and not isinstance(first, PathOperand):
        raise needs_path("if_not_exists")
    if operand.function == "list_append":
        _refuse_other_types("list_append", "L", (first, second), placeholders)
    one, two = bind_operand(first, placeholders), bind_operand(second, placeholders)
    if operand.function == "if_not_exists":
        return lambda item, values: one(item, values) or two(item, values)
    return lambda item, values: {"L": [*_content("L", one(item, values)), *_content("L", two(item, values))]}


def _bind_arithmetic(source: Arithmetic, placeholders: Placeholders) -> Evaluate:
    _refuse_other_types(source.operator, "N", (source.left, source.right), placeholders)
    left, right = bind_operand(source.left, placeholders), bind_operand(source.right, placeholders)
    combine = numbers.add if source.operator == "+" else numbers.subtract
    return lambda item, values: {"N": combine(_content("N", left(item, values)), _content("N", right(item, values)))}


def _refuse_other_types(function: str, kind: str, operands: tuple[Operand, ...], placeholders: Placeholders) -> None:
    for operand in operands:
        found = static_type(operand, placeholders)
        if found not in (None, kind):
            raise wrong_type(function, str(found))


def _present(value: Value | None) -> Value:
    if value is None:
        raise invalid(NO_SUCH_ATTRIBUTE)
    return value


def _content(kind: str, value: Value | None) -> Any:
    found = _present(value)
    if kind not in found:
        raise invalid(WRONG_OPERAND)
    return found[kind]


def added(current: Value | None, value: Value) -> Value:
    """A number plus a number, or the union of two sets of one type; nothing counts as zero and as the empty set."""
    if current is None:
        return value
    kind = type_of(value)
    before = _content(kind, current)
    if kind == "N":
        return {"N": numbers.add(before, value["N"])}
    present = set(before)
    return {kind: [*before, *(member for member in value[kind] if member not in present)]}


def deleted(current: Value | None, value: Value) -> Value | None:
    """A set without the members of another; of what would be an empty set nothing remains."""
    if current is None:
        return None
    kind = type_of(value)
    gone = set(value[kind])
    left = [member for member in _content(kind, current) if member not in gone]
    return {kind: left} if left else None


@dataclass(slots=True)
class _Place:
    """Where one path ends: the container, copied and free to be changed, and the value that is there now."""

    container: Any
    element: str | int
    current: Value | None


class _Draft:
    """The next state of an item: containers along the paths are copied once, everything else is shared with the old state."""

    def __init__(self, item: Item) -> None:
        self.item = dict(item)
        self._copies: dict[Path, Any] = {(): self.item}
        self._removed: list[tuple[list[Value], int]] = []
        self._appended: list[tuple[int, list[Value], Value]] = []

    def place(self, path: Path) -> _Place:
        container = self._container(path[:-1])
        element = path[-1]
        if isinstance(element, str) is not isinstance(container, dict):
            raise invalid(INVALID_PATH)
        if isinstance(element, str):
            return _Place(container, element, container.get(element))
        return _Place(container, element, container[element] if element < len(container) else None)

    def _container(self, path: Path) -> Any:
        if path in self._copies:
            return self._copies[path]
        parent = self._container(path[:-1])
        value = step({"M": parent} if isinstance(parent, dict) else {"L": parent}, path[-1])
        if value is None or type_of(value) not in ("M", "L"):
            raise invalid(INVALID_PATH)
        kind = type_of(value)
        copy = value[kind].copy()
        parent[path[-1]] = {kind: copy}
        self._copies[path] = copy
        return copy

    def put(self, place: _Place, value: Value | None) -> None:
        if isinstance(place.element, str):
            if value is None:
                place.container.pop(place.element, None)
            else:
                place.container[place.element] = value
        elif value is None:
            if place.current is not None:
                self._removed.append((place.container, place.element))
        elif place.current is None:
            self._appended.append((place.element, place.container, value))
        else:
            place.container[place.element] = value

    def finish(self) -> Item:
        for elements, position in sorted(self._removed, key=lambda removal: -removal[1]):
            del elements[position]
        for _position, elements, value in sorted(self._appended, key=lambda addition: addition[0]):
            elements.append(value)
        return self.item
