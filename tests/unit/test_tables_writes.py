"""Writing items: keys, conditions, return values, index keys, capacity and batches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from table_bench import REGION, Bench, definition, index, item, run, value, values

INVALID = "One or more parameter values were invalid: "


async def simple(bench: Bench) -> None:
    await bench("CreateTable", **definition("ttt", "p:S"))


async def indexed(bench: Bench) -> None:
    await bench(
        "CreateTable",
        **definition(
            "ttt",
            "p:S",
            "q:S",
            attributes=["g:S", "l:S"],
            GlobalSecondaryIndexes=[index("gsi", "g", projection="INCLUDE", attributes=["proj"])],
            LocalSecondaryIndexes=[index("lsi", "p", "l")],
        ),
    )


def test_put_replaces_the_whole_item_and_returns_the_old_one() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        put = {"TableName": "ttt", "ReturnValues": "ALL_OLD"}
        assert await bench("PutItem", **put, Item=item(p="1", a=1)) == {}
        assert await bench("PutItem", **put, Item=item(p="1", b=2)) == {"Attributes": item(p="1", a=1)}
        assert await bench.get("ttt", p="1") == item(p="1", b=2)
        assert await bench.refusal("PutItem", TableName="ttt", Item=item(p="1"), ReturnValues="ALL_NEW") == "ReturnValues can only be ALL_OLD or NONE"
        assert await bench("DeleteItem", **put, Key=item(p="1")) == {"Attributes": item(p="1", b=2)}
        assert await bench("DeleteItem", **put, Key=item(p="1")) == {}
        assert await bench.get("ttt", p="1") is None

    run(scenario)


def test_a_condition_decides_and_can_show_what_it_met() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        once = {"TableName": "ttt", "Item": item(p="1", a=1), "ConditionExpression": "attribute_not_exists(p)"}
        await bench("PutItem", **once)
        error = await bench.error("PutItem", **once)
        assert (error.code, error.message, error.members) == ("ConditionalCheckFailedException", "The conditional request failed", {})
        error = await bench.error("PutItem", **once, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        assert error.members == {"Item": item(p="1", a=1)}
        missing = {"TableName": "ttt", "Key": item(p="2"), "ConditionExpression": "a = :v", "ExpressionAttributeValues": values(v=1)}
        assert (await bench.error("DeleteItem", **missing, ReturnValuesOnConditionCheckFailure="ALL_OLD")).members == {}
        assert (await bench.error("UpdateItem", **missing)).code == "ConditionalCheckFailedException"
        assert await bench.get("ttt", p="2") is None
        await bench("DeleteItem", **{**missing, "Key": item(p="1")})

    run(scenario)


def test_conditional_writes_at_the_same_time_let_one_win() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        once = {"TableName": "ttt", "ConditionExpression": "attribute_not_exists(p)"}
        outcomes = await asyncio.gather(*(bench("PutItem", **once, Item=item(p="1", a=number)) for number in range(20)), return_exceptions=True)
        assert sum(outcome == {} for outcome in outcomes) == 1
        count = {"TableName": "ttt", "Key": item(p="1"), "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": values(one=1)}
        await asyncio.gather(*(bench("UpdateItem", **count) for _ in range(50)))
        found = await bench.get("ttt", p="1")
        assert found is not None
        assert found["n"] == {"N": "50"}

    run(scenario)


def test_update_returns_what_is_asked_for() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)

        async def update(mode: str, expression: str | None, key: str = "1", **named: Any) -> Any:
            params: dict[str, Any] = {"TableName": "ttt", "Key": item(p=key), "ReturnValues": mode}
            if expression:
                params["UpdateExpression"] = expression
            if named:
                params["ExpressionAttributeValues"] = values(**named)
            return (await bench("UpdateItem", **params)).get("Attributes")

        assert await update("ALL_OLD", "SET a = :v", v={"b": "dog", "c": [1, 2, 3]}) is None
        assert await update("UPDATED_OLD", "SET a.b = :v", v="hi") == item(a={"b": "dog"})
        assert await update("UPDATED_NEW", "SET a.c[1] = :v, a.b = :w", v=7, w="yo") == item(a={"c": [7], "b": "yo"})
        assert await update("UPDATED_OLD", "SET fresh = :v, a.b = :v", v=1) == item(a={"b": "yo"})
        assert await update("UPDATED_NEW", "REMOVE fresh") is None
        assert await update("UPDATED_NEW", "SET a.c[100] = :v", v=70) is None
        assert await update("UPDATED_NEW", "REMOVE a.c[1]") == item(a={"c": [3]})
        assert await update("ALL_NEW", "SET n = :v", v=1) == item(p="1", a={"b": 1, "c": [1, 3, 70]}, n=1)
        assert await update("ALL_NEW", None, key="new") == item(p="new")
        assert await update("NONE", "SET n = :v", v=1) is None

    run(scenario)


def test_removals_alone_make_no_item() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        for expression in ("REMOVE a", "REMOVE x.y, z[0]", "DELETE s :s"):
            params = {"TableName": "ttt", "Key": item(p="1"), "UpdateExpression": expression, "ReturnValues": "ALL_NEW"}
            if ":s" in expression:
                params["ExpressionAttributeValues"] = {":s": {"SS": ["a"]}}
            assert await bench("UpdateItem", **params) == {}
            assert await bench.get("ttt", p="1") is None

    run(scenario)


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        ("PutItem", {"Item": item(a=1)}, f"{INVALID}Missing the key p in the item"),
        ("PutItem", {"Item": item(p=1)}, f"{INVALID}Type mismatch for key p expected: S actual: N"),
        (
            "PutItem",
            {"Item": item(p="")},
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p",
        ),
        ("PutItem", {"Item": item(p="x" * 2049)}, f"{INVALID}Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ("PutItem", {"Item": item(p="1", big="x" * 409_600)}, "Item size has exceeded the maximum allowed size"),
        ("PutItem", {"Item": {"p": value("1"), "a": {"SS": []}}}, f"{INVALID}An string set  may not be empty"),
        ("GetItem", {"Key": item(p=1)}, "The provided key element does not match the schema"),
        ("GetItem", {"Key": item(p="1", q="2")}, "The provided key element does not match the schema"),
        ("GetItem", {"Key": item(q="1")}, "The provided key element does not match the schema"),
        (
            "GetItem",
            {"Key": item(p="")},
            f"{INVALID}The AttributeValue for a key attribute cannot contain an empty string value. Key: p",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "UpdateExpression": "SET p = :v", "ExpressionAttributeValues": values(v="2")},
            f"{INVALID}Cannot update attribute p. This attribute is part of the key",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": {"S": "x" * 409_600}}},
            "Item size to update has exceeded the maximum allowed size",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "ConditionExpression": "p.x = a"},
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: p",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "UpdateExpression": "SET a = :v", "AttributeUpdates": {"a": {"Value": {"S": "b"}}}},
            (
                "Can not use both expression and non-expression parameters in the same request: "
                "Non-expression parameters: {AttributeUpdates} Expression parameters: {UpdateExpression}"
            ),
        ),
        (
            "PutItem",
            {"Item": item(p="1"), "Expected": {"a": {}}},
            "One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a",
        ),
        (
            "PutItem",
            {"Item": item(p="1"), "ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "ExpressionAttributeValues": values(v=1)},
            "ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1"), "ReturnValues": "INVALID", "ReturnConsumedCapacity": "X"},
            (
                "2 validation errors detected: Value 'X' at 'returnConsumedCapacity' failed to satisfy constraint: "
                "Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; "
                "Value 'INVALID' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: "
                "[ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"
            ),
        ),
        (
            "PutItem",
            {"TableName": "", "Item": item(p="1")},
            "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "PutItem",
            {"TableName": None, "Item": item(p="1")},
            "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
        ),
        ("GetItem", {}, "1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null"),
        (
            "GetItem",
            {"TableName": "arn:aws:dynamodb:us-west-2:1:table/ttt", "Key": item(p="1")},
            (
                "Invalid table ARN: arn:aws:dynamodb:us-west-2:1:table/ttt is no table of account 000000000000 in eu-central-1; "
                "its tables' ARNs begin with arn:aws:dynamodb:eu-central-1:000000000000:table/"
            ),
        ),
    ],
)
def test_requests_that_are_refused(operation: str, members: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        assert await bench.refusal(operation, **{"TableName": "ttt", **members}) == message
        assert (await bench("Scan", TableName="ttt"))["Count"] == 0

    run(scenario)


def test_the_largest_item_fits() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        await bench.put("ttt", p="1", big="x" * (409_600 - 5))
        assert "Item size" in await bench.refusal("PutItem", TableName="ttt", Item=item(p="1", big="x" * (409_600 - 4)))

    run(scenario)


def test_attributes_that_cannot_be_index_keys_are_refused() -> None:
    async def scenario(bench: Bench) -> None:
        await indexed(bench)
        refusal = await bench.refusal("PutItem", TableName="ttt", Item=item(p="1", q="1", g=5))
        assert refusal == f"{INVALID}Type mismatch for Index Key g Expected: S Actual: N IndexName: gsi"
        refusal = await bench.refusal("PutItem", TableName="ttt", Item=item(p="1", q="1", g=""))
        assert "A value specified for a secondary index key is not supported" in refusal
        assert refusal.endswith("IndexName: gsi, IndexKey: g")
        update = {"TableName": "ttt", "Key": item(p="1", q="1")}
        refusal = await bench.refusal("UpdateItem", **update, UpdateExpression="SET g = :v", ExpressionAttributeValues=values(v=1))
        assert refusal == f"{INVALID}Type mismatch for Index Key g Expected: S Actual: N IndexName: gsi"
        await bench.put("ttt", p="1", q="1", x=1)
        refusal = await bench.refusal("UpdateItem", **update, UpdateExpression="SET g = x")
        assert refusal == "The update expression attempted to update the secondary index key to unsupported type"
        refusal = await bench.refusal("UpdateItem", **update, UpdateExpression="SET g.x = :v", ExpressionAttributeValues=values(v=1))
        assert refusal.endswith("are not allowed: IndexKey: g")
        refusal = await bench.refusal("PutItem", TableName="ttt", Item=item(p="1", q="1", l="x" * 1025))
        assert refusal == f"{INVALID}Aggregated size of all range keys has exceeded the size limit of 1024 bytes"

    run(scenario)


def units(response: dict[str, Any]) -> tuple[float, float, float, float]:
    """Total, table, global and local index."""
    report = response["ConsumedCapacity"]
    arms = [
        report.get(scope, {}).get(name, {}).get("CapacityUnits", 0.0)
        for scope, name in (("GlobalSecondaryIndexes", "gsi"), ("LocalSecondaryIndexes", "lsi"))
    ]
    return report["CapacityUnits"], report["Table"]["CapacityUnits"], arms[0], arms[1]


def test_writes_cost_what_they_change_in_the_table_and_its_indexes() -> None:
    async def scenario(bench: Bench) -> None:
        await indexed(bench)
        full = item(p="1", q="1", g="g", l="l", proj="p", other="o")

        async def put(**attributes: Any) -> tuple[float, ...]:
            return units(await bench("PutItem", TableName="ttt", Item=item(**attributes), ReturnConsumedCapacity="INDEXES"))

        async def update(expression: str, **named: Any) -> tuple[float, ...]:
            await bench("PutItem", TableName="ttt", Item=full)
            params: dict[str, Any] = {"ExpressionAttributeValues": values(**named)} if named else {}
            key = item(p="1", q="1")
            return units(await bench("UpdateItem", TableName="ttt", Key=key, UpdateExpression=expression, ReturnConsumedCapacity="INDEXES", **params))

        assert await put(p="1", q="1", g="g", l="l", proj="p") == (3, 1, 1, 1)
        assert await put(p="1", q="1", g="g", l="l", proj="p") == (1, 1, 0, 0)
        assert await put(p="2", q="1", other="o") == (1, 1, 0, 0)
        assert await update("SET #o = :v".replace("#o", "elsewhere"), v=2) == (2, 1, 0, 1)
        assert await update("SET proj = :v", v="p2") == (3, 1, 1, 1)
        assert await update("SET g = :v", v="moved") == (4, 1, 2, 1)
        assert await update("REMOVE g") == (3, 1, 1, 1)
        assert await update("SET l = :v", v="l2") == (3, 1, 0, 2)
        await bench("PutItem", TableName="ttt", Item=full)
        deleted = await bench("DeleteItem", TableName="ttt", Key=item(p="1", q="1"), ReturnConsumedCapacity="INDEXES")
        assert units(deleted) == (3, 1, 1, 1)
        assert (
            "GlobalSecondaryIndexes"
            not in (await bench.methods["PutItem"](REGION, {"TableName": "ttt", "Item": item(p="3", q="1"), "ReturnConsumedCapacity": "INDEXES"}))[
                "ConsumedCapacity"
            ]
        )

    run(scenario)


def test_units_round_up_by_size_and_count_the_larger_image() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)

        async def cost(operation: str, **members: Any) -> float:
            response = await bench(operation, TableName="ttt", ReturnConsumedCapacity="TOTAL", **members)
            assert set(response["ConsumedCapacity"]) == {"TableName", "CapacityUnits"}
            return float(response["ConsumedCapacity"]["CapacityUnits"])

        assert await cost("PutItem", Item=item(p="1", a="x" * 1021)) == 1
        assert await cost("PutItem", Item=item(p="1", a="x" * 1022)) == 2
        assert await cost("PutItem", Item=item(p="1", a="x" * 4093)) == 4
        assert await cost("GetItem", Key=item(p="1")) == 0.5
        assert await cost("GetItem", Key=item(p="1"), ConsistentRead=True) == 1
        assert await cost("PutItem", Item=item(p="1", a="x" * 4094)) == 5
        assert await cost("GetItem", Key=item(p="1"), ConsistentRead=True, ProjectionExpression="p") == 2
        assert await cost("GetItem", Key=item(p="none")) == 0.5
        assert await cost("PutItem", Item=item(p="1")) == 5
        assert await cost("DeleteItem", Key=item(p="1")) == 1
        assert await cost("DeleteItem", Key=item(p="1")) == 1

    run(scenario)


def test_item_collection_metrics_are_those_of_tables_with_local_indexes() -> None:
    async def scenario(bench: Bench) -> None:
        await indexed(bench)
        await bench("CreateTable", **definition("plain", "p:S"))
        assert await bench("PutItem", TableName="plain", Item=item(p="1"), ReturnItemCollectionMetrics="SIZE") == {}
        metrics = {"ItemCollectionKey": item(p="1"), "SizeEstimateRangeGB": [0.0, 1.0]}
        put = await bench("PutItem", TableName="ttt", Item=item(p="1", q="1"), ReturnItemCollectionMetrics="SIZE")
        assert put == {"ItemCollectionMetrics": metrics}
        requests = [{"PutRequest": {"Item": item(p="1", q=number)}} for number in ("2", "3")]
        batch = await bench(
            "BatchWriteItem", RequestItems={"ttt": requests, "plain": [{"PutRequest": {"Item": item(p="1")}}]}, ReturnItemCollectionMetrics="SIZE"
        )
        assert batch["ItemCollectionMetrics"] == {"ttt": [metrics]}

    run(scenario)


# Batches


def test_batches_write_and_read_many_items_of_many_tables() -> None:
    async def scenario(bench: Bench) -> None:
        await indexed(bench)
        await bench("CreateTable", **definition("other", "p:S"))
        await bench.put("other", p="old")
        written = await bench(
            "BatchWriteItem",
            RequestItems={
                "ttt": [{"PutRequest": {"Item": item(p="1", q="1", g="g")}}, {"PutRequest": {"Item": item(p="1", q="2")}}],
                "other": [{"DeleteRequest": {"Key": item(p="old")}}],
            },
            ReturnConsumedCapacity="INDEXES",
        )
        assert written["UnprocessedItems"] == {}
        assert [report["CapacityUnits"] for report in written["ConsumedCapacity"]] == [3, 1]
        read = await bench(
            "BatchGetItem",
            RequestItems={
                "ttt": {"Keys": [item(p="1", q="2"), item(p="1", q="1"), item(p="x", q="x")], "ProjectionExpression": "q", "ConsistentRead": True},
                "other": {"Keys": [item(p="old")]},
            },
            ReturnConsumedCapacity="TOTAL",
        )
        assert read["Responses"] == {"ttt": [item(q="2"), item(q="1")], "other": []}
        assert read["UnprocessedKeys"] == {}
        assert [report["CapacityUnits"] for report in read["ConsumedCapacity"]] == [3, 0.5]

    run(scenario)


def test_batches_that_are_refused_change_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)

        def puts(count: int) -> list[Any]:
            return [{"PutRequest": {"Item": item(p=str(number))}} for number in range(count)]

        duplicates = "Provided list of item keys contains duplicates"
        twice = [*puts(1), {"DeleteRequest": {"Key": item(p="0")}}]
        keys = [item(p=str(number)) for number in range(101)]
        cases: list[tuple[str, Any, str]] = [
            ("BatchWriteItem", {}, "The requestItems parameter is required for BatchWriteItem"),
            ("BatchGetItem", {}, "The requestItems parameter is required for BatchGetItem"),
            ("BatchWriteItem", {"ttt": puts(26)}, "Member must have length less than or equal to 25"),
            ("BatchWriteItem", {"ttt": puts(20), "other": puts(6)}, "Too many items requested for the BatchWriteItem call"),
            ("BatchWriteItem", {"ttt": twice}, duplicates),
            ("BatchWriteItem", {"ttt": [*puts(1), {"PutRequest": {"Item": item(x=1)}}]}, "Missing the key p in the item"),
            ("BatchWriteItem", {"ttt": [*puts(1), {}]}, "must contain exactly one of the supported datatypes"),
            ("BatchWriteItem", {"ttt": [*puts(1), {"DeleteRequest": {"Key": item(q="1")}}]}, "The provided key element does not match the schema"),
            (
                "BatchGetItem",
                {"ttt": {"Keys": keys}},
                "Value at 'RequestItems.ttt.member.Keys' failed to satisfy constraint: Member must have length less",
            ),
            ("BatchGetItem", {"ttt": {"Keys": keys[:60]}, "other": {"Keys": keys[:60]}}, "Too many items requested for the BatchGetItem call"),
            ("BatchGetItem", {"ttt": {"Keys": [item(p="1"), item(p="1")]}}, duplicates),
            ("BatchGetItem", {"ttt": {"Keys": [item(p="1")], "AttributesToGet": ["p", "p"]}}, "Duplicate value in attribute name: p"),
        ]
        for operation, requested, message in cases:
            assert message in await bench.refusal(operation, RequestItems=requested)
        error = await bench.error("BatchWriteItem", RequestItems={"ttt": puts(1), "none": puts(1)})
        assert error.code == "ResourceNotFoundException"
        assert (await bench("Scan", TableName="ttt"))["Count"] == 0

    run(scenario)


def test_a_batch_of_reads_stops_at_sixteen_megabytes_and_says_what_is_left() -> None:
    async def scenario(bench: Bench) -> None:
        await simple(bench)
        for number in range(50):
            await bench.put("ttt", p=f"{number:02}", big="x" * 399_000)
        keys = [item(p=f"{number:02}") for number in range(50)]
        first = await bench("BatchGetItem", RequestItems={"ttt": {"Keys": keys, "ProjectionExpression": "p"}})
        assert 40 <= len(first["Responses"]["ttt"]) < 50
        rest = await bench("BatchGetItem", RequestItems=first["UnprocessedKeys"])
        assert first["Responses"]["ttt"] + rest["Responses"]["ttt"] == keys
        assert rest["UnprocessedKeys"] == {}

    run(scenario)
