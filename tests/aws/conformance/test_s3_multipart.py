"""Multipart uploads: parts in any order and again, completions that are refused, repeated and conditional, and checksums of both kinds."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
PART = 5 << 20


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def upload(s3: Any, bucket: str) -> dict[str, str]:
    return begun(s3, bucket)


def begun(s3: Any, bucket: str, **params: str) -> dict[str, str]:
    made = s3.create_multipart_upload(Bucket=bucket, Key="k", **params)
    return {"Bucket": bucket, "Key": "k", "UploadId": made["UploadId"]}


def part(s3: Any, upload: dict[str, str], number: int, body: bytes, **params: str) -> dict[str, Any]:
    sent = s3.upload_part(**upload, PartNumber=number, Body=body, **params)
    return {"PartNumber": number, **{name: value for name, value in sent.items() if name == "ETag" or name.startswith("Checksum")}}


def complete(upload: dict[str, str], *parts: dict[str, Any]) -> dict[str, Any]:
    return {**upload, "MultipartUpload": {"Parts": list(parts)}}


def etag(part: dict[str, Any]) -> dict[str, Any]:
    return {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def crc32(data: bytes) -> str:
    return b64(zlib.crc32(data).to_bytes(4, "big"))


@moto_differs("it does not tell PartsCount")
def test_parts_in_any_order_and_again(s3: Any, upload: dict[str, str]) -> None:
    last = part(s3, upload, 10_000, b"last")
    part(s3, upload, 3, b"old")
    first = part(s3, upload, 3, b"a" * PART)
    part(s3, upload, 7, b"not wanted")
    assert [entry["PartNumber"] for entry in s3.list_parts(**upload)["Parts"]] == [3, 7, 10_000]
    done = s3.complete_multipart_upload(**complete(upload, etag(first), etag(last)))
    digests = hashlib.md5(b"a" * PART).digest() + hashlib.md5(b"last").digest()
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    got = s3.get_object(Bucket=upload["Bucket"], Key="k", PartNumber=2)
    assert (got["Body"].read(), got["PartsCount"], got["ContentRange"]) == (b"last", 2, f"bytes {PART}-{PART + 3}/{PART + 4}")
    head = s3.head_object(Bucket=upload["Bucket"], Key="k", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"], head["ResponseMetadata"]["HTTPStatusCode"]) == (PART, 2, 206)


@moto_differs("it takes any part number of an object")
def test_part_numbers_of_objects(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="whole", Body=b"whole")
    got = s3.get_object(Bucket=bucket, Key="whole", PartNumber=1)
    assert (got["Body"].read(), got["ContentRange"], "PartsCount" in got) == (b"whole", "bytes 0-4/5", False)
    assert refused(s3.get_object, Bucket=bucket, Key="whole", PartNumber=2) == ("InvalidPartNumber", 416)
    assert refused(s3.get_object, Bucket=bucket, Key="whole", PartNumber=1, Range="bytes=0-1") == ("InvalidRequest", 400)


@moto_differs("it checks the order of parts last")
def test_completions_that_are_refused(s3: Any, upload: dict[str, str], refused: Refused) -> None:
    small, large = part(s3, upload, 1, b"small"), part(s3, upload, 2, b"b" * PART)
    finish = s3.complete_multipart_upload
    assert refused(finish, **complete(upload, etag(large), etag(small))) == ("InvalidPartOrder", 400)
    assert refused(finish, **complete(upload, etag(small), etag(large))) == ("EntityTooSmall", 400)
    assert refused(finish, **complete(upload, etag(large), etag(large) | {"PartNumber": 3})) == ("InvalidPart", 400)
    assert refused(finish, **complete(upload, etag(large) | {"ETag": small["ETag"]})) == ("InvalidPart", 400)
    assert refused(finish, **complete(upload)) == ("MalformedXML", 400)
    assert refused(s3.head_object, Bucket=upload["Bucket"], Key="k") == ("404", 404)
    s3.complete_multipart_upload(**complete(upload, etag(large)))


@moto_differs("it takes a part twice, and a size that is not so")
def test_completions_that_are_refused_too(s3: Any, upload: dict[str, str], refused: Refused) -> None:
    large = part(s3, upload, 2, b"b" * PART)
    finish = s3.complete_multipart_upload
    assert refused(finish, **complete(upload, etag(large), etag(large))) == ("InvalidPartOrder", 400)
    assert refused(finish, **complete(upload, etag(large)), MpuObjectSize=PART + 1) == ("InvalidRequest", 400)
    s3.complete_multipart_upload(**complete(upload, etag(large)), MpuObjectSize=PART)


@moto_differs("it fails with 500")
def test_uploads_that_are_not_there(s3: Any, upload: dict[str, str], refused: Refused) -> None:
    sent = etag(part(s3, upload, 1, b"x"))
    for strange in (upload | {"UploadId": "nonsense"}, upload | {"Key": "other"}):
        assert refused(s3.upload_part, **strange, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
        assert refused(s3.list_parts, **strange) == ("NoSuchUpload", 404)
        assert refused(s3.abort_multipart_upload, **strange) == ("NoSuchUpload", 404)
        assert refused(s3.complete_multipart_upload, **complete(strange, sent)) == ("NoSuchUpload", 404)
    s3.abort_multipart_upload(**upload)
    assert refused(s3.list_parts, **upload) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("number", [10_001, *(pytest.param(number, marks=moto_differs("it answers NoSuchUpload")) for number in (0, -1))])
def test_part_numbers_out_of_range(s3: Any, upload: dict[str, str], number: int, refused: Refused) -> None:
    assert refused(s3.upload_part, **upload, PartNumber=number, Body=b"x") == ("InvalidArgument", 400)


@moto_differs("it knows an upload no more once it is completed")
def test_who_did_not_hear_of_the_completion_asks_again(s3: Any, upload: dict[str, str], refused: Refused) -> None:
    sent = etag(part(s3, upload, 1, b"content"))
    first = s3.complete_multipart_upload(**complete(upload, sent))
    again = s3.complete_multipart_upload(**complete(upload, sent))
    assert (again["ETag"], again["Location"]) == (first["ETag"], first["Location"])
    s3.put_object(Bucket=upload["Bucket"], Key="k", Body=b"newer")
    s3.complete_multipart_upload(**complete(upload, sent))
    assert s3.get_object(Bucket=upload["Bucket"], Key="k")["Body"].read() == b"newer"
    assert refused(s3.list_parts, **upload) == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, **upload) == ("NoSuchUpload", 404)


@moto_differs("its completions have no conditions")
def test_conditional_completions(s3: Any, upload: dict[str, str], refused: Refused) -> None:
    sent, bucket = etag(part(s3, upload, 1, b"content")), upload["Bucket"]
    finish = s3.complete_multipart_upload
    assert refused(finish, **complete(upload, sent), IfMatch='"none"') == ("NoSuchKey", 404)
    there = s3.put_object(Bucket=bucket, Key="k", Body=b"there")["ETag"]
    assert refused(finish, **complete(upload, sent), IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(finish, **complete(upload, sent), IfMatch='"other"') == ("PreconditionFailed", 412)
    s3.complete_multipart_upload(**complete(upload, sent), IfMatch=there)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"


@moto_differs("it does not tell ChecksumAlgorithm of parts")
def test_a_composite_checksum(s3: Any, bucket: str) -> None:
    upload = begun(s3, bucket, ChecksumAlgorithm="SHA256")
    bodies = [b"a" * PART, b"tail"]
    parts = [part(s3, upload, number, body, ChecksumAlgorithm="SHA256") for number, body in enumerate(bodies, 1)]
    digests = [hashlib.sha256(body).digest() for body in bodies]
    assert [sent["ChecksumSHA256"] for sent in parts] == [b64(digest) for digest in digests]
    listed = s3.list_parts(**upload)
    assert (listed["ChecksumAlgorithm"], [entry["ChecksumSHA256"] for entry in listed["Parts"]]) == ("SHA256", [b64(digest) for digest in digests])
    done = s3.complete_multipart_upload(**complete(upload, *parts))
    assert done["ChecksumSHA256"] == b64(hashlib.sha256(b"".join(digests)).digest()) + "-2"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == done["ChecksumSHA256"]
    assert "ChecksumSHA256" not in s3.head_object(Bucket=bucket, Key="k")


@moto_differs("it has no checksums of whole objects")
def test_a_checksum_of_the_whole(s3: Any, bucket: str, refused: Refused) -> None:
    upload = begun(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    bodies = [b"a" * PART, b"tail"]
    parts = [part(s3, upload, number, body, ChecksumAlgorithm="CRC32") for number, body in enumerate(bodies, 1)]
    assert s3.list_parts(**upload)["ChecksumType"] == "FULL_OBJECT"
    finish = s3.complete_multipart_upload
    wrong = {"ChecksumCRC32": crc32(b"other"), "ChecksumType": "FULL_OBJECT"}
    assert refused(finish, **complete(upload, *parts), **wrong) == ("BadDigest", 400)
    assert refused(finish, **complete(upload, *parts), ChecksumType="COMPOSITE") == ("InvalidRequest", 400)
    done = s3.complete_multipart_upload(**complete(upload, *map(etag, parts)), ChecksumCRC32=crc32(b"".join(bodies)), ChecksumType="FULL_OBJECT")
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (crc32(b"".join(bodies)), "FULL_OBJECT")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"


@moto_differs("it does not compare checksums of parts")
def test_checksums_of_parts_that_are_not_right(s3: Any, bucket: str, refused: Refused) -> None:
    upload = begun(s3, bucket, ChecksumAlgorithm="CRC32")
    assert refused(s3.upload_part, **upload, PartNumber=1, Body=b"x", ChecksumCRC32=crc32(b"y")) == ("BadDigest", 400)
    assert refused(s3.upload_part, **upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA1") == ("InvalidRequest", 400)
    sent = part(s3, upload, 1, b"x", ChecksumAlgorithm="CRC32")
    finish = s3.complete_multipart_upload
    assert refused(finish, **complete(upload, etag(sent))) == ("InvalidRequest", 400)
    assert refused(finish, **complete(upload, sent | {"ChecksumCRC32": crc32(b"y")})) == ("InvalidPart", 400)
    s3.complete_multipart_upload(**complete(upload, sent))


@moto_differs("it combines any algorithm with any type")
@pytest.mark.parametrize("algorithm, kind", [("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")])
def test_algorithms_and_types_that_do_not_go_together(s3: Any, bucket: str, algorithm: str, kind: str, refused: Refused) -> None:
    params = {"Bucket": bucket, "Key": "k", "ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    assert refused(s3.create_multipart_upload, **params) == ("InvalidRequest", 400)
