"""The life of a queue and its messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


@pytest.fixture
def fifo(sqs: Any, name: str) -> str:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url: str = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    return url


def arn_of(sqs: Any, queue: str) -> str:
    arn: str = attributes_of(sqs, queue)["QueueArn"]
    return arn


def attributes_of(sqs: Any, queue: str) -> dict[str, str]:
    attributes: dict[str, str] = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    return attributes


def counts(sqs: Any, queue: str) -> tuple[int, int, int]:
    told = attributes_of(sqs, queue)
    visible, hidden, delayed = (int(told[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed"))
    return visible, hidden, delayed


def receive(sqs: Any, queue: str, **params: Any) -> list[Any]:
    messages: list[Any] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, **params).get("Messages", [])
    return messages


def bodies(sqs: Any, queue: str, **params: Any) -> list[str]:
    return sorted(message["Body"] for message in receive(sqs, queue, **params))


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


# Queues.


def test_a_queue_is_found_by_its_name_and_listed(sqs: Any, queue: str, name: str) -> None:
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [queue]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{name}-none")


def test_a_list_of_queues_comes_in_pages(sqs: Any, name: str) -> None:
    urls = [sqs.create_queue(QueueName=f"{name}-{number}")["QueueUrl"] for number in range(3)]
    first = sqs.list_queues(QueueNamePrefix=name, MaxResults=2)
    assert len(first["QueueUrls"]) == 2
    rest = sqs.list_queues(QueueNamePrefix=name, MaxResults=2, NextToken=first["NextToken"])
    assert "NextToken" not in rest
    assert sorted(first["QueueUrls"] + rest["QueueUrls"]) == urls


def test_a_new_queue_has_the_defaults(sqs: Any, queue: str) -> None:
    told = attributes_of(sqs, queue)
    assert {name: told[name] for name in ("DelaySeconds", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout")} == {
        "DelaySeconds": "0",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "VisibilityTimeout": "30",
    }
    assert told["CreatedTimestamp"] == told["LastModifiedTimestamp"]


def test_the_largest_message_is_a_mebibyte(sqs: Any, queue: str) -> None:
    assert attributes_of(sqs, queue)["MaximumMessageSize"] == "1048576"
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 1_048_576)


def test_creating_a_queue_again_gives_the_same(sqs: Any, queue: str, name: str) -> None:
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"] == queue


def test_creating_a_queue_again_with_another_attribute(sqs: Any, queue: str, name: str, refused: Refused) -> None:
    assert refused(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "31"}) == ("QueueAlreadyExists", 400)


@pytest.mark.parametrize("bad", ["a b", "a" * 81, "a/b", pytest.param("a.fifo", marks=moto_differs("it takes a .fifo name without FifoQueue"))])
def test_a_name_that_is_none(sqs: Any, bad: str, refused: Refused) -> None:
    assert refused(sqs.create_queue, QueueName=bad) == ("InvalidParameterValue", 400)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("DelaySeconds", "901"),
        ("VisibilityTimeout", "43201"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("MessageRetentionPeriod", "59"),
        ("MaximumMessageSize", "1023"),
        ("VisibilityTimeout", "soon"),
    ],
)
@moto_differs("it does not check the ranges of attributes")
def test_an_attribute_out_of_its_range(sqs: Any, queue: str, attribute: str, value: str, refused: Refused) -> None:
    assert refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes={attribute: value}) == ("InvalidAttributeValue", 400)


def test_an_attribute_that_is_not_there(sqs: Any, queue: str, refused: Refused) -> None:
    assert refused(sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=["Colour"]) == ("InvalidAttributeName", 400)


def test_attributes_are_changed(sqs: Any, queue: str) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "5", "DelaySeconds": "1"})
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout", "DelaySeconds"])["Attributes"]
    assert told == {"VisibilityTimeout": "5", "DelaySeconds": "1"}


def test_tags(sqs: Any, name: str) -> None:
    queue = sqs.create_queue(QueueName=name, tags={"team": "a"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=queue, Tags={"team": "b", "stage": "x"})
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"team": "b", "stage": "x"}
    sqs.untag_queue(QueueUrl=queue, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"stage": "x"}


def test_a_queue_that_is_not_there(sqs: Any, queue: str, name: str, refused: Refused) -> None:
    sqs.delete_queue(QueueUrl=queue)
    gone = ("AWS.SimpleQueueService.NonExistentQueue", 400)
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x") == gone
    assert refused(sqs.receive_message, QueueUrl=queue) == gone
    assert refused(sqs.get_queue_url, QueueName=name) == gone
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.purge_queue(QueueUrl=queue)


@moto_differs("it gives a name again at once")
def test_the_name_of_a_deleted_queue_is_not_given_again_at_once(sqs: Any, queue: str, name: str, refused: Refused) -> None:
    sqs.delete_queue(QueueUrl=queue)
    assert refused(sqs.create_queue, QueueName=name) == ("AWS.SimpleQueueService.QueueDeletedRecently", 400)


def test_a_purge_takes_everything(sqs: Any, queue: str) -> None:
    for number in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    receive(sqs, queue, VisibilityTimeout=60)
    sqs.send_message(QueueUrl=queue, MessageBody="late")
    sqs.purge_queue(QueueUrl=queue)
    assert counts(sqs, queue) == (0, 0, 0)


def test_a_second_purge_within_a_minute(sqs: Any, queue: str, refused: Refused) -> None:
    sqs.purge_queue(QueueUrl=queue)
    assert refused(sqs.purge_queue, QueueUrl=queue) == ("AWS.SimpleQueueService.PurgeQueueInProgress", 403)


# Messages.


def test_a_message_is_sent_received_and_deleted(sqs: Any, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert sent["MD5OfMessageBody"] == hashlib.md5(b"hello").hexdigest()
    assert counts(sqs, queue) == (1, 0, 0)
    (message,) = receive(sqs, queue)
    assert (message["MessageId"], message["Body"], message["MD5OfBody"]) == (sent["MessageId"], "hello", sent["MD5OfMessageBody"])
    assert bodies(sqs, queue) == []
    assert counts(sqs, queue) == (0, 1, 0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 0, 0)


@pytest.mark.parametrize("body", ["Grüße, 世界 🎈", "<a>&amp;</a>", "a\tb\nc", '{"a": 1}', " "])
def test_bodies_come_back_as_they_were(sqs: Any, queue: str, body: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert bodies(sqs, queue) == [body]


def test_message_attributes_come_back_with_their_digest(sqs: Any, queue: str) -> None:
    attributes = {
        "text": text("Grüße"),
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=attributes)
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"])
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]


def test_a_known_digest_of_attributes(sqs: Any, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes={"Foo": text("Bar")})
    assert sent["MD5OfMessageAttributes"] == "ae7155c6026991b6d54b11589678bf9c"


@moto_differs("it keeps the trace and gives no MD5OfMessageSystemAttributes")
def test_a_trace_travels_as_a_system_attribute(sqs: Any, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageSystemAttributes={"AWSTraceHeader": text(TRACE)})
    (message,) = receive(sqs, queue, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}
    assert len(sent["MD5OfMessageSystemAttributes"]) == 32


def test_only_the_attributes_that_were_asked_for(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes={name: text(name) for name in ("one", "two", "onetwo")})

    def names(*wanted: str) -> set[str]:
        (message,) = receive(sqs, queue, MessageAttributeNames=list(wanted), VisibilityTimeout=0)
        return set(message.get("MessageAttributes", {}))

    assert names() == set()
    assert names("two") == {"two"}
    assert names("one.*") == {"one", "onetwo"}
    assert names(".*") == {"one", "two", "onetwo"}


def test_system_attributes_of_a_receive(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receive(sqs, queue, VisibilityTimeout=0)
    (message,) = receive(sqs, queue, AttributeNames=["All"])
    told = message["Attributes"]
    assert told["ApproximateReceiveCount"] == "2"
    assert int(told["SentTimestamp"]) <= int(told["ApproximateFirstReceiveTimestamp"])
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"} <= set(told)


LAX = moto_differs("it hardly checks message attributes")


@pytest.mark.parametrize(
    "attributes",
    [
        {"a b": text("x")},
        pytest.param({"AWS.a": text("x")}, marks=LAX),
        {"a": {"DataType": "Colour", "StringValue": "x"}},
        pytest.param({"a": {"DataType": "Number", "StringValue": "many"}}, marks=LAX),
        pytest.param({"a": text("")}, marks=LAX),
        pytest.param({str(number): text("x") for number in range(11)}, marks=LAX),
    ],
)
def test_message_attributes_that_are_none(sqs: Any, queue: str, attributes: Any, refused: Refused) -> None:
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x", MessageAttributes=attributes) == ("InvalidParameterValue", 400)


def test_a_message_that_is_too_long(sqs: Any, queue: str, refused: Refused) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 1024)
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x" * 1025) == ("InvalidParameterValue", 400)


@moto_differs("it leaves attributes out when it measures a message")
def test_attributes_count_towards_the_size(sqs: Any, queue: str, refused: Refused) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    params = {"MessageBody": "x" * 1020, "MessageAttributes": {"a": text("x")}}
    assert refused(sqs.send_message, QueueUrl=queue, **params) == ("InvalidParameterValue", 400)


@pytest.mark.parametrize("body", ["a\x00b", "\x0b", "\ufffe"])
@moto_differs("it takes any characters")
def test_characters_that_a_message_cannot_have(sqs: Any, queue: str, body: str, refused: Refused) -> None:
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody=body) == ("InvalidMessageContents", 400)


def test_a_delayed_message_is_not_there_yet(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=900)
    assert bodies(sqs, queue) == []
    assert counts(sqs, queue) == (0, 0, 1)


def test_visibility_zero_brings_a_message_back_at_once(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = receive(sqs, queue)
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(sqs, queue) == ["x"]


@pytest.mark.parametrize("seconds", [pytest.param(-1, marks=moto_differs("it takes less than none")), 43_201])
def test_a_visibility_out_of_its_range(sqs: Any, queue: str, seconds: int, refused: Refused) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = receive(sqs, queue)
    changed = {"ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds}
    assert refused(sqs.change_message_visibility, QueueUrl=queue, **changed) == ("InvalidParameterValue", 400)


@moto_differs("it hides a message that nobody has")
def test_the_visibility_of_a_message_that_is_not_in_flight(sqs: Any, queue: str, refused: Refused) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = receive(sqs, queue, VisibilityTimeout=0)
    changed = {"ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 10}
    assert refused(sqs.change_message_visibility, QueueUrl=queue, **changed) == ("AWS.SimpleQueueService.MessageNotInflight", 400)


def test_a_receipt_handle_that_is_none(sqs: Any, queue: str, refused: Refused) -> None:
    assert refused(sqs.delete_message, QueueUrl=queue, ReceiptHandle="x")[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle="x", VisibilityTimeout=1)[0] == "ReceiptHandleIsInvalid"


@pytest.mark.parametrize("params", [{"MaxNumberOfMessages": 0}, {"MaxNumberOfMessages": 11}, {"WaitTimeSeconds": 21}, {"WaitTimeSeconds": -1}])
def test_parameters_of_a_receive_out_of_their_ranges(sqs: Any, queue: str, params: dict[str, int], refused: Refused) -> None:
    assert refused(sqs.receive_message, QueueUrl=queue, **params) == ("InvalidParameterValue", 400)


def test_a_message_group_on_a_standard_queue(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId="tenant")
    (message,) = receive(sqs, queue, MessageSystemAttributeNames=["MessageGroupId"])
    assert message["Attributes"] == {"MessageGroupId": "tenant"}


# Batches.


def test_a_batch_is_sent_hidden_and_deleted(sqs: Any, queue: str) -> None:
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=[{"Id": str(number), "MessageBody": f"m{number}"} for number in range(10)])
    assert [entry["Id"] for entry in sent["Successful"]] == [str(number) for number in range(10)]
    messages = receive(sqs, queue)
    assert len(messages) == 10
    handles = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)]
    changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[{**entry, "VisibilityTimeout": 60} for entry in handles])
    assert len(changed["Successful"]) == 10
    assert len(sqs.delete_message_batch(QueueUrl=queue, Entries=handles)["Successful"]) == 10
    assert counts(sqs, queue) == (0, 0, 0)


def test_a_bad_entry_of_a_batch_fails_alone(sqs: Any, queue: str) -> None:
    entries = [{"Id": "good", "MessageBody": "x"}, {"Id": "bad", "MessageBody": "x", "DelaySeconds": 901}]
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]] == [("bad", "InvalidParameterValue", True)]


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([str(number) for number in range(11)], "TooManyEntriesInBatchRequest"),
        (["a", "a"], "BatchEntryIdsNotDistinct"),
        (["a b"], "InvalidBatchEntryId"),
    ],
)
def test_batches_that_are_none(sqs: Any, queue: str, ids: list[str], code: str, refused: Refused) -> None:
    entries = [{"Id": name, "MessageBody": "x"} for name in ids]
    assert refused(sqs.send_message_batch, QueueUrl=queue, Entries=entries) == (f"AWS.SimpleQueueService.{code}", 400)


# FIFO.


def test_a_group_comes_in_order_and_one_batch_at_a_time(sqs: Any, fifo: str) -> None:
    for body in ("a1", "b1", "a2", "a3"):
        sqs.send_message(QueueUrl=fifo, MessageBody=body, MessageGroupId=body[0])
    (first,) = sqs.receive_message(QueueUrl=fifo)["Messages"]
    assert first["Body"] == "a1"
    assert bodies(sqs, fifo) == ["b1"]
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first["ReceiptHandle"])
    assert [message["Body"] for message in receive(sqs, fifo)] == ["a2", "a3"]


@moto_differs("it answers a duplicate with a message id of its own")
def test_content_is_accepted_once_in_five_minutes(sqs: Any, fifo: str) -> None:
    first = sqs.send_message(QueueUrl=fifo, MessageBody="same", MessageGroupId="g")
    again = sqs.send_message(QueueUrl=fifo, MessageBody="same", MessageGroupId="g")
    assert first["MessageId"] == again["MessageId"]
    other = sqs.send_message(QueueUrl=fifo, MessageBody="same", MessageGroupId="g", MessageDeduplicationId="other")
    assert other["SequenceNumber"] > first["SequenceNumber"]
    assert bodies(sqs, fifo) == ["same", "same"]


@moto_differs("it deduplicates in the whole queue whatever DeduplicationScope says")
def test_deduplication_by_group(sqs: Any, name: str) -> None:
    attributes = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    queue = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    for group in ("a", "b", "a"):
        sqs.send_message(QueueUrl=queue, MessageBody="same", MessageGroupId=group)
    assert bodies(sqs, queue) == ["same", "same"]


@moto_differs("it takes FifoThroughputLimit without DeduplicationScope")
def test_high_throughput_needs_deduplication_by_group(sqs: Any, name: str, refused: Refused) -> None:
    attributes = {"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId"}
    assert refused(sqs.create_queue, QueueName=f"{name}.fifo", Attributes=attributes) == ("InvalidAttributeValue", 400)


def test_a_fifo_message_without_its_group(sqs: Any, fifo: str, refused: Refused) -> None:
    assert refused(sqs.send_message, QueueUrl=fifo, MessageBody="x") == ("MissingParameter", 400)


def test_a_fifo_message_without_a_deduplication_id(sqs: Any, name: str, refused: Refused) -> None:
    queue = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x", MessageGroupId="g") == ("InvalidParameterValue", 400)


def test_a_fifo_message_has_no_delay_of_its_own(sqs: Any, fifo: str, refused: Refused) -> None:
    assert refused(sqs.send_message, QueueUrl=fifo, MessageBody="x", MessageGroupId="g", DelaySeconds=1) == ("InvalidParameterValue", 400)


@moto_differs("it takes ReceiveRequestAttemptId and forgets it")
def test_a_receive_is_repeated_by_its_attempt_id(sqs: Any, fifo: str) -> None:
    sqs.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
    first = receive(sqs, fifo, ReceiveRequestAttemptId="try")
    assert receive(sqs, fifo, ReceiveRequestAttemptId="try") == first != []


# Dead letters.


@pytest.fixture
def dead(sqs: Any, queue: str, name: str) -> str:
    """The dead-letter queue of ``queue``, whose messages come back at once and may be received once."""
    url: str = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": arn_of(sqs, url), "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"})
    return url


def fail(sqs: Any, queue: str, body: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert bodies(sqs, queue) == [body]
    assert bodies(sqs, queue) == []


@moto_differs("it does not tell DeadLetterQueueSourceArn")
def test_a_message_received_too_often_goes_to_the_dead_letters(sqs: Any, queue: str, dead: str) -> None:
    fail(sqs, queue, "poison")
    (message,) = receive(sqs, dead, AttributeNames=["DeadLetterQueueSourceArn"])
    assert (message["Body"], message["Attributes"]["DeadLetterQueueSourceArn"]) == ("poison", arn_of(sqs, queue))
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]


@moto_differs("it has no message move tasks")
def test_a_move_task_brings_dead_letters_back(sqs: Any, queue: str, dead: str) -> None:
    fail(sqs, queue, "poison")
    sqs.start_message_move_task(SourceArn=arn_of(sqs, dead))
    (message,) = receive(sqs, queue, WaitTimeSeconds=5)
    assert message["Body"] == "poison"
    (task,) = sqs.list_message_move_tasks(SourceArn=arn_of(sqs, dead))["Results"]
    assert task["ApproximateNumberOfMessagesMoved"] == 1


@moto_differs("it has no message move tasks")
def test_only_dead_letter_queues_are_moved_from(sqs: Any, queue: str, refused: Refused) -> None:
    assert refused(sqs.start_message_move_task, SourceArn=arn_of(sqs, queue)) == ("InvalidParameterValue", 400)


@moto_differs("it answers NonExistentQueue")
def test_a_dead_letter_queue_must_be_there(sqs: Any, queue: str, refused: Refused) -> None:
    policy = json.dumps({"deadLetterTargetArn": f"{arn_of(sqs, queue)}-none", "maxReceiveCount": 1})
    assert refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"RedrivePolicy": policy}) == ("InvalidParameterValue", 400)


@moto_differs("it keeps a RedriveAllowPolicy and does not enforce it")
def test_a_dead_letter_queue_that_takes_nothing(sqs: Any, queue: str, dead: str, name: str, refused: Refused) -> None:
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})})
    policy = json.dumps({"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": 1})
    assert refused(sqs.create_queue, QueueName=f"{name}-2", Attributes={"RedrivePolicy": policy}) == ("InvalidParameterValue", 400)
