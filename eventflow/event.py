"""The events that handlers receive: AWS's exact shapes, as types for an editor and as functions that build them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import quote_plus

from eventflow.clock import iso

# S3: "Event message structure" in the Amazon S3 user guide.


class S3Principal(TypedDict):
    """Who did it, or who owns the bucket."""

    principalId: str


class S3Request(TypedDict):
    """Where the change came from."""

    sourceIPAddress: str


S3Response = TypedDict("S3Response", {"x-amz-request-id": str, "x-amz-id-2": str})


class S3Bucket(TypedDict):
    """``record["s3"]["bucket"]``."""

    name: str
    ownerIdentity: S3Principal
    arn: str


class S3Object(TypedDict):
    """``record["s3"]["object"]``: ``key`` is URL-encoded (undo with ``urllib.parse.unquote_plus``); a removal has neither ``size`` nor ``eTag``.

    Two sequencers of one key are compared as text, the shorter one padded with zeros on the right: the greater is the later.
    """

    key: str
    size: NotRequired[int]
    eTag: NotRequired[str]
    versionId: NotRequired[str]
    sequencer: str


class S3Entity(TypedDict):
    """``record["s3"]``."""

    s3SchemaVersion: str
    configurationId: str
    bucket: S3Bucket
    object: S3Object


class S3Record(TypedDict):
    """One change of one object; ``eventName`` is ``ObjectCreated:Put``, ``ObjectRemoved:Delete``, ... without the ``s3:`` of the settings."""

    eventVersion: str
    eventSource: str
    awsRegion: str
    eventTime: str
    eventName: str
    userIdentity: S3Principal
    requestParameters: S3Request
    responseElements: S3Response
    s3: S3Entity


class S3Event(TypedDict):
    """What a function on a bucket receives."""

    Records: list[S3Record]


def s3_event(
    *,
    bucket: str,
    key: str,
    name: str,
    sequencer: str,
    region: str,
    account: str,
    time: float,
    request_id: str,
    configuration: str,
    size: int | None = None,
    etag: str | None = None,
    version: str | None = None,
    principal: str | None = None,
    source_ip: str = "127.0.0.1",
) -> S3Event:
    """The S3 event of one change. ``key`` is the plain key, ``name`` the event's (with or without ``s3:``), ``time`` in Unix seconds;
    leave ``size`` and ``etag`` out of a removal."""
    owner: S3Principal = {"principalId": account}
    described: dict[str, Any] = {"key": quote_plus(key, safe="/"), "size": size, "eTag": etag, "versionId": version, "sequencer": sequencer}
    record: S3Record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": iso(time),
        "eventName": name.removeprefix("s3:"),
        "userIdentity": {"principalId": principal or account},
        "requestParameters": {"sourceIPAddress": source_ip},
        "responseElements": {"x-amz-request-id": _request_id(request_id), "x-amz-id-2": _host_id(request_id)},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration,
            "bucket": {"name": bucket, "ownerIdentity": owner, "arn": f"arn:aws:s3:::{bucket}"},
            "object": cast("S3Object", {member: value for member, value in described.items() if value is not None}),
        },
    }
    return {"Records": [record]}


def _request_id(identifier: str) -> str:
    """S3 writes request ids as 16 capital hexadecimal digits."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:16].upper()


def _host_id(identifier: str) -> str:
    return base64.b64encode(hashlib.sha384(identifier.encode()).digest()).decode()


# SQS: "Using Lambda with Amazon SQS" in the AWS Lambda developer guide.


class SQSMessageAttribute(TypedDict):
    """One message attribute; ``binaryValue`` is base64 text."""

    stringValue: NotRequired[str]
    binaryValue: NotRequired[str]
    stringListValues: list[str]
    binaryListValues: list[str]
    dataType: str


class SQSAttributes(TypedDict):
    """The system attributes of a message: all of them text, times in milliseconds since 1970."""

    ApproximateReceiveCount: str
    SentTimestamp: str
    SenderId: str
    ApproximateFirstReceiveTimestamp: str
    SequenceNumber: NotRequired[str]
    MessageGroupId: NotRequired[str]
    MessageDeduplicationId: NotRequired[str]
    AWSTraceHeader: NotRequired[str]
    DeadLetterQueueSourceArn: NotRequired[str]


class SQSRecord(TypedDict):
    """One message of a batch."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: SQSAttributes
    messageAttributes: dict[str, SQSMessageAttribute]
    md5OfMessageAttributes: NotRequired[str]
    md5OfBody: str
    eventSource: str
    eventSourceARN: str
    awsRegion: str


class SQSEvent(TypedDict):
    """What a function on a queue receives."""

    Records: list[SQSRecord]


class SQSItemFailure(TypedDict):
    """One message that is to come back; ``itemIdentifier`` is its ``messageId``."""

    itemIdentifier: str


class SQSBatchResponse(TypedDict):
    """What a function on a queue with ``partial_failures`` returns."""

    batchItemFailures: list[SQSItemFailure]


def sqs_event(messages: Iterable[Mapping[str, Any]], *, arn: str, region: str) -> SQSEvent:
    """The SQS event of a batch; ``messages`` as ``ReceiveMessage`` returns them, ``arn`` and ``region`` of their queue."""
    return {"Records": [sqs_record(message, arn=arn, region=region) for message in messages]}


def sqs_record(message: Mapping[str, Any], *, arn: str, region: str) -> SQSRecord:
    """One message of ``ReceiveMessage``, as Lambda writes it."""
    attributes = {name: _sqs_attribute(value) for name, value in message.get("MessageAttributes", {}).items()}
    record: SQSRecord = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": cast("SQSAttributes", dict(message["Attributes"])),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _sqs_attribute(value: Mapping[str, Any]) -> SQSMessageAttribute:
    attribute: SQSMessageAttribute = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute


# DynamoDB: "Using AWS Lambda with Amazon DynamoDB" in the AWS Lambda developer guide.


class DynamoDBIdentity(TypedDict):
    """Who changed an item, where it was the table's time to live."""

    type: str
    principalId: str


class DynamoDBChange(TypedDict):
    """``record["dynamodb"]``: attribute values are DynamoDB's JSON with binary as base64 text, the time is in whole Unix seconds. Which images
    there are, the stream's view type says."""

    ApproximateCreationDateTime: int
    Keys: dict[str, Any]
    NewImage: NotRequired[dict[str, Any]]
    OldImage: NotRequired[dict[str, Any]]
    SequenceNumber: str
    SizeBytes: int
    StreamViewType: str


class DynamoDBRecord(TypedDict):
    """One change of one item; ``eventName`` is ``INSERT``, ``MODIFY`` or ``REMOVE``."""

    eventID: str
    eventName: str
    eventVersion: str
    eventSource: str
    awsRegion: str
    dynamodb: DynamoDBChange
    eventSourceARN: str
    userIdentity: NotRequired[DynamoDBIdentity]


class DynamoDBEvent(TypedDict):
    """What a function on a table's stream receives. A response of ``{"batchItemFailures": [{"itemIdentifier": SequenceNumber}]}`` says from which
    record on the batch is to come again."""

    Records: list[DynamoDBRecord]


def dynamodb_event(records: Iterable[Mapping[str, Any]], *, arn: str) -> DynamoDBEvent:
    """The event of a batch of stream records as ``GetRecords`` returns them; ``arn`` is the stream's."""
    return {"Records": [dynamodb_record(record, arn=arn) for record in records]}


def dynamodb_record(record: Mapping[str, Any], *, arn: str) -> DynamoDBRecord:
    """One record of ``GetRecords``, as Lambda writes it."""
    change = {member: _plain_attribute(value) if isinstance(value, Mapping) else value for member, value in record["dynamodb"].items()}
    time = change["ApproximateCreationDateTime"]
    change["ApproximateCreationDateTime"] = int(time.timestamp() if isinstance(time, datetime) else time)
    found: dict[str, Any] = {**record, "dynamodb": change, "eventSourceARN": arn}
    if "userIdentity" in record:
        found["userIdentity"] = {"type": record["userIdentity"]["Type"], "principalId": record["userIdentity"]["PrincipalId"]}
    return cast("DynamoDBRecord", found)


def _plain_attribute(value: Any) -> Any:
    """Attribute values with binary as base64 text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _plain_attribute(inner) for name, inner in value.items()}
    return [_plain_attribute(inner) for inner in value] if isinstance(value, list) else value


# EventBridge: "Creating a rule that runs on a schedule" in the Amazon EventBridge user guide.

ScheduledEvent = TypedDict(
    "ScheduledEvent",
    {
        "version": str,
        "id": str,
        "detail-type": str,
        "source": str,
        "account": str,
        "time": str,
        "region": str,
        "resources": list[str],
        "detail": dict[str, Any],
    },
)


def scheduled_event(*, id: str, time: float, account: str, region: str, rule: str) -> ScheduledEvent:
    """The event of a scheduled rule named ``rule`` at the instant ``time`` (Unix seconds; the event has whole seconds)."""
    return {
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": account,
        "time": iso(time, milliseconds=False),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{account}:rule/{rule}"],
        "detail": {},
    }


# Destinations: "Capturing records of Lambda asynchronous invocations" in the AWS Lambda developer guide.


class DestinationRequest(TypedDict):
    """``condition`` is ``Success``, ``RetriesExhausted``, ``EventAgeExceeded`` or ``RecursiveLoop``."""

    requestId: str
    functionArn: str
    condition: str
    approximateInvokeCount: int


class DestinationResponse(TypedDict):
    """``functionError`` stands in the record of a failed attempt alone."""

    statusCode: int
    executedVersion: str
    functionError: NotRequired[str]


class DestinationRecord(TypedDict):
    """What an ``on_success`` or ``on_failure`` destination receives; an event that never ran has no response."""

    version: str
    timestamp: str
    requestContext: DestinationRequest
    requestPayload: Any
    responseContext: NotRequired[DestinationResponse]
    responsePayload: NotRequired[Any]


def destination_record(
    *,
    time: float,
    request_id: str,
    function_arn: str,
    condition: str,
    invoke_count: int,
    request: Any,
    response: Any = None,
    executed_version: str = "$LATEST",
    qualifier: str | None = None,
    function_error: str | None = None,
) -> DestinationRecord:
    """The record of an asynchronous invocation's end. ``function_arn`` is without a version, ``qualifier`` the version or alias that was asked for;
    ``invoke_count`` counts the attempts that ran: with none the record has no response; ``function_error`` is ``Unhandled`` when the last attempt
    failed."""
    record: DestinationRecord = {
        "version": "1.0",
        "timestamp": iso(time),
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{function_arn}:{qualifier or executed_version}",
            "condition": condition,
            "approximateInvokeCount": invoke_count,
        },
        "requestPayload": request,
    }
    if invoke_count:
        context: DestinationResponse = {"statusCode": 200, "executedVersion": executed_version}
        if function_error is not None:
            context["functionError"] = function_error
        record["responseContext"] = context
        record["responsePayload"] = response
    return record
