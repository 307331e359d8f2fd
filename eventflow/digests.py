"""The digests that S3 knows, its XXHASH family left out: CRC-32, CRC-32C, CRC-64/NVME, MD5 and the SHAs, with ``update`` and ``digest``."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Protocol

#: Reflected polynomials (Castagnoli; NVM Express).
CRC32C = 0x82F63B78
CRC64NVME = 0x9A6C9329AC4BC9B5
#: So many bytes are left to the loop.
SHORT = 256


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


class ReflectedCrc:
    """A CRC of this reflected polynomial whose register begins with all bits set and is flipped at the end: ``(data, previous) -> value``.

    A loop over bytes is slow in Python, shifts of long integers are not. The data is one long polynomial, and its beginning may be replaced by
    its product with a power of x modulo the CRC's polynomial, added to the rest: a shift for each of that power's few terms. So the data is
    folded until little of it is left for the loop.
    """

    def __init__(self, polynomial: int, bits: int) -> None:
        self._bits = bits
        self._ones = (1 << bits) - 1
        self._modulus = 1 << bits | int(f"{polynomial:0{bits}b}"[::-1], 2)
        self._table = [shifted(value, polynomial) for value in range(256)]
        self._terms: dict[int, tuple[int, ...]] = {}

    def __call__(self, data: bytes, previous: int) -> int:
        register = previous ^ self._ones
        if len(data) > SHORT:
            data, register = self._folded(int.from_bytes(data, "little") ^ register, 8 * len(data)), 0
        table = self._table
        for octet in data:
            register = table[(register ^ octet) & 0xFF] ^ register >> 8
        return register ^ self._ones

    def _folded(self, message: int, length: int) -> bytes:
        """A few bytes with the same CRC. Bit i of the message is the coefficient of x to the (length - 1 - i)."""
        while length > 8 * SHORT:
            kept = self._kept(length)
            excess = length - kept
            beginning = message & ((1 << excess) - 1)
            message >>= excess
            for term in self._power(kept):
                message ^= beginning << (kept - excess - term)
            length = kept
        return message.to_bytes(length // 8, "little")

    def _kept(self, length: int) -> int:
        """How many bits to keep: enough for the product to fit in, and from a series (2, 3, 4, 6, 8, 12, ...) that needs few powers of x."""
        kept = 4 * SHORT
        while 2 * kept - self._bits < length:
            kept = kept * 3 // 2 if kept.bit_count() == 1 else kept * 4 // 3
        return kept

    def _power(self, exponent: int) -> tuple[int, ...]:
        """The terms of x to this exponent modulo the polynomial."""
        if exponent not in self._terms:
            value = 1
            for digit in f"{exponent:b}":
                square = 0
                for term in range(self._bits):
                    square ^= (value >> term & 1) * (value << term)
                value = self._reduced(square << int(digit))
            self._terms[exponent] = tuple(term for term in range(self._bits) if value >> term & 1)
        return self._terms[exponent]

    def _reduced(self, value: int) -> int:
        while (excess := value.bit_length() - self._bits - 1) >= 0:
            value ^= self._modulus << excess
        return value


def shifted(value: int, polynomial: int) -> int:
    """A byte, once it has been shifted out of the register."""
    for _ in range(8):
        value = value >> 1 ^ polynomial if value & 1 else value >> 1
    return value


def crc32(data: bytes, previous: int) -> int:
    return zlib.crc32(data, previous)


@cache
def native() -> tuple[Callable[[bytes, int], int], Callable[[bytes, int], int]]:
    """CRC-32C and CRC-64/NVME from awscrt where it is installed, else from the code above."""
    try:
        from awscrt import checksums  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return ReflectedCrc(CRC32C, 32), ReflectedCrc(CRC64NVME, 64)
    return checksums.crc32c, checksums.crc64nvme


def is_quick(algorithm: str) -> bool:
    """Whether a digest costs next to nothing while bytes pass: two of the CRCs do only with awscrt."""
    return algorithm not in ("CRC32C", "CRC64NVME") or not isinstance(native()[1], ReflectedCrc)


#: By S3's name of the algorithm.
ALGORITHMS: Mapping[str, Callable[[], Digest]] = {
    "CRC32": partial(Crc, crc32, 4),
    "CRC32C": lambda: Crc(native()[0], 4),
    "CRC64NVME": lambda: Crc(native()[1], 8),
    "SHA1": partial(hashlib.sha1, usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
    "MD5": partial(hashlib.md5, usedforsecurity=False),
}
