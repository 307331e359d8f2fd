"""The gateway in the test harness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventflow import App, EventflowError
from eventflow.testing.harness import Harness
from triggers import Http, Queue, Rest

app = App("shop")
app.queue("orders")
seen: list[str] = []


@app.on(Http("POST /orders"))
def order(event: Any, context: Any) -> Any:
    import boto3

    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="orders")["QueueUrl"], MessageBody=event["body"])
    return {"statusCode": 202, "body": "accepted"}


@app.on(Queue("orders"))
def save(event: Any, context: Any) -> None:
    seen.extend(record["body"] for record in event["Records"])


@app.on(Rest("GET /late", timeout=5))
def late(event: Any, context: Any) -> Any:
    raise ValueError("no")


@app.function(url={"invoke_mode": "RESPONSE_STREAM"})
def parts(event: Any, context: Any) -> Iterator[Any]:
    yield {"statusCode": 201}
    yield "one "
    yield "two"


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    running = Harness(tmp_path)
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    yield running
    running.close()


def test_a_request_and_all_that_follows_from_it(harness: Harness) -> None:
    harness.start(app)
    answer = harness.request("POST", "/orders", "an order", {"Content-Type": "text/plain"})
    assert (answer.status, answer.text, seen) == (202, "accepted", ["an order"])
    answer = harness.request("GET", "/prod/late")
    assert (answer.status, answer.json()) == (502, {"message": "Internal server error"})
    assert [str(error) for error in harness.exceptions] == ["no"]
    answer = harness.request("GET", "/_url/parts")
    assert (answer.status, answer.text) == (201, "one two")
    assert json.loads(harness.invoke("parts", {}).payload)["body"] == "one two"


def test_an_application_without_routes_has_no_gateway(harness: Harness) -> None:
    harness.start(App("other"))
    with pytest.raises(EventflowError, match="no routes"):
        harness.request("GET", "/")
