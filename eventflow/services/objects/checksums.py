"""The checksums that S3 keeps beside an object: computed while the bytes pass, written as base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from eventflow.digests import ALGORITHMS, Digest, is_quick
from eventflow.errors import ServiceError

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
DEFAULT = "CRC64NVME"
CRCS = ("CRC32", "CRC32C", "CRC64NVME")


@dataclass(frozen=True, slots=True)
class Checksum:
    """An object's checksum. ``value`` is base64, with ``-N`` after it when ``kind`` is ``COMPOSITE`` (the checksum of N parts' checksums)."""

    algorithm: str
    value: str
    kind: str = FULL_OBJECT


def default_algorithm() -> str | None:
    """What S3 sums a body up by when nobody asked for a checksum: CRC64NVME, here where that is quick."""
    return DEFAULT if is_quick(DEFAULT) else None


def new_digest(algorithm: str) -> Digest:
    """The digest of an algorithm by S3's name of it; one that is not computed here is refused."""
    if algorithm not in ALGORITHMS:
        raise ServiceError("NotImplemented", f"The checksum algorithm {algorithm} is not computed here; use one of {', '.join(ALGORITHMS)}.", 501)
    return ALGORITHMS[algorithm]()


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Sequence[str]) -> Checksum:
    """The checksum of an upload's parts' checksums, as S3 writes it."""
    digest = new_digest(algorithm)
    for value in parts:
        digest.update(base64.b64decode(value))
    return Checksum(algorithm, f"{encoded(digest.digest())}-{len(parts)}", COMPOSITE)
