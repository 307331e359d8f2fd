"""The operands that conditions and updates share: a document path, a value of the request, a function call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eventflow.services.attributes.values import Item, Value, type_of
from eventflow.services.expressions.lexer import Cursor, ExpressionError
from eventflow.services.expressions.paths import Path, lookup, parse_path
from eventflow.services.expressions.placeholders import Placeholders

#: An operand bound to one request's placeholders: what it is for a given item, None where it refers to nothing.
Evaluate = Callable[[Item], Value | None]

CONDITION_FUNCTIONS = {"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1}
UPDATE_FUNCTIONS = {"if_not_exists": 2, "list_append": 2}
ARITY = CONDITION_FUNCTIONS | UPDATE_FUNCTIONS


@dataclass(frozen=True, slots=True)
class PathOperand:
    path: Path


@dataclass(frozen=True, slots=True)
class ValueOperand:
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Operand, ...]


Operand = PathOperand | ValueOperand | Call


def paths_in(operand: Operand) -> Iterator[Path]:
    if isinstance(operand, PathOperand):
        yield operand.path
    elif isinstance(operand, Call):
        for argument in operand.arguments:
            yield from paths_in(argument)


def values_in(operand: Operand) -> Iterator[str]:
    if isinstance(operand, ValueOperand):
        yield operand.name
    elif isinstance(operand, Call):
        for argument in operand.arguments:
            yield from values_in(argument)


def calls_in(operand: Operand) -> Iterator[Call]:
    if isinstance(operand, Call):
        yield operand
        for argument in operand.arguments:
            yield from calls_in(argument)


def refuse_unknown(calls: list[Call]) -> None:
    for call in calls:
        if call.function not in ARITY:
            raise ExpressionError(f"Invalid function name; function: {call.function}")


def misused(function: str) -> ExpressionError:
    return ExpressionError(f"The function is not allowed to be used this way in an expression; function: {function}")


def refuse_count(function: str, count: int) -> None:
    if count != ARITY[function]:
        raise wrong_count(function, count)


def wrong_count(function: str, count: int) -> ExpressionError:
    return ExpressionError(f"Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}")


def wrong_type(function: str, kind: str) -> ExpressionError:
    return ExpressionError(f"Incorrect operand type for operator or function; operator or function: {function}, operand type: {kind}")


def needs_path(function: str) -> ExpressionError:
    return ExpressionError(f"Operator or function requires a document path; operator or function: {function}")


def literal_type(operand: Operand, placeholders: Placeholders) -> str | None:
    """The type of a value that stands in the request; of anything else only the item can tell."""
    return type_of(placeholders.value(operand.name)) if isinstance(operand, ValueOperand) else None


def bind_path(path: Path, placeholders: Placeholders) -> Evaluate:
    resolved = placeholders.path(path)
    if len(resolved) == 1:
        name = str(resolved[0])
        return lambda item: item.get(name)
    return lambda item: lookup(resolved, item)


def bind_value(name: str, placeholders: Placeholders) -> Evaluate:
    value = placeholders.value(name)
    return lambda item: value


def parse_operand(cursor: Cursor, keywords: tuple[str, ...], side: Callable[[], Operand]) -> Operand:
    """A value, a function's call or a path; ``side`` parses what may stand as an argument."""
    if cursor.token.kind == "value":
        return ValueOperand(cursor.advance().text)
    if cursor.token.kind == "name" and cursor.follows("(") and not cursor.at_word(*keywords):
        cursor.count_operator()
        function = cursor.advance().text
        cursor.expect("(")
        return Call(function, parse_list(cursor, side))
    return PathOperand(parse_path(cursor, keywords))


def parse_list(cursor: Cursor, side: Callable[[], Operand]) -> tuple[Operand, ...]:
    """Operands up to the closing parenthesis; there is at least one."""
    cursor.enter()
    found = [side()]
    while cursor.accept(","):
        found.append(side())
    cursor.expect(")")
    cursor.leave()
    return tuple(found)
