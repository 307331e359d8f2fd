"""From the text of an expression to something that runs: parsing is done once per text, binding once per request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import type_of
from eventflow.services.expressions.conditions import Condition, parse_condition, paths_of
from eventflow.services.expressions.drafts import Update, bind_update
from eventflow.services.expressions.keyconditions import KeyTerms, KeyTest, key_terms, key_tests
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.paths import Path
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.predicates import Test, bind
from eventflow.services.expressions.projections import Projection, bind_projection, parse_projection
from eventflow.services.expressions.updates import Action, parse_update

T = TypeVar("T")
K = TypeVar("K")
Shape = tuple[Any, ...]

#: Programs use few texts, again and again; a program that builds values into them must not fill the memory.
REMEMBERED = 1024
#: So many bound updates are remembered, whose names and values have names of up to so many characters together.
BOUND = 256
LONGEST_REMEMBERED = 4096


class Filter:
    """A bound condition: the test itself, and the paths it looks at."""

    def __init__(self, test: Test, paths: list[Path]) -> None:
        self.test = test
        self.paths = paths


@dataclass(frozen=True, slots=True)
class BoundUpdate:
    """An update without its values, and the placeholders that it uses."""

    update: Update
    names: frozenset[str]
    values: frozenset[str]

    @classmethod
    def of(cls, actions: Sequence[Action], update: Update) -> BoundUpdate:
        elements = {element for action in actions for path in action.paths() for element in path}
        names = frozenset(element for element in elements if isinstance(element, str) and element[0] == "#")
        return cls(update.with_values({}), names, frozenset(name for action in actions for name in action.values()))


@dataclass(frozen=True, slots=True)
class KnownTerms:
    """The terms of a key condition, and the placeholders that it uses."""

    terms: KeyTerms
    names: frozenset[str]
    values: frozenset[str]


class Compiler:
    """Parses with a bounded memory. Each method raises DynamoDB's ValidationException, which begins with the name of the parameter."""

    def __init__(self) -> None:
        self._condition: Callable[[str], Condition] = lru_cache(REMEMBERED)(parse_condition)
        self._update = lru_cache(REMEMBERED)(parse_update)
        self._bound: dict[Shape, BoundUpdate] = {}
        self._terms: dict[Shape, KnownTerms] = {}
        self._projection = lru_cache(REMEMBERED)(parse_projection)

    def condition(self, parameter: str, text: str, placeholders: Placeholders) -> Filter:
        def compiled() -> Filter:
            condition = self._condition(text)
            test = bind(condition, placeholders)
            return Filter(test, [placeholders.path(path) for path in paths_of(condition)])

        return named(parameter, compiled)

    def key_condition(self, text: str, placeholders: Placeholders) -> Callable[[], dict[str, KeyTest]]:
        """Binds now; what only key conditions forbid comes up when the result is called, which DynamoDB does after all other expressions.

        One that was right is right again with the same names and types of values, except for BETWEEN, whose values must be in order."""
        shape = shape_of(text, placeholders)
        known = self._terms.get(shape)
        if known is not None:
            placeholders.use(known.names, known.values)
            return lambda: key_tests(known.terms, placeholders.values)

        def compiled() -> Condition:
            condition = self._condition(text)
            bind(condition, placeholders)
            return condition

        condition = named("KeyConditionExpression", compiled)

        def tests() -> dict[str, KeyTest]:
            terms = key_terms(condition, placeholders)
            if is_short(placeholders) and all(operator != "BETWEEN" for operator, _names in terms.values()):
                names = frozenset(element for path in paths_of(condition) for element in path if isinstance(element, str) and element[0] == "#")
                remember(self._terms, shape, KnownTerms(terms, names, frozenset(name for _operator, used in terms.values() for name in used)))
            return key_tests(terms, placeholders.values)

        return tests

    def update(self, text: str, placeholders: Placeholders) -> Update:
        """What an update comes to depends on its text, on the names, and on the types of the values: with these it is bound once."""
        shape = shape_of(text, placeholders)
        known = self._bound.get(shape)
        if known is not None:
            placeholders.use(known.names, known.values)
            return known.update.with_values(placeholders.values)
        update = named("UpdateExpression", lambda: bind_update(self._update(text), placeholders))
        if is_short(placeholders):
            remember(self._bound, shape, BoundUpdate.of(self._update(text), update))
        return update

    def projection(self, text: str, placeholders: Placeholders) -> Projection:
        return named("ProjectionExpression", lambda: bind_projection(self._projection(text), placeholders))


def shape_of(text: str, placeholders: Placeholders) -> Shape:
    """All that decides what an expression comes to, but for its values themselves."""
    return text, *placeholders.names.items(), *[(name, type_of(value)) for name, value in placeholders.values.items()]


def is_short(placeholders: Placeholders) -> bool:
    return sum(map(len, chain(*placeholders.names.items(), placeholders.values))) <= LONGEST_REMEMBERED


def remember(known: dict[Shape, K], shape: Shape, what: K) -> None:
    if len(known) >= BOUND:
        known.clear()
    known[shape] = what


def named(parameter: str, compiled: Callable[[], T]) -> T:
    try:
        return compiled()
    except ExpressionError as error:
        raise invalid(f"Invalid {parameter}: {error}") from error
