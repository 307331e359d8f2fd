"""Responses that a handler yields piece by piece, in its process: sent on as they come, or joined for whoever takes them whole."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

#: AWS: between the metadata of a streamed HTTP response, which is JSON, and its body are eight null bytes.
DELIMITER = bytes(8)
#: No frame has more of a body.
LARGEST_PIECE = 256 * 1024
#: AWS: a streamed response has 200 MB at most.
LARGEST_STREAM = 200 * 1024 * 1024
GENERATORS = (GeneratorType, AsyncGeneratorType)


class StreamTooLarge(Exception):
    """A handler has yielded more than a streamed response may have."""


def drawn(generator: Any, loop: Callable[[], asyncio.AbstractEventLoop], send: Callable[[bytes], None] | None) -> Any:
    """Draw all that a generator, or an async one, yields. With ``send`` that gets the pieces, and None is returned; else the response they make."""
    response = Sent(send) if send is not None else Joined()
    draw = generator.__next__ if isinstance(generator, GeneratorType) else lambda: loop().run_until_complete(generator.__anext__())
    size = 0
    first = True
    try:
        while True:
            item = draw()
            if first and isinstance(item, dict):
                response.begin(item)
            else:
                if first:
                    response.begin(None)
                piece = octets(item)
                size += len(piece)
                if size > LARGEST_STREAM:
                    raise StreamTooLarge(f"The response has more than {LARGEST_STREAM} bytes.")
                response.add(piece)
            first = False
    except (StopIteration, StopAsyncIteration):
        if first:
            response.begin(None)
        return response.end()


def octets(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    raise TypeError(
        f"A streamed response is made of str and bytes, after perhaps one dict with its statusCode and headers; not of {type(item).__name__}."
    )


class Sent:
    """A response that leaves as it comes."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def begin(self, metadata: dict[str, Any] | None) -> None:
        self._send(json.dumps(metadata or {}, ensure_ascii=True).encode() + DELIMITER)

    def add(self, piece: bytes) -> None:
        for start in range(0, len(piece), LARGEST_PIECE):
            self._send(piece[start : start + LARGEST_PIECE])

    def end(self) -> None:
        return None


class Joined:
    """A response for whoever takes it whole: what a handler would have returned that does not yield."""

    def __init__(self) -> None:
        self._metadata: dict[str, Any] | None = None
        self._pieces: list[bytes] = []

    def begin(self, metadata: dict[str, Any] | None) -> None:
        self._metadata = metadata

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def end(self) -> Any:
        whole = b"".join(self._pieces)
        try:
            body, encoded = whole.decode(), False
        except UnicodeDecodeError:
            body, encoded = base64.b64encode(whole).decode(), True
        if self._metadata is None and not encoded:
            return body
        return {**(self._metadata or {"statusCode": 200}), "body": body, "isBase64Encoded": encoded}
