"""Which S3 keys a directory can hold, and why it cannot hold the others."""

from __future__ import annotations

from eventflow.errors import ServiceError

#: Where a bucket keeps its unfinished writes: inside its own directory, so that finishing one is a rename in one file system.
TEMPORARY = ".eventflow-tmp"
LONGEST_KEY = 1024
LONGEST_SEGMENT = 255


def segments(key: str) -> tuple[str, ...] | None:
    """The path of a key below its bucket, or None for a key that no directory can hold. A folder's key ends in ``/``."""
    return None if reason_against(key) else tuple(key.removesuffix("/").split("/"))


def is_folder(key: str) -> bool:
    return key.endswith("/")


def check_writable(key: str) -> tuple[str, ...]:
    """The path of a key that is about to be written; raises with the reason when it cannot be."""
    size = len(key.encode(errors="replace"))
    if size > LONGEST_KEY:
        raise ServiceError("KeyTooLongError", "Your key is too long", Size=str(size), MaxSizeAllowed=str(LONGEST_KEY))
    if reason := reason_against(key):
        raise unholdable(key, reason)
    return tuple(key.removesuffix("/").split("/"))


def unholdable(key: str, reason: str) -> ServiceError:
    return ServiceError(
        "InvalidArgument",
        f"A bucket is a plain directory here and cannot hold the key {key!r}: {reason}. Use another key.",
        ArgumentName="key",
        ArgumentValue=key,
    )


def reason_against(key: str) -> str | None:
    """Why a directory cannot hold this key, or None if it can."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if size > LONGEST_KEY:
        return f"it is longer than {LONGEST_KEY} bytes"
    if "\0" in key:
        return "it holds a NUL character"
    parts = key.removesuffix("/").split("/")
    # Compared without case: some file systems take both spellings for one name.
    if parts[0].casefold() == TEMPORARY:
        return f"{TEMPORARY} is where unfinished writes are kept"
    return next(filter(None, map(reason_against_segment, parts)), None)


def reason_against_segment(segment: str) -> str | None:
    if segment == "":
        return "it has an empty name between two slashes, or before the first"
    if segment in (".", ".."):
        return f"the name {segment!r} means a directory"
    if len(segment.encode()) > LONGEST_SEGMENT:
        return f"a name between slashes is longer than {LONGEST_SEGMENT} bytes"
    return None
