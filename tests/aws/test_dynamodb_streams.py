"""Streams of tables through their protocol, with boto3's two clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventflow.aws.dynamodb import DynamoDB
from eventflow.aws.dynamodbstreams import DynamoDBStreams
from eventflow.aws.operation import Service
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.services.tables import Tables
from tests.aws.conftest import client_of, server_of

BOTH = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


async def services(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    tables = Tables(database, clock, account)
    await tables.prepare()
    return [DynamoDB(tables), DynamoDBStreams(tables.streams)]


server = server_of(services)
tables = client_of("dynamodb")
streams = client_of("dynamodbstreams")


def create(tables: Any, name: str = "orders", specification: dict[str, Any] | None = BOTH) -> str:
    described = tables.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        **({"StreamSpecification": specification} if specification else {}),
    )["TableDescription"]
    return str(described.get("LatestStreamArn", ""))


def iterator(streams: Any, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    return str(streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind, **more)["ShardIterator"])


def records(streams: Any, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> list[dict[str, Any]]:
    return list(streams.get_records(ShardIterator=iterator(streams, arn, kind, **more))["Records"])


def numbers(found: list[dict[str, Any]]) -> list[str]:
    return [record["dynamodb"]["SequenceNumber"] for record in found]


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=code)


def test_a_table_says_which_stream_it_has(tables: Any, streams: Any) -> None:
    arn = create(tables)
    table = tables.describe_table(TableName="orders")["Table"]
    assert table["StreamSpecification"] == BOTH
    assert table["LatestStreamArn"] == arn
    assert arn.endswith(f"table/orders/stream/{table['LatestStreamLabel']}")
    assert streams.list_streams(TableName="orders")["Streams"] == [
        {"StreamArn": arn, "TableName": "orders", "StreamLabel": table["LatestStreamLabel"]}
    ]
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "ENABLED"
    assert described["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert described["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    (shard,) = described["Shards"]
    assert len(shard["ShardId"]) >= 28
    assert "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def test_every_writer_leaves_its_changes_in_order(tables: Any, streams: Any) -> None:
    arn = create(tables)
    tables.put_item(TableName="orders", Item={"id": {"S": "a"}, "n": {"N": "1"}, "b": {"B": b"\x00\xff"}})
    tables.put_item(TableName="orders", Item={"id": {"S": "a"}, "n": {"N": "1.0"}, "b": {"B": b"\x00\xff"}})
    tables.update_item(
        TableName="orders", Key={"id": {"S": "a"}}, UpdateExpression="ADD n :one REMOVE b", ExpressionAttributeValues={":one": {"N": "1"}}
    )
    tables.delete_item(TableName="orders", Key={"id": {"S": "a"}})
    tables.delete_item(TableName="orders", Key={"id": {"S": "a"}})
    tables.batch_write_item(RequestItems={"orders": [{"PutRequest": {"Item": {"id": {"S": "b"}}}}]})
    with refused("ConditionalCheckFailed"):
        tables.put_item(TableName="orders", Item={"id": {"S": "b"}}, ConditionExpression="attribute_not_exists(id)")
    found = records(streams, arn)
    assert [record["eventName"] for record in found] == ["INSERT", "MODIFY", "REMOVE", "INSERT"]
    assert [(record["eventSource"], record["eventVersion"], record["awsRegion"]) for record in found] == [("aws:dynamodb", "1.1", "us-east-1")] * 4
    insert, modify, remove, _batch = [record["dynamodb"] for record in found]
    first = {"id": {"S": "a"}, "n": {"N": "1"}, "b": {"B": b"\x00\xff"}}
    assert insert["Keys"] == {"id": {"S": "a"}}
    assert (insert.get("OldImage"), insert["NewImage"]) == (None, first)
    assert (modify["OldImage"], modify["NewImage"]) == (first, {"id": {"S": "a"}, "n": {"N": "2"}})
    assert (remove["OldImage"], remove.get("NewImage")) == ({"id": {"S": "a"}, "n": {"N": "2"}}, None)
    assert insert["SizeBytes"] == 3 + 9
    assert insert["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert insert["ApproximateCreationDateTime"].microsecond == 0
    assert numbers(found) == sorted(numbers(found))
    assert len({record["eventID"] for record in found}) == 4


@pytest.mark.parametrize(
    ("view", "images"),
    [("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"}), ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"})],
)
def test_a_view_type_says_which_images_there_are(tables: Any, streams: Any, view: str, images: set[str]) -> None:
    arn = create(tables, specification={"StreamEnabled": True, "StreamViewType": view})
    for text in "xy":
        tables.put_item(TableName="orders", Item={"id": {"S": "a"}, "t": {"S": text}})
    change = records(streams, arn)[1]["dynamodb"]
    assert {member for member in change if member.endswith("Image")} == images


def test_iterators_begin_where_they_say(tables: Any, streams: Any) -> None:
    arn = create(tables)
    latest = iterator(streams, arn, "LATEST")
    for name in "abc":
        tables.put_item(TableName="orders", Item={"id": {"S": name}})
    found = records(streams, arn)
    second = numbers(found)[1]
    assert records(streams, arn, "AT_SEQUENCE_NUMBER", SequenceNumber=second) == found[1:]
    assert records(streams, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=second) == found[2:]
    assert records(streams, arn, "LATEST") == []
    assert records(streams, arn, "AT_TIMESTAMP", Timestamp=0) == found
    page = streams.get_records(ShardIterator=latest, Limit=2)
    assert page["Records"] == found[:2]
    page = streams.get_records(ShardIterator=page["NextShardIterator"])
    assert page["Records"] == found[2:]
    assert streams.get_records(ShardIterator=page["NextShardIterator"])["Records"] == []


def test_the_stream_of_a_deleted_table_can_be_read_to_its_end(tables: Any, streams: Any) -> None:
    arn = create(tables)
    tables.put_item(TableName="orders", Item={"id": {"S": "a"}})
    tables.delete_table(TableName="orders")
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    assert "EndingSequenceNumber" in described["Shards"][0]["SequenceNumberRange"]
    page = streams.get_records(ShardIterator=iterator(streams, arn))
    assert len(page["Records"]) == 1
    assert "NextShardIterator" not in page
    again = create(tables)
    assert again != arn
    assert [stream["StreamArn"] for stream in streams.list_streams(TableName="orders")["Streams"]] == [arn, again]
    first = streams.list_streams(Limit=1)
    assert first["LastEvaluatedStreamArn"] == arn
    assert [stream["StreamArn"] for stream in streams.list_streams(ExclusiveStartStreamArn=arn)["Streams"]] == [again]


def test_a_table_without_a_stream_has_none(tables: Any, streams: Any) -> None:
    assert create(tables, specification=None) == ""
    tables.put_item(TableName="orders", Item={"id": {"S": "a"}})
    assert streams.list_streams()["Streams"] == []


def test_requests_that_are_refused(tables: Any, streams: Any) -> None:
    arn = create(tables)
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    at = {"StreamArn": arn, "ShardId": shard["ShardId"]}
    with refused("ResourceNotFoundException"):
        streams.describe_stream(StreamArn=arn + "1")
    with refused("ResourceNotFoundException"):
        streams.get_shard_iterator(StreamArn=arn, ShardId="x" * 30, ShardIteratorType="LATEST")
    for members in (
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "LATEST", "SequenceNumber": "1" * 21},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "9" * 21},
        {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "1" + "0" * 17 + "999"},
        {"ShardIteratorType": "AT_TIMESTAMP"},
        {"ShardIteratorType": "SOMEWHERE"},
    ):
        with refused("ValidationException"):
            streams.get_shard_iterator(**at, **members)
    for token in ("nonsense", f"{arn}|1|AAAA", f"{arn}|1|WzEsMl0=", f"{arn}|1|\u00e4"):
        with refused("ValidationException"):
            streams.get_records(ShardIterator=token)
    with refused("ValidationException"):
        streams.get_records(ShardIterator=iterator(streams, arn), Limit=1001)
    for specification in (
        {"StreamEnabled": True},
        {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
        {"StreamEnabled": True, "StreamViewType": "X"},
    ):
        with refused("ValidationException"):
            create(tables, "other", specification)


def pages(streams: Any, arn: str) -> Iterator[int]:
    token: str | None = iterator(streams, arn)
    while token:
        page = streams.get_records(ShardIterator=token)
        if not page["Records"]:
            return
        yield len(page["Records"])
        token = page.get("NextShardIterator")


def test_a_page_has_a_megabyte(tables: Any, streams: Any) -> None:
    arn = create(tables, specification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    for name in "abcd":
        tables.put_item(TableName="orders", Item={"id": {"S": name}, "text": {"S": "x" * 390_000}})
    assert list(pages(streams, arn)) == [2, 2]
