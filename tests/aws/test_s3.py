"""S3 as boto3 uses it, and beside moto where that is right."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from eventflow.digests import ALGORITHMS
from eventflow.services.objects.checksums import encoded, new_digest
from tests.aws import builders
from tests.aws.conftest import server_of

BUCKET = "uploads"
MB = 1 << 20


server = server_of(builders.s3)


@pytest.fixture
def s3(server: Any) -> Any:
    client = server.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def directory(server: Any) -> Path:
    return Path(server.services["s3"].objects.bucket(BUCKET).path)


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    """The code and status of a refusal."""
    with pytest.raises(ClientError) as error:
        call(**params)
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def told(call: Callable[..., Any], **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**params)
    return dict(error.value.response["Error"])


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# Buckets


def test_buckets_come_and_go(server: Any) -> None:
    east, west = server.client("s3"), server.client("s3", region="eu-west-1")
    assert east.create_bucket(Bucket="alpha")["Location"] == "/alpha"
    west.create_bucket(Bucket="beta", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    east.create_bucket(Bucket="gamma", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
    assert [bucket["Name"] for bucket in east.list_buckets()["Buckets"]] == ["alpha", "beta", "gamma"]
    assert east.get_bucket_location(Bucket="alpha")["LocationConstraint"] is None
    assert east.get_bucket_location(Bucket="beta")["LocationConstraint"] == "eu-west-1"
    assert west.head_bucket(Bucket="gamma")["BucketRegion"] == "ap-south-1"
    east.delete_bucket(Bucket="alpha")
    assert refused(east.head_bucket, Bucket="alpha") == ("404", 404)
    assert told(east.delete_bucket, Bucket="alpha") == {
        "Code": "NoSuchBucket",
        "Message": "The specified bucket does not exist",
        "BucketName": "alpha",
    }


def test_buckets_in_pages(server: Any) -> None:
    s3 = server.client("s3")
    names = [f"logs-{number}" for number in range(5)]
    for name in (*names, "other"):
        s3.create_bucket(Bucket=name)
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix="logs-", PaginationConfig={"PageSize": 2}))
    assert [[bucket["Name"] for bucket in page["Buckets"]] for page in pages] == [names[:2], names[2:4], names[4:]]
    assert {page["Prefix"] for page in pages} == {"logs-"}
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []
    assert refused(s3.list_buckets, ContinuationToken="nonsense") == ("InvalidArgument", 400)
    assert refused(s3.list_buckets, MaxBuckets=10_001) == ("InvalidArgument", 400)


def test_buckets_that_cannot_be_made(server: Any) -> None:
    east, west = server.client("s3"), server.client("s3", region="eu-west-1")
    east.create_bucket(Bucket="mine")
    east.create_bucket(Bucket="mine")
    within = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    assert refused(west.create_bucket, Bucket="mine", **within) == ("BucketAlreadyOwnedByYou", 409)
    assert refused(west.create_bucket, Bucket="new") == ("IllegalLocationConstraintException", 400)
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    assert refused(west.create_bucket, Bucket="new", **elsewhere) == ("IllegalLocationConstraintException", 400)
    for constraint in ("us-east-1", "nowhere"):
        params = {"CreateBucketConfiguration": {"LocationConstraint": constraint}}
        assert refused(east.create_bucket, Bucket="new", **params) == ("InvalidLocationConstraint", 400)
    assert refused(east.create_bucket, Bucket="under_score") == ("InvalidBucketName", 400)
    assert refused(east.create_bucket, Bucket="new", ACL="public-read") == ("InvalidBucketAclWithObjectOwnership", 400)
    assert refused(east.create_bucket, Bucket="new", ObjectLockEnabledForBucket=True) == ("NotImplemented", 501)
    assert [bucket["Name"] for bucket in east.list_buckets()["Buckets"]] == ["mine"]


def test_a_bucket_with_objects_stays(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k")
    assert refused(s3.delete_bucket, Bucket=BUCKET) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.delete_bucket(Bucket=BUCKET)


# Objects


def test_objects_there_and_back(s3: Any, server: Any) -> None:
    for key in ("k", "a b/ü+€ &?%25=#.txt", "a/.hidden", "~tilde", "x" * 255, "folder/"):
        content = b"" if key.endswith("/") else b"content"
        answer = s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        assert answer["ETag"] == f'"{md5(content)}"'
        assert (directory(server) / key).exists()
        got = s3.get_object(Bucket=BUCKET, Key=key)
        assert (got["Body"].read(), got["ETag"], got["ContentLength"]) == (content, answer["ETag"], len(content))
        assert got["ContentType"] == "binary/octet-stream"
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
        s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": key})
        assert s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read() == content
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
        assert refused(s3.get_object, Bucket=BUCKET, Key=key) == ("NoSuchKey", 404)
        assert refused(s3.head_object, Bucket=BUCKET, Key=key) == ("404", 404)


def test_what_is_said_of_an_object_comes_back(s3: Any) -> None:
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue", "empty": ""},
    }
    expires = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", Expires=expires, **said)
    got = s3.head_object(Bucket=BUCKET, Key="k")
    assert {name: got[name] for name in said} == said
    assert got["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    overridden = s3.get_object(
        Bucket=BUCKET, Key="k", ResponseContentType="text/html", ResponseCacheControl="no-store", ResponseExpires=expires + timedelta(1)
    )
    assert (overridden["ContentType"], overridden["CacheControl"]) == ("text/html", "no-store")
    assert overridden["ExpiresString"] == "Thu, 03 Jan 2030 03:04:05 GMT"


def test_too_much_metadata(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Metadata={"a": "x" * 2047})
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Metadata={"a": "x" * 2048}) == ("MetadataTooLarge", 400)


def test_a_file_that_was_copied_in_is_an_object(s3: Any, server: Any) -> None:
    (directory(server) / "photos").mkdir()
    (directory(server) / "photos/a.png").write_bytes(b"png")
    got = s3.get_object(Bucket=BUCKET, Key="photos/a.png")
    assert (got["Body"].read(), got["ContentType"], got["ETag"]) == (b"png", "image/png", f'"{md5(b"png")}"')
    assert [entry["ETag"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [got["ETag"]]


def test_checksums_are_kept_and_returned(s3: Any) -> None:
    for algorithm in ALGORITHMS:
        digest = new_digest(algorithm)
        digest.update(b"hello")
        member, value = f"Checksum{algorithm}", encoded(digest.digest())
        put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"hello", **{member: value})
        assert (put["ChecksumType"], put[member]) == ("FULL_OBJECT", value)
        got = s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
        assert (got["Body"].read(), got[member]) == (b"hello", value)
        assert member not in s3.head_object(Bucket=BUCKET, Key="k")
        assert member not in s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED", Range="bytes=0-1")
        assert s3.list_objects_v2(Bucket=BUCKET)["Contents"][0]["ChecksumAlgorithm"] == [algorithm]
        copy = s3.copy_object(Bucket=BUCKET, Key="other/copy", CopySource=f"{BUCKET}/k")["CopyObjectResult"]
        assert copy[member] == value
    in_the_trailer = s3.put_object(Bucket=BUCKET, Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    assert in_the_trailer["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"hello").digest()).decode()


def test_bodies_that_are_not_what_was_promised(s3: Any) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"hello", ContentMD5=wrong) == ("BadDigest", 400)
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"hello", ContentMD5="short") == ("InvalidDigest", 400)
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"hello", ChecksumCRC32="AAAAAA==") == ("BadDigest", 400)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


UNENFORCED: list[dict[str, Any]] = [
    {"ServerSideEncryption": "aws:kms"},
    {"ServerSideEncryption": "AES256"},
    {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    {"StorageClass": "GLACIER"},
    {"ObjectLockMode": "GOVERNANCE"},
    {"WebsiteRedirectLocation": "/elsewhere"},
]


def test_what_cannot_be_enforced_is_refused_by_name(s3: Any) -> None:
    for params in UNENFORCED:
        for call in (s3.put_object, s3.create_multipart_upload):
            error = told(call, Bucket=BUCKET, Key="k", **params)
            assert error["Code"] == "NotImplemented"
            assert any(name in error["Message"] for name in params)
            assert "kkkk" not in error["Message"]


def test_what_is_so_anyway_may_be_asked_for(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", ACL="bucket-owner-full-control", StorageClass="STANDARD", BucketKeyEnabled=False)
    s3.get_object(Bucket=BUCKET, Key="k", VersionId="null", RequestPayer="requester", ExpectedBucketOwner="000000000000")
    assert refused(s3.get_object, Bucket=BUCKET, Key="k", VersionId="other") == ("InvalidArgument", 400)
    assert refused(s3.get_object, Bucket=BUCKET, Key="k", ExpectedBucketOwner="111111111111") == ("AccessDenied", 403)


def test_keys_that_are_too_long(s3: Any) -> None:
    assert refused(s3.put_object, Bucket=BUCKET, Key="x/" * 513) == ("KeyTooLongError", 400)


def test_ranges(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")
    spans = {"bytes=2-4": (b"234", "2-4"), "bytes=7-": (b"789", "7-9"), "bytes=-2": (b"89", "8-9"), "bytes=0-99": (b"0123456789", "0-9")}
    for header, (content, span) in spans.items():
        got = s3.get_object(Bucket=BUCKET, Key="k", Range=header)
        assert (got["Body"].read(), got["ContentRange"]) == (content, f"bytes {span}/10")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.head_object(Bucket=BUCKET, Key="k", Range="bytes=2-4")["ContentLength"] == 3
    error = told(s3.get_object, Bucket=BUCKET, Key="k", Range="bytes=10-")
    assert (error["Code"], error["ActualObjectSize"], error["RangeRequested"]) == ("InvalidRange", "10", "bytes=10-")
    assert s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=0-1,3-4")["Body"].read() == b"0123456789"


def test_not_modified_has_the_etag(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["ETag"]
    for call in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as error:
            call(Bucket=BUCKET, Key="k", IfNoneMatch=etag)
        metadata = error.value.response["ResponseMetadata"]
        assert (metadata["HTTPStatusCode"], metadata["HTTPHeaders"]["etag"]) == (304, etag)
        assert "last-modified" in metadata["HTTPHeaders"]
    assert told(s3.get_object, Bucket=BUCKET, Key="k", IfMatch='"x"')["Condition"] == "If-Match"


def test_conditional_writes_and_deletes(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"2", IfNoneMatch=etag) == ("NotImplemented", 501)
    assert refused(s3.put_object, Bucket=BUCKET, Key="none", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfMatch=etag)
    assert refused(s3.delete_object, Bucket=BUCKET, Key="k", IfMatch=etag) == ("PreconditionFailed", 412)
    batch = {"Objects": [{"Key": "k", "ETag": etag}, {"Key": "absent"}]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=batch)
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("k", "PreconditionFailed")]
    assert answer["Deleted"] == [{"Key": "absent"}]
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"2"


def test_batches_of_deletes(s3: Any) -> None:
    for number in range(12):
        s3.put_object(Bucket=BUCKET, Key=f"d/{number}")
    loud = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": f"d/{number}"} for number in range(6)]})
    assert [entry["Key"] for entry in loud["Deleted"]] == [f"d/{number}" for number in range(6)]
    quiet = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": f"d/{number}"} for number in range(6, 11)], "Quiet": True})
    assert "Deleted" not in quiet
    assert "Errors" not in quiet
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["d/11"]
    assert refused(s3.delete_objects, Bucket=BUCKET, Delete={"Objects": [{"Key": "k"}] * 1001}) == ("MalformedXML", 400)
    assert refused(s3.delete_objects, Bucket="absent", Delete={"Objects": [{"Key": "k"}]}) == ("NoSuchBucket", 404)


def test_copies(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="a b", Body=b"x", ContentType="text/plain", Metadata={"a": "b"})
    etag = s3.head_object(Bucket=BUCKET, Key="a b")["ETag"]
    source = {"Bucket": BUCKET, "Key": "a b"}
    s3.copy_object(Bucket=BUCKET, Key="kept", CopySource=f"/{BUCKET}/a b", CopySourceIfMatch=etag)
    assert s3.head_object(Bucket=BUCKET, Key="kept")["Metadata"] == {"a": "b"}
    assert refused(s3.copy_object, Bucket=BUCKET, Key="a b", CopySource=source) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=BUCKET, Key="a b", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "d"})
    assert s3.head_object(Bucket=BUCKET, Key="a b")["Metadata"] == {"c": "d"}
    into = {"Bucket": BUCKET, "Key": "new", "CopySource": source}
    assert refused(s3.copy_object, **into, CopySourceIfNoneMatch=etag) == ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **into, CopySourceIfModifiedSince=datetime.now(UTC)) == ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **into | {"CopySource": {"Bucket": BUCKET, "Key": "none"}}) == ("NoSuchKey", 404)
    assert refused(s3.copy_object, **into | {"CopySource": {"Bucket": "absent", "Key": "k"}}) == ("NoSuchBucket", 404)
    assert refused(s3.copy_object, **into | {"CopySource": BUCKET}) == ("InvalidArgument", 400)
    assert refused(s3.copy_object, **into | {"CopySource": {**source, "VersionId": "v"}}) == ("InvalidArgument", 400)


def test_presigned_addresses(s3: Any, server: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="a b", Body=b"content")
    url = server.client("s3", signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "a b", "ResponseContentType": "text/x"}
    )
    with urllib.request.urlopen(url) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"content", "text/x")


# Multipart


def test_boto3_moves_large_files_in_parts(s3: Any, server: Any, tmp_path: Path) -> None:
    content = os.urandom(17 * MB + 3)
    s3.upload_fileobj(io.BytesIO(content), BUCKET, "big", ExtraArgs={"ContentType": "text/x", "Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=BUCKET, Key="big", ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (len(content), "text/x", {"a": "b"})
    assert head["ETag"].endswith('-3"')
    assert head["ChecksumType"] == "COMPOSITE"
    s3.copy({"Bucket": BUCKET, "Key": "big"}, BUCKET, "copy")
    for key in ("big", "copy"):
        target = io.BytesIO()
        s3.download_fileobj(BUCKET, key, target, Config=TransferConfig(multipart_chunksize=5 * MB))
        assert target.getvalue() == content
    second = s3.get_object(Bucket=BUCKET, Key="big", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (content[8 * MB : 16 * MB], 3)
    assert refused(s3.head_object, Bucket=BUCKET, Key="big", PartNumber=4) == ("416", 416)
    single = s3.copy_object(Bucket=BUCKET, Key="single", CopySource=f"{BUCKET}/big")["CopyObjectResult"]
    assert single["ETag"] == f'"{md5(content)}"'
    left = [entry.name for entry in (directory(server) / ".eventflow-tmp").iterdir()]
    assert set(left) <= {"clock"}


def test_uploads_by_hand(s3: Any) -> None:
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ContentType="text/x")
    upload = {"Bucket": BUCKET, "Key": "k", "UploadId": begun["UploadId"]}
    tags = [s3.upload_part(**upload, PartNumber=number, Body=b"x" * size)["ETag"] for number, size in ((1, 5 * MB), (2, 7))]
    page = s3.list_parts(**upload, MaxParts=1)
    assert ([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"], page["NextPartNumberMarker"]) == ([1], True, 1)
    assert [part["Size"] for part in s3.list_parts(**upload, PartNumberMarker=1)["Parts"]] == [7]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(tags, 1)]
    assert refused(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts[::-1]}) == ("InvalidPartOrder", 400)
    assert refused(s3.upload_part, **upload | {"UploadId": "none"}, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    expected = md5(b"".join(bytes.fromhex(tag.strip('"')) for tag in tags))
    assert (done["ETag"], done["Key"]) == (f'"{expected}-2"', "k")
    assert s3.head_object(Bucket=BUCKET, Key="k")["ContentLength"] == 5 * MB + 7


def test_listing_uploads(s3: Any) -> None:
    ids = {key: s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in ("a/1", "a/2", "b")}
    second = s3.create_multipart_upload(Bucket=BUCKET, Key="b")["UploadId"]
    listed = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [(entry["Key"], entry["UploadId"]) for entry in listed] == [*ids.items(), ("b", second)]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 1})
    assert [entry["UploadId"] for page in pages for entry in page["Uploads"]] == [*ids.values(), second]
    rolled = s3.list_multipart_uploads(Bucket=BUCKET, Delimiter="/")
    assert [entry["Prefix"] for entry in rolled["CommonPrefixes"]] == ["a/"]
    assert len(rolled["Uploads"]) == 2
    s3.abort_multipart_upload(Bucket=BUCKET, Key="b", UploadId=second)
    assert refused(s3.abort_multipart_upload, Bucket=BUCKET, Key="b", UploadId=second) == ("NoSuchUpload", 404)
    assert len(s3.list_multipart_uploads(Bucket=BUCKET, Prefix="b")["Uploads"]) == 1


# Listings


def test_listings_page_by_page(s3: Any) -> None:
    keys = ["a/1", "a/2", "b c", "d&e", "ü", "z/1"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key)
    for name in ("list_objects_v2", "list_objects"):
        for delimiter in ("", "/"):
            pages = list(s3.get_paginator(name).paginate(Bucket=BUCKET, Delimiter=delimiter, PaginationConfig={"PageSize": 1}))
            found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
            assert found == (["b c", "d&e", "ü"] if delimiter else sorted(keys, key=str.encode))
            assert [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())] == (["a/", "z/"] if delimiter else [])
    first = s3.list_objects_v2(Bucket=BUCKET, FetchOwner=True, MaxKeys=2, StartAfter="a/1")
    assert ([entry["Key"] for entry in first["Contents"]], first["KeyCount"], first["StartAfter"]) == (["a/2", "b c"], 2, "a/1")
    assert "Owner" in first["Contents"][0]
    assert refused(s3.list_objects_v2, Bucket=BUCKET, ContinuationToken="nonsense") == ("InvalidArgument", 400)
    assert refused(s3.list_objects_v2, Bucket=BUCKET, MaxKeys=-1) == ("InvalidArgument", 400)
    assert s3.list_objects_v2(Bucket=BUCKET, MaxKeys=0)["IsTruncated"] is False
    assert refused(s3.list_objects_v2, Bucket="absent") == ("NoSuchBucket", 404)


TREE = ["a", "b/1", "b/2", "b-c", "b/d/1", "c/1/2", "c/2", "d+e", "f g/h", "z"]
TEXTS = st.text(st.sampled_from("abcd/-12 "), max_size=3)


def summary(answer: Mapping[str, Any]) -> dict[str, Any]:
    names = ("IsTruncated", "KeyCount", "MaxKeys", "Name", "Prefix", "Delimiter", "StartAfter", "Marker", "NextMarker")
    found = {name: answer[name] for name in names if answer.get(name)}
    found["Contents"] = [(entry["Key"], entry["ETag"], entry["Size"]) for entry in answer.get("Contents", ())]
    return found | {"CommonPrefixes": [entry["Prefix"] for entry in answer.get("CommonPrefixes", ())]}


def test_listings_beside_moto(s3: Any) -> None:
    with mock_aws():
        import boto3

        moto = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        moto.create_bucket(Bucket=BUCKET)
        for client in (s3, moto):
            for key in TREE:
                client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(TEXTS, st.sampled_from(["", "/", "-", "b"]), TEXTS, st.sampled_from([1, 2, 3, 1000]))
        def same(prefix: str, delimiter: str, after: str, limit: int) -> None:
            query: dict[str, Any] = {"Bucket": BUCKET, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": limit}
            assert summary(s3.list_objects_v2(**query, StartAfter=after)) == summary(moto.list_objects_v2(**query, StartAfter=after))

        same()


def test_conditions_beside_moto(s3: Any) -> None:
    with mock_aws():
        import boto3

        moto = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        moto.create_bucket(Bucket=BUCKET)
        etag = f'"{md5(b"x")}"'
        early, late = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
        for client in (s3, moto):
            client.put_object(Bucket=BUCKET, Key="k", Body=b"x")

        def status(client: Any, params: Mapping[str, Any]) -> int:
            try:
                return int(client.head_object(Bucket=BUCKET, Key="k", **params)["ResponseMetadata"]["HTTPStatusCode"])
            except ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])

        for params in (
            {"IfMatch": etag},
            {"IfMatch": '"x"'},
            {"IfNoneMatch": etag},
            {"IfNoneMatch": '"x"'},
            {"IfModifiedSince": early},
            {"IfModifiedSince": late},
            {"IfUnmodifiedSince": early},
            {"IfUnmodifiedSince": late},
        ):
            assert status(s3, params) == status(moto, params), params
