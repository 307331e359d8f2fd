"""The HTTP server of the AWS endpoint and of the API gateway: uvicorn on a socket that we opened, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from eventflow.errors import EventflowError
from eventflow.http_protocol import Protocol

BACKLOG = 2048
#: Seconds between two requests of a connection.
KEEP_ALIVE = 5
#: A transport, the request's ASGI scope, and the headers that every answer has.
Accept = Callable[[asyncio.Transport, dict[str, Any], list[tuple[bytes, bytes]]], None]


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

    def __init__(
        self,
        host: str,
        port: int,
        *,
        flag: str = "--port",
        protocol: type[HttpToolsProtocol] = Protocol,
        keep_alive: int = KEEP_ALIVE,
        tls: tuple[Path, Path] | None = None,
        client_ca: Path | None = None,
    ) -> None:
        """``flag`` is what a person would change if the port is taken; ``keep_alive`` are seconds between two requests of a connection; ``tls`` are
        a certificate and its key, PEM files; with ``client_ca`` clients must show a certificate of one of its authorities."""
        self._protocol, self._keep_alive, self._tls, self._client_ca = protocol, keep_alive, tls, client_ca
        self._listener = listen(host, port, flag)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if tls is None else 'https'}://{shown}:{self._listener.getsockname()[1]}"
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def serve(self, app: Any, accept: Accept | None = None) -> asyncio.Task[None]:
        """Answer requests from now on; the task ends only after ``close``, or with the server's own failure. ``accept`` takes over the connections
        whose requests ask for a WebSocket; without it they are requests like others."""
        upgrade: Any = accept or "none"
        config = uvicorn.Config(
            app,
            http=self._protocol,
            timeout_keep_alive=self._keep_alive,
            ssl_certfile=None if self._tls is None else self._tls[0],
            ssl_keyfile=None if self._tls is None else self._tls[1],
            ssl_ca_certs=self._client_ca,
            ssl_cert_reqs=ssl.CERT_NONE if self._client_ca is None else ssl.CERT_REQUIRED,
            ws=upgrade,
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

    async def close(self, grace: float | None = None) -> None:
        """Take no more connections, and end those that are open: idle ones now, the others when they were answered, or after ``grace`` seconds."""
        if grace is not None and self._server is not None:
            self._server.config.timeout_graceful_shutdown = max(1, round(grace))
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
