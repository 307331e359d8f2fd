"""The HTTP server of the AWS endpoint and of the API gateway: uvicorn on a socket that we opened, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from eventflow.errors import EventflowError

BACKLOG = 2048
#: Seconds between two requests of a connection, where no limits say otherwise.
KEEP_ALIVE = 5


class State(ServerState):
    """Dates an answer when it is made. uvicorn keeps the date up by waking ten times a second, which is most of what an idle daemon would do."""

    def __init__(self) -> None:
        self._dated_at = -1
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        if (second := int(time.monotonic())) != self._dated_at:
            self._dated_at = second
            self._headers = [(b"date", formatdate(usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, _value: list[tuple[bytes, bytes]]) -> None:
        """The configuration has no headers of its own."""


class JoinedWrites:
    """A transport that joins what is written in one turn of the event loop: a head and its body are one call of the kernel, which costs more than
    making an answer does, and one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Limits:
    """What a server takes from clients that it does not know: ``head_bytes`` of a request's line and headers, ``head_seconds`` until they are whole,
    ``idle_seconds`` between two requests, or in which nothing of an answer is read."""

    head_bytes: int
    head_seconds: float
    idle_seconds: float


class HeadTooLarge(Exception):
    """A request's line and headers have more bytes than they may."""


class GuardedProtocol(Protocol):
    """Refuses heads that are too large and clients that are too slow. A request whose head comes in one piece pays nothing for it."""

    limits = Limits(10_240, 30.0, 60.0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heading, self._ending = True, False
        self._earlier = self._piece = 0
        self._too_large = False
        self._unread = 0
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        super().data_received(data)
        if self._heading and not self.transport.is_closing():
            self._earlier += self._piece
            if self._earlier > self.limits.head_bytes:
                self._too_large = True
                self.send_400_response("")
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        self._heading, self._earlier = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        most = self.limits.head_bytes
        if self._earlier + self._piece > most and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > most:
            self._too_large = True
            raise HeadTooLarge
        self._heading = False
        if self._head_timer is not None:
            self._cancel_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """End the connection, with an answer where the client can only take it for that of the request that is refused."""
        self._cancel_head_timer()
        self._heading = False
        if self.cycle is not None and not self.cycle.response_complete:
            self._ending = True  # those before it get their answers, and then no more
            if self.cycle.more_body:  # what is refused is the body of the latest of them
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                if not self.pipeline:
                    self.transport.close()
            return
        status, text = (431, "Request Header Fields Too Large") if self._too_large else (400, "Bad Request")
        body = f'{{"message":"{text}"}}'
        head = f"HTTP/1.1 {status} {text}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(f"{head}{body}".encode())
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._ending and not self.pipeline:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client reads nothing is idle too."""
        unread = self.transport.get_write_buffer_size()
        if unread and unread != self._unread:
            self._unread = unread
            self.timeout_keep_alive_task = self.loop.call_later(self.limits.idle_seconds, self.timeout_keep_alive_handler)
        elif unread:
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._heading:
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


@dataclass(frozen=True)
class Tls:
    """The server's certificate (with the chain) and its key, PEM files."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises EventflowError, which names the file, for what no server can start with."""
        for file in (self.certificate, self.key):
            if not file.is_file():
                raise EventflowError(f"{file} is no file; --tls-cert takes the server's certificate and --tls-key its key, both as PEM.")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, OSError) as error:
            raise EventflowError(f"{self.certificate} and {self.key} are no certificate and its key in PEM: {error}.") from error


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = State()
        self._leave = asyncio.Event()

    async def main_loop(self) -> None:
        await self._leave.wait()

    def leave(self) -> None:
        """Let ``serve`` come to its end."""
        self.should_exit = True
        self._leave.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI application. The socket listens from the start, so that its ``url`` is known before anything answers."""

    def __init__(self, host: str, port: int, *, flag: str = "--port", limits: Limits | None = None, tls: Tls | None = None) -> None:
        """``flag`` is what a person would change if the port is taken; ``limits`` are for a server that anybody can reach."""
        if tls is not None:
            tls.check()
        self._limits, self._tls = limits, tls
        self._listener = listen(host, port, flag)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if tls is None else 'https'}://{shown}:{self._listener.getsockname()[1]}"
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def serve(self, app: Any) -> asyncio.Task[None]:
        """Answer requests from now on; the task ends only after ``close``, or with the server's own failure."""
        limits = self._limits
        protocol = Protocol if limits is None else type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})
        config = uvicorn.Config(
            app,
            http=protocol,
            timeout_keep_alive=KEEP_ALIVE if limits is None else int(limits.idle_seconds),
            ssl_certfile=None if self._tls is None else self._tls.certificate,
            ssl_keyfile=None if self._tls is None else self._tls.key,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        self._server = Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        return self._serving

    async def close(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.leave()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._listener.close()


def listen(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ``EventflowError`` when the port is taken."""
    # The protocol is named because asyncio turns Nagle's algorithm off only on sockets that name it: else an answer's body waits for 40 ms.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EventflowError(f"{host}:{port} cannot be listened on: {error}. Choose another with {flag} (0 takes any that is free).") from error
    listener.listen(BACKLOG)
    return listener
