"""Request bodies as they arrive: read whole up to a limit, or handed on piece by piece, and checked against what the headers promised."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from eventflow.aws.checksums import CHECKSUM_HEADERS
from eventflow.digests import Digest
from eventflow.errors import ServiceError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: What is read and thrown away of a refused request's body, so that a client that is still sending gets to see the answer.
MOST_DRAINED = 1 << 20
#: These begin like checksums and only speak of them.
ABOUT_CHECKSUMS = frozenset(("x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"))


class TooLarge(Exception):
    """A body is larger than the limit for bodies that are read whole, which it says."""


class Arriving:
    """The body of one request. Each piece is asked for when the one before has been used, so a slow writer slows the sender."""

    def __init__(self, receive: Receive, *, expected: bool) -> None:
        self._receive = receive
        self.finished = not expected
        self.gone = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The rest of the body. Raises ServiceError when the client goes away before its end."""
        while not self.finished:
            piece = await self._next()
            if piece:
                yield piece

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = self.finished = True
            raise ServiceError("IncompleteBody", "The client went away before the end of the request body; nothing of it was kept.")
        self.finished = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def drain(self) -> bool:
        """Read the rest and forget it, if it is not much; whether the end was reached."""
        drained = 0
        while not self.finished and drained <= MOST_DRAINED:
            drained += len(await self._next())
        return self.finished


class Promise:
    """Something that the headers say of the body: fed with every piece, then asked."""

    def __init__(self, digest: Digest, expected: bytes, broken: ServiceError) -> None:
        self.digest = digest
        self._expected = expected
        self._broken = broken

    def check(self) -> None:
        if self.digest.digest() != self._expected:
            raise self._broken


def promises(headers: Mapping[str, str], *, checksummed: bool) -> list[Promise]:
    """What the headers promise of the body: Content-MD5 always, x-amz-checksum-* where the operation's model says that they are of the body.
    Raises ServiceError for a promise that is not Base64 or of the wrong length."""
    found = []
    if "content-md5" in headers:
        digest = hashlib.md5(usedforsecurity=False)
        expected = promised(headers["content-md5"], digest.digest_size)
        if expected is None:
            raise ServiceError("InvalidDigest", "The Content-MD5 you specified is not valid.")
        found.append(Promise(digest, expected, ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.")))
    if checksummed:
        found += [checksum_promise(name, headers[name], new_digest(name)) for name in headers if is_checksum(name)]
    return found


def is_checksum(header: str) -> bool:
    return header.startswith("x-amz-checksum-") and header not in ABOUT_CHECKSUMS


def new_digest(name: str) -> Digest:
    if name not in CHECKSUM_HEADERS:
        raise ServiceError(
            "NotImplemented", f"eventflow cannot verify {name} yet, so it does not take it. Use CRC32, CRC32C, CRC64NVME or a SHA.", 501
        )
    return CHECKSUM_HEADERS[name]()


def checksum_promise(name: str, text: str, digest: Digest) -> Promise:
    expected = promised(text, digest.digest_size)
    label = name.removeprefix("x-amz-checksum-").upper()
    if expected is None:
        raise ServiceError("InvalidRequest", f"Value for {name} header is invalid.")
    return Promise(digest, expected, ServiceError("BadDigest", f"The {label} you specified did not match the calculated checksum."))


def promised(text: str, size: int) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == size else None


async def kept(pieces: AsyncIterator[bytes], promised_digests: list[Promise]) -> AsyncIterator[bytes]:
    """The same pieces; after the last one every promise is checked. Raises ServiceError for one that was broken."""
    async for piece in pieces:
        for promise in promised_digests:
            promise.digest.update(piece)
        yield piece
    for promise in promised_digests:
        promise.check()


def check_whole(body: bytes, promised_digests: list[Promise]) -> None:
    for promise in promised_digests:
        promise.digest.update(body)
        promise.check()
