"""Powertools' data classes, models and envelopes take every event that eventflow makes: each is a real one, from its own trigger."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest
from aws_lambda_powertools.utilities import data_classes
from aws_lambda_powertools.utilities.data_classes import api_gateway_authorizer_event as authorizers
from aws_lambda_powertools.utilities.data_classes.common import DictWrapper
from aws_lambda_powertools.utilities.parser import envelopes, models, parse
from aws_lambda_powertools.utilities.validation import envelopes as paths
from aws_lambda_powertools.utilities.validation import validate
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from click.testing import CliRunner
from pydantic import BaseModel
from websockets.sync.client import connect

from eventflow.cli.main import cli
from eventflow.testing.harness import ACCESS_KEY, REGION, SECRET_KEY, Harness
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow  # it takes one event of every kind from a real daemon

Events = dict[str, list[Any]]


class Order(BaseModel):
    id: int


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Events]:
    """What each function of the application got."""
    harness = Harness(tmp_path_factory.mktemp("events"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in harness.variables.items():
            patch.setenv(name, value)
        try:
            application = importlib.import_module("tests.powertools.events")
            harness.start(application.app)
            for cause in (of_buckets, of_queues, of_tables, of_buses, of_apis, of_websockets):
                cause(harness)
            yield application.received
        finally:
            harness.close()


def of_buckets(harness: Harness) -> None:
    s3, sqs = harness.client("s3"), harness.client("sqs")
    queue = f"arn:aws:sqs:{REGION}:000000000000:from-bucket"
    s3.put_bucket_notification_configuration(
        Bucket="untold",
        NotificationConfiguration={
            "EventBridgeConfiguration": {},
            "QueueConfigurations": [{"QueueArn": queue, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}],
        },
    )
    assert sqs.get_queue_url(QueueName="from-bucket")
    for bucket in ("told", "untold"):
        s3.put_object(Bucket=bucket, Key="a b/ü.txt", Body=b"x")
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü.txt"})
        harness.drain()
        s3.delete_object(Bucket=bucket, Key="copy")
        (harness.bucket_path(bucket) / "by-hand").write_text("y")
        harness.drain()


def of_queues(harness: Harness) -> None:
    sqs = harness.client("sqs")
    attributes = {"text": {"DataType": "String", "StringValue": "t"}, "bytes": {"DataType": "Binary", "BinaryValue": b"\xff"}}
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="messages")["QueueUrl"], MessageBody='{"id": 1}', MessageAttributes=attributes)
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="groups.fifo")["QueueUrl"], MessageBody='{"id": 2}', MessageGroupId="g")
    harness.drain()


def of_tables(harness: Harness) -> None:
    table = harness.client("dynamodb")
    item = {
        "id": {"S": "1"}, "n": {"N": "1.5"}, "b": {"B": b"\xff"}, "l": {"L": [{"S": "x"}, {"NULL": True}]}, "m": {"M": {"t": {"BOOL": True}}},
        "ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": [b"\x00"]},
    }  # fmt: skip
    table.put_item(TableName="items", Item=item)
    table.put_item(TableName="items", Item={"id": {"S": "1"}})
    table.delete_item(TableName="items", Key={"id": {"S": "1"}})
    table.update_time_to_live(TableName="items", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    table.put_item(TableName="items", Item={"id": {"S": "2"}, "until": {"N": str(int(harness.clock.now()) + 60)}})
    harness.drain()


def of_buses(harness: Harness) -> None:
    harness.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "sold", "Detail": '{"id": 3}', "Resources": ["arn:a"]}])
    harness.advance("1h")


def of_apis(harness: Harness) -> None:
    heads = {"X-Who": "me", "Cookie": "a=1; b=2", "User-Agent": "tests", "Content-Type": "application/json", "Authorization": "Bearer x"}
    asked = [
        ("POST", "/http/a/b?q=1&q=2"), ("GET", "/old?q=1"), ("GET", "/new?q=1"), ("GET", "/_url/url/x?q=1"),
        ("POST", "/prod/rest/a?q=1&q=2"), ("GET", "/prod/token/7"), ("GET", "/prod/request/7?q=1"),
    ]  # fmt: skip
    for method, path in asked:
        assert harness.request(method, path, '{"id": 4}' if method == "POST" else None, heads).status == 200, path
    for bare in ("/http/bare", "/prod/rest/bare", "/_url/url/"):
        assert harness.request("GET", bare).status == 200
    signed = AWSRequest("GET", f"{harness.gateway}/_url/url_signed/")
    with pytest.MonkeyPatch.context() as patch:  # the harness has a time of its own
        patch.setattr("botocore.auth.get_current_datetime", lambda *_ignored, **_options: datetime.fromtimestamp(harness.clock.now(), UTC))
        SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "lambda", REGION).add_auth(signed)
    assert harness.request("GET", "/_url/url_signed/", headers=dict(signed.headers)).status == 200


def of_websockets(harness: Harness) -> None:
    address = harness.gateway.replace("http", "ws")
    with connect(f"{address}/prod?who=me", open_timeout=PATIENCE) as connection:
        connection.send('{"id": 5}')
        connection.ping().wait(PATIENCE)
        harness.drain()
    harness.drain()


# What Powertools reads of an event, all of it.


def read_all(wrapper: DictWrapper, skipped: frozenset[str] = frozenset(), depth: int = 0) -> int:
    """Read every property of a data class, and of the data classes in it; how many there were."""
    count = 0
    for name in dir(type(wrapper)):
        found = getattr(type(wrapper), name)
        if name.startswith("_") or name in skipped or not isinstance(found, property | cached_property):
            continue
        value = getattr(wrapper, name)
        count += 1
        for one in value if isinstance(value, list | Iterator) else [value]:
            if isinstance(one, DictWrapper) and depth < 6:
                count += read_all(one, skipped, depth + 1)
    return count


#: What is there only where the sender put it there: a body that is JSON, or another service's event.
NO_JSON = frozenset({"json_body", "decoded_nested_sqs_event", "decoded_nested_sns_event", "decoded_nested_s3_event"})
#: What only other events have on AWS too: versioned buckets and restored objects, payload 1.0 of HTTP APIs, TOKEN authorizers.
RESTORED = frozenset({"glacier_event_data"})
ELSEWHERE = frozenset(
    {"version_id", "source_storage_class", "destination_storage_class", "restore_expiry_time", "destination_access_tier", "deletion_type"}
)
REST = NO_JSON | {"version"}
NO_TOKEN = REST | {"authorization_token", "identity_source"}
CONNECTING = NO_TOKEN | {
    "account_id",
    "http_method",
    "resource",
    "path",
    "resource_id",
    "resource_path",
    "protocol",
    "domain_prefix",
    "path_parameters",
}

CLASSES: list[tuple[str, Callable[[Any], DictWrapper], frozenset[str]]] = [
    ("s3", data_classes.S3Event, RESTORED),
    ("sqs", data_classes.SQSEvent, NO_JSON),
    ("fifo", data_classes.SQSEvent, NO_JSON),
    ("stream", data_classes.DynamoDBStreamEvent, frozenset()),
    ("bus", data_classes.EventBridgeEvent, frozenset()),
    ("schedule", data_classes.EventBridgeEvent, frozenset()),
    ("s3_bus", data_classes.S3EventBridgeNotificationEvent, ELSEWHERE),
    ("http", data_classes.APIGatewayProxyEventV2, NO_JSON),
    ("http_1", data_classes.APIGatewayProxyEventV2, NO_JSON),
    ("http_2", data_classes.APIGatewayProxyEventV2, NO_JSON),
    ("rest", data_classes.APIGatewayProxyEvent, REST),
    ("rest_token", data_classes.APIGatewayProxyEvent, REST),
    ("rest_request", data_classes.APIGatewayProxyEvent, REST),
    ("url", data_classes.LambdaFunctionUrlEvent, NO_JSON),
    ("url_signed", data_classes.LambdaFunctionUrlEvent, NO_JSON),
    ("websocket", data_classes.APIGatewayWebSocketEvent, NO_JSON),
    ("token", authorizers.APIGatewayAuthorizerTokenEvent, NO_JSON),
    ("request", authorizers.APIGatewayAuthorizerRequestEvent, NO_TOKEN),
    ("request_1", authorizers.APIGatewayAuthorizerRequestEvent, NO_JSON),
    ("connecting", authorizers.APIGatewayAuthorizerRequestEvent, CONNECTING),
    ("request_2", authorizers.APIGatewayAuthorizerEventV2, NO_JSON),
]


@pytest.mark.parametrize("name, data_class, skipped", CLASSES, ids=[name for name, *_ in CLASSES])
def test_data_classes_read_all_of_an_event(events: Events, name: str, data_class: Callable[[Any], DictWrapper], skipped: frozenset[str]) -> None:
    assert events[name], f"no event of {name}"
    for event in events[name]:
        removed = name == "s3" and event["Records"][0]["eventName"].startswith("ObjectRemoved")
        assert read_all(data_class(event), skipped | {"size", "etag"} if removed else skipped) > 0


MODELS: list[tuple[str, Any]] = [
    ("s3", models.S3Model),
    ("s3_sqs", models.S3SqsEventNotificationModel),
    ("sqs", models.SqsModel),
    ("fifo", models.SqsModel),
    ("stream", models.DynamoDBStreamModel),
    ("bus", models.EventBridgeModel),
    ("schedule", models.EventBridgeModel),
    ("s3_bus", models.S3EventNotificationEventBridgeModel),
    ("http", models.APIGatewayProxyEventV2Model),
    ("http_1", models.APIGatewayProxyEventV2Model),
    ("http_2", models.APIGatewayProxyEventV2Model),
    ("rest", models.APIGatewayProxyEventModel),
    ("rest_token", models.APIGatewayProxyEventModel),
    ("rest_request", models.APIGatewayProxyEventModel),
    ("url", models.LambdaFunctionUrlModel),
    ("url_signed", models.LambdaFunctionUrlModel),
]


@pytest.mark.parametrize("name, model", MODELS, ids=[name for name, _ in MODELS])
def test_models_take_an_event(events: Events, name: str, model: type[BaseModel]) -> None:
    assert events[name], f"no event of {name}"
    for event in events[name]:
        if "s3:TestEvent" in json.dumps(event):
            continue  # what S3 sends to a queue first of all is no event to this model
        assert isinstance(parse(event, model), model)


def test_models_take_the_events_of_a_connection(events: Events) -> None:
    by_type = {event["requestContext"]["eventType"]: event for event in events["websocket"]}
    parse(by_type["CONNECT"], models.APIGatewayWebSocketConnectEventModel)
    parse(by_type["MESSAGE"], models.APIGatewayWebSocketMessageEventModel)
    parse(by_type["DISCONNECT"], models.APIGatewayWebSocketDisconnectEventModel)


def test_the_model_of_a_given_up_batch(events: Events) -> None:
    bodies = [json.loads(record["body"]) for event in events["failed"] for record in event["Records"]]
    assert bodies
    for body in bodies:
        parse(body, models.DynamoDBStreamLambdaOnFailureDestinationModel)


def test_envelopes_find_what_was_sent(events: Events) -> None:
    assert parse(events["sqs"][0], Order, envelopes.SqsEnvelope) == [Order(id=1)]
    assert parse(events["fifo"][0], Order, envelopes.SqsEnvelope) == [Order(id=2)]
    assert parse(events["bus"][0], Order, envelopes.EventBridgeEnvelope) == Order(id=3)
    posted = [event for event in events["http"] if "body" in event]
    assert parse(posted[0], Order, envelopes.ApiGatewayV2Envelope) == Order(id=4)
    posted = [event for event in events["rest"] if event["body"]]
    assert parse(posted[0], Order, envelopes.ApiGatewayEnvelope) == Order(id=4)
    said = next(event for event in events["websocket"] if event["requestContext"]["eventType"] == "MESSAGE")
    assert parse(said, Order, envelopes.ApiGatewayWebSocketEnvelope) == Order(id=5)

    class Item(BaseModel):
        id: str

    changes = parse(events["stream"][0], Item, envelopes.DynamoDBStreamEnvelope)
    assert isinstance(changes, list)
    assert changes[0] == {"NewImage": Item(id="1"), "OldImage": None}


@pytest.mark.parametrize(
    "name, path, identifier",
    [("sqs", paths.SQS, 1), ("bus", paths.EVENTBRIDGE, 3), ("http", paths.API_GATEWAY_HTTP, 4), ("rest", paths.API_GATEWAY_REST, 4)],
)
def test_validation_with_a_json_schema(events: Events, name: str, path: str, identifier: int) -> None:
    schema: dict[str, Any] = {"type": "object", "required": ["id"], "properties": {"id": {"const": identifier}}}
    if name == "sqs":
        schema = {"type": "array", "minItems": 1, "items": schema}
    validate(event=events[name][0], schema=schema, envelope=path)


def test_data_classes_say_what_was_sent(events: Events) -> None:
    records = [data_classes.S3Event(event) for event in events["s3"]]
    assert {event.object_key for event in records} == {"a b/ü.txt", "copy", "by-hand"}
    changes = list(data_classes.DynamoDBStreamEvent(events["stream"][0]).records)
    assert changes[0].dynamodb is not None
    assert changes[0].dynamodb.new_image["ss"] == {"a"}
    assert changes[0].dynamodb.new_image["b"] == "/w=="
    request = data_classes.APIGatewayProxyEventV2(events["http_2"][0])
    assert request.request_context.authorizer is not None
    assert request.request_context.authorizer.get_lambda == {"plan": "gold", "groups": ["a"]}
    assert data_classes.APIGatewayProxyEvent(events["rest_token"][0]).request_context.authorizer["plan"] == "gold"
    asked = authorizers.APIGatewayAuthorizerTokenEvent(events["token"][0])
    assert (asked.parsed_arn.stage, asked.parsed_arn.http_method, asked.parsed_arn.resource) == ("prod", "GET", "token/7")
    new = authorizers.APIGatewayAuthorizerEventV2(events["request_2"][0])
    assert (new.parsed_arn.http_method, new.identity_source) == ("GET", ["me"])


# What ``eventflow generate-event`` prints has the shape of what the triggers send.

#: What has other members in each event.
FREE = frozenset(("headers", "multiValueHeaders", "messageAttributes", "detail", "Keys", "NewImage", "OldImage"))
#: Members that depend on what was sent.
SENT = frozenset(("body", "cookies", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "AWSTraceHeader", "version-id"))
#: Members that the collected events have because of what was sent with them.
GENERATED: list[tuple[str, list[str]]] = [
    ("s3", ["bucket"]),
    ("s3_bus", ["bucket", "--through", "bus"]),
    ("sqs", ["queue", "--attribute", "text=t"]),
    ("fifo", ["queue", "--queue", "groups.fifo"]),
    ("s3_sqs", ["bucket", "--through", "queue"]),
    ("stream", ["stream", "--new", '{"id": "1", "n": 1.5, "l": ["x", null]}']),
    ("schedule", ["schedule"]),
    ("bus", ["bus", "--resource", "arn:a"]),
    ("http", ["http", "--route", "ANY /http/{proxy+}", "--target", "/http/bare"]),
    ("http_2", ["http", "--authorizer", '{"lambda": {"plan": "gold", "groups": ["a"]}}']),
    ("rest", ["rest"]),
    ("rest_token", ["rest", "--authorizer", '{"principalId": "me", "plan": "gold", "age": "3", "new": "true", "integrationLatency": 1}']),
    ("url", ["url"]),
    ("token", ["authorizer"]),
    ("request", ["authorizer", "--type", "request"]),
    ("request_1", ["authorizer", "--type", "http-1.0"]),
    ("request_2", ["authorizer", "--type", "http-2.0"]),
    ("connecting", ["authorizer", "--type", "websocket"]),
]


def shape(value: Any) -> Any:
    """Members and the types of what they hold; of a list, those of its first entry."""
    if isinstance(value, dict):
        return {name: "free" if name in FREE else shape(one) for name, one in value.items() if name not in SENT and one is not None}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def generated(*arguments: str) -> Any:
    shown = CliRunner().invoke(cli, ["generate-event", *arguments])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


@pytest.mark.parametrize("name, arguments", GENERATED, ids=[name for name, _ in GENERATED])
def test_generated_events_have_the_shape_of_real_ones(events: Events, name: str, arguments: list[str]) -> None:
    made = shape(generated(*arguments))
    real = [shape(event) for event in events[name]]
    assert made in real, (made, real[0])


@pytest.mark.parametrize("route, kind", [("$connect", "CONNECT"), ("$default", "MESSAGE"), ("$disconnect", "DISCONNECT")])
def test_generated_events_of_connections(events: Events, route: str, kind: str) -> None:
    authorized = '{"principalId": "me", "plan": "gold", "age": "3", "new": "true", "integrationLatency": 1}'
    made = generated("websocket", "--route", route, "--authorizer", authorized)
    real = next(event for event in events["websocket"] if event["requestContext"]["eventType"] == kind)
    assert shape(made) == shape(real)


def test_generated_changes_of_items() -> None:
    changed = generated("stream", "--old", '{"id": "1", "n": 1}', "--new", '{"id": "1", "n": 2.5}', "--view", "NEW_IMAGE")["Records"]
    assert [record["eventName"] for record in changed] == ["MODIFY"]
    assert changed[0]["dynamodb"]["NewImage"] == {"id": {"S": "1"}, "n": {"N": "2.5"}}
    assert "OldImage" not in changed[0]["dynamodb"]
    expired = generated("stream", "--expired", "--time", "2026-01-31T09:05:00Z")["Records"][0]
    assert (expired["eventName"], expired["userIdentity"]["principalId"]) == ("REMOVE", "dynamodb.amazonaws.com")
    assert expired["dynamodb"]["ApproximateCreationDateTime"] == 1769850300
    models.DynamoDBStreamModel.model_validate({"Records": changed})


def test_generated_messages() -> None:
    records = generated("queue", "--queue", "a.fifo", "--body", "1", "--body", "2", "--group", "g", "--deduplication-id", "d", "--receives", "3")[
        "Records"
    ]
    assert [record["body"] for record in records] == ["1", "2"]
    assert [record["attributes"]["ApproximateReceiveCount"] for record in records] == ["3", "3"]
    assert [record["attributes"]["MessageDeduplicationId"] for record in records] == ["d", "d-1"]
    models.SqsModel.model_validate({"Records": records})


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["stream", "--new", '{"n": 1}'], "has no attribute 'id'"),
        (["stream", "--new", '{"id": "1"}', "--old", '{"id": "1"}'], "the same before and after"),
        (["stream", "--expired", "--new", '{"id": "1"}'], "--old alone"),
        (["queue", "--body", "a\x00"], "Invalid characters"),
        (["bus", "--detail", "[]"], "it takes a JSON object"),
        (["bucket", "--time", "yesterday"], "is no time"),
        (["queue", "--attribute", "text"], "is not NAME=VALUE"),
    ],
)
def test_what_cannot_be_generated(arguments: list[str], told: str) -> None:
    shown = CliRunner().invoke(cli, ["generate-event", *arguments])
    assert shown.exit_code != 0
    assert told in shown.output
