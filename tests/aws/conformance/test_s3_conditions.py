"""Checksums in headers and trailers, conditions in their order, copies, overrides of headers, and presigned addresses."""

from __future__ import annotations

import base64
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
BODY = b"hello"
#: What the catalogues of checksums give the checksum of.
SAMPLE = b"123456789"
CHECKSUMS = {
    "CRC32": bytes.fromhex("cbf43926"),
    "CRC32C": bytes.fromhex("e3069283"),
    "CRC64NVME": bytes.fromhex("ae8b14860a799888"),
    "SHA1": hashlib.sha1(SAMPLE).digest(),
    "SHA256": hashlib.sha256(SAMPLE).digest(),
}
BEFORE, AFTER = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
@pytest.mark.parametrize("where", [pytest.param("header", marks=moto_differs("it does not keep a checksum that comes with its value")), "trailer"])
def test_a_checksum_is_kept_and_given_back_to_who_asks(s3: Any, bucket: str, algorithm: str, where: str) -> None:
    member, value = f"Checksum{algorithm}", b64(CHECKSUMS[algorithm])
    params = {member: value} if where == "header" else {"ChecksumAlgorithm": algorithm}
    assert s3.put_object(Bucket=bucket, Key="k", Body=SAMPLE, **params)[member] == value
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got[member]) == (SAMPLE, value)
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member] == value
    assert member not in s3.head_object(Bucket=bucket, Key="k")


@moto_differs("it keeps other values than these standards'")
@pytest.mark.parametrize("algorithm", ["CRC32C", "CRC64NVME"])
def test_the_other_cyclic_checksums(s3: Any, bucket: str, algorithm: str, refused: Refused) -> None:
    member, value = f"Checksum{algorithm}", b64(CHECKSUMS[algorithm])
    put = s3.put_object(Bucket=bucket, Key="k", Body=SAMPLE, **{member: value})
    assert (put[member], put["ChecksumType"]) == (value, "FULL_OBJECT")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member] == value
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"other", **{member: value}) == ("BadDigest", 400)


@moto_differs("it does not compare checksums")
@pytest.mark.parametrize("algorithm", list(CHECKSUMS))
def test_checksums_that_are_not_right(s3: Any, bucket: str, algorithm: str, refused: Refused) -> None:
    member, value = f"Checksum{algorithm}", b64(CHECKSUMS[algorithm])
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"other", **{member: value}) == ("BadDigest", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=SAMPLE, **{member: "AA=="}) == ("InvalidRequest", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=SAMPLE, **{member: "no base64"}) == ("InvalidRequest", 400)
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


@moto_differs("it takes several checksums")
def test_one_checksum_at_a_time(s3: Any, bucket: str, refused: Refused) -> None:
    both = {"ChecksumSHA1": b64(CHECKSUMS["SHA1"]), "ChecksumSHA256": b64(CHECKSUMS["SHA256"])}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=SAMPLE, **both) == ("InvalidRequest", 400)


def test_a_copy_has_its_sources_checksum_or_another(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=SAMPLE, ChecksumAlgorithm="SHA1")
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"}, ChecksumAlgorithm="SHA256")
    assert copied["CopyObjectResult"]["ChecksumSHA256"] == b64(CHECKSUMS["SHA256"])


#: Conditions of a read on an object whose ETag matches "yes" and whose time lies between BEFORE and AFTER, by RFC 9110, section 13.2.2.
READS: list[tuple[dict[str, Any], int]] = [
    ({"IfMatch": "yes"}, 200),
    ({"IfMatch": "no"}, 412),
    ({"IfMatch": "*"}, 200),
    ({"IfNoneMatch": "yes"}, 304),
    ({"IfNoneMatch": "no"}, 200),
    ({"IfNoneMatch": "*"}, 304),
    ({"IfModifiedSince": BEFORE}, 200),
    ({"IfUnmodifiedSince": BEFORE}, 412),
    ({"IfUnmodifiedSince": AFTER}, 200),
    ({"IfMatch": "yes", "IfUnmodifiedSince": BEFORE}, 200),
    ({"IfMatch": "no", "IfUnmodifiedSince": AFTER}, 412),
    ({"IfNoneMatch": "yes", "IfModifiedSince": BEFORE}, 304),
    ({"IfNoneMatch": "no", "IfModifiedSince": AFTER}, 200),
    ({"IfMatch": "no", "IfNoneMatch": "yes"}, 412),
    ({"IfMatch": "yes", "IfNoneMatch": "yes"}, 304),
]


@moto_differs("it weighs some of these in another order")
def test_conditions_of_reads_in_their_order(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    for conditions, expected in READS:
        params = {name: {"yes": etag, "no": '"other"'}.get(value, value) if isinstance(value, str) else value for name, value in conditions.items()}
        for call in (s3.get_object, s3.head_object):
            assert status_of(call, Bucket=bucket, Key="k", **params) == expected, conditions
        source = {f"CopySource{name}": value for name, value in params.items()}
        copying = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
        assert status_of(s3.copy_object, **copying, **source) == (200 if expected == 200 else 412), conditions


def status_of(call: Callable[..., Any], **params: Any) -> int:
    try:
        answer = call(**params)
    except ClientError as error:
        answer = error.response
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


@moto_differs("its copies have no conditions on what they replace")
def test_conditions_of_copies_on_their_target(s3: Any, bucket: str, refused: Refused) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    copying = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
    s3.copy_object(**copying, IfNoneMatch="*")
    assert refused(s3.copy_object, **copying, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **copying, IfMatch='"other"') == ("PreconditionFailed", 412)
    s3.copy_object(**copying, IfMatch=etag)


def test_what_copies_keep_and_replace(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ContentType="text/plain", CacheControl="no-cache", Metadata={"a": "b"})
    here = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=here, ContentType="text/other", Metadata={"c": "d"})
    kept = s3.head_object(Bucket=bucket, Key="kept")
    assert (kept["ContentType"], kept["CacheControl"], kept["Metadata"]) == ("text/plain", "no-cache", {"a": "b"})
    s3.copy_object(Bucket=bucket, Key="new", CopySource=here, MetadataDirective="REPLACE", ContentType="text/other", Metadata={"c": "d"})
    new = s3.head_object(Bucket=bucket, Key="new")
    assert (new["ContentType"], "CacheControl" in new, new["Metadata"]) == ("text/other", False, {"c": "d"})
    assert refused(s3.copy_object, **here, CopySource=here) == ("InvalidRequest", 400)
    s3.copy_object(**here, CopySource=here, MetadataDirective="REPLACE", Metadata={"e": "f"})
    assert s3.head_object(**here)["Metadata"] == {"e": "f"}
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "none"}) == ("NoSuchKey", 404)
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": f"{bucket}-none", "Key": "k"}) == ("NoSuchBucket", 404)


def test_headers_that_the_caller_wants(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ContentType="text/plain")
    got = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="application/x",
        ResponseContentDisposition='attachment; filename="ü.txt"'.encode().decode("latin-1"),
        ResponseCacheControl="no-store",
        ResponseContentLanguage="de",
        ResponseContentEncoding="identity",
        ResponseExpires=datetime(2030, 1, 1, tzinfo=UTC),
    )
    assert (got["ContentType"], got["CacheControl"], got["ContentLanguage"], got["ContentEncoding"]) == (
        "application/x",
        "no-store",
        "de",
        "identity",
    )
    assert got["Expires"] == datetime(2030, 1, 1, tzinfo=UTC)
    assert got["ContentDisposition"].startswith("attachment; filename=")


@pytest.mark.parametrize(
    "header, expected",
    [("bytes=0-1", b"he"), ("bytes=1-", b"ello"), ("bytes=-2", b"lo"), ("bytes=-99", BODY), ("bytes=4-4", b"o"), ("bytes=0-99", BODY)],
)
def test_ranges_that_are_there(s3: Any, bucket: str, header: str, expected: bytes) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert (got["Body"].read(), got["ResponseMetadata"]["HTTPStatusCode"], got["ContentRange"].partition("/")[2]) == (expected, 206, "5")


@moto_differs("it refuses or cuts some of these")
def test_ranges_that_are_not(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    s3.put_object(Bucket=bucket, Key="empty")
    for header in ("bytes=0-1,3-4", "bytes=3-1", "lines=1-2", "bytes=x"):
        got = s3.get_object(Bucket=bucket, Key="k", Range=header)
        assert (got["Body"].read(), got["ResponseMetadata"]["HTTPStatusCode"]) == (BODY, 200)
    for key, header in (("k", "bytes=5-"), ("k", "bytes=9-10"), ("k", "bytes=-0"), ("empty", "bytes=0-0")):
        assert refused(s3.get_object, Bucket=bucket, Key=key, Range=header) == ("InvalidRange", 416)


def fetch(url: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": ""})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@moto_differs("it does not check signatures")
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_addresses(server: Any, bucket: str, version: str) -> None:
    s3 = server.client("s3", signature_version=version)

    def signed(operation: str, life: int = 60, **params: Any) -> str:
        url: str = s3.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": "k", **params}, ExpiresIn=life)
        return url

    put, get = signed("put_object"), signed("get_object")
    assert fetch(put, "PUT", BODY)[0] == 200
    assert fetch(get) == (200, BODY)
    assert fetch(signed("get_object", ResponseContentType="text/x"))[0] == 200
    assert fetch(signed("head_object"), "HEAD") == (200, b"")
    for url, method in ((get, "PUT"), (get, "DELETE"), (put, "GET"), (signed("delete_object"), "GET")):
        status, body = fetch(url, method, BODY if method == "PUT" else None)
        assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    for tampered in (get.replace("/k?", "/other?"), f"{get}&response-content-type=text/html", get.replace("Signature=", "Signature=0")):
        assert fetch(tampered)[0] == 403
    status, body = fetch(get.partition("?")[0])
    assert (status, b"AccessDenied" in body) == (403, True)
    status, body = fetch(signed("get_object", life=-1))
    assert status in (400, 403)
    assert fetch(signed("delete_object"), "DELETE")[0] == 204
    assert fetch(get)[0] == 404
