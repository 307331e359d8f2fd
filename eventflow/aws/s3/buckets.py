"""S3's operations on buckets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import GRANTS, owner, refuse_unenforced
from eventflow.aws.s3.tokens import read_token, write_token
from eventflow.errors import ServiceError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.notification_rules import Notifications
from eventflow.services.objects.store import HOME_REGION, Objects

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
#: A name from before regions had one.
OLD_NAMES = {"EU": "eu-west-1"}
MOST_BUCKETS = 10_000


class BucketOperations:
    """``CreateBucket``, ``HeadBucket``, ``ListBuckets``, ``DeleteBucket`` and ``GetBucketLocation``."""

    objects: Objects
    notifications: Notifications | None

    @operation("CreateBucket")
    async def create_bucket(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        configuration: dict[str, Any] = params.pop("CreateBucketConfiguration", None) or {}
        constraint = configuration.pop("LocationConstraint", None)
        if params.get("ACL", "private") != "private" or GRANTS.intersection(params):
            message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            raise ServiceError("InvalidBucketAclWithObjectOwnership", message)
        refuse_unenforced(call, params | configuration, (), self.objects.account)
        bucket = await self.objects.create_bucket(params["Bucket"], bucket_region(call.region, constraint))
        return {"Location": f"/{bucket.name}" if bucket.region == HOME_REGION else f"{call.base_url}/{bucket.name}/"}

    @operation("HeadBucket")
    async def head_bucket(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        return {"BucketRegion": self.objects.bucket(params["Bucket"]).region, "AccessPointAlias": False}

    @operation("GetBucketLocation")
    async def get_bucket_location(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        region = self.objects.bucket(params["Bucket"]).region
        return {"LocationConstraint": None if region == HOME_REGION else region}

    @operation("DeleteBucket")
    async def delete_bucket(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.delete_bucket(params["Bucket"])
        if self.notifications is not None:
            await self.notifications.refresh()

    @operation("ListBuckets")
    async def list_buckets(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("MaxBuckets", "ContinuationToken", "Prefix", "BucketRegion"), self.objects.account)
        limit = params.get("MaxBuckets", MOST_BUCKETS)
        if not 1 <= limit <= MOST_BUCKETS:
            raise ServiceError(
                "InvalidArgument",
                f"Argument max-buckets must be an integer between 1 and {MOST_BUCKETS}",
                ArgumentName="max-buckets",
                ArgumentValue=str(limit),
            )
        prefix, region, after = params.get("Prefix", ""), params.get("BucketRegion"), read_token(params.get("ContinuationToken")) or ""
        found = [
            bucket
            for bucket in self.objects.list_buckets()
            if bucket.name.startswith(prefix) and bucket.name > after and region in (None, bucket.region)
        ]
        page = found[:limit]
        answer: dict[str, Any] = {"Owner": owner(self.objects.account), "Buckets": [described(bucket) for bucket in page]}
        if "Prefix" in params:
            answer["Prefix"] = prefix
        if len(found) > limit:
            answer["ContinuationToken"] = write_token(page[-1].name)
        return answer


def described(bucket: Bucket) -> dict[str, Any]:
    return {"Name": bucket.name, "CreationDate": int(bucket.created_at), "BucketRegion": bucket.region}


def bucket_region(endpoint: str, constraint: str | None) -> str:
    """Where a bucket is made. Only us-east-1 takes a call without a constraint, and only it may place a bucket elsewhere."""
    wanted = OLD_NAMES.get(constraint or "", constraint)
    if wanted is None:
        if endpoint == HOME_REGION:
            return HOME_REGION
        raise ServiceError(
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
        )
    if wanted == HOME_REGION or not REGION.fullmatch(wanted):
        raise ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid", LocationConstraint=constraint)
    if endpoint not in (wanted, HOME_REGION):
        raise ServiceError(
            "IllegalLocationConstraintException",
            f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to.",
        )
    return wanted
