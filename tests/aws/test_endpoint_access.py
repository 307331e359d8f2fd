"""Whom the endpoint lets in: signatures, presigned addresses, clocks."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from eventflow.clock import SystemClock
from tests.aws.conftest import server_of
from tests.aws.scripted import error_of, script, scripted, sent, signed
from tests.patience import PATIENCE

server = server_of(scripted)


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

    server = serve(scripted, clock=Ahead())
    actions: dict[str, Any] = {"s3": "list_buckets", "dynamodb": "list_tables", "sqs": "list_queues"}
    client = server.client(service)
    client.meta.events.register("needs-retry.*", lambda **_: None)
    assert error_of(getattr(client, actions[service]))[0] == code


def test_no_signature(server: Any) -> None:
    s3 = requests.get(f"{server.url}/bucket/k", timeout=PATIENCE)
    assert (s3.status_code, "<Code>AccessDenied</Code>" in s3.text) == (403, True)
    dynamodb = requests.post(server.url, headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"}, data=b"{}", timeout=PATIENCE)
    assert (dynamodb.status_code, dynamodb.json()["__type"].endswith("MissingAuthenticationTokenException")) == (400, True)
    function = requests.get(f"{server.url}/2015-03-31/functions", timeout=PATIENCE)
    assert (function.status_code, function.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    form = requests.post(server.url, data={"Action": "ListQueues"}, timeout=PATIENCE)
    assert (form.status_code, "<Code>MissingAuthenticationToken</Code>" in form.text) == (403, True)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses(server: Any, version: str) -> None:
    service = script(server, "s3").on("PutObject", {}).on("GetObject", {"Body": b"content"}).on("ListObjectsV2", {})
    client = server.client("s3", signature_version=version)
    params = {"Bucket": "bucket", "Key": "k"}
    put = client.generate_presigned_url("put_object", Params={**params, "ContentType": "text/plain"})
    assert requests.put(put, data=b"new", headers={"Content-Type": "text/plain"}, timeout=PATIENCE).status_code == 200
    assert (service.bodies, service.params["ContentType"]) == ([b"new"], "text/plain")
    assert "SignatureDoesNotMatch" in requests.put(put, data=b"new", headers={"Content-Type": "text/html"}, timeout=PATIENCE).text
    extra = requests.put(put, data=b"new", headers={"Content-Type": "text/plain", "x-amz-acl": "public-read"}, timeout=PATIENCE)
    assert extra.status_code == 403
    assert ("SignatureDoesNotMatch" if version == "s3" else "not signed") in extra.text
    assert "SignatureDoesNotMatch" in requests.get(put, timeout=PATIENCE).text
    get = client.generate_presigned_url("get_object", Params={**params, "ResponseContentType": "text/css", "VersionId": "null"})
    assert requests.get(get, timeout=PATIENCE).content == b"content"
    assert service.params == {**params, "ResponseContentType": "text/css", "VersionId": "null"}
    assert requests.get(f"{get}&retention", timeout=PATIENCE).status_code == 403
    assert requests.get(get.replace("css", "html"), timeout=PATIENCE).status_code == 403
    assert (
        requests.get(client.generate_presigned_url("list_objects_v2", Params={"Bucket": "bucket", "Prefix": "a/"}), timeout=PATIENCE).status_code
        == 200
    )
    assert len(service.bodies) == 1


def test_a_presigned_address_of_a_stranger(server: Any) -> None:
    for version in ("s3", "s3v4"):
        client = server.client("s3", access_key="EVFLNOBODY", signature_version=version)
        reply = requests.get(client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"}), timeout=PATIENCE)
        assert (reply.status_code, "InvalidAccessKeyId" in reply.text) == (403, True)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_address_expires(serve: Any, version: str) -> None:
    class Ahead(SystemClock):
        def now(self) -> float:
            return super().now() + 61

    server = serve(scripted, clock=Ahead())
    client = server.client("s3", signature_version=version)
    reply = requests.get(client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=60), timeout=PATIENCE)
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
    server = serve(scripted, open=True)
    script(server, "s3").on("PutObject", {}).on("GetObject", {"Body": b"x"})
    script(server, "lambda").on("ListFunctions", {"Functions": []})
    server.client("lambda", access_key="test", secret_key="test", region="eu-north-1").list_functions()
    call = script(server, "lambda").call
    assert (call.access_key, call.region) == ("test", "eu-north-1")
    assert requests.get(f"{server.url}/bucket/k", timeout=PATIENCE).content == b"x"
    assert script(server, "s3").call.region == "us-east-1"
    assert requests.put(f"{server.url}/bucket/k", data=b"body", headers={"Authorization": "Bearer x"}, timeout=PATIENCE).status_code == 200
    signed_chunks = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "3"}
    body = f"3;chunk-signature={'0' * 64}\r\nabc\r\n0;chunk-signature={'0' * 64}\r\n\r\n"
    assert requests.put(f"{server.url}/bucket/k", data=body, headers=signed_chunks, timeout=PATIENCE).status_code == 200
    assert script(server, "s3").bodies == [b"body", b"abc"]
