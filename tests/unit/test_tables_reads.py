"""Query and Scan: against a model that sorts and filters in Python, and their pages, indexes, selections and refusals."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_bench import Bench, definition, index, item, run, value, values

from eventflow.errors import ServiceError
from eventflow.services.tables import items, query, scan


async def pages(bench: Bench, operation: str, **params: Any) -> tuple[list[dict[str, Any]], int]:
    """All items, page by page, and how many pages that were."""
    found: list[dict[str, Any]] = []
    count = 0
    while True:
        page = await bench(operation, **params)
        count += 1
        assert count < 100, "pages without end"
        found += page["Items"]
        assert page["Count"] == len(page["Items"])
        if "LastEvaluatedKey" not in page:
            return found, count
        params["ExclusiveStartKey"] = page["LastEvaluatedKey"]


SORT_KEYS: dict[str, Any] = {
    "S": st.text(st.sampled_from("abé\U0001f600\x00\uffff"), min_size=1, max_size=3).map(lambda text: {"S": text}),
    "B": st.binary(min_size=1, max_size=2).map(lambda data: {"B": data}),
    "N": st.one_of(st.integers(-30, 30).map(str), st.decimals(-3, 3, places=2).map(lambda number: str(number.normalize()))).map(
        lambda text: {"N": text}
    ),
}
ORDERS: dict[str, Callable[[Any], Any]] = {"S": lambda key: key["S"].encode(), "B": lambda key: key["B"], "N": lambda key: Decimal(key["N"])}


@st.composite
def partitions(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], str, list[dict[str, Any]], bool, int]:
    kind = draw(st.sampled_from(sorted(SORT_KEYS)))
    order = ORDERS[kind]
    keys = draw(st.lists(SORT_KEYS[kind], max_size=12, unique_by=order))
    operators = ["=", "<", "<=", ">", ">=", "BETWEEN", "all", *([] if kind == "N" else ["begins_with"])]
    bounds = sorted(draw(st.lists(SORT_KEYS[kind], min_size=2, max_size=2)), key=order)
    return kind, keys, draw(st.sampled_from(operators)), bounds, draw(st.booleans()), draw(st.integers(1, 5))


TESTS: dict[str, Callable[[Any, Any, Any], bool]] = {
    "=": lambda key, low, high: key == low,
    "<": lambda key, low, high: key < low,
    "<=": lambda key, low, high: key <= low,
    ">": lambda key, low, high: key > low,
    ">=": lambda key, low, high: key >= low,
    "BETWEEN": lambda key, low, high: low <= key <= high,
    "begins_with": lambda key, low, high: key.startswith(low),
    "all": lambda key, low, high: True,
}
TEXTS = {"BETWEEN": "p = :p AND q BETWEEN :a AND :b", "begins_with": "p = :p AND begins_with(q, :a)", "all": "p = :p"}


@settings(max_examples=40, deadline=None)
@given(partitions())
def test_queries_find_what_a_sorted_list_has(case: tuple[str, list[Any], str, list[Any], bool, int]) -> None:
    kind, keys, name, (low, high), forward, limit = case
    order, test = ORDERS[kind], TESTS[name]
    expected = sorted((key for key in keys if test(order(key), order(low), order(high))), key=order, reverse=not forward)

    async def scenario(bench: Bench) -> None:
        indexes = [index("gsi", "g", "q"), index("hash-only", "g")]
        await bench("CreateTable", **definition("ttt", "p:S", f"q:{kind}", attributes=["g:S"], GlobalSecondaryIndexes=indexes))
        for position, key in enumerate(keys):
            for hash_key in ("1", "2"):
                await bench("PutItem", TableName="ttt", Item={"p": value(hash_key), "q": key, "g": value(hash_key), "n": value(position)})
        text = TEXTS.get(name, f"p = :p AND q {name} :a")
        named = {":p": value("1"), **({":a": low} if ":a" in text else {}), **({":b": high} if ":b" in text else {})}
        params = {"KeyConditionExpression": text, "ExpressionAttributeValues": named, "ScanIndexForward": forward, "Limit": limit}
        found, _count = await pages(bench, "Query", TableName="ttt", **params)
        assert [each["q"] for each in found] == expected
        found, _count = await pages(
            bench, "Query", TableName="ttt", IndexName="gsi", **{**params, "KeyConditionExpression": text.replace("p =", "g =")}
        )
        assert [each["q"] for each in found] == expected
        if name == "all":
            params["KeyConditionExpression"] = "g = :p"
            found, _count = await pages(bench, "Query", TableName="ttt", IndexName="hash-only", **params)
            assert [each["q"] for each in found] == expected

    run(scenario)


def test_a_scan_sees_every_item_once_in_any_number_of_segments() -> None:
    async def scenario(bench: Bench) -> None:
        await bench(
            "CreateTable", **definition("ttt", "p:S", "q:N", attributes=["g:S"], GlobalSecondaryIndexes=[index("gsi", "g", projection="KEYS_ONLY")])
        )
        everything = [item(p=f"hash-{number % 7}", q=number, **({"g": str(number % 3)} if number % 2 else {})) for number in range(60)]
        for start in range(0, 60, 20):
            await bench("BatchWriteItem", RequestItems={"ttt": [{"PutRequest": {"Item": each}} for each in everything[start : start + 20]]})

        def by_number(found: list[Any]) -> list[Any]:
            return sorted(found, key=lambda each: Decimal(each["q"]["N"]))

        found, count = await pages(bench, "Scan", TableName="ttt", Limit=7)
        assert by_number(found) == everything
        assert count == 9
        assert found == (await pages(bench, "Scan", TableName="ttt"))[0], "a scan's order does not depend on its pages"
        for segments in (1, 2, 5, 1_000_000):
            parts = range(segments) if segments < 10 else [0, 1, segments - 1]
            pieces = [await pages(bench, "Scan", TableName="ttt", Segment=part, TotalSegments=segments, Limit=3) for part in parts]
            if segments < 10:
                assert by_number([each for piece, _count in pieces for each in piece]) == everything
        found, _count = await pages(bench, "Scan", TableName="ttt", IndexName="gsi", Limit=4)
        assert by_number(found) == [each for each in everything if "g" in each]
        found, _count = await pages(bench, "Scan", TableName="ttt", FilterExpression="p = :p", ExpressionAttributeValues=values(p="hash-3"), Limit=5)
        assert by_number(found) == [each for each in everything if each["p"] == value("hash-3")]

    run(scenario)


def test_a_page_ends_at_the_limit_or_at_a_megabyte_and_counts_what_it_read() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", "q:S"))
        for number in range(20):
            await bench.put("ttt", p="1", q=f"{number:03}", keep=number % 2, filler="x" * 60_000)
        query = {"TableName": "ttt", "KeyConditionExpression": "p = :p", "ReturnConsumedCapacity": "TOTAL"}
        page = await bench("Query", **query, ExpressionAttributeValues=values(p="1"))
        assert (page["Count"], page["ScannedCount"]) == (18, 18)
        assert page["LastEvaluatedKey"] == item(p="1", q="017")
        assert page["ConsumedCapacity"]["CapacityUnits"] == 132.0
        filtered = await bench("Query", **query, FilterExpression="keep = :k", ExpressionAttributeValues=values(p="1", k=1), Limit=5)
        assert (filtered["Count"], filtered["ScannedCount"]) == (2, 5)
        assert filtered["LastEvaluatedKey"] == item(p="1", q="004")
        counted = await bench("Query", **query, ExpressionAttributeValues=values(p="1"), Select="COUNT", Limit=20)
        assert "Items" not in counted
        nothing = await bench("Query", **query, ExpressionAttributeValues=values(p="none"), ConsistentRead=True)
        assert nothing == {"Count": 0, "ScannedCount": 0, "Items": [], "ConsumedCapacity": {"TableName": "ttt", "CapacityUnits": 1.0}}
        exact = await bench("Query", **query, ExpressionAttributeValues=values(p="1"), ProjectionExpression="q", Limit=2, ScanIndexForward=False)
        assert exact["Items"] == [item(q="019"), item(q="018")]
        assert len((await bench("Scan", TableName="ttt"))["Items"]) == 18

    run(scenario)


async def with_indexes(bench: Bench) -> None:
    await bench(
        "CreateTable",
        **definition(
            "ttt",
            "p:S",
            "q:S",
            attributes=["g:N", "l:S"],
            GlobalSecondaryIndexes=[index("gsi", "g", "l", projection="INCLUDE", attributes=["x"])],
            LocalSecondaryIndexes=[index("lsi", "p", "l", projection="KEYS_ONLY")],
        ),
    )


def test_indexes_show_what_is_projected_and_follow_every_change() -> None:
    async def scenario(bench: Bench) -> None:
        await with_indexes(bench)

        async def ask(name: str, key: str, wanted: Any, **params: Any) -> Any:
            return await bench(
                "Query", TableName="ttt", IndexName=name, KeyConditionExpression=f"{key} = :k", ExpressionAttributeValues=values(k=wanted), **params
            )

        await bench.put("ttt", p="1", q="a", g=7, l="z", x=1, y=1)
        await bench.put("ttt", p="1", q="b", g=7, l="m", x=2, y=2)
        await bench.put("ttt", p="1", q="c", l="a")
        assert (await ask("gsi", "g", 7))["Items"] == [item(p="1", q="b", g=7, l="m", x=2), item(p="1", q="a", g=7, l="z", x=1)]
        assert [each["q"]["S"] for each in (await ask("lsi", "p", "1"))["Items"]] == ["c", "b", "a"]
        assert (await ask("lsi", "p", "1", Limit=1))["Items"] == [item(p="1", q="c", l="a")]
        page = await ask("gsi", "g", 7, Limit=1)
        assert page["LastEvaluatedKey"] == item(p="1", q="b", g=7, l="m")
        await bench("UpdateItem", TableName="ttt", Key=item(p="1", q="b"), UpdateExpression="SET g = :v", ExpressionAttributeValues=values(v=8))
        assert [each["q"]["S"] for each in (await ask("gsi", "g", 7))["Items"]] == ["a"]
        assert [each["q"]["S"] for each in (await ask("gsi", "g", 8))["Items"]] == ["b"]
        await bench.put("ttt", p="1", q="a", l="z")
        assert (await ask("gsi", "g", 7))["Items"] == []
        await bench("DeleteItem", TableName="ttt", Key=item(p="1", q="b"))
        assert (await ask("gsi", "g", 8))["Items"] == []
        assert [each["q"]["S"] for each in (await ask("lsi", "p", "1", ScanIndexForward=False))["Items"]] == ["a", "c"]

    run(scenario)


def test_a_local_index_fetches_from_the_table_what_it_lacks() -> None:
    async def scenario(bench: Bench) -> None:
        await with_indexes(bench)
        await bench.put("ttt", p="1", q="a", l="z", x=1, y=1)
        query = {"TableName": "ttt", "IndexName": "lsi", "KeyConditionExpression": "p = :k", "ReturnConsumedCapacity": "INDEXES"}

        async def ask(**params: Any) -> Any:
            return await bench("Query", **query, **{"ExpressionAttributeValues": values(k="1"), **params})

        plain = await ask()
        assert plain["Items"] == [item(p="1", q="a", l="z")]
        assert plain["ConsumedCapacity"]["Table"] == {"CapacityUnits": 0.0}
        assert plain["ConsumedCapacity"]["LocalSecondaryIndexes"] == {"lsi": {"CapacityUnits": 0.5}}
        everything = await ask(Select="ALL_ATTRIBUTES", ConsistentRead=True)
        assert everything["Items"] == [item(p="1", q="a", l="z", x=1, y=1)]
        assert everything["ConsumedCapacity"]["CapacityUnits"] == 2.0
        assert (await ask(ProjectionExpression="x"))["Items"] == [item(x=1)]
        assert (await ask(FilterExpression="y = :y", ExpressionAttributeValues=values(k="1", y=1)))["Count"] == 1
        assert (await ask(Select="ALL_PROJECTED_ATTRIBUTES"))["Items"] == [item(p="1", q="a", l="z")]

    run(scenario)


def test_items_with_equal_index_keys_page_without_loss_even_when_the_last_one_is_deleted() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("gsi", "g")]))
        for number in range(9):
            await bench.put("ttt", p=str(number), g="same")
        query = {"TableName": "ttt", "IndexName": "gsi", "KeyConditionExpression": "g = :g", "ExpressionAttributeValues": values(g="same")}
        page = await bench("Query", **query, Limit=4)
        await bench("DeleteItem", TableName="ttt", Key=item(p="3"))
        rest = await bench("Query", **query, ExclusiveStartKey=page["LastEvaluatedKey"])
        assert [each["p"]["S"] for each in page["Items"] + rest["Items"]] == list("012345678")
        back = await bench("Query", **query, ExclusiveStartKey=item(p="4", g="same"), ScanIndexForward=False)
        assert [each["p"]["S"] for each in back["Items"]] == ["2", "1", "0"]

    run(scenario)


START = "The provided starting key is invalid"


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("Query", {}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
        ("Query", {"KeyConditionExpression": "q = :k"}, "Query condition missed key schema element: p"),
        ("Query", {"KeyConditionExpression": "x = :k"}, "Query condition missed key schema element: p"),
        ("Query", {"KeyConditionExpression": "p = :k AND x = :k"}, "Query condition missed key schema element: q"),
        ("Query", {"KeyConditionExpression": "p < :k"}, "Query key condition not supported"),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "ExpressionAttributeValues": values(k=1)},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "ExpressionAttributeValues": values(k="")},
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "Limit": 0},
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "Scan",
            {"Limit": 0},
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        ("Query", {"KeyConditionExpression": "p = :k", "IndexName": "none"}, "The table does not have the specified index: none"),
        (
            "Query",
            {"KeyConditionExpression": "g = :k", "IndexName": "gsi", "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "Select": "INVALID"},
            (
                "1 validation error detected: Value 'INVALID' at 'select' failed to satisfy constraint: Member must satisfy enum value set: "
                "[SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]"
            ),
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "Select": "COUNT", "ProjectionExpression": "x"},
            "Cannot specify the ProjectionExpression when choosing to get only the Count",
        ),
        (
            "Scan",
            {"Select": "SPECIFIC_ATTRIBUTES"},
            (
                "One or more parameter values were invalid: Must specify the AttributesToGet or ProjectionExpression "
                "when choosing to get SPECIFIC_ATTRIBUTES"
            ),
        ),
        (
            "Scan",
            {"IndexName": "gsi", "Select": "ALL_ATTRIBUTES"},
            (
                "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index gsi "
                "because its projection type is not ALL"
            ),
        ),
        (
            "Scan",
            {"IndexName": "gsi", "ProjectionExpression": "x, y, z"},
            "One or more parameter values were invalid: Global secondary index gsi does not project [y, z]",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "FilterExpression": "attribute_exists(q)"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: q",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "QueryFilter": {}},
            (
                "Can not use both expression and non-expression parameters in the same request: "
                "Non-expression parameters: {QueryFilter} Expression parameters: {KeyConditionExpression}"
            ),
        ),
        ("Query", {"KeyConditions": {}}, "Conditions can be of length 1 or 2 only"),
        ("Scan", {"ExclusiveStartKey": item(p="1")}, f"{START}: The provided key element does not match the schema"),
        ("Scan", {"ExclusiveStartKey": item(p="1", q=2)}, f"{START}: The provided key element does not match the schema"),
        ("Scan", {"IndexName": "gsi", "ExclusiveStartKey": item(p="1", q="2")}, START),
        (
            "Query",
            {"KeyConditionExpression": "p = :k", "ExclusiveStartKey": item(p="other", q="2")},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            "Query",
            {"KeyConditionExpression": "p = :k AND q > :k", "ExclusiveStartKey": item(p="k", q="a")},
            "The provided starting key does not match the range key predicate",
        ),
        (
            "Scan",
            {"Segment": 0},
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        ),
        (
            "Scan",
            {"TotalSegments": 4},
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        ),
        (
            "Scan",
            {"Segment": 5, "TotalSegments": 5},
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 5 is not less than TotalSegments: 5",
        ),
    ],
)
def test_readings_that_are_refused(operation: str, params: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        await with_indexes(bench)
        named = {"ExpressionAttributeValues": values(k="k")} if ":k" in str(params.get("KeyConditionExpression")) else {}
        assert await bench.refusal(operation, TableName="ttt", **{**named, **params}) == message

    run(scenario)


def test_a_start_key_of_another_segment_is_refused() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))
        accepted = 0
        for segment in range(4):
            try:
                await bench("Scan", TableName="ttt", Segment=segment, TotalSegments=4, ExclusiveStartKey=item(p="1"))
                accepted += 1
            except ServiceError as error:
                refusal = error.message
        assert accepted == 1
        assert "Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: 4 Segment: " in refusal

    run(scenario)


def test_every_statement_walks_an_index_in_order() -> None:
    """No statement may sort what it found, or look at rows that it does not want."""
    statements = {
        query.UP: "(table_id=? AND slot=? AND hash=? AND sort>? AND sort<?)",
        query.DOWN: "(table_id=? AND slot=? AND hash=? AND sort>? AND sort<?)",
        query.INDEX_UP: "(index_id=? AND slot=? AND hash=? AND (sort,item_hash,item_sort)>(?,?,?) AND (sort,item_hash,item_sort)<(?,?,?))",
        query.INDEX_DOWN: "(index_id=? AND slot=? AND hash=? AND (sort,item_hash,item_sort)>(?,?,?) AND (sort,item_hash,item_sort)<(?,?,?))",
        scan.ITEMS: "(table_id=? AND (slot,hash,sort)>(?,?,?) AND slot<?)",
        scan.ENTRIES: "(index_id=? AND (slot,hash,sort,item_hash,item_sort)>(?,?,?,?,?) AND slot<?)",
        items.FETCH: "(table_id=? AND slot=? AND hash=? AND sort=?)",
        items.LEAVE: "(index_id=? AND slot=? AND hash=? AND sort=? AND item_hash=? AND item_sort=?)",
    }

    def plans(connection: sqlite3.Connection) -> dict[str, str]:
        explained = {text: connection.execute(f"EXPLAIN QUERY PLAN {text}", [0] * text.count("?")) for text in statements}
        return {text: " | ".join(row[3] for row in rows) for text, rows in explained.items()}

    async def scenario(bench: Bench) -> None:
        for text, plan in (await bench.database.read(plans)).items():
            assert statements[text] in plan
            assert "TEMP B-TREE" not in plan
            assert "SCAN" not in plan

    run(scenario)
