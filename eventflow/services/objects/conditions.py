"""Conditional requests: If-Match and its relatives, in the order in which S3 weighs them."""

from __future__ import annotations

from dataclasses import dataclass

from eventflow.errors import ServiceError
from eventflow.services.objects.stored import StoredObject


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """The conditions of a read. Times are Unix seconds; like HTTP's they count whole seconds."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: float | None = None
    if_unmodified_since: float | None = None

    def check(self, stored: StoredObject) -> None:
        """Raise ``PreconditionFailed`` (412), or ``NotModified`` (304) where the reader already has this object."""
        if failed := self._failed_precondition(stored):
            raise precondition_failed(failed)
        if self._known(stored):
            raise ServiceError("NotModified", "Not Modified", 304, ETag=f'"{stored.version.etag}"', LastModified=int(stored.modified))

    def check_source(self, stored: StoredObject) -> None:
        """The same for the source of a copy, where every refusal is a 412."""
        if failed := self._failed_precondition(stored) or self._known(stored):
            raise precondition_failed(f"x-amz-copy-source-{failed}")

    def _failed_precondition(self, stored: StoredObject) -> str | None:
        if self.if_match is not None:
            return None if etag_matches(self.if_match, stored.version.etag) else "If-Match"
        if self.if_unmodified_since is not None and int(stored.modified) > self.if_unmodified_since:
            return "If-Unmodified-Since"
        return None

    def _known(self, stored: StoredObject) -> str | None:
        if self.if_none_match is not None:
            return "If-None-Match" if etag_matches(self.if_none_match, stored.version.etag) else None
        if self.if_modified_since is not None and int(stored.modified) <= self.if_modified_since:
            return "If-Modified-Since"
        return None


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """The conditions of a write: ``if_match`` an ETag that the object must have, ``if_none_match`` only ``*``, for a key that must be free."""

    if_match: str | None = None
    if_none_match: str | None = None

    def __bool__(self) -> bool:
        return self.if_match is not None or self.if_none_match is not None

    def check(self, key: str, current: StoredObject | None) -> None:
        if self.if_none_match is not None and current is not None:
            raise precondition_failed("If-None-Match")
        if self.if_match is None:
            return
        if current is None:
            raise no_such_key(key)
        if not etag_matches(self.if_match, current.version.etag):
            raise precondition_failed("If-Match")


def etag_matches(header: str, etag: str) -> bool:
    """Whether a list of entity tags (or ``*``) names this one; quotes are optional, as S3 has it."""
    if header.strip() == "*":
        return True
    return any(candidate.strip().removeprefix("W/").strip('"') == etag for candidate in header.split(","))


def precondition_failed(condition: str) -> ServiceError:
    return ServiceError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412, Condition=condition)


def no_such_key(key: str) -> ServiceError:
    return ServiceError("NoSuchKey", "The specified key does not exist.", 404, Key=key)
