"""DynamoDB through its protocol: boto3 as a program uses it, and the same calls against moto where moto is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.aws.builders import dynamodb
from tests.aws.conftest import client_of, server_of

REGION = "us-east-1"


server = server_of(dynamodb)
client = client_of("dynamodb")


@pytest.fixture
def resource(server: Any) -> Any:
    return boto3.resource(
        "dynamodb",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id=server.credentials.access_key,
        aws_secret_access_key=server.credentials.secret_key,
    )


PEOPLE: dict[str, Any] = {
    "TableName": "people",
    "KeySchema": [{"AttributeName": "team", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "team", "AttributeType": "S"},
        {"AttributeName": "number", "AttributeType": "N"},
        {"AttributeName": "city", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-city",
            "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def test_a_program_with_boto3s_resource_works_unchanged(resource: Any) -> None:
    table = resource.create_table(**PEOPLE)
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for number in range(40):
            batch.put_item(Item={"team": "red", "number": number, "city": "Ulm" if number % 2 else "Bonn", "score": Decimal("0.1") * number})
    found = table.query(KeyConditionExpression=Key("team").eq("red") & Key("number").between(3, 12), FilterExpression=Attr("city").eq("Ulm"))
    assert [each["number"] for each in found["Items"]] == [3, 5, 7, 9, 11]
    assert found["ScannedCount"] == 10
    found = table.query(IndexName="by-city", KeyConditionExpression=Key("city").eq("Bonn"), ScanIndexForward=False, Limit=3)
    assert [each["number"] for each in found["Items"]] == [38, 36, 34]
    assert found["LastEvaluatedKey"] == {"team": "red", "number": 34, "city": "Bonn"}
    picture = {
        "team": "blue",
        "number": 1,
        "data": b"\x00\xff",
        "tags": {"a", "b"},
        "nested": {"list": [1, None, True, {"x": b"y"}]},
        "codes": {b"1", b"2"},
    }
    table.put_item(Item=picture)
    read = table.get_item(Key={"team": "blue", "number": 1}, ConsistentRead=True)["Item"]
    assert read["data"].value == b"\x00\xff"
    assert read["tags"] == {"a", "b"}
    assert {code.value for code in read["codes"]} == {b"1", b"2"}
    assert read["nested"]["list"][3]["x"].value == b"y"
    updated = table.update_item(
        Key={"team": "blue", "number": 1},
        UpdateExpression="SET nested.#l[0] = nested.#l[0] + :one, #d = :d ADD visits :one",
        ConditionExpression=Attr("tags").contains("a"),
        ExpressionAttributeNames={"#l": "list", "#d": "data"},
        ExpressionAttributeValues={":one": 1, ":d": b"new"},
        ReturnValues="UPDATED_NEW",
    )["Attributes"]
    assert updated == {"nested": {"list": [2]}, "data": b"new", "visits": 1}
    with pytest.raises(resource.meta.client.exceptions.ConditionalCheckFailedException) as caught:
        table.put_item(Item=picture, ConditionExpression=Attr("team").not_exists(), ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"]["visits"] == {"N": "1"}
    assert caught.value.response["Item"]["data"] == {"B": b"new"}
    assert (
        sum(page["Count"] for page in resource.meta.client.get_paginator("scan").paginate(TableName="people", PaginationConfig={"PageSize": 7})) == 41
    )
    keys = [{"team": "red", "number": number} for number in (1, 2, 99)]
    batch = resource.batch_get_item(RequestItems={"people": {"Keys": keys}})
    assert {each["number"] for each in batch["Responses"]["people"]} == {1, 2}
    assert resource.meta.client.describe_table(TableName="people")["Table"]["ItemCount"] == 41
    table.delete()
    table.wait_until_not_exists()
    assert resource.meta.client.list_tables()["TableNames"] == []


def test_errors_arrive_as_dynamodbs_exceptions(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Requested resource not found"):
        client.get_item(TableName="nowhere", Key={"p": {"S": "1"}})
    client.create_table(**PEOPLE)
    with pytest.raises(client.exceptions.ResourceInUseException, match="Table already exists: people"):
        client.create_table(**PEOPLE)
    with pytest.raises(ClientError, match=r'ValidationException.*Syntax error; token: "INVALID", near: "INVALID SYNTAX"'):
        client.update_item(TableName="people", Key={"team": {"S": "a"}, "number": {"N": "1"}}, UpdateExpression="INVALID SYNTAX HERE")
    with pytest.raises(ClientError) as caught:
        client.list_global_tables()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_regions_do_not_share_tables(serve: Callable[..., Any]) -> None:
    server = serve(dynamodb)
    server.client("dynamodb").create_table(**PEOPLE)
    assert server.client("dynamodb", region="eu-west-1").list_tables()["TableNames"] == []


def n(number: object) -> dict[str, str]:
    return {"N": str(number)}


def s(text: str) -> dict[str, str]:
    return {"S": text}


def key(number: int, team: str = "red") -> dict[str, Any]:
    return {"team": s(team), "number": n(number)}


def person(number: int, team: str = "red", **attributes: Any) -> dict[str, Any]:
    return {**key(number, team), **attributes}


T = {"TableName": "people"}
#: Calls whose answers moto gets right; together they go through most of the language.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("put_item", {**T, "Item": person(1, name=s("ann"), age=n(30), tags={"SS": ["x", "y"]}, list={"L": [n(1), s("a")]}), "ReturnValues": "ALL_OLD"}),
    ("put_item", {**T, "Item": person(2, name=s("bob"), age=n("25.5"), city=s("Ulm"), blob={"B": b"\x01\x02"})}),
    ("put_item", {**T, "Item": person(-3, name=s("cy"), map={"M": {"a": n(1), "b": {"L": []}}}, flag={"BOOL": False}, none={"NULL": True})}),
    ("put_item", {**T, "Item": person(10, "blue", city=s("Ulm"))}),
    ("put_item", {**T, "Item": person(1, name=s("anna"), age=n(31)), "ReturnValues": "ALL_OLD"}),
    ("put_item", {**T, "Item": person(1), "ConditionExpression": "attribute_not_exists(team)"}),
    ("get_item", {**T, "Key": key(2)}),
    ("get_item", {**T, "Key": key(77)}),
    ("get_item", {**T, "Key": key(-3), "ProjectionExpression": "#n, #m.b, age", "ExpressionAttributeNames": {"#n": "name", "#m": "map"}}),
    (
        "update_item",
        {
            **T,
            "Key": key(1),
            "UpdateExpression": "SET age = age + :i, #l = list_append(if_not_exists(#l, :e), :x) REMOVE tags",
            "ExpressionAttributeNames": {"#l": "list"},
            "ExpressionAttributeValues": {":i": n("0.5"), ":e": {"L": []}, ":x": {"L": [s("b")]}},
            "ReturnValues": "ALL_NEW",
        },
    ),
    (
        "update_item",
        {
            **T,
            "Key": key(5),
            "UpdateExpression": "ADD hits :i, kinds :s",
            "ExpressionAttributeValues": {":i": n(3), ":s": {"SS": ["q"]}},
            "ReturnValues": "ALL_NEW",
        },
    ),
    (
        "update_item",
        {**T, "Key": key(5), "UpdateExpression": "DELETE kinds :s", "ExpressionAttributeValues": {":s": {"SS": ["q"]}}, "ReturnValues": "ALL_NEW"},
    ),
    (
        "update_item",
        {
            **T,
            "Key": key(5),
            "UpdateExpression": "SET hits = hits - :i",
            "ConditionExpression": "hits > :i",
            "ExpressionAttributeValues": {":i": n(1)},
            "ReturnValues": "UPDATED_NEW",
        },
    ),
    (
        "update_item",
        {**T, "Key": key(5), "UpdateExpression": "SET hits = :i", "ConditionExpression": "hits > :i", "ExpressionAttributeValues": {":i": n(9)}},
    ),
    ("update_item", {**T, "Key": key(5), "UpdateExpression": "SET team = :i", "ExpressionAttributeValues": {":i": s("x")}}),
    ("update_item", {**T, "Key": key(5), "UpdateExpression": "SET absent.x = :i", "ExpressionAttributeValues": {":i": s("x")}}),
    ("query", {**T, "KeyConditionExpression": "team = :t", "ExpressionAttributeValues": {":t": s("red")}}),
    (
        "query",
        {
            **T,
            "KeyConditionExpression": "team = :t AND #n < :n",
            "ExpressionAttributeNames": {"#n": "number"},
            "ExpressionAttributeValues": {":t": s("red"), ":n": n(2)},
            "ScanIndexForward": False,
        },
    ),
    ("query", {**T, "KeyConditionExpression": "team = :t", "ExpressionAttributeValues": {":t": s("red")}, "Limit": 2}),
    ("query", {**T, "KeyConditionExpression": "team = :t", "ExpressionAttributeValues": {":t": s("red")}, "ExclusiveStartKey": key(1)}),
    ("query", {**T, "IndexName": "by-city", "KeyConditionExpression": "city = :c", "ExpressionAttributeValues": {":c": s("Ulm")}}),
    (
        "query",
        {
            **T,
            "KeyConditionExpression": "team = :t",
            "FilterExpression": "attribute_exists(age) AND NOT age BETWEEN :a AND :b",
            "ExpressionAttributeValues": {":t": s("red"), ":a": n(20), ":b": n(30)},
        },
    ),
    (
        "query",
        {
            **T,
            "KeyConditionExpression": "team = :t",
            "FilterExpression": "begins_with(#n, :a) OR contains(#n, :o)",
            "ExpressionAttributeNames": {"#n": "name"},
            "ExpressionAttributeValues": {":t": s("red"), ":a": s("an"), ":o": s("o")},
            "Select": "COUNT",
        },
    ),
    ("delete_item", {**T, "Key": key(2), "ReturnValues": "ALL_OLD"}),
    ("delete_item", {**T, "Key": key(2), "ReturnValues": "ALL_OLD"}),
    ("get_item", {"TableName": "nowhere", "Key": key(2)}),
]


@pytest.fixture
def moto_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield boto3.client("dynamodb", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def outcome(client: Any, operation: str, params: dict[str, Any]) -> Any:
    """The response without its metadata, or the error's code and text. Units, which moto counts unasked and wrongly, are left out."""
    try:
        response = getattr(client, operation)(**params)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return {member: found for member, found in response.items() if member not in ("ResponseMetadata", "ConsumedCapacity")}


def test_the_same_calls_get_the_same_answers_from_moto(client: Any, moto_client: Any) -> None:
    client.create_table(**PEOPLE)
    moto_client.create_table(**PEOPLE)
    for operation, params in CALLS:
        assert outcome(client, operation, params) == outcome(moto_client, operation, params), (operation, params)
