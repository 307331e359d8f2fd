"""The actions of transactions: each is prepared on arrival, then names the item that it is about and is applied or refused inside the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, item_size, valid_item
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.tables import items
from eventflow.services.tables.capacity import Consumed, write_units
from eventflow.services.tables.constraints import Constraints
from eventflow.services.tables.definition import Table
from eventflow.services.tables.items import Record
from eventflow.services.tables.keys import RowKey
from eventflow.services.tables.writes import DeleteItem, PutItem, Returns, UpdateItem, condition_of, guard, placeholders_of

LARGEST_TRANSACTION = 4 * 1024 * 1024

#: What an action's refusal is called among the reasons for which a transaction was cancelled.
REASONS = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ItemCollectionSizeLimitExceededException": "ItemCollectionSizeLimitExceeded",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ThrottlingException": "ThrottlingError",
    "ValidationException": "ValidationError",
}


class Action(Protocol):
    """One action on one item. ``apply`` returns AWS's response of a single write, with units by index."""

    @property
    def size(self) -> int: ...
    def key(self, table: Table) -> RowKey: ...
    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]: ...


class Put:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self._write = PutItem(params, compiler)
        self.size = self._write.size

    def key(self, table: Table) -> RowKey:
        return table.keys.of_item(self._write.item)

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        return self._write.apply(connection, table)


class Delete:
    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self._write = DeleteItem(params, compiler)
        self.size = item_size(self._write.key)

    def key(self, table: Table) -> RowKey:
        return table.keys.of_key(self._write.key)

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        return self._write.apply(connection, table)


class Update:
    """Its size is that of its key and values: that of the item is known only when it is applied."""

    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self._write = UpdateItem(params, compiler)
        self.size = item_size(self._write.key) + item_size(params.get("ExpressionAttributeValues") or {})

    def key(self, table: Table) -> RowKey:
        return table.keys.of_key(self._write.key)

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        return self._write.apply(connection, table)


class ConditionCheck:
    """A condition on an item that stays as it is."""

    def __init__(self, params: Mapping[str, Any], compiler: Compiler) -> None:
        self._key: Item = valid_item(params["Key"])
        self._returns = Returns(params)
        placeholders = placeholders_of(params)
        self._condition = condition_of(params, placeholders, compiler)
        placeholders.refuse_unused()
        self.size = item_size(self._key)

    def key(self, table: Table) -> RowKey:
        return table.keys.of_key(self._key)

    def apply(self, connection: sqlite3.Connection, table: Table) -> dict[str, Any]:
        record = items.fetch(connection, table, self.key(table))
        guard(self._condition, table, record, self._returns)
        return {"ConsumedCapacity": checked(table, record).report("INDEXES", table.name)}


def checked(table: Table, record: Record | None) -> Consumed:
    """What a condition costs: as much as a write of the item."""
    consumed = Consumed(write_units(record.bytes if record else 0))
    if table.meter is not None:
        table.meter.admit_write()
        table.meter.charge_write(consumed)
    return consumed


def charged_read(table: Table, units: float) -> Consumed:
    """What a read of one item costs, charged to the table's throughput."""
    consumed = Consumed(units)
    if table.meter is not None:
        table.meter.admit_read(None)
        table.meter.charge_read(consumed)
    return consumed


KINDS: Mapping[str, tuple[Callable[[Mapping[str, Any], Compiler], Action], tuple[str, ...]]] = {
    "ConditionCheck": (ConditionCheck, ("TableName", "Key", "ConditionExpression")),
    "Put": (Put, ("TableName", "Item")),
    "Update": (Update, ("TableName", "Key", "UpdateExpression")),
    "Delete": (Delete, ("TableName", "Key")),
}


def refuse_malformed(members: list[Mapping[str, Any]], kinds: tuple[str, ...], most: int) -> None:
    """The shapes of a request's TransactItems."""
    constraints = Constraints({})
    if len(members) > most:
        constraints.problem(f"[{len(members)} items]", "transactItems", f"have length less than or equal to {most}")
    if not members:
        constraints.problem("[]", "transactItems", "have length greater than or equal to 1")
    for number, member in enumerate(members[:most], 1):
        for kind in kinds:
            if member.get(kind) is not None:
                _check(constraints, kind, member[kind], f"transactItems.{number}.member.{kind[0].lower()}{kind[1:]}")
    constraints.refuse()


def _check(constraints: Constraints, kind: str, params: Mapping[str, Any], place: str) -> None:
    required = KINDS[kind][1] if kind in KINDS else ("TableName", "Key")
    for name in required:
        if params.get(name) is None:
            constraints.problem(None, f"{place}.{name[0].lower()}{name[1:]}", "not be null")
    choice = params.get("ReturnValuesOnConditionCheckFailure")
    constraints.choice(choice, f"{place}.returnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"))


def action_of(member: Mapping[str, Any], compiler: Compiler) -> tuple[str, Action]:
    """The table that a member of TransactItems names, and what to do there."""
    found = [kind for kind in KINDS if member.get(kind) is not None]
    if len(found) != 1:
        raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
    params = member[found[0]]
    make, _required = KINDS[found[0]]
    return params["TableName"], make({**params, "ReturnConsumedCapacity": "INDEXES"}, compiler)


def reason_of(error: ServiceError) -> dict[str, Any]:
    """One entry of CancellationReasons; errors of another kind are the whole request's."""
    code = REASONS.get(error.code)
    if code is None:
        raise error
    return {"Code": code, "Message": error.message, **({"Item": error.members["Item"]} if "Item" in error.members else {})}


def cancelled(reasons: list[dict[str, Any]]) -> ServiceError:
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return ServiceError("TransactionCanceledException", message, CancellationReasons=reasons)
