"""The checksums that S3's clients send: CRC-32, CRC-32C, CRC-64/NVME, SHA-1 and SHA-256, as objects with ``update`` and ``digest``."""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Protocol

#: Reflected polynomials (Castagnoli; NVM Express).
CRC32C = 0x82F63B78
CRC64NVME = 0x9A6C9329AC4BC9B5


class Digest(Protocol):
    @property
    def digest_size(self) -> int: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc:
    """A running CRC from a function ``(data, previous) -> value``."""

    def __init__(self, advance: Callable[[bytes, int], int], digest_size: int) -> None:
        self._advance = advance
        self._value = 0
        self.digest_size = digest_size

    def update(self, data: bytes, /) -> None:
        self._value = self._advance(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self.digest_size, "big")


@cache
def tables(polynomial: int, bits: int) -> tuple[array[int], ...]:
    """For each 16-bit word of a register: what its 65,536 values become once they have been shifted out. Words instead of bytes halve the steps."""
    bytewise = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ polynomial if value & 1 else value >> 1
        bytewise.append(value)
    typecode = "I" if bits == 32 else "Q"
    last = array(typecode, (shifted(bytewise, shifted(bytewise, word)) for word in range(65_536)))
    found = [last]
    while len(found) < bits // 16:
        found.insert(0, array(typecode, (last[value & 0xFFFF] ^ value >> 16 for value in found[0])))
    return tuple(found)


def shifted(bytewise: list[int], value: int) -> int:
    return bytewise[value & 0xFF] ^ value >> 8


def crc32c(data: bytes, previous: int) -> int:
    high, low = tables(CRC32C, 32)[1], tables(CRC32C, 32)[0]
    register = previous ^ 0xFFFFFFFF
    whole = len(data) & ~3
    for word in words(data[:whole], "I"):
        register ^= word
        register = low[register & 0xFFFF] ^ high[register >> 16]
    return tail(data[whole:], register, CRC32C, 32) ^ 0xFFFFFFFF


def crc64nvme(data: bytes, previous: int) -> int:
    first, second, third, fourth = tables(CRC64NVME, 64)
    register = previous ^ 0xFFFFFFFFFFFFFFFF
    whole = len(data) & ~7
    for word in words(data[:whole], "Q"):
        register ^= word
        register = first[register & 0xFFFF] ^ second[register >> 16 & 0xFFFF] ^ third[register >> 32 & 0xFFFF] ^ fourth[register >> 48]
    return tail(data[whole:], register, CRC64NVME, 64) ^ 0xFFFFFFFFFFFFFFFF


def words(data: bytes, typecode: str) -> array[int]:
    found = array(typecode, data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def tail(data: bytes, register: int, polynomial: int, bits: int) -> int:
    """The last few bytes, bit by bit."""
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ polynomial if register & 1 else register >> 1
    return register


def crc32(data: bytes, previous: int) -> int:
    return zlib.crc32(data, previous)


@cache
def native() -> tuple[Callable[[bytes, int], int], Callable[[bytes, int], int]]:
    """CRC-32C and CRC-64/NVME from awscrt where it is installed, else from the tables above."""
    try:
        from awscrt import checksums  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return crc32c, crc64nvme
    return checksums.crc32c, checksums.crc64nvme


#: By the name of the header or trailer that carries the checksum.
ALGORITHMS: Mapping[str, Callable[[], Digest]] = {
    "x-amz-checksum-crc32": partial(Crc, crc32, 4),
    "x-amz-checksum-crc32c": lambda: Crc(native()[0], 4),
    "x-amz-checksum-crc64nvme": lambda: Crc(native()[1], 8),
    "x-amz-checksum-sha1": partial(hashlib.sha1, usedforsecurity=False),
    "x-amz-checksum-sha256": hashlib.sha256,
}
