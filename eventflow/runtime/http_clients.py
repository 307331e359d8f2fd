"""The connections of the programs that use the Runtime API, and what takes the body of a request."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from eventflow.runtime.loopback_http import CONTINUE, End, Malformed, Reader, Request, refusal

RECEIVE = 262_144


class Receiver(Protocol):
    """Takes the body of one request; ``cut`` when its sender has gone before the end."""

    def piece(self, data: bytes) -> None: ...
    def end(self, trailers: dict[str, str]) -> None: ...
    def cut(self) -> None: ...


class Whole:
    """Gathers a body and hands it to ``then``: None if it has more than ``most`` bytes, which are not kept."""

    def __init__(self, most: int, then: Callable[[bytes | None], None], cut: Callable[[], None] = lambda: None) -> None:
        self._most = most
        self._then = then
        self._pieces: list[bytes] = []
        self._size = 0
        self.cut = cut

    def piece(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            self._pieces.clear()
        else:
            self._pieces.append(data)

    def end(self, _trailers: dict[str, str]) -> None:
        self._then(b"".join(self._pieces) if self._size <= self._most else None)


class Client:
    """One connection. ``route`` says who takes a request's body, ``closed`` is told when the connection has ended."""

    def __init__(self, connection: socket.socket, route: Callable[[Client, Request], Receiver], closed: Callable[[Client], None]) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(True)
        self.connection = connection
        self._route = route
        self._closed = closed
        self._reader = Reader()
        self._receiver: Receiver | None = None
        self.keep_alive = True
        self.is_open = True

    def read(self) -> bool:
        """Take what has come; whether there may be more at once."""
        try:
            data = self.connection.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        try:
            for found in self._reader.feed(data):
                self._take(found)
                if not self.is_open:
                    return False
        except Malformed as error:
            self.send(refusal(error.status, "InvalidRequestFormat", str(error), keep_alive=False))
            self.close()
            return False
        return len(data) == RECEIVE

    def _take(self, found: Request | bytes | End) -> None:
        if isinstance(found, Request):
            self.keep_alive = found.keep_alive
            self._receiver = self._route(self, found)
            if found.expects_continue:
                self._write(CONTINUE)
        elif self._receiver is None:
            return  # the rest of a body that nobody takes any more
        elif isinstance(found, End):
            receiver, self._receiver = self._receiver, None
            receiver.end(found.trailers)
        else:
            self._receiver.piece(found)

    def send(self, data: bytes) -> None:
        """Send an answer, waiting until the program takes it: who does not is killed at the function's time limit."""
        self._write(data)
        if not self.keep_alive:
            self.close()

    def _write(self, data: bytes) -> None:
        if self.is_open:
            try:
                self.connection.sendall(data)
            except OSError:
                self.close()

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._closed(self)
        self.connection.close()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.cut()
