"""The frames that cross the socket between the daemon and a function's process; both sides import this, so it imports next to nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: length of what follows, kind
HEADER = struct.Struct("<IB")
#: handler's milliseconds, milliseconds of CPU, peak resident KiB, end of this invocation's output in the log file
MEASURES = struct.Struct("<ddIQ")

INVOKE = 1  # daemon -> process: request id NUL arn NUL trace NUL client context LF payload
READY = 2  # process -> daemon: init finished; MEASURES of the init
INIT_ERROR = 3  # process -> daemon: MEASURES, error object; the process exits
RESULT = 4  # process -> daemon: MEASURES, the handler's value as JSON
ERROR = 5  # process -> daemon: MEASURES, error object
FATAL = 6  # process -> daemon: MEASURES, error object; the process exits

#: No frame is larger: a response has at most 6 MB, an error object as much; anything else on the socket is not ours.
LARGEST = 16 * 1024 * 1024


class FrameError(Exception):
    """Something other than our frames came over the socket."""


def pack(kind: int, *parts: bytes) -> bytes:
    return b"".join((HEADER.pack(sum(map(len, parts)), kind), *parts))


def invoke(request_id: str, arn: str, trace: str, client_context: str, payload: bytes) -> bytes:
    head = f"{request_id}\0{arn}\0{trace}\0{client_context}\n".encode()
    return pack(INVOKE, head, payload)


def read_invoke(body: bytes) -> tuple[str, str, str, str, bytes]:
    head, _, payload = body.partition(b"\n")
    request_id, arn, trace, client_context = head.decode().split("\0")
    return request_id, arn, trace, client_context, payload


class Buffer:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The whole frames so far, as (kind, body)."""
        start = 0
        held = self._bytes
        try:
            while len(held) - start >= HEADER.size:
                length, kind = HEADER.unpack_from(held, start)
                if length > LARGEST or not INVOKE <= kind <= FATAL:
                    raise FrameError(f"frame of kind {kind} and {length} bytes")
                end = start + HEADER.size + length
                if len(held) < end:
                    break
                body = bytes(held[start + HEADER.size : end])
                start = end
                yield kind, body
        finally:
            if start:
                del held[:start]
