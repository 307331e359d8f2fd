"""The life of a queue and its messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

Refused = Callable[..., tuple[str, int]]


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


def receive(sqs: Any, queue: str, **params: Any) -> list[Any]:
    messages: list[Any] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, **params).get("Messages", [])
    return messages


def bodies(sqs: Any, queue: str, **params: Any) -> list[str]:
    return sorted(message["Body"] for message in receive(sqs, queue, **params))


def test_a_message_is_sent_received_and_deleted(sqs: Any, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert sent["MD5OfMessageBody"] == hashlib.md5(b"hello").hexdigest()
    (message,) = receive(sqs, queue)
    assert (message["MessageId"], message["Body"], message["MD5OfBody"]) == (sent["MessageId"], "hello", sent["MD5OfMessageBody"])
    assert bodies(sqs, queue) == []
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"])
    assert set(told["Attributes"].values()) == {"0"}


def test_a_queue_that_is_not_there(sqs: Any, queue: str, refused: Refused) -> None:
    sqs.delete_queue(QueueUrl=queue)
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x") == ("AWS.SimpleQueueService.NonExistentQueue", 400)
