"""S3's GetObjectAttributes: what is known of an object, without its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import checksum_members, page_size, refuse_unenforced
from eventflow.aws.s3.versions import headers_of_markers, version_members
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.stored import Parts, StoredObject

ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


class SummaryOperations:
    """``GetObjectAttributes``."""

    objects: Objects

    @operation("GetObjectAttributes")
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
    """The parts of an object that was uploaded in parts. S3 tells of them by themselves only where they have checksums."""
    if not stored.parts:
        return None
    limit, marker = page_size(params, "MaxParts", "max-parts"), int(params.get("PartNumberMarker") or 0)
    last = min(marker + limit, len(stored.parts))
    answer: dict[str, Any] = {"TotalPartsCount": len(stored.parts)}
    if stored.checksum:
        answer |= {
            "PartNumberMarker": marker,
            "NextPartNumberMarker": last if last > marker else 0,
            "MaxParts": limit,
            "IsTruncated": len(stored.parts) > last,
            "Parts": [part_members(number, stored.parts, stored.checksum) for number in range(marker + 1, last + 1)],
        }
    return answer


def part_members(number: int, parts: Parts, checksum: Checksum) -> dict[str, Any]:
    own = parts.checksum(number)
    return {"PartNumber": number, "Size": parts.sizes[number - 1], **({f"Checksum{checksum.algorithm}": own} if own else {})}
