"""Streams of tables: what a program that follows one relies on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs
from tests.aws.conftest import client_of

Refused = Callable[..., tuple[str, int]]


streams = client_of("dynamodbstreams", "session")


@pytest.fixture
def stream(dynamodb: Any, name: str) -> str:
    """The ARN of the stream of a table whose key is ``id``."""
    made = dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def iterator(streams: Any, stream: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    shard = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    return str(streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"])


def test_a_stream_is_listed_and_described(dynamodb: Any, streams: Any, name: str, stream: str) -> None:
    (listed,) = streams.list_streams(TableName=name)["Streams"]
    assert listed == {"StreamArn": stream, "TableName": name, "StreamLabel": stream.rpartition("/stream/")[2]}
    told = streams.describe_stream(StreamArn=stream)["StreamDescription"]
    assert told["StreamStatus"] == "ENABLED"
    assert told["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert told["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert dynamodb.describe_table(TableName=name)["Table"]["LatestStreamArn"] == stream


def test_changes_come_in_order_with_their_images(dynamodb: Any, streams: Any, name: str, stream: str) -> None:
    dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}, "n": {"N": "1"}})
    dynamodb.update_item(TableName=name, Key={"id": {"S": "a"}}, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": "2"}})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "a"}})
    found = streams.get_records(ShardIterator=iterator(streams, stream))["Records"]
    assert [record["eventName"] for record in found] == ["INSERT", "MODIFY", "REMOVE"]
    images = [(record["dynamodb"].get("OldImage"), record["dynamodb"].get("NewImage")) for record in found]
    one, two = ({"id": {"S": "a"}, "n": {"N": number}} for number in "12")
    assert images == [(None, one), (one, two), (two, None)]
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in found]
    assert numbers == sorted(set(numbers))


@moto_differs("it leaves a record of every put")
def test_a_write_that_changes_nothing_leaves_no_record(dynamodb: Any, streams: Any, name: str, stream: str) -> None:
    for _time in range(2):
        dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}, "n": {"N": "1"}})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "missing"}})
    assert len(streams.get_records(ShardIterator=iterator(streams, stream))["Records"]) == 1


def test_iterators_begin_where_they_say(dynamodb: Any, streams: Any, name: str, stream: str) -> None:
    latest = iterator(streams, stream, "LATEST")
    for key in "abc":
        dynamodb.put_item(TableName=name, Item={"id": {"S": key}})
    found = streams.get_records(ShardIterator=latest, Limit=2)
    rest = streams.get_records(ShardIterator=found["NextShardIterator"])["Records"]
    keys = [record["dynamodb"]["Keys"]["id"]["S"] for record in [*found["Records"], *rest]]
    assert keys == ["a", "b", "c"]
    second = found["Records"][1]["dynamodb"]["SequenceNumber"]
    after = streams.get_records(ShardIterator=iterator(streams, stream, "AFTER_SEQUENCE_NUMBER", SequenceNumber=second))["Records"]
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in after] == ["c"]


@moto_differs("it fails with 500")
def test_a_stream_that_is_not_there_is_refused(streams: Any, stream: str, refused: Refused) -> None:
    assert refused(streams.describe_stream, StreamArn=f"{stream}0") == ("ResourceNotFoundException", 400)
    assert refused(streams.get_records, ShardIterator="nonsense")[0] == "ValidationException"
