"""Bodies that break off or lie about their length, and names that nobody should have: the services say what AWS says, and keep nothing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError

from eventflow.aws.operation import Service
from eventflow.clock import Clock, SystemClock
from eventflow.composition import Core
from eventflow.database import Database
from tests.aws.conftest import REGION, AwsServer
from tests.patience import PATIENCE

BUCKET, TABLE, QUEUE = "uploads", "things", "jobs"
#: Held in memory on its way, and written to a temporary file on its way.
SIZES = (2_000, 300_000)


CORES: list[Core] = []


async def services(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
    await core.open()
    CORES.append(core)
    return core.aws_services("python3.11")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[AwsServer]:
    server = AwsServer(services, tmp_path_factory.mktemp("server"), boto_session, SystemClock())
    client_of(server, "s3").create_bucket(Bucket=BUCKET)
    client_of(server, "sqs").create_queue(QueueName=QUEUE)
    client_of(server, "dynamodb").create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    events = server.client("events")  # what is put arrives in the queue
    events.put_rule(Name="all", EventPattern='{"source": ["broken"]}')
    events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}"}])
    yield server

    async def close() -> None:
        CORES.pop().close()

    server.run(close())
    server.close()


@cache
def client_of(server: AwsServer, service: str) -> Any:
    """One that lets everything through, and is made once."""
    return server.client(service, parameter_validation=False)


def signed(server: AwsServer, service: str, method: str, path: str, body: bytes, **headers: str) -> Any:
    """The head of a request that botocore signed, as pairs."""
    given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    request: Any = AWSRequest(method, f"{server.url}{path}", headers=given, data=body)
    request.context["payload_signing_enabled"] = True
    credentials = BotocoreCredentials(server.credentials.access_key, server.credentials.secret_key)
    signer: Any = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(credentials, service, "us-east-1").add_auth(request)
    return {"host": f"127.0.0.1:{server.port}", "content-length": str(len(body)), **{k.lower(): v for k, v in request.headers.items()}}


def exchange(server: AwsServer, method: str, path: str, headers: dict[str, str], body: bytes, *, hang_up: bool = False) -> bytes:
    """Send this and nothing more, and read to the end; a client that hangs up reads nothing."""
    lines = "".join(f"{name}: {value if isinstance(value, str) else value.decode()}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        if hang_up:
            return b""
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
            if b"\r\n\r\n" in answer and answer.count(b"HTTP/1.1") > 1:
                break
        return answer


REQUESTS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "dynamodb": ("dynamodb", "POST", "/", {"x_amz_target": "DynamoDB_20120810.PutItem", "content_type": "application/x-amz-json-1.0"}),
    "sqs": ("sqs", "POST", "/", {"x_amz_target": "AmazonSQS.SendMessage", "content_type": "application/x-amz-json-1.0"}),
    "sqs-query": ("sqs", "POST", f"/000000000000/{QUEUE}", {"content_type": "application/x-www-form-urlencoded"}),
    "scheduler": ("scheduler", "POST", "/schedules/broken", {"content_type": "application/json"}),
    "events": ("events", "POST", "/", {"x_amz_target": "AWSEvents.PutEvents", "content_type": "application/x-amz-json-1.1"}),
}
BODIES = {
    "dynamodb": json.dumps({"TableName": TABLE, "Item": {"pk": {"S": "broken"}, "text": {"S": "x" * 1000}}}),
    "sqs": json.dumps({"QueueUrl": f"http://localhost/000000000000/{QUEUE}", "MessageBody": "broken" + "x" * 1000}),
    "events": json.dumps({"Entries": [{"Source": "broken", "DetailType": "t", "Detail": json.dumps({"text": "x" * 1000})}]}),
    "sqs-query": "Action=SendMessage&Version=2012-11-05&MessageBody=broken" + "x" * 1000,
    "scheduler": json.dumps(
        {
            "ScheduleExpression": "rate(1 minute)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}", "RoleArn": "arn:aws:iam::000000000000:role/r", "Input": "x" * 1000},
        }
    ),
}


def nothing_was_kept(server: AwsServer) -> None:
    service: Any = server.services["s3"]
    directory = Path(service.objects.bucket(BUCKET).path)
    s3 = client_of(server, "s3")
    assert s3.list_objects_v2(Bucket=BUCKET).get("Contents", []) == []
    for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        place = {"Bucket": BUCKET, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        assert s3.list_parts(**place).get("Parts", []) == []
        s3.abort_multipart_upload(**place)
    temporaries = directory / ".eventflow-tmp"
    waited = 0
    while (left := [entry.name for entry in temporaries.iterdir() if entry.name != "clock"] if temporaries.exists() else []) and waited < 200:
        s3.list_objects_v2(Bucket=BUCKET)  # a hang-up is noticed a moment later
        waited += 1
    assert left == []
    assert client_of(server, "dynamodb").scan(TableName=TABLE)["Count"] == 0
    sqs = client_of(server, "sqs")
    assert "Messages" not in sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"])
    assert client_of(server, "scheduler").list_schedules()["Schedules"] == []


@pytest.mark.parametrize("part", [False, True], ids=["object", "part"])
@pytest.mark.parametrize("size", SIZES)
def test_an_object_whose_sender_hangs_up_is_not_kept(server: AwsServer, size: int, part: bool) -> None:
    path = f"/{BUCKET}/broken"
    if part:
        upload = client_of(server, "s3").create_multipart_upload(Bucket=BUCKET, Key="broken")["UploadId"]
        path += f"?partNumber=1&uploadId={upload}"
    body = b"x" * size
    headers = signed(server, "s3", "PUT", path, body)
    for sent in (b"", body[:1], body[: size // 2], body[:-1]):
        exchange(server, "PUT", path, headers, sent, hang_up=True)
    nothing_was_kept(server)


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_write_whose_sender_hangs_up_is_not_done(server: AwsServer, kind: str) -> None:
    service, method, path, more = REQUESTS[kind]
    body = BODIES[kind].encode()
    headers = signed(server, service, method, path, body, **more)
    for sent in (b"", body[:1], body[: len(body) // 2], body[:-1]):
        exchange(server, method, path, headers, sent, hang_up=True)
    nothing_was_kept(server)


@pytest.mark.parametrize("kind", [*REQUESTS, "s3"])
def test_a_content_length_that_is_no_number_is_a_bad_request(server: AwsServer, kind: str) -> None:
    service, method, path, more = REQUESTS.get(kind, ("s3", "PUT", f"/{BUCKET}/broken", {}))
    body = BODIES.get(kind, "x" * 1000).encode()
    for length in ("", "-1", "ten", "1e3", "0x10", "10, 11"):
        headers = {**signed(server, service, method, path, body, **more), "content-length": length}
        answer = exchange(server, method, path, headers, body)
        assert answer.startswith(b"HTTP/1.1 4"), (length, answer[:300])
    nothing_was_kept(server)


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_content_length_that_is_too_small_breaks_the_signature(server: AwsServer, kind: str) -> None:
    service, method, path, more = REQUESTS[kind]
    body = BODIES[kind].encode()
    headers = {**signed(server, service, method, path, body, **more), "content-length": str(len(body) - 10), "connection": "close"}
    answer = exchange(server, method, path, headers, body[:-10])
    assert answer.startswith(b"HTTP/1.1 400" if kind in ("dynamodb", "events") else b"HTTP/1.1 403"), answer[:300]
    assert (b"SignatureDoesNotMatch" if kind.startswith("sqs") else b"InvalidSignatureException") in answer
    nothing_was_kept(server)


def test_a_content_length_that_is_too_small_breaks_the_hash_of_an_object(server: AwsServer) -> None:
    body = b"x" * 1000
    headers = {**signed(server, "s3", "PUT", f"/{BUCKET}/broken", body), "content-length": "990", "connection": "close"}
    answer = exchange(server, "PUT", f"/{BUCKET}/broken", headers, body[:990])
    assert answer.startswith(b"HTTP/1.1 400"), answer[:300]
    assert b"<Code>XAmzContentSHA256Mismatch</Code>" in answer
    nothing_was_kept(server)


def chunked(server: AwsServer, encoded: bytes, length: int, path: str = f"/{BUCKET}/broken", **more: str) -> tuple[int, str]:
    """Send an aws-chunked body; the status and the error's code."""
    given = {
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content_encoding": "aws-chunked",
        "x_amz_decoded_content_length": str(length),
        "x_amz_trailer": "x-amz-checksum-crc32",
        **more,
    }
    names = {name.replace("_", "-"): value for name, value in given.items()}
    request: Any = AWSRequest("PUT", f"{server.url}{path}", headers=names, data=b"")
    credentials = BotocoreCredentials(server.credentials.access_key, server.credentials.secret_key)
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    request.context["signing"] = {}
    signer = S3SigV4Auth(credentials, "s3", "us-east-1")
    signer.payload = lambda _request: given["x_amz_content_sha256"]  # type: ignore[method-assign, assignment]
    signer.add_auth(request)
    headers = {"host": f"127.0.0.1:{server.port}", **{k.lower(): v for k, v in request.headers.items()}}
    answer = exchange(server, "PUT", path, {**headers, "content-length": str(len(encoded)), "connection": "close"}, encoded)
    status = int(answer.split(b" ", 2)[1])
    return status, answer.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


#: "hello" and its CRC32.
WHOLE = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"


def test_a_whole_chunked_upload_is_kept(server: AwsServer) -> None:
    assert chunked(server, WHOLE, 5) == (200, "")
    s3 = client_of(server, "s3")
    assert s3.get_object(Bucket=BUCKET, Key="broken")["Body"].read() == b"hello"
    s3.delete_object(Bucket=BUCKET, Key="broken")
    nothing_was_kept(server)


@pytest.mark.parametrize("end", range(len(WHOLE) - 2))
def test_a_chunked_upload_that_is_cut_off_is_not_kept(server: AwsServer, end: int) -> None:
    status, code = chunked(server, WHOLE[:end], 5)
    assert (status, code) in ((400, "IncompleteBody"), (400, "InvalidRequest"), (400, "MalformedTrailerError"))


def test_nothing_of_what_was_cut_off_is_there(server: AwsServer) -> None:
    nothing_was_kept(server)


@pytest.mark.parametrize(
    ("encoded", "length", "error"),
    [
        (WHOLE, 6, (400, "IncompleteBody")),
        (WHOLE, 4, (400, "IncompleteBody")),
        (WHOLE.replace(b"NhCmhg", b"AAAAAA"), 5, (400, "BadDigest")),
        (WHOLE.replace(b"NhCmhg", b"no"), 5, (400, "InvalidRequest")),
        (WHOLE.replace(b"crc32", b"crc32c"), 5, (400, "MalformedTrailerError")),
        (WHOLE + b"more", 5, (400, "InvalidRequest")),
    ],
)
def test_a_chunked_upload_that_is_not_what_it_says_is_not_kept(server: AwsServer, encoded: bytes, length: int, error: tuple[int, str]) -> None:
    assert chunked(server, encoded, length) == error
    nothing_was_kept(server)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"ContentMD5": "nonsense"}, "InvalidDigest"),
        ({"ChecksumSHA256": hashlib.sha256(b"other").hexdigest()}, "InvalidRequest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
    ],
)
def test_a_wrong_checksum_keeps_nothing(server: AwsServer, headers: dict[str, str], code: str) -> None:
    s3 = client_of(server, "s3")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="broken")["UploadId"]
    for call, more in ((s3.put_object, {}), (s3.upload_part, {"UploadId": upload, "PartNumber": 1})):
        with pytest.raises(ClientError) as refused:
            call(Bucket=BUCKET, Key="broken", Body=b"hello" * 30_000, **headers, **more)
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    nothing_was_kept(server)


# Names.

STRANGE = ["", ".", "..", "../../etc/passwd", "a b", "naïve", "日本", "a%2Fb", "a/b", "a\x00b", "x" * 300, "\u202e", "'; DROP TABLE x; --"]


def refusal(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    return refused.value.response["Error"]["Code"], refused.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("name", STRANGE)
def test_table_names_that_dynamodb_does_not_take(server: AwsServer, name: str) -> None:
    client = client_of(server, "dynamodb")
    shape: Any = {
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    assert refusal(client.create_table, TableName=name, **shape) == ("ValidationException", 400)
    assert refusal(client.get_item, TableName=name, Key={"pk": {"S": "a"}})[1] == 400
    assert client.list_tables()["TableNames"] == [TABLE]


@pytest.mark.parametrize("name", STRANGE)
def test_queue_names_that_sqs_does_not_take(server: AwsServer, name: str) -> None:
    client = client_of(server, "sqs")
    assert refusal(client.create_queue, QueueName=name)[1] == 400
    assert refusal(client.get_queue_url, QueueName=name)[1] == 400
    assert refusal(client.send_message, QueueUrl=f"{server.url}/000000000000/{name}", MessageBody="x")[1] in (400, 404)
    assert len(client.list_queues()["QueueUrls"]) == 1


@pytest.mark.parametrize("name", STRANGE)
def test_names_that_eventbridge_does_not_take(server: AwsServer, name: str) -> None:
    client = client_of(server, "events")
    if name not in (".", ".."):
        assert refusal(client.create_event_bus, Name=name) == ("ValidationException", 400)
        assert refusal(client.put_rule, Name=name, EventPattern="{}")[1] == 400
    if name:
        assert client.put_events(Entries=[{"Source": "s", "DetailType": "t", "Detail": "{}", "EventBusName": name}])["FailedEntryCount"] == 1
    assert [bus["Name"] for bus in client.list_event_buses()["EventBuses"]] == ["default"]


@pytest.mark.parametrize("name", STRANGE[1:])
def test_schedule_names_that_scheduler_does_not_take(server: AwsServer, name: str) -> None:
    client = client_of(server, "scheduler")
    if name in (".", ".."):
        return  # these are names, and botocore takes them for steps in the address
    body: Any = {
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}", "RoleArn": "arn:aws:iam::000000000000:role/r"},
    }
    assert refusal(client.create_schedule, Name=name, **body) == ("ValidationException", 400)
    assert refusal(client.create_schedule, Name="fine", GroupName=name, **body) == ("ValidationException", 400)
    assert refusal(client.create_schedule_group, Name=name) == ("ValidationException", 400)
    assert refusal(client.get_schedule, Name=name) == ("ValidationException", 400)
    assert client.list_schedules()["Schedules"] == []


@pytest.mark.parametrize("name", STRANGE[1:])
def test_bucket_names_that_s3_does_not_take(server: AwsServer, name: str) -> None:
    client = client_of(server, "s3")
    path = "/" + "".join(f"%{byte:02X}" for byte in name.encode())
    headers = signed(server, "s3", "PUT", path, b"")
    answer = exchange(server, "PUT", path, {**headers, "connection": "close"}, b"")
    assert answer.startswith(b"HTTP/1.1 4"), answer[:300]
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [BUCKET]


@pytest.mark.parametrize("key", [name for name in STRANGE if name])
def test_keys_of_any_kind_are_kept_as_they_are_and_within_the_bucket(server: AwsServer, key: str) -> None:
    client = client_of(server, "s3")
    client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    assert [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"x"
    client.delete_object(Bucket=BUCKET, Key=key)
    nothing_was_kept(server)


def test_keys_of_items_are_any_text(server: AwsServer) -> None:
    client = client_of(server, "dynamodb")
    for text in filter(None, STRANGE):
        key = {"pk": {"S": text}}
        client.put_item(TableName=TABLE, Item=key)
        assert client.get_item(TableName=TABLE, Key=key)["Item"] == key
        client.delete_item(TableName=TABLE, Key=key)
    nothing_was_kept(server)
