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
class Parts:
    """The parts that an object was uploaded in, none if it came whole. ``checksums`` are theirs by the algorithm of the object's own, one behind the
    other (they have one length; as texts of their own, those of 10,000 parts would take eight times as long to read); empty where it has none."""

    sizes: tuple[int, ...] = ()
    checksums: str = ""

    def __len__(self) -> int:
        return len(self.sizes)

    def checksum(self, number: int) -> str | None:
        """That of the part with this number, from 1 on; base64."""
        width = len(self.checksums) // len(self.sizes) if self.sizes else 0
        return self.checksums[(number - 1) * width : number * width] or None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One state of one object."""

    version: ObjectVersion
    attributes: Attributes = Attributes()
    checksum: Checksum | None = None
    parts: Parts = Parts()

    @property
    def version_id(self) -> str:
        """As S3 writes it: ``null`` for what came while its bucket had no versioning."""
        return self.version.version_id or NULL

    @property
    def modified(self) -> float:
        """Unix seconds."""
        return self.version.mtime_ns / 1e9
