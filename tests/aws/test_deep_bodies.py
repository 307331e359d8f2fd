"""Bodies that are nested deeper than anything has to be: refused as the client's mistake at every depth, and never a failure of ours."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from tests.aws.builders import dynamodb
from tests.aws.conftest import AwsServer, server_of

#: From what is allowed, past what a service follows, what the model's readers follow and what the decoder does, to what no stack holds.
DEPTHS = (31, 33, 100, 200, 260, 300, 320, 330, 340, 350, 400, 450, 480, 495, 520, 3_000)
KEY = {"pk": {"S": "k"}}
VALUES = {"maps": ('{"M":{"a":', "}}"), "lists": ('{"L":[', "]}"), "unknown members": ('{"x":', "}"), "keys": ('{"M":{"M":', "}}")}
REQUESTS: dict[str, dict[str, Any]] = {
    "PutItem": {"TableName": "deep", "Item": {**KEY, "v": "HERE"}},
    "GetItem": {"TableName": "deep", "Key": {"pk": "HERE"}},
    "UpdateItem": {"TableName": "deep", "Key": KEY, "UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": "HERE"}},
    "DeleteItem": {"TableName": "deep", "Key": KEY, "Expected": {"v": {"Value": "HERE"}}},
    "Query": {
        "TableName": "deep",
        "KeyConditionExpression": "pk = :v",
        "ExpressionAttributeValues": {":v": "HERE"},
        "ExclusiveStartKey": {"pk": "HERE"},
    },
    "BatchWriteItem": {"RequestItems": {"deep": [{"PutRequest": {"Item": {**KEY, "v": "HERE"}}}]}},
    "TransactWriteItems": {"TransactItems": [{"Put": {"TableName": "deep", "Item": {**KEY, "v": "HERE"}}}]},
    "ExecuteStatement": {"Statement": "SELECT * FROM deep WHERE pk = ?", "Parameters": ["HERE"]},
}

server = server_of(dynamodb, "module", open=True)


@pytest.fixture(scope="module", autouse=True)
def table(server: AwsServer) -> None:
    server.client("dynamodb").create_table(
        TableName="deep",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("operation", REQUESTS)
def test_at_every_depth_the_answer_is_the_client_s(server: AwsServer, operation: str, kind: str) -> None:
    before, after = VALUES[kind]
    headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        for depth in DEPTHS:
            value = before * depth + '{"S":"x"}' + after * depth
            connection.request("POST", "/", json.dumps(REQUESTS[operation]).replace('"HERE"', value), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status in (200, 400), (depth, answer)
            if response.status == 400 and depth > 32:
                assert answer["__type"].rpartition("#")[2] in ("ValidationException", "SerializationException"), (depth, answer)
            if depth == DEPTHS[-1]:
                assert "SerializationException" in answer["__type"], (depth, answer)
