"""PartiQL statements at work: ExecuteStatement, BatchExecuteStatement and ExecuteTransaction."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Item, valid_item
from eventflow.services.partiql.parser import parse
from eventflow.services.partiql.statements import Exists, Parsed, Select
from eventflow.services.tables import items
from eventflow.services.tables.catalog import Catalog
from eventflow.services.tables.constraints import Constraints, table_name
from eventflow.services.tables.definition import Table
from eventflow.services.tables.selection import Selection
from eventflow.services.tables.statementactions import StatementRead, StatementWrite
from eventflow.services.tables.transactions import MOST_ACTIONS, Transactions, check_token, fingerprint_of

T = TypeVar("T")
Params = Mapping[str, Any]
Response = dict[str, Any]

MOST_STATEMENTS = 25
WRONG_TOKEN = "NextToken does not match request"  # noqa: S105 - a text
MIXED = "Statements must be all reads or all writes: a batch or transaction cannot have both"

#: What a statement's refusal is called in the answer to a batch.
CODES = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ItemCollectionSizeLimitExceededException": "ItemCollectionSizeLimitExceeded",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ResourceNotFoundException": "ResourceNotFound",
    "ThrottlingException": "ThrottlingError",
    "ValidationException": "ValidationError",
}


class Statements:
    """The three operations on statements of one account."""

    def __init__(self, database: Database, account: str, catalog: Catalog, transactions: Transactions) -> None:
        self._database = database
        self._account = account
        self._catalog = catalog
        self._transactions = transactions

    async def execute(self, region: str, params: Params) -> Response:
        constraints = Constraints(params).required("Statement").between("Limit", 1)
        constraints.choices("ReturnConsumedCapacity", "ReturnValuesOnConditionCheckFailure").refuse()
        parsed = parse_request(params)
        if isinstance(parsed.statement, Exists):
            raise invalid("EXISTS can only be used in a transaction")
        if isinstance(parsed.statement, Select):
            return await self._select(region, params, parsed, parsed.statement)
        refuse_reading(params)
        write = StatementWrite(parsed, params)
        done = await self._database.write(lambda connection: write.apply(connection, self._table(connection, region, parsed)))
        response: Response = {"Items": [done["Attributes"]] if "Attributes" in done else []}
        return response | ({"ConsumedCapacity": done["ConsumedCapacity"]} if "ConsumedCapacity" in done else {})

    async def _select(self, region: str, params: Params, parsed: Parsed, select: Select) -> Response:
        fingerprint = fingerprint_of([params["Statement"], params.get("Parameters")])[:12].hex()
        start = start_of(params.get("NextToken"), fingerprint)
        selection = Selection(parsed, select, params, start)
        page = await self._database.read(lambda connection: selection.apply(connection, self._table(connection, region, parsed)))
        response: Response = {"Items": page["Items"]}
        if "LastEvaluatedKey" in page:
            response |= {"LastEvaluatedKey": page["LastEvaluatedKey"], "NextToken": token_of(page["LastEvaluatedKey"], fingerprint)}
        return response | ({"ConsumedCapacity": page["ConsumedCapacity"]} if "ConsumedCapacity" in page else {})

    async def batch(self, region: str, params: Params) -> Response:
        """Each statement by itself: what is refused of one stands in its place of the answer."""
        Constraints(params).required("Statements").choices("ReturnConsumedCapacity").refuse()
        requests = params["Statements"]
        refuse_number(requests, "statements", MOST_STATEMENTS)
        capacity = {"ReturnConsumedCapacity": params.get("ReturnConsumedCapacity")}
        parsed = [attempt(partial(parse_request, request)) for request in requests]
        kinds = {isinstance(each.statement, Select) for each in parsed if isinstance(each, Parsed)}
        if len(kinds) > 1:
            raise invalid(MIXED)

        def run(connection: sqlite3.Connection) -> list[Response | ServiceError]:
            return [
                one if isinstance(one, ServiceError) else attempt(partial(self._one, connection, region, one, {**request, **capacity}))
                for one, request in zip(parsed, requests, strict=True)
            ]

        done = await (self._database.read(run) if kinds == {True} else self._database.write(run))
        consumed = [each["ConsumedCapacity"] for each in done if isinstance(each, dict) and "ConsumedCapacity" in each]
        response: Response = {"Responses": [answer_of(each, one) for each, one in zip(done, parsed, strict=True)]}
        return response | ({"ConsumedCapacity": consumed} if consumed else {})

    def _one(self, connection: sqlite3.Connection, region: str, parsed: Parsed, params: Params) -> Response:
        table = self._table(connection, region, parsed)
        if isinstance(parsed.statement, Exists):
            raise invalid("EXISTS can only be used in a transaction")
        if isinstance(parsed.statement, Select):
            return StatementRead(parsed, parsed.statement).apply(connection, table, params)
        return StatementWrite(parsed, params).apply(connection, table)

    async def transaction(self, region: str, params: Params) -> Response:
        """All statements or none; all reads or all writes."""
        constraints = Constraints(params).required("TransactStatements").choices("ReturnConsumedCapacity")
        check_token(constraints, params).refuse()
        requests = params["TransactStatements"]
        refuse_number(requests, "transactStatements", MOST_ACTIONS)
        parsed = [parse_request(request) for request in requests]
        reads = [StatementRead(each, each.statement) for each in parsed if isinstance(each.statement, Select)]
        if reads and len(reads) < len(parsed):
            raise invalid(MIXED)
        if reads:
            return await self._transactions.fetch(region, params, reads)
        indexes = {"ReturnConsumedCapacity": "INDEXES"}
        actions = [(each.table, StatementWrite(each, {**request, **indexes})) for each, request in zip(parsed, requests, strict=True)]
        for _table, action in actions:
            if action.returns.values != "NONE":
                raise invalid("RETURNING cannot be used in a transaction")
        return {"Responses": [{} for _action in actions], **await self._transactions.commit(region, params, actions, fingerprint_of(requests))}

    def _table(self, connection: sqlite3.Connection, region: str, parsed: Parsed) -> Table:
        return self._catalog.get(connection, region, table_name(parsed.table, region, self._account))


def attempt(step: Callable[[], T]) -> T | ServiceError:
    """One statement of a batch: its refusal is its own."""
    try:
        return step()
    except ServiceError as error:
        if error.code not in CODES:
            raise
        return error


def parse_request(request: Params) -> Parsed:
    if request.get("Statement") is None:
        raise invalid("1 validation error detected: Value null at 'statement' failed to satisfy constraint: Member must not be null")
    parameters: Sequence[Any] | None = request.get("Parameters")
    if parameters is not None and not parameters:
        raise invalid(
            "1 validation error detected: Value '[]' at 'parameters' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    return parse(request["Statement"], parameters or ())


def refuse_reading(params: Params) -> None:
    """What only a SELECT can have."""
    for member in ("NextToken", "Limit"):
        if params.get(member) is not None:
            raise invalid(f"{member} can only be used with a SELECT statement")


def refuse_number(requests: Sequence[Any], place: str, most: int) -> None:
    constraints = Constraints({})
    if not 1 <= len(requests) <= most:
        rule = f"less than or equal to {most}" if requests else "greater than or equal to 1"
        constraints.problem(f"[{len(requests)} statements]", place, f"have length {rule}")
    constraints.refuse()


def answer_of(done: Response | ServiceError, parsed: Parsed | ServiceError) -> Response:
    table = {"TableName": parsed.table} if isinstance(parsed, Parsed) else {}
    if isinstance(done, ServiceError):
        item = {"Item": done.members["Item"]} if "Item" in done.members else {}
        return {"Error": {"Code": CODES[done.code], "Message": done.message, **item}, **table}
    found = done.get("Item", done.get("Attributes"))
    return {**({"Item": found} if found is not None else {}), **table}


def token_of(key: Item, fingerprint: str) -> str:
    text, binary = items.dump(key)
    return base64.urlsafe_b64encode(json.dumps([fingerprint, text, binary]).encode()).decode()


def start_of(token: str | None, fingerprint: str) -> Item | None:
    """The key to go on after."""
    if token is None:
        return None
    try:
        made_for, text, binary = json.loads(base64.urlsafe_b64decode(token.encode()))
        key = valid_item(items.load(text, binary))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, ServiceError) as error:
        raise invalid(WRONG_TOKEN) from error
    if made_for != fingerprint:
        raise invalid(WRONG_TOKEN)
    return key
