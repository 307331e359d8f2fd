"""A WebSocket connection without a socket, for tests that look at every step of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from eventflow.gateway.websocket.connection import Connection
from eventflow.gateway.websocket.events import Facts
from eventflow.testing.virtual_clock import VirtualClock

FACTS = Facts("id=", "api", "prod", "host", 0.0, "127.0.0.1")


class NoSocket:
    def setsockopt(self, *_: Any) -> None: ...


class Wire:
    """A transport that keeps what is written, and takes it away when it is told to."""

    def __init__(self) -> None:
        self.written = b""
        self.unsent = 0
        self.reading = True
        self.closed = self.aborted = self.eof = False
        self.high = 0
        self.protocol: Connection | None = None

    def set_protocol(self, protocol: Connection) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_extra_info(self, _name: str) -> NoSocket:
        return NoSocket()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Listener:
    """Whom the connection tells; messages run until ``finish``."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.texts: list[str] = []
        self.running: list[Connection] = []
        self.most = 0
        self.ends: list[tuple[int, str]] = []

    def message(self, connection: Connection, text: str) -> None:
        self.texts.append(text)
        self.running.append(connection)
        self.most = max(self.most, len(self.running))

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        self.ends.append((code, reason))

    def finish(self) -> None:
        self.running.pop(0).done()


def on_a_loop(work: Callable[[Listener, Wire, Connection], None]) -> None:
    async def run() -> None:
        listener, wire = Listener(), Wire()
        connection = Connection(listener, wire, FACTS)  # type: ignore[arg-type]
        connection.open()
        work(listener, wire, connection)

    asyncio.run(run())


def receive(connection: Connection, data: bytes) -> None:
    view = connection.get_buffer(len(data))
    view[: len(data)] = data
    connection.buffer_updated(len(data))
