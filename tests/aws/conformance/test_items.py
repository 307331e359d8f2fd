"""The life of a table and its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
CONDITION = ("ConditionalCheckFailedException", 400)
INVALID = ("ValidationException", 400)


@pytest.fixture
def table(dynamodb: Any, name: str) -> str:
    """Hash key ``p`` (text), range key ``s`` (number), and the index ``by_kind`` on ``kind``."""
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "s", "AttributeType": "N"},
            {"AttributeName": "kind", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {"IndexName": "by_kind", "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def key(p: str = "a", s: int = 1) -> dict[str, Any]:
    return {"p": {"S": p}, "s": {"N": str(s)}}


AS_WRITTEN = moto_differs("it gives a number back as it was written")
FAILS = moto_differs("it fails with 500")


def item(p: str = "a", s: int = 1, **attributes: Any) -> dict[str, Any]:
    return {**key(p, s), **attributes}


def got(dynamodb: Any, table: str, p: str = "a", s: int = 1) -> Any:
    return dynamodb.get_item(TableName=table, Key=key(p, s), ConsistentRead=True).get("Item")


def numbers(found: Any) -> list[int]:
    return [int(one["s"]["N"]) for one in found["Items"]]


# Tables.


def test_a_table_is_made_described_listed_and_deleted(dynamodb: Any, table: str, refused: Refused) -> None:
    told = dynamodb.describe_table(TableName=table)["Table"]
    assert (told["TableName"], told["TableStatus"], told["ItemCount"]) == (table, "ACTIVE", 0)
    assert told["GlobalSecondaryIndexes"][0]["IndexName"] == "by_kind"
    assert table in dynamodb.list_tables()["TableNames"]
    dynamodb.delete_table(TableName=table)
    assert refused(dynamodb.describe_table, TableName=table) == ("ResourceNotFoundException", 400)


def test_a_table_that_is_there_already(dynamodb: Any, table: str, refused: Refused) -> None:
    params = {
        "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    assert refused(dynamodb.create_table, TableName=table, **params) == ("ResourceInUseException", 400)


# Items.


def test_an_item_is_put_got_and_deleted(dynamodb: Any, table: str) -> None:
    whole = item(
        text={"S": "ü"},
        number={"N": "-1.5"},
        bytes={"B": b"\x00\xff"},
        flag={"BOOL": True},
        nothing={"NULL": True},
        list={"L": [{"S": "x"}, {"N": "1"}]},
        map={"M": {"a": {"M": {}}}},
        texts={"SS": ["a", "b"]},
    )
    dynamodb.put_item(TableName=table, Item=whole)
    found = got(dynamodb, table)
    found["texts"]["SS"].sort()
    assert found == whole
    old = dynamodb.delete_item(TableName=table, Key=key(), ReturnValues="ALL_OLD")["Attributes"]
    assert old["text"] == {"S": "ü"}
    assert got(dynamodb, table) is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        pytest.param("1.0", "1", marks=AS_WRITTEN),
        pytest.param("0010", "10", marks=AS_WRITTEN),
        pytest.param("1E3", "1000", marks=AS_WRITTEN),
        pytest.param("-0", "0", marks=AS_WRITTEN),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
    ],
)
def test_numbers_are_exact(dynamodb: Any, table: str, written: str, told: str) -> None:
    dynamodb.put_item(TableName=table, Item=item(n={"N": written}))
    assert got(dynamodb, table)["n"] == {"N": told}


@pytest.mark.parametrize(
    "bad",
    [
        {"n": {"N": "many"}},
        pytest.param({"n": {"N": "1" * 39}}, marks=moto_differs("it does not check this")),
        pytest.param({"n": {"N": "1E126"}}, marks=moto_differs("it does not check this")),
        {"s": {"S": "no number"}},
        {"e": {"SS": []}},
        pytest.param({"e": {"SS": ["a", "a"]}}, marks=moto_differs("it does not check this")),
    ],
)
def test_items_that_are_none(dynamodb: Any, table: str, bad: Any, refused: Refused) -> None:
    assert refused(dynamodb.put_item, TableName=table, Item=item(**bad) if "s" not in bad else {**item(), **bad}) == INVALID


def test_an_item_of_more_than_400_kilobytes(dynamodb: Any, table: str, refused: Refused) -> None:
    assert refused(dynamodb.put_item, TableName=table, Item=item(x={"S": "x" * 410_000})) == INVALID


def test_a_condition_guards_a_put(dynamodb: Any, table: str, refused: Refused) -> None:
    guarded = {"TableName": table, "Item": item(n={"N": "1"}), "ConditionExpression": "attribute_not_exists(p)"}
    dynamodb.put_item(**guarded)
    assert refused(dynamodb.put_item, **guarded) == CONDITION


def test_an_update_sets_adds_and_removes(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item=item(n={"N": "1"}, former={"S": "x"}, many={"L": [{"S": "a"}]}))
    after = dynamodb.update_item(
        TableName=table,
        Key=key(),
        UpdateExpression="SET #n = n + :two, many = list_append(many, :more), made = if_not_exists(made, :yes) REMOVE former ADD runs :two",
        ExpressionAttributeNames={"#n": "n"},
        ExpressionAttributeValues={":two": {"N": "2"}, ":more": {"L": [{"S": "b"}]}, ":yes": {"BOOL": True}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert after == item(n={"N": "3"}, many={"L": [{"S": "a"}, {"S": "b"}]}, made={"BOOL": True}, runs={"N": "2"})


def test_an_update_makes_the_item_that_is_not_there(dynamodb: Any, table: str) -> None:
    dynamodb.update_item(TableName=table, Key=key(), UpdateExpression="ADD n :one", ExpressionAttributeValues={":one": {"N": "1"}})
    assert got(dynamodb, table) == item(n={"N": "1"})


def test_a_projection(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item=item(a={"M": {"b": {"L": [{"S": "x"}, {"S": "y"}]}}}, c={"S": "z"}))
    found = dynamodb.get_item(TableName=table, Key=key(), ProjectionExpression="a.b[1], s")["Item"]
    assert found == {"a": {"M": {"b": {"L": [{"S": "y"}]}}}, "s": {"N": "1"}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("n = :one", True),
        ("n <> :one", False),
        ("n BETWEEN :one AND :two", True),
        ("n IN (:two, :one)", True),
        ("begins_with(t, :ab)", True),
        ("contains(t, :ab)", True),
        ("size(t) = :two", False),
        ("attribute_type(t, :type)", True),
        ("NOT attribute_exists(x) AND (n > :two OR n < :two)", True),
    ],
)
def test_conditions(dynamodb: Any, table: str, condition: str, holds: bool, refused: Refused) -> None:
    dynamodb.put_item(TableName=table, Item=item(n={"N": "1"}, t={"S": "abc"}))
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":ab": {"S": "ab"}, ":type": {"S": "S"}}
    params = {
        "TableName": table,
        "Key": key(),
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {name: value for name, value in values.items() if name in condition},
    }
    if holds:
        dynamodb.delete_item(**params)
    else:
        assert refused(dynamodb.delete_item, **params) == CONDITION


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("n =", marks=FAILS),
        pytest.param("n = :missing", marks=FAILS),
        pytest.param("#missing = :one", marks=FAILS),
        "unknown(n)",
        pytest.param("n = :one AND", marks=FAILS),
        pytest.param("size = :one", marks=FAILS),
    ],
)
def test_expressions_that_are_none(dynamodb: Any, table: str, expression: str, refused: Refused) -> None:
    params = {"ConditionExpression": expression, "ExpressionAttributeValues": {":one": {"N": "1"}}}
    assert refused(dynamodb.put_item, TableName=table, Item=item(), **params) == INVALID


# Queries, scans, batches.


@pytest.fixture
def filled(dynamodb: Any, table: str) -> str:
    for number in range(1, 6):
        dynamodb.put_item(TableName=table, Item=item("a", number, kind={"S": "odd" if number % 2 else "even"}))
    dynamodb.put_item(TableName=table, Item=item("b", 1))
    return table


def query(dynamodb: Any, table: str, condition: str = "p = :p", **params: Any) -> Any:
    values = {":p": {"S": "a"}, **params.pop("values", {})}
    return dynamodb.query(TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=values, **params)


def test_a_query_in_both_directions(dynamodb: Any, filled: str) -> None:
    assert numbers(query(dynamodb, filled)) == [1, 2, 3, 4, 5]
    assert numbers(query(dynamodb, filled, ScanIndexForward=False)) == [5, 4, 3, 2, 1]
    assert numbers(query(dynamodb, filled, "p = :p AND s BETWEEN :l AND :h", values={":l": {"N": "2"}, ":h": {"N": "3"}})) == [2, 3]


def test_a_query_in_pages(dynamodb: Any, filled: str) -> None:
    first = query(dynamodb, filled, Limit=2)
    assert (numbers(first), first["LastEvaluatedKey"]) == ([1, 2], key("a", 2))
    assert numbers(query(dynamodb, filled, ExclusiveStartKey=first["LastEvaluatedKey"])) == [3, 4, 5]


def test_a_filter_counts_what_was_read(dynamodb: Any, filled: str) -> None:
    found = query(dynamodb, filled, FilterExpression="kind = :k", values={":k": {"S": "odd"}})
    assert (numbers(found), found["Count"], found["ScannedCount"]) == ([1, 3, 5], 3, 5)


def test_a_query_of_an_index(dynamodb: Any, filled: str) -> None:
    values = {":k": {"S": "even"}}
    found = dynamodb.query(TableName=filled, IndexName="by_kind", KeyConditionExpression="kind = :k", ExpressionAttributeValues=values)
    assert sorted(numbers(found)) == [2, 4]


def test_a_scan_and_its_segments(dynamodb: Any, filled: str) -> None:
    assert dynamodb.scan(TableName=filled)["Count"] == 6
    assert dynamodb.scan(TableName=filled, Select="COUNT").get("Items") is None
    assert sum(dynamodb.scan(TableName=filled, Segment=segment, TotalSegments=3)["Count"] for segment in range(3)) == 6


def test_batches(dynamodb: Any, table: str) -> None:
    puts = [{"PutRequest": {"Item": item("a", number)}} for number in range(25)]
    assert dynamodb.batch_write_item(RequestItems={table: puts})["UnprocessedItems"] == {}
    asked = {table: {"Keys": [key("a", number) for number in (1, 2, 99)]}}
    assert len(dynamodb.batch_get_item(RequestItems=asked)["Responses"][table]) == 2
    dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key("a", 1)}}]})
    assert got(dynamodb, table) is None


@moto_differs("it writes one item twice in a batch")
def test_batches_that_are_too_large(dynamodb: Any, table: str, refused: Refused) -> None:
    puts = [{"PutRequest": {"Item": item("a", number)}} for number in range(26)]
    assert refused(dynamodb.batch_write_item, RequestItems={table: puts}) == INVALID
    assert refused(dynamodb.batch_write_item, RequestItems={table: puts[:1] * 2}) == INVALID


# Transactions, statements, streams, time to live, tags.


def test_a_transaction_writes_all_or_nothing(dynamodb: Any, table: str, refused: Refused) -> None:
    dynamodb.put_item(TableName=table, Item=item("a", 1, n={"N": "1"}))
    put = {"Put": {"TableName": table, "Item": item("a", 2)}}
    check = {"ConditionCheck": {"TableName": table, "Key": key(), "ConditionExpression": "attribute_not_exists(p)"}}
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as cancelled:
        dynamodb.transact_write_items(TransactItems=[put, check])
    assert [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert got(dynamodb, table, "a", 2) is None
    dynamodb.transact_write_items(TransactItems=[put, {"Delete": {"TableName": table, "Key": key()}}])
    found = dynamodb.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": key("a", number)}} for number in (1, 2)])
    assert [response.get("Item") for response in found["Responses"]] == [None, item("a", 2)]


@moto_differs("it needs a parser that is none of its server's requirements")
def test_a_statement(dynamodb: Any, table: str) -> None:
    dynamodb.execute_statement(Statement=f"INSERT INTO \"{table}\" VALUE {{'p': 'a', 's': 1, 'n': ?}}", Parameters=[{"N": "7"}])
    found = dynamodb.execute_statement(Statement=f'SELECT * FROM "{table}" WHERE p = ?', Parameters=[{"S": "a"}])
    assert found["Items"] == [item(n={"N": "7"})]


def test_a_stream_tells_the_changes_in_order(dynamodb: Any, dynamodbstreams: Any, name: str) -> None:
    arn = dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    dynamodb.put_item(TableName=name, Item={"p": {"S": "a"}, "n": {"N": "1"}})
    dynamodb.put_item(TableName=name, Item={"p": {"S": "a"}, "n": {"N": "2"}})
    dynamodb.delete_item(TableName=name, Key={"p": {"S": "a"}})
    (shard,) = dynamodbstreams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    asked = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    records = dynamodbstreams.get_records(ShardIterator=dynamodbstreams.get_shard_iterator(**asked)["ShardIterator"])["Records"]
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert records[1]["dynamodb"]["OldImage"]["n"] == {"N": "1"}
    assert records[1]["dynamodb"]["NewImage"]["n"] == {"N": "2"}


def test_time_to_live_is_set(dynamodb: Any, table: str) -> None:
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    told = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told["TimeToLiveStatus"] in ("ENABLING", "ENABLED")
    assert told["AttributeName"] == "expires"


def test_tags_of_a_table(dynamodb: Any, table: str) -> None:
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "a"}])
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == []
