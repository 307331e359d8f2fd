"""The HTTP server: what its sockets do."""

import asyncio
import socket
from typing import Any

from eventflow.http_server import HttpServer


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """With Nagle's algorithm the body of an answer, sent after its head, waits up to 40 ms for the client to acknowledge the head."""

    async def delays() -> list[int]:
        server = HttpServer("127.0.0.1", 0)
        serving = server.serve(answer)
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert server._server is not None
        transports: list[Any] = [connection.transport for connection in server._server.server_state.connections]
        found = [transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for transport in transports]
        writer.close()
        await writer.wait_closed()
        await server.close()
        await serving
        return found

    assert asyncio.run(delays()) == [1]
