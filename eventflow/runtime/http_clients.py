"""The connections of the programs that use the Runtime API, and what takes the body of a request."""

from __future__ import annotations

import selectors
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
    """One connection. ``route`` says who takes a request's body; ``selector`` wakes ``turn`` for as long as it is open. Where the program has asked
    for more before it has read an answer, both answers go together: it need not be woken for the first."""

    def __init__(self, connection: socket.socket, route: Callable[[Client, Request], Receiver], selector: selectors.BaseSelector) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._route = route
        self._selector = selector
        self._unsent = bytearray()
        self._ready = b""
        self._owed = 0
        self._is_reading = False
        selector.register(connection, selectors.EVENT_READ, self.turn)
        self._reader = Reader()
        self._receiver: Receiver | None = None
        self.keep_alive = True
        self.is_open = True

    def turn(self) -> None:
        """Something can be read or written."""
        if self._unsent:
            data, self._unsent = bytes(self._unsent), bytearray()
            self._selector.modify(self.connection, selectors.EVENT_READ, self.turn)
            self._write(data)
            if not self.keep_alive and not self._unsent:
                self.close()
        self.read()

    def read(self) -> bool:
        """Take what has come; whether there may be more at once."""
        try:
            data = self.connection.recv(RECEIVE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._is_reading = True
        try:
            for found in self._reader.feed(data):
                self._take(found)
                if not self.is_open:
                    return False
        except Malformed as error:
            self.send(refusal(error.status, "InvalidRequestFormat", str(error), keep_alive=False))
            self._flush()
            self.close()
            return False
        finally:
            self._is_reading = False
        if not self._owed or self._receiver is not None:
            self._flush()
        return self.is_open and len(data) == RECEIVE

    def _take(self, found: Request | bytes | End) -> None:
        if isinstance(found, Request):
            self.keep_alive = found.keep_alive
            self._owed += 1
            self._receiver = self._route(self, found)
            if found.expects_continue:
                self._ready += CONTINUE
        elif self._receiver is None:
            return  # the rest of a body that nobody takes any more
        elif isinstance(found, End):
            receiver, self._receiver = self._receiver, None
            receiver.end(found.trailers)
        else:
            self._receiver.piece(found)

    def send(self, data: bytes) -> None:
        """Send an answer: at once, and the rest when the program takes it."""
        self._ready += data
        self._owed -= 1
        if not self._is_reading:
            self._flush()

    def _flush(self) -> None:
        data, self._ready = self._ready, b""
        self._write(data)
        if not self.keep_alive and not self._unsent and not self._owed:
            self.close()

    def _write(self, data: bytes) -> None:
        if not self.is_open or not data:
            return
        sent = 0
        if not self._unsent:
            try:
                sent = self.connection.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        if sent < len(data):
            self._unsent += data[sent:]
            self._selector.modify(self.connection, selectors.EVENT_READ | selectors.EVENT_WRITE, self.turn)

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._selector.unregister(self.connection)
        self.connection.close()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.cut()
