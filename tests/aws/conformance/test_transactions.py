"""Transactions on items, by operations and by statements."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conformance import moto_differs


@pytest.fixture
def table(dynamodb: Any, name: str) -> str:
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def put(table: str, key: str, **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"id": {"S": key}}, **more}}


def reasons(call: Any, **params: Any) -> list[str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    assert refused.value.response["Error"]["Code"] == "TransactionCanceledException"
    return [reason["Code"] for reason in refused.value.response["CancellationReasons"]]


def keys(dynamodb: Any, table: str) -> list[str]:
    return sorted(item["id"]["S"] for item in dynamodb.scan(TableName=table)["Items"])


def test_actions_happen_together(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": "old"}})
    old = {"TableName": table, "Key": {"id": {"S": "old"}}}
    dynamodb.transact_write_items(TransactItems=[put(table, "a"), put(table, "b"), {"Delete": old}])
    assert keys(dynamodb, table) == ["a", "b"]
    found = dynamodb.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": {"id": {"S": key}}}} for key in ("b", "old", "a")])
    assert [answer.get("Item") for answer in found["Responses"]] == [{"id": {"S": "b"}}, None, {"id": {"S": "a"}}]


def test_one_failed_condition_cancels_all(dynamodb: Any, table: str) -> None:
    check = {"TableName": table, "Key": {"id": {"S": "c"}}, "ConditionExpression": "attribute_exists(id)"}
    found = reasons(dynamodb.transact_write_items, TransactItems=[put(table, "a"), {"ConditionCheck": check}])
    assert found == ["None", "ConditionalCheckFailed"]
    assert keys(dynamodb, table) == []


def test_two_actions_on_one_item_are_refused(dynamodb: Any, table: str) -> None:
    with pytest.raises(ClientError, match="multiple operations on one item"):
        dynamodb.transact_write_items(TransactItems=[put(table, "a"), put(table, "a")])


@moto_differs("it takes no notice of tokens")
def test_a_token_makes_a_retry_harmless(dynamodb: Any, table: str, name: str) -> None:
    add = {
        "TableName": table,
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    for _attempt in range(2):
        dynamodb.transact_write_items(TransactItems=[{"Update": add}], ClientRequestToken=name)
    assert dynamodb.get_item(TableName=table, Key=add["Key"])["Item"]["n"] == {"N": "1"}


@moto_differs("it fails with 500")
def test_statements_happen_together(dynamodb: Any, table: str) -> None:
    insert = {"Statement": f"INSERT INTO \"{table}\" VALUE {{'id': ?}}", "Parameters": [{"S": "a"}]}
    dynamodb.execute_transaction(TransactStatements=[insert])
    assert keys(dynamodb, table) == ["a"]
    other = {"Statement": f"INSERT INTO \"{table}\" VALUE {{'id': 'b'}}"}
    assert reasons(dynamodb.execute_transaction, TransactStatements=[other, insert]) == ["None", "DuplicateItem"]
    assert keys(dynamodb, table) == ["a"]
