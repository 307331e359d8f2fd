"""Regular expressions over texts that anybody may send: matched in a time that grows with the text's length alone, where ``re`` tries one way after
another, of which a few dozen characters can make more than a lifetime has seconds."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

#: A pattern becomes so many nodes at most; ``x{100}`` are a hundred.
MOST_NODES = 10_000
#: What is remembered of a pattern's states and of characters; more is found out anew.
MOST_STATES, MOST_CHARACTERS = 1_000, 4_096
#: So many nodes may be looked at for one text, beside what is remembered: less than a second. What takes more does not match.
MOST_STEPS = 200_000

# What is known of a character: the bits of one in a text, before those of the pattern's atoms. END is what follows the last one.
FINAL, NEWLINE, WORD, ATOMS = 1, 2, 4, 3
START, END = -1, -2
TYPE_FLAGS = re.ASCII | re.LOCALE | re.UNICODE
parser, compiler = importlib.import_module("re._parser"), importlib.import_module("re._compiler")
is_word = re.compile(r"\w").match


class NotLinear(Exception):
    """A pattern that asks for more than a look at each character: back references, and conditions on what follows."""


class TooCostly(Exception):
    """A text that takes too many steps."""


class State:
    """Where a text may have led to: nodes, and what the character before was. ``moves`` are the states that follow, by characters."""

    __slots__ = ("before", "moves", "nodes")

    def __init__(self, nodes: frozenset[int], before: int) -> None:
        self.nodes = nodes
        self.before = before
        self.moves: dict[int, State | None] = {}


class Automaton:
    """Whether a text is in the language of a parsed pattern: its ``whole``, or else a part that begins ``anywhere`` or at the start."""

    def __init__(self, items: Iterable[Any], flags: int, *, anywhere: bool, whole: bool) -> None:
        self._anywhere, self._whole = anywhere, whole
        self._nodes: list[Any] = []
        self._atoms: list[Callable[[str], object]] = []
        self._known_atoms: dict[tuple[str, int], int] = {}
        self._characters: dict[str, int] = {}
        self._start = self._sequence(items, flags, self._add(("accept",)))
        self._first = State(frozenset((self._start,)), START)
        self._states: dict[tuple[frozenset[int], int], State] = {}

    # A pattern becomes nodes, from its end to its beginning: each knows what follows.

    def _add(self, node: Any) -> int:
        if len(self._nodes) >= MOST_NODES:
            raise NotLinear(f"it is as long as more than {MOST_NODES} characters, its repetitions written out")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _sequence(self, items: Iterable[Any], flags: int, then: int) -> int:
        for operation, argument in reversed(list(items)):
            then = self._item(str(operation), operation, argument, flags, then)
        return then

    def _item(self, name: str, operation: Any, argument: Any, flags: int, then: int) -> int:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._add(("atom", 1 << ATOMS + self._atom((operation, argument), flags), then))
        if name == "AT":
            if flags & re.ASCII and "BOUNDARY" in str(argument):
                raise NotLinear("it has a word boundary in ASCII")
            return self._add(("at", str(argument), bool(flags & re.MULTILINE), then))
        if name == "BRANCH":
            return self._add(("split", [self._sequence(one, flags, then) for one in argument[1]]))
        if name == "SUBPATTERN":
            _group, added, removed, inside = argument
            kept = flags & ~TYPE_FLAGS if added & TYPE_FLAGS else flags
            return self._sequence(inside, (kept | added) & ~removed, then)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeated(argument, flags, then)
        raise NotLinear(f"it has {NAMES.get(name, name)}")

    def _repeated(self, argument: tuple[int, Any, Any], flags: int, then: int) -> int:
        least, most, inside = argument
        if most == parser.MAXREPEAT:
            ways: list[int] = [then]
            start = self._add(("split", ways))
            ways.append(self._sequence(inside, flags, start))
        else:
            start = then
            for _ in range(most - least):
                start = self._add(("split", [self._sequence(inside, flags, start), then]))
        for _ in range(least):
            start = self._sequence(inside, flags, start)
        return start

    def _atom(self, item: Any, flags: int) -> int:
        """Which characters an item takes is ``re``'s to say."""
        key = str(item), flags
        if key not in self._known_atoms:
            state = parser.State()
            state.flags = flags
            self._known_atoms[key] = len(self._atoms)
            self._atoms.append(compiler.compile(parser.SubPattern(state, [item])).match)
        return self._known_atoms[key]

    # A text leads from state to state.

    def matches(self, text: str) -> bool:
        """Raises TooCostly."""
        steps, last = 0, len(text) - 1
        state = self._first
        for place, character in enumerate(text):
            symbol = self._characters.get(character) or self._symbol(character)
            if place == last and character == "\n":
                symbol |= FINAL
            following = state.moves.get(symbol, False)
            if following is False:
                following, took = self._move(state, symbol)
                steps += took
                if steps > MOST_STEPS:
                    raise TooCostly
            if following is None:
                return True
            state = following  # type: ignore[assignment]
            if not state.nodes:
                return False
        return self._reached(state, END)[0] is None

    def _symbol(self, character: str) -> int:
        symbol = 1 << len(self._atoms) + ATOMS  # never 0
        symbol |= (NEWLINE if character == "\n" else 0) | (WORD if is_word(character) else 0)
        for number, atom in enumerate(self._atoms):
            if atom(character):
                symbol |= 1 << ATOMS + number
        if len(self._characters) >= MOST_CHARACTERS:
            self._characters = {}
        self._characters[character] = symbol
        return symbol

    def _move(self, state: State, symbol: int) -> tuple[State | None, int]:
        """The state after a character, None where the text matches already, and how many steps that took."""
        found: State | None = None
        reached, steps = self._reached(state, symbol)
        if reached is not None:
            if self._anywhere:
                reached.add(self._start)
            key = frozenset(reached), symbol & (NEWLINE | WORD)
            found = self._states.get(key)
            if found is None:
                if len(self._states) >= MOST_STATES:
                    self._states = {}
                    self._first = State(self._first.nodes, START)
                found = self._states[key] = State(*key)
        state.moves[symbol] = found
        return found, steps

    def _reached(self, state: State, symbol: int) -> tuple[set[int] | None, int]:
        """The nodes behind those that take a character, None where the end of the pattern is reached (which must be that of a ``whole`` text), and
        how many were looked at."""
        reached: set[int] = set()
        seen: set[int] = set()
        waiting = list(state.nodes)
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self._nodes[number]
            if node[0] == "atom":
                if symbol != END and symbol & node[1]:
                    reached.add(node[2])
            elif node[0] == "split":
                waiting += node[1]
            elif node[0] == "at":
                if holds(node[1], node[2], state.before, symbol):
                    waiting.append(node[3])
            elif symbol == END or not self._whole:
                return None, len(seen)
        return reached, len(seen)


#: What no automaton of this kind can tell.
NAMES = {
    "GROUPREF": "a back reference",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "a condition on what is around, other than (?=...) at the start",
    "ASSERT_NOT": "a condition on what is around, other than (?!...) at the start",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}


def holds(kind: str, multiline: bool, before: int, after: int) -> bool:
    """Whether an assertion about a place between two characters is true."""
    at_start, at_end = before == START, after == END
    if kind in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        return at_start or (multiline and kind == "AT_BEGINNING" and bool(before & NEWLINE))
    if kind in ("AT_END", "AT_END_STRING"):
        return at_end or (kind == "AT_END" and bool(after & FINAL or (multiline and after & NEWLINE)))
    between = (not at_start and bool(before & WORD)) != (not at_end and bool(after & WORD))
    return between if kind == "AT_BOUNDARY" else not between


class LinearPattern:
    """``re.search``, or ``re.fullmatch`` for the ``whole`` text, in linear time; ``(?=...)`` and ``(?!...)`` may be at its start. Raises NotLinear,
    and re.error for what is no regular expression."""

    def __init__(self, pattern: str, *, whole: bool = False) -> None:
        parsed = parser.parse(pattern)
        flags: int = parsed.state.flags
        items: list[Any] = list(parsed)
        self._conditions: list[tuple[bool, Automaton]] = []
        starts = bool(items) and str(items[0][0]) == "AT" and str(items[0][1]).startswith("AT_BEGINNING") and not flags & re.MULTILINE
        if starts:
            del items[0]
        while (starts or whole) and items and (condition := condition_of(items[0])) is not None:
            wanted, inside = condition
            self._conditions.append((wanted, Automaton(inside, flags, anywhere=False, whole=False)))
            del items[0]
        self._automaton = Automaton(items, flags, anywhere=not starts and not whole, whole=whole)

    def matches(self, text: str) -> bool:
        """Raises TooCostly."""
        return all(condition.matches(text) is wanted for wanted, condition in self._conditions) and self._automaton.matches(text)


def condition_of(item: Any) -> tuple[bool, Sequence[Any]] | None:
    """A condition on what follows: whether it is to be true, and its pattern."""
    name, argument = str(item[0]), item[1]
    return (name == "ASSERT", argument[1]) if name in ("ASSERT", "ASSERT_NOT") and argument[0] == 1 else None


@lru_cache(1_024)
def searching(pattern: str) -> LinearPattern:
    """The patterns of schemas, each compiled once."""
    return LinearPattern(pattern)
