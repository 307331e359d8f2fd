"""S3's operations on single objects, and on a batch of keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.copies import COPY_PARAMETERS, copy_source
from eventflow.aws.s3.lifecycle import expiration_members
from eventflow.aws.s3.parameters import (
    ATTRIBUTES,
    CHECKSUM_VALUES,
    READ_CONDITIONS,
    WRITE_CONDITIONS,
    attributes,
    author,
    checksum_members,
    expected,
    quoted,
    read_conditions,
    refuse_unenforced,
    write_conditions,
)
from eventflow.aws.s3.tagging import header_tags, replaced_tags, tag_count
from eventflow.aws.s3.versions import copied_from, deletion_members, headers_of_markers, version_members
from eventflow.aws.snapshots import BUCKET, Snapshots
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.history import Deletion
from eventflow.services.objects.ranges import ByteRange, part_range, resolve_range
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.writer import Expected, Writing

OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}
READING = READ_CONDITIONS.union(OVERRIDES, ("Range", "PartNumber", "ChecksumMode", "VersionId"))
WRITING = ATTRIBUTES | WRITE_CONDITIONS | CHECKSUM_VALUES | {"Body", "ContentLength", "ContentMD5", "ChecksumAlgorithm", "Tagging"}
COPYING = COPY_PARAMETERS | ATTRIBUTES | WRITE_CONDITIONS | {"MetadataDirective", "ChecksumAlgorithm", "Tagging", "TaggingDirective"}
#: What an upload by a form is called; it has no name of its own in the service model.
POST_OBJECT = "PostObject"
MOST_DELETED = 1000
#: How many keys of a batch are deleted at once: they share the database's fsync.
DELETED_AT_ONCE = 50


class ObjectOperations:
    """``PutObject``, ``GetObject``, ``HeadObject``, ``CopyObject``, ``DeleteObject`` and ``DeleteObjects``."""

    objects: Objects
    snapshots: Snapshots | None

    @operation("PutObject")
    async def put_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, WRITING, self.objects.account)
        said = replace(attributes(call, params), tags=header_tags(params))
        action = "Post" if call.operation == POST_OBJECT else "Put"
        writing = Writing(said, author(call), write_conditions(params), expected(call, params), action)
        stored = await self.objects.put(params["Bucket"], params["Key"], body_of(call), writing)
        return {"ETag": quoted(stored.version.etag), **checksum_members(stored.checksum), **written(self.objects, params["Bucket"], stored)}

    @operation("GetObject")
    async def get_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, READING, self.objects.account)
        if self.snapshots is not None and params["Bucket"] == BUCKET:
            return await self.snapshots.get(params["Key"])
        with headers_of_304(call), headers_of_markers(call):
            opened = await self.objects.get(params["Bucket"], params["Key"], read_conditions(params), params.get("VersionId"))
        try:
            wanted = wanted_range(params, opened.stored)
            answer = described(call, params, opened.stored, wanted) | read(self.objects, params, opened.stored)
        except BaseException:
            await opened.content.aclose()
            raise
        if wanted:
            opened.content.limit(wanted.start, wanted.stop)
        return answer | {"Body": opened.content}

    @operation("HeadObject")
    async def head_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, READING, self.objects.account)
        with headers_of_304(call), headers_of_markers(call):
            stored = await self.objects.head(params["Bucket"], params["Key"], read_conditions(params), params.get("VersionId"))
        return described(call, params, stored, wanted_range(params, stored)) | read(self.objects, params, stored)

    @operation("CopyObject")
    async def copy_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, COPYING, self.objects.account)
        source, replaces = copy_source(params), replaces_attributes(params)
        if (source.bucket, source.key, source.version_id) == (params["Bucket"], params["Key"], None) and not replaces:
            raise ServiceError(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
                "storage class, website redirect location or encryption attributes.",
            )
        writing = Writing(author=author(call), conditions=write_conditions(params), expected=Expected(algorithm=params.get("ChecksumAlgorithm")))
        given = attributes(call, params) if replaces else None
        copied = await self.objects.copy(source, params["Bucket"], params["Key"], writing, given, replaced_tags(params))
        stored = copied.stored
        result = {"ETag": quoted(stored.version.etag), "LastModified": int(stored.modified), **checksum_members(stored.checksum)}
        return {"CopyObjectResult": result, **written(self.objects, params["Bucket"], stored), **copied_from(self.objects, source, copied.source)}

    @operation("DeleteObject")
    async def delete_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("IfMatch", "VersionId"), self.objects.account)
        deletion = await self.objects.delete(params["Bucket"], params["Key"], author(call), params.get("IfMatch"), params.get("VersionId"))
        return deletion_members(deletion)

    @operation("DeleteObjects")
    async def delete_objects(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("Delete", "ChecksumAlgorithm"), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        wanted = params["Delete"].get("Objects") or []
        if not 1 <= len(wanted) <= MOST_DELETED:
            raise ServiceError(
                "MalformedXML", f"The XML you provided was not well-formed: it must name 1 to {MOST_DELETED} keys, and names {len(wanted)}."
            )
        at_once = asyncio.Semaphore(DELETED_AT_ONCE)

        async def delete(entry: Mapping[str, Any]) -> Deletion | ServiceError:
            async with at_once:
                return await self._delete_entry(call, bucket, entry)

        return deleted(wanted, await asyncio.gather(*map(delete, wanted)), quiet=bool(params["Delete"].get("Quiet")))

    async def _delete_entry(self, call: Call, bucket: str, entry: Mapping[str, Any]) -> Deletion | ServiceError:
        try:
            refuse_unenforced(call, entry, ("ETag", "VersionId"), self.objects.account)
            return await self.objects.delete(bucket, entry["Key"], author(call), entry.get("ETag"), entry.get("VersionId"))
        except ServiceError as error:
            return error


def written(objects: Objects, bucket: str, stored: StoredObject) -> dict[str, Any]:
    """What every answer says of an object that was just written."""
    return version_members(objects, bucket, stored) | expiration_members(objects, bucket, stored)


def read(objects: Objects, params: Mapping[str, Any], stored: StoredObject) -> dict[str, Any]:
    """And of one that is read. One that is asked for by its version is not said to expire: it may be none of the current ones."""
    expires = {} if "VersionId" in params else expiration_members(objects, params["Bucket"], stored)
    return version_members(objects, params["Bucket"], stored) | expires | tag_count(stored)


@contextmanager
def headers_of_304(call: Call) -> Iterator[None]:
    """Where ``NotModified`` leaves the object's ETag and date for the answer, which has no body to hold them."""
    try:
        yield
    except ServiceError as error:
        if error.code == "NotModified":
            call.response_headers["etag"] = error.members["ETag"]
            call.response_headers["last-modified"] = formatdate(error.members["LastModified"], usegmt=True)
        raise


def body_of(call: Call) -> AsyncIterator[bytes]:
    return call.body if call.body is not None else nothing()


async def nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece


def wanted_range(params: Mapping[str, Any], stored: StoredObject) -> ByteRange | None:
    """The bytes that a call asks for; None is the whole object."""
    header, number = params.get("Range"), params.get("PartNumber")
    if header and number is not None:
        raise ServiceError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    size = stored.version.size
    return resolve_range(header, size) if number is None else part_range(number, stored.parts.sizes, size)


def described(call: Call, params: Mapping[str, Any], stored: StoredObject, wanted: ByteRange | None) -> dict[str, Any]:
    """The headers of an object, or of a range of it."""
    kept = dict(stored.attributes.headers)
    if "ResponseExpires" not in params and (expires := kept.pop("Expires", None)):
        call.response_headers["expires"] = expires
    answer: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": int(stored.modified),
        "ETag": quoted(stored.version.etag),
        "ContentLength": wanted.length if wanted else stored.version.size,
        "ContentType": stored.attributes.content_type,
        "Metadata": dict(stored.attributes.metadata),
        **kept,
        **{name: params[override] for override, name in OVERRIDES.items() if override in params},
    }
    if params.get("PartNumber") is not None and stored.parts:
        answer["PartsCount"] = len(stored.parts)
    if wanted:
        answer["ContentRange"] = str(wanted)
        call.status = 206
    if params.get("ChecksumMode") == "ENABLED":
        answer |= checksum_members(checksum_of(params.get("PartNumber"), stored, wanted))
    return answer


def checksum_of(number: int | None, stored: StoredObject, wanted: ByteRange | None) -> Checksum | None:
    """What the bytes that are asked for can be checked by: a part by its own checksum, and there is none for another range."""
    part = stored.parts.checksum(number) if number is not None else None
    if part is not None and stored.checksum is not None:
        return replace(stored.checksum, value=part)
    return stored.checksum if wanted is None or wanted.length == stored.version.size else None


def replaces_attributes(params: Mapping[str, Any]) -> bool:
    directive = params.get("MetadataDirective", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise ServiceError("InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive", ArgumentValue=directive)
    return bool(directive == "REPLACE")


def deleted(wanted: Sequence[Mapping[str, Any]], ends: Sequence[Deletion | ServiceError], *, quiet: bool) -> dict[str, Any]:
    """The answer to a batch: what went, unless the caller is not interested, and what did not."""
    gone, errors = [], []
    for entry, end in zip(wanted, ends, strict=True):
        named = {name: entry[name] for name in ("Key", "VersionId") if name in entry}
        if isinstance(end, ServiceError):
            errors.append(named | {"Code": end.code, "Message": end.message})
        elif not quiet:
            marked = {"DeleteMarker": True, "DeleteMarkerVersionId": end.version_id} if end.marker else {}
            gone.append(named | marked)
    return {"Deleted": gone, "Errors": errors}
