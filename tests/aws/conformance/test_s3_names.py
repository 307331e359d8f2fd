"""Keys of every kind, as boto3 sends and lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
PLAIN = [" ", " a ", "a b", "a+b", "a%2Fb", "%", "&<>\"'", "é", "e\u0301", "\U0001f600", "~", "a\\b", "a;b?c#d=e", "A", "a", "-", "..a", "x" * 255]
STRANGE = ["a/", "a/b", "a//b", "a//", "a/b/", ".hidden", "x" * 1024, "ü" * 512, ".eventflow-tmp/a", ".eventflow-keys/b"]
UNLIKE_PATHS = ["/a", "//", ".", "..", "../a", "a/../b", "./a", "a/.", "a/..", "\x01\x1f\t", "line\nbreak", "carriage\rreturn"]


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


def there_and_back(s3: Any, bucket: str, keys: list[str]) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [
        entry["Key"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        for entry in page["Contents"]
    ]
    assert listed == sorted(keys, key=str.encode)
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key}, MetadataDirective="REPLACE", Metadata={"a": "b"})
        assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"a": "b"}
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[::2] if key.isprintable()]})
    assert "Errors" not in answer
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_keys_that_are_names_of_files(s3: Any, bucket: str) -> None:
    there_and_back(s3, bucket, PLAIN)


def test_keys_that_a_directory_takes_badly(s3: Any, bucket: str) -> None:
    there_and_back(s3, bucket, STRANGE)


@moto_differs("its router takes dots and slashes for paths")
def test_keys_that_are_no_paths(s3: Any, bucket: str) -> None:
    there_and_back(s3, bucket, UNLIKE_PATHS)


@moto_differs("it takes keys of any length")
def test_a_key_that_is_too_long(s3: Any, bucket: str, refused: Refused) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="x" * 1025) == ("KeyTooLongError", 400)


def test_a_strange_key_in_parts(s3: Any, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "a//../b"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    sent = s3.upload_part(**upload, PartNumber=1, Body=b"content")
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]})
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="a//")["Contents"]] == ["a//../b"]
    assert s3.get_object(Bucket=bucket, Key="a//../b")["Body"].read() == b"content"


def test_delimiters_among_strange_keys(s3: Any, bucket: str) -> None:
    for key in ("a", "a/b", "a//b", "a//c", "b", "/c"):
        s3.put_object(Bucket=bucket, Key=key)
    found = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert ([entry["Key"] for entry in found["Contents"]], [entry["Prefix"] for entry in found["CommonPrefixes"]]) == (["a", "b"], ["/", "a/"])
    found = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="a/")
    assert ([entry["Key"] for entry in found["Contents"]], [entry["Prefix"] for entry in found["CommonPrefixes"]]) == (["a/b"], ["a//"])
