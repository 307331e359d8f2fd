"""The life of a bucket and its objects."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
PART = 5 << 20


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


def content(s3: Any, bucket: str, key: str, **params: Any) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **params)["Body"].read()
    return body


def keys(s3: Any, bucket: str, **params: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, **params).get("Contents", [])]


def quoted_md5(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


# Buckets.


def test_a_bucket_is_made_found_and_deleted(s3: Any, name: str, refused: Refused) -> None:
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.head_bucket(Bucket=name)
    s3.delete_bucket(Bucket=name)
    assert refused(s3.head_bucket, Bucket=name) == ("404", 404)


def test_a_bucket_with_objects_is_not_deleted(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)


def test_a_bucket_that_is_not_there(s3: Any, name: str, refused: Refused) -> None:
    for call, params in ((s3.get_object, {"Key": "a"}), (s3.list_objects_v2, {}), (s3.put_object, {"Key": "a", "Body": b""}), (s3.delete_bucket, {})):
        assert refused(call, Bucket=name, **params) == ("NoSuchBucket", 404)


@pytest.mark.parametrize("bad", ["ab", *(pytest.param(bad, marks=moto_differs("it takes names that are none")) for bad in ("Upper", "a..b", "a_b"))])
def test_a_bucket_name_that_is_none(s3: Any, bad: str, refused: Refused) -> None:
    assert refused(s3.create_bucket, Bucket=bad) == ("InvalidBucketName", 400)


# Objects.


@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)) * 1000])
def test_an_object_comes_back_as_it_was(s3: Any, bucket: str, data: bytes) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=data)
    assert put["ETag"] == quoted_md5(data)
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), got["ETag"], got["ContentLength"]) == (data, put["ETag"], len(data))
    assert got["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize("key", ["a b", "ü/世界", "a+b%2F", "dir/", "a//b", "../x", "./x", "?#&=;", "'\"<>", "x" * 900])
def test_keys_of_all_kinds(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"x" if not key.endswith("/") else b"")
    assert keys(s3, bucket) == [key]
    s3.head_object(Bucket=bucket, Key=key)
    s3.delete_object(Bucket=bucket, Key=key)
    assert keys(s3, bucket) == []


def test_headers_and_metadata_come_back(s3: Any, bucket: str) -> None:
    headers = {
        "ContentType": "text/plain",
        "CacheControl": "no-store",
        "ContentDisposition": "inline",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
    }
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"one": "1", "two": "2"}, **headers)
    head = s3.head_object(Bucket=bucket, Key="a")
    assert {name: head[name] for name in headers} == headers
    assert head["Metadata"] == {"one": "1", "two": "2"}


def test_an_object_that_is_not_there(s3: Any, bucket: str, refused: Refused) -> None:
    assert refused(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.parametrize(
    ("asked", "got", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-50", b"56789", "bytes 5-9/10"),
    ],
)
def test_ranges(s3: Any, bucket: str, asked: str, got: bytes, told: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    part = s3.get_object(Bucket=bucket, Key="a", Range=asked)
    assert (part["Body"].read(), part["ContentRange"], part["ResponseMetadata"]["HTTPStatusCode"]) == (got, told, 206)


def test_a_range_behind_the_end(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    assert refused(s3.get_object, Bucket=bucket, Key="a", Range="bytes=10-") == ("InvalidRange", 416)


def test_conditional_reads(s3: Any, bucket: str, refused: Refused) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    assert content(s3, bucket, "a", IfMatch=etag) == b"x"
    assert refused(s3.get_object, Bucket=bucket, Key="a", IfNoneMatch=etag) == ("304", 304)
    assert refused(s3.get_object, Bucket=bucket, Key="a", IfMatch='"other"') == ("PreconditionFailed", 412)


def test_conditional_writes(s3: Any, bucket: str, refused: Refused) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="a", Body=b"y", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="a", Body=b"y", IfMatch='"other"') == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key="a", Body=b"z", IfMatch=etag)
    assert content(s3, bucket, "a") == b"z"


@moto_differs("it does not keep a checksum that comes with its value")
def test_a_checksum_is_checked_and_told(s3: Any, bucket: str, refused: Refused) -> None:
    right = base64.b64encode(zlib.crc32(b"x").to_bytes(4)).decode()
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ChecksumCRC32=right)
    assert s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")["ChecksumCRC32"] == right
    assert refused(s3.put_object, Bucket=bucket, Key="b", Body=b"y", ChecksumCRC32=right)[1] == 400


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_checksum_of_each_kind(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"hello", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


@moto_differs("it does not check Content-MD5")
def test_a_wrong_md5_is_refused(s3: Any, bucket: str, refused: Refused) -> None:
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="a", Body=b"x", ContentMD5=wrong) == ("BadDigest", 400)
    assert keys(s3, bucket) == []


def test_a_copy_takes_metadata_along_or_replaces_it(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="text/plain", Metadata={"one": "1"})
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert s3.head_object(Bucket=bucket, Key="b")["Metadata"] == {"one": "1"}
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"two": "2"})
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"two": "2"}
    assert content(s3, bucket, "b") == b"x"


def test_a_copy_to_itself_that_changes_nothing(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert refused(s3.copy_object, Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "a"}) == ("InvalidRequest", 400)


@moto_differs("it does not know Quiet")
def test_many_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "none"}]})
    assert sorted(entry["Key"] for entry in gone["Deleted"]) == ["a", "b", "none"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert keys(s3, bucket) == []


# Listings.


@pytest.fixture
def tree(s3: Any, bucket: str) -> str:
    for key in ("a", "d/1", "d/2", "d/e/3", "z"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return bucket


def test_a_listing_by_prefix_and_delimiter(s3: Any, tree: str) -> None:
    top = s3.list_objects_v2(Bucket=tree, Delimiter="/")
    assert ([found["Key"] for found in top["Contents"]], top["CommonPrefixes"]) == (["a", "z"], [{"Prefix": "d/"}])
    below = s3.list_objects_v2(Bucket=tree, Delimiter="/", Prefix="d/")
    assert ([found["Key"] for found in below["Contents"]], below["CommonPrefixes"]) == (["d/1", "d/2"], [{"Prefix": "d/e/"}])


def test_a_listing_in_pages(s3: Any, tree: str) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=tree, PaginationConfig={"PageSize": 2})
    found = [[entry["Key"] for entry in page["Contents"]] for page in pages]
    assert found == [["a", "d/1"], ["d/2", "d/e/3"], ["z"]]


def test_a_listing_from_a_key_on(s3: Any, tree: str) -> None:
    assert keys(s3, tree, StartAfter="d/2") == ["d/e/3", "z"]


def test_the_older_listing(s3: Any, tree: str) -> None:
    page = s3.list_objects(Bucket=tree, MaxKeys=2)
    assert ([found["Key"] for found in page["Contents"]], page["IsTruncated"]) == (["a", "d/1"], True)
    rest = s3.list_objects(Bucket=tree, Marker="d/1")
    assert [found["Key"] for found in rest["Contents"]] == ["d/2", "d/e/3", "z"]


# Uploads in parts.


def test_an_upload_in_parts(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a", ContentType="text/plain")["UploadId"]
    pieces = [b"a" * PART, b"b" * 10]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(Bucket=bucket, Key="a", UploadId=upload, PartNumber=number, Body=piece)["ETag"]}
        for number, piece in enumerate(pieces, 1)
    ]
    assert [part["Size"] for part in s3.list_parts(Bucket=bucket, Key="a", UploadId=upload)["Parts"]] == [PART, 10]
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    done = s3.complete_multipart_upload(Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": parts})
    whole = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()
    assert done["ETag"] == f'"{whole}-2"'
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentLength"], head["ContentType"]) == (PART + 10, "text/plain")
    assert content(s3, bucket, "a", Range=f"bytes={PART - 1}-{PART}") == b"ab"


def test_an_aborted_upload_leaves_nothing(s3: Any, bucket: str, refused: Refused) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="a", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=upload)
    assert keys(s3, bucket) == []
    assert refused(s3.list_parts, Bucket=bucket, Key="a", UploadId=upload) == ("NoSuchUpload", 404)


@moto_differs("it checks the order of parts last")
def test_uploads_that_cannot_be_completed(s3: Any, bucket: str, refused: Refused) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    etags = [s3.upload_part(Bucket=bucket, Key="a", UploadId=upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)]

    def complete(*parts: tuple[int, str]) -> tuple[str, int]:
        asked = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        return refused(s3.complete_multipart_upload, Bucket=bucket, Key="a", UploadId=upload, MultipartUpload=asked)

    assert complete((1, etags[0]), (2, etags[1])) == ("EntityTooSmall", 400)
    assert complete((1, '"0123456789abcdef0123456789abcdef"')) == ("InvalidPart", 400)
    assert complete((2, etags[1]), (1, etags[0])) == ("InvalidPartOrder", 400)


# Versions, tags, addresses.


def test_versions_and_delete_markers(s3: Any, bucket: str, refused: Refused) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    marker = s3.delete_object(Bucket=bucket, Key="a")
    assert marker["DeleteMarker"] is True
    assert refused(s3.get_object, Bucket=bucket, Key="a") == ("NoSuchKey", 404)
    assert content(s3, bucket, "a", VersionId=first) == b"1"
    listed = s3.list_object_versions(Bucket=bucket)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    s3.delete_object(Bucket=bucket, Key="a", VersionId=marker["VersionId"])
    assert content(s3, bucket, "a") == b"2"


def test_tags_of_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="team=a")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "team", "Value": "a"}]
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": "team", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "team", "Value": "b"}]
    s3.delete_object_tagging(Bucket=bucket, Key="a")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []


def test_a_bucket_is_private_and_says_so(s3: Any, bucket: str) -> None:
    (grant,) = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert grant["Permission"] == "FULL_CONTROL"


def test_an_address_that_was_signed_beforehand(s3: Any, bucket: str) -> None:
    address = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a", "ContentType": "text/plain"})
    with urlopen(Request(address, b"hello", {"Content-Type": "text/plain"}, method="PUT")) as answer:
        assert answer.status == 200
    with urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"hello", "text/plain")
