"""S3's parameters as the object store's values: what a call may ask for, what is refused by name, and how names are written in answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

from eventflow.aws.operation import Call
from eventflow.errors import ServiceError
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.conditions import ReadConditions, WriteConditions
from eventflow.services.objects.stored import UNKNOWN_CONTENT, Attributes, Author, StoredObject
from eventflow.services.objects.writer import Expected

#: AWS: "the user-defined metadata is limited to 2 KB in size", names and values together.
LARGEST_METADATA = 2048
#: Parameters that every call may have, and parameters of which only these values ask for nothing more than what is so anyway.
EVERYWHERE = frozenset(("Bucket", "Key", "RequestPayer", "ExpectedBucketOwner"))
#: Parameters that say of the request's body what the endpoint has checked before the operation runs.
BODY_CHECKS = frozenset(("ContentMD5", "ChecksumAlgorithm"))
GRANTS = frozenset(("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP"))
HARMLESS: Mapping[str, frozenset[Any]] = {
    "ACL": frozenset(("private", "bucket-owner-full-control")),
    "BucketKeyEnabled": frozenset((False,)),
    "BypassGovernanceRetention": frozenset((False,)),
    "ObjectLockEnabledForBucket": frozenset((False,)),
    "ObjectLockLegalHoldStatus": frozenset(("OFF",)),
    "ObjectOwnership": frozenset(("BucketOwnerEnforced",)),
    "StorageClass": frozenset(("STANDARD",)),
}
KEPT_HEADERS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
CHECKSUM_VALUES = frozenset(
    f"Checksum{name}" for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")
)
CHECKSUM_TRAILER = "x-amz-checksum-"
#: Names of nothing but this are the same when they are percent-encoded.
PLAIN_NAME = re.compile(r"[A-Za-z0-9/_.~-]*")
ATTRIBUTES = frozenset(("ContentType", "Expires", "Metadata", *KEPT_HEADERS))
READ_CONDITIONS = frozenset(("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"))
WRITE_CONDITIONS = frozenset(("IfMatch", "IfNoneMatch"))


def refuse_unenforced(call: Call, params: Mapping[str, Any], known: Iterable[str], account: str) -> None:
    """Refuse, by name, what this store could only pretend to do; and a bucket owner other than the one there is."""
    understood = EVERYWHERE.union(known)
    for name, value in params.items():
        if name not in understood and (name not in HARMLESS or value not in HARMLESS[name]):
            if name == "ACL" or name in GRANTS:
                raise ServiceError("AccessControlListNotSupported", "The bucket does not allow ACLs")
            raise ServiceError(
                "NotImplemented",
                f"{call.operation} was given {name}, which this object store cannot enforce as asked. Leave it out to go on without it.",
                501,
                Header=name,
            )
    for name in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
        if params.get(name, account) != account:
            raise ServiceError("AccessDenied", "Access Denied", 403)


def author(call: Call) -> Author:
    return Author(call.access_key or None, call.trace)


def attributes(call: Call, params: Mapping[str, Any]) -> Attributes:
    metadata: dict[str, str] = params.get("Metadata") or {}
    size = sum(len(name.encode()) + len(value.encode("latin-1", "replace")) for name, value in metadata.items())
    if size > LARGEST_METADATA:
        raise ServiceError(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            Size=str(size),
            MaxSizeAllowed=str(LARGEST_METADATA),
        )
    headers = {name: params[name] for name in KEPT_HEADERS if params.get(name)}
    if "expires" in call.headers:
        headers["Expires"] = call.headers["expires"]  # as it came: S3 does not read it either
    return Attributes(params.get("ContentType") or UNKNOWN_CONTENT, headers, metadata)


def expected(call: Call, params: Mapping[str, Any]) -> Expected:
    """What the body must turn out to be. A checksum in the trailer is named in the headers, and compared by the endpoint when it comes."""
    checksum = stated_checksum(params)
    trailer = call.headers.get("x-amz-trailer", "").strip().lower()
    algorithm = params.get("ChecksumAlgorithm") or (trailer.removeprefix(CHECKSUM_TRAILER).upper() if trailer.startswith(CHECKSUM_TRAILER) else None)
    return Expected(params.get("ContentLength"), params.get("ContentMD5"), checksum, algorithm)


def stated_checksum(params: Mapping[str, Any]) -> Checksum | None:
    stated = sorted(CHECKSUM_VALUES.intersection(params))
    if len(stated) > 1:
        raise ServiceError("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    return Checksum(stated[0].removeprefix("Checksum"), params[stated[0]]) if stated else None


def read_conditions(params: Mapping[str, Any], prefix: str = "") -> ReadConditions:
    return ReadConditions(
        params.get(f"{prefix}IfMatch"),
        params.get(f"{prefix}IfNoneMatch"),
        unix(params.get(f"{prefix}IfModifiedSince")),
        unix(params.get(f"{prefix}IfUnmodifiedSince")),
    )


def write_conditions(params: Mapping[str, Any]) -> WriteConditions:
    if params.get("IfNoneMatch", "*") != "*":
        raise ServiceError(
            "NotImplemented",
            "A header you provided implies functionality that is not implemented: If-None-Match can only be *.",
            501,
            Header="If-None-Match",
        )
    return WriteConditions(params.get("IfMatch"), params.get("IfNoneMatch"))


def unix(moment: datetime | float | None) -> float | None:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return moment


def quoted(etag: str) -> str:
    return f'"{etag}"'


def checksum_members(checksum: Checksum | None) -> dict[str, str]:
    if checksum is None:
        return {}
    return {f"Checksum{checksum.algorithm}": checksum.value, "ChecksumType": checksum.kind}


def listed(stored: StoredObject, encode: Callable[[str], str]) -> dict[str, Any]:
    """An object as listings show it, its key as ``encode`` writes it."""
    found = {
        "Key": encode(stored.version.key),
        "LastModified": int(stored.modified),
        "ETag": quoted(stored.version.etag),
        "Size": stored.version.size,
        "StorageClass": "STANDARD",
    }
    if stored.checksum:
        found |= {"ChecksumAlgorithm": [stored.checksum.algorithm], "ChecksumType": stored.checksum.kind}
    return found


def owner(account: str) -> dict[str, str]:
    """The account as S3 shows owners: by its canonical id, sixty-four hex digits."""
    return {"ID": canonical_id(account)}


@lru_cache
def canonical_id(account: str) -> str:
    return hashlib.sha256(f"eventflow:{account}".encode()).hexdigest()


def name_encoder(params: Mapping[str, Any]) -> Any:
    """How names are written in a listing: as they are, or percent-encoded if the caller asked for that."""
    kind = params.get("EncodingType")
    if kind not in (None, "url"):
        raise ServiceError("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=kind)
    return encode_name if kind else str


def encode_name(name: str) -> str:
    return name if PLAIN_NAME.fullmatch(name) else quote_plus(name, safe="/")


def page_size(params: Mapping[str, Any], name: str, header: str, largest: int = 1000) -> int:
    value = params.get(name, largest)
    if not isinstance(value, int) or value < 0 or value > 2**31 - 1:
        raise ServiceError(
            "InvalidArgument", f"Argument {header} must be an integer between 0 and 2147483647", ArgumentName=header, ArgumentValue=str(value)
        )
    return min(value, largest)
