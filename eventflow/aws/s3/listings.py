"""S3's listings of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import listed, name_encoder, owner, page_size, refuse_unenforced
from eventflow.aws.s3.tokens import read_token, write_token
from eventflow.services.objects import Objects
from eventflow.services.objects.listing import Page, Query

SHARED = ("Prefix", "Delimiter", "MaxKeys", "EncodingType")


class ListingOperations:
    """``ListObjectsV2`` and ``ListObjects``."""

    objects: Objects

    @operation("ListObjectsV2")
    async def list_objects_v2(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (*SHARED, "ContinuationToken", "StartAfter", "FetchOwner"), self.objects.account)
        encode, token = name_encoder(params), params.get("ContinuationToken")
        after = read_token(token) if token is not None else params.get("StartAfter", "")
        page, answer = await self._page(params, after or "")
        answer["KeyCount"] = len(page.objects) + len(page.prefixes)
        if params.get("FetchOwner"):
            for entry in answer["Contents"]:
                entry["Owner"] = owner(self.objects.account)
        if token is not None:
            answer["ContinuationToken"] = token
        if params.get("StartAfter"):
            answer["StartAfter"] = encode(params["StartAfter"])
        if page.last is not None:
            answer["NextContinuationToken"] = write_token(page.last)
        return answer

    @operation("ListObjects")
    async def list_objects(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (*SHARED, "Marker"), self.objects.account)
        marker = params.get("Marker", "")
        page, answer = await self._page(params, marker)
        answer["Marker"] = name_encoder(params)(marker)
        for entry in answer["Contents"]:
            entry["Owner"] = owner(self.objects.account)
        # Without a delimiter S3 leaves it to the client to go on from the last key.
        if page.last is not None and params.get("Delimiter"):
            answer["NextMarker"] = name_encoder(params)(page.last)
        return answer

    async def _page(self, params: dict[str, Any], after: str) -> tuple[Page, dict[str, Any]]:
        """A page, and the members of its answer that both versions have."""
        encode, limit = name_encoder(params), page_size(params, "MaxKeys", "maxKeys")
        prefix, delimiter = params.get("Prefix", ""), params.get("Delimiter", "")
        page = await self.objects.list(params["Bucket"], Query(prefix, delimiter, after, limit))
        answer: dict[str, Any] = {
            "Name": params["Bucket"],
            "Prefix": encode(prefix),
            "MaxKeys": limit,
            "IsTruncated": page.last is not None,
            "Contents": [listed(stored, encode) for stored in page.objects],
            "CommonPrefixes": [{"Prefix": encode(name)} for name in page.prefixes],
        }
        if delimiter:
            answer["Delimiter"] = encode(delimiter)
        if "EncodingType" in params:
            answer["EncodingType"] = params["EncodingType"]
        return page, answer
