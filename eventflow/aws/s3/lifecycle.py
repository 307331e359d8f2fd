"""S3's operations on lifecycle configurations, and the header that says when an object expires."""

from __future__ import annotations

from typing import Any

from eventflow.services.objects import Objects
from eventflow.services.objects.stored import StoredObject


class LifecycleOperations:
    """None yet."""

    objects: Objects


def expiration_members(objects: Objects, bucket: str, stored: StoredObject) -> dict[str, Any]:
    return {}
