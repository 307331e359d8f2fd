"""Many patterns and what each is for: an event is held only against those that ask for a text that it has.

Of each alternative of a pattern, one field that must be one of some texts is remembered, by these texts: the field whose texts the fewest other
alternatives ask for. A pattern with an alternative that has no such field (numbers, prefixes, absences and the like alone) is asked about each event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from eventflow.pattern import Pattern
from eventflow.pattern_places import Alternative, FieldTest

Value = TypeVar("Value")


class Step:
    """A name on the way to fields that are remembered by; ``texts`` are the numbers of the patterns that ask for one here."""

    __slots__ = ("next", "texts")

    def __init__(self) -> None:
        self.next: dict[str, Step] = {}
        self.texts: dict[str, list[int]] = {}

    def at(self, path: str) -> Step | None:
        """The step behind a name in an event, which may have dots of its own."""
        found: Step | None = self
        for part in path.split("."):
            found = found.next.get(part) if found is not None else None
        return found

    def made_at(self, path: str) -> Step:
        step = self
        for part in path.split("."):
            step = step.next.setdefault(part, Step())
        return step


class PatternIndex(Generic[Value]):
    """Patterns, each with a value of its own; it is not changed any more, and may be asked from any thread."""

    def __init__(self, entries: Iterable[tuple[Pattern, Value]]) -> None:
        self._entries = tuple(entries)
        self._root = Step()
        self._always: list[int] = []
        uses = Counter(use for pattern, _ in self._entries for alternative in pattern.alternatives for use in uses_of(alternative))
        for number, (pattern, _) in enumerate(self._entries):
            self._remember(number, pattern.alternatives, uses)

    def _remember(self, number: int, alternatives: Sequence[Alternative], uses: Mapping[tuple[str, str], int]) -> None:
        chosen: set[tuple[str, str]] = set()
        for alternative in alternatives:
            exact = [test for test in alternative if is_exact(test)]
            if not exact:
                self._always.append(number)
                return
            rarest = min(exact, key=lambda test: max(uses[test.name, text] for text in test.texts))
            chosen.update((rarest.name, text) for text in rarest.texts)
        for name, text in chosen:
            self._root.made_at(name).texts.setdefault(text, []).append(number)

    def matching(self, event: Mapping[str, Any]) -> list[Value]:
        """The values of the patterns that an event matches, in the order in which they were given."""
        found = []
        for number in sorted(self._candidates(event)):
            pattern, value = self._entries[number]
            if pattern.matches(event):
                found.append(value)
        return found

    def _candidates(self, event: Mapping[str, Any]) -> set[int]:
        """Keeps its own stack: an event may be nested as deep as it likes."""
        found = set(self._always)
        waiting: list[tuple[Any, Step]] = [(event, self._root)]
        while waiting:
            value, step = waiting.pop()
            if value.__class__ is str:
                found.update(step.texts.get(value, ()))
            elif value.__class__ is list:
                waiting += [(element, step) for element in value]
            elif value.__class__ is dict and step.next:
                for name, member in value.items():
                    following = step.next.get(name) or (step.at(name) if "." in name else None)
                    if following is not None:
                        waiting.append((member, following))
        return found


def uses_of(alternative: Alternative) -> list[tuple[str, str]]:
    return [(test.name, text) for test in alternative if is_exact(test) for text in test.texts]


def is_exact(test: FieldTest) -> bool:
    """Whether the field must be one of some texts."""
    return bool(test.texts) and not test.others and not test.absent
