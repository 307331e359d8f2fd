"""Compression in REST APIs that have a ``minimum_compression_size``: answers are compressed, and bodies that come compressed are not any more."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING

from eventflow.errors import Overloaded
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Findings, Integration, Refusal

if TYPE_CHECKING:
    from eventflow.gateway.apis import Route

LARGEST_SIZE = 10 * 1024 * 1024
#: Larger bodies are compressed in a thread.
LARGEST_AT_ONCE = 64 * 1024
LEVEL = 6
DIGITS = frozenset("0123456789.")


class Compressing:
    """An integration of an API that compresses answers of at least so many bytes."""

    def __init__(self, integration: Integration, least: int) -> None:
        self._integration = integration
        self._least = least

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        refusal = await decompress(request)
        if refusal is not None:
            return refusal
        result = await self._integration(request, route, findings)
        return result if isinstance(result, Refusal) else await compressed(result, request, self._least)


async def compressed(answer: Answer, request: Request, least: int) -> Answer:
    """An answer of at least so many bytes as the client's Accept-Encoding wants it, where the function has not encoded it itself."""
    if answer.stream is not None or len(answer.body) < least or not answer.body:
        return answer
    if any(name == b"content-encoding" for name, _value in answer.headers):
        return answer
    coding = wanted(request.header("accept-encoding"))
    if coding is None:
        return answer
    make = gzipped if coding == "gzip" else zlib.compress
    body = make(answer.body, LEVEL) if len(answer.body) <= LARGEST_AT_ONCE else await asyncio.to_thread(make, answer.body, LEVEL)
    headers = [*answer.headers, (b"content-encoding", coding.encode()), (b"vary", b"Accept-Encoding")]
    return Answer(answer.status, headers, body, kind=answer.kind, message=answer.message)


def gzipped(body: bytes, level: int) -> bytes:
    return gzip.compress(body, level, mtime=0)


def wanted(accepted: str) -> str | None:
    """The coding that a client likes best of those there are."""
    best, found = 0.0, None
    for one in accepted.split(","):
        name, weighed, parameter = one.partition(";")
        key, _, weight = parameter.partition("=")
        if weighed and (key.strip().lower() != "q" or not set(weight.strip()) <= DIGITS):
            continue
        coding = name.strip().lower()
        coding = "gzip" if coding in ("*", "x-gzip") else coding
        try:
            quality = float(weight) if weighed else 1.0
        except ValueError:
            continue
        if coding in ("gzip", "deflate") and (quality > best or (quality == best and coding == "gzip")):
            best, found = quality, coding
    return found if best > 0 else None


async def decompress(request: Request) -> Refusal | None:
    """Replace a body that says that it is compressed; a Refusal for one that is not, or that would become too large."""
    coding = request.header("content-encoding").strip().lower()
    if not request.body or request.unpacked or coding in ("", "identity"):
        return None
    if coding not in ("gzip", "deflate"):
        return Refusal("UNSUPPORTED_MEDIA_TYPE")
    try:
        body = await asyncio.to_thread(inflated, request.body, 31 if coding == "gzip" else 15)
    except zlib.error:
        return Refusal("BAD_REQUEST_BODY")
    if body is None:
        return Refusal("REQUEST_TOO_LARGE")
    if request.share is not None:
        try:
            request.share.take(len(body))  # a few kilobytes may have become megabytes
        except Overloaded:
            return Refusal("OVERLOADED", ((b"retry-after", b"1"),))
    request.body, request.unpacked = body, True
    return None


def inflated(body: bytes, window: int) -> bytes | None:
    """None for more than a request may have. Raises zlib.error for what is not compressed, or not whole."""
    stream = zlib.decompressobj(window)
    found = stream.decompress(body, LARGEST_SIZE + 1)
    if len(found) > LARGEST_SIZE:
        return None
    if not stream.eof:
        raise zlib.error("it has no end")
    return found
