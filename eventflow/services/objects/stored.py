"""An object as the store keeps it: its version, and what its writer said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eventflow.services.objects.checksums import Checksum
from eventflow.trigger import ObjectVersion

#: What S3 calls the content of an object whose writer did not say.
UNKNOWN_CONTENT = "binary/octet-stream"
#: The id of the one version that a key has while its bucket has no versioning.
NULL = "null"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a writer says of an object. ``headers`` are kept and returned as they came, under S3's member names
    (``CacheControl``, ``ContentDisposition``, ``ContentEncoding``, ``ContentLanguage``, ``Expires``); ``metadata`` are the user's own, ``tags``
    those of PutObjectTagging."""

    content_type: str = UNKNOWN_CONTENT
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes an object: the principal of the call and its trace header."""

    principal: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One state of one object. ``parts`` are the sizes of the parts it was uploaded in, empty if it came whole."""

    version: ObjectVersion
    attributes: Attributes = Attributes()
    checksum: Checksum | None = None
    parts: tuple[int, ...] = ()

    @property
    def version_id(self) -> str:
        """As S3 writes it: ``null`` for what came while its bucket had no versioning."""
        return self.version.version_id or NULL

    @property
    def modified(self) -> float:
        """Unix seconds."""
        return self.version.mtime_ns / 1e9
