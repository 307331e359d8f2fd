"""Whether an event matches one of many alternatives: one way through the event for all of them together.

Alternatives are the bits of an integer, so that a question about an event is answered for all of them at once. Of an array of objects one element
is chosen for all tests that are asked of its elements, so an array passes what any of its elements passes, and an object what all its members pass:
the work is proportional to the event, however many of its elements look alike.

This is the way of nearly all events. It needs one place for each field, which three things take away: a field that is asked for and is on the way to
another, values that come to one field by a name with dots and by objects too, and a pattern of more than a hundred names within each other. Those go
by ``pattern_places``, which knows no such bounds, and takes time by the number of ways in which elements can be chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eventflow.pattern_places import Alternative, FieldTest, meets, values_of

#: Names within each other on the way to a field. A pattern may have more with dots in its names; it is matched in the other way.
DEEPEST_WAY = 100

#: Alternatives, each a bit.
Mask = int
#: Fields, by their number, that must have a value where an alternative would take its absence.
Firm = Mapping[int, Mask]
NONE_FIRM: Firm = {}


class Ambiguous(Exception):
    """Values of one field come to it in several ways, a name with dots among them."""


class Field:
    """A name on the way to fields that are asked for. ``asked`` are the alternatives with tests at or below it; of them ``lenient`` have some that
    allow the absence of their field, and for ``optional`` all do. ``texts`` are the alternatives that a text passes by itself, ``tests`` are those
    that take more than a look. The numbers of the fields at or below it are ``first`` up to ``end``."""

    __slots__ = ("_places", "asked", "end", "first", "lenient", "may_have_dots", "name", "next", "optional", "tests", "texts")

    def __init__(self) -> None:
        self.name: str | None = None
        self.next: dict[str, Field] = {}
        self.texts: dict[str, Mask] = {}
        self.tests: list[tuple[FieldTest, Mask]] = []
        self._places: dict[int, int] = {}
        self.asked = self.lenient = 0
        self.optional = -1
        self.first = self.end = 0
        self.may_have_dots = False

    def at(self, path: str) -> Field | None:
        """The field behind a name in an event, which may have dots of its own."""
        found: Field | None = self
        for part in path.split("."):
            found = found.next.get(part) if found is not None else None
        return found

    def add(self, test: FieldTest, alternative: Mask) -> None:
        """Count a test that is at or below this one."""
        self.asked |= alternative
        if test.absent:
            self.lenient |= alternative
        else:
            self.optional &= ~alternative

    def ask(self, test: FieldTest, alternative: Mask) -> None:
        """Have the test asked here."""
        self.name = test.name
        for text in test.texts:
            self.texts[text] = self.texts.get(text, 0) | alternative
        if test.others:
            place = self._places.setdefault(id(test), len(self.tests))  # the members of an $or share those beside it
            if place == len(self.tests):
                self.tests.append((test, 0))
            self.tests[place] = test, self.tests[place][1] | alternative


class Matcher:
    """Compiled alternatives; ``matches`` may be called from any thread."""

    def __init__(self, alternatives: Sequence[Alternative]) -> None:
        self._alternatives = alternatives
        self._root = Field()
        self._fields: list[Field] = []
        self._plain = True
        for number, alternative in enumerate(alternatives):
            for test in alternative:
                self._add(test, 1 << number)
        self._number(self._root)

    def _add(self, test: FieldTest, alternative: Mask) -> None:
        parts = test.name.split(".")
        self._plain = self._plain and len(parts) <= DEEPEST_WAY
        field = self._root
        field.add(test, alternative)
        for part in parts:
            field = field.next.setdefault(part, Field())
            field.add(test, alternative)
        field.ask(test, alternative)

    def _number(self, root: Field) -> None:
        """Number the fields by their names, which is the order in which tests are made; those below one name are then next to each other."""
        ways: list[list[Field]] = []
        waiting = [[root]]
        while waiting:
            way = waiting.pop()
            field = way[-1]
            field.may_have_dots = any(inner.next for inner in field.next.values())
            waiting += [[*way, inner] for inner in field.next.values()] if len(way) <= DEEPEST_WAY else []
            if field.name is not None:
                ways.append(way)
                self._plain = self._plain and not field.next
        ways.sort(key=lambda way: way[-1].name or "")
        for number, way in enumerate(ways):
            self._fields.append(way[-1])
            for field in way:
                field.first = number if field.end == 0 else field.first
                field.end = number + 1

    def matches(self, event: Mapping[str, Any]) -> bool:
        if self._plain:
            try:
                return self._root.asked == 0 or self._judge(self._root, event, self._root.asked, NONE_FIRM) != 0
            except Ambiguous:
                pass
        found = values_of(event, self._root)
        return any(meets(alternative, found) for alternative in self._alternatives)

    def _judge(self, field: Field, value: Any, wanted: Mask, firm: Firm) -> Mask:
        """The alternatives among ``wanted`` (all of them asked here) whose tests at and below a field pass with its value."""
        if value.__class__ is list:
            return self._judge_array(field, value, wanted, firm)
        if field.next:
            return self._judge_object(field, value, wanted, firm) if value.__class__ is dict else without(field, wanted, firm)
        if value.__class__ is dict:
            return without(field, wanted, firm)
        found = field.texts.get(value, 0) if value.__class__ is str else 0
        for test, mask in field.tests:
            if mask & wanted & ~found and any(other(value) for other in test.others):
                found |= mask
        return found & wanted

    def _judge_object(self, field: Field, members: dict[str, Any], wanted: Mask, firm: Firm) -> Mask:
        if field.may_have_dots and any("." in name for name in members):
            members = spread(members, field)
        for name, inner in field.next.items():
            concerned = wanted & inner.asked
            if not concerned:
                continue
            known = name in members
            wanted ^= concerned ^ (self._judge(inner, members[name], concerned, firm) if known else without(inner, concerned, firm))
            if not wanted:
                return 0
        return wanted

    def _judge_array(self, field: Field, array: list[Any], wanted: Mask, firm: Firm) -> Mask:
        """One element must pass all tests. Of the tests that an absence passes, the first whose field has a value in any element must have one in
        that element: until an element is chosen, absent means absent from all."""
        found = 0
        undecided = wanted & field.lenient
        if undecided:
            firm = dict(firm)
            for number in sorted(present(field, array)):
                decided = undecided & self._fields[number].asked
                if decided:
                    firm[number] = firm.get(number, 0) | decided
                    undecided ^= decided
            found = without(field, undecided, firm)
            wanted ^= undecided
        for element in elements(array):
            if not wanted:
                break
            passing = self._judge(field, element, wanted, firm)
            found |= passing
            wanted ^= passing
        return found


def without(field: Field, wanted: Mask, firm: Firm) -> Mask:
    """The alternatives that pass where neither the field nor those below it have a value."""
    passing = wanted & field.optional
    if passing and firm:
        for number, mask in firm.items():
            if field.first <= number < field.end:
                passing &= ~mask
    return passing


def elements(array: list[Any]) -> Iterator[Any]:
    """Those of an array and of the arrays in it. Keeps its own stack: arrays may be nested as deep as they like."""
    waiting = [iter(array)]
    while waiting:
        for element in waiting[-1]:
            if element.__class__ is list:
                waiting.append(iter(element))
                break
            yield element
        else:
            waiting.pop()


def present(field: Field, array: list[Any]) -> set[int]:
    """The numbers of the fields at and below this one that have a value in any element."""
    found: set[int] = set()
    waiting: list[tuple[Iterable[Any], Field]] = [(elements(array), field)]
    while waiting:
        values, here = waiting.pop()
        for value in values:
            if not here.next:
                if value.__class__ is not dict:
                    found.add(here.first)
            elif value.__class__ is dict:
                members = spread(value, here) if here.may_have_dots and any("." in name for name in value) else value
                for name, inner in here.next.items():
                    if name in members:
                        member = members[name]
                        waiting.append((elements(member) if member.__class__ is list else (member,), inner))
    return found


def spread(members: Mapping[str, Any], field: Field) -> dict[str, Any]:
    """An object with its names with dots as objects within each other, where they are asked for."""
    found = {name: value for name, value in members.items() if "." not in name}
    for name, value in members.items():
        if "." in name and field.at(name) is not None:
            *way, last = name.split(".")
            holder = found
            for part in way:
                inner = holder.get(part)
                if inner.__class__ is list:
                    raise Ambiguous
                holder[part] = dict(inner) if inner.__class__ is dict else {}
                holder = holder[part]
            if last in holder:
                raise Ambiguous
            holder[last] = value
    return found
