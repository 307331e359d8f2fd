"""What the endpoint answers where something is not there or goes wrong, also to clients that misbehave on raw sockets."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import Any

import pytest
import requests
from botocore.retries.standard import ThrottledRetryableChecker

from eventflow.body_budget import BodyBudget
from eventflow.errors import ServiceError, StorageError
from tests.aws.conftest import server_of
from tests.aws.scripted import SERVICES, chunked, error_of, script, scripted, sent, signed
from tests.patience import PATIENCE

server = server_of(scripted)


def test_what_is_not_there_yet(server: Any) -> None:
    code, status, message = error_of(lambda: server.client("s3").put_bucket_acl(Bucket="bucket", ACL="private"))
    assert (code, status, message) == ("NotImplemented", 501, "eventflow does not have s3:PutBucketAcl yet.")
    for service, action in [("lambda", "list_layers"), ("dynamodb", "list_backups"), ("sqs", "list_queues")]:
        code, status, message = error_of(getattr(server.client(service), action))
        assert (code, status) == ("NotImplemented", 501)
        assert f"eventflow does not have {service}:" in message


def test_services_that_are_not_served(server: Any) -> None:
    for service, action in [("kinesis", "list_streams"), ("sns", "list_topics"), ("scheduler", "list_schedules")]:
        code, status, message = error_of(getattr(server.client(service), action))
        assert (code, status) == ("NotImplemented", 501)
        assert f"'{service}'" in message
    empty = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1//aws4_request, SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20260101T000000Z",
    }
    assert "InvalidAccessKeyId" in requests.get(server.url, headers=empty, timeout=PATIENCE).text


def test_errors_of_the_rules(server: Any) -> None:
    script(server, "dynamodb").on("GetItem", ServiceError("ResourceNotFoundException", "Requested resource not found"))
    client = server.client("dynamodb")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_item(TableName="none", Key={})
    script(server, "lambda").on("GetFunction", ServiceError("ResourceNotFoundException", "Function not found: f"))
    assert error_of(lambda: server.client("lambda").get_function(FunctionName="f")) == ("ResourceNotFoundException", 404, "Function not found: f")
    sqs = server.client("sqs")
    script(server, "sqs").on("GetQueueUrl", ServiceError("QueueDoesNotExist", "The specified queue does not exist."))
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.get_queue_url(QueueName="q")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_mistake_of_ours_is_told_by_its_request_id(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    script(server, "lambda").on("ListFunctions", ZeroDivisionError("a secret detail"))
    code, status, message = error_of(lambda: server.client("lambda").list_functions())
    request_id = script(server, "lambda").call.request_id
    assert (code, status) == ("InternalFailure", 500)
    assert request_id in message
    assert "a secret detail" not in message
    (record,) = [record for record in caplog.records if record.name == "eventflow.aws"]
    assert record.levelno == logging.ERROR
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    script(server, "s3").on("ListBuckets", {"Bukets": []})
    assert error_of(lambda: server.client("s3").list_buckets())[0] == "InternalError"


def test_a_full_disk_is_not_a_mistake(server: Any) -> None:
    script(server, "dynamodb").on("GetItem", StorageError("The state file cannot be written: disk full."))
    assert error_of(lambda: server.client("dynamodb").get_item(TableName="ttt", Key={}))[:2] == ("ServiceUnavailable", 503)


def test_bodies_have_a_limit(serve: Any) -> None:
    server = serve(scripted, body_limit=1000)
    script(server, "lambda").on("Invoke", {"StatusCode": 200})
    service = script(server, "s3").on("PutObject", {})
    server.client("lambda").invoke(FunctionName="f", Payload=b"x" * 1000)
    code, status, _ = error_of(lambda: server.client("lambda").invoke(FunctionName="f", Payload=b"x" * 1001))
    assert (code, status) == ("RequestEntityTooLargeException", 413)
    server.client("s3").put_object(Bucket="bucket", Key="k", Body=b"x" * 100_000)
    assert service.bodies == [b"x" * 100_000]


BUSY = {
    "dynamodb": lambda client, body: client.put_item(TableName="ttt", Item={"k": {"B": body}}),
    "sqs": lambda client, body: client.send_message(QueueUrl=f"{client.meta.endpoint_url}/1/q", MessageBody=body.decode()),
    "lambda": lambda client, body: client.invoke(FunctionName="f", Payload=body),
    "s3": lambda client, body: client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": body.decode()}]}),
}
BUSY_NAMES = {"dynamodb": "ThrottlingException", "sqs": "ThrottlingException", "lambda": "TooManyRequestsException", "s3": "SlowDown"}


@pytest.mark.parametrize("name", list(BUSY))
def test_a_daemon_that_holds_enough_says_so_by_the_names_that_sdks_wait_for(serve: Any, name: str) -> None:
    bodies = BodyBudget(2000)
    server = serve(scripted, bodies=bodies)
    script(server, "s3").on("DeleteObjects", {})
    code, status, _ = error_of(lambda: BUSY[name](server.client(name), b"x" * 3000))
    assert code == BUSY_NAMES[name]
    assert code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES
    assert (status, bodies.held) == ({"s3": 503, "lambda": 429}.get(name, 400), 0)


def test_health_and_control(serve: Any, server: Any) -> None:
    assert requests.get(f"{server.url}/_eventflow/health", timeout=PATIENCE).json() == {"status": "ok", "services": list(SERVICES)}
    assert requests.get(f"{server.url}/_eventflow/other", timeout=PATIENCE).status_code == 404

    async def control(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    controlled = serve(lambda *_: [], control=control)
    assert requests.get(f"{controlled.url}/_eventflow/status?x=1", timeout=PATIENCE).content == b"/_eventflow/status"


# Raw sockets


def exchange(server: Any, *sends: bytes, until: bytes | None = None) -> bytes:
    """Send these, one after the other, and read until the server closes, or says these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        for piece in sends:
            connection.sendall(piece)
        received = b""
        while until is None or until not in received:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
        return received


def head_of(prepared: Any, **changes: str) -> bytes:
    headers = {
        **prepared.headers,
        "Host": prepared.headers.get("Host", prepared.url.split("/")[2]),
        **{n.replace("_", "-"): v for n, v in changes.items()},
    }
    lines = "".join(f"{name}: {value if isinstance(value, str) else value.decode()}\r\n" for name, value in headers.items() if value != "-")
    return f"{prepared.method} /{prepared.url.split('/', 3)[3]} HTTP/1.1\r\n{lines}\r\n".encode()


def test_expect_is_answered_after_the_signature_was_right(server: Any) -> None:
    script(server, "s3").on("PutObject", {})
    prepared = signed(server, "PUT", "/bucket/k", b"hello")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head_of(prepared, Expect="100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert script(server, "s3").bodies == [b"hello"]
    wrong = head_of(prepared, Expect="100-continue", X_Amz_Date="20200101T000000Z")
    refused = exchange(server, wrong)
    assert refused.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert b"100 Continue" not in refused
    assert b"connection: close" in refused.lower()


def test_a_refused_body_does_not_become_the_next_request(server: Any) -> None:
    body = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3
    request = b"PUT /bucket/k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = exchange(server, request + body, b"GET /_eventflow/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"AccessDenied" in answer
    assert b'"status": "ok"' in answer


def test_a_client_that_leaves_before_the_end_of_its_body(server: Any) -> None:
    service = script(server, "s3").on("PutObject", {})
    prepared = signed(server, "PUT", "/bucket/k", b"x" * 1000)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head_of(prepared) + b"x" * 999)
    server.client("s3").put_object(Bucket="bucket", Key="k", Body=b"whole")
    end = time.monotonic() + PATIENCE
    while not service.failures and time.monotonic() < end:
        time.sleep(0.01)
    assert [getattr(failure, "code", None) for failure in service.failures] == ["IncompleteBody"]
    assert service.bodies == [b"whole"]


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /b/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"403"),
        (b"GET /b?%ff=X-Amz-Signature HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: " + b"a" * 20_000 + b"\r\nConnection: close\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Meta: \xff\xfe\r\nConnection: close\r\n\r\n", b"403"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\nConnection: close\r\n\r\n%ff",
            b"403",
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"4"),
        (b"GET http://x/b/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"403"),
        (b"GET / HTTP/1.0\r\n\r\n", b"403"),
    ],
)
def test_hostile_requests(server: Any, request_bytes: bytes, status: bytes) -> None:
    answer = exchange(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]


@pytest.mark.parametrize(
    "encoded",
    [
        b"zz\r\nabc\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"\r\n" * 100,
        b"f" * 10_000,
        b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n",
    ],
)
def test_hostile_chunks(server: Any, encoded: bytes) -> None:
    service = script(server, "s3").on("PutObject", {})
    assert chunked(server, encoded, 3).status_code == 400
    assert service.bodies == []


def test_hostile_documents(server: Any) -> None:
    script(server, "s3").on("DeleteObjects", {})
    script(server, "dynamodb").on("ListTables", {})
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    assert "MalformedXML" in sent(signed(server, "POST", "/bucket?delete", bomb)).text
    reply = sent(signed(server, "POST", "/", b"[" * 100_000, "dynamodb", x_amz_target="DynamoDB_20120810.ListTables"))
    assert (reply.status_code, json.loads(reply.text)["__type"]) == (400, "com.amazon.coral.service#SerializationException")
