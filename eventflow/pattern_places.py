"""Matching an event whose values reach a field in more ways than one: all places of values, gone through test by test.

``pattern_matching`` answers for nearly all events, in time that is proportional to them, and says which it leaves to this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventflow.leaf_patterns import Test

#: Which element of which array: the array's number in its event to the element's number.
Place = dict[int, int]


@dataclass(slots=True)
class Values:
    """The values of one field in one event: those ``here``, and those in the elements of ``arrays`` around the field."""

    here: list[Any] = field(default_factory=list)
    arrays: dict[int, dict[int, Values]] = field(default_factory=dict)

    def put(self, value: Any, place: Place) -> None:
        values = self
        for array, index in place.items():
            values = values.arrays.setdefault(array, {}).setdefault(index, Values())
        values.here.append(value)

    def agreeing(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The values that lie in the same elements as ``place`` of all arrays that both are in, each with its own place."""
        waiting: list[tuple[Values, Place]] = [(self, {})]
        while waiting:
            values, inner = waiting.pop()
            for value in values.here:
                yield value, inner
            for array, elements in values.arrays.items():
                known = place.get(array)
                chosen = elements.items() if known is None else [(known, elements[known])] if known in elements else ()
                waiting += [(element, {**inner, array: index}) for index, element in chosen]

    def numbers(self) -> set[int]:
        """All arrays around these values."""
        found: set[int] = set()
        waiting = [self]
        while waiting:
            values = waiting.pop()
            found.update(values.arrays)
            waiting += [element for elements in values.arrays.values() for element in elements.values()]
        return found


@dataclass(frozen=True)
class FieldTest:
    """What a field must be: one of its values is one of ``texts`` or passes one of the ``others``, or it is ``absent``."""

    name: str
    texts: frozenset[str]
    others: tuple[Test, ...]
    absent: bool = False

    def passes(self, value: Any) -> bool:
        return (value.__class__ is str and value in self.texts) or any(test(value) for test in self.others)


class Step(Protocol):
    """A field's name on the way to those that are asked for; ``name`` is the whole way where a test ends here."""

    @property
    def name(self) -> str | None: ...
    @property
    def next(self) -> Mapping[str, Step]: ...
    def at(self, path: str) -> Step | None: ...


#: A way to match: every one of these tests, in the order of their names.
Alternative = tuple[FieldTest, ...]


def values_of(event: Mapping[str, Any], root: Step) -> dict[str, Values]:
    """The values of the fields that are asked for, by name. Keeps its own stack: an event may be nested as deep as it likes."""
    found: dict[str, Values] = {}
    arrays = 0
    waiting: list[tuple[Any, Step, Place]] = [(event, root, {})]
    while waiting:
        value, step, place = waiting.pop()
        if value.__class__ is dict:
            for name, member in value.items():
                following = step.next.get(name) or (step.at(name) if "." in name else None)
                if following is not None:
                    waiting.append((member, following, place))
        elif value.__class__ is list:
            arrays += 1
            alone = len(value) == 1  # its elements are always the same one
            for index, member in enumerate(value):
                inner = place if alone or member.__class__ not in (dict, list) else {**place, arrays: index}
                waiting.append((member, step, inner))
        elif step.name is not None:
            found.setdefault(step.name, Values()).put(value, place)
    return found


NOTHING = Values()


def meets(alternative: Alternative, found: Mapping[str, Values]) -> bool:
    """Whether the tests pass with values of which any two lie in the same element of each array that both are in.

    Goes from test to test with all places that are still possible. Of a place only those arrays matter that come again, so that fields of arrays
    that have nothing to do with each other do not multiply.
    """
    again = [found.get(test.name, NOTHING).numbers() for test in alternative]
    places: list[Place] = [{}]
    for index, test in enumerate(alternative):
        later = set().union(*again[index + 1 :])
        possible: dict[frozenset[tuple[int, int]], Place] = {}
        for place in places:
            for reached in reached_from(place, test, found.get(test.name, NOTHING)):
                kept = {array: element for array, element in reached.items() if array in later}
                possible[frozenset(kept.items())] = kept
        if not possible:
            return False
        places = list(possible.values())
    return True


def reached_from(place: Place, test: FieldTest, values: Values) -> Iterator[Place]:
    there = False
    for value, inner in values.agreeing(place):
        there = True
        if test.passes(value):
            yield {**place, **inner}
    if test.absent and not there:
        yield place
