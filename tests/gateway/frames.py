"""WebSocket frames by hand, for what no client library would send, and a socket that speaks them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.patience import PATIENCE

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, mask: bytes | None = b"\1\2\3\4", reserved: int = 0) -> bytes:
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    bit = 0 if mask is None else 0x80
    if len(data) < 126:
        head = struct.pack("!BB", first, bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(data))
    if mask is None:
        return head + data
    return head + mask + bytes(octet ^ mask[place % 4] for place, octet in enumerate(data))


def text(data: str) -> bytes:
    return frame(TEXT, data.encode())


def handshake(path: str = "/prod", headers: str = "") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


class RawClient:
    """``receive`` gives the next frame's opcode and data; None when the server has closed the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._received = b""

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def shake_hands(self, path: str = "/prod", headers: str = "") -> bytes:
        """The head of the answer, and its body where the handshake is refused."""
        self.send(handshake(path, headers))
        return self.head()

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                break
        head, end, self._received = self._received.partition(b"\r\n\r\n")
        return head + end

    def rest(self) -> bytes:
        while self._more():
            pass
        return self._received

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        self._received += piece
        return bool(piece)

    def take(self, count: int) -> bytes | None:
        while len(self._received) < count:
            if not self._more():
                return None
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def receive(self) -> tuple[int, bytes] | None:
        head = self.take(2)
        if head is None:
            return None
        size = head[1]
        if size == 126:
            size = int.from_bytes(self.take(2) or b"")
        elif size == 127:
            size = int.from_bytes(self.take(8) or b"")
        data = self.take(size)
        return None if data is None else (head[0] & 15, data)

    def closed(self) -> int | None:
        """The code that the server closes with, what comes before it passed over; None if it says none."""
        while (received := self.receive()) is not None:
            if received[0] == CLOSE:
                return int.from_bytes(received[1][:2])
        return None


@contextmanager
def raw_client(port: int) -> Iterator[RawClient]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        yield RawClient(connection)


@contextmanager
def raw_websocket(port: int, path: str = "/prod") -> Iterator[RawClient]:
    """One whose handshake is over."""
    with raw_client(port) as client:
        assert client.shake_hands(path).startswith(b"HTTP/1.1 101 ")
        yield client
