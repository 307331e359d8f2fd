"""The aws-chunked encoding: a body cut into chunks that may be signed one by one, with checksums in a trailer."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from eventflow.aws.body import Promise, checksum_promise
from eventflow.aws.checksums import CHECKSUM_HEADERS
from eventflow.aws.sigv4 import EMPTY_HASH, Signature, SigningKey
from eventflow.errors import ServiceError

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset((SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER))
#: A chunk's head is a number and a signature, a trailer a few checksums.
LONGEST_LINE = 1024
MOST_TRAILERS = 16
HEAD = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?")


def malformed(what: str) -> ServiceError:
    return ServiceError("InvalidRequest", f"The aws-chunked body is malformed: {what}.")


def malformed_trailer(what: str) -> ServiceError:
    return ServiceError("MalformedTrailerError", f"The request contained trailing data that was not well-formed: {what}.")


class ChunkSigner(Protocol):
    """Checks the signatures of chunks in their order; the trailer's comes last."""

    def check_chunk(self, data_hash: str, signature: bytes | None) -> None: ...
    def check_trailer(self, text: bytes, signature: bytes | None) -> None: ...


class SignatureChain:
    """Each chunk's signature covers the one before; the first covers the signature of the request's head."""

    def __init__(self, key: SigningKey, seed: Signature) -> None:
        self._key = key
        self._previous = seed.value
        self._head = f"{seed.date}\n{seed.scope}"

    def check_chunk(self, data_hash: str, signature: bytes | None) -> None:
        self._check(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._head}\n{self._previous}\n{EMPTY_HASH}\n{data_hash}", signature)

    def check_trailer(self, text: bytes, signature: bytes | None) -> None:
        digest = hashlib.sha256(text).hexdigest()
        self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._head}\n{self._previous}\n{digest}", signature)

    def _check(self, to_sign: str, signature: bytes | None) -> None:
        expected = self._key.sign(to_sign)
        if not hmac.compare_digest(expected.encode(), signature or b""):
            raise ServiceError("SignatureDoesNotMatch", "The signature of a chunk, or of the trailer, does not match its data.", 403)
        self._previous = expected


class AnySignature:
    """Takes every chunk: for bodies that are not signed, and where no credentials are asked for."""

    def check_chunk(self, data_hash: str, signature: bytes | None) -> None: ...

    def check_trailer(self, text: bytes, signature: bytes | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Framing:
    """What the headers say of an aws-chunked body: its encoding, the length of the data in it, and the names of its trailers."""

    encoding: str
    length: int
    trailers: frozenset[str]

    @property
    def signed(self) -> bool:
        return self.encoding != UNSIGNED_TRAILER

    @classmethod
    def of(cls, encoding: str, headers: dict[str, str]) -> Framing:
        """Read the headers. Raises ServiceError."""
        text = headers.get("x-amz-decoded-content-length", "")
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise ServiceError("MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header with a aws-chunked body.", 411)
        named = frozenset(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip())
        strange = named - CHECKSUM_HEADERS.keys()
        if strange:
            raise ServiceError("InvalidRequest", f"The value specified in the x-amz-trailer header is not supported: {', '.join(sorted(strange))}.")
        return cls(encoding, int(text), named if encoding != SIGNED else frozenset())


class Lines:
    """Lines and counted bytes out of pieces of any size."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""

    async def _more(self) -> bool:
        async for piece in self._pieces:
            if piece:
                self._buffer += piece
                return True
        return False

    async def line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise malformed("a line is too long")
            if not await self._more():
                raise ServiceError("IncompleteBody", "The request body terminated unexpectedly.")
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    async def exactly(self, count: int) -> AsyncIterator[bytes]:
        while count:
            if not self._buffer and not await self._more():
                raise ServiceError("IncompleteBody", "The request body terminated unexpectedly.")
            piece, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(piece)
            yield piece

    async def ended(self) -> bool:
        return not self._buffer and not await self._more()


class ChunkedBody:
    """Decodes one body. ``decoded`` yields the data; when it has ended, signatures, length and checksums were right and ``trailers`` holds the
    trailer's headers. Until then nothing of it may be kept."""

    def __init__(self, pieces: AsyncIterator[bytes], framing: Framing, signer: ChunkSigner) -> None:
        self._lines = Lines(pieces)
        self._framing = framing
        self._signer = signer
        self._promised = {name: CHECKSUM_HEADERS[name]() for name in framing.trailers}
        self.trailers: dict[str, str] = {}

    async def decoded(self) -> AsyncIterator[bytes]:
        left = self._framing.length
        while True:
            size, signature = await self._head()
            if size > left:
                raise ServiceError("IncompleteBody", "The chunks hold more than x-amz-decoded-content-length says.")
            left -= size
            digest = hashlib.sha256()
            async for piece in self._lines.exactly(size):
                if self._framing.signed:
                    digest.update(piece)
                for promised in self._promised.values():
                    promised.update(piece)
                yield piece
            self._signer.check_chunk(digest.hexdigest(), signature)
            if size == 0:
                break
            if await self._lines.line():
                raise malformed("a chunk does not end where its size says")
        if left:
            raise ServiceError("IncompleteBody", "The chunks hold less than x-amz-decoded-content-length says.")
        await self._finish()

    async def _head(self) -> tuple[int, bytes | None]:
        line = await self._lines.line()
        found = HEAD.fullmatch(line)
        if found is None or (self._framing.signed and found[2] is None):
            raise malformed("a chunk does not begin with its size in hexadecimal" + (" and its signature" if self._framing.signed else ""))
        return int(found[1], 16), found[2]

    async def _finish(self) -> None:
        """Read the trailer and the empty line after it; check what it promises."""
        signature: bytes | None = None
        signed_text = b""
        while line := await self._lines.line():
            name, colon, value = line.partition(b":")
            header = name.strip().lower().decode("latin-1")
            if not colon or len(self.trailers) >= MOST_TRAILERS:
                raise malformed_trailer("it is not a few headers")
            if header == "x-amz-trailer-signature":
                signature = value.strip()
            else:
                self.trailers[header] = value.strip().decode("latin-1")
                signed_text += header.encode("latin-1") + b":" + value.strip() + b"\n"
        if not await self._lines.ended():
            raise malformed("something follows its end")
        self._check_trailer(signed_text, signature)

    def _check_trailer(self, text: bytes, signature: bytes | None) -> None:
        if self.trailers.keys() != self._framing.trailers:
            raise malformed_trailer(f"x-amz-trailer announced {sorted(self._framing.trailers)}, and {sorted(self.trailers)} came")
        if self._framing.encoding == SIGNED_TRAILER:
            self._signer.check_trailer(text, signature)
        for name, digest in self._promised.items():
            promise: Promise = checksum_promise(name, self.trailers[name], digest)
            promise.check()
