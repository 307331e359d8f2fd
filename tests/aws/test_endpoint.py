"""The endpoint behind a real server: boto3 and requests as its clients, and raw sockets where they would not misbehave enough."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import requests
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker

from eventflow.aws.operation import Call
from eventflow.body_budget import BodyBudget
from eventflow.clock import SystemClock
from eventflow.errors import ServiceError, StorageError

Answer = Callable[[Call, dict[str, Any]], Awaitable[Mapping[str, Any] | None]]
SERVICES = ("dynamodb", "lambda", "s3", "sqs")


class Scripted:
    """A service whose operations are what a test says; it keeps the calls it got, with the bodies it could read and the errors it met doing so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: dict[str, Answer] = {}
        self.calls: list[tuple[Call, dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.failures: list[Exception] = []

    def on(self, operation: str, answer: Mapping[str, Any] | Exception | Answer | None = None) -> Scripted:
        async def run(call: Call, params: dict[str, Any]) -> Mapping[str, Any] | None:
            self.calls.append((call, params))
            if call.body is not None:
                await self._read(call.body)
            if isinstance(answer, Exception):
                raise answer
            return await answer(call, params) if callable(answer) else answer

        self.operations[operation] = run
        return self

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        read = b""
        try:
            async for piece in body:
                read += piece
        except Exception as failure:
            self.failures.append(failure)
            raise
        self.bodies.append(read)

    @property
    def params(self) -> dict[str, Any]:
        return self.calls[-1][1]

    @property
    def call(self) -> Call:
        return self.calls[-1][0]


@pytest.fixture
def server(serve: Any) -> Any:
    return serve(lambda *_: [Scripted(name) for name in SERVICES])


def script(server: Any, service: str) -> Scripted:
    found: Scripted = server.services[service]
    return found


def error_of(action: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        action()
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"].get("Message", "")


def signed(server: Any, method: str, path: str, body: bytes = b"", service: str = "s3", host: str | None = None, **headers: str) -> Any:
    """A request that botocore signed, for requests to send."""
    authority = host or f"127.0.0.1:{server.port}"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request: Any = AWSRequest(method, f"http://{authority}{path}", headers=given, data=body)
    request.context["payload_signing_enabled"] = True
    if "x-amz-trailer" in given:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    credentials = BotocoreCredentials(server.credentials.access_key, server.credentials.secret_key)
    signer: Any = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(credentials, service, "us-east-1").add_auth(request)
    prepared = requests.Request(method, f"{server.url}{path}", data=body).prepare()
    prepared.url = f"{server.url}{path}"  # as it is: requests would write it anew
    prepared.headers.update({**dict(request.headers.items()), "Host": authority})
    return prepared


def sent(prepared: Any) -> requests.Response:
    with requests.Session() as session:
        return session.send(prepared, timeout=10)


# Every protocol, there and back


def test_dynamodb_there_and_back(server: Any) -> None:
    item = {"id": {"S": "ü\n"}, "data": {"B": b"\x00\xff"}, "list": {"L": [{"N": "1"}, {"NULL": True}, {"M": {"x": {"BS": [b"1"]}}}]}}
    service = script(server, "dynamodb").on("GetItem", {"Item": item})
    answer = server.client("dynamodb", region="eu-west-1").get_item(TableName="things", Key=item)
    assert answer["Item"] == item
    assert service.params == {"TableName": "things", "Key": item}
    call = service.call
    assert (call.service, call.operation, call.region, call.account) == ("dynamodb", "GetItem", "eu-west-1", "000000000000")
    assert (call.access_key, call.request_id) == (server.credentials.access_key, answer["ResponseMetadata"]["RequestId"])
    assert call.base_url == server.url


def test_sqs_in_both_of_its_protocols(server: Any) -> None:
    service = script(server, "sqs").on("GetQueueUrl", {"QueueUrl": "http://there/q"})
    assert server.client("sqs").get_queue_url(QueueName="q")["QueueUrl"] == "http://there/q"
    form = {"content_type": "application/x-www-form-urlencoded; charset=utf-8"}
    reply = sent(signed(server, "POST", "/", b"Action=GetQueueUrl&QueueName=q", "sqs", **form))
    assert "<GetQueueUrlResult><QueueUrl>http://there/q</QueueUrl></GetQueueUrlResult>" in reply.text
    assert service.params == {"QueueName": "q"}
    bad = sent(signed(server, "POST", "/", b"Action=Nothing", "sqs", **form))
    assert (bad.status_code, "<Code>InvalidAction</Code>" in bad.text) == (400, True)


def test_lambda_invokes(server: Any) -> None:
    answer = {"StatusCode": 202, "FunctionError": "Unhandled", "LogResult": "bG9n", "ExecutedVersion": "$LATEST", "Payload": b'{"a": 1}'}
    service = script(server, "lambda").on("Invoke", answer)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    client = server.client("lambda")
    got = client.invoke(FunctionName=arn, Qualifier="live", InvocationType="Event", LogType="Tail", Payload=b"\x00[]")
    assert got["Payload"].read() == b'{"a": 1}'
    assert {name: got[name] for name in answer if name != "Payload"} == {name: value for name, value in answer.items() if name != "Payload"}
    assert service.params == {"FunctionName": arn, "Qualifier": "live", "InvocationType": "Event", "LogType": "Tail", "Payload": b"\x00[]"}
    assert service.call.body is None


def test_the_trace_travels(server: Any) -> None:
    service = script(server, "lambda").on("ListFunctions", {"Functions": []})
    client = server.client("lambda")
    client.meta.events.register("before-send.*", lambda request, **_: request.headers.update({"X-Amzn-Trace-Id": "Root=1-2-3"}))
    client.list_functions()
    assert service.call.trace == "Root=1-2-3"


KEYS = ["plain", "a b+c/d=e&f", "ü/ñ", "dir/", "a//b", "/lead", "./x", "a/../b", "%41", "q?x#y", "@:!$'()*,;~"]


@pytest.mark.parametrize("key", KEYS)
def test_s3_keys_are_taken_as_they_are(server: Any, key: str) -> None:
    service = script(server, "s3").on("PutObject", {"ETag": '"e"'}).on("GetObject", {"Body": b"x"})
    client = server.client("s3")
    client.put_object(Bucket="bucket", Key=key, Body=b"content", Metadata={"Name": "value"}, ContentType="text/plain", ContentEncoding="gzip")
    params = service.params
    assert (params["Bucket"], params["Key"], service.bodies) == ("bucket", key, [b"content"])
    assert (params["Metadata"], params["ContentType"], params["ContentEncoding"], params["ContentLength"]) == (
        {"name": "value"},
        "text/plain",
        "gzip",
        7,
    )
    client.get_object(Bucket="bucket", Key=key)
    assert service.params["Key"] == key
    if "./" not in key:  # which requests would resolve
        for version in ("s3", "s3v4"):
            signer = server.client("s3", signature_version=version)
            assert requests.get(signer.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key}), timeout=10).content == b"x"
            assert service.params == {"Bucket": "bucket", "Key": key}


def test_s3_answers_a_location_in_its_root(server: Any) -> None:
    script(server, "s3").on("GetBucketLocation", {"LocationConstraint": "eu-west-1"})
    assert server.client("s3").get_bucket_location(Bucket="bucket")["LocationConstraint"] == "eu-west-1"


def test_s3_tells_its_operations_apart(server: Any) -> None:
    service, client = script(server, "s3"), server.client("s3")
    names = [
        "ListParts",
        "GetObject",
        "CopyObject",
        "UploadPart",
        "UploadPartCopy",
        "ListObjects",
        "ListObjectsV2",
        "ListObjectVersions",
        "ListBuckets",
        "HeadBucket",
    ]
    for name in [*names, "CompleteMultipartUpload", "CreateMultipartUpload", "AbortMultipartUpload", "DeleteObject"]:
        service.on(name, {})
    where, part = {"Bucket": "bucket", "Key": "k"}, {"UploadId": "u", "PartNumber": 1}
    client.list_parts(**where, UploadId="u")
    client.get_object(**where, PartNumber=2)
    client.copy_object(**where, CopySource="b/k")
    client.upload_part(**where, **part, Body=b"x")
    client.upload_part_copy(**where, **part, CopySource="b/k")
    client.list_objects(Bucket="bucket")
    client.list_objects_v2(Bucket="bucket")
    client.list_object_versions(Bucket="bucket")
    client.list_buckets()
    client.head_bucket(Bucket="bucket")
    client.complete_multipart_upload(**where, UploadId="u", MultipartUpload={"Parts": [{"ETag": "e", "PartNumber": 1}]})
    client.create_multipart_upload(**where)
    client.abort_multipart_upload(**where, UploadId="u")
    client.delete_object(**where)
    assert [call.operation for call, _ in service.calls] == [
        *names,
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObject",
    ]
    assert sent(signed(server, "GET", "/bucket/?list-type=2")).status_code == 200
    assert service.call.operation == "ListObjectsV2"


@pytest.mark.parametrize("host", ["pictures.localhost:{port}", "pictures.s3.localhost:{port}", "pictures.s3.us-east-1.amazonaws.com"])
def test_s3_takes_the_bucket_from_the_host(server: Any, host: str) -> None:
    service = script(server, "s3").on("PutObject", {})
    assert sent(signed(server, "PUT", "/a/b%20c", b"x", host=host.format(port=server.port))).status_code == 200
    assert (service.params["Bucket"], service.params["Key"]) == ("pictures", "a/b c")


# Streaming


def test_ranges_and_streams(server: Any) -> None:
    async def answer(call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        call.status = 206
        call.response_headers["X-Own"] = "yes"
        return {"Body": pieces(), "ContentLength": 6, "ContentRange": "bytes 0-5/100", "ContentType": "image/png", "Metadata": {"a": "b"}}

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"ab", b"", b"cd", b"ef"):
            yield piece
            await asyncio.sleep(0)

    script(server, "s3").on("GetObject", answer)
    got = server.client("s3").get_object(Bucket="bucket", Key="k", Range="bytes=0-5")
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    assert (got["Body"].read(), got["ContentLength"], got["ContentRange"], got["ContentType"]) == (b"abcdef", 6, "bytes 0-5/100", "image/png")
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Metadata"], headers["x-own"]) == (206, {"a": "b"}, "yes")
    assert got["ResponseMetadata"]["HostId"]


def test_a_stream_that_breaks_breaks_the_connection(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begin"
        raise OSError("the disk is gone")

    async def answer(call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return {"Body": pieces(), "ContentLength": 1 << 20}

    script(server, "s3").on("GetObject", answer)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        sent(signed(server, "GET", "/bucket/k"))
    assert any(record.name == "eventflow.aws" and "the disk is gone" in str(record.exc_info) for record in caplog.records)


def test_a_short_stream_that_breaks_is_answered_with_the_error(server: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begin"
        raise StorageError("The disk is gone.")

    async def answer(call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return {"Body": pieces(), "ContentLength": 100}

    script(server, "s3").on("GetObject", answer)
    answered = sent(signed(server, "GET", "/bucket/k"))
    assert (answered.status_code, "The disk is gone." in answered.text) == (503, True)


def test_a_reader_that_leaves_ends_the_stream(server: Any) -> None:
    closed = threading.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    async def answer(call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        return {"Body": pieces(), "ContentLength": 1 << 40}

    script(server, "s3").on("GetObject", answer)
    with requests.Session() as session:
        session.send(signed(server, "GET", "/bucket/k"), stream=True, timeout=10).close()
    assert closed.wait(10)


def test_head_has_headers_alone(server: Any) -> None:
    script(server, "s3").on("HeadObject", {"ContentLength": 5000, "ETag": '"e"'})
    head = server.client("s3").head_object(Bucket="bucket", Key="k")
    assert (head["ContentLength"], head["ETag"]) == (5000, '"e"')
    script(server, "s3").on("HeadObject", ServiceError("NoSuchKey", "None.", 404))
    assert error_of(lambda: server.client("s3").head_object(Bucket="bucket", Key="k")) == ("404", 404, "Not Found")
    reply = sent(signed(server, "HEAD", "/bucket/k"))
    assert (reply.content, reply.headers["x-amz-request-id"]) == (b"", script(server, "s3").call.request_id)


def test_not_modified_has_no_body(server: Any) -> None:
    async def answer(call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        call.response_headers["ETag"] = '"e"'
        raise ServiceError("NotModified", "Not Modified", 304)

    script(server, "s3").on("GetObject", answer)
    reply = sent(signed(server, "GET", "/bucket/k", if_none_match='"e"'))
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", '"e"')


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_in_headers(server: Any, algorithm: str) -> None:
    service = script(server, "s3").on("PutObject", {}).on("DeleteObjects", {})
    client = server.client("s3")
    client.put_object(Bucket="bucket", Key="k", Body=b"content", ChecksumAlgorithm=algorithm)
    assert f"Checksum{algorithm}" in service.params
    client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a&b"}]}, ChecksumAlgorithm=algorithm)
    assert service.params["Delete"] == {"Objects": [{"Key": "a&b"}]}
    wrong = {f"Checksum{algorithm}": base64.b64encode(b"\0" * {"CRC32": 4, "SHA1": 20, "SHA256": 32}[algorithm]).decode()}
    assert error_of(lambda: client.put_object(Bucket="bucket", Key="k", Body=b"content", **wrong))[:2] == ("BadDigest", 400)
    assert service.bodies == [b"content"]


def test_a_checksum_that_cannot_be_verified_is_not_taken(server: Any) -> None:
    service = script(server, "s3").on("PutObject", {})
    reply = sent(signed(server, "PUT", "/bucket/k", b"x", x_amz_checksum_xxhash64="AAAAAAAAAAA="))
    assert (reply.status_code, "x-amz-checksum-xxhash64" in reply.text, service.bodies) == (501, True, [])
    md5 = {"x_amz_checksum_md5": base64.b64encode(hashlib.md5(b"x").digest()).decode()}
    assert sent(signed(server, "PUT", "/bucket/k", b"x", **md5)).status_code == 200


def test_content_md5(server: Any) -> None:
    service = script(server, "s3").on("PutObject", {})
    client = server.client("s3")
    assert error_of(lambda: client.put_object(Bucket="bucket", Key="k", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="))[:2] == ("BadDigest", 400)
    assert error_of(lambda: client.put_object(Bucket="bucket", Key="k", Body=b"x", ContentMD5="short"))[:2] == ("InvalidDigest", 400)
    assert service.bodies == []
    client.put_object(Bucket="bucket", Key="k", Body=b"", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert service.bodies == [b""]


def chunked(server: Any, encoded: bytes, length: int, **more: str) -> requests.Response:
    headers = {
        "x_amz_decoded_content_length": str(length),
        "x_amz_trailer": "x-amz-checksum-crc32c",
        "content_encoding": "gzip, aws-chunked",
        **more,
    }
    return sent(signed(server, "PUT", "/bucket/k", encoded, **headers))


def test_chunks_with_a_trailer(server: Any) -> None:
    service = script(server, "s3").on("PutObject", {})
    assert chunked(server, b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n", 9).status_code == 200
    assert service.bodies == [b"123456789"]
    assert (service.params["ContentLength"], service.params["ContentEncoding"]) == (9, "gzip")
    assert service.call.headers["x-amz-checksum-crc32c"] == "4waSgw=="
    assert "BadDigest" in chunked(server, b"9\r\n123456780\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n", 9).text
    assert "IncompleteBody" in chunked(server, b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n", 10).text
    assert len(service.bodies) == 1


def test_a_body_that_is_not_what_was_signed(server: Any) -> None:
    service = script(server, "s3").on("PutObject", {})
    prepared = signed(server, "PUT", "/bucket/k", b"content")
    prepared.body = b"CONTENT"
    reply = sent(prepared)
    assert (reply.status_code, "XAmzContentSHA256Mismatch" in reply.text, service.bodies) == (400, True, [])


# Who may come in


@pytest.mark.parametrize(
    "service, action, unknown, mismatch",
    [
        ("s3", lambda client: client.list_buckets(), ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403)),
        ("sqs", lambda client: client.list_queues(), ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)),
        ("dynamodb", lambda client: client.list_tables(), ("UnrecognizedClientException", 400), ("InvalidSignatureException", 400)),
        ("lambda", lambda client: client.list_functions(), ("UnrecognizedClientException", 403), ("InvalidSignatureException", 403)),
    ],
)
def test_strangers_are_refused(server: Any, service: str, action: Any, unknown: tuple[str, int], mismatch: tuple[str, int]) -> None:
    assert error_of(lambda: action(server.client(service, access_key="EVFLNOBODY")))[:2] == unknown
    assert error_of(lambda: action(server.client(service, secret_key="wrong")))[:2] == mismatch
    assert script(server, service).calls == []


def test_a_session_token_is_signed_and_otherwise_ignored(server: Any) -> None:
    script(server, "lambda").on("ListFunctions", {"Functions": []})
    server.client("lambda", session_token="token").list_functions()
    script(server, "s3").on("ListBuckets", {"Buckets": []})
    server.client("s3", session_token="token").list_buckets()


@pytest.mark.parametrize("service, code", [("s3", "RequestTimeTooSkewed"), ("dynamodb", "InvalidSignatureException"), ("sqs", "RequestExpired")])
def test_clocks_that_differ(serve: Any, service: str, code: str) -> None:
    class Ahead(SystemClock):
        def now(self) -> float:
            return super().now() + 3600

    server = serve(lambda *_: [Scripted(name) for name in SERVICES], clock=Ahead())
    actions: dict[str, Any] = {"s3": "list_buckets", "dynamodb": "list_tables", "sqs": "list_queues"}
    client = server.client(service)
    client.meta.events.register("needs-retry.*", lambda **_: None)
    assert error_of(getattr(client, actions[service]))[0] == code


def test_no_signature(server: Any) -> None:
    s3 = requests.get(f"{server.url}/bucket/k", timeout=10)
    assert (s3.status_code, "<Code>AccessDenied</Code>" in s3.text) == (403, True)
    dynamodb = requests.post(server.url, headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"}, data=b"{}", timeout=10)
    assert (dynamodb.status_code, dynamodb.json()["__type"].endswith("MissingAuthenticationTokenException")) == (400, True)
    function = requests.get(f"{server.url}/2015-03-31/functions", timeout=10)
    assert (function.status_code, function.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    form = requests.post(server.url, data={"Action": "ListQueues"}, timeout=10)
    assert (form.status_code, "<Code>MissingAuthenticationToken</Code>" in form.text) == (403, True)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses(server: Any, version: str) -> None:
    service = script(server, "s3").on("PutObject", {}).on("GetObject", {"Body": b"content"}).on("ListObjectsV2", {})
    client = server.client("s3", signature_version=version)
    params = {"Bucket": "bucket", "Key": "k"}
    put = client.generate_presigned_url("put_object", Params={**params, "ContentType": "text/plain"})
    assert requests.put(put, data=b"new", headers={"Content-Type": "text/plain"}, timeout=10).status_code == 200
    assert (service.bodies, service.params["ContentType"]) == ([b"new"], "text/plain")
    assert "SignatureDoesNotMatch" in requests.put(put, data=b"new", headers={"Content-Type": "text/html"}, timeout=10).text
    extra = requests.put(put, data=b"new", headers={"Content-Type": "text/plain", "x-amz-acl": "public-read"}, timeout=10)
    assert extra.status_code == 403
    assert ("SignatureDoesNotMatch" if version == "s3" else "not signed") in extra.text
    assert "SignatureDoesNotMatch" in requests.get(put, timeout=10).text
    get = client.generate_presigned_url("get_object", Params={**params, "ResponseContentType": "text/css", "VersionId": "null"})
    assert requests.get(get, timeout=10).content == b"content"
    assert service.params == {**params, "ResponseContentType": "text/css", "VersionId": "null"}
    assert requests.get(f"{get}&retention", timeout=10).status_code == 403
    assert requests.get(get.replace("css", "html"), timeout=10).status_code == 403
    assert requests.get(client.generate_presigned_url("list_objects_v2", Params={"Bucket": "bucket", "Prefix": "a/"}), timeout=10).status_code == 200
    assert len(service.bodies) == 1


def test_a_presigned_address_of_a_stranger(server: Any) -> None:
    for version in ("s3", "s3v4"):
        client = server.client("s3", access_key="EVFLNOBODY", signature_version=version)
        reply = requests.get(client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"}), timeout=10)
        assert (reply.status_code, "InvalidAccessKeyId" in reply.text) == (403, True)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_address_expires(serve: Any, version: str) -> None:
    class Ahead(SystemClock):
        def now(self) -> float:
            return super().now() + 61

    server = serve(lambda *_: [Scripted(name) for name in SERVICES], clock=Ahead())
    client = server.client("s3", signature_version=version)
    reply = requests.get(client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=60), timeout=10)
    assert (reply.status_code, "<Code>AccessDenied</Code><Message>Request has expired</Message>" in reply.text) == (403, True)


def test_the_word_unsigned_serves_s3_alone(server: Any) -> None:
    script(server, "dynamodb").on("ListTables", {})
    script(server, "s3").on("PutObject", {})
    target = {"x_amz_target": "DynamoDB_20120810.ListTables", "x_amz_content_sha256": "UNSIGNED-PAYLOAD"}
    assert sent(signed(server, "POST", "/", b"{}", "dynamodb", **target)).json()["__type"].endswith("InvalidSignatureException")
    client = server.client("s3", s3={"payload_signing_enabled": False})
    client.put_object(Bucket="bucket", Key="k", Body=b"x")
    assert script(server, "s3").bodies == [b"x"]


def test_open_takes_anybody(serve: Any) -> None:
    server = serve(lambda *_: [Scripted(name) for name in SERVICES], open=True)
    script(server, "s3").on("PutObject", {}).on("GetObject", {"Body": b"x"})
    script(server, "lambda").on("ListFunctions", {"Functions": []})
    server.client("lambda", access_key="test", secret_key="test", region="eu-north-1").list_functions()
    call = script(server, "lambda").call
    assert (call.access_key, call.region) == ("test", "eu-north-1")
    assert requests.get(f"{server.url}/bucket/k", timeout=10).content == b"x"
    assert script(server, "s3").call.region == "us-east-1"
    assert requests.put(f"{server.url}/bucket/k", data=b"body", headers={"Authorization": "Bearer x"}, timeout=10).status_code == 200
    signed_chunks = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "3"}
    body = f"3;chunk-signature={'0' * 64}\r\nabc\r\n0;chunk-signature={'0' * 64}\r\n\r\n"
    assert requests.put(f"{server.url}/bucket/k", data=body, headers=signed_chunks, timeout=10).status_code == 200
    assert script(server, "s3").bodies == [b"body", b"abc"]


# What is not there, and what goes wrong


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
    assert "InvalidAccessKeyId" in requests.get(server.url, headers=empty, timeout=10).text


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
    server = serve(lambda *_: [Scripted(name) for name in SERVICES], body_limit=1000)
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
    server = serve(lambda *_: [Scripted(name) for name in SERVICES], bodies=bodies)
    script(server, "s3").on("DeleteObjects", {})
    code, status, _ = error_of(lambda: BUSY[name](server.client(name), b"x" * 3000))
    assert code == BUSY_NAMES[name]
    assert code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES
    assert (status, bodies.held) == ({"s3": 503, "lambda": 429}.get(name, 400), 0)


def test_health_and_control(serve: Any, server: Any) -> None:
    assert requests.get(f"{server.url}/_eventflow/health", timeout=10).json() == {"status": "ok", "services": list(SERVICES)}
    assert requests.get(f"{server.url}/_eventflow/other", timeout=10).status_code == 404

    async def control(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    controlled = serve(lambda *_: [], control=control)
    assert requests.get(f"{controlled.url}/_eventflow/status?x=1", timeout=10).content == b"/_eventflow/status"


# Raw sockets


def exchange(server: Any, *sends: bytes, until: bytes | None = None) -> bytes:
    """Send these, one after the other, and read until the server closes, or says these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
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
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
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
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head_of(prepared) + b"x" * 999)
    server.client("s3").put_object(Bucket="bucket", Key="k", Body=b"whole")
    deadline = threading.Event()
    for _ in range(100):
        if service.failures:
            break
        deadline.wait(0.02)
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
