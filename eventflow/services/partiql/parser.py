"""From the text of a statement to its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.values import SETS, Value, type_of
from eventflow.services.expressions.conditions import (
    COMPARATORS,
    PREDICATES,
    Between,
    Comparison,
    Condition,
    Junction,
    Membership,
    Negation,
    Predicate,
)
from eventflow.services.expressions.operands import Call, Operand, PathOperand, ValueOperand
from eventflow.services.expressions.paths import DEEPEST_PATH, Path
from eventflow.services.expressions.updates import Action, Arithmetic
from eventflow.services.partiql.statements import Delete, Exists, Insert, Parsed, Select, Statement, Update
from eventflow.services.partiql.terms import Terms
from eventflow.services.partiql.tokens import Cursor, malformed

CONDITION_FUNCTIONS = frozenset(("attribute_type", "begins_with", "contains", "size"))
#: Functions of SET that are sections of an update expression.
SET_FUNCTIONS: Mapping[str, str] = {"set_add": "ADD", "set_delete": "DELETE"}
RETURNED = {"ALL": ("OLD", "NEW"), "MODIFIED": ("OLD", "NEW")}
MOST_DIGITS = 9


def parse(text: str, parameters: Sequence[Value] = ()) -> Parsed:
    """Raises ValidationException for everything that is no statement."""
    parser = _Parser(text, parameters)
    statement = parser.statement()
    parser.cursor.accept(";")
    if parser.cursor.token.kind != "end":
        raise parser.cursor.unexpected()
    parser.terms.refuse_left()
    return Parsed(statement, parser.names, parser.values)


class _Parser:
    def __init__(self, text: str, parameters: Sequence[Value]) -> None:
        self.cursor = Cursor(text)
        self.terms = Terms(self.cursor, parameters)
        self.names: dict[str, str] = {}
        self.values: dict[str, Value] = {}

    def statement(self) -> Statement:
        verb = self.cursor.accept_word("SELECT", "INSERT", "UPDATE", "DELETE", "EXISTS")
        if verb is None:
            raise malformed("Expected data manipulation")
        kinds: Mapping[str, Callable[[], Statement]] = {
            "SELECT": self._select,
            "INSERT": self._insert,
            "UPDATE": self._update,
            "DELETE": self._delete,
            "EXISTS": self._exists,
        }
        return kinds[verb]()

    def _select(self) -> Select:
        paths = None if self.cursor.accept("*") else self._separated(self._path)
        self.cursor.expect_word("FROM")
        table = self.cursor.name()
        index = self.cursor.name() if self.cursor.accept(".") else None
        where = self._where()
        order: Sequence[tuple[str, bool]] = ()
        if self.cursor.accept_word("ORDER"):
            self.cursor.expect_word("BY")
            order = self._separated(self._order)
        return Select(table, index, paths, where, order)

    def _order(self) -> tuple[str, bool]:
        return self.cursor.name(), self.cursor.accept_word("ASC", "DESC") == "DESC"

    def _insert(self) -> Insert:
        self.cursor.expect_word("INTO")
        table = self.cursor.name()
        self.cursor.expect_word("VALUE")
        value = self.terms.value()
        if "M" not in value:
            raise malformed("VALUE takes the map of an item, as in {'id': 1}")
        return Insert(table, value["M"])

    def _update(self) -> Update:
        table = self.cursor.name()
        actions: list[Action] = []
        while word := self.cursor.accept_word("SET", "REMOVE"):
            actions += self._separated(self._assignment if word == "SET" else self._removal)
        if not actions:
            raise self.cursor.unexpected()
        where = self._where()
        return Update(table, tuple(actions), where, self._returning())

    def _delete(self) -> Delete:
        self.cursor.expect_word("FROM")
        table = self.cursor.name()
        where = self._where()
        returning = self._returning()
        if returning not in ("NONE", "ALL_OLD"):
            raise malformed("DELETE can return ALL OLD * alone")
        return Delete(table, where, returning)

    def _exists(self) -> Exists:
        self.cursor.expect("(")
        self.cursor.expect_word("SELECT")
        select = self._select()
        self.cursor.expect(")")
        return Exists(select)

    def _where(self) -> Condition | None:
        return self._condition() if self.cursor.accept_word("WHERE") else None

    def _returning(self) -> str:
        if not self.cursor.accept_word("RETURNING"):
            return "NONE"
        what = self.cursor.expect_word("ALL", "MODIFIED")
        when = self.cursor.expect_word("OLD", "NEW")
        self.cursor.expect("*")
        return f"{'ALL' if what == 'ALL' else 'UPDATED'}_{when}"

    def _separated(self, part: Callable[[], Any]) -> tuple[Any, ...]:
        found = [part()]
        while self.cursor.accept(","):
            found.append(part())
        return tuple(found)

    # Updates.

    def _removal(self) -> Action:
        return Action("REMOVE", self._path())

    def _assignment(self) -> Action:
        path = self._path()
        self.cursor.expect("=")
        if self.cursor.token.kind == "name" and self.cursor.token.text.lower() in SET_FUNCTIONS and self.cursor.follows("("):
            return self._set_change(path)
        left = self._source()
        for operator in ("+", "-"):
            if self.cursor.accept(operator):
                return Action("SET", path, Arithmetic(operator, left, self._source()))
        return Action("SET", path, left)

    def _set_change(self, path: Path) -> Action:
        function = self.cursor.advance().text.lower()
        self.cursor.expect("(")
        subject = self._path()
        self.cursor.expect(",")
        value = self._value()
        self.cursor.expect(")")
        if tuple(map(self._real, subject)) != tuple(map(self._real, path)):
            raise malformed(f"{function} changes the set that it is assigned to: its first argument must be the attribute on the left")
        if type_of(self.values[value.name]) not in SETS:
            raise malformed(f"{function} takes a set as its second argument")
        return Action(SET_FUNCTIONS[function], path, value)

    def _real(self, element: str | int) -> str | int:
        return self.names[element] if isinstance(element, str) else element

    def _source(self) -> Operand:
        if self.cursor.accept("("):
            self.cursor.enter()
            found = self._source()
            self.cursor.leave()
            self.cursor.expect(")")
            return found
        if self.cursor.token.kind == "name" and self.cursor.follows("("):
            function = self.cursor.advance().text.lower()
            if function != "list_append":
                raise malformed(f"Function {function} cannot be used in SET")
            self.cursor.expect("(")
            arguments = self._separated(self._side)
            self.cursor.expect(")")
            return Call(function, arguments)
        return self._side()

    # Conditions: OR binds loosest, then AND, then NOT; parentheses may hold a condition or an operand.

    def _condition(self) -> Condition:
        return self._as_condition(self._either())

    def _either(self) -> Condition | Operand:
        self.cursor.enter()
        found = self._chain("OR", lambda: self._chain("AND", self._negation))
        self.cursor.leave()
        return found

    def _chain(self, word: str, part: Callable[[], Condition | Operand]) -> Condition | Operand:
        first = part()
        if not self.cursor.at_word(word):
            return first
        conditions = [self._as_condition(first)]
        while self.cursor.accept_word(word):
            conditions.append(self._as_condition(part()))
        return Junction(word, tuple(conditions))

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
        choices = self._separated(self._value)
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
            return self._side()
        function = cursor.advance().text.lower()
        if function not in CONDITION_FUNCTIONS:
            raise malformed(f"Function {function} cannot be used in WHERE")
        cursor.expect("(")
        cursor.enter()
        arguments = self._separated(lambda: self._measured(self._operand()))
        cursor.leave()
        cursor.expect(")")
        return Call(function, arguments)

    # Attributes and values.

    def _side(self) -> Operand:
        return self._value() if self.terms.at() else PathOperand(self._path())

    def _value(self) -> ValueOperand:
        return self._named(self.terms.value())

    def _named(self, value: Value) -> ValueOperand:
        name = f":v{len(self.values)}"
        self.values[name] = value
        return ValueOperand(name)

    def _path(self) -> Path:
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
