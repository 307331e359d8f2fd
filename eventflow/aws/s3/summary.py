"""S3's GetObjectAttributes: what is known of an object, without its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import checksum_members, page_size, refuse_unenforced
from eventflow.aws.s3.versions import headers_of_markers, version_members
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.stored import StoredObject

ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


class SummaryOperations:
    """``GetObjectAttributes``."""

    objects: Objects

    @operation("GetObjectAttributes", partly="parts without their checksums")
    async def get_object_attributes(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("ObjectAttributes", "VersionId", "MaxParts", "PartNumberMarker"), self.objects.account)
        wanted = params.get("ObjectAttributes") or []
        if not wanted or not set(wanted) <= set(ATTRIBUTES):
            raise ServiceError(
                "InvalidArgument",
                f"Invalid attribute name specified: it takes {', '.join(ATTRIBUTES)}.",
                ArgumentName="x-amz-object-attributes",
                ArgumentValue=",".join(wanted),
            )
        with headers_of_markers(call):
            stored = await self.objects.head(params["Bucket"], params["Key"], version_id=params.get("VersionId"))
        known = {
            "ETag": stored.version.etag,
            "Checksum": checksum_members(stored.checksum),
            "ObjectParts": parts(params, stored),
            "StorageClass": "STANDARD",
            "ObjectSize": stored.version.size,
        }
        answer = {name: known[name] for name in wanted if known[name] not in ({}, None)}
        return answer | {"LastModified": int(stored.modified)} | version_members(self.objects, params["Bucket"], stored)


def parts(params: Mapping[str, Any], stored: StoredObject) -> dict[str, Any] | None:
    """The parts of an object that was uploaded in parts. S3 tells their sizes only together with their checksums."""
    if not stored.parts:
        return None
    limit, marker = page_size(params, "MaxParts", "max-parts"), int(params.get("PartNumberMarker") or 0)
    numbered = [{"PartNumber": number, "Size": size} for number, size in enumerate(stored.parts, 1) if number > marker]
    page = numbered[:limit]
    answer: dict[str, Any] = {"TotalPartsCount": len(stored.parts)}
    if stored.checksum:
        answer |= {
            "PartNumberMarker": marker,
            "NextPartNumberMarker": page[-1]["PartNumber"] if page else 0,
            "MaxParts": limit,
            "IsTruncated": len(numbered) > limit,
            "Parts": page,
        }
    return answer
