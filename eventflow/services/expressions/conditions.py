"""Conditions and filters: the grammar, as a syntax tree that knows no values yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from eventflow.services.expressions.cursor import TokenCursor
from eventflow.services.expressions.lexer import Cursor, ExpressionError
from eventflow.services.expressions.operands import (
    Call,
    Operand,
    PathOperand,
    calls_in,
    misused,
    parse_list,
    parse_operand,
    paths_in,
    refuse_unknown,
)
from eventflow.services.expressions.paths import Path, continue_path, refuse_reserved

KEYWORDS = ("AND", "OR", "NOT", "BETWEEN", "IN")
COMPARATORS = frozenset(("=", "<>", "<", "<=", ">", ">="))
PREDICATES = frozenset(("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"))


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    subject: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True, slots=True)
class Membership:
    subject: Operand
    choices: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A function that is a condition by itself."""

    call: Call


@dataclass(frozen=True, slots=True)
class Negation:
    condition: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """Two or more conditions joined by AND or by OR."""

    word: str
    conditions: tuple[Condition, ...]


Leaf = Comparison | Between | Membership | Predicate
Condition = Leaf | Negation | Junction


def operands_of(leaf: Leaf) -> tuple[Operand, ...]:
    if isinstance(leaf, Comparison):
        return leaf.left, leaf.right
    if isinstance(leaf, Between):
        return leaf.subject, leaf.low, leaf.high
    if isinstance(leaf, Membership):
        return leaf.subject, *leaf.choices
    return (leaf.call,)


def leaves(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, Negation):
        yield from leaves(condition.condition)
    elif isinstance(condition, Junction):
        for part in condition.conditions:
            yield from leaves(part)
    else:
        yield condition


def paths_of(condition: Condition) -> list[Path]:
    return [path for leaf in leaves(condition) for operand in operands_of(leaf) for path in paths_in(operand)]


def parse_condition(text: str) -> Condition:
    """The tree of a condition, with everything refused that is wrong whatever the names and values turn out to be."""
    parser = _Parser(Cursor(text))
    condition = parser.condition()
    parser.cursor.expect_end()
    if parser.redundant:
        raise ExpressionError("The expression has redundant parentheses;")
    _refuse_misuse(condition)
    refuse_reserved(paths_of(condition))
    return condition


def _refuse_misuse(condition: Condition) -> None:
    found = list(leaves(condition))
    refuse_unknown([call for leaf in found for operand in operands_of(leaf) for call in calls_in(operand)])
    for leaf in found:
        if isinstance(leaf, Predicate):
            if leaf.call.function not in PREDICATES:
                raise misused(leaf.call.function)
            nested = leaf.call.arguments
        else:
            nested = operands_of(leaf)
        for operand in nested:
            for call in calls_in(operand):
                if call.function != "size":
                    raise misused(call.function)


def chain(
    cursor: TokenCursor, word: str, part: Callable[[], Condition | Operand], as_condition: Callable[[Condition | Operand], Condition]
) -> Condition | Operand:
    """Conditions with AND or OR between them; a part that stands alone may still be an operand."""
    first = part()
    if not cursor.at_word(word):
        return first
    conditions = [as_condition(first)]
    while cursor.accept_word(word):
        cursor.count_operator()
        conditions.append(as_condition(part()))
    return Junction(word, tuple(conditions))


@dataclass(slots=True)
class _Parser:
    """Recursive descent: OR binds loosest, then AND, then NOT; parentheses may hold a condition or an operand."""

    cursor: Cursor
    redundant: bool = field(default=False)

    def condition(self) -> Condition:
        found = self._either()
        if not isinstance(found, Operand):
            return found
        if isinstance(found, Call):
            return Predicate(found)
        raise self.cursor.unexpected()

    def _either(self) -> Condition | Operand:
        self.cursor.enter()
        found = chain(self.cursor, "OR", self._conjunction, self._as_condition)
        self.cursor.leave()
        return found

    def _conjunction(self) -> Condition | Operand:
        return chain(self.cursor, "AND", self._negation, self._as_condition)

    def _as_condition(self, found: Condition | Operand) -> Condition:
        if isinstance(found, Call):
            return Predicate(found)
        if isinstance(found, Operand):
            raise self.cursor.unexpected()
        return found

    def _negation(self) -> Condition | Operand:
        if not self.cursor.accept_word("NOT"):
            return self._primary()
        self.cursor.count_operator()
        self.cursor.enter()
        found = Negation(self._as_condition(self._negation()))
        self.cursor.leave()
        return found

    def _primary(self) -> Condition | Operand:
        found = self._grouped() if self.cursor.at("(") else parse_operand(self.cursor, KEYWORDS, self._side)
        return self._relation(found) if isinstance(found, Operand) else found

    def _grouped(self) -> Condition | Operand:
        """What is in parentheses. Parentheses right inside parentheses are redundant, and DynamoDB refuses them."""
        self.cursor.expect("(")
        doubled = self.cursor.at("(")
        inner_start = self.cursor.position
        found = self._either()
        if doubled and self._closes_at(inner_start) == self.cursor.position - 1:
            self.redundant = True
        self.cursor.expect(")")
        if isinstance(found, PathOperand):
            return PathOperand(continue_path(self.cursor, found.path, KEYWORDS))
        return found

    def _closes_at(self, start: int) -> int:
        """Where the parenthesis that opens at ``start`` is closed."""
        depth = 0
        for position in range(start, len(self.cursor.tokens)):
            text = self.cursor.tokens[position].text
            depth += (text == "(") - (text == ")")
            if depth == 0:
                return position
        return -1

    def _relation(self, left: Operand) -> Condition | Operand:
        cursor = self.cursor
        if cursor.token.kind == "symbol" and cursor.token.text in COMPARATORS:
            cursor.count_operator()
            operator = cursor.advance().text
            return Comparison(operator, left, self._side())
        if cursor.accept_word("BETWEEN"):
            cursor.count_operator()
            low = self._side()
            if not cursor.accept_word("AND"):
                raise cursor.unexpected()
            return Between(left, low, self._side())
        if cursor.accept_word("IN"):
            cursor.count_operator()
            cursor.expect("(")
            return Membership(left, parse_list(self.cursor, self._side))
        return left

    def _side(self) -> Operand:
        """An operand, or one in parentheses."""
        if not self.cursor.at("("):
            return parse_operand(self.cursor, KEYWORDS, self._side)
        found = self._grouped()
        if not isinstance(found, Operand):
            raise self.cursor.unexpected()
        return found
