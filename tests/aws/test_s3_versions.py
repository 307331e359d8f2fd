"""Versions of objects as boto3 uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.aws import builders
from tests.aws.conftest import AwsServer, client_of, server_of

server = server_of(builders.s3, "module")
s3 = client_of("s3", "module")


@pytest.fixture
def plain(s3: Any) -> str:
    name = f"b-{uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(s3: Any, plain: str) -> str:
    s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled"})
    return plain


def suspend(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def directory(server: AwsServer, bucket: str) -> Path:
    return Path(server.services["s3"].objects.bucket(bucket).path)  # type: ignore[attr-defined]


def failure(call: Any, **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**params)
    return dict(error.value.response)


def code(call: Any, **params: Any) -> tuple[str, int]:
    response = failure(call, **params)
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def put(s3: Any, bucket: str, key: str, body: bytes = b"", **more: Any) -> Any:
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId")


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read())


def listed(s3: Any, bucket: str, **more: Any) -> list[tuple[str, str, bool, bool]]:
    """Key, id, whether it is the latest, whether it is a marker: in the order of versions, then markers."""
    page = s3.list_object_versions(Bucket=bucket, **more)
    found = [(entry["Key"], entry["VersionId"], entry["IsLatest"], False) for entry in page.get("Versions", ())]
    return found + [(entry["Key"], entry["VersionId"], entry["IsLatest"], True) for entry in page.get("DeleteMarkers", ())]


def test_versioning_is_off_until_it_is_put(s3: Any, plain: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=plain)
    assert put(s3, plain, "k") is None
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=plain)["Status"] == status
    assert code(s3.put_bucket_versioning, Bucket=plain, VersioningConfiguration={}) == ("IllegalVersioningConfigurationException", 400)
    with_mfa = {"Status": "Enabled", "MFADelete": "Enabled"}
    refusal = failure(s3.put_bucket_versioning, Bucket=plain, VersioningConfiguration=with_mfa, MFA="serial 123456")["Error"]
    assert refusal["Code"] == "NotImplemented"
    assert "MFA" in refusal["Message"]
    assert code(s3.put_bucket_versioning, Bucket="no-such-bucket", VersioningConfiguration={"Status": "Enabled"}) == ("NoSuchBucket", 404)


def test_every_put_is_a_version(s3: Any, bucket: str) -> None:
    first, second = put(s3, bucket, "k", b"1", Metadata={"n": "1"}), put(s3, bucket, "k", b"22", Metadata={"n": "2"})
    assert first != second
    assert read(s3, bucket, "k") == b"22"
    assert read(s3, bucket, "k", VersionId=first) == b"1"
    assert read(s3, bucket, "k", VersionId=second) == b"22"
    head = s3.head_object(Bucket=bucket, Key="k", VersionId=first)
    assert (head["VersionId"], head["ContentLength"], head["Metadata"]) == (first, 1, {"n": "1"})
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == second
    assert listed(s3, bucket) == [("k", second, True, False), ("k", first, False, False)]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first, Range="bytes=0-0")["Body"].read() == b"1"
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId="0" * 32) == ("NoSuchVersion", 404)
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId="nonsense") == ("InvalidArgument", 400)


def test_a_delete_hides_the_object_behind_a_marker(s3: Any, bucket: str) -> None:
    version = put(s3, bucket, "k", b"1")
    answer = s3.delete_object(Bucket=bucket, Key="k")
    marker = answer["VersionId"]
    assert answer["DeleteMarker"] is True
    missing = failure(s3.get_object, Bucket=bucket, Key="k")
    assert missing["Error"]["Code"] == "NoSuchKey"
    headers = missing["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
    refused = failure(s3.get_object, Bucket=bucket, Key="k", VersionId=marker)
    assert (refused["Error"]["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == ("MethodNotAllowed", 405)
    assert refused["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert read(s3, bucket, "k", VersionId=version) == b"1"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert listed(s3, bucket) == [("k", version, False, False), ("k", marker, True, True)]
    again = s3.delete_object(Bucket=bucket, Key="k")
    assert (again["DeleteMarker"], again["VersionId"] != marker) == (True, True)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=again["VersionId"])
    gone = s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker)
    assert read(s3, bucket, "k") == b"1"
    assert listed(s3, bucket) == [("k", version, True, False)]


def test_a_delete_of_nothing_leaves_a_marker(s3: Any, bucket: str) -> None:
    marker = s3.delete_object(Bucket=bucket, Key="never")["VersionId"]
    assert listed(s3, bucket) == [("never", marker, True, True)]
    assert code(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="never", VersionId=marker)
    s3.delete_bucket(Bucket=bucket)


def test_deleting_versions_for_good(s3: Any, bucket: str, server: AwsServer) -> None:
    one, two, three = (put(s3, bucket, "d/k", str(number).encode()) for number in (1, 2, 3))
    assert s3.delete_object(Bucket=bucket, Key="d/k", VersionId=two)["VersionId"] == two
    assert listed(s3, bucket) == [("d/k", three, True, False), ("d/k", one, False, False)]
    s3.delete_object(Bucket=bucket, Key="d/k", VersionId=three)
    assert read(s3, bucket, "d/k") == b"1"
    assert s3.head_object(Bucket=bucket, Key="d/k")["VersionId"] == one
    assert code(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="d/k", VersionId="0" * 32)
    assert read(s3, bucket, "d/k", VersionId=one) == b"1"
    s3.delete_object(Bucket=bucket, Key="d/k", VersionId=one)
    assert listed(s3, bucket) == []
    assert list(directory(server, bucket).glob("d/*")) == []
    assert list(directory(server, bucket).glob(".eventflow-versions/*")) == []
    s3.delete_bucket(Bucket=bucket)


def test_batches_of_deletes_with_versions(s3: Any, bucket: str) -> None:
    version = put(s3, bucket, "a")
    put(s3, bucket, "b")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a", "VersionId": version}, {"Key": "b"}, {"Key": "c", "VersionId": "no"}]})
    gone = {entry["Key"]: entry for entry in answer["Deleted"]}
    assert gone["a"] == {"Key": "a", "VersionId": version}
    assert gone["b"]["DeleteMarker"] is True
    assert gone["b"]["DeleteMarkerVersionId"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("c", "InvalidArgument")]


def test_what_was_there_before_versioning_is_the_null_version(s3: Any, plain: str) -> None:
    put(s3, plain, "k", b"before")
    assert listed(s3, plain) == [("k", "null", True, False)]
    s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled"})
    assert s3.head_object(Bucket=plain, Key="k")["VersionId"] == "null"
    version = put(s3, plain, "k", b"after")
    assert listed(s3, plain) == [("k", version, True, False), ("k", "null", False, False)]
    assert read(s3, plain, "k", VersionId="null") == b"before"
    s3.delete_object(Bucket=plain, Key="k", VersionId="null")
    assert listed(s3, plain) == [("k", version, True, False)]


def test_a_suspended_bucket_overwrites_its_null_version(s3: Any, bucket: str) -> None:
    version = put(s3, bucket, "k", b"1")
    suspend(s3, bucket)
    assert put(s3, bucket, "k", b"2") == "null"
    assert put(s3, bucket, "k", b"3") == "null"
    assert listed(s3, bucket) == [("k", "null", True, False), ("k", version, False, False)]
    assert read(s3, bucket, "k") == b"3"
    answer = s3.delete_object(Bucket=bucket, Key="k")
    assert (answer["DeleteMarker"], answer["VersionId"]) == (True, "null")
    assert listed(s3, bucket) == [("k", version, False, False), ("k", "null", True, True)]
    assert put(s3, bucket, "k", b"4") == "null"
    assert listed(s3, bucket) == [("k", "null", True, False), ("k", version, False, False)]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    newest = put(s3, bucket, "k", b"5")
    suspend(s3, bucket)
    assert put(s3, bucket, "k", b"6") == "null"
    assert listed(s3, bucket) == [("k", "null", True, False), ("k", newest, False, False), ("k", version, False, False)]
    assert [read(s3, bucket, "k", VersionId=id) for id in ("null", newest, version)] == [b"6", b"5", b"1"]


def test_copies_of_versions(s3: Any, bucket: str) -> None:
    old = put(s3, bucket, "k", b"old", ContentType="text/old")
    new = put(s3, bucket, "k", b"new")
    source = {"Bucket": bucket, "Key": "k", "VersionId": old}
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert answer["CopySourceVersionId"] == old
    assert s3.head_object(Bucket=bucket, Key="copy")["VersionId"] == answer["VersionId"]
    assert read(s3, bucket, "copy") == b"old"
    back = s3.copy_object(Bucket=bucket, Key="k", CopySource=source)["VersionId"]
    assert [id for _key, id, _latest, _marker in listed(s3, bucket, Prefix="k")] == [back, new, old]
    assert s3.get_object(Bucket=bucket, Key="k")["ContentType"] == "text/old"
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    assert code(s3.copy_object, Bucket=bucket, Key="copy", CopySource={**source, "VersionId": marker}) == ("InvalidRequest", 400)


def test_uploads_in_parts_are_versions(s3: Any, bucket: str) -> None:
    source = put(s3, bucket, "source", b"part")
    put(s3, bucket, "source", b"other")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    part = s3.upload_part_copy(**named, PartNumber=1, CopySource={"Bucket": bucket, "Key": "source", "VersionId": source})
    assert part["CopySourceVersionId"] == source
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    answer = s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert read(s3, bucket, "k", VersionId=answer["VersionId"]) == b"part"


def everything(s3: Any, bucket: str, size: int, **more: Any) -> tuple[list[tuple[str, str, bool]], list[str]]:
    entries, prefixes = [], []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **more):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        assert len(found) + len(page.get("CommonPrefixes", ())) <= size
        entries += [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in found]
        prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
    return entries, prefixes


def test_listing_versions_page_by_page(s3: Any, bucket: str) -> None:
    wanted = set()
    for key in ("a", "d/1", "d/2", "d/x/3", "e", "ü +"):
        ids = [put(s3, bucket, key, str(number).encode()) for number in range(3)]
        if key in ("d/2", "e"):
            ids.append(s3.delete_object(Bucket=bucket, Key=key)["VersionId"])
        wanted |= {(key, id, id == ids[-1]) for id in ids}
    whole, _ = everything(s3, bucket, 1000)
    assert set(whole) == wanted
    for size in (1, 2, 3, 5, 7):
        entries, prefixes = everything(s3, bucket, size)
        assert sorted(entries) == sorted(whole)
        assert prefixes == []
        rolled, prefixes = everything(s3, bucket, size, Delimiter="/")
        assert sorted(rolled) == sorted(entry for entry in whole if "/" not in entry[0])
        assert prefixes == ["d/"]
        inside, prefixes = everything(s3, bucket, size, Delimiter="/", Prefix="d/")
        assert sorted(inside) == sorted(entry for entry in whole if entry[0] in ("d/1", "d/2"))
        assert prefixes == ["d/x/"]
    behind = listed(s3, bucket, KeyMarker="d/2")
    assert {entry[0] for entry in behind} == {"d/x/3", "e", "ü +"}
    encoded = s3.list_object_versions(Bucket=bucket, Prefix="ü", EncodingType="url")
    assert {entry["Key"] for entry in encoded["Versions"]} == {"%C3%BC+%2B"}
    assert s3.list_object_versions(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False


def test_the_markers_of_a_listing_are_checked(s3: Any, bucket: str) -> None:
    assert code(s3.list_object_versions, Bucket=bucket, VersionIdMarker="0" * 32) == ("InvalidArgument", 400)
    assert code(s3.list_object_versions, Bucket=bucket, KeyMarker="k", VersionIdMarker="nonsense") == ("InvalidArgument", 400)
    refusal = failure(s3.list_object_versions, Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Error"]
    assert (refusal["Code"], "OptionalObjectAttributes" in refusal["Message"]) == ("NotImplemented", True)


def test_everything_is_deleted_while_it_is_listed(s3: Any, bucket: str) -> None:
    for number in range(7):
        put(s3, bucket, "k", str(number).encode())
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        doomed = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in page["Versions"]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed})
    s3.delete_bucket(Bucket=bucket)


def test_folders_have_versions_too(s3: Any, bucket: str) -> None:
    first, second = put(s3, bucket, "folder/"), put(s3, bucket, "folder/")
    assert listed(s3, bucket) == [("folder/", second, True, False), ("folder/", first, False, False)]
    s3.delete_object(Bucket=bucket, Key="folder/")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert read(s3, bucket, "folder/", VersionId=first) == b""


def test_a_folder_from_before_versioning_is_kept(s3: Any, plain: str) -> None:
    put(s3, plain, "folder/")
    s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=plain, Key="folder/")["VersionId"]
    assert listed(s3, plain) == [("folder/", "null", False, False), ("folder/", marker, True, True)]
    s3.delete_object(Bucket=plain, Key="folder/", VersionId=marker)
    assert listed(s3, plain) == [("folder/", "null", True, False)]
    assert read(s3, plain, "folder/") == b""


def test_conditions_look_at_the_current_version(s3: Any, bucket: str) -> None:
    put(s3, bucket, "k", b"1")
    assert code(s3.put_object, Bucket=bucket, Key="k", IfNoneMatch="*") == ("PreconditionFailed", 412)
    s3.delete_object(Bucket=bucket, Key="k")
    assert put(s3, bucket, "k", b"2", IfNoneMatch="*")


# By hand.


def test_a_file_that_is_removed_by_hand_is_hidden_and_kept(s3: Any, bucket: str, server: AwsServer) -> None:
    version = put(s3, bucket, "k", b"1")
    (directory(server, bucket) / "k").unlink()
    assert code(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert read(s3, bucket, "k", VersionId=version) == b"1"
    entries = listed(s3, bucket)
    assert [(latest, marker) for _key, _id, latest, marker in entries] == [(False, False), (True, True)]
    assert listed(s3, bucket) == entries
    s3.delete_object(Bucket=bucket, Key="k", VersionId=entries[1][1])
    assert read(s3, bucket, "k") == b"1"


def test_a_file_that_is_replaced_by_hand_is_kept(s3: Any, bucket: str, server: AwsServer) -> None:
    version = put(s3, bucket, "k", b"1")
    other = directory(server, bucket) / ".other"
    other.write_bytes(b"by hand")
    other.rename(directory(server, bucket) / "k")
    assert read(s3, bucket, "k") == b"by hand"
    by_hand = s3.head_object(Bucket=bucket, Key="k")["VersionId"]
    assert listed(s3, bucket, Prefix="k") == [("k", by_hand, True, False), ("k", version, False, False)]
    third = put(s3, bucket, "k", b"3")
    assert [read(s3, bucket, "k", VersionId=id) for id in (version, by_hand, third)] == [b"1", b"by hand", b"3"]


def test_a_file_that_is_written_into_by_hand_takes_its_version_along(s3: Any, bucket: str, server: AwsServer) -> None:
    version = put(s3, bucket, "k", b"1")
    (directory(server, bucket) / "k").write_bytes(b"by hand")
    by_hand = s3.head_object(Bucket=bucket, Key="k")["VersionId"]
    assert by_hand != version
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId=version) == ("NoSuchVersion", 404)
    assert listed(s3, bucket) == [("k", by_hand, True, False)]
    third = put(s3, bucket, "k", b"3")
    assert listed(s3, bucket) == [("k", third, True, False), ("k", by_hand, False, False)]
    assert read(s3, bucket, "k", VersionId=by_hand) == b"by hand"


def test_the_hidden_folder_is_not_in_listings(s3: Any, bucket: str, server: AwsServer) -> None:
    put(s3, bucket, "k", b"1")
    assert (directory(server, bucket) / ".eventflow-versions").is_dir()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
    assert (directory(server, bucket) / "k").read_bytes() == b"1"
