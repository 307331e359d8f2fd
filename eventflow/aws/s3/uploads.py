"""S3's operations on multipart uploads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.copies import COPY_PARAMETERS, copy_source
from eventflow.aws.s3.lifecycle import abortion_members
from eventflow.aws.s3.objects import body_of, written
from eventflow.aws.s3.parameters import (
    ATTRIBUTES,
    CHECKSUM_VALUES,
    WRITE_CONDITIONS,
    attributes,
    author,
    checksum_members,
    expected,
    name_encoder,
    owner,
    page_size,
    quoted,
    refuse_unenforced,
    stated_checksum,
    write_conditions,
)
from eventflow.aws.s3.tagging import header_tags
from eventflow.aws.s3.versions import copied_from
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.ranges import exact_range
from eventflow.services.objects.upload_index import Part, Upload
from eventflow.services.objects.uploads import Completion, NamedPart
from eventflow.services.objects.writer import Expected

PART = CHECKSUM_VALUES | {"Body", "ContentLength", "ContentMD5", "ChecksumAlgorithm", "PartNumber", "UploadId"}
COMPLETING = CHECKSUM_VALUES | WRITE_CONDITIONS | {"MultipartUpload", "UploadId", "ChecksumType", "MpuObjectSize"}


class UploadOperations:
    """``CreateMultipartUpload``, ``UploadPart``, ``UploadPartCopy``, ``CompleteMultipartUpload``, ``AbortMultipartUpload``, ``ListParts`` and
    ``ListMultipartUploads``."""

    objects: Objects

    @operation("CreateMultipartUpload")
    async def create_multipart_upload(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ATTRIBUTES | {"ChecksumAlgorithm", "ChecksumType", "Tagging"}, self.objects.account)
        bucket = self.objects.bucket(params["Bucket"])
        said = replace(attributes(call, params), tags=header_tags(params))
        upload = await self.objects.uploads.begin(bucket, params["Key"], said, params.get("ChecksumAlgorithm"), params.get("ChecksumType"))
        return {
            "Bucket": bucket.name,
            "Key": upload.key,
            "UploadId": upload.id,
            **algorithm_members(upload),
            **abortion_members(self.objects, upload),
        }

    @operation("UploadPart")
    async def upload_part(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, PART, self.objects.account)
        bucket, uploads = self.objects.bucket(params["Bucket"]), self.objects.uploads
        upload = await uploads.find(bucket, params["Key"], params["UploadId"])
        part, checksum = await uploads.put_part(bucket, upload, params["PartNumber"], body_of(call), expected(call, params))
        members = checksum_members(checksum)
        members.pop("ChecksumType", None)
        return {"ETag": quoted(part.etag), **members}

    @operation("UploadPartCopy")
    async def upload_part_copy(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, COPY_PARAMETERS | {"CopySourceRange", "PartNumber", "UploadId"}, self.objects.account)
        bucket, uploads, source = self.objects.bucket(params["Bucket"]), self.objects.uploads, copy_source(params)
        upload = await uploads.find(bucket, params["Key"], params["UploadId"])
        opened = await self.objects.open_source(source)
        try:
            source.conditions.check_source(opened.stored)
            if wanted := exact_range(params.get("CopySourceRange"), opened.stored.version.size):
                opened.content.limit(wanted.start, wanted.stop)
            part, checksum = await uploads.put_part(bucket, upload, params["PartNumber"], opened.content, Expected())
        finally:
            await opened.content.aclose()
        members = checksum_members(checksum)
        members.pop("ChecksumType", None)
        result = {"ETag": quoted(part.etag), "LastModified": int(part.modified_at), **members}
        return {"CopyPartResult": result, **copied_from(self.objects, source, opened.stored)}

    @operation("CompleteMultipartUpload")
    async def complete_multipart_upload(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, COMPLETING, self.objects.account)
        bucket = self.objects.bucket(params["Bucket"])
        done = await self.objects.uploads.completed(bucket, params["Key"], params["UploadId"])
        if done is not None:
            versions = {"VersionId": done.version_id} if done.version_id else {}
            return completion_members(call, params, done.etag, done.checksum) | versions
        parts = [named_part(part) for part in (params.get("MultipartUpload") or {}).get("Parts") or ()]
        completion = Completion(parts, author(call), write_conditions(params), params.get("MpuObjectSize"), stated_checksum(params))
        upload = await self.objects.uploads.find(bucket, params["Key"], params["UploadId"])
        if params.get("ChecksumType", upload.checksum_kind) != upload.checksum_kind:
            raise ServiceError(
                "InvalidRequest", f"The upload was created using the {upload.checksum_kind} checksum mode. The complete request must use the same."
            )
        stored = await self.objects.uploads.complete(bucket, upload.key, upload.id, completion)
        return completion_members(call, params, stored.version.etag, stored.checksum) | written(self.objects, bucket.name, stored)

    @operation("AbortMultipartUpload")
    async def abort_multipart_upload(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, ("UploadId",), self.objects.account)
        await self.objects.uploads.abort(self.objects.bucket(params["Bucket"]), params["Key"], params["UploadId"])

    @operation("ListParts")
    async def list_parts(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, ("UploadId", "MaxParts", "PartNumberMarker"), self.objects.account)
        bucket, limit = self.objects.bucket(params["Bucket"]), page_size(params, "MaxParts", "max-parts")
        upload = await self.objects.uploads.find(bucket, params["Key"], params["UploadId"])
        marker = int(params.get("PartNumberMarker", 0))
        parts = [part for part in await self.objects.uploads.parts(upload) if part.number > marker]
        page = parts[:limit]
        return {
            "Bucket": bucket.name,
            "Key": upload.key,
            "UploadId": upload.id,
            "PartNumberMarker": marker,
            "NextPartNumberMarker": page[-1].number if page else 0,
            "MaxParts": limit,
            "IsTruncated": len(parts) > limit,
            "Parts": [listed_part(upload, part) for part in page],
            "Initiator": owner(self.objects.account),
            "Owner": owner(self.objects.account),
            "StorageClass": "STANDARD",
            **algorithm_members(upload),
            **abortion_members(self.objects, upload),
        }

    @operation("ListMultipartUploads")
    async def list_multipart_uploads(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        known = ("Prefix", "Delimiter", "KeyMarker", "UploadIdMarker", "MaxUploads", "EncodingType")
        refuse_unenforced(call, params, known, self.objects.account)
        encode, limit = name_encoder(params), page_size(params, "MaxUploads", "max-uploads")
        bucket, prefix, delimiter = self.objects.bucket(params["Bucket"]), params.get("Prefix", ""), params.get("Delimiter", "")
        marker, id_marker = params.get("KeyMarker", ""), params.get("UploadIdMarker", "")
        behind = [upload for upload in await self.objects.uploads.list(bucket, prefix) if is_behind(upload, marker, id_marker)]
        items = rolled_up(behind, prefix, delimiter, marker)
        page = items[:limit]
        answer: dict[str, Any] = {
            "Bucket": bucket.name,
            "KeyMarker": encode(marker),
            "UploadIdMarker": id_marker,
            "Prefix": encode(prefix),
            "MaxUploads": limit,
            "IsTruncated": len(items) > limit > 0,
            "Uploads": [self._listed_upload(item) | {"Key": encode(item.key)} for item in page if isinstance(item, Upload)],
            "CommonPrefixes": [{"Prefix": encode(item)} for item in page if isinstance(item, str)],
        }
        if answer["IsTruncated"]:
            last = page[-1]
            answer["NextKeyMarker"] = encode(last if isinstance(last, str) else last.key)
            answer["NextUploadIdMarker"] = "" if isinstance(last, str) else last.id
        if delimiter:
            answer["Delimiter"] = encode(delimiter)
        if "EncodingType" in params:
            answer["EncodingType"] = params["EncodingType"]
        return answer

    def _listed_upload(self, upload: Upload) -> dict[str, Any]:
        who = owner(self.objects.account)
        return {
            "UploadId": upload.id,
            "Initiated": int(upload.initiated_at),
            "StorageClass": "STANDARD",
            "Owner": who,
            "Initiator": who,
            **algorithm_members(upload),
        }


def completion_members(call: Call, params: Mapping[str, Any], etag: str, checksum: Checksum | None) -> dict[str, Any]:
    bucket, key = params["Bucket"], params["Key"]
    return {"Location": f"{call.base_url}/{bucket}/{quote(key)}", "Bucket": bucket, "Key": key, "ETag": quoted(etag), **checksum_members(checksum)}


def algorithm_members(upload: Upload) -> dict[str, str]:
    if upload.algorithm is None or upload.checksum_kind is None:
        return {}
    return {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_kind}


def named_part(part: Mapping[str, Any]) -> NamedPart:
    if "PartNumber" not in part or "ETag" not in part:
        raise ServiceError("MalformedXML", "The XML you provided was not well-formed: every part must have its PartNumber and its ETag.")
    return NamedPart(part["PartNumber"], part["ETag"], stated_checksum(part))


def listed_part(upload: Upload, part: Part) -> dict[str, Any]:
    found = {"PartNumber": part.number, "LastModified": int(part.modified_at), "ETag": quoted(part.etag), "Size": part.size}
    return found | ({f"Checksum{upload.algorithm}": part.checksum} if upload.algorithm and part.checksum else {})


def is_behind(upload: Upload, marker: str, id_marker: str) -> bool:
    """Whether an upload comes after the markers; without a key marker S3 does not look at the other."""
    if not marker or upload.key != marker:
        return upload.key > marker
    return bool(id_marker) and upload.id > id_marker


def rolled_up(uploads: Sequence[Upload], prefix: str, delimiter: str, marker: str) -> list[Upload | str]:
    items: list[Upload | str] = []
    for upload in uploads:
        end = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        item: Upload | str = upload if end < 0 else upload.key[: end + len(delimiter)]
        if isinstance(item, Upload) or (item > marker and item not in items[-1:]):
            items.append(item)
    return items
