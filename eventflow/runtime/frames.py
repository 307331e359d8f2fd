"""The frames that cross the socket between the daemon and a function's process; both sides import this, so it imports next to nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

#: length of what follows, kind
HEADER = struct.Struct("<IB")
HEADER_SIZE = HEADER.size
#: handler's milliseconds, the instant of its start (monotonic seconds), the process's CPU milliseconds so far, its peak resident KiB, end of this
#: invocation's output in the log file, end of the answers in the answers file that come before this one
MEASURES = struct.Struct("<dddIQQ")

INVOKE = 1  # daemon -> process: request id NUL arn NUL trace NUL client context LF payload
READY = 2  # process -> daemon: init finished; MEASURES of the init, what it learned as JSON; its answers file comes along
INIT_ERROR = 3  # process -> daemon: MEASURES, error object; the process exits
RESULT = 4  # process -> daemon: MEASURES, the handler's value as JSON
ERROR = 5  # process -> daemon: MEASURES, error object
FATAL = 6  # process -> daemon: MEASURES, error object; the process exits
PIECE = 7  # process -> daemon: MEASURES, a piece of a streamed response; RESULT, ERROR or FATAL ends it
STREAM = 8  # daemon -> process: as INVOKE, by somebody who takes the response in pieces

#: No frame is larger: a response has at most 6 MB, an error object as much; anything else on the socket is not ours.
LARGEST = 16 * 1024 * 1024


class FrameError(Exception):
    """Something other than our frames came over the socket."""


class Answer(NamedTuple):
    """A frame from a process, read: its kind, what it says, and its MEASURES."""

    kind: int
    content: bytes
    duration: float
    started: float
    cpu_ms: float
    peak_kib: int
    log_end: int
    before: int


def read_answer(kind: int, body: bytes) -> Answer:
    if len(body) < MEASURES.size:
        raise FrameError(f"frame of kind {kind} without measures")
    return Answer(kind, body[MEASURES.size :], *MEASURES.unpack_from(body))


def pack(kind: int, head: bytes, content: bytes = b"") -> bytes:
    return HEADER.pack(len(head) + len(content), kind) + head + content


def invoke(request_id: str, arn: str, trace: str, client_context: str, payload: bytes, kind: int = INVOKE) -> bytes:
    return pack(kind, f"{request_id}\0{arn}\0{trace}\0{client_context}\n".encode(), payload)


def read_invoke(body: bytes) -> tuple[str, str, str, str, bytes]:
    head, _, payload = body.partition(b"\n")
    request_id, arn, trace, client_context = head.decode().split("\0")
    return request_id, arn, trace, client_context, payload


class Buffer:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._keep(b"", HEADER_SIZE)

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The whole frames so far, as (kind, body); whoever begins takes them all."""
        if self._size < self._needed:
            return
        held = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        size, start, needed = self._size, 0, HEADER_SIZE
        self._keep(b"", HEADER_SIZE)
        while size - start >= HEADER_SIZE:
            length, kind = HEADER.unpack_from(held, start)
            if length > LARGEST or not INVOKE <= kind <= STREAM:
                raise FrameError(f"frame of kind {kind} and {length} bytes")
            begin, end = start + HEADER_SIZE, start + HEADER_SIZE + length
            if size < end:
                needed += length
                break
            start = end
            yield kind, held[begin:end]
        self._keep(held[start:], needed)

    def _keep(self, rest: bytes, needed: int) -> None:
        self._pieces, self._size, self._needed = [rest], len(rest), needed
