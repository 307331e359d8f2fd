"""Tables as such: created, described, listed, deleted and declared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from table_bench import ACCOUNT, REGION, Bench, definition, index, item, run, schema

from eventflow.database import Database
from eventflow.errors import SettingError


def test_a_table_is_described_as_it_was_created() -> None:
    async def scenario(bench: Bench) -> None:
        params = definition(
            "orders",
            "p:S",
            "q:N",
            attributes=["g:B", "l:S"],
            GlobalSecondaryIndexes=[index("by-g", "g", "p", projection="INCLUDE", attributes=["x"])],
            LocalSecondaryIndexes=[index("by-l", "p", "l", projection="KEYS_ONLY")],
        )
        created = (await bench("CreateTable", **params))["TableDescription"]
        described = (await bench("DescribeTable", TableName="orders"))["Table"]
        assert created == described
        assert described["TableStatus"] == "ACTIVE"
        assert described["TableArn"] == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
        assert described["CreationDateTime"] == 1_700_000_000.0
        assert described["KeySchema"] == params["KeySchema"]
        assert described["AttributeDefinitions"] == params["AttributeDefinitions"]
        assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        (gsi,) = described["GlobalSecondaryIndexes"]
        assert gsi["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]}
        assert gsi["IndexArn"].endswith("table/orders/index/by-g")
        assert gsi["IndexStatus"] == "ACTIVE"
        (lsi,) = described["LocalSecondaryIndexes"]
        assert lsi["KeySchema"] == schema("p", "l")
        assert await bench("DescribeTable", TableName=described["TableArn"]) == {"Table": described}

    run(scenario)


def test_counts_and_sizes_are_exact_at_any_time() -> None:
    async def scenario(bench: Bench) -> None:
        await bench(
            "CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("by-g", "g", projection="KEYS_ONLY")])
        )
        await bench.put("ttt", p="1", text="x" * 10)
        await bench.put("ttt", p="2", g="a", text="x" * 10)

        async def counts() -> tuple[int, int, int, int]:
            table = (await bench("DescribeTable", TableName="ttt"))["Table"]
            (gsi,) = table["GlobalSecondaryIndexes"]
            return table["ItemCount"], table["TableSizeBytes"], gsi["ItemCount"], gsi["IndexSizeBytes"]

        assert await counts() == (2, 2 * 16 + 2, 1, 4)
        await bench.put("ttt", p="2", g="abc")
        assert await counts() == (2, 16 + 6, 1, 6)
        await bench("UpdateItem", TableName="ttt", Key=item(p="2"), UpdateExpression="REMOVE g")
        assert await counts() == (2, 16 + 2, 0, 0)
        for key in ("1", "2", "3"):
            await bench("DeleteItem", TableName="ttt", Key=item(p=key))
        assert await counts() == (0, 0, 0, 0)

    run(scenario)


def test_provisioned_throughput_is_kept_and_reported() -> None:
    async def scenario(bench: Bench) -> None:
        throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
        await bench("CreateTable", **definition("ttt", "p:S", BillingMode="PROVISIONED", ProvisionedThroughput=throughput))
        table = (await bench("DescribeTable", TableName="ttt"))["Table"]
        assert table["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **throughput}
        assert "BillingModeSummary" not in table

    run(scenario)


def test_tables_are_listed_by_page_and_region() -> None:
    async def scenario(bench: Bench) -> None:
        for name in ("ccc", "aaa", "bbb"):
            await bench("CreateTable", **definition(name, "p:S"))
        assert await bench("ListTables") == {"TableNames": ["aaa", "bbb", "ccc"]}
        assert await bench("ListTables", Limit=2) == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
        assert await bench("ListTables", ExclusiveStartTableName="bbb") == {"TableNames": ["ccc"]}
        assert await bench.tables.list_tables("us-west-2", {}) == {"TableNames": []}
        assert (await bench.refusal("ListTables", Limit=0)).startswith("1 validation error detected: Value '0' at 'limit'")

    run(scenario)


def test_a_deleted_table_is_gone_with_its_items() -> None:
    async def scenario(bench: Bench) -> None:
        params = definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("by-g", "g")])
        await bench("CreateTable", **params)
        assert (await bench.error("CreateTable", **params)).code == "ResourceInUseException"
        for number in range(30):
            await bench.put("ttt", p=str(number), g="g")
        assert (await bench("DeleteTable", TableName="ttt"))["TableDescription"]["TableStatus"] == "DELETING"
        assert (await bench.error("DescribeTable", TableName="ttt")).message == "Requested resource not found: Table: ttt not found"
        assert (await bench.error("DeleteTable", TableName="ttt")).code == "ResourceNotFoundException"
        gone = await bench.error("GetItem", TableName="ttt", Key=item(p="1"))
        assert (gone.code, gone.message) == ("ResourceNotFoundException", "Requested resource not found")
        assert await rows(bench) == (0, 0)
        await bench("CreateTable", **params)
        assert (await bench("Scan", TableName="ttt"))["Items"] == []

    run(scenario)


async def rows(bench: Bench) -> tuple[int, int]:
    def count(connection: Any) -> tuple[int, int]:
        return (
            connection.execute("SELECT COUNT(*) FROM table_items").fetchone()[0],
            connection.execute("SELECT COUNT(*) FROM table_entries").fetchone()[0],
        )

    found: tuple[int, int] = await bench.database.read(count)
    return found


def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        for name in ("gone", "kept"):
            await bench("CreateTable", **definition(name, "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("by-g", "g")]))
            await bench.put(name, p="1", g="g")
        await bench.database.write(lambda connection: connection.execute("DELETE FROM tables WHERE name = 'gone'"))
        assert await rows(bench) == (2, 2)

    async def second(bench: Bench) -> None:
        assert await rows(bench) == (1, 1)
        assert await bench.get("kept", p="1") == item(p="1", g="g")

    run(first, tmp_path / "state.db")
    run(second, tmp_path / "state.db")


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await bench.tables.ensure(REGION, "images", key="key")
        await bench("PutItem", TableName="images", Item={"key": {"S": "a.jpg"}, "hash": {"B": b"\x00\xff"}, "sizes": {"BS": [b"\x01"]}})

    async def second(bench: Bench) -> None:
        await bench.tables.ensure(REGION, "images", key="key")
        assert await bench.get("images", key="a.jpg") == {"key": {"S": "a.jpg"}, "hash": {"B": b"\x00\xff"}, "sizes": {"BS": [b"\x01"]}}

    run(first, tmp_path / "state.db")
    run(second, tmp_path / "state.db")


def test_ensure_is_idempotent_and_refuses_another_key() -> None:
    async def scenario(bench: Bench) -> None:
        await asyncio.gather(*(bench.tables.ensure(REGION, "ttt", key="p", sort="q", sort_type="N") for _ in range(3)))
        table = (await bench("DescribeTable", TableName="ttt"))["Table"]
        assert table["KeySchema"] == schema("p", "q")
        with pytest.raises(SettingError, match=r"Table 'ttt' in eu-central-1 exists with another key: it has p \(string\) and q \(number\)"):
            await bench.tables.ensure(REGION, "ttt", key="p")

    run(scenario)


def test_tables_of_two_instances_on_one_database_do_not_answer_from_memory(tmp_path: Path) -> None:
    """A table deleted and made anew elsewhere has another key: what was cached of the old one must not be used."""

    async def main() -> None:
        database = Database(tmp_path / "state.db")
        one, two = Bench(database), Bench(database)
        await one.tables.prepare()
        await one("CreateTable", **definition("ttt", "p:S"))
        await two.put("ttt", p="1")
        await one("DeleteTable", TableName="ttt")
        await one("CreateTable", **definition("ttt", "q:N"))
        await two.put("ttt", q=1)
        assert await one.get("ttt", q=1) == item(q=1)
        database.close()

    asyncio.run(main())


INVALID = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TableName": "ab"},
            "1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3",
        ),
        (
            {"TableName": "bad table!"},
            (
                "1 validation error detected: Value 'bad table!' at 'tableName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
            ),
        ),
        ({"KeySchema": schema("p", "p")}, "Invalid KeySchema: Some index key attribute have no definition"),
        (
            {"KeySchema": [{"AttributeName": "p", "KeyType": "INVALID"}]},
            (
                "1 validation error detected: Value 'INVALID' at 'keySchema.1.member.keyType' failed to satisfy constraint: "
                "Member must satisfy enum value set: [HASH, RANGE]"
            ),
        ),
        (
            {"AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "INVALID"}]},
            (
                "1 validation error detected: Value 'INVALID' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: "
                "Member must satisfy enum value set: [B, N, S]"
            ),
        ),
        (
            {"KeySchema": schema("x")},
            f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. Keys: [x], AttributeDefinitions: [p]",
        ),
        ({"KeySchema": [{"AttributeName": "p", "KeyType": "RANGE"}]}, "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
        (
            definition("table", "p:S", attributes=["x:S"]),
            f"{INVALID}Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ),
        (
            definition("table", "p:S", attributes=["l:S"], LocalSecondaryIndexes=[index("idx", "p", "l")]),
            f"{INVALID}Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ),
        (
            definition("table", "p:S", "q:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("idx", "g"), index("idx", "q")]),
            f"{INVALID}Duplicate index name: idx",
        ),
        (
            definition("table", "p:S", "q:S", LocalSecondaryIndexes=[index("idx", "q", "p")]),
            (
                f"{INVALID}Index KeySchema does not have the same leading hash key as table KeySchema for index: idx. "
                "index hash key: q, table hash key: p"
            ),
        ),
        (
            definition("table", "p:S", "q:S", GlobalSecondaryIndexes=[index("idx", "q", projection="KEYS_ONLY", attributes=["x"])]),
            f"{INVALID}ProjectionType is KEYS_ONLY, but NonKeyAttributes is specified",
        ),
        (
            definition("table", "p:S", "q:S", GlobalSecondaryIndexes=[index("idx", "q", projection="INCLUDE")]),
            f"{INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            {"BillingMode": "PROVISIONED"},
            f"{INVALID}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}},
            f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
    ],
)
def test_definitions_that_dynamodb_refuses(changes: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.refusal("CreateTable", **{**definition("table", "p:S"), **changes}) == message
        assert await bench("ListTables") == {"TableNames": []}

    run(scenario)


@pytest.mark.parametrize(
    ("member", "setting", "harmless"),
    [
        ("SSESpecification", {"Enabled": True, "SSEType": "KMS"}, {"Enabled": False}),
        ("OnDemandThroughput", {"MaxReadRequestUnits": 1}, None),
        ("WarmThroughput", {"ReadUnitsPerSecond": 1}, None),
        ("ResourcePolicy", "{}", None),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(member: str, setting: Any, harmless: Any) -> None:
    async def scenario(bench: Bench) -> None:
        message = await bench.refusal("CreateTable", **definition("table", "p:S", **{member: setting}))
        assert message.startswith(f"{member} is not supported: eventflow has no ")
        await bench("CreateTable", **definition("table", "p:S", **{member: harmless}))

    run(scenario)
