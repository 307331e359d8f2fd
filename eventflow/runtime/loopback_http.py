"""HTTP/1.1 between the Runtime API and the programs that use it: bytes in, requests out, and answers as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: A request's line and headers: Lambda lets a runtime describe an error's cause in a header of up to 1 MB.
LARGEST_HEAD = 1024 * 1024 + 64 * 1024
#: The line that says how long a chunk is, and all trailers together.
LARGEST_CHUNK_LINE = 1024
LARGEST_TRAILERS = 16 * 1024 * 1024
REASONS = {
    100: "Continue",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """What came is no HTTP/1.1 that can be read on; ``status`` answers it, and the connection ends."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Request:
    """A request's head. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool
    length: int | None  # None: in chunks

    @property
    def expects_continue(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"


@dataclass(slots=True)
class End:
    """A request is whole; names of trailers are in lower case."""

    trailers: dict[str, str] = field(default_factory=dict)


class Reader:
    """Bytes in; a ``Request``, the pieces of its body and an ``End`` out, for one request after another. Each step takes one of these from what is
    held, nothing (None) where it is not whole yet, or something of which nobody need know (no bytes)."""

    def __init__(self) -> None:
        self._held = b""
        self._left: int | None = 0  # of the body, or of the chunk
        self._step: Callable[[], Request | bytes | End | None] = self._read_head

    def feed(self, data: bytes) -> Iterator[Request | bytes | End]:
        """What is whole by now. Raises Malformed."""
        self._held = self._held + data if self._held else data
        while True:
            found = self._step()
            if found is None:
                return
            if found != b"":
                yield found

    def _line(self, most: int, ending: bytes = b"\r\n") -> bytes | None:
        line, separator, rest = self._held.partition(ending)
        if len(line) > most:
            raise Malformed("a line or head is too long", 431)
        if not separator:
            return None
        self._held = rest
        return line

    def _read_head(self) -> Request | None:
        while self._held.startswith(b"\r\n"):
            self._held = self._held[2:]
        head = self._line(LARGEST_HEAD, b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or not words[1].startswith("/"):
            raise Malformed("the request line is no HTTP/1.1")
        headers = fields(lines)
        connection = headers.get("connection", "").lower()
        keep_alive = connection != "close" if words[2] == "HTTP/1.1" else connection == "keep-alive"
        length = length_of(headers)
        self._left = length
        self._step = self._read_chunk_line if length is None else self._read_sized
        return Request(words[0], words[1].partition("?")[0], headers, keep_alive, length)

    def _read_sized(self) -> bytes | End | None:
        assert self._left is not None
        if not self._left:
            self._step = self._read_head
            return End()
        return self._piece()

    def _piece(self) -> bytes | None:
        assert self._left is not None
        if not self._held:
            return None
        piece, self._held = self._held[: self._left], self._held[self._left :]
        self._left -= len(piece)
        return piece

    def _read_chunk_line(self) -> bytes | None:
        line = self._line(LARGEST_CHUNK_LINE)
        if line is None:
            return None
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > 16 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            raise Malformed("a chunk says no length")
        self._left = int(digits, 16)
        self._step = self._read_chunk if self._left else self._read_trailers
        return b""

    def _read_chunk(self) -> bytes | None:
        if self._left:
            return self._piece()
        if len(self._held) < 2:
            return None
        if not self._held.startswith(b"\r\n"):
            raise Malformed("a chunk is longer than it says")
        self._held = self._held[2:]
        self._step = self._read_chunk_line
        return b""

    def _read_trailers(self) -> End | None:
        if self._held.startswith(b"\r\n"):
            self._held = self._held[2:]
            self._step = self._read_head
            return End()
        text = self._line(LARGEST_TRAILERS, b"\r\n\r\n")
        if text is None:
            return None
        self._step = self._read_head
        return End(fields(text.decode("latin-1").split("\r\n")))


def fields(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed("a header has no name")
        found[name.lower()] = value.strip()
    return found


def length_of(headers: Mapping[str, str]) -> int | None:
    """Of the body; None where it comes in chunks."""
    coding = headers.get("transfer-encoding", "").lower()
    if coding:
        if coding != "chunked" or "content-length" in headers:
            raise Malformed("a body is sent in chunks or with its length")
        return None
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Malformed("Content-Length is no number")
    return int(text)


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, keep_alive: bool = True) -> bytes:
    """An answer as bytes. What is in headers came from elsewhere, so that a line's end in one is dropped."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {' '.join(value.splitlines())}" for name, value in (headers or {}).items()]
    if not keep_alive:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refusal(status: int, error_type: str, message: str, *, keep_alive: bool = True) -> bytes:
    """Lambda's form of an error of this API."""
    body: dict[str, Any] = {"errorMessage": message, "errorType": error_type}
    return answer(status, json.dumps(body).encode(), keep_alive=keep_alive)
