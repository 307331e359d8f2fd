"""S3's operations on tags, of objects and of buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import refuse_unenforced
from eventflow.aws.s3.versions import headers_of_markers
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.settings import TAGGING
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.tags import MOST_OF_BUCKET, MOST_OF_OBJECT, checked_tags

BODY = ("Tagging", "ContentMD5", "ChecksumAlgorithm")


class TaggingOperations:
    """``PutObjectTagging``, ``GetObjectTagging``, ``DeleteObjectTagging``, and the same of buckets."""

    objects: Objects

    @operation("PutObjectTagging")
    async def put_object_tagging(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (*BODY, "VersionId"), self.objects.account)
        return await self._tag(call, params, checked_tags(pairs(params), MOST_OF_OBJECT))

    @operation("DeleteObjectTagging")
    async def delete_object_tagging(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("VersionId",), self.objects.account)
        return await self._tag(call, params, {})

    async def _tag(self, call: Call, params: dict[str, Any], tags: dict[str, str]) -> Mapping[str, Any]:
        with headers_of_markers(call):
            id = await self.objects.tag(params["Bucket"], params["Key"], params.get("VersionId"), tags)
        return {"VersionId": id} if self.objects.settings.versioning(params["Bucket"]) else {}

    @operation("GetObjectTagging")
    async def get_object_tagging(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("VersionId",), self.objects.account)
        with headers_of_markers(call):
            stored = await self.objects.head(params["Bucket"], params["Key"], version_id=params.get("VersionId"))
        version = {"VersionId": stored.version_id} if self.objects.settings.versioning(params["Bucket"]) else {}
        return {"TagSet": tag_set(stored.attributes.tags), **version}

    @operation("PutBucketTagging")
    async def put_bucket_tagging(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, BODY, self.objects.account)
        tags = checked_tags(pairs(params), MOST_OF_BUCKET)
        await self.objects.settings.put(self.objects.bucket(params["Bucket"]).name, TAGGING, tags)
        call.status = 204

    @operation("GetBucketTagging")
    async def get_bucket_tagging(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        tags = self.objects.settings.get(bucket, TAGGING)
        if not tags:
            raise ServiceError("NoSuchTagSet", "The TagSet does not exist", 404, BucketName=bucket)
        return {"TagSet": tag_set(tags)}

    @operation("DeleteBucketTagging")
    async def delete_bucket_tagging(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.settings.delete(self.objects.bucket(params["Bucket"]).name, TAGGING)


def pairs(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(tag["Key"], tag["Value"]) for tag in params["Tagging"].get("TagSet") or ()]


def tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def header_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """The tags in ``x-amz-tagging``, which are written as a query."""
    header = params.get("Tagging")
    if not header:
        return {}
    try:
        found = parse_qsl(header, keep_blank_values=True, strict_parsing=False, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise ServiceError(
            "InvalidArgument",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
            ArgumentName="x-amz-tagging",
            ArgumentValue=header,
        ) from None
    return checked_tags(found, MOST_OF_OBJECT, in_header=header)


def replaced_tags(params: Mapping[str, Any]) -> dict[str, str] | None:
    """The tags that a copy gets instead of its source's, if it is to."""
    directive = params.get("TaggingDirective", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise ServiceError("InvalidArgument", "Unknown tagging directive.", ArgumentName="x-amz-tagging-directive", ArgumentValue=directive)
    return header_tags(params) if directive == "REPLACE" else None


def tag_count(stored: StoredObject) -> dict[str, int]:
    return {"TagCount": len(stored.attributes.tags)} if stored.attributes.tags else {}
