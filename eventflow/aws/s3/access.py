"""S3's operations on who may do what. Everything belongs to the one account, nothing can be opened to others, and the answers say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import BODY_CHECKS, GRANTS, owner, refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.settings import OWNERSHIP, PUBLIC_ACCESS_BLOCK

ENFORCED = "BucketOwnerEnforced"
ACL = BODY_CHECKS | GRANTS | {"ACL", "AccessControlPolicy"}
#: What S3 takes although ACLs are off: both say that the owner has full control, and nobody else anything.
OWNERS_ACLS = ("private", "bucket-owner-full-control")
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
#: What a bucket has from its first day on, on S3 since April 2023.
BLOCKED = dict.fromkeys(BLOCKS, True)


class AccessOperations:
    """ACLs, the block of public access, ownership and policies of buckets."""

    objects: Objects

    @operation("GetBucketAcl")
    async def get_bucket_acl(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        self.objects.bucket(params["Bucket"])
        return owners_acl(self.objects.account)

    @operation("GetObjectAcl")
    async def get_object_acl(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.head(params["Bucket"], params["Key"])
        return owners_acl(self.objects.account)

    @operation("PutBucketAcl", partly="takes what leaves everything to the owner", refuses=("every grant to others",))
    async def put_bucket_acl(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, ACL, self.objects.account)
        self.objects.bucket(params["Bucket"])
        check_acl(params, self.objects.account)

    @operation("PutObjectAcl", partly="takes what leaves everything to the owner", refuses=("every grant to others",))
    async def put_object_acl(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, ACL, self.objects.account)
        await self.objects.head(params["Bucket"], params["Key"])
        check_acl(params, self.objects.account)

    @operation("GetPublicAccessBlock")
    async def get_public_access_block(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        blocks = self.objects.settings.get(bucket, PUBLIC_ACCESS_BLOCK)
        if blocks == {}:
            message = "The public access block configuration was not found"
            raise ServiceError("NoSuchPublicAccessBlockConfiguration", message, 404, BucketName=bucket)
        return {"PublicAccessBlockConfiguration": blocks or BLOCKED}

    @operation("PutPublicAccessBlock", partly="is kept and given back; there is no public access that it could let in")
    async def put_public_access_block(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, BODY_CHECKS | {"PublicAccessBlockConfiguration"}, self.objects.account)
        given = params["PublicAccessBlockConfiguration"]
        blocks = {name: bool(given.get(name)) for name in BLOCKS}
        await self.objects.settings.put(self.objects.bucket(params["Bucket"]).name, PUBLIC_ACCESS_BLOCK, blocks)

    @operation("DeletePublicAccessBlock")
    async def delete_public_access_block(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.settings.put(self.objects.bucket(params["Bucket"]).name, PUBLIC_ACCESS_BLOCK, {})

    @operation("GetBucketOwnershipControls")
    async def get_bucket_ownership_controls(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        if self.objects.settings.get(bucket, OWNERSHIP) == {}:
            raise ServiceError("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", 404, BucketName=bucket)
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": ENFORCED}]}}

    @operation("PutBucketOwnershipControls", refuses=("BucketOwnerPreferred", "ObjectWriter"))
    async def put_bucket_ownership_controls(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, BODY_CHECKS | {"OwnershipControls"}, self.objects.account)
        rules = params["OwnershipControls"]["Rules"]
        wanted = [rule["ObjectOwnership"] for rule in rules]
        if len(wanted) != 1 or wanted[0] not in (ENFORCED, "BucketOwnerPreferred", "ObjectWriter"):
            raise ServiceError("MalformedXML", "The XML you provided was not well-formed: OwnershipControls must have one rule, of a known kind.")
        if wanted[0] != ENFORCED:
            raise ServiceError(
                "NotImplemented",
                f"ObjectOwnership {wanted[0]} turns ACLs on, and this object store has none to enforce. Use {ENFORCED}.",
                501,
                Header="ObjectOwnership",
            )
        await self.objects.settings.put(self.objects.bucket(params["Bucket"]).name, OWNERSHIP, {"ObjectOwnership": ENFORCED})

    @operation("DeleteBucketOwnershipControls")
    async def delete_bucket_ownership_controls(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.settings.put(self.objects.bucket(params["Bucket"]).name, OWNERSHIP, {})

    @operation("GetBucketPolicy")
    async def get_bucket_policy(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        raise no_such_policy(self.objects.bucket(params["Bucket"]).name)

    @operation("GetBucketPolicyStatus")
    async def get_bucket_policy_status(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        raise no_such_policy(self.objects.bucket(params["Bucket"]).name)

    @operation("DeleteBucketPolicy")
    async def delete_bucket_policy(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        self.objects.bucket(params["Bucket"])


def no_such_policy(bucket: str) -> ServiceError:
    return ServiceError("NoSuchBucketPolicy", "The bucket policy does not exist", 404, BucketName=bucket)


def owners_acl(account: str) -> dict[str, Any]:
    """What S3 answers where ACLs are off: the owner has full control."""
    who = owner(account)
    return {"Owner": who, "Grants": [{"Grantee": {**who, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}]}


def check_acl(params: Mapping[str, Any], account: str) -> None:
    """Let an ACL pass that leaves everything to the owner, as S3 does where the bucket's owner owns all objects and ACLs are off."""
    given = [name for name in ("ACL", "AccessControlPolicy") if name in params] + sorted(GRANTS.intersection(params))
    if not given:
        raise ServiceError("MissingSecurityHeader", "Your request was missing a required header", MissingHeaderName="x-amz-acl")
    if "ACL" in params and len(given) > 1:
        raise ServiceError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if params.get("ACL") in OWNERS_ACLS or (given == ["AccessControlPolicy"] and is_owners(params["AccessControlPolicy"], account)):
        return
    raise ServiceError("AccessControlListNotSupported", "The bucket does not allow ACLs")


def is_owners(policy: Mapping[str, Any], account: str) -> bool:
    mine = owner(account)["ID"]
    grants = policy.get("Grants") or ()
    return (policy.get("Owner") or {}).get("ID", mine) == mine and [
        (grant.get("Permission"), (grant.get("Grantee") or {}).get("ID")) for grant in grants
    ] == [("FULL_CONTROL", mine)]
