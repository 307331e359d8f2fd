"""The life of a table: made, described, changed, tagged, protected, read in parts and deleted; and the parameters from before expressions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conformance import moto_differs
from tests.patience import PATIENCE

Refused = Callable[..., tuple[str, int]]
ALL = {"ProjectionType": "ALL"}


def attributes(*texts: str) -> list[dict[str, str]]:
    return [{"AttributeName": text[:-2], "AttributeType": text[-1]} for text in texts]


def schema(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": role} for name, role in zip(names, ("HASH", "RANGE"), strict=False)]


def s(text: str) -> dict[str, str]:
    return {"S": text}


def n(number: object) -> dict[str, str]:
    return {"N": str(number)}


@pytest.fixture
def table(dynamodb: Any, name: str) -> Iterator[str]:
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=attributes("team:S", "number:N", "city:S"),
        KeySchema=schema("team", "number"),
        LocalSecondaryIndexes=[{"IndexName": "by-city", "KeySchema": schema("team", "city"), "Projection": {"ProjectionType": "KEYS_ONLY"}}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name)
    yield name
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name)


@pytest.fixture
def people(dynamodb: Any, table: str) -> str:
    for number, city in enumerate(["Ulm", "Bonn", "Ulm", "Rom"]):
        dynamodb.put_item(TableName=table, Item={"team": s("red"), "number": n(number), "city": s(city), "even": {"BOOL": number % 2 == 0}})
    return table


def message(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    text: str = caught.value.response["Error"]["Message"]
    return text


def describe(dynamodb: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
    return found


def index_of(dynamodb: Any, name: str) -> dict[str, Any] | None:
    return next(iter(describe(dynamodb, name).get("GlobalSecondaryIndexes", ())), None)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@moto_differs("it has words of its own for an index that is not there")
def test_a_global_index_comes_to_a_live_table_and_goes(dynamodb: Any, people: str) -> None:
    creation = {"IndexName": "cities", "KeySchema": schema("city"), "Projection": ALL}
    answer = dynamodb.update_table(TableName=people, AttributeDefinitions=attributes("city:S"), GlobalSecondaryIndexUpdates=[{"Create": creation}])
    assert answer["TableDescription"]["GlobalSecondaryIndexes"][0]["IndexStatus"] in ("CREATING", "ACTIVE")
    wait_for(lambda: (index_of(dynamodb, people) or {}).get("IndexStatus") == "ACTIVE")
    query = {"TableName": people, "IndexName": "cities", "KeyConditionExpression": "city = :c", "ExpressionAttributeValues": {":c": s("Ulm")}}
    assert sorted(item["number"]["N"] for item in dynamodb.query(**query)["Items"]) == ["0", "2"]
    dynamodb.update_item(
        TableName=people,
        Key={"team": s("red"), "number": n(0)},
        UpdateExpression="SET city = :c",
        ExpressionAttributeValues={":c": s("Rom")},
    )
    assert [item["number"]["N"] for item in dynamodb.query(**query)["Items"]] == ["2"]
    dynamodb.update_table(TableName=people, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "cities"}}])
    wait_for(lambda: index_of(dynamodb, people) is None)
    assert message(dynamodb.query, **query) == "The table does not have the specified index: cities"


def test_throughput_and_billing_are_changed(dynamodb: Any, table: str) -> None:
    units = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 3}
    dynamodb.update_table(TableName=table, BillingMode="PROVISIONED", ProvisionedThroughput=units)
    wait_for(lambda: describe(dynamodb, table)["TableStatus"] == "ACTIVE")
    found = describe(dynamodb, table)["ProvisionedThroughput"]
    assert (found["ReadCapacityUnits"], found["WriteCapacityUnits"]) == (7, 3)
    dynamodb.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")
    assert describe(dynamodb, table)["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


@moto_differs("it answers with the table as it is")
def test_an_update_says_what_it_changes(dynamodb: Any, table: str, refused: Refused) -> None:
    assert refused(dynamodb.update_table, TableName=table) == ("ValidationException", 400)
    assert refused(dynamodb.update_table, TableName=table, BillingMode="PROVISIONED") == ("ValidationException", 400)


def test_a_protected_table_is_not_deleted(dynamodb: Any, table: str, refused: Refused) -> None:
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True)
    assert describe(dynamodb, table)["DeletionProtectionEnabled"] is True
    assert refused(dynamodb.delete_table, TableName=table) == ("ValidationException", 400)
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)


@moto_differs("it keeps two tags with one key")
def test_tags_are_kept_by_arn(dynamodb: Any, table: str) -> None:
    arn = describe(dynamodb, table)["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["b"])
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]


@moto_differs("it sets what is set already")
def test_time_to_live_is_set_described_and_taken_away(dynamodb: Any, table: str) -> None:
    wanted = {"Enabled": True, "AttributeName": "until"}
    assert dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)["TimeToLiveSpecification"] == wanted
    wait_for(lambda: dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED")
    assert dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["AttributeName"] == "until"
    assert message(dynamodb.update_time_to_live, TableName=table, TimeToLiveSpecification=wanted) == "TimeToLive is already enabled"
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification={**wanted, "Enabled": False})
    assert dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"] == {"TimeToLiveStatus": "DISABLED"}


@moto_differs("it says nothing of a table's limits")
def test_limits_endpoints_and_backups_are_described(dynamodb: Any, table: str, refused: Refused) -> None:
    assert dynamodb.describe_limits()["TableMaxReadCapacityUnits"] > 0
    assert dynamodb.describe_endpoints()["Endpoints"][0]["CachePeriodInMinutes"] == 1440
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert (
        refused(dynamodb.update_continuous_backups, TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})[1] == 501
    )


@moto_differs("it names no collection")
def test_item_collections_are_reported(dynamodb: Any, table: str) -> None:
    answer = dynamodb.put_item(TableName=table, Item={"team": s("red"), "number": n(1)}, ReturnItemCollectionMetrics="SIZE")
    assert answer["ItemCollectionMetrics"] == {"ItemCollectionKey": {"team": s("red")}, "SizeEstimateRangeGB": [0.0, 1.0]}


def test_a_parallel_scan_sees_every_item_once(dynamodb: Any, table: str) -> None:
    for number in range(30):
        dynamodb.put_item(TableName=table, Item={"team": s(f"team-{number}"), "number": n(number)})
    seen = []
    for segment in range(3):
        pages = dynamodb.get_paginator("scan").paginate(TableName=table, Segment=segment, TotalSegments=3, PaginationConfig={"PageSize": 4})
        seen += [int(item["number"]["N"]) for page in pages for item in page["Items"]]
    assert sorted(seen) == list(range(30))


@moto_differs("it knows no ConditionalOperator")
def test_conditions_from_before_expressions_are_read(dynamodb: Any, people: str) -> None:
    def numbers(call: Callable[..., Any], **params: Any) -> list[str]:
        return sorted(item["number"]["N"] for item in call(TableName=people, **params)["Items"])

    def condition(operator: str, *values: dict[str, str]) -> dict[str, Any]:
        return {"ComparisonOperator": operator, **({"AttributeValueList": list(values)} if values else {})}

    red = {"team": condition("EQ", s("red"))}
    assert numbers(dynamodb.query, KeyConditions=red | {"number": condition("BETWEEN", n(1), n(2))}) == ["1", "2"]
    assert numbers(dynamodb.query, KeyConditions=red, QueryFilter={"city": condition("NE", s("Ulm"))}) == ["1", "3"]
    assert numbers(dynamodb.scan, ScanFilter={"city": condition("BEGINS_WITH", s("R"))}) == ["3"]
    assert numbers(dynamodb.scan, ScanFilter={"absent": condition("NOT_NULL")}) == []
    either = {"city": condition("EQ", s("Rom")), "number": condition("LT", n(1))}
    assert numbers(dynamodb.scan, ScanFilter=either, ConditionalOperator="OR") == ["0", "3"]


@moto_differs("it does not hold DeleteItem to what is Expected")
def test_writes_from_before_expressions_are_read(dynamodb: Any, people: str, refused: Refused) -> None:
    first = {"TableName": people, "Key": {"team": s("red"), "number": n(0)}}
    found = dynamodb.update_item(
        **first,
        AttributeUpdates={
            "city": {"Value": s("Köln"), "Action": "PUT"},
            "even": {"Action": "DELETE"},
            "visits": {"Value": n(2), "Action": "ADD"},
        },
        Expected={"city": {"Value": s("Ulm")}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert found == {"team": s("red"), "number": n(0), "city": s("Köln"), "visits": n(2)}
    stale = {"city": {"Value": s("Ulm")}}
    assert refused(dynamodb.delete_item, **first, Expected=stale)[0] == "ConditionalCheckFailedException"
    assert (
        refused(dynamodb.put_item, TableName=people, Item=first["Key"], Expected={"team": {"Exists": False}})[0] == "ConditionalCheckFailedException"
    )
    dynamodb.delete_item(**first, Expected={"city": {"Value": s("Köln")}, "absent": {"Exists": False}})
    assert "Item" not in dynamodb.get_item(**first)


@moto_differs("it returns whole items")
def test_attributes_to_get_are_the_ones_that_come(dynamodb: Any, people: str) -> None:
    key = {"team": s("red"), "number": n(1)}
    assert dynamodb.get_item(TableName=people, Key=key, AttributesToGet=["city", "absent"])["Item"] == {"city": s("Bonn")}
    batch = dynamodb.batch_get_item(RequestItems={people: {"Keys": [key], "AttributesToGet": ["even"]}})
    assert batch["Responses"][people] == [{"even": {"BOOL": False}}]


@moto_differs("it takes both and uses one")
def test_expressions_and_what_was_before_them_are_not_mixed(dynamodb: Any, people: str) -> None:
    mixed = {"ScanFilter": {"city": {"ComparisonOperator": "NULL"}}, "FilterExpression": "attribute_exists(city)"}
    assert message(dynamodb.scan, TableName=people, **mixed) == (
        "Can not use both expression and non-expression parameters in the same request: "
        "Non-expression parameters: {ScanFilter} Expression parameters: {FilterExpression}"
    )


@moto_differs("it does not throttle")
def test_provisioned_throughput_throttles(dynamodb: Any, name: str) -> None:
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=attributes("p:S"),
        KeySchema=schema("p"),
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    large = {"p": s("1"), "x": s("x" * 390_000)}
    dynamodb.put_item(TableName=name, Item=large)  # more than what five minutes keep for a burst
    with pytest.raises(dynamodb.exceptions.ProvisionedThroughputExceededException):
        dynamodb.put_item(TableName=name, Item=large)
    dynamodb.delete_table(TableName=name)
