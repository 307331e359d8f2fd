"""What statements share below their clauses: conditions, attributes and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.values import Value
from eventflow.services.expressions.conditions import (
    COMPARATORS,
    PREDICATES,
    Between,
    Comparison,
    Condition,
    Membership,
    Negation,
    Predicate,
    chain,
)
from eventflow.services.expressions.operands import Call, Operand, PathOperand, ValueOperand
from eventflow.services.expressions.paths import DEEPEST_PATH, Path
from eventflow.services.partiql.terms import Terms
from eventflow.services.partiql.tokens import Cursor, malformed

CONDITION_FUNCTIONS = frozenset(("attribute_type", "begins_with", "contains", "size"))
MOST_DIGITS = 9


class Grammar:
    """Reads at a cursor; ``names`` and ``values`` are what the trees that it makes name."""

    def __init__(self, text: str, parameters: Sequence[Value]) -> None:
        self.cursor = Cursor(text)
        self.terms = Terms(self.cursor, parameters)
        self.names: dict[str, str] = {}
        self.values: dict[str, Value] = {}

    def separated(self, part: Callable[[], Any]) -> tuple[Any, ...]:
        found = [part()]
        while self.cursor.accept(","):
            found.append(part())
        return tuple(found)

    # Conditions: OR binds loosest, then AND, then NOT; parentheses may hold a condition or an operand.

    def condition(self) -> Condition:
        return self._as_condition(self._either())

    def _either(self) -> Condition | Operand:
        self.cursor.enter()
        found = chain(self.cursor, "OR", self._conjunction, self._as_condition)
        self.cursor.leave()
        return found

    def _conjunction(self) -> Condition | Operand:
        return chain(self.cursor, "AND", self._negation, self._as_condition)

    def _as_condition(self, found: Condition | Operand) -> Condition:
        if isinstance(found, Call) and found.function in PREDICATES:
            return Predicate(found)
        if isinstance(found, Operand):
            raise self._no_condition()
        return found

    def _no_condition(self) -> ServiceError:
        return self.cursor.unexpected() if self.cursor.token.kind != "end" else malformed("Expected a condition")

    def _negation(self) -> Condition | Operand:
        if not self.cursor.accept_word("NOT"):
            return self._relation()
        self.cursor.enter()
        found = Negation(self._as_condition(self._negation()))
        self.cursor.leave()
        return found

    def _relation(self) -> Condition | Operand:
        left = self._grouped() if self.cursor.at("(") else self._operand()
        if not isinstance(left, Operand):
            return left
        cursor = self.cursor
        if cursor.at(*COMPARATORS, "!="):
            operator = cursor.advance().text.replace("!=", "<>")
            return Comparison(operator, self._measured(left), self._measured(self._operand()))
        if cursor.accept_word("IS"):
            return self._test(left)
        negated = cursor.at_word("NOT")
        if negated:
            cursor.advance()
        found = self._range_or_list(left)
        if found is None:
            if negated:
                raise cursor.unexpected()
            return left
        return Negation(found) if negated else found

    def _range_or_list(self, left: Operand) -> Condition | None:
        if self.cursor.accept_word("BETWEEN"):
            low = self._measured(self._operand())
            self.cursor.expect_word("AND")
            return Between(self._measured(left), low, self._measured(self._operand()))
        if not self.cursor.accept_word("IN"):
            return None
        end = "]" if self.cursor.accept("[") else ")"
        if end == ")":
            self.cursor.expect("(")
        choices = self.separated(self.value)
        self.cursor.expect(end)
        return Membership(self._measured(left), choices)

    def _test(self, left: Operand) -> Condition:
        """IS [NOT] MISSING, IS [NOT] NULL."""
        negated = self.cursor.accept_word("NOT") is not None
        word = self.cursor.expect_word("MISSING", "NULL")
        if not isinstance(left, PathOperand):
            raise malformed(f"IS {word} takes an attribute")
        if word == "MISSING":
            return Predicate(Call("attribute_exists" if negated else "attribute_not_exists", (left,)))
        found = Predicate(Call("attribute_type", (left, self._named({"S": "NULL"}))))
        return Negation(found) if negated else found

    def _measured(self, operand: Condition | Operand) -> Operand:
        """A side of a comparison: of the functions only size has a value."""
        if not isinstance(operand, Operand) or (isinstance(operand, Call) and operand.function != "size"):
            raise malformed("A condition is no value to compare")
        return operand

    def _grouped(self) -> Condition | Operand:
        self.cursor.expect("(")
        found = self._either()
        self.cursor.expect(")")
        return found

    def _operand(self) -> Condition | Operand:
        cursor = self.cursor
        if cursor.at("("):
            return self._grouped()
        if not (cursor.token.kind == "name" and cursor.follows("(") and cursor.at_name()):
            return self.side()
        function = cursor.advance().text.lower()
        if function not in CONDITION_FUNCTIONS:
            raise malformed(f"Function {function} cannot be used in WHERE")
        cursor.expect("(")
        cursor.enter()
        arguments = self.separated(lambda: self._measured(self._operand()))
        cursor.leave()
        cursor.expect(")")
        return Call(function, arguments)

    # Attributes and values.

    def side(self) -> Operand:
        return self.value() if self.terms.at() else PathOperand(self.path())

    def value(self) -> ValueOperand:
        return self._named(self.terms.value())

    def _named(self, value: Value) -> ValueOperand:
        name = f":v{len(self.values)}"
        self.values[name] = value
        return ValueOperand(name)

    def path(self) -> Path:
        path: list[str | int] = [self._alias(self.cursor.name())]
        while True:
            if self.cursor.accept("."):
                path.append(self._alias(self.cursor.name()))
            elif self.cursor.accept("["):
                path.append(self._position())
            else:
                break
            if len(path) > DEEPEST_PATH:
                raise malformed(f"An attribute's path has more than {DEEPEST_PATH} elements")
        return tuple(path)

    def _position(self) -> str | int:
        token = self.cursor.token
        if token.kind == "text":  # a['b'] is a.b
            self.cursor.advance()
            self.cursor.expect("]")
            if not token.text:
                raise malformed("An attribute name is empty")
            return self._alias(token.text)
        if token.kind != "number" or not token.text.isdigit() or len(token.text.lstrip("0")) > MOST_DIGITS:
            raise self.cursor.unexpected()
        self.cursor.advance()
        self.cursor.expect("]")
        return int(token.text)

    def _alias(self, name: str) -> str:
        alias = f"#n{len(self.names)}"
        self.names[alias] = name
        return alias
