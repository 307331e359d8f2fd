"""Event patterns, compiled once to what an event is asked (EventBridge user guide, "Creating event patterns")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from eventflow.errors import ServiceError
from eventflow.leaf_patterns import COMPARISONS, OPERATORS, NotALeafPattern, Test, has_one_spelling, leaf_test
from eventflow.pattern_matching import Matcher
from eventflow.pattern_places import Alternative, FieldTest

#: Characters of a pattern's JSON (AWS: the quota of event patterns, and of filter patterns).
LONGEST_PATTERN = 4096
#: AWS: "rule combinations" that the $ors of one pattern may come to.
MOST_COMBINATIONS = 1000
#: Objects within objects. An event's are not counted; a pattern of 4,096 characters needs no more.
DEEPEST = 100
OR = "$or"
#: Field names that mean nothing inside $or, so that operators are not taken for fields.
RESERVED = frozenset((*OPERATORS, "exists", *COMPARISONS, "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after")) | {
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
}


class InvalidEventPattern(ServiceError):
    """A pattern that cannot be compiled. ``reason`` is what is wrong, in AWS's words, ``path`` where: ``detail.state[0]``, "" for all of it."""

    def __init__(self, reason: str, path: str = "") -> None:
        where = f" (at {path})" if path else ""
        super().__init__("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}{where}")
        self.reason = reason
        self.path = path


class Pattern:
    """A compiled event pattern; ``matches`` may be called from any thread. ``text`` is its JSON; an event matches that passes all tests of one of the
    ``alternatives``."""

    def __init__(self, text: str, alternatives: Sequence[Alternative]) -> None:
        self.text = text
        self.alternatives = alternatives
        self._matcher = Matcher(alternatives)

    def __repr__(self) -> str:
        return f"Pattern({self.text})"

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether the event, as parsed from JSON, matches.

        A field matches when any of its values does. Fields that match inside one array of objects do so in the same of its elements.
        """
        return self._matcher.matches(event)


# Compiling.


def compile_pattern(pattern: str | Mapping[str, Any]) -> Pattern:
    """Compile a pattern's JSON, or what it is parsed to. Raises ``InvalidEventPattern``, or ``LimitExceededException`` where its ``$or``
    come to more than 1,000 combinations."""
    text = pattern if isinstance(pattern, str) else as_text(pattern)
    if len(text) > LONGEST_PATTERN:
        raise InvalidEventPattern(f"The pattern has {len(text)} characters, it may have {LONGEST_PATTERN}")
    parsed = parse(text)
    if not isinstance(parsed, dict):
        raise InvalidEventPattern("Filter is not an object")
    drafts = Drafts()
    drafts.read_object(parsed, ())
    return Pattern(text, [tuple(sorted(draft.values(), key=lambda test: test.name)) for draft in drafts.alternatives])


def as_text(pattern: object) -> str:
    try:
        return json.dumps(pattern, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEventPattern(f"It is not a JSON value: {error}") from error


def parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=without_repeats, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidEventPattern(f"Invalid JSON: {error.msg}", f"line {error.lineno}, column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise InvalidEventPattern(f"Invalid JSON: {error}") from error


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _value in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidEventPattern(f"Path `{repeated}` cannot be allowed multiple times")
    return members


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value of JSON")


class Drafts:
    """The alternatives of a pattern while it is read: an ``$or`` makes of each of them one for each of its members."""

    def __init__(self) -> None:
        self.alternatives: list[dict[str, FieldTest]] = [{}]

    def read_object(self, members: Mapping[str, Any], path: tuple[str, ...], *, inside_or: bool = False) -> None:
        if not members:
            raise InvalidEventPattern("Empty objects are not allowed", shown(path))
        if len(path) > DEEPEST:
            raise InvalidEventPattern(f"It has more than {DEEPEST} objects within each other")
        for name, member in members.items():
            inner = (*path, name)
            if name == OR and is_alternation(member):
                self.read_alternatives(member, path)
            elif inside_or and name in RESERVED:
                raise InvalidEventPattern(f"{name} is Ruler reserved fieldName which cannot be used inside {OR}.", shown(inner))
            elif isinstance(member, dict):
                self.read_object(member, inner, inside_or=inside_or)
            elif isinstance(member, list):
                self.put(field_test(member, inner))
            else:
                raise InvalidEventPattern(f'"{name}" must be an object or an array', shown(inner))

    def put(self, test: FieldTest) -> None:
        for alternative in self.alternatives:
            alternative[test.name] = test

    def read_alternatives(self, members: list[Mapping[str, Any]], path: tuple[str, ...]) -> None:
        before, after = self.alternatives, []
        for member in members:
            self.alternatives = [dict(alternative) for alternative in before]
            self.read_object(member, path, inside_or=True)
            after += self.alternatives
            if len(after) > MOST_COMBINATIONS:
                text = f"Event pattern is not valid: its {OR} come to more than {MOST_COMBINATIONS} combinations. Make several rules of it."
                raise ServiceError("LimitExceededException", text)
        self.alternatives = after


def is_alternation(member: Any) -> bool:
    """Whether a ``$or`` is the operator: with anything but two or more objects it is a field of that name, as in AWS's event-ruler."""
    return isinstance(member, list) and len(member) > 1 and all(isinstance(one, dict) and not RESERVED.intersection(one) for one in member)


def field_test(members: list[Any], path: tuple[str, ...]) -> FieldTest:
    if not members:
        raise InvalidEventPattern("Empty arrays are not allowed", shown(path))
    texts: set[str] = set()
    tests: list[Test] = []
    absent = False
    for index, member in enumerate(members):
        try:
            exists = existence(member)
            if exists is False:
                absent = True
            elif isinstance(member, str) and has_one_spelling(member):
                texts.add(member)
            else:
                tests.append(anything if exists else leaf_test(member))
        except NotALeafPattern as error:
            raise InvalidEventPattern(str(error), f"{shown(path)}[{index}]") from error
    return FieldTest(".".join(path), frozenset(texts), tuple(tests), absent)


def existence(member: Any) -> bool | None:
    """The operand of ``exists``; None for any other member."""
    if not isinstance(member, dict) or next(iter(member), None) != "exists":
        return None
    if len(member) > 1:
        raise NotALeafPattern("Only one key allowed in match expression")
    if not isinstance(member["exists"], bool):
        raise NotALeafPattern("exists match pattern must be either true or false.")
    return member["exists"]


def anything(_value: Any) -> bool:
    return True


def shown(path: Iterable[str]) -> str:
    return ".".join(path)
