"""S3's operations on versions, and what other answers say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import listed, name_encoder, owner, page_size, refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.history import Deletion, HiddenError
from eventflow.services.objects.settings import ENABLED, SUSPENDED
from eventflow.services.objects.store import CopySource
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.version_listing import Listed, VersionQuery

LISTING = ("Prefix", "Delimiter", "MaxKeys", "EncodingType", "KeyMarker", "VersionIdMarker")


class VersionOperations:
    """``PutBucketVersioning``, ``GetBucketVersioning`` and ``ListObjectVersions``."""

    objects: Objects

    @operation("PutBucketVersioning", refuses=("MFADelete Enabled",))
    async def put_bucket_versioning(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, ("VersioningConfiguration", "ContentMD5", "ChecksumAlgorithm"), self.objects.account)
        wanted: dict[str, Any] = params["VersioningConfiguration"]
        if wanted.get("MFADelete", "Disabled") != "Disabled":
            raise ServiceError("NotImplemented", "MfaDelete cannot be enforced here: there are no MFA devices. Leave it out or disable it.", 501)
        if wanted.get("Status") not in (ENABLED, SUSPENDED):
            raise ServiceError(
                "IllegalVersioningConfigurationException", "The Versioning element must be specified: its Status is Enabled or Suspended."
            )
        await self.objects.set_versioning(params["Bucket"], wanted["Status"])

    @operation("GetBucketVersioning")
    async def get_bucket_versioning(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        status = self.objects.settings.versioning(self.objects.bucket(params["Bucket"]).name)
        return {"Status": status} if status else {}

    @operation("ListObjectVersions", refuses=("OptionalObjectAttributes",))
    async def list_object_versions(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, LISTING, self.objects.account)
        encode, limit = name_encoder(params), page_size(params, "MaxKeys", "maxKeys")
        prefix, delimiter = params.get("Prefix", ""), params.get("Delimiter", "")
        marker, version_marker = params.get("KeyMarker", ""), params.get("VersionIdMarker")
        if version_marker is not None and not marker:
            raise invalid_marker("A version-id marker cannot be specified without a key marker.", version_marker)
        if version_marker == "":
            raise invalid_marker("A version-id marker cannot be empty.", version_marker)
        query = VersionQuery(prefix, delimiter, marker, version_marker, limit)
        page = await self.objects.list_versions(params["Bucket"], query)
        answer: dict[str, Any] = {
            "Name": params["Bucket"],
            "Prefix": encode(prefix),
            "KeyMarker": encode(marker),
            "VersionIdMarker": version_marker or "",
            "MaxKeys": limit,
            "IsTruncated": page.last is not None,
            "Versions": [self._version(entry, entry.stored, encode) for entry in page.entries if entry.stored],
            "DeleteMarkers": [self._marker(entry, encode) for entry in page.entries if entry.marker],
            "CommonPrefixes": [{"Prefix": encode(name)} for name in page.prefixes],
        }
        if page.last is not None:
            answer["NextKeyMarker"] = encode(page.last[0])
            answer |= {"NextVersionIdMarker": page.last[1]} if page.last[1] else {}
        if delimiter:
            answer["Delimiter"] = encode(delimiter)
        if "EncodingType" in params:
            answer["EncodingType"] = params["EncodingType"]
        return answer

    def _version(self, entry: Listed, stored: StoredObject, encode: Any) -> dict[str, Any]:
        return listed(stored, encode) | self._entry(entry, encode)

    def _marker(self, entry: Listed, encode: Any) -> dict[str, Any]:
        assert entry.marker is not None
        return self._entry(entry, encode) | {"LastModified": int(entry.marker.modified_at)}

    def _entry(self, entry: Listed, encode: Any) -> dict[str, Any]:
        return {"Key": encode(entry.key), "VersionId": entry.id, "IsLatest": entry.latest, "Owner": owner(self.objects.account)}


def invalid_marker(message: str, value: str) -> ServiceError:
    return ServiceError("InvalidArgument", message, ArgumentName="version-id-marker", ArgumentValue=value)


def version_members(objects: Objects, bucket: str, stored: StoredObject) -> dict[str, str]:
    """The id of an object's version, where its bucket has versions."""
    return {"VersionId": stored.version_id} if objects.settings.versioning(bucket) else {}


def copied_from(objects: Objects, source: CopySource, stored: StoredObject) -> dict[str, str]:
    return {"CopySourceVersionId": stored.version_id} if objects.settings.versioning(source.bucket) else {}


def deletion_members(deletion: Deletion) -> dict[str, Any]:
    return {
        **({"VersionId": deletion.version_id} if deletion.version_id else {}),
        **({"DeleteMarker": True} if deletion.marker else {}),
    }


@contextmanager
def headers_of_markers(call: Call) -> Iterator[None]:
    """Where an error that is because of a delete marker says so."""
    try:
        yield
    except HiddenError as error:
        call.response_headers["x-amz-delete-marker"] = "true"
        call.response_headers["x-amz-version-id"] = error.marker_id
        if error.status == 405:
            call.response_headers["last-modified"] = formatdate(error.modified_at, usegmt=True)
            call.response_headers["allow"] = "DELETE"
        raise
