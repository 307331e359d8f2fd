"""Tags, lifecycle configurations and GetObjectAttributes as boto3 uses them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.aws import builders
from tests.aws.conftest import client_of, server_of

server = server_of(builders.s3, "module")
s3 = client_of("s3", "module")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**params)
    return str(error.value.response["Error"]["Code"])


def tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of(s3: Any, bucket: str, key: str = "k", **more: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]}


# Tags.


def test_tags_come_and_go(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1&b=%C3%BC%20x", Metadata={"m": "1"})
    assert tags_of(s3, bucket) == {"a": "1", "b": "ü x"}
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["TagCount"], s3.get_object(Bucket=bucket, Key="k")["TagCount"]) == (2, 2)
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(c="3"))
    assert tags_of(s3, bucket) == {"c": "3"}
    after = s3.head_object(Bucket=bucket, Key="k")
    assert (after["LastModified"], after["ETag"], after["Metadata"]) == (head["LastModified"], head["ETag"], {"m": "1"})
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert tags_of(s3, bucket) == {}
    assert "TagCount" not in s3.head_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert tags_of(s3, bucket) == {}
    assert code(s3.get_object_tagging, Bucket=bucket, Key="other") == "NoSuchKey"
    assert code(s3.put_object_tagging, Bucket=bucket, Key="other", Tagging=tag_set(a="1")) == "NoSuchKey"


def test_limits_of_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    put = s3.put_object_tagging
    put(Bucket=bucket, Key="k", Tagging=tag_set(**{f"k{number}": "v" for number in range(10)}))
    put(Bucket=bucket, Key="k", Tagging=tag_set(**{"k" * 128: "v" * 256}))
    kept = tags_of(s3, bucket)
    for tags, refusal in (
        (tag_set(**{f"k{number}": "v" for number in range(11)}), "BadRequest"),
        (tag_set(**{"k" * 129: "v"}), "InvalidTag"),
        (tag_set(k="v" * 257), "InvalidTag"),
        (tag_set(**{"a*b": "v"}), "InvalidTag"),
        (tag_set(k="<v>"), "InvalidTag"),
        (tag_set(**{"aws:k": "v"}), "InvalidTag"),
        ({"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "InvalidTag"),
    ):
        assert code(put, Bucket=bucket, Key="k", Tagging=tags) == refusal
    assert tags_of(s3, bucket) == kept
    assert code(s3.put_object, Bucket=bucket, Key="k", Tagging="a=1&a=2") == "InvalidArgument"
    assert code(s3.put_object, Bucket=bucket, Key="k", Tagging="&".join(f"k{number}=v" for number in range(11))) == "BadRequest"


def test_tags_of_copies_and_uploads(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Tagging="a=1", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="described", CopySource=source, MetadataDirective="REPLACE", Metadata={"m": "2"})
    s3.copy_object(Bucket=bucket, Key="replaced", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    s3.copy_object(Bucket=bucket, Key="none", CopySource=source, TaggingDirective="REPLACE")
    found = [tags_of(s3, bucket, key) for key in ("kept", "described", "replaced", "none")]
    assert found == [{"a": "1"}, {"a": "1"}, {"b": "2"}, {}]
    assert s3.head_object(Bucket=bucket, Key="replaced")["Metadata"] == {"m": "1"}
    named = {"Bucket": bucket, "Key": "parts"}
    named["UploadId"] = s3.create_multipart_upload(**named, Tagging="c=3")["UploadId"]
    etag = s3.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert tags_of(s3, bucket, "parts") == {"c": "3"}


def test_tags_belong_to_a_version(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="n=1")["VersionId"]
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"2", Tagging="n=2")["VersionId"]
    assert (tags_of(s3, bucket), tags_of(s3, bucket, VersionId=old)) == ({"n": "2"}, {"n": "1"})
    assert s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=old, Tagging=tag_set(n="3"))["VersionId"] == old
    assert s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(n="4"))["VersionId"] == new
    assert (tags_of(s3, bucket), tags_of(s3, bucket, VersionId=old)) == ({"n": "4"}, {"n": "3"})
    third = s3.put_object(Bucket=bucket, Key="k", Body=b"3")["VersionId"]
    assert tags_of(s3, bucket, VersionId=new) == {"n": "4"}
    s3.delete_object(Bucket=bucket, Key="k", VersionId=third)
    assert tags_of(s3, bucket) == {"n": "4"}
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    assert code(s3.put_object_tagging, Bucket=bucket, Key="k", VersionId=marker, Tagging=tag_set(a="1")) == "MethodNotAllowed"
    assert code(s3.get_object_tagging, Bucket=bucket, Key="k", VersionId="0" * 32) == "NoSuchVersion"


def test_tags_of_buckets(s3: Any, bucket: str) -> None:
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(team="a", cost="b"))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(team="a", cost="b")["TagSet"]
    assert code(s3.put_bucket_tagging, Bucket=bucket, Tagging=tag_set(**{f"k{number}": "v" for number in range(51)})) == "BadRequest"
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    assert code(s3.get_bucket_tagging, Bucket="no-such-bucket") == "NoSuchBucket"


# GetObjectAttributes.


def test_the_attributes_of_an_object(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"12345", ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert answer["ETag"] == put["ETag"].strip('"')
    assert answer["Checksum"] == {"ChecksumSHA256": put["ChecksumSHA256"], "ChecksumType": "FULL_OBJECT"}
    assert (answer["ObjectSize"], answer["StorageClass"], "ObjectParts" in answer) == (5, "STANDARD", False)
    assert "LastModified" in answer
    only = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert {"ETag", "Checksum", "StorageClass"}.isdisjoint(only)
    assert code(s3.get_object_attributes, Bucket=bucket, Key="other", ObjectAttributes=["ETag"]) == "NoSuchKey"
    assert code(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=["Nonsense"]) == "InvalidArgument"


def test_the_parts_of_an_object(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "k"}
    named["UploadId"] = s3.create_multipart_upload(**named, ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 10)):
        part = s3.upload_part(**named, PartNumber=number, Body=b"x" * size, ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1)["ObjectParts"]
    assert (told["TotalPartsCount"], told["IsTruncated"], told["NextPartNumberMarker"]) == (2, True, 1)
    assert [(part["PartNumber"], part["Size"]) for part in told["Parts"]] == [(1, 5 << 20)]
    rest = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], PartNumberMarker=1)["ObjectParts"]
    assert [part["Size"] for part in rest["Parts"]] == [10]


@pytest.mark.parametrize(("algorithm", "kind"), [("SHA256", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE")])
def test_the_checksums_of_parts_are_kept(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    named, member = {"Bucket": bucket, "Key": "k"}, f"Checksum{algorithm}"
    named["UploadId"] = s3.create_multipart_upload(**named, ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 10)):
        part = s3.upload_part(**named, PartNumber=number, Body=bytes([number]) * size, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": part["ETag"], member: part[member]})
    whole = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})[member]
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert [(part["Size"], part[member]) for part in told["Parts"]] == [(5 << 20, parts[0][member]), (10, parts[1][member])]
    for number in (1, 2):
        asked = {"Bucket": bucket, "Key": "k", "PartNumber": number, "ChecksumMode": "ENABLED"}
        head, got = s3.head_object(**asked), s3.get_object(**asked)
        assert (head[member], head["ChecksumType"]) == (got[member], got["ChecksumType"]) == (parts[number - 1][member], kind)
        assert got["Body"].read() == bytes([number]) * (5 << 20, 10)[number - 1]  # which boto3 compares with the checksum
        assert member not in s3.head_object(Bucket=bucket, Key="k", PartNumber=number)
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member] == whole
    assert member not in s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", Range="bytes=0-4")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")[member] == parts[1][member]


# Lifecycle.


def rule(**more: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any], **more: Any) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more)


def test_lifecycle_configurations_come_back(s3: Any, bucket: str) -> None:
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    rules = [
        rule(ID="days", Filter={"Prefix": "logs/"}, Expiration={"Days": 3}),
        rule(ID="date", Filter={"Tag": {"Key": "a", "Value": "1"}}, Expiration={"Date": datetime(2050, 1, 1, tzinfo=UTC)}),
        rule(ID="marker", Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": True}, Status="Disabled"),
        rule(ID="old", Filter={"ObjectSizeGreaterThan": 10}, NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 3}),
        rule(ID="abort", Filter={"Prefix": "u/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
        rule(
            ID="and",
            Filter={"And": {"Prefix": "x", "Tags": [{"Key": "a", "Value": "1"}], "ObjectSizeLessThan": 100}},
            Expiration={"Days": 1},
        ),
    ]
    put_rules(s3, bucket, *rules)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    put_rules(s3, bucket, {"Status": "Enabled", "Prefix": "old/", "Expiration": {"Days": 1}})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["ID"]


DAYS = {"Expiration": {"Days": 1}}
TAG = {"Key": "a", "Value": "1"}
REFUSED = [
    ("MalformedXML", {"Status": "On", **DAYS}),
    ("MalformedXML", {"Prefix": "x", **DAYS}),
    ("MalformedXML", {"Filter": {"Prefix": "x", "Tag": TAG}, **DAYS}),
    ("MalformedXML", {"Filter": {"And": {"Prefix": "x"}}, **DAYS}),
    ("MalformedXML", {"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}),
    ("MalformedXML", {"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}}),
    ("InvalidRequest", {}),
    ("InvalidRequest", {"Filter": {"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, **DAYS}),
    ("InvalidRequest", {"Filter": {"And": {"Tags": [TAG, TAG]}}, **DAYS}),
    ("InvalidRequest", {"Filter": {"Tag": TAG}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}),
    ("InvalidRequest", {"Filter": {"Tag": TAG}, "Expiration": {"ExpiredObjectDeleteMarker": True}}),
    ("InvalidArgument", {"Expiration": {"Days": 0}}),
    ("InvalidArgument", {"Expiration": {"Date": datetime(2050, 1, 1, 1, tzinfo=UTC)}}),
    ("InvalidArgument", {"NoncurrentVersionExpiration": {"NoncurrentDays": 0}}),
    ("InvalidArgument", {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}}),
    ("InvalidArgument", {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}),
    ("InvalidArgument", {"ID": "x" * 256, **DAYS}),
    ("NotImplemented", {**DAYS, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}),
    ("NotImplemented", {**DAYS, "NoncurrentVersionTransitions": [{"NoncurrentDays": 1, "StorageClass": "GLACIER"}]}),
]


def test_what_is_no_configuration_is_refused(s3: Any, bucket: str) -> None:
    for refusal, more in REFUSED:
        configuration = {"Rules": [rule(**more)]}
        assert (more, code(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=configuration)) == (more, refusal)
    twice = {"Rules": [rule(**DAYS), rule(**DAYS)]}
    assert code(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=twice) == "InvalidArgument"
    many = {"Rules": [rule(**DAYS) | {"ID": str(number)} for number in range(1001)]}
    assert code(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=many) == "InvalidRequest"
    sized = {"LifecycleConfiguration": {"Rules": [rule(**DAYS)]}, "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    assert code(s3.put_bucket_lifecycle_configuration, Bucket=bucket, **sized) == "NotImplemented"
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


def test_headers_say_when_an_object_expires(s3: Any, bucket: str) -> None:
    put_rules(s3, bucket, rule(ID="a rule", Filter={"Prefix": "logs/"}, Expiration={"Date": datetime(2050, 1, 1, tzinfo=UTC)}))
    expires = 'expiry-date="Sat, 01 Jan 2050 00:00:00 GMT", rule-id="a%20rule"'
    assert s3.put_object(Bucket=bucket, Key="logs/k")["Expiration"] == expires
    assert s3.get_object(Bucket=bucket, Key="logs/k")["Expiration"] == expires
    assert s3.head_object(Bucket=bucket, Key="logs/k")["Expiration"] == expires
    assert s3.copy_object(Bucket=bucket, Key="logs/copy", CopySource={"Bucket": bucket, "Key": "logs/k"})["Expiration"] == expires
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="other")


def test_headers_say_when_an_upload_is_aborted(s3: Any, bucket: str) -> None:
    put_rules(s3, bucket, rule(ID="r", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}))
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")
    assert begun["AbortRuleId"] == "r"
    assert 1 <= (begun["AbortDate"] - datetime.now(UTC)).days <= 3
    assert s3.list_parts(Bucket=bucket, Key="k", UploadId=begun["UploadId"])["AbortDate"] == begun["AbortDate"]


# Listings.


def test_listings_of_both_kinds_in_every_detail(s3: Any, bucket: str) -> None:
    for key in ("a", "a b", "d/1", "d/2", "e+ü"):
        s3.put_object(Bucket=bucket, Key=key)
    plain = s3.list_objects_v2(Bucket=bucket)
    assert all("Owner" not in entry for entry in plain["Contents"])
    assert all(entry["Owner"]["ID"] for entry in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"])
    encoded = s3.list_objects_v2(Bucket=bucket, EncodingType="url", StartAfter="a")
    assert [entry["Key"] for entry in encoded["Contents"]] == ["a+b", "d/1", "d/2", "e%2B%C3%BC"]
    assert encoded["StartAfter"] == "a"
    none = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"], none["MaxKeys"]) == (0, False, 0)
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=3)
    assert (page["KeyCount"], page["IsTruncated"], page["CommonPrefixes"]) == (3, True, [{"Prefix": "d/"}])
    rest = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=3, ContinuationToken=page["NextContinuationToken"])
    assert ([entry["Key"] for entry in rest["Contents"]], rest["KeyCount"]) == (["e+ü"], 1)
    first = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=3)
    assert first["NextMarker"] == "d/"
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket, Delimiter="/", Marker="d/")["Contents"]] == ["e+ü"]
    for listing in (s3.list_objects, s3.list_objects_v2):
        with pytest.raises(ClientError, match="OptionalObjectAttributes") as refusal:
            listing(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])
        assert refusal.value.response["Error"]["Code"] == "NotImplemented"
