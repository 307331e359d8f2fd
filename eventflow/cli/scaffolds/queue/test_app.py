from pathlib import Path

import boto3
import pytest

APP = str(Path(__file__).with_name("app.py"))


@pytest.fixture
def app(eventflow_harness):
    return eventflow_harness(APP)


def send(*bodies):
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


def test_orders_are_accepted(app):
    send('{"id": "a", "amount": 2}', '{"id": "b", "amount": 1}')
    app.drain()
    items = boto3.resource("dynamodb").Table("accepted").scan()["Items"]
    assert sorted(item["order"] for item in items) == ["a", "b"]


def test_what_fails_three_times_is_put_aside(app):
    send("no order", '{"id": "c", "amount": 1}')
    app.drain()
    for _ in range(3):
        app.advance("61s")
    sqs = boto3.client("sqs")
    [message] = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failed-orders")["QueueUrl"])["Messages"]
    assert message["Body"] == "no order"
