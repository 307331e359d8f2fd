"""What is returned whole may be the text that is stored: it says the same, and what is not whole is never a text."""

from __future__ import annotations

from typing import Any

import pytest
from table_bench import REGION, Bench, definition, index, run

from eventflow.services.tables import items

MORE: tuple[dict[str, Any], ...] = (
    {},
    {"text": {"S": 'käse "\\\n\u2028\U0001f600'}},
    {"bytes": {"B": b"\0\xff"}, "set": {"BS": [b"1", b""]}, "B": {"S": "not binary"}},
    {"map": {"M": {"B": {"B": b"deep"}, "list": {"L": [{"N": "1.5"}, {"NULL": True}, {"BOOL": False}]}}}},
    {"numbers": {"NS": ["1", "10000000000000000000000000000000000001"]}},
)
ROWS = [{"pk": {"S": "a"}, "sk": {"N": str(number)}, "other": {"S": f"o{number % 2}"}, **more} for number, more in enumerate(MORE)]
READS: list[tuple[str, dict[str, Any]]] = [
    ("query", {}),
    ("query", {"ScanIndexForward": False}),
    ("query", {"Limit": 2}),
    ("query", {"Limit": 5}),
    ("query", {"ExclusiveStartKey": {"pk": {"S": "a"}, "sk": {"N": "4"}}}),
    ("query", {"Select": "COUNT"}),
    ("query", {"Select": "COUNT", "Limit": 3}),
    ("query", {"IndexName": "everything"}),
    ("query", {"IndexName": "everything", "Limit": 1}),
    ("query", {"IndexName": "keys"}),
    ("query", {"IndexName": "keys", "Select": "ALL_ATTRIBUTES"}),
    ("query", {"ProjectionExpression": "sk"}),
    ("query", {"FilterExpression": "attribute_exists(bytes)"}),
    ("query", {"ReturnConsumedCapacity": "TOTAL"}),
    ("scan", {}),
    ("scan", {"Limit": 3}),
    ("scan", {"IndexName": "keys"}),
    ("scan", {"FilterExpression": "attribute_exists(bytes)"}),
    ("scan", {"Select": "COUNT"}),
]
NARROW = ("ProjectionExpression", "FilterExpression")


@pytest.mark.parametrize("operation, params", READS)
def test_a_text_says_what_its_items_say(operation: str, params: dict[str, Any]) -> None:
    found: list[dict[str, Any]] = []

    async def both(bench: Bench) -> None:
        local = [index("everything", "pk", "other"), index("keys", "pk", "other", projection="KEYS_ONLY")]
        await bench("CreateTable", **definition("table", "pk:S", "sk:N", attributes=["other:S"], LocalSecondaryIndexes=local))
        for row in ROWS:
            await bench("PutItem", TableName="table", Item=row)
        wanted = {"TableName": "table", **params}
        if operation == "query":
            wanted |= {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
        read = getattr(bench.tables, operation)
        found.extend((await read(REGION, wanted), await read(REGION, wanted, texts=True)))

    run(both)
    plain, spliced = found
    if "Items" in plain:
        whole = not any(name in params for name in NARROW) and not (params.get("IndexName") == "keys" and "Select" not in params)
        assert isinstance(spliced["Items"], str) is whole
        if whole:
            spliced["Items"] = items.load(spliced["Items"], 1)
    assert spliced == plain


def test_an_item_is_its_text_unless_a_part_of_it_was_asked_for() -> None:
    found: list[dict[str, Any]] = []

    async def reads(bench: Bench) -> None:
        await bench("CreateTable", **definition("table", "pk:S", "sk:N"))
        for row in ROWS:
            await bench("PutItem", TableName="table", Item=row)
        keys = [{"TableName": "table", "Key": {"pk": row["pk"], "sk": row["sk"]}} for row in ROWS]
        missing = {"TableName": "table", "Key": {"pk": {"S": "none"}, "sk": {"N": "1"}}}
        part = {**keys[3], "ProjectionExpression": "sk"}
        found.extend([await bench.tables.get_item(REGION, params, texts=True) for params in (*keys, missing, part)])

    run(reads)
    *whole, missing, part = found
    assert [items.load(one["Item"], 1) for one in whole] == ROWS
    assert missing == {}
    assert part == {"Item": {"sk": {"N": "3"}}}
