"""Who may come in: the signature is checked as early as the body allows, and the body is handed on with everything that vouches for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from eventflow.aws.body import Arriving, TooLarge
from eventflow.aws.chunked import STREAMING, AnySignature, ChunkedBody, ChunkSigner, Framing, SignatureChain
from eventflow.aws.protocols.large_json import LARGE
from eventflow.aws.request import Request
from eventflow.aws.sigv2 import OldClaim
from eventflow.aws.sigv4 import HASH, UNSIGNED, Claim, Reason, Refused
from eventflow.body_budget import Share
from eventflow.errors import ServiceError

BLOCK = 256 * 1024
#: What a presigned address carries of its own; every other x-amz- parameter in it stands for a header.
PRESIGNED_OWN = frozenset(f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token"))


def declared_payload(request: Request, claim: Claim | OldClaim | None, *, s3: bool) -> str | None:
    """The hash of the body that the headers state, or the word that stands in its place; None where it is to be computed. Raises Refused.

    Only S3 takes unsigned and chunked bodies; elsewhere such a word changes nothing, so that the signature is checked against the real body.
    """
    stated = request.headers.get("x-amz-content-sha256")
    if stated is not None and HASH.fullmatch(stated):
        return stated
    if not s3:
        return None
    if stated is None:
        if claim is None or is_presigned(claim):
            return UNSIGNED
        raise Refused(Reason.PAYLOAD_MISSING, "Missing required header for this request: x-amz-content-sha256")
    if stated not in STREAMING and stated != UNSIGNED:
        raise Refused(Reason.PAYLOAD_INVALID, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value, or a valid sha256 value.")
    return stated


class Admitted:
    """A request whose signature was checked, and its body. What is kept of the body is taken from ``share``."""

    def __init__(self, request: Request, arriving: Arriving, claim: Claim | OldClaim | None, limit: int, share: Share) -> None:
        self.request = request
        self._arriving = arriving
        self._claim = claim
        self._limit = limit
        self._share = share
        self._payload: str | None = None
        self._read: bytes | None = None

    async def check(self, *, s3: bool) -> None:
        """Check the signature: before the body where the headers state its hash, else with the body read whole.

        Raises Refused, TooLarge, Overloaded, and ServiceError when the client goes away."""
        self._payload = declared_payload(self.request, self._claim, s3=s3)
        if self._payload is None:
            self._read = await self._whole(self._arriving.pieces())
        if isinstance(self._claim, Claim):
            self._claim.check(self._payload or await digest_of(self._read or b""))
        elif self._claim is not None:
            self._claim.check()
        if s3 and self._claim is not None and is_presigned(self._claim):
            take_hoisted_headers(self.request)

    def pieces(self) -> AsyncIterator[bytes]:
        """The body's data. Raises ServiceError while it is read when it is not what the headers promised."""
        if self._read is not None:
            return once(self._read)
        if self._payload in STREAMING:
            return self._chunked(str(self._payload))
        return self._hashed() if self._payload != UNSIGNED else self._arriving.pieces()

    async def whole(self) -> bytes:
        return self._read if self._read is not None else await self._whole(self.pieces())

    async def _whole(self, pieces: AsyncIterator[bytes]) -> bytes:
        expected = int(self.request.headers.get("content-length", "0"))
        if expected > self._limit:
            raise TooLarge(self._limit)
        self._share.foresee(expected)
        blocks: list[bytes] = []  # the join of which lets other threads run, where that of one large array would not
        collected, size = bytearray(), 0
        async for piece in pieces:
            size += len(piece)
            if size > self._limit:
                raise TooLarge(self._limit)
            self._share.take(len(piece))
            collected += piece
            if len(collected) >= BLOCK:
                blocks.append(bytes(collected))
                collected.clear()
        blocks.append(bytes(collected))
        return b"".join(blocks) if size < LARGE else await asyncio.to_thread(b"".join, blocks)

    async def _hashed(self) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        async for piece in self._arriving.pieces():
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self._payload:
            raise ServiceError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")

    def _chunked(self, encoding: str) -> AsyncIterator[bytes]:
        headers = self.request.headers
        framing = Framing.of(encoding, headers)
        signer = chunk_signer(self._claim) if framing.signed else AnySignature()
        unwrap_headers(headers, framing)
        return self._decoded(ChunkedBody(self._arriving.pieces(), framing, signer))

    async def _decoded(self, body: ChunkedBody) -> AsyncIterator[bytes]:
        async for piece in body.decoded():
            yield piece
        # A checksum in the trailer counts as if it had been a header.
        self.request.headers.update(body.trailers)


async def digest_of(body: bytes) -> str:
    """The SHA-256 of a body; of a large one beside the event loop, on which all others wait."""
    digest = hashlib.sha256(body) if len(body) < LARGE else await asyncio.to_thread(hashlib.sha256, body)
    return digest.hexdigest()


def chunk_signer(claim: Claim | OldClaim | None) -> ChunkSigner:
    if isinstance(claim, OldClaim):
        raise ServiceError("InvalidRequest", "A presigned address of signature version 2 cannot sign chunks. Sign with version 4 (s3v4).")
    return SignatureChain(claim.key, claim.signature) if claim is not None else AnySignature()


def is_presigned(claim: Claim | OldClaim) -> bool:
    return isinstance(claim, OldClaim) or claim.signature.presigned_for is not None


def unwrap_headers(headers: dict[str, str], framing: Framing) -> None:
    """Make the headers those of the data: its own length, and only the encodings that stay on it."""
    headers["content-length"] = str(framing.length)
    if "content-encoding" in headers:
        kept = [part.strip() for part in headers["content-encoding"].split(",") if part.strip().lower() != "aws-chunked"]
        headers["content-encoding"] = ",".join(kept)
        if not kept:
            del headers["content-encoding"]


def take_hoisted_headers(request: Request) -> None:
    """Some SDKs move a presigned request's x-amz- headers into its query; S3 reads them there."""
    for name, values in request.query.items():
        header = name.lower()
        if header.startswith("x-amz-") and header not in PRESIGNED_OWN:
            request.headers.setdefault(header, values[0])


async def once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
