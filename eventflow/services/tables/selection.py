"""A SELECT as a reading of a table or an index: the key ranges that its conditions come to, and the filter that is left of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, Value
from eventflow.services.expressions.compiler import Filter
from eventflow.services.expressions.conditions import Between, Comparison, Condition, Junction, Membership, Predicate, paths_of
from eventflow.services.expressions.keyconditions import MIRRORED, KeyTest
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.operands import Operand, PathOperand, ValueOperand
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.predicates import bind
from eventflow.services.expressions.projections import bind_projection
from eventflow.services.partiql.statements import Parsed, Select
from eventflow.services.tables.definition import Index, Table
from eventflow.services.tables.keys import KeySchema, RowKey
from eventflow.services.tables.pages import Reading, Row, read_page
from eventflow.services.tables.query import Bounds, Query, key_range
from eventflow.services.tables.scan import Scan

NO_WHERE = "Must have WHERE clause in the statement when using ORDER BY clause."
NO_HASH = "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause."
SEVERAL_HASHES = "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause."
NO_KEY = "Where clause does not contain a mandatory equality on all key attributes"


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions of a WHERE that all must hold: those of the key's attributes as tests, and the others."""

    hashes: tuple[Value, ...]
    sort: KeyTest | None
    rest: Condition | None


def placeholders_of(parsed: Parsed) -> Placeholders:
    return Placeholders(parsed.names or None, parsed.values or None)


def bound(condition: Condition | None, placeholders: Placeholders) -> Filter | None:
    """The condition as a test of items."""
    if condition is None:
        return None
    try:
        return Filter(bind(condition, placeholders), [placeholders.path(path) for path in paths_of(condition)])
    except ExpressionError as error:
        raise invalid(str(error)) from error


def terms_of(where: Condition | None, keys: KeySchema, placeholders: Placeholders) -> Terms:
    """What a WHERE says of a key: one ``=`` or IN for its hash, and one test that makes a range of its sort."""
    hashes: tuple[Value, ...] = ()
    sort: KeyTest | None = None
    rest: list[Condition] = []
    for part in conjuncts(where):
        name, test = key_test(part, placeholders)
        if test is not None and name == keys.hash and test.operator in ("=", "IN") and not hashes:
            hashes = test.values
        elif test is not None and name is not None and name == keys.sort and test.operator != "IN" and sort is None:
            sort = test
        else:
            rest.append(part)
    if not hashes and sort is not None:  # without its hash a sort key is an attribute like others
        return Terms((), None, where)
    left = None if not rest else rest[0] if len(rest) == 1 else Junction("AND", tuple(rest))
    return Terms(hashes, sort, left)


def conjuncts(where: Condition | None) -> Iterable[Condition]:
    if isinstance(where, Junction) and where.word == "AND":
        for part in where.conditions:
            yield from conjuncts(part)
    elif where is not None:
        yield where


def key_test(condition: Condition, placeholders: Placeholders) -> tuple[str | None, KeyTest | None]:
    """The attribute and the test of a condition that a key could have."""
    operator, operands = _parts(condition)
    attribute = [operand for operand in operands if isinstance(operand, PathOperand)]
    values = tuple(placeholders.value(operand.name) for operand in operands if isinstance(operand, ValueOperand))
    if operator is None or len(attribute) != 1 or len(values) != len(operands) - 1 or len(attribute[0].path) > 1:
        return None, None
    if operands[0] is not attribute[0]:
        if operator not in MIRRORED:
            return None, None
        operator = MIRRORED[operator]
    return str(placeholders.path(attribute[0].path)[0]), KeyTest(operator, values)


def _parts(condition: Condition) -> tuple[str | None, Sequence[Operand]]:
    if isinstance(condition, Comparison) and condition.operator in MIRRORED:
        return condition.operator, (condition.left, condition.right)
    if isinstance(condition, Between):
        return "BETWEEN", (condition.subject, condition.low, condition.high)
    if isinstance(condition, Membership):
        return "IN", (condition.subject, *condition.choices)
    if isinstance(condition, Predicate) and condition.call.function == "begins_with" and len(condition.call.arguments) == 2:
        return "begins_with", condition.call.arguments
    return None, ()


def one_key(where: Condition | None, keys: KeySchema, placeholders: Placeholders) -> tuple[Item, Condition | None]:
    """The item that a WHERE names by its key, and what else it says."""
    terms = terms_of(where, keys, placeholders)
    if len(terms.hashes) != 1 or (keys.sort is not None and (terms.sort is None or terms.sort.operator != "=")):
        raise invalid(NO_KEY)
    key = {keys.hash: terms.hashes[0]}
    if keys.sort is not None and terms.sort is not None:
        key[keys.sort] = terms.sort.values[0]
    return key, terms.rest


class _Ranges(Query):
    """A Query's ways to rows, without its request."""

    def __init__(self, forward: bool) -> None:
        self.forward = forward

    def rows(
        self, connection: sqlite3.Connection, table: Table, index: Index | None, hash_key: bytes, bounds: Bounds, start: tuple[RowKey, RowKey] | None
    ) -> Iterable[Row]:
        if index is not None:
            yield from self._entries(connection, index, hash_key, bounds, start)
        else:
            yield from self._items(connection, table, hash_key, bounds, start)


class _Whole(Scan):
    """A Scan's ways to rows, without its request."""

    def __init__(self) -> None:
        self.segment, self.segments = 0, 1

    def rows(self, connection: sqlite3.Connection, table: Table, index: Index | None, start: tuple[RowKey, RowKey] | None) -> Iterable[Row]:
        return self._entries(connection, index, start) if index is not None else self._items(connection, table, start)


class Selection(Reading):
    """A SELECT that its own text says nothing against. ``start`` is the LastEvaluatedKey of the page before."""

    def __init__(self, parsed: Parsed, select: Select, params: Mapping[str, Any], start: Item | None = None) -> None:
        super().__init__(params, select.index, start, placeholders_of(parsed))
        self._statement = select
        bound(select.where, self.placeholders)
        try:
            if select.paths is not None:
                self.projection = bind_projection(select.paths, self.placeholders)
        except ExpressionError as error:
            raise invalid(str(error)) from error

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        index = self.index_of(table)
        keys = index.keys if index else table.keys
        terms = terms_of(self._statement.where, keys, self.placeholders)
        descending = self._descending(keys, terms)
        self.filter = bound(terms.rest, self.placeholders)
        start = self.start_in(table, index)
        if not terms.hashes:
            return read_page(self, table, index, _Whole().rows(connection, table, index, start))
        return read_page(self, table, index, self._ranges(connection, table, index, terms, descending, start))

    def _ranges(
        self,
        connection: sqlite3.Connection,
        table: Table,
        index: Index | None,
        terms: Terms,
        descending: Mapping[str, bool],
        start: tuple[RowKey, RowKey] | None,
    ) -> Iterable[Row]:
        """The rows of each hash in turn, in the order that was asked for."""
        keys = index.keys if index else table.keys
        bounds: dict[bytes, Bounds] = {}
        for value in terms.hashes:
            tests = {keys.hash: KeyTest("=", (value,)), **({keys.sort: terms.sort} if keys.sort is not None and terms.sort is not None else {})}
            hash_key, bounds_here = key_range(keys, tests)
            bounds[hash_key] = bounds_here
        backwards = descending.get(keys.hash, False)
        hashes = sorted(bounds, reverse=backwards)
        if start is not None:
            hashes = [each for each in hashes if (each <= start[0].hash if backwards else each >= start[0].hash)]
        ways = _Ranges(forward=not descending.get(keys.sort or "", False))
        return chain.from_iterable(
            ways.rows(connection, table, index, each, bounds[each], start if start and start[0].hash == each else None) for each in hashes
        )

    def _descending(self, keys: KeySchema, terms: Terms) -> dict[str, bool]:
        order = dict(self._statement.order)
        if not order:
            return {}
        if self._statement.where is None:
            raise invalid(NO_WHERE)
        if not terms.hashes:
            raise invalid(NO_HASH)
        for name in order:
            if name not in keys.names:
                raise invalid(f"Variable reference {name} in ORDER BY clause must be part of the primary key")
        if len(terms.hashes) > 1 and next(iter(order)) != keys.hash:
            raise invalid(SEVERAL_HASHES)
        return order
