"""Tables that are changed: indexes added to live tables and deleted, throughput, protection, tags; each against what a scan finds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from table_bench import ACCOUNT, REGION, Bench, definition, index, item, run, values

from eventflow.journals.check import LOST_ENTRIES
from eventflow.services.tables import sweeping, upkeep
from eventflow.testing.virtual_clock import VirtualClock

INVALID = "One or more parameter values were invalid: "
THROUGHPUT = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}


def creation(name: str, *keys: str, attributes: list[str], **members: Any) -> dict[str, Any]:
    return {
        "AttributeDefinitions": [{"AttributeName": text[:-2], "AttributeType": text[-1]} for text in attributes],
        "GlobalSecondaryIndexUpdates": [{"Create": {**index(name, *keys), **members}}],
    }


async def described(bench: Bench, table: str = "ttt") -> dict[str, Any]:
    found: dict[str, Any] = (await bench("DescribeTable", TableName=table))["Table"]
    return found


async def by_index(bench: Bench, hash_key: str) -> list[str]:
    query = {"KeyConditionExpression": "g = :g", "ExpressionAttributeValues": values(g=hash_key)}
    return sorted(each["p"]["S"] for each in (await bench("Query", TableName="ttt", IndexName="gsi", **query))["Items"])


def test_an_index_added_to_a_live_table_has_every_item_that_was_there_and_every_change_made_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SLICE", 1)

    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))
        for number in range(60):
            await bench.put("ttt", p=f"{number:02}", g="even" if number % 2 == 0 else "odd")
        await bench.put("ttt", p="wrong-type", g=5)
        await bench.put("ttt", p="empty", g="")
        await bench.put("ttt", p="long", g="x" * 2049)
        await bench.put("ttt", p="none")
        answer = (await bench("UpdateTable", TableName="ttt", **creation("gsi", "g", attributes=["g:S"])))["TableDescription"]
        assert answer["TableStatus"] == "UPDATING"
        assert answer["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
        assert answer["GlobalSecondaryIndexes"][0]["Backfilling"] is False
        query = {"KeyConditionExpression": "g = :g", "ExpressionAttributeValues": values(g="odd")}
        refusal = "Cannot read from backfilling global secondary index: gsi"
        assert await bench.refusal("Query", TableName="ttt", IndexName="gsi", **query) == refusal
        assert (await bench.error("UpdateTable", TableName="ttt", DeletionProtectionEnabled=True)).code == "ResourceInUseException"
        assert (await bench.error("DeleteTable", TableName="ttt")).code == "ResourceInUseException"
        seen = set()
        for number in range(60):  # each change waits for its own transaction, and slices of the index get in between
            if number % 3 == 0:
                await bench("DeleteItem", TableName="ttt", Key=item(p=f"{number:02}"))
            elif number % 3 == 1:
                await bench(
                    "UpdateItem",
                    TableName="ttt",
                    Key=item(p=f"{number:02}"),
                    UpdateExpression="SET g = :g",
                    ExpressionAttributeValues=values(g="new"),
                )
            found = await described(bench)
            seen.add((found["TableStatus"], found["GlobalSecondaryIndexes"][0]["IndexStatus"], found["GlobalSecondaryIndexes"][0].get("Backfilling")))
        await bench.tables.upkeep.settle()
        assert ("UPDATING", "CREATING", True) in seen
        table = await described(bench)
        assert table["TableStatus"] == "ACTIVE"
        assert table["AttributeDefinitions"] == [{"AttributeName": "p", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "S"}]
        (gsi,) = table["GlobalSecondaryIndexes"]
        assert (gsi["IndexStatus"], "Backfilling" in gsi) == ("ACTIVE", False)
        expected = {"new": range(1, 60, 3), "even": range(2, 60, 6), "odd": range(5, 60, 6)}
        for group, numbers in expected.items():
            assert await by_index(bench, group) == [f"{number:02}" for number in numbers], group
        assert gsi["ItemCount"] == sum(map(len, expected.values()))
        items = (await bench("Scan", TableName="ttt", IndexName="gsi"))["Items"]
        assert gsi["IndexSizeBytes"] == sum(1 + 2 + 1 + len(each["g"]["S"]) for each in items)
        # An item that was there before with something that is no key may be changed elsewhere, not there.
        await bench("UpdateItem", TableName="ttt", Key=item(p="wrong-type"), UpdateExpression="SET x = :x", ExpressionAttributeValues=values(x=1))
        assert "Type mismatch for Index Key g" in await bench.refusal("PutItem", TableName="ttt", Item=item(p="1", g=5))

    run(scenario)


def test_a_backfill_goes_on_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SLICE", 5)

    async def first(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))
        for number in range(30):
            await bench.put("ttt", p=f"{number:02}", g="g")
        await bench("UpdateTable", TableName="ttt", **creation("gsi", "g", attributes=["g:S"]))
        await described(bench)  # some slices at most
        bench.tables.upkeep.close()

    async def second(bench: Bench) -> None:
        await bench.tables.upkeep.settle()
        assert await by_index(bench, "g") == [f"{number:02}" for number in range(30)]

    run(first, tmp_path / "state.db")
    run(second, tmp_path / "state.db")


def test_a_deleted_index_is_gone_with_its_rows_and_its_name_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SLICE", 4)

    async def scenario(bench: Bench) -> None:
        indexes = [index("gsi", "g"), index("other", "h")]
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S", "h:S"], GlobalSecondaryIndexes=indexes))
        for number in range(20):
            await bench.put("ttt", p=f"{number:02}", g="g", h="h")
        deletion = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "gsi"}}]}
        answer = (await bench("UpdateTable", TableName="ttt", **deletion))["TableDescription"]
        assert [each["IndexStatus"] for each in answer["GlobalSecondaryIndexes"]] == ["DELETING", "ACTIVE"]
        with_index = {"TableName": "ttt", "IndexName": "gsi", "KeyConditionExpression": "g = :g", "ExpressionAttributeValues": values(g="g")}
        assert await bench.refusal("Query", **with_index) == "The table does not have the specified index: gsi"
        await bench("DeleteItem", TableName="ttt", Key=item(p="03"))
        lost = await bench.database.read(lambda connection: connection.execute(f"SELECT COUNT(*) FROM {LOST_ENTRIES}").fetchone()[0])
        assert lost == 0, "a check of the state file has nothing to say of an index that is being deleted"
        await bench.tables.upkeep.settle()
        table = await described(bench)
        assert [each["IndexName"] for each in table["GlobalSecondaryIndexes"]] == ["other"]
        assert [each["AttributeName"] for each in table["AttributeDefinitions"]] == ["p", "h"]
        count = await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM table_entries").fetchone()[0])
        assert count == 19
        await bench("UpdateTable", TableName="ttt", **creation("gsi", "g", attributes=["g:N"]))
        await bench.tables.upkeep.settle()
        assert (await bench("Scan", TableName="ttt", IndexName="gsi"))["Count"] == 0
        assert (await bench.error("UpdateTable", TableName="ttt", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "none"}}])).code == (
            "ResourceNotFoundException"
        )

    run(scenario)


def test_billing_and_throughput_change_and_are_described() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("gsi", "g")]))
        missing = f"{INVALID}ProvisionedThroughput must be specified for index: gsi"
        switch = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2}}
        assert await bench.refusal("UpdateTable", TableName="ttt", **switch) == missing
        of_index = [{"Update": {"IndexName": "gsi", "ProvisionedThroughput": THROUGHPUT}}]
        table = (await bench("UpdateTable", TableName="ttt", **switch, GlobalSecondaryIndexUpdates=of_index))["TableDescription"]
        assert table["TableStatus"] == "ACTIVE"
        assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
        assert table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"] == 1
        assert "BillingModeSummary" not in table
        same = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2}
        assert (await bench.refusal("UpdateTable", TableName="ttt", ProvisionedThroughput=same)).startswith(
            "The provisioned throughput for the table will not change. The requested value equals the current value. "
            "Current ReadCapacityUnits provisioned for the table: 3. Requested ReadCapacityUnits: 3."
        )
        lower = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 9}
        changed = (await bench("UpdateTable", TableName="ttt", ProvisionedThroughput=lower))["TableDescription"]["ProvisionedThroughput"]
        assert changed["LastIncreaseDateTime"] == changed["LastDecreaseDateTime"] == 1_700_000_000.0
        table = (await bench("UpdateTable", TableName="ttt", BillingMode="PAY_PER_REQUEST"))["TableDescription"]
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"] == 0

    run(scenario)


def test_provisioned_throughput_is_enforced_and_unused_throughput_lasts_for_bursts_of_five_minutes() -> None:
    clock = VirtualClock()

    async def scenario(bench: Bench) -> None:
        provisioned = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
        indexes = [{**index("gsi", "g"), "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}]
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=indexes, **provisioned))
        big = {"p": {"S": "1"}, "x": {"S": "x" * 100_000}}
        for _time in range(4):
            await bench("PutItem", TableName="ttt", Item=big)  # 98 units each, of 300
        refused = await bench.error("PutItem", TableName="ttt", Item=big)
        assert refused.code == "ProvisionedThroughputExceededException"
        assert refused.message.startswith("The level of configured provisioned throughput for the table was exceeded.")
        requests = [{"PutRequest": {"Item": item(p=str(number))}} for number in range(5, 8)]
        assert (await bench.error("BatchWriteItem", RequestItems={"ttt": requests})).code == "ProvisionedThroughputExceededException"
        await bench("CreateTable", **definition("free", "p:S"))
        batch = await bench("BatchWriteItem", RequestItems={"ttt": requests, "free": requests})
        assert batch["UnprocessedItems"] == {"ttt": requests}
        assert (await bench("Scan", TableName="ttt"))["Count"] == 1
        await clock.advance(94)
        batch = await bench("BatchWriteItem", RequestItems={"ttt": requests})
        assert batch["UnprocessedItems"] == {"ttt": requests[2:]}
        for _time in range(24):
            await bench("Scan", TableName="ttt")
        assert (await bench.error("GetItem", TableName="ttt", Key=item(p="1"))).code == "ProvisionedThroughputExceededException"
        get = {"RequestItems": {"ttt": {"Keys": [item(p="1")]}}}
        assert (await bench.error("BatchGetItem", **get)).code == "ProvisionedThroughputExceededException"
        await clock.advance("5m")
        for group in ("a", "b", "c"):  # in the index another key is two writes
            await bench("PutItem", TableName="ttt", Item={**big, "p": {"S": "2"}, "g": {"S": group}})
        await bench("UpdateTable", TableName="ttt", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1000})
        await clock.advance(5)
        refused = await bench.error("PutItem", TableName="ttt", Item=big)
        assert refused.message.startswith("The level of configured provisioned throughput for one or more global secondary indexes")
        await bench("UpdateTable", TableName="ttt", BillingMode="PAY_PER_REQUEST")
        await bench("PutItem", TableName="ttt", Item=big)

    run(scenario, clock=clock)


def test_a_protected_table_cannot_be_deleted() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", DeletionProtectionEnabled=True, TableClass="STANDARD_INFREQUENT_ACCESS"))
        table = await described(bench)
        assert table["DeletionProtectionEnabled"] is True
        assert table["TableClassSummary"] == {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
        refusal = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
        assert await bench.refusal("DeleteTable", TableName="ttt") == refusal
        await bench("UpdateTable", TableName="ttt", DeletionProtectionEnabled=False)
        await bench("DeleteTable", TableName="ttt")

    run(scenario)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {},
            (
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or "
                "ReplicaUpdates is required"
            ),
        ),
        ({"BillingMode": "PROVISIONED"}, f"{INVALID}ProvisionedThroughput must be specified when BillingMode is PROVISIONED"),
        (
            {"ProvisionedThroughput": THROUGHPUT},
            f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{}]},
            (
                f"{INVALID}One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete "
                "must not be null"
            ),
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "gsi"}}, {"Delete": {"IndexName": "gsi"}}]},
            f"{INVALID}Only one global secondary index update per index is allowed simultaneously. Index: gsi",
        ),
        (creation("gsi", "x", attributes=["x:S"]), f"{INVALID}Duplicate index name: gsi"),
        (
            creation("new", "x", attributes=["y:S"]),
            f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. Keys: [x], AttributeDefinitions: [p, g, y]",
        ),
        (creation("new", "p", attributes=["p:N"]), f"{INVALID}Attribute p is a key of type S already, and cannot be one of type N"),
        (
            creation("new", "p", attributes=["y:S"]),
            f"{INVALID}Some AttributeDefinitions are not used. Keys used: [g, p], AttributeDefinitions: [p, g, y]",
        ),
        ({"ReplicaUpdates": [{"Create": {"RegionName": "x"}}]}, "ReplicaUpdates is not supported: eventflow has no replicas: leave it out."),
    ],
)
def test_changes_that_are_refused_change_nothing(params: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index("gsi", "g")]))
        before = await described(bench)
        assert await bench.refusal("UpdateTable", TableName="ttt", **params) == message
        assert await described(bench) == before

    run(scenario)


def test_two_indexes_cannot_come_or_go_at_once_and_there_are_no_more_than_twenty() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=[index(f"gsi-{n}", "g") for n in range(20)]))
        updates = [{"Delete": {"IndexName": "gsi-1"}}, {"Delete": {"IndexName": "gsi-2"}}]
        error = await bench.error("UpdateTable", TableName="ttt", GlobalSecondaryIndexUpdates=updates)
        assert (error.code, error.message) == (
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
        refusal = await bench.refusal("UpdateTable", TableName="ttt", **creation("new", "g", attributes=["g:S"]))
        assert refusal == f"{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of 20"

    run(scenario)


def test_tags_belong_to_a_tables_arn() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", Tags=[{"Key": "a", "Value": "1"}]))
        arn = (await described(bench))["TableArn"]
        await bench("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": ""}, {"Key": "a", "Value": "2"}])
        tags = [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}]
        assert await bench("ListTagsOfResource", ResourceArn=arn) == {"Tags": tags}
        await bench("UntagResource", ResourceArn=arn, TagKeys=["a", "none"])
        assert await bench("ListTagsOfResource", ResourceArn=arn) == {"Tags": tags[1:]}
        many = [{"Key": str(number), "Value": ""} for number in range(50)]
        assert (await bench.error("TagResource", ResourceArn=arn, Tags=many)).code == "LimitExceededException"
        assert await bench("ListTagsOfResource", ResourceArn=arn) == {"Tags": tags[1:]}
        assert await bench.refusal("TagResource", ResourceArn=arn, Tags=[]) == "Atleast one Tag needs to be provided as Input."
        assert "reserved" in await bench.refusal("TagResource", ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": ""}])
        elsewhere = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/ttt"
        assert await bench.refusal("ListTagsOfResource", ResourceArn=elsewhere) == (
            f"Invalid TableArn: Invalid ResourceArn provided as input {elsewhere}"
        )
        error = await bench.error("ListTagsOfResource", ResourceArn=f"{arn}2")
        assert error.message == f"Requested resource not found: ResourcArn: {arn}2 not found"
        await bench("DeleteTable", TableName="ttt")
        await bench("CreateTable", **definition("ttt", "p:S"))
        assert await bench("ListTagsOfResource", ResourceArn=arn) == {"Tags": []}

    run(scenario)


def test_limits_and_backups_are_told_as_they_are() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))
        assert set((await bench("DescribeLimits")).values()) == {1_000_000_000_000}
        found = await bench("DescribeContinuousBackups", TableName="ttt")
        assert found["ContinuousBackupsDescription"]["ContinuousBackupsStatus"] == "DISABLED"
        assert (await bench.error("DescribeContinuousBackups", TableName="none")).code == "TableNotFoundException"

    run(scenario)


# Time to live


def test_expired_items_leave_within_a_minute_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EXPIRED_SLICE", 3)
    clock = VirtualClock()

    async def scenario(bench: Bench) -> None:
        indexes = [index("gsi", "g")]
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        await bench("CreateTable", **definition("ttt", "p:S", attributes=["g:S"], GlobalSecondaryIndexes=indexes, StreamSpecification=stream))
        now = int(clock.now())
        for number in range(10):
            await bench.put("ttt", p=f"before-{number}", g="g", end=now + 30)
        clock.also_settle(bench.tables.upkeep.settle)
        bench.tables.upkeep.start()
        wanted = {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "end"}}
        assert await bench("UpdateTimeToLive", TableName="ttt", **wanted) == wanted
        await clock.settle()
        assert await bench("DescribeTimeToLive", TableName="ttt") == {
            "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "end"}
        }
        await bench.put("ttt", p="later", end=now + 3600)
        await bench.put("ttt", p="ancient", end=now - 6 * 365 * 86_400)
        await bench.put("ttt", p="text", end=str(now))
        await bench.put("ttt", p="absurd", end=10**30)
        await bench.put("ttt", p="none")
        await bench.put("ttt", p="saved", end=now + 10)
        await bench("UpdateItem", TableName="ttt", Key=item(p="saved"), UpdateExpression="REMOVE #e", ExpressionAttributeNames={"#e": "end"})
        await clock.advance(29)
        assert (await described(bench))["ItemCount"] == 16
        await clock.advance(60)
        left = sorted(each["p"]["S"] for each in (await bench("Scan", TableName="ttt"))["Items"])
        assert left == ["absurd", "ancient", "later", "none", "saved", "text"]
        assert (await bench("Scan", TableName="ttt", IndexName="gsi"))["Count"] == 0
        streams = bench.tables.streams
        (found,) = (await streams.list_streams(REGION, {}))["Streams"]
        (shard,) = (await streams.describe_stream(REGION, {"StreamArn": found["StreamArn"]}))["StreamDescription"]["Shards"]
        place = {"StreamArn": found["StreamArn"], "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = await streams.get_shard_iterator(REGION, place)
        records = (await streams.get_records(REGION, iterator))["Records"]
        service = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
        told = [(record["eventName"], record.get("userIdentity")) for record in records]
        assert told.count(("REMOVE", service)) == 10
        assert all(identity is None for event, identity in told if event != "REMOVE")
        await bench("UpdateTimeToLive", TableName="ttt", TimeToLiveSpecification={"Enabled": False, "AttributeName": "end"})
        await clock.advance("2h")
        assert (await described(bench))["ItemCount"] == 6
        assert await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM table_expiries").fetchone()[0]) == 0
        await bench("UpdateTimeToLive", TableName="ttt", **wanted)
        await clock.advance("1m")
        assert await bench.get("ttt", p="later") is None
        bench.tables.upkeep.close()

    run(scenario, clock=clock)


def test_time_to_live_has_its_rules() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))

        async def refusal(enabled: bool, attribute: str) -> str:
            wanted = {"Enabled": enabled, "AttributeName": attribute}
            return str(await bench.refusal("UpdateTimeToLive", TableName="ttt", TimeToLiveSpecification=wanted))

        assert await bench("DescribeTimeToLive", TableName="ttt") == {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        assert await refusal(False, "end") == "TimeToLive is already disabled"
        await bench("UpdateTimeToLive", TableName="ttt", TimeToLiveSpecification={"Enabled": True, "AttributeName": "end"})
        assert await refusal(True, "end") == "TimeToLive is already enabled"
        other = "TimeToLive is active on a different AttributeName: current AttributeName is end"
        assert await refusal(True, "x") == await refusal(False, "x") == other
        assert (await bench.refusal("UpdateTimeToLive", TableName="ttt")).startswith("1 validation error detected: Value null at 'timeToLiveSpec")
        assert "length greater than or equal to 1" in await refusal(True, "")
        assert (await bench.error("DescribeTimeToLive", TableName="none")).code == "ResourceNotFoundException"

    run(scenario)


def test_what_another_instance_changed_is_seen_at_once(tmp_path: Path) -> None:
    from eventflow.database import Database

    async def main() -> None:
        database = Database(tmp_path / "state.db")
        one, two = Bench(database), Bench(database)
        await one.tables.prepare()
        await one("CreateTable", **definition("ttt", "p:S"))
        await two.put("ttt", p="1", g="g")
        await one("UpdateTable", TableName="ttt", **creation("gsi", "g", attributes=["g:S"]))
        await one.tables.upkeep.settle()
        await two.put("ttt", p="2", g="g")
        assert await by_index(one, "g") == await by_index(two, "g") == ["1", "2"]
        database.close()

    asyncio.run(main())


def test_the_size_of_an_item_collection_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.services.tables.collections.LARGEST", 100)

    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S", "q:S", attributes=["l:S"], LocalSecondaryIndexes=[index("lsi", "p", "l")]))
        await bench.put("ttt", p="1", q="1", x="x" * 30)
        await bench.put("ttt", p="1", q="2", l="l", x="x" * 9)  # counts twice
        error = await bench.error("PutItem", TableName="ttt", Item=item(p="1", q="3", x="x" * 30))
        assert error.code == "ItemCollectionSizeLimitExceededException"
        assert await bench.get("ttt", p="1", q="3") is None
        await bench.put("ttt", p="2", q="3", x="x" * 30)
        await bench("DeleteItem", TableName="ttt", Key=item(p="1", q="1"))
        await bench.put("ttt", p="1", q="3", x="x" * 30)
        await bench("DeleteTable", TableName="ttt")
        assert await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM table_collections").fetchone()[0]) == 0

    run(scenario)


def test_region_is_part_of_a_tables_name() -> None:
    async def scenario(bench: Bench) -> None:
        await bench("CreateTable", **definition("ttt", "p:S"))
        arn = (await described(bench))["TableArn"]
        assert arn == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ttt"
        await bench("UpdateTable", TableName=arn, DeletionProtectionEnabled=True)
        assert (await described(bench))["DeletionProtectionEnabled"] is True

    run(scenario)
