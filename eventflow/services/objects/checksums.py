"""The checksums that S3 keeps beside an object: computed while the bytes pass, written as base64."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from eventflow.errors import ServiceError

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
#: S3's names of what is computed here; S3's XXHASH family is not.
CRCS = ("CRC32", "CRC32C", "CRC64NVME")
HASHES = {"SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512", "MD5": "md5"}
ALGORITHMS = (*CRCS, *HASHES)

CASTAGNOLI = 0x82F63B78  # CRC-32C's polynomial, bits reversed
NVME = 0x9A6C9329AC4BC9B5  # CRC-64/NVME's polynomial, bits reversed


class Digest(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Checksum:
    """An object's checksum. ``value`` is base64, with ``-N`` after it when ``kind`` is ``COMPOSITE`` (the checksum of N parts' checksums)."""

    algorithm: str
    value: str
    kind: str = FULL_OBJECT


class Crc32:
    """CRC-32 as in zip files."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes, /) -> None:
        self._crc = zlib.crc32(data, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(4, "big")


class ReflectedCrc:
    """A CRC whose bits run from the least significant, two bytes a step: several times slower than the CRC-32 that zlib has in C."""

    def __init__(self, polynomial: int, size: int) -> None:
        self._byte_table, self._word_table = crc_tables(polynomial)
        self._size = size
        self._crc = self._mask = (1 << 8 * size) - 1
        self._odd = b""

    def update(self, data: bytes, /) -> None:
        data = self._odd + data
        even = len(data) & ~1
        self._odd = data[even:]
        table, crc = self._word_table, self._crc
        for word in struct.unpack(f"<{even // 2}H", data[:even]):
            crc = table[(crc ^ word) & 0xFFFF] ^ crc >> 16
        self._crc = crc

    def digest(self) -> bytes:
        crc = self._crc
        for byte in self._odd:
            crc = self._byte_table[(crc ^ byte) & 0xFF] ^ crc >> 8
        return (crc ^ self._mask).to_bytes(self._size, "big")


@lru_cache(maxsize=2)
def crc_tables(polynomial: int) -> tuple[Sequence[int], Sequence[int]]:
    """What a register's low byte, and its low two bytes, become after as many steps."""
    by_byte = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        by_byte.append(value)

    def after_two(word: int) -> int:
        crc = by_byte[word & 0xFF] ^ word >> 8
        return by_byte[crc & 0xFF] ^ crc >> 8

    return by_byte, [after_two(word) for word in range(1 << 16)]


def new_digest(algorithm: str) -> Digest:
    """The digest of an algorithm by S3's name of it; one that is not computed here is refused."""
    if algorithm == "CRC32":
        return Crc32()
    if algorithm == "CRC32C":
        return ReflectedCrc(CASTAGNOLI, 4)
    if algorithm == "CRC64NVME":
        return ReflectedCrc(NVME, 8)
    if algorithm in HASHES:
        return hashlib.new(HASHES[algorithm], usedforsecurity=False)
    raise ServiceError("NotImplemented", f"The checksum algorithm {algorithm} is not computed here; use one of {', '.join(ALGORITHMS)}.", 501)


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Sequence[str]) -> Checksum:
    """The checksum of an upload's parts' checksums, as S3 writes it."""
    digest = new_digest(algorithm)
    for value in parts:
        digest.update(base64.b64decode(value))
    return Checksum(algorithm, f"{encoded(digest.digest())}-{len(parts)}", COMPOSITE)
