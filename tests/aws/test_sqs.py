"""SQS through the endpoint: boto3 for the JSON protocol, hand-made signed forms for the query protocol."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from eventflow.aws.operation import Service
from eventflow.aws.sqs import SqsService
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.services.queues import Queues
from tests.aws.conftest import client_of, server_of
from tests.patience import PATIENCE

ACCOUNT = "000000000000"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


async def services(database: Database, clock: Clock, account: str, _folder: Path) -> list[Service]:
    queues = Queues(database, clock, account)
    await queues.open()
    return [SqsService(queues)]


server = server_of(services)
sqs = client_of("sqs")


@pytest.fixture
def queue(sqs: Any) -> str:
    url: str = sqs.create_queue(QueueName="orders")["QueueUrl"]
    return url


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response: Any = caught.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_message_travels_with_everything_it_has(sqs: Any, queue: str) -> None:
    attributes = {
        "text": {"DataType": "String", "StringValue": "Grüße"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    }
    sent = sqs.send_message(
        QueueUrl=queue,
        MessageBody="Tschüß\n\t€",
        MessageAttributes=attributes,
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}},
    )
    assert sent["MD5OfMessageBody"] == hashlib.md5("Tschüß\n\t€".encode()).hexdigest()
    assert len(sent["MD5OfMessageSystemAttributes"]) == 32
    (message,) = sqs.receive_message(QueueUrl=queue, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "Tschüß\n\t€"
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert set(message["Attributes"]) == {
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "AWSTraceHeader",
    }
    assert message["Attributes"]["AWSTraceHeader"] == TRACE
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_a_receive_shows_what_it_is_asked_for(sqs: Any, queue: str) -> None:
    attributes = {name: {"DataType": "String", "StringValue": name} for name in ("Hello", "Help.Me", "General")}
    sqs.send_message(QueueUrl=queue, MessageBody="msg", MessageAttributes=attributes)

    def receive(**names: Any) -> Any:
        (message,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, **names)["Messages"]
        return message

    assert set(receive()) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}
    assert set(receive(MessageAttributeNames=["Hel.*"])["MessageAttributes"]) == {"Hello", "Help.Me"}
    assert set(receive(AttributeNames=["SenderId"])["Attributes"]) == {"SenderId"}
    assert refused(sqs.receive_message, QueueUrl=queue, AttributeNames=["Colour"])[:2] == ("InvalidAttributeName", "Unknown Attribute Colour.")


def test_addresses_lead_to_queues_by_account_and_name(server: Any, sqs: Any, queue: str) -> None:
    assert queue == f"{server.url}/{ACCOUNT}/orders"
    assert sqs.get_queue_url(QueueName="orders")["QueueUrl"] == queue
    assert sqs.get_queue_url(QueueName="orders", QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"] == queue
    sqs.send_message(QueueUrl=f"http://elsewhere:9324/{ACCOUNT}/orders", MessageBody="x")
    assert len(sqs.receive_message(QueueUrl=queue)["Messages"]) == 1
    nowhere = ("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.", 400)
    assert refused(sqs.get_queue_url, QueueName="orders", QueueOwnerAWSAccountId="999999999999") == nowhere
    assert refused(sqs.send_message, QueueUrl=f"{server.url}/999999999999/orders", MessageBody="x") == nowhere
    assert refused(sqs.send_message, QueueUrl=f"{server.url}/{ACCOUNT}/nowhere", MessageBody="x") == nowhere
    assert refused(sqs.send_message, QueueUrl="orders", MessageBody="x")[0] == "InvalidAddress"
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.purge_queue(QueueUrl=f"{server.url}/{ACCOUNT}/nowhere")


def test_queues_are_listed_described_changed_and_deleted(sqs: Any, queue: str) -> None:
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert arn == "arn:aws:sqs:us-east-1:000000000000:dead"
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=dead)
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    assert sqs.list_dead_letter_source_queues(QueueUrl=queue)["queueUrls"] == []
    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    sqs.receive_message(QueueUrl=queue)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    (message,) = sqs.receive_message(QueueUrl=dead, AttributeNames=["DeadLetterQueueSourceArn"])["Messages"]
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":orders")
    assert sqs.list_queues()["QueueUrls"] == [dead, queue]
    assert sqs.list_queues(QueueNamePrefix="or")["QueueUrls"] == [queue]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="x")
    pages = sqs.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 1})
    assert [page["QueueUrls"] for page in pages] == [[dead], [queue]]
    sqs.delete_queue(QueueUrl=queue)
    assert sqs.list_queues()["QueueUrls"] == [dead]


def test_creating_again_with_other_attributes_is_refused_by_the_old_name(sqs: Any, queue: str) -> None:
    text = "A queue already exists with the same name and a different value for attribute DelaySeconds"
    assert refused(sqs.create_queue, QueueName="orders", Attributes={"DelaySeconds": "1"}) == ("QueueAlreadyExists", text, 400)
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName="orders", Attributes={"DelaySeconds": "1"})


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"MaxNumberOfMessages": 11}, "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."),
        ({"MaxNumberOfMessages": 0}, "Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."),
        ({"WaitTimeSeconds": 21}, "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."),
        ({"VisibilityTimeout": 43_201}, "Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided."),
    ],
)
def test_parameters_of_a_receive(sqs: Any, queue: str, params: dict[str, int], text: str) -> None:
    assert refused(sqs.receive_message, QueueUrl=queue, **params) == ("InvalidParameterValue", text, 400)


def test_messages_that_are_refused(sqs: Any, queue: str) -> None:
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="")[:2] == (
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
    )
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="a\x00")[0] == "InvalidMessageContents"
    too_long = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="é" * 524_289)[:2] == ("InvalidParameterValue", too_long)
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 1_048_576)
    assert refused(sqs.delete_message, QueueUrl=queue, ReceiptHandle="x")[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs.receive_message, QueueUrl=queue, ReceiveRequestAttemptId="x")[0] == "InvalidParameterValue"  # a FIFO queue's


def test_batches_succeed_and_fail_by_entry(sqs: Any, queue: str) -> None:
    sent = sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "good", "MessageBody": "a", "MessageAttributes": {"Foo": {"DataType": "String", "StringValue": "Bar"}}},
            {"Id": "bad", "MessageBody": "b", "DelaySeconds": 901},
            {"Id": "worse", "MessageBody": "c", "MessageAttributes": {"Foo": {"DataType": "Colour", "StringValue": "Bar"}}},
            {"Id": "also-good", "MessageBody": "d"},
        ],
    )
    assert [entry["Id"] for entry in sent["Successful"]] == ["good", "also-good"]
    assert sent["Successful"][0]["MD5OfMessageAttributes"] == "ae7155c6026991b6d54b11589678bf9c"
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]] == [
        ("bad", "InvalidParameterValue", True),
        ("worse", "InvalidParameterValue", True),
    ]
    handles = [message["ReceiptHandle"] for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]]
    entries = [{"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0} for number, handle in enumerate([*handles, "x"])]
    changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=entries)
    assert ([entry["Id"] for entry in changed["Successful"]], [entry["Code"] for entry in changed["Failed"]]) == (
        ["0", "1"],
        ["ReceiptHandleIsInvalid"],
    )
    deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "1", "ReceiptHandle": handles[0]}, {"Id": "2", "ReceiptHandle": handles[1]}])
    assert [entry["Id"] for entry in deleted["Successful"]] == ["1", "2"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_batches_as_a_whole_are_checked(sqs: Any, queue: str) -> None:
    def send(*ids: str, body: str = "x") -> tuple[str, str, int]:
        return refused(sqs.send_message_batch, QueueUrl=queue, Entries=[{"Id": name, "MessageBody": body} for name in ids])

    prefix = "AWS.SimpleQueueService."
    assert send() == (f"{prefix}EmptyBatchRequest", "There should be at least one entry in the request.", 400)
    too_many = (f"{prefix}TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 11.", 400)
    assert send(*[str(number) for number in range(11)]) == too_many
    assert send("a", "a") == (f"{prefix}BatchEntryIdsNotDistinct", "Id a repeated.", 400)
    assert send("a:b")[0] == f"{prefix}InvalidBatchEntryId"
    assert send("a" * 81)[0] == f"{prefix}InvalidBatchEntryId"
    too_long = "Batch requests cannot be longer than 1048576 bytes. You have sent 1048578 bytes."
    assert send("a", "b", body="x" * 524_289) == (f"{prefix}BatchRequestTooLong", too_long, 400)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_a_fifo_queue_over_the_wire(sqs: Any) -> None:
    queue = sqs.create_queue(QueueName="steps.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x") == (
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
        400,
    )
    first = sqs.send_message(QueueUrl=queue, MessageBody="1", MessageGroupId="g", MessageDeduplicationId="a")
    again = sqs.send_message(QueueUrl=queue, MessageBody="1", MessageGroupId="g", MessageDeduplicationId="a")
    assert (first["MessageId"], first["SequenceNumber"]) == (again["MessageId"], again["SequenceNumber"])
    entries = [{"Id": name, "MessageBody": name, "MessageGroupId": "g", "MessageDeduplicationId": name} for name in ("b", "c")]
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]
    assert first["SequenceNumber"] < sent[0]["SequenceNumber"] < sent[1]["SequenceNumber"]
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])["Messages"]
    assert [message["Body"] for message in messages] == ["1", "b", "c"]
    assert messages[0]["Attributes"]["MessageDeduplicationId"] == "a"
    assert messages[0]["Attributes"]["MessageGroupId"] == "g"


def test_a_long_poll_answers_when_a_message_comes(sqs: Any, queue: str) -> None:
    received: list[Any] = []
    polling = threading.Thread(target=lambda: received.append(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)))
    polling.start()
    time.sleep(0.05)
    began = time.monotonic()
    sqs.send_message(QueueUrl=queue, MessageBody="late")
    polling.join(PATIENCE)
    assert received[0]["Messages"][0]["Body"] == "late"
    assert time.monotonic() - began < 15, "it waits for 20 s where none comes"


def test_purging_twice_is_refused_with_403(sqs: Any, queue: str) -> None:
    sqs.purge_queue(QueueUrl=queue)
    text = "Only one PurgeQueue operation on orders is allowed every 60 seconds."
    assert refused(sqs.purge_queue, QueueUrl=queue) == ("AWS.SimpleQueueService.PurgeQueueInProgress", text, 403)


def test_operations_that_are_not_there_say_so(sqs: Any, queue: str) -> None:
    _code, text, status = refused(sqs.add_permission, QueueUrl=queue, Label="a", AWSAccountIds=[ACCOUNT], Actions=["SendMessage"])
    assert status == 501
    assert "AddPermission" in text


def test_tags_by_name(sqs: Any) -> None:
    queue = sqs.create_queue(QueueName="tagged", tags={"team": "a", "stage": ""})["QueueUrl"]
    sqs.tag_queue(QueueUrl=queue, Tags={"team": "b"})
    sqs.untag_queue(QueueUrl=queue, TagKeys=["stage"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"team": "b"}
    sqs.untag_queue(QueueUrl=queue, TagKeys=["team"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=queue)
    assert refused(sqs.untag_queue, QueueUrl=queue, TagKeys=[])[0] == "MissingParameter"


def test_a_message_move_task(sqs: Any, queue: str) -> None:
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    assert refused(sqs.start_message_move_task, SourceArn=arn) == (
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
        400,
    )
    attributes = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}), "VisibilityTimeout": "0"}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    poison = [str(number) for number in range(10)]  # so that the task is not done before it is cancelled, however slow the machine is
    sqs.send_message_batch(QueueUrl=queue, Entries=[{"Id": body, "MessageBody": body} for body in poison])
    for _attempt in range(2):
        sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    handle = sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert message["Body"] in poison
    (task,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
    assert (task["SourceArn"], task["MaxNumberOfMessagesPerSecond"]) == (arn, 1)
    assert 1 <= task["ApproximateNumberOfMessagesMoved"] <= sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] < 10
    assert sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] == "CANCELLED"
    assert refused(sqs.list_message_move_tasks, SourceArn=f"{arn}x")[::2] == ("ResourceNotFoundException", 404)
    sqs.delete_queue(QueueUrl=dead)


def test_the_name_of_a_deleted_queue_is_free_after_a_minute(sqs: Any, queue: str) -> None:
    sqs.delete_queue(QueueUrl=queue)
    text = "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    assert refused(sqs.create_queue, QueueName="orders") == ("AWS.SimpleQueueService.QueueDeletedRecently", text, 400)


def test_a_receive_is_repeated_by_its_attempt_id(sqs: Any) -> None:
    queue = sqs.create_queue(QueueName="steps.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="1", MessageGroupId="g")
    first = sqs.receive_message(QueueUrl=queue, ReceiveRequestAttemptId="try")["Messages"]
    assert sqs.receive_message(QueueUrl=queue, ReceiveRequestAttemptId="try")["Messages"] == first
    assert "Messages" not in sqs.receive_message(QueueUrl=queue, ReceiveRequestAttemptId="other")


def test_a_group_s_backlog_holds_up_no_other_group(sqs: Any, queue: str) -> None:
    for group, number in (("A", 10), ("A", 10), ("B", 5)):
        entries = [{"Id": str(index), "MessageBody": group, "MessageGroupId": group} for index in range(number)]
        assert "Failed" not in sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"])["Messages"]
    assert sorted(message["Attributes"]["MessageGroupId"] for message in received) == ["A"] * 5 + ["B"] * 5


def test_a_trace_in_the_request_goes_with_the_message(server: Any, sqs: Any, queue: str) -> None:
    sqs.meta.events.register("before-call.sqs.SendMessage", lambda params, **_: params["headers"].update({"X-Amzn-Trace-Id": TRACE}))
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue, MessageSystemAttributeNames=["AWSTraceHeader"])["Messages"]
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}


# The query protocol, as SDKs spoke it until 2023.


class QueryClient:
    """Signs forms and reads XML, with nothing of ours but the address."""

    def __init__(self, server: Any) -> None:
        self.url = server.url
        self.credentials = Credentials(server.credentials.access_key, server.credentials.secret_key)

    def __call__(self, action: str, path: str = "/", **fields: str) -> tuple[int, ElementTree.Element]:
        form = urlencode({"Action": action, "Version": "2012-11-05", **{name.replace("_", "."): value for name, value in fields.items()}})
        signed = AWSRequest("POST", self.url + path, data=form, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
        SigV4Auth(self.credentials, "sqs", "us-east-1").add_auth(signed)
        try:
            with urlopen(Request(self.url + path, form.encode(), dict(signed.headers.items()))) as answer:
                return answer.status, stripped(answer.read())
        except HTTPError as error:
            with error:
                return error.code, stripped(error.read())


def stripped(document: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(document)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def texts(root: ElementTree.Element, path: str) -> list[str]:
    return [element.text or "" for element in root.findall(path)]


def test_the_query_protocol_from_creation_to_deletion(server: Any) -> None:
    query = QueryClient(server)
    status, created = query("CreateQueue", QueueName="orders", Attribute_1_Name="VisibilityTimeout", Attribute_1_Value="60")
    assert status == 200
    (url,) = texts(created, "CreateQueueResult/QueueUrl")
    assert url == f"{server.url}/{ACCOUNT}/orders"
    _status, sent = query(
        "SendMessage",
        QueueUrl=url,
        MessageBody="a <b> & c",
        MessageAttribute_1_Name="Foo",
        MessageAttribute_1_Value_DataType="String",
        MessageAttribute_1_Value_StringValue="Bar",
    )
    assert texts(sent, "SendMessageResult/MD5OfMessageAttributes") == ["ae7155c6026991b6d54b11589678bf9c"]
    _status, received = query("ReceiveMessage", QueueUrl=url, AttributeName_1="All", MessageAttributeName_1="All", MaxNumberOfMessages="10")
    message = received.find("ReceiveMessageResult/Message")
    assert message is not None
    assert texts(message, "Body") == ["a <b> & c"]
    names = dict(zip(texts(message, "Attribute/Name"), texts(message, "Attribute/Value"), strict=True))
    assert names["ApproximateReceiveCount"] == "1"
    assert texts(message, "MessageAttribute/Name") == ["Foo"]
    assert texts(message, "MessageAttribute/Value/StringValue") == ["Bar"]
    (handle,) = texts(message, "ReceiptHandle")
    _status, deleted = query(
        "DeleteMessageBatch", QueueUrl=url, DeleteMessageBatchRequestEntry_1_Id="one", DeleteMessageBatchRequestEntry_1_ReceiptHandle=handle
    )
    assert texts(deleted, "DeleteMessageBatchResult/DeleteMessageBatchResultEntry/Id") == ["one"]
    _status, told = query(
        "GetQueueAttributes", QueueUrl=url, AttributeName_1="VisibilityTimeout", AttributeName_2="ApproximateNumberOfMessagesNotVisible"
    )
    assert texts(told, "GetQueueAttributesResult/Attribute/Value") == ["0", "60"] or texts(told, "GetQueueAttributesResult/Attribute/Value") == [
        "60",
        "0",
    ]
    _status, listed = query("ListQueues")
    assert texts(listed, "ListQueuesResult/QueueUrl") == [url]
    assert query("DeleteQueue", QueueUrl=url)[0] == 200


def test_the_query_protocol_s_batches_and_addresses(server: Any) -> None:
    query = QueryClient(server)
    query("CreateQueue", QueueName="orders")
    prefix = "SendMessageBatchRequestEntry"
    _status, sent = query(
        "SendMessageBatch",
        f"/{ACCOUNT}/orders",  # the queue's own address stands for QueueUrl
        **{
            f"{prefix}_1_Id": "a",
            f"{prefix}_1_MessageBody": "1",
            f"{prefix}_2_Id": "b",
            f"{prefix}_2_MessageBody": "2",
            f"{prefix}_2_DelaySeconds": "901",
        },
    )
    assert texts(sent, "SendMessageBatchResult/SendMessageBatchResultEntry/Id") == ["a"]
    assert texts(sent, "SendMessageBatchResult/BatchResultErrorEntry/Id") == ["b"]
    assert texts(sent, "SendMessageBatchResult/BatchResultErrorEntry/SenderFault") == ["true"]


def test_the_query_protocol_s_errors_have_the_old_codes(server: Any) -> None:
    query = QueryClient(server)
    status, error = query("GetQueueUrl", QueueName="nowhere")
    assert status == 400
    assert texts(error, "Error/Code") == ["AWS.SimpleQueueService.NonExistentQueue"]
    assert texts(error, "Error/Type") == ["Sender"]
    query("CreateQueue", QueueName="orders")
    _status, error = query("ReceiveMessage", f"/{ACCOUNT}/orders", MaxNumberOfMessages="11")
    assert texts(error, "Error/Code") == ["InvalidParameterValue"]
    _status, error = query("SendMessage", f"/{ACCOUNT}/orders")
    assert texts(error, "Error/Code") == ["MissingParameter"]


def test_the_query_protocol_s_tags_and_move_tasks(server: Any) -> None:
    query = QueryClient(server)
    _status, created = query("CreateQueue", QueueName="dead", Tag_1_Key="team", Tag_1_Value="a")
    (url,) = texts(created, "CreateQueueResult/QueueUrl")
    assert query("TagQueue", QueueUrl=url, Tag_1_Key="stage", Tag_1_Value="x")[0] == 200
    assert query("UntagQueue", QueueUrl=url, TagKey_1="team")[0] == 200
    _status, told = query("ListQueueTags", QueueUrl=url)
    assert (texts(told, "ListQueueTagsResult/Tag/Key"), texts(told, "ListQueueTagsResult/Tag/Value")) == (["stage"], ["x"])
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    query("CreateQueue", QueueName="orders", Attribute_1_Name="RedrivePolicy", Attribute_1_Value=policy)
    _status, started = query("StartMessageMoveTask", SourceArn=arn)
    assert len(texts(started, "StartMessageMoveTaskResult/TaskHandle")) == 1
    _status, listed = query("ListMessageMoveTasks", SourceArn=arn)
    assert texts(listed, "ListMessageMoveTasksResult/ListMessageMoveTasksResultEntry/SourceArn") == [arn]
    status, error = query("StartMessageMoveTask", SourceArn=f"{arn}-none")
    assert (status, texts(error, "Error/Code")) == (404, ["ResourceNotFoundException"])
    query("DeleteQueue", QueueUrl=url)
    _status, error = query("CreateQueue", QueueName="dead")
    assert texts(error, "Error/Code") == ["AWS.SimpleQueueService.QueueDeletedRecently"]
