"""Which service a request is for."""

from __future__ import annotations

import pytest

from eventflow.aws.protocols.s3 import bucket_in
from eventflow.aws.request import Request
from eventflow.aws.routing import Router
from eventflow.aws.wire import Wires

SERVED = ("apigateway", "apigatewayv2", "dynamodb", "dynamodbstreams", "events", "lambda", "s3", "sqs")
WIRES = Wires()


@pytest.fixture
def router() -> Router:
    return Router(SERVED, lambda name: WIRES.of(name).target_prefix)


def request(path: str = "/", query: str = "", **headers: str) -> Request:
    return Request("POST", path, query, {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}})


@pytest.mark.parametrize("name", ["lambda", "s3", "sqs", "events", "kinesis", "nonsense"])
def test_the_scope_goes_first(router: Router, name: str) -> None:
    assert router.service(request("/2015-03-31/functions"), name) == name


@pytest.mark.parametrize(
    "scope, target, service",
    [
        ("dynamodb", "DynamoDB_20120810.GetItem", "dynamodb"),
        ("dynamodb", "DynamoDBStreams_20120810.GetRecords", "dynamodbstreams"),
        ("dynamodb", "", "dynamodb"),
        ("", "DynamoDB_20120810.GetItem", "dynamodb"),
        ("", "DynamoDBStreams_20120810.GetRecords", "dynamodbstreams"),
        ("", "AmazonSQS.SendMessage", "sqs"),
        ("", "AWSEvents.PutEvents", "events"),
        ("", "Unknown.Operation", "s3"),
        ("", "NoDot", "s3"),
    ],
)
def test_the_target_decides_between_services_of_one_scope(router: Router, scope: str, target: str, service: str) -> None:
    assert router.service(request(x_amz_target=target), scope) == service


@pytest.mark.parametrize(
    "path, service",
    [
        ("/2015-03-31/functions/f/invocations", "lambda"),
        ("/2015-03-31/functions", "lambda"),
        ("/2015-03-31/event-source-mappings/", "lambda"),
        ("/2021-10-31/functions/f/url", "lambda"),
        ("/2015-03-31/functions-of-mine", "s3"),
        ("/photos/2015-03-31/functions", "s3"),
        ("/", "s3"),
        ("/bucket/key", "s3"),
        ("/restapis/a", "apigateway"),
        ("/v2/apis", "apigatewayv2"),
    ],
)
def test_the_path_decides_where_nothing_else_does(router: Router, path: str, service: str) -> None:
    assert router.service(request(path), "") == service


def test_one_scope_two_paths(router: Router) -> None:
    assert router.service(request("/v2/apis"), "apigateway") == "apigatewayv2"
    assert router.service(request("/restapis"), "apigateway") == "apigateway"


def test_a_form_without_a_scope_is_for_sqs(router: Router) -> None:
    assert router.service(request(content_type="application/x-www-form-urlencoded"), "") == "sqs"
    assert router.service(request(query="Action=ListQueues"), "") == "sqs"
    assert Router(("s3",), lambda name: None).service(request(query="Action=ListQueues"), "") == "s3"


@pytest.mark.parametrize(
    "host, bucket",
    [
        ("localhost:4566", None),
        ("127.0.0.1:4566", None),
        ("[::1]:4566", None),
        ("nas.local:4566", None),
        ("nas", None),
        ("", None),
        ("s3.localhost:4566", None),
        ("s3.us-east-1.amazonaws.com", None),
        ("photos.localhost:4566", "photos"),
        ("my.photos.localhost", "my.photos"),
        ("photos.s3.localhost:4566", "photos"),
        ("photos.s3.us-east-1.amazonaws.com", "photos"),
        ("photos.s3-eu-west-1.amazonaws.com", "photos"),
        ("my.s3.photos.s3.anything", "my.s3.photos"),
    ],
)
def test_buckets_in_host_names(host: str, bucket: str | None) -> None:
    assert bucket_in(host) == bucket
