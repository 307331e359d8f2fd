"""Who may do what on a bucket that belongs to its owner alone, and what S3 says of buckets on which nothing was set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def owner(s3: Any) -> str:
    found: str = s3.list_buckets()["Owner"]["ID"]
    return found


@moto_differs("its accounts have more than one canonical id")
def test_the_owner_has_full_control_and_nobody_else_anything(s3: Any, bucket: str, owner: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    for told in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        assert told["Owner"]["ID"] == owner
        assert [(grant["Permission"], grant["Grantee"]["ID"], grant["Grantee"]["Type"]) for grant in told["Grants"]] == [
            ("FULL_CONTROL", owner, "CanonicalUser")
        ]


def test_acls_of_what_is_not_there(s3: Any, bucket: str, name: str, refused: Refused) -> None:
    assert refused(s3.get_bucket_acl, Bucket=f"{name}-not") == ("NoSuchBucket", 404)
    assert refused(s3.get_object_acl, Bucket=bucket, Key="not") == ("NoSuchKey", 404)
    assert refused(s3.put_bucket_acl, Bucket=f"{name}-not", ACL="private") == ("NoSuchBucket", 404)
    assert refused(s3.put_object_acl, Bucket=bucket, Key="not", ACL="private") == ("NoSuchKey", 404)


@moto_differs("it lets ACLs open buckets that belong to their owner alone")
def test_acls_that_open_are_refused(s3: Any, bucket: str, owner: str, refused: Refused) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    no = ("AccessControlListNotSupported", 400)
    everybody = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    me = {"Type": "CanonicalUser", "ID": owner}
    policies: list[list[dict[str, Any]]] = [[{"Grantee": everybody, "Permission": "READ"}], [{"Grantee": me, "Permission": "READ"}], []]
    for call, params in ((s3.put_bucket_acl, {"Bucket": bucket}), (s3.put_object_acl, {"Bucket": bucket, "Key": "k"})):
        call(**params, ACL="private")
        call(**params, AccessControlPolicy={"Owner": {"ID": owner}, "Grants": [{"Grantee": me, "Permission": "FULL_CONTROL"}]})
        for acl in ("public-read", "public-read-write", "authenticated-read"):
            assert refused(call, **params, ACL=acl) == no
        for grants in policies:
            assert refused(call, **params, AccessControlPolicy={"Owner": {"ID": owner}, "Grants": grants}) == no
        assert refused(call, **params, GrantRead=f"id={owner}") == no
        assert refused(call, **params) == ("MissingSecurityHeader", 400)
        assert refused(call, **params, ACL="private", GrantRead=f"id={owner}") == ("InvalidRequest", 400)
    s3.put_object(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
    for call in (s3.put_object, s3.create_multipart_upload):
        assert refused(call, Bucket=bucket, Key="k", ACL="public-read") == no
        assert refused(call, Bucket=bucket, Key="k", GrantFullControl=f"id={owner}") == no
    assert refused(s3.create_bucket, Bucket=f"{bucket}-2", ACL="public-read") == ("InvalidBucketAclWithObjectOwnership", 400)


@moto_differs("its buckets do not begin with public access blocked")
def test_public_access_is_blocked_until_somebody_says_otherwise(s3: Any, bucket: str, refused: Refused) -> None:
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == dict.fromkeys(BLOCKS, True)
    wanted = dict.fromkeys(BLOCKS, True) | {"BlockPublicPolicy": False}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={name: value for name, value in wanted.items() if value})
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == wanted
    s3.delete_public_access_block(Bucket=bucket)
    assert refused(s3.get_public_access_block, Bucket=bucket) == ("NoSuchPublicAccessBlockConfiguration", 404)


@moto_differs("its buckets do not begin with an owner who has all, and it turns ACLs on")
def test_objects_belong_to_the_buckets_owner(s3: Any, bucket: str, refused: Refused) -> None:
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    for wanted in ("BucketOwnerPreferred", "ObjectWriter"):
        controls = {"Rules": [{"ObjectOwnership": wanted}]}
        assert refused(s3.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=controls) == ("NotImplemented", 501)
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket) == ("OwnershipControlsNotFoundError", 404)
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_a_bucket_without_a_policy(s3: Any, bucket: str, refused: Refused) -> None:
    assert refused(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    s3.delete_bucket_policy(Bucket=bucket)


@moto_differs("it keeps policies and does not enforce them")
def test_a_policy_that_nobody_would_enforce_is_refused(s3: Any, bucket: str, refused: Refused) -> None:
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy='{"Version": "2012-10-17", "Statement": []}') == ("NotImplemented", 501)
    assert refused(s3.get_bucket_policy_status, Bucket=bucket) == ("NoSuchBucketPolicy", 404)


@moto_differs("it does not tell who pays")
def test_what_was_never_set(s3: Any, bucket: str, name: str, refused: Refused) -> None:
    assert refused(s3.get_bucket_website, Bucket=bucket) == ("NoSuchWebsiteConfiguration", 404)
    assert refused(s3.get_bucket_replication, Bucket=bucket) == ("ReplicationConfigurationNotFoundError", 404)
    assert refused(s3.get_object_lock_configuration, Bucket=bucket) == ("ObjectLockConfigurationNotFoundError", 404)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert refused(s3.get_bucket_website, Bucket=f"{name}-not") == ("NoSuchBucket", 404)


@moto_differs("it keeps settings that it does not enforce")
def test_what_cannot_be_enforced_cannot_be_set(s3: Any, bucket: str, refused: Refused) -> None:
    no = ("NotImplemented", 501)
    assert refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}}) == no
    assert refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus={}) == no
    assert refused(s3.put_bucket_accelerate_configuration, Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"}) == no
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    assert refused(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=encryption) == no
    assert refused(s3.get_bucket_encryption, Bucket=bucket) == ("ServerSideEncryptionConfigurationNotFoundError", 404)
    assert refused(s3.put_bucket_request_payment, Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"}) == no
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
