"""The limit of an HTTP request: an ASGI application that sends each body back, on the daemon's own server and event loop."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventflow.http_server import HttpServer

HEADERS = [(b"content-type", b"application/json")]


async def echo(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def serve() -> None:
    server = HttpServer("127.0.0.1", 0)
    print(server.url, flush=True)
    try:
        await server.serve(echo)
    finally:
        await server.close()


@contextmanager
def echo_server() -> Iterator[str]:
    """The address of one in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
