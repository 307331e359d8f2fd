"""What one statement does with one item: INSERT, UPDATE, DELETE and EXISTS as writes and checks, SELECT by a whole key as a read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, item_size, valid_item
from eventflow.services.expressions import drafts
from eventflow.services.expressions.compiler import Filter
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.projections import Projection, bind_projection
from eventflow.services.partiql.statements import Delete, Exists, Insert, Parsed, Select, Update
from eventflow.services.tables import items
from eventflow.services.tables.actions import charged_read, checked
from eventflow.services.tables.capacity import read_units
from eventflow.services.tables.definition import Table
from eventflow.services.tables.keys import RowKey
from eventflow.services.tables.selection import NO_KEY, bound, one_key, placeholders_of
from eventflow.services.tables.writes import PUT_TOO_LARGE, DeleteItem, PutItem, Returns, UpdateItem, guard

DUPLICATE = "Duplicate primary key exists in table"
NO_INDEX = "An index has no items of its own: name the table alone"
NO_KEY_TO_READ = "Select statements within BatchExecuteStatement must specify the primary key in the where clause."


class _Put(PutItem):
    def __init__(self, item: Item, size: int, returns: Returns) -> None:
        self.item, self.size, self.returns, self.condition = item, size, returns, None


class _Delete(DeleteItem):
    def __init__(self, key: Item, condition: Filter | None, returns: Returns) -> None:
        self.key, self.condition, self.returns = key, condition, returns


class _Update(UpdateItem):
    def __init__(self, key: Item, update: drafts.Update, condition: Filter, returns: Returns) -> None:
        self.key, self.update, self.condition, self.returns = key, update, condition, returns


class StatementWrite:
    """A statement that writes or checks, with nothing in its text against it: an ``Action`` of a transaction, or a write by itself."""

    def __init__(self, parsed: Parsed, params: Mapping[str, Any]) -> None:
        statement = parsed.statement
        self._statement = statement
        self._placeholders = placeholders_of(parsed)
        self.returns = Returns({**params, "ReturnValues": statement.returning if isinstance(statement, Update | Delete) else None})
        self.size = item_size(parsed.values)
        if isinstance(statement, Insert):
            self._item = valid_item(statement.item)
            self.size = items.fitting(self._item, PUT_TOO_LARGE)
            return
        self._where = statement.select.where if isinstance(statement, Exists) else statement.where if isinstance(statement, Update | Delete) else None
        bound(self._where, self._placeholders)
        if isinstance(statement, Update):
            self._update = bound_update(statement, self._placeholders)
        if isinstance(statement, Exists) and statement.select.index is not None:
            raise invalid(NO_INDEX)

    def key(self, table: Table) -> RowKey:
        return table.keys.of_item(self._item) if isinstance(self._statement, Insert) else table.keys.of_key(self._named(table)[0])

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        statement = self._statement
        if isinstance(statement, Insert):
            if items.fetch(connection, table, self.key(table)) is not None:
                raise ServiceError("DuplicateItemException", DUPLICATE)
            return _Put(self._item, self.size, self.returns).apply(connection, table)
        key, condition = self._named(table)
        if isinstance(statement, Update):
            return _Update(key, self._update, there(condition), self.returns).apply(connection, table)
        if isinstance(statement, Exists):
            return self._check(connection, table, key, there(condition))
        missing = items.fetch(connection, table, table.keys.of_key(key)) is None
        return _Delete(key, None if missing else condition, self.returns).apply(connection, table)  # to delete nothing is no failure

    def _check(self, connection: sqlite3.Connection, table: Table, key: Item, condition: Filter) -> dict[str, Any]:
        record = items.fetch(connection, table, table.keys.of_key(key))
        guard(condition, table, record, self.returns)
        return {"ConsumedCapacity": checked(table, record).report("INDEXES", table.name)}

    def _named(self, table: Table) -> tuple[Item, Filter | None]:
        """The key of the item, and what else is asked of it."""
        key, rest = one_key(self._where, table.keys, self._placeholders)
        return key, bound(rest, self._placeholders)


def bound_update(statement: Update, placeholders: Placeholders) -> drafts.Update:
    try:
        return drafts.bind_update(statement.actions, placeholders)
    except ExpressionError as error:
        raise invalid(str(error)) from error


def there(condition: Filter | None) -> Filter:
    """The condition that the item is there, and fulfils another."""
    if condition is None:
        return Filter(bool, [])
    return Filter(lambda item: bool(item) and condition.test(item), condition.paths)


class StatementRead:
    """A SELECT of one item by its whole key."""

    def __init__(self, parsed: Parsed, select: Select) -> None:
        if select.index is not None:
            raise invalid(NO_INDEX)
        self.table = select.table
        self._where = select.where
        self._placeholders = placeholders_of(parsed)
        self._filter: Filter | None = None
        self._projection: Projection | None = None
        bound(select.where, self._placeholders)
        if select.paths is not None:
            try:
                self._projection = bind_projection(select.paths, self._placeholders)
            except ExpressionError as error:
                raise invalid(str(error)) from error

    def key(self, table: Table) -> RowKey:
        key, rest = one_key(self._where, table.keys, self._placeholders)
        self._filter = bound(rest, self._placeholders)
        return table.keys.of_key(key)

    def shown(self, item: Item) -> Item | None:
        if self._filter is not None and not self._filter.test(item):
            return None
        return self._projection.of(item) if self._projection else item

    def apply(self, connection: sqlite3.Connection, table: Table, params: Mapping[str, Any]) -> dict[str, Any]:
        """The item, as GetItem answers."""
        try:
            key = self.key(table)
        except ServiceError as error:
            if error.message != NO_KEY:
                raise
            raise invalid(NO_KEY_TO_READ) from error
        record = items.fetch(connection, table, key)
        consumed = charged_read(table, read_units(record.bytes if record else 0, bool(params.get("ConsistentRead"))))
        report = consumed.report(params.get("ReturnConsumedCapacity"), table.name)
        shown = self.shown(record.item) if record else None
        return {**({"Item": shown} if shown is not None else {}), **({"ConsumedCapacity": report} if report is not None else {})}
