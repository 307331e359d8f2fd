"""The HTTP server of the AWS endpoint: uvicorn on a socket that we opened, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from eventflow.errors import EventflowError

BACKLOG = 2048


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI application. The socket listens from the start, so that its ``url`` is known before anything answers."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listener.getsockname()[1]}"
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def serve(self, app: Any) -> asyncio.Task[None]:
        """Answer requests from now on; the task ends only after ``close``, or with the server's own failure."""
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none", server_header=False, timeout_graceful_shutdown=2)
        self._server = Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        return self._serving

    async def close(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
        self._listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ``EventflowError`` when the port is taken."""
    # The protocol is named because asyncio turns Nagle's algorithm off only on sockets that name it: else an answer's body waits for 40 ms.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EventflowError(f"{host}:{port} cannot be listened on: {error}. Choose another with --port (0 takes any that is free).") from error
    listener.listen(BACKLOG)
    return listener
