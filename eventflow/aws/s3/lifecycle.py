"""S3's operations on lifecycle configurations, and the headers that say when something ends by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.lifecycle_rules import read_rules
from eventflow.aws.s3.parameters import refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.lifecycle import Rule, abortion, expiration, to_json
from eventflow.services.objects.settings import LIFECYCLE
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.upload_index import Upload

#: It says from which size on objects are moved to other storage classes. There is only one class; this is what S3 does where nothing is said.
DEFAULT_MINIMUM = "all_storage_classes_128K"


class LifecycleOperations:
    """``PutBucketLifecycleConfiguration``, ``GetBucketLifecycleConfiguration`` and ``DeleteBucketLifecycle``."""

    objects: Objects

    @operation("PutBucketLifecycleConfiguration", refuses=("Transitions", "NoncurrentVersionTransitions"))
    async def put_bucket_lifecycle_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        known = ("LifecycleConfiguration", "ContentMD5", "ChecksumAlgorithm", "TransitionDefaultMinimumObjectSize")
        refuse_unenforced(call, params, known, self.objects.account)
        if params.get("TransitionDefaultMinimumObjectSize", DEFAULT_MINIMUM) != DEFAULT_MINIMUM:
            raise ServiceError(
                "NotImplemented",
                "TransitionDefaultMinimumObjectSize is for transitions to other storage classes, of which there are none here. Leave it out.",
                501,
            )
        bucket = self.objects.bucket(params["Bucket"]).name
        rules = read_rules((params.get("LifecycleConfiguration") or {}).get("Rules") or (), self.objects.new_rule_id)
        await self.objects.settings.put(bucket, LIFECYCLE, to_json(rules))
        self.objects.lifecycle.wake()
        return {"TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM}

    @operation("GetBucketLifecycleConfiguration")
    async def get_bucket_lifecycle_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        rules = self.objects.lifecycle.rules(bucket)
        if not rules:
            raise ServiceError("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", 404, BucketName=bucket)
        return {"Rules": [described(rule) for rule in rules], "TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM}

    @operation("DeleteBucketLifecycle")
    async def delete_bucket_lifecycle(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.settings.delete(self.objects.bucket(params["Bucket"]).name, LIFECYCLE)
        call.status = 204


def described(rule: Rule) -> dict[str, Any]:
    """A rule as S3 tells it."""
    answer: dict[str, Any] = {"ID": rule.id, "Filter": described_filter(rule), "Status": "Enabled" if rule.enabled else "Disabled"}
    if rule.days is not None:
        answer["Expiration"] = {"Days": rule.days}
    elif rule.date is not None:
        answer["Expiration"] = {"Date": datetime.fromtimestamp(rule.date, UTC)}
    elif rule.lonely_markers:
        answer["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if rule.noncurrent_days is not None:
        newer = {"NewerNoncurrentVersions": rule.newer_noncurrent} if rule.newer_noncurrent else {}
        answer["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule.noncurrent_days, **newer}
    if rule.abort_days is not None:
        answer["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": rule.abort_days}
    return answer


def described_filter(rule: Rule) -> dict[str, Any]:
    found = rule.filter
    tags = [{"Key": key, "Value": value} for key, value in found.tags.items()]
    sizes = {"ObjectSizeGreaterThan": found.larger, "ObjectSizeLessThan": found.smaller}
    conditions: dict[str, Any] = {name: size for name, size in sizes.items() if size is not None}
    if len(conditions) + len(tags) + bool(found.prefix) > 1:
        prefix = {"Prefix": found.prefix} if found.prefix else {}
        return {"And": {**prefix, **({"Tags": tags} if tags else {}), **conditions}}
    if tags:
        return {"Tag": tags[0]}
    return conditions or {"Prefix": found.prefix}


def expiration_members(objects: Objects, bucket: str, stored: StoredObject) -> dict[str, Any]:
    """The header x-amz-expiration of a current version, if a rule ends it."""
    rules = objects.lifecycle.rules(bucket)
    if not rules:
        return {}
    version = stored.version
    found = expiration(rules, version.key, version.size, stored.attributes.tags, stored.modified)
    if found is None:
        return {}
    at, rule = found
    return {"Expiration": f'expiry-date="{formatdate(at, usegmt=True)}", rule-id="{quote(rule.id)}"'}


def abortion_members(objects: Objects, upload: Upload) -> dict[str, Any]:
    """The headers x-amz-abort-date and x-amz-abort-rule-id of an upload, if a rule ends it."""
    found = abortion(objects.lifecycle.rules(upload.bucket), upload.key, upload.initiated_at)
    return {"AbortDate": int(found[0]), "AbortRuleId": found[1].id} if found else {}
