"""The endpoint behind a real server, with boto3 and requests as its clients: every protocol there and back, and bodies in pieces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import requests

from eventflow.aws.operation import Call
from eventflow.errors import ServiceError, StorageError
from tests.aws.conftest import server_of
from tests.aws.scripted import chunked, error_of, script, scripted, sent, signed
from tests.patience import PATIENCE

server = server_of(scripted)


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
            assert (
                requests.get(signer.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key}), timeout=PATIENCE).content == b"x"
            )
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
        session.send(signed(server, "GET", "/bucket/k"), stream=True, timeout=PATIENCE).close()
    assert closed.wait(PATIENCE)


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
