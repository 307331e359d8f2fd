"""PutItem, UpdateItem and DeleteItem: checked on arrival, then applied inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Protocol

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Item, refuse_deep, type_of, valid_item
from eventflow.services.expressions.compiler import Compiler, Filter
from eventflow.services.expressions.drafts import Assignment, Update
from eventflow.services.expressions.paths import Path
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.projections import Projection
from eventflow.services.tables import items
from eventflow.services.tables.collections import collection_metrics
from eventflow.services.tables.constraints import Constraints, refuse_mixed, refuse_stray_placeholders
from eventflow.services.tables.definition import Table
from eventflow.services.tables.items import Record
from eventflow.services.tables.keys import RowKey
from eventflow.services.tables.older import check_older, older_condition, older_update, refuse_idle_operator

PUT_TOO_LARGE = "Item size has exceeded the maximum allowed size"
UPDATE_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"


class Write(Protocol):
    """A write that its own request says nothing against; what the table says comes out of ``apply``, which returns AWS's response."""

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]: ...


class Returns:
    """What a write is to report: old or new attributes, units, and the item that a failed condition met."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.values: str = params.get("ReturnValues") or "NONE"
        self.on_failure: str = params.get("ReturnValuesOnConditionCheckFailure") or "NONE"
        self.capacity: str | None = params.get("ReturnConsumedCapacity")
        self.metrics: str = params.get("ReturnItemCollectionMetrics") or "NONE"

    def metrics_of(self, connection: sqlite3.Connection, table: Table, key: RowKey, item: Item) -> dict[str, Any] | None:
        """What is to be reported of the collection of an item that was written; nothing, where the table has no local indexes."""
        return collection_metrics(connection, table, key, item) if self.metrics == "SIZE" else None


def accept(params: Mapping[str, Any], subject: str, expressions: tuple[str, ...]) -> Returns:
    """The checks that the three writes share; ``subject`` is the member that holds the item or the key."""
    constraints = (
        Constraints(params)
        .required(subject)
        .choices("ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValues", "ReturnValuesOnConditionCheckFailure")
    )
    check_older(constraints, params).refuse()
    refuse_mixed(params)
    refuse_idle_operator(params)
    refuse_stray_placeholders(params, expressions)
    return Returns(params)


def placeholders_of(params: Mapping[str, Any]) -> Placeholders:
    return Placeholders(params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues"))


def condition_of(params: Mapping[str, Any], placeholders: Placeholders, compiler: Compiler) -> Filter | None:
    text = params.get("ConditionExpression")
    return compiler.condition("ConditionExpression", text, placeholders) if text is not None else older_condition(params)


def guard(condition: Filter | None, table: Table, old: Record | None, returns: Returns) -> None:
    if condition is None:
        return
    refuse_nested_keys(table, condition.paths)
    if condition.test(old.item if old else {}):
        return
    members: dict[str, Any] = {"Item": old.item} if old and returns.on_failure == "ALL_OLD" else {}
    raise ServiceError("ConditionalCheckFailedException", "The conditional request failed", **members)


def refuse_nested_keys(table: Table, paths: list[Path]) -> None:
    """Keys are scalars: a path into one can only be a mistake."""
    nested = {path[0] for path in paths if len(path) > 1}
    for name in table.keys.names:
        if name in nested:
            raise invalid(f"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: {name}")
    for index in table.indexes.values():
        for name in index.keys.names:
            if name in nested:
                raise invalid(f"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: {name}")


def response(attributes: Item | None, returns: Returns, consumed: Any, table: Table, metrics: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if attributes:
        found["Attributes"] = attributes
    report = consumed.report(returns.capacity, table.name)
    if report is not None:
        found["ConsumedCapacity"] = report
    if metrics is not None:
        found["ItemCollectionMetrics"] = metrics
    return found


class PutItem:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self.returns = accept(params, "Item", ("ConditionExpression",))
        self.item = valid_item(params["Item"])
        if self.returns.values not in ("NONE", "ALL_OLD"):
            raise invalid("ReturnValues can only be ALL_OLD or NONE")
        self.size = items.fitting(self.item, PUT_TOO_LARGE)
        placeholders = placeholders_of(params)
        self.condition = condition_of(params, placeholders, compiler)
        placeholders.refuse_unused()

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        key = table.keys.of_item(self.item)
        for index in table.indexes.values():
            index.refuse_keys(self.item)
        old = items.fetch(connection, table, key)
        guard(self.condition, table, old, self.returns)
        consumed = items.change(connection, table, key, old, self.item, self.size)
        metrics = self.returns.metrics_of(connection, table, key, self.item)
        return response(old.item if old and self.returns.values == "ALL_OLD" else None, self.returns, consumed, table, metrics)


class DeleteItem:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self.returns = accept(params, "Key", ("ConditionExpression",))
        self.key = valid_item(params["Key"])
        if self.returns.values not in ("NONE", "ALL_OLD"):
            raise invalid("ReturnValues can only be ALL_OLD or NONE")
        placeholders = placeholders_of(params)
        self.condition = condition_of(params, placeholders, compiler)
        placeholders.refuse_unused()

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        key = table.keys.of_key(self.key)
        old = items.fetch(connection, table, key)
        guard(self.condition, table, old, self.returns)
        consumed = items.change(connection, table, key, old, None, 0)
        metrics = self.returns.metrics_of(connection, table, key, self.key)
        return response(old.item if old and self.returns.values == "ALL_OLD" else None, self.returns, consumed, table, metrics)


class UpdateItem:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self.returns = accept(params, "Key", ("UpdateExpression", "ConditionExpression"))
        self.key = valid_item(params["Key"])
        placeholders = placeholders_of(params)
        text = params.get("UpdateExpression")
        self.update = compiler.update(text, placeholders) if text is not None else older_update(params) or Update(())
        self.condition = condition_of(params, placeholders, compiler)
        placeholders.refuse_unused()

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        key = table.keys.of_key(self.key)
        self._refuse_keys(table)
        old = items.fetch(connection, table, key)
        guard(self.condition, table, old, self.returns)
        new = self._next(table, old)
        size = items.fitting(new, UPDATE_TOO_LARGE) if new is not None else 0
        consumed = items.change(connection, table, key, old, new, size)
        metrics = self.returns.metrics_of(connection, table, key, self.key)
        return response(self._attributes(old, new), self.returns, consumed, table, metrics)

    def _next(self, table: Table, old: Record | None) -> Item | None:
        """The item after the update. Where there was none, one of REMOVE and DELETE alone makes none, and its paths need not lead anywhere."""
        if old is None and self.update.assignments and not self.update.creates:
            return None
        new = self.update.apply(old.item if old else self.key)
        for path in self.update.paths:
            if path[0] in new:
                refuse_deep(new[str(path[0])])
        self._refuse_index_keys(table, new)
        return new

    def _attributes(self, old: Record | None, new: Item | None) -> Item | None:
        mode = self.returns.values
        image = (old.item if old else None) if mode.endswith("_OLD") else new
        if mode == "NONE" or image is None:
            return None
        return image if mode.startswith("ALL") else Projection(self.update.paths).of(image)

    def _refuse_keys(self, table: Table) -> None:
        touched = {path[0] for path in self.update.paths}
        for name in table.keys.names:
            if name in touched:
                raise invalid_parameters(f"Cannot update attribute {name}. This attribute is part of the key")
        for assignment in self.update.assignments:
            if len(assignment.path) == 1 and assignment.literal is not None:
                self._refuse_literal(table, assignment)
        refuse_nested_keys(table, self.update.paths)

    def _refuse_literal(self, table: Table, assignment: Assignment) -> None:
        for index in table.indexes.values():
            for name, kind in index.keys.parts:
                if assignment.path == (name,) and assignment.literal != kind:
                    raise index.mismatch(name, kind, str(assignment.literal))

    def _refuse_index_keys(self, table: Table, new: Item) -> None:
        """Values that turned out in the update to be no keys of an index."""
        touched = {path[0] for path in self.update.paths}
        for index in table.indexes.values():
            for name, kind in index.keys.parts:
                if name in touched and name in new and type_of(new[name]) != kind:
                    raise invalid("The update expression attempted to update the secondary index key to unsupported type")
            if touched & set(index.keys.names):
                index.refuse_keys(new)
