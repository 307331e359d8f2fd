"""TransactWriteItems and TransactGetItems through their protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventflow.aws.operation import Service
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.testing.virtual_clock import VirtualClock
from tests.aws.builders import dynamodb


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    client = serve(dynamodb).client("dynamodb", parameter_validation=False)
    create(client, "accounts")
    return client


def create(client: Any, name: str) -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def key(name: str) -> dict[str, Any]:
    return {"TableName": "accounts", "Key": {"id": {"S": name}}}


def put(name: str, table: str = "accounts", **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"id": {"S": name}, "n": {"N": "1"}}, **more}}


def get(client: Any, name: str) -> Any:
    return client.get_item(**key(name)).get("Item")


def refusal(call: Callable[..., Any], **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    return dict(refused.value.response)


def message(call: Callable[..., Any], **params: Any) -> str:
    error = refusal(call, **params)["Error"]
    return f"{error['Code']}: {error['Message']}"


ADD = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}


def test_all_actions_happen_together(client: Any) -> None:
    client.put_item(TableName="accounts", Item={"id": {"S": "old"}})
    client.put_item(TableName="accounts", Item={"id": {"S": "checked"}})
    done = client.transact_write_items(
        TransactItems=[
            put("a"),
            {"Update": {**key("b"), **ADD}},
            {"Delete": key("old")},
            {"ConditionCheck": {**key("checked"), "ConditionExpression": "attribute_exists(id)"}},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert done["ConsumedCapacity"] == [{"TableName": "accounts", "CapacityUnits": 8.0, "WriteCapacityUnits": 8.0}]
    assert get(client, "a") == {"id": {"S": "a"}, "n": {"N": "1"}}
    assert get(client, "b") == {"id": {"S": "b"}, "n": {"N": "1"}}
    assert get(client, "old") is None
    assert get(client, "checked") == {"id": {"S": "checked"}}


def test_a_condition_that_fails_cancels_everything_and_every_reason_is_told(client: Any) -> None:
    client.put_item(TableName="accounts", Item={"id": {"S": "there"}, "t": {"S": "text"}})
    error = refusal(
        client.transact_write_items,
        TransactItems=[
            put("a"),
            put("there", ConditionExpression="attribute_not_exists(id)", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
            put("b", ConditionExpression="attribute_exists(id)", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
            {"Update": {**key("there2"), "UpdateExpression": "SET x = t"}},
            {"ConditionCheck": {**key("c"), "ConditionExpression": "attribute_exists(id)"}},
        ],
    )
    assert error["Error"] == {
        "Code": "TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[None, ConditionalCheckFailed, ConditionalCheckFailed, ValidationError, ConditionalCheckFailed]",
    }
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert error["CancellationReasons"] == [
        {"Code": "None"},
        {**failed, "Item": {"id": {"S": "there"}, "t": {"S": "text"}}},
        failed,
        {"Code": "ValidationError", "Message": "The provided expression refers to an attribute that does not exist in the item"},
        failed,
    ]
    assert client.scan(TableName="accounts")["Items"] == [{"id": {"S": "there"}, "t": {"S": "text"}}]


def test_a_token_makes_a_transaction_happen_once(client: Any) -> None:
    request = {"TransactItems": [{"Update": {**key("a"), **ADD}}], "ClientRequestToken": "one", "ReturnConsumedCapacity": "INDEXES"}
    assert client.transact_write_items(**request)["ConsumedCapacity"][0]["WriteCapacityUnits"] == 2.0
    again = client.transact_write_items(**request)["ConsumedCapacity"]
    assert again == [
        {
            "TableName": "accounts",
            "CapacityUnits": 2.0,
            "ReadCapacityUnits": 2.0,
            "Table": {"CapacityUnits": 2.0, "ReadCapacityUnits": 2.0},
        }
    ]
    assert get(client, "a")["n"] == {"N": "1"}
    other = {**request, "TransactItems": [{"Update": {**key("b"), **ADD}}]}
    assert message(client.transact_write_items, **other).startswith("IdempotentParameterMismatchException: ")
    failing = {"TransactItems": [put("c", ConditionExpression="attribute_exists(id)")], "ClientRequestToken": "two"}
    for _attempt in range(2):
        assert message(client.transact_write_items, **failing).startswith("TransactionCanceledException")


def test_a_token_is_forgotten_after_ten_minutes(serve: Callable[..., Any]) -> None:
    clock = VirtualClock()

    async def on_clock(database: Database, _clock: Clock, account: str, folder: Path) -> list[Service]:
        return await dynamodb(database, clock, account, folder)  # the requests are dated by the machine's

    client = serve(on_clock).client("dynamodb")
    create(client, "accounts")
    request = {"TransactItems": [{"Update": {**key("a"), **ADD}}], "ClientRequestToken": "one"}
    client.transact_write_items(**request)
    clock.jump(599)
    client.transact_write_items(**request)
    assert get(client, "a")["n"] == {"N": "1"}
    clock.jump(2)
    client.transact_write_items(**request)
    assert get(client, "a")["n"] == {"N": "2"}


def test_items_are_read_together(client: Any) -> None:
    for name in "ab":
        client.put_item(TableName="accounts", Item={"id": {"S": name}, "n": {"N": "1"}, "text": {"S": "x" * 5000}})
    found = client.transact_get_items(
        TransactItems=[
            {"Get": {**key("b"), "ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "n"}}},
            {"Get": key("missing")},
            {"Get": key("a")},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert found["Responses"][:2] == [{"Item": {"n": {"N": "1"}}}, {}]
    assert found["Responses"][2]["Item"]["id"] == {"S": "a"}
    assert found["ConsumedCapacity"] == [{"TableName": "accounts", "CapacityUnits": 10.0, "ReadCapacityUnits": 10.0}]


def test_requests_that_are_refused_whole(client: Any) -> None:
    write, read = client.transact_write_items, client.transact_get_items
    assert message(write, TransactItems=[put("a"), {"Delete": key("a")}]) == (
        "ValidationException: Transaction request cannot include multiple operations on one item"
    )
    assert message(write, TransactItems=[{**put("a"), "Delete": key("b")}]) == (
        "ValidationException: TransactItems can only contain one of Check, Put, Update or Delete"
    )
    assert message(write, TransactItems=[{}]).startswith("ValidationException: TransactItems can only contain one of")
    assert message(write, TransactItems=[put("a", "nowhere")]) == "ResourceNotFoundException: Requested resource not found"
    assert message(write, TransactItems=[]) == (
        "ValidationException: 1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )
    assert "less than or equal to 100" in message(write, TransactItems=[put(str(number)) for number in range(101)])
    assert message(write, TransactItems=[{"Update": key("a")}]) == (
        "ValidationException: 1 validation error detected: Value null at 'transactItems.1.member.update.updateExpression' "
        "failed to satisfy constraint: Member must not be null"
    )
    assert "Syntax error" in message(write, TransactItems=[put("a", ConditionExpression="a = = b")])
    assert "36" in message(write, TransactItems=[put("a")], ClientRequestToken="x" * 37)
    large = [put(str(number)) for number in range(11)]
    for member in large:
        member["Put"]["Item"]["text"] = {"S": "x" * 400_000}
    assert "4 MB" in message(write, TransactItems=large)
    wrong = {"TableName": "accounts", "Key": {"id": {"N": "1"}}}
    error = refusal(write, TransactItems=[put("a"), {"Delete": wrong}])
    assert error["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ValidationError", "Message": "The provided key element does not match the schema"},
    ]
    assert refusal(read, TransactItems=[{"Get": wrong}])["CancellationReasons"][0]["Code"] == "ValidationError"
    assert message(read, TransactItems=[{}]).startswith("ValidationException")
    assert client.scan(TableName="accounts")["Count"] == 0


def test_a_table_whose_throughput_is_used_up_cancels(client: Any) -> None:
    client.create_table(
        TableName="small",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    large = {"id": {"S": "a"}, "text": {"S": "x" * 390_000}}
    client.transact_write_items(TransactItems=[{"Put": {"TableName": "small", "Item": large}}])
    error = refusal(client.transact_write_items, TransactItems=[put("b", "small"), put("b")])
    assert [reason["Code"] for reason in error["CancellationReasons"]] == ["ProvisionedThroughputExceeded", "None"]
    assert get(client, "b") is None
    reading = [{"Get": {"TableName": "small", "Key": {"id": {"S": "a"}}}}]
    codes = []
    for _attempt in range(3):
        try:
            client.transact_get_items(TransactItems=reading)
        except ClientError as refused:
            codes = [reason["Code"] for reason in refused.response["CancellationReasons"]]
            break
    assert codes == ["ProvisionedThroughputExceeded"]
