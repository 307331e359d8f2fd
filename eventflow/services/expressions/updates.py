"""Update expressions: SET, REMOVE, ADD and DELETE, as a syntax tree that knows no values yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from eventflow.services.expressions.lexer import Cursor, ExpressionError
from eventflow.services.expressions.operands import (
    UPDATE_FUNCTIONS,
    Call,
    Operand,
    ValueOperand,
    calls_in,
    misused,
    parse_operand,
    paths_in,
    refuse_unknown,
    values_in,
)
from eventflow.services.expressions.paths import Path, parse_path, refuse_reserved

KEYWORDS = ("SET", "REMOVE", "ADD", "DELETE")


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left + right`` or ``left - right``; there are never more than two."""

    operator: str
    left: Operand
    right: Operand


Source = Operand | Arithmetic


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a section; ``source`` is what SET assigns, or the value that ADD and DELETE name."""

    section: str
    path: Path
    source: Source | None = None

    def operands(self) -> tuple[Operand, ...]:
        if self.source is None:
            return ()
        if isinstance(self.source, Arithmetic):
            return self.source.left, self.source.right
        return (self.source,)

    def paths(self) -> Iterator[Path]:
        yield self.path
        for operand in self.operands():
            yield from paths_in(operand)

    def values(self) -> Iterator[str]:
        for operand in self.operands():
            yield from values_in(operand)

    def calls(self) -> Iterator[Call]:
        for operand in self.operands():
            yield from calls_in(operand)


def parse_update(text: str) -> tuple[Action, ...]:
    """The actions of an update, with everything refused that is wrong whatever the names and values turn out to be."""
    parser = _Parser(Cursor(text))
    actions = tuple(parser.sections())
    refuse_reserved([path for action in actions for path in action.paths()])
    refuse_unknown([call for action in actions for call in action.calls()])
    _refuse_repeated(parser.seen)
    if parser.redundant:
        raise ExpressionError("The expression has redundant parentheses;")
    _refuse_misuse(actions)
    return actions


def _refuse_repeated(sections: list[str]) -> None:
    for section in KEYWORDS:
        if sections.count(section) > 1:
            raise ExpressionError(f'The "{section}" section can only be used once in an update expression;')


def _refuse_misuse(actions: tuple[Action, ...]) -> None:
    """Conditions' functions have no place here, and ``list_append`` none inside another function."""
    for action in actions:
        for call in action.calls():
            if call.function not in UPDATE_FUNCTIONS:
                raise misused(call.function)
            for argument in call.arguments:
                if any(inner.function == "list_append" for inner in calls_in(argument)):
                    raise misused("list_append")


@dataclass(slots=True)
class _Parser:
    cursor: Cursor
    seen: list[str] = field(default_factory=list)
    redundant: bool = False

    def sections(self) -> Iterator[Action]:
        while True:
            if not self.cursor.at_word(*KEYWORDS):
                raise self.cursor.unexpected()
            section = self.cursor.advance().text.upper()
            self.seen.append(section)
            yield self._action(section)
            while self.cursor.accept(","):
                yield self._action(section)
            if self.cursor.token.kind == "end":
                return

    def _action(self, section: str) -> Action:
        self.cursor.count_operator()
        path = parse_path(self.cursor, KEYWORDS)
        if section == "REMOVE":
            return Action(section, path)
        if section == "SET":
            self.cursor.expect("=")
            return Action(section, path, self._source())
        if self.cursor.token.kind != "value":
            raise self.cursor.unexpected()
        return Action(section, path, ValueOperand(self.cursor.advance().text))

    def _source(self) -> Source:
        left = self._group() if self.cursor.at("(") else parse_operand(self.cursor, KEYWORDS, self._side)
        if isinstance(left, Arithmetic):
            return left
        return self._sum(left)

    def _sum(self, left: Operand) -> Source:
        for operator in ("+", "-"):
            if self.cursor.accept(operator):
                self.cursor.count_operator()
                return Arithmetic(operator, left, self._side())
        return left

    def _group(self) -> Source:
        """A source in parentheses; doubled ones are redundant, and DynamoDB refuses them."""
        self.cursor.expect("(")
        self.cursor.enter()
        doubled = self.cursor.at("(")
        found = self._group() if doubled else parse_operand(self.cursor, KEYWORDS, self._side)
        self.redundant |= doubled and self.cursor.at(")")
        if not isinstance(found, Arithmetic):
            found = self._sum(found)
        self.cursor.leave()
        self.cursor.expect(")")
        return found

    def _side(self) -> Operand:
        if not self.cursor.at("("):
            return parse_operand(self.cursor, KEYWORDS, self._side)
        found = self._group()
        if isinstance(found, Arithmetic):
            raise self.cursor.unexpected()
        return found
