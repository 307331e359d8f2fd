"""From the text of a statement to its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eventflow.services.attributes.values import SETS, Value, type_of
from eventflow.services.expressions.conditions import Condition
from eventflow.services.expressions.operands import Call, Operand
from eventflow.services.expressions.paths import Path
from eventflow.services.expressions.updates import Action, Arithmetic
from eventflow.services.partiql.grammar import Grammar
from eventflow.services.partiql.statements import Delete, Exists, Insert, Parsed, Select, Statement, Update
from eventflow.services.partiql.tokens import malformed

#: Functions of SET that are sections of an update expression.
SET_FUNCTIONS: Mapping[str, str] = {"set_add": "ADD", "set_delete": "DELETE"}


def parse(text: str, parameters: Sequence[Value] = ()) -> Parsed:
    """Raises ValidationException for everything that is no statement."""
    parser = _Parser(text, parameters)
    statement = parser.statement()
    parser.cursor.accept(";")
    if parser.cursor.token.kind != "end":
        raise parser.cursor.unexpected()
    parser.terms.refuse_left()
    return Parsed(statement, parser.names, parser.values)


class _Parser(Grammar):
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
        paths = None if self.cursor.accept("*") else self.separated(self.path)
        self.cursor.expect_word("FROM")
        table = self.cursor.name()
        index = self.cursor.name() if self.cursor.accept(".") else None
        where = self._where()
        order: Sequence[tuple[str, bool]] = ()
        if self.cursor.accept_word("ORDER"):
            self.cursor.expect_word("BY")
            order = self.separated(self._order)
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
            actions += self.separated(self._assignment if word == "SET" else self._removal)
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
        return self.condition() if self.cursor.accept_word("WHERE") else None

    def _returning(self) -> str:
        if not self.cursor.accept_word("RETURNING"):
            return "NONE"
        what = self.cursor.expect_word("ALL", "MODIFIED")
        when = self.cursor.expect_word("OLD", "NEW")
        self.cursor.expect("*")
        return f"{'ALL' if what == 'ALL' else 'UPDATED'}_{when}"

    # Updates.

    def _removal(self) -> Action:
        return Action("REMOVE", self.path())

    def _assignment(self) -> Action:
        path = self.path()
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
        subject = self.path()
        self.cursor.expect(",")
        value = self.value()
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
            arguments = self.separated(self.side)
            self.cursor.expect(")")
            return Call(function, arguments)
        return self.side()
