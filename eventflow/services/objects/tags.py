"""Tags of objects and buckets: names and values, within S3's limits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from eventflow.errors import ServiceError

MOST_OF_OBJECT, MOST_OF_BUCKET = 10, 50
LONGEST_KEY, LONGEST_VALUE = 128, 256
#: Letters, digits and spaces of all scripts, and these.
ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")


def checked_tags(pairs: Iterable[tuple[str, str]], most: int, *, in_header: str | None = None) -> dict[str, str]:
    """Tags by key. Raises S3's errors (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html); ``in_header`` is the whole header
    that they came in, if they did."""
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise duplicate(in_header)
        check(key, value)
        tags[key] = value
    if len(tags) > most:
        kind = "Object" if most == MOST_OF_OBJECT else "Bucket"
        raise ServiceError("BadRequest", f"{kind} tags cannot be greater than {most}")
    return tags


def duplicate(in_header: str | None) -> ServiceError:
    if in_header is None:
        return ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key")
    return ServiceError(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        ArgumentName="x-amz-tagging",
        ArgumentValue=in_header,
    )


def check(key: str, value: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY or not ALLOWED.fullmatch(key):
        raise ServiceError("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
    if len(value) > LONGEST_VALUE or not ALLOWED.fullmatch(value):
        raise ServiceError("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
    if key.lower().startswith("aws:"):
        raise ServiceError("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)
