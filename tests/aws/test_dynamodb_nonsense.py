"""Requests with something else where something was: whatever stands in a place, the answer is AWS's refusal, and never a failure of ours."""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.aws.builders import dynamodb
from tests.aws.conftest import AwsServer, server_of

T: dict[str, Any] = {"TableName": "people"}
KEY = {"p": {"S": "1"}, "q": {"N": "1"}}
ITEM = {**KEY, "l": {"L": [{"S": "a"}, {"M": {"x": {"B": "AA=="}}}]}, "ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["AA=="]}}
SCHEMA = [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "q", "KeyType": "RANGE"}]
DEFINITIONS = [{"AttributeName": "p", "AttributeType": "S"}, {"AttributeName": "q", "AttributeType": "N"}]
UNITS = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
INDEX = {
    "IndexName": "gsi",
    "KeySchema": [{"AttributeName": "q", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
}
LOCAL = {"IndexName": "lsi", "KeySchema": [SCHEMA[0], {"AttributeName": "l", "KeyType": "RANGE"}], "Projection": {"ProjectionType": "ALL"}}
CONDITION = {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}, "b": {"ComparisonOperator": "NULL"}}
TABLE = {"TableName": "people", "AttributeDefinitions": DEFINITIONS, "KeySchema": SCHEMA, "BillingMode": "PAY_PER_REQUEST"}

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (
        "CreateTable",
        {
            "TableName": "other",
            "AttributeDefinitions": [*DEFINITIONS, {"AttributeName": "l", "AttributeType": "S"}],
            "KeySchema": SCHEMA,
            "ProvisionedThroughput": UNITS,
            "GlobalSecondaryIndexes": [{**INDEX, "ProvisionedThroughput": UNITS}],
            "LocalSecondaryIndexes": [LOCAL],
            "Tags": [{"Key": "a", "Value": "b"}],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        },
    ),
    ("UpdateTable", {**T, "AttributeDefinitions": DEFINITIONS, "GlobalSecondaryIndexUpdates": [{"Create": INDEX}, {"Update": {"IndexName": "abc"}}]}),
    ("UpdateTable", {**T, "BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS}),
    ("UpdateTimeToLive", {**T, "TimeToLiveSpecification": {"Enabled": False, "AttributeName": "ttl"}}),
    ("TagResource", {"ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/people", "Tags": [{"Key": "a", "Value": "b"}]}),
    ("UntagResource", {"ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/people", "TagKeys": ["a"]}),
    ("PutItem", {**T, "Item": ITEM, "ReturnValues": "ALL_OLD", "ReturnConsumedCapacity": "INDEXES"}),
    ("PutItem", {**T, "Item": KEY, "Expected": {"a": {"Exists": False}, "b": {"Value": {"S": "x"}}}, "ConditionalOperator": "OR"}),
    (
        "UpdateItem",
        {
            **T,
            "Key": KEY,
            "UpdateExpression": "SET #a = :v",
            "ConditionExpression": "p = :p",
            "ExpressionAttributeNames": {"#a": "a"},
            "ExpressionAttributeValues": {":v": {"L": [{"N": "1"}]}, ":p": {"S": "1"}},
        },
    ),
    ("UpdateItem", {**T, "Key": KEY, "AttributeUpdates": {"a": {"Action": "PUT", "Value": {"N": "1"}}, "b": {"Action": "DELETE"}}}),
    ("DeleteItem", {**T, "Key": KEY, "Expected": CONDITION}),
    ("GetItem", {**T, "Key": KEY, "AttributesToGet": ["a", "b"]}),
    ("Query", {**T, "KeyConditions": {"p": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "1"}]}}, "QueryFilter": CONDITION, "Limit": 1}),
    (
        "Query",
        {**T, "KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "1"}}, "ExclusiveStartKey": KEY, "Select": "COUNT"},
    ),
    ("Scan", {**T, "ScanFilter": CONDITION, "ConditionalOperator": "AND", "Segment": 0, "TotalSegments": 2, "ExclusiveStartKey": KEY}),
    ("BatchGetItem", {"RequestItems": {"people": {"Keys": [KEY], "ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a"}}}}),
    ("BatchWriteItem", {"RequestItems": {"people": [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": {**KEY, "p": {"S": "2"}}}}]}}),
]
NONSENSE: list[Any] = [None, {}, [], "", 0, -1, 1.5, True, "\u00e9", [None], {"": None}, {"S": "x", "N": "1"}, "9" * 400]


server = server_of(dynamodb, "module", open=True)


def send(connection: http.client.HTTPConnection, operation: str, body: Any) -> tuple[int, Any]:
    """Send what boto3 would not."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
    }
    connection.request("POST", "/", json.dumps(body).encode(), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read() or b"null")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(request: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(request)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def judge(server: AwsServer, operation: str, request: dict[str, Any], nonsense: list[Any]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        send(connection, "CreateTable", TABLE)
        for path in places(request):
            for value in nonsense:
                status, answer = send(connection, operation, replaced(request, path, value))
                assert status in (200, 400), (path, value, answer)
        send(connection, "DeleteTable", {"TableName": "other"})


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "request_"), REQUESTS, ids=[f"{number}-{name}" for number, (name, _request) in enumerate(REQUESTS)])
def test_nonsense_in_any_place_is_refused_or_harmless(server: AwsServer, operation: str, request_: dict[str, Any]) -> None:
    judge(server, operation, request_, NONSENSE)


@pytest.mark.parametrize("number", [3, 5, 6, 12, 16])
def test_nothing_in_any_place_is_refused_or_harmless(server: AwsServer, number: int) -> None:
    judge(server, *REQUESTS[number], [None])
