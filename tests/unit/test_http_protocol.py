"""One connection: what goes over the wire, and when it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventflow.http_protocol import Protocol
from eventflow.http_server import HttpServer
from tests.patience import PATIENCE

App = Callable[[Any, Any, Any], Awaitable[None]]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]
GET = b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n"
OK = [(b"content-length", b"2")]


async def body_of(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        body += message["body"]
        more = message["more_body"]
    return body


async def start(send: Any, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers path, query and body; waits as long as the query says."""
    body = await body_of(receive)
    if scope["query_string"]:
        await asyncio.sleep(float(scope["query_string"]))
    answer = b"%b %b" % (scope["raw_path"], body)
    await start(send, [(b"content-length", b"%d" % len(answer))])
    await send({"type": "http.response.body", "body": answer})


def spoken(app: App, script: Script, protocol: type[Protocol] = Protocol) -> Any:
    """What the script returns, which has a connection to a server of the application."""

    async def main() -> Any:
        server = HttpServer("127.0.0.1", 0, protocol=protocol)
        server.serve(app)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        try:
            return await asyncio.wait_for(script(reader, writer), PATIENCE)
        finally:
            writer.close()
            await server.close()

    return asyncio.run(main())


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of an answer with a content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def test_a_connection_is_kept_for_the_next_request() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        found = []
        for name in (b"one", b"two%20and?0.01", b""):
            writer.write(GET % name)
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
            assert b"connection" not in head
            found.append(body)
        return found

    assert spoken(echo, script) == [b"/one ", b"/two%20and ", b"/ "]


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        writer.write(GET % b"slow?0.05" + b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nfour" + GET % b"last")
        return [(await answer(reader))[1] for _ in range(3)]

    assert spoken(echo, script) == [b"/slow ", b"/body four", b"/last "]


def test_a_body_may_come_in_chunks_and_in_pieces() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for piece in (b"PUT /x HTTP/1.1\r\nHo", b"st: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", b"c\r\n2\r\nde\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        return (await answer(reader))[1]

    assert spoken(echo, script) == b"/x abcde"


def test_a_client_that_expects_to_be_asked_is_asked_when_its_body_is_wanted() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        return (await answer(reader))[1]

    assert spoken(echo, script) == b"/x ok"


def test_a_client_that_expects_to_be_asked_may_be_refused_at_once() -> None:
    async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
        await start(send, [*OK, (b"connection", b"close")], 403)
        await send({"type": "http.response.body", "body": b"no"})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        return await reader.read()

    found = spoken(refuse, script)
    assert found.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert found.endswith(b"\r\n\r\nno")


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b""])
def test_a_connection_ends_with_its_answer_when_the_client_says_so(line: bytes) -> None:
    version = b"1.1" if line else b"1.0"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /x HTTP/%b\r\nHost: h\r\n%b\r\n" % (version, line))
        return await reader.read()

    found = spoken(echo, script)
    assert b"\r\nconnection: close\r\n" in found
    assert found.endswith(b"/x ")


def test_head_and_body_are_one_write_and_a_head_does_not_wait_for_a_late_body() -> None:
    writes: list[bytes] = []

    class Recorded(Protocol):
        def connection_made(self, transport: Any) -> None:
            write = transport.write

            def recorded(data: bytes) -> None:
                writes.append(data)
                write(data)

            transport.write = recorded
            super().connection_made(transport)

    go_on = asyncio.Event()

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await start(send, OK)
        if scope["path"] == "/late":
            await go_on.wait()
        await send({"type": "http.response.body", "body": b"ok"})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET % b"now")
        await answer(reader)
        assert len(writes) == 1
        writer.write(GET % b"late")
        await reader.readuntil(b"\r\n\r\n")
        go_on.set()
        assert await reader.readexactly(2) == b"ok"
        assert len(writes) == 3

    spoken(app, script, Recorded)


def test_an_answer_without_a_length_is_chunked_and_one_to_head_has_no_body() -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await start(send, [] if scope["method"] == "GET" else OK)
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"k"})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(GET % b"" + b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return await reader.read()

    first, second = spoken(app, script).split(b"0\r\n\r\n")
    assert b"\r\ntransfer-encoding: chunked\r\n" in first
    assert first.endswith(b"\r\n\r\n1\r\no\r\n1\r\nk\r\n")
    assert b"\r\ncontent-length: 2\r\n" in second
    assert second.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("body", [b"o", b"okk"])
def test_an_answer_that_is_not_as_long_as_it_says_ends_the_connection(body: bytes) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await start(send, OK)
        await send({"type": "http.response.body", "body": body})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(GET % b"")
        return await reader.read()

    assert not spoken(app, script).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("header", [(b"x-name", b"split\r\nin: two"), (b"x-na\rme", b"value"), (b"x name", b"value")])
def test_a_header_cannot_smuggle_another(header: tuple[bytes, bytes]) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await start(send, [*OK, header])

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(GET % b"")
        return await reader.read()

    assert spoken(app, script) == b""


def test_what_is_not_http_is_refused() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"what is this?\r\n\r\n")
        return await reader.read()

    assert spoken(echo, script).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_wish_for_another_protocol_is_answered_in_this_one() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        return (await answer(reader))[1]

    assert spoken(echo, script) == b"/x "


def test_a_slow_reader_slows_the_answer() -> None:
    sent = 0

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal sent
        await start(send, [(b"content-length", b"%d" % (400 * 65536))])
        for number in range(400):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": number < 399})
            sent += 1

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(GET % b"")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0)
        stopped_at = sent
        await reader.readexactly(400 * 65536)
        return stopped_at

    assert spoken(app, script) < 400


def test_an_application_learns_that_its_client_went_away() -> None:
    gone = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await start(send, [])
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"into the void"})
        gone.set()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET % b"")
        await reader.readuntil(b"x")
        writer.close()
        await gone.wait()

    spoken(app, script)


class Brief(Protocol):
    """Keeps a connection for half a second."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.timeout_keep_alive = 0.5  # type: ignore[assignment]


def test_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    """Three requests 0.3 s apart on a connection that is kept for half a second: it ends that long after the last, not the first."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for pause in (0.0, 0.3, 0.3):
            await asyncio.sleep(pause)
            began = loop.time()
            writer.write(GET % b"x")
            await answer(reader)
        assert await reader.read() == b""
        return loop.time() - began

    assert 0.49 < spoken(echo, script, Brief) < 5


def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(GET % b"first")
        await answer(reader)
        writer.write(GET % b"slow?0.7")
        return (await answer(reader))[1]

    assert spoken(echo, script, Brief) == b"/slow "
