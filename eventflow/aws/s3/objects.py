"""S3's operations on single objects, and on a batch of keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.copies import COPY_PARAMETERS, copy_source
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
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
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
READING = READ_CONDITIONS.union(OVERRIDES, ("Range", "PartNumber", "ChecksumMode"))
WRITING = ATTRIBUTES | WRITE_CONDITIONS | CHECKSUM_VALUES | {"Body", "ContentLength", "ContentMD5", "ChecksumAlgorithm"}
COPYING = COPY_PARAMETERS | ATTRIBUTES | WRITE_CONDITIONS | {"MetadataDirective", "ChecksumAlgorithm"}
MOST_DELETED = 1000
#: How many keys of a batch are deleted at once: they share the database's fsync.
DELETED_AT_ONCE = 50


class ObjectOperations:
    """``PutObject``, ``GetObject``, ``HeadObject``, ``CopyObject``, ``DeleteObject`` and ``DeleteObjects``."""

    objects: Objects

    @operation("PutObject")
    async def put_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, WRITING, self.objects.account)
        writing = Writing(attributes(call, params), author(call), write_conditions(params), expected(call, params))
        stored = await self.objects.put(params["Bucket"], params["Key"], body_of(call), writing)
        return {"ETag": quoted(stored.version.etag), **checksum_members(stored.checksum)}

    @operation("GetObject")
    async def get_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, READING, self.objects.account)
        with headers_of_304(call):
            opened = await self.objects.get(params["Bucket"], params["Key"], read_conditions(params))
        try:
            wanted = wanted_range(params, opened.stored)
            answer = described(call, params, opened.stored, wanted)
        except BaseException:
            await opened.content.aclose()
            raise
        if wanted:
            opened.content.limit(wanted.start, wanted.stop)
        return answer | {"Body": opened.content}

    @operation("HeadObject")
    async def head_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, READING, self.objects.account)
        with headers_of_304(call):
            stored = await self.objects.head(params["Bucket"], params["Key"], read_conditions(params))
        return described(call, params, stored, wanted_range(params, stored))

    @operation("CopyObject")
    async def copy_object(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, COPYING, self.objects.account)
        source, replaces = copy_source(params), replaces_attributes(params)
        if (source.bucket, source.key) == (params["Bucket"], params["Key"]) and not replaces:
            raise ServiceError(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
                "storage class, website redirect location or encryption attributes.",
            )
        writing = Writing(author=author(call), conditions=write_conditions(params), expected=Expected(algorithm=params.get("ChecksumAlgorithm")))
        given = attributes(call, params) if replaces else None
        stored = await self.objects.copy(source, params["Bucket"], params["Key"], writing, given)
        result = {"ETag": quoted(stored.version.etag), "LastModified": int(stored.modified), **checksum_members(stored.checksum)}
        return {"CopyObjectResult": result}

    @operation("DeleteObject")
    async def delete_object(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, ("IfMatch",), self.objects.account)
        await self.objects.delete(params["Bucket"], params["Key"], author(call), params.get("IfMatch"))

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

        async def delete(entry: Mapping[str, Any]) -> ServiceError | None:
            async with at_once:
                return await self._delete_entry(call, bucket, entry)

        return deleted(wanted, await asyncio.gather(*map(delete, wanted)), quiet=bool(params["Delete"].get("Quiet")))

    async def _delete_entry(self, call: Call, bucket: str, entry: Mapping[str, Any]) -> ServiceError | None:
        try:
            refuse_unenforced(call, entry, ("ETag",), self.objects.account)
            await self.objects.delete(bucket, entry["Key"], author(call), entry.get("ETag"))
        except ServiceError as error:
            return error
        return None


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
    return resolve_range(header, size) if number is None else part_range(number, stored.parts, size)


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
    if params.get("ChecksumMode") == "ENABLED" and (wanted is None or wanted.length == stored.version.size):
        answer |= checksum_members(stored.checksum)
    return answer


def replaces_attributes(params: Mapping[str, Any]) -> bool:
    directive = params.get("MetadataDirective", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise ServiceError("InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive", ArgumentValue=directive)
    return bool(directive == "REPLACE")


def deleted(wanted: Sequence[Mapping[str, Any]], errors: Sequence[ServiceError | None], *, quiet: bool) -> dict[str, Any]:
    """The answer to a batch: what went, unless the caller is not interested, and what did not."""
    ended = list(zip(wanted, errors, strict=True))
    return {
        "Deleted": [] if quiet else [{"Key": entry["Key"]} for entry, error in ended if error is None],
        "Errors": [{"Key": entry["Key"], "Code": error.code, "Message": error.message} for entry, error in ended if error is not None],
    }
