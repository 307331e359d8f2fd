import json
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.event import destination_record, s3_event, scheduled_event, sqs_event

NOON = 1_700_000_000.125


def created(**changed):
    settings = {
        "bucket": "uploads",
        "key": "cat.jpg",
        "name": "ObjectCreated:Put",
        "sequencer": "0A1B",
        "region": "eu-west-1",
        "account": "000000000000",
        "time": NOON,
        "request_id": "r-1",
        "configuration": "thumbnail",
        "size": 3,
        "etag": "abc",
    }
    return s3_event(**{**settings, **changed})["Records"][0]


def test_a_created_object_has_the_shape_of_s3():
    record = created()
    response = record.pop("responseElements")
    assert set(response) == {"x-amz-request-id", "x-amz-id-2"}
    assert len(response["x-amz-request-id"]) == 16
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2023-11-14T22:13:20.125Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "000000000000"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "thumbnail",
            "bucket": {"name": "uploads", "ownerIdentity": {"principalId": "000000000000"}, "arn": "arn:aws:s3:::uploads"},
            "object": {"key": "cat.jpg", "size": 3, "eTag": "abc", "sequencer": "0A1B"},
        },
    }


def test_a_removed_object_has_neither_size_nor_etag():
    record = created(name="s3:ObjectRemoved:Delete", size=None, etag=None)
    assert record["eventName"] == "ObjectRemoved:Delete"
    assert record["s3"]["object"] == {"key": "cat.jpg", "sequencer": "0A1B"}


def test_an_empty_object_keeps_its_size():
    assert created(size=0)["s3"]["object"]["size"] == 0


@pytest.mark.parametrize(
    "key, written",
    [("a b/c+d.jpg", "a+b/c%2Bd.jpg"), ("Grüße.txt", "Gr%C3%BC%C3%9Fe.txt"), ("100%&=?.txt", "100%25%26%3D%3F.txt"), ("_-.~", "_-.~")],
)
def test_keys_are_written_as_s3_writes_them(key, written):
    assert created(key=key)["s3"]["object"]["key"] == written


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_every_key_can_be_read_back(key):
    assert unquote_plus(created(key=key)["s3"]["object"]["key"]) == key


def test_the_caller_is_the_principal_and_the_version_is_told():
    record = created(principal="AWS:AIDAEXAMPLE", version="v1", source_ip="10.0.0.9")
    assert record["userIdentity"] == {"principalId": "AWS:AIDAEXAMPLE"}
    assert record["s3"]["object"]["versionId"] == "v1"
    assert record["requestParameters"] == {"sourceIPAddress": "10.0.0.9"}


def message(**changed):
    plain = {
        "MessageId": "m-1",
        "ReceiptHandle": "handle",
        "Body": '{"n": 1}',
        "MD5OfBody": "0cc1",
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDA",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        },
    }
    return {**plain, **changed}


def test_a_message_has_the_shape_of_lambda():
    event = sqs_event([message()], arn="arn:aws:sqs:us-east-1:000000000000:orders", region="us-east-1")
    assert event == {
        "Records": [
            {
                "messageId": "m-1",
                "receiptHandle": "handle",
                "body": '{"n": 1}',
                "attributes": message()["Attributes"],
                "messageAttributes": {},
                "md5OfBody": "0cc1",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders",
                "awsRegion": "us-east-1",
            }
        ]
    }


def test_message_attributes_change_their_case_and_bytes_become_text():
    attributes = {"kind": {"StringValue": "new", "DataType": "String"}, "raw": {"BinaryValue": b"\x00\xff", "DataType": "Binary"}}
    [record] = sqs_event([message(MessageAttributes=attributes, MD5OfMessageAttributes="77aa")], arn="arn", region="us-east-1")["Records"]
    assert record["messageAttributes"] == {
        "kind": {"stringValue": "new", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
        "raw": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
    }
    assert record["md5OfMessageAttributes"] == "77aa"
    json.dumps(record)


def test_attributes_of_a_fifo_queue_are_passed_on():
    ordered = message()["Attributes"] | {"SequenceNumber": "18849496460467696128", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    [record] = sqs_event([message(Attributes=ordered)], arn="arn", region="us-east-1")["Records"]
    assert record["attributes"] == ordered


def test_a_scheduled_event_has_the_shape_of_eventbridge():
    event = scheduled_event(id="53dc4d37", time=NOON, account="000000000000", region="us-east-1", rule="tidy")
    assert event == {
        "version": "0",
        "id": "53dc4d37",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2023-11-14T22:13:20Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:000000000000:rule/tidy"],
        "detail": {},
    }


def finished(**changed):
    settings = {
        "time": NOON,
        "request_id": "r-1",
        "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:tidy",
        "condition": "Success",
        "invoke_count": 1,
        "request": {"n": 1},
        "response": {"ok": True},
    }
    return destination_record(**{**settings, **changed})


def test_the_record_of_a_success_has_the_shape_of_lambda():
    assert finished() == {
        "version": "1.0",
        "timestamp": "2023-11-14T22:13:20.125Z",
        "requestContext": {
            "requestId": "r-1",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:tidy:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"ok": True},
    }


def test_the_record_of_a_failure_names_it():
    record = finished(condition="RetriesExhausted", invoke_count=3, function_error="Unhandled", response={"errorMessage": "no"})
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_an_event_that_never_ran_has_no_response():
    record = finished(condition="EventAgeExceeded", invoke_count=0)
    assert "responseContext" not in record
    assert "responsePayload" not in record


def test_a_null_response_is_a_response():
    assert finished(response=None)["responsePayload"] is None
