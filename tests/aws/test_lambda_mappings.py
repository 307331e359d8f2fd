"""Event source mappings by API on a real daemon, with boto3 as the other side."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.deployed import create, refusal
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import json, os, time

def note(name, value):
    with open(name, "a") as file:
        file.write(json.dumps(value) + "\\n")

@app.function(timeout=5)
def batch(event, context):
    note("batches", [record["body"] for record in event["Records"]])

@app.function(timeout=5)
def change(event, context):
    note("changes", [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]])

@app.function(timeout=60)
def long(event, context):
    return 1

@app.function(timeout=5)
def held(event, context):
    note("started", [record["body"] for record in event["Records"]])
    while not os.path.exists("go-on"):
        time.sleep(0.01)
    note("ended", [record["body"] for record in event["Records"]])

@app.function()
def failing(event, context):
    raise ValueError("no")

@app.on(Queue("declared", batch_size=7))
def declared(event, context):
    return 1
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("mappings"), CODE) as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    return process.client("lambda")


@pytest.fixture(scope="module")
def sqs(process: DaemonProcess) -> Any:
    return process.client("sqs")


def arn_of(queue: str) -> str:
    return f"arn:aws:sqs:us-east-1:000000000000:{queue}"


def in_state(process: DaemonProcess, client: Any, uuid: str, state: str) -> dict[str, Any]:
    def there() -> Any:
        found = client.get_event_source_mapping(UUID=uuid)
        return found if found["State"] == state else None

    found: dict[str, Any] = process.until(there, f"the mapping is {state}")
    return found


def lines(process: DaemonProcess, name: str) -> list[Any]:
    return [json.loads(row) for row in process.rows(name)]


def url_of(sqs: Any, queue: str) -> str:
    return str(sqs.get_queue_url(QueueName=queue)["QueueUrl"])


def visible(sqs: Any, queue: str) -> int:
    told = sqs.get_queue_attributes(QueueUrl=url_of(sqs, queue), AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


def left(sqs: Any, queue: str) -> int:
    """Messages that are visible or in flight."""
    told = sqs.get_queue_attributes(QueueUrl=url_of(sqs, queue), AttributeNames=["All"])["Attributes"]
    return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"])


def test_a_mapping_polls_its_queue_from_its_creation_to_its_deletion(process: DaemonProcess, client: Any, sqs: Any) -> None:
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    made = client.create_event_source_mapping(EventSourceArn=arn_of("orders"), FunctionName="batch", BatchSize=5)
    uuid = made["UUID"]
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (made["State"], made["BatchSize"], made["FunctionResponseTypes"]) == ("Creating", 5, [])
    assert made["EventSourceMappingArn"] == f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}"
    assert in_state(process, client, uuid, "Enabled")["StateTransitionReason"] == "USER_INITIATED"
    sqs.send_message(QueueUrl=url, MessageBody="one")
    process.until(lambda: ["one"] in lines(process, "batches"), "the function got the message")
    deleted = client.delete_event_source_mapping(UUID=uuid)
    assert (deleted["ResponseMetadata"]["HTTPStatusCode"], deleted["State"]) == (202, "Deleting")
    process.until(lambda: uuid not in [one["UUID"] for one in client.list_event_source_mappings()["EventSourceMappings"]], "it is gone")
    assert refusal(client.get_event_source_mapping, UUID=uuid) == (
        "ResourceNotFoundException",
        404,
        "The resource you requested does not exist.",
    )


def test_parameters_are_checked_by_lambda_s_model(client: Any, sqs: Any) -> None:
    sqs.create_queue(QueueName="checked")
    ends = {"EventSourceArn": arn_of("checked"), "FunctionName": "batch"}
    for wrong, place in (
        ({"BatchSize": 10_001}, "batchSize"),
        ({"MaximumBatchingWindowInSeconds": 301}, "maximumBatchingWindowInSeconds"),
        ({"ScalingConfig": {"MaximumConcurrency": 1_001}}, "scalingConfig.maximumConcurrency"),
        ({"FunctionResponseTypes": ["Other"]}, "functionResponseTypes.1.member"),
        ({"ParallelizationFactor": 11}, "parallelizationFactor"),
        ({"TumblingWindowInSeconds": 901}, "tumblingWindowInSeconds"),
        ({"MaximumRetryAttempts": 10_001}, "maximumRetryAttempts"),
        ({"EventSourceArn": "orders"}, "eventSourceArn"),
        ({"FunctionName": "no such name"}, "functionName"),
    ):
        code, status, message = refusal(client.create_event_source_mapping, **{**ends, **wrong})
        assert (code, status) == ("ValidationException", 400)
        assert f"at '{place}' failed to satisfy constraint" in message
    code, status, message = refusal(client.create_event_source_mapping, **{**ends, "FunctionName": "long"})
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"


def test_every_setting_is_told_as_it_was_given(process: DaemonProcess, client: Any, sqs: Any) -> None:
    sqs.create_queue(QueueName="told")
    settings = {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 2,
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"kind": ["order"]}}'}]},
        "ScalingConfig": {"MaximumConcurrency": 4},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    uuid = client.create_event_source_mapping(EventSourceArn=arn_of("told"), FunctionName="batch", Enabled=False, **settings)["UUID"]
    told = in_state(process, client, uuid, "Disabled")
    assert {name: told[name] for name in settings} == settings
    changed = client.update_event_source_mapping(UUID=uuid, BatchSize=5, ScalingConfig={})
    assert (changed["ResponseMetadata"]["HTTPStatusCode"], changed["State"], changed["BatchSize"]) == (202, "Updating", 5)
    assert "ScalingConfig" not in in_state(process, client, uuid, "Disabled")
    listed = client.get_paginator("list_event_source_mappings").paginate(FunctionName="batch", PaginationConfig={"PageSize": 1})
    assert uuid in [one["UUID"] for page in listed for one in page["EventSourceMappings"]]


def test_a_stream_s_settings_and_its_changes(process: DaemonProcess, client: Any) -> None:
    tables = process.client("dynamodb")
    arn = tables.create_table(
        TableName="items",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )["TableDescription"]["LatestStreamArn"]
    settings = {
        "BatchSize": 50,
        "MaximumBatchingWindowInSeconds": 0,
        "StartingPosition": "TRIM_HORIZON",
        "ParallelizationFactor": 2,
        "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": 60,
        "BisectBatchOnFunctionError": True,
        "TumblingWindowInSeconds": 0,
        "DestinationConfig": {"OnFailure": {"Destination": arn_of("declared")}},
        "FunctionResponseTypes": [],
    }
    made = client.create_event_source_mapping(EventSourceArn=arn, FunctionName="change", **settings)
    assert {name: made[name] for name in settings} == settings
    tables.put_item(TableName="items", Item={"id": {"S": "a"}})
    process.until(lambda: ["a"] in lines(process, "changes"), "the function got the change")
    process.until(lambda: client.get_event_source_mapping(UUID=made["UUID"])["LastProcessingResult"] == "OK", "the result is told")


def test_what_a_stream_s_mapping_gives_up_is_an_object_in_a_bucket_with_its_records(process: DaemonProcess, client: Any) -> None:
    tables, s3 = process.client("dynamodb"), process.client("s3")
    arn = tables.create_table(
        TableName="broken",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]["LatestStreamArn"]
    s3.create_bucket(Bucket="given-up")
    given = {
        "EventSourceArn": arn,
        "FunctionName": "failing",
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::given-up"}},
    }
    made = client.create_event_source_mapping(**given)
    assert made["DestinationConfig"] == given["DestinationConfig"]
    tables.put_item(TableName="broken", Item={"id": {"S": "a"}, "word": {"S": "lost"}})
    (found,) = process.until(lambda: s3.list_objects_v2(Bucket="given-up").get("Contents"), "the record is an object")
    shard = process.client("dynamodbstreams").describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    day, instant = r"\d{4}/\d\d/\d\d", r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    assert re.fullmatch(rf"aws/lambda/{made['UUID']}/{shard}/{day}/{instant}-[0-9a-f-]{{36}}", found["Key"])
    record = json.load(s3.get_object(Bucket="given-up", Key=found["Key"])["Body"])
    assert (record["requestContext"]["condition"], record["DDBStreamBatchInfo"]["shardId"]) == ("RetryAttemptsExhausted", shard)
    (lost,) = json.loads(record["payload"])["Records"]
    assert lost["dynamodb"]["NewImage"] == {"id": {"S": "a"}, "word": {"S": "lost"}}
    assert record["DDBStreamBatchInfo"]["startSequenceNumber"] == lost["dynamodb"]["SequenceNumber"]


def test_what_the_application_declares_is_listed_and_not_changed(client: Any) -> None:
    (found,) = client.list_event_source_mappings(EventSourceArn=arn_of("declared"))["EventSourceMappings"]
    assert (found["BatchSize"], found["State"]) == (7, "Enabled")
    code, status, message = refusal(client.update_event_source_mapping, UUID=found["UUID"], BatchSize=1)
    assert (code, status) == ("ResourceConflictException", 409)
    assert "declared by the application" in message


def test_status_shows_what_polls(process: DaemonProcess, client: Any, sqs: Any) -> None:
    sqs.create_queue(QueueName="shown")
    uuid = client.create_event_source_mapping(EventSourceArn=arn_of("shown"), FunctionName="batch")["UUID"]
    in_state(process, client, uuid, "Enabled")
    assert uuid in [one.get("mapping") for one in process.control("status")["triggers"]]


def test_functions_made_by_api_are_polled_for_by_name_version_and_alias(process: DaemonProcess, client: Any, sqs: Any) -> None:
    for queue in ("plain", "versioned", "aliased"):
        sqs.create_queue(QueueName=queue)
    code = f"import json\ndef handler(event, context):\n    open({str(process.folder / 'by-api')!r}, 'a').write(\n"
    code += "        json.dumps([context.function_version, event['Records'][0]['body']]) + '\\n')\n"
    create(client, "made", code)
    version = client.publish_version(FunctionName="made")["Version"]
    client.create_alias(FunctionName="made", Name="live", FunctionVersion=version)
    made = {
        queue: client.create_event_source_mapping(EventSourceArn=arn_of(queue), FunctionName=name)["UUID"]
        for queue, name in (("plain", "made"), ("versioned", f"made:{version}"), ("aliased", "made:live"))
    }
    for queue in made:
        sqs.send_message(QueueUrl=url_of(sqs, queue), MessageBody=queue)
    wanted = [["$LATEST", "plain"], [version, "aliased"], [version, "versioned"]]
    process.until(lambda: sorted(lines(process, "by-api")) == wanted, "each got its message")
    text = "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
    assert refusal(client.update_function_configuration, FunctionName="made", Timeout=31) == ("InvalidParameterValueException", 400, text)
    client.update_function_configuration(FunctionName="made", Timeout=30)
    client.delete_function(FunctionName="made")
    told = process.until(
        lambda: [one for one in (client.get_event_source_mapping(UUID=uuid) for uuid in made.values()) if "PROBLEM" in one["StateTransitionReason"]],
        "the missing function is told",
    )
    assert told[0]["StateTransitionReason"].startswith("PROBLEM: Function not found: arn:aws:lambda:us-east-1:000000000000:function:made")


def test_mappings_have_tags(client: Any, sqs: Any) -> None:
    sqs.create_queue(QueueName="tagged")
    arn = client.create_event_source_mapping(EventSourceArn=arn_of("tagged"), FunctionName="batch", Tags={"team": "a"})["EventSourceMappingArn"]
    client.tag_resource(Resource=arn, Tags={"cost": "1"})
    client.untag_resource(Resource=arn, TagKeys=["team"])
    assert client.list_tags(Resource=arn)["Tags"] == {"cost": "1"}


@pytest.mark.slow
def test_mappings_outlive_kills_and_the_disabled_ones_stay_disabled(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start()
        client, sqs = process.client("lambda"), process.client("sqs")
        made = {}
        for name, enabled in (("on", True), ("off", False), ("held", True)):
            sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})
            function = "held" if name == "held" else "batch"
            made[name] = client.create_event_source_mapping(EventSourceArn=arn_of(name), FunctionName=function, Enabled=enabled)["UUID"]
        for name, uuid in made.items():
            in_state(process, client, uuid, "Disabled" if name == "off" else "Enabled")
        sqs.send_message(QueueUrl=url_of(sqs, "held"), MessageBody="h")
        process.until(lambda: lines(process, "started"), "it runs")
        assert client.update_event_source_mapping(UUID=made["held"], Enabled=False)["State"] == "Disabling"
        process.kill()
        (tmp_path / "go-on").touch()
        process.start()
        client, sqs = process.client("lambda"), process.client("sqs")
        for name in ("off", "on"):
            sqs.send_message(QueueUrl=url_of(sqs, name), MessageBody=name)
        process.until(lambda: ["on"] in lines(process, "batches"), "the enabled one polls again")
        in_state(process, client, made["held"], "Disabled")
        process.until(lambda: visible(sqs, "held") == 1, "the message that nobody polls for is visible again")
        process.until(lambda: left(sqs, "on") == 0, "what succeeded is deleted")
        process.kill()
        process.start()
        client, sqs = process.client("lambda"), process.client("sqs")
        sqs.send_message(QueueUrl=url_of(sqs, "on"), MessageBody="again")
        process.until(lambda: ["again"] in lines(process, "batches"), "the enabled one polls after a second kill")
        assert (visible(sqs, "off"), visible(sqs, "held")) == (1, 1)
        assert (lines(process, "batches"), lines(process, "started"), lines(process, "ended")) == ([["on"], ["again"]], [["h"]], [])
        for name in ("off", "held"):
            client.update_event_source_mapping(UUID=made[name], Enabled=True)
        process.until(lambda: lines(process, "ended") == [["h"]] and ["off"] in lines(process, "batches"), "enabled, they get what waited")
        client.delete_event_source_mapping(UUID=made["on"])
        process.until(lambda: len(client.list_event_source_mappings(EventSourceArn=arn_of("on"))["EventSourceMappings"]) == 0, "it is deleted")
        process.kill()
        process.start()
        assert process.client("lambda").list_event_source_mappings(EventSourceArn=arn_of("on"))["EventSourceMappings"] == []
        assert process.stop() == 0
