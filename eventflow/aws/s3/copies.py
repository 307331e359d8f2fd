"""What a copy's ``x-amz-copy-source`` and its companions say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from eventflow.aws.s3.parameters import read_conditions
from eventflow.errors import ServiceError
from eventflow.services.objects.store import CopySource

COPY_PARAMETERS = frozenset(
    (
        "CopySource",
        "CopySourceIfMatch",
        "CopySourceIfNoneMatch",
        "CopySourceIfModifiedSince",
        "CopySourceIfUnmodifiedSince",
        "ExpectedSourceBucketOwner",
    )
)


def copy_source(params: Mapping[str, Any]) -> CopySource:
    """``bucket/key`` or ``/bucket/key``, percent-encoded, perhaps with ``?versionId=`` and an id behind it."""
    path, _, version = params["CopySource"].partition("?versionId=")
    try:
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        key = ""
    if not key:
        raise ServiceError(
            "InvalidArgument",
            "Invalid copy source object key: it must be bucket/key, percent-encoded as UTF-8.",
            ArgumentName="x-amz-copy-source",
            ArgumentValue=params["CopySource"],
        )
    return CopySource(bucket, key, read_conditions(params, "CopySource"), version or None)
