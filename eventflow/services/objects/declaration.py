"""What an application says of a bucket beside its name: versions and CORS, set when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.objects.cors import check_rules
from eventflow.services.objects.settings import CORS
from eventflow.services.objects.store import Objects


async def configure(objects: Objects, bucket: str, *, versioning: str | None = None, cors: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Set what is given, in the words of S3's API; what is not given stays as it is. Raises SettingError for what S3 would refuse."""
    try:
        if versioning is not None and objects.settings.versioning(bucket) != versioning:
            await objects.set_versioning(bucket, versioning)
        if cors is not None:
            check_rules(cors)
            await objects.settings.put(bucket, CORS, list(cors))
    except ServiceError as error:
        raise SettingError(f"Bucket {bucket!r}: {error.message}") from error
