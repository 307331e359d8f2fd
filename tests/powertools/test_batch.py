"""Powertools' batch processors: what they report as failed comes again, the rest does not."""

from __future__ import annotations

from types import ModuleType

from eventflow.testing.harness import Harness


def waiting(harness: Harness, queue: str) -> tuple[int, int]:
    sqs = harness.client("sqs")
    found = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], AttributeNames=["All"])["Attributes"]
    return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])


def test_sqs_failures_come_again_alone(harness: Harness, application: ModuleType) -> None:
    sqs = harness.client("sqs")
    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]
    for body in ("one", "bad", "two"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    harness.drain()
    assert sorted(application.seen["letters"]) == ["bad", "one", "two"]
    assert waiting(harness, "letters") == (0, 1)
    harness.advance(31)
    assert sorted(application.seen["letters"]) == ["bad", "bad", "one", "two"]
    harness.advance(31)


def test_sqs_when_all_fail_the_batch_fails(harness: Harness, application: ModuleType) -> None:
    """The processor raises BatchProcessingError then, as Lambda users want it: the function's error, every message comes again."""
    sqs = harness.client("sqs")
    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="bad 1")
    sqs.send_message(QueueUrl=url, MessageBody="bad 2")
    before = len(harness.exceptions)
    harness.drain()
    assert [type(error).__name__ for error in harness.exceptions[before:]] == ["BatchProcessingError"]
    assert waiting(harness, "letters") == (0, 2)
    harness.advance(31)
    harness.advance(31)
    assert waiting(harness, "letters") == (0, 0)


def test_fifo_stops_at_the_first_failure_and_keeps_the_order(harness: Harness, application: ModuleType) -> None:
    sqs = harness.client("sqs")
    url = sqs.get_queue_url(QueueName="lines.fifo")["QueueUrl"]
    for body in ("1", "bad 2", "3"):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    harness.drain()
    assert application.seen["lines"] == ["1", "bad 2"]
    harness.advance(31)
    assert application.seen["lines"] == ["1", "bad 2", "bad 2", "3"]
    assert waiting(harness, "lines.fifo") == (0, 0)


def test_stream_goes_on_at_the_failed_record(harness: Harness, application: ModuleType) -> None:
    items = harness.client("dynamodb")
    for number, state in enumerate(("good", "bad", "good")):
        items.put_item(TableName="orders", Item={"id": {"S": str(number)}, "state": {"S": state}})
    harness.drain()
    harness.advance("10m")
    taken = [keys for keys, _image in application.seen["orders"]]
    assert taken[:3] == ["0", "1", "2"]  # one batch, all of it tried
    assert taken.count("0") == 1  # what came before the failed one is not repeated
    assert taken.count("1") > 1
    assert taken[-2:] == ["1", "2"]
