"""What clients send that is broken, hostile, or unusual and right."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App
from tests.gateway.frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, frame, handshake, raw_client, raw_websocket, text
from tests.gateway.server import GatewayServer, gateway, until
from triggers import Http, WebSocket

app = App("frames")
gone: list[dict[str, Any]] = []
released = threading.Event()
running: list[str] = []


@app.on(WebSocket("$disconnect"))
def farewell(event: Any, context: Any) -> Any:
    gone.append(event["requestContext"])


@app.on(WebSocket("$default", route_response_selection_expression="$default"))
def size(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": str(len(event["body"].encode()))}


@app.on(WebSocket("hold"))
async def hold(event: Any, context: Any) -> Any:
    running.append(event["requestContext"]["messageId"])
    while not released.is_set():  # noqa: ASYNC110 - a test sets it in another thread
        await asyncio.sleep(0.002)
    return {"statusCode": 200}


@app.on(Http("GET /"))
def page(event: Any, context: Any) -> Any:
    return "page"


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running_server:
        yield running_server


def ended(server: GatewayServer, *pieces: bytes) -> tuple[int | None, int]:
    """The code that a client which sends this is closed with, and the one that $disconnect is told."""
    before = len(gone)
    with raw_websocket(server.port) as client:
        client.send(*pieces)
        code = client.closed()
    until(lambda: len(gone) > before)
    return code, gone[-1]["disconnectStatusCode"]


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([frame(TEXT, b"x" * 32_769)], 1009),
        ([frame(TEXT, b"x" * 32_768, fin=False)] + [frame(CONT, b"x" * 32_768, fin=False)] * 3 + [frame(CONT, b"x")], 1009),
        ([frame(TEXT, b"\xff\xfe")], 1007),
        ([frame(TEXT, b"\xc3", fin=False), frame(CONT, b"\x28")], 1007),
        ([frame(BINARY, b"{}")], 1003),
        ([frame(BINARY, b"{}", fin=False)], 1003),
        ([frame(TEXT, b"{}", mask=None)], 1002),
        ([frame(TEXT, b"{}", reserved=4)], 1002),
        ([frame(3, b"{}")], 1002),
        ([frame(CONT, b"{}")], 1002),
        ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002),
        ([frame(PING, b"x" * 126)], 1002),
        ([frame(PING, b"x", fin=False)], 1002),
        ([frame(CLOSE, b"\x03")], 1002),
        ([frame(CLOSE, (999).to_bytes(2))], 1002),
        ([frame(CLOSE, (1000).to_bytes(2) + b"\xff")], 1007),
        ([b"\x81\xff" + b"\xff" * 8 + b"\1\2\3\4"], 1009),
    ],
)
def test_what_is_no_message_ends_the_connection(server: GatewayServer, pieces: list[bytes], code: int) -> None:
    assert ended(server, *pieces) == (code, code)


def test_a_client_that_is_still_sending_learns_why_it_is_closed(server: GatewayServer) -> None:
    assert ended(server, frame(TEXT, b"x" * 500_000), text("more"), text("and more")) == (1009, 1009)


@pytest.mark.parametrize(("data", "code"), [((1000).to_bytes(2) + b"bye", 1000), ((4001).to_bytes(2), 4001), (b"", 1005)])
def test_a_close_is_answered_in_kind_and_told_of(server: GatewayServer, data: bytes, code: int) -> None:
    before = len(gone)
    with raw_websocket(server.port) as client:
        client.send(frame(CLOSE, data), text("after it"))
        assert client.receive() == (CLOSE, data)
        assert client.receive() is None
    until(lambda: len(gone) > before)
    told = gone[-1]
    assert told["disconnectStatusCode"] == code
    assert told["disconnectReason"] == (data[2:].decode() or ("" if code != 1005 else "Client-side close frame status not set"))


def test_a_socket_that_just_goes_was_closed_abnormally(server: GatewayServer) -> None:
    before = len(gone)
    with raw_websocket(server.port) as client:
        client.send(frame(TEXT, b"half a mess", fin=False))
    until(lambda: len(gone) > before)
    assert gone[-1]["disconnectStatusCode"] == 1006


def test_the_largest_message_comes_in_frames_with_pings_between_them(server: GatewayServer) -> None:
    with raw_websocket(server.port) as client:
        part = b"x" * 32_768
        client.send(frame(TEXT, part, fin=False), frame(PING, b"here?"), frame(CONT, part, fin=False), frame(CONT, part, fin=False))
        assert client.receive() == (PONG, b"here?")
        client.send(frame(CONT, part))
        assert client.receive() == (TEXT, b"131072")


def test_a_message_may_come_byte_by_byte(server: GatewayServer) -> None:
    with raw_websocket(server.port) as client:
        for octet in text("grün") + frame(PING, b"!"):
            client.send(bytes((octet,)))
        assert sorted([client.receive(), client.receive()], key=str) == sorted([(TEXT, b"5"), (PONG, b"!")], key=str)


def test_empty_frames_keep_nothing(server: GatewayServer) -> None:
    with raw_websocket(server.port) as client:
        client.send(frame(TEXT, b"{", fin=False), frame(CONT, b"", fin=False) * 50_000, frame(CONT, b"}"))
        assert client.receive() == (TEXT, b"2")


def test_so_many_messages_of_one_client_run_at_once_and_the_others_wait_their_turn(server: GatewayServer) -> None:
    running.clear()
    with raw_websocket(server.port) as flood, raw_websocket(server.port) as other:
        flood.send(text('{"action": "hold"}') * 3000)
        until(lambda: len(running) == 8)
        other.send(text("I am here too"))
        assert other.receive() == (TEXT, b"13")
        assert len(running) == 8
        released.set()
        until(lambda: len(running) == 3000)
        flood.send(text("done"))
        assert flood.receive() == (TEXT, b"4")


def test_messages_that_a_client_sends_before_its_handshake_is_answered_are_not_lost(server: GatewayServer) -> None:
    with raw_client(server.port) as client:
        head = client.shake_hands()
        client.send(text("1"), text("22"))
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert sorted(str(client.receive()) for _ in range(2)) == [str((TEXT, b"1")), str((TEXT, b"2"))]


def test_the_handshake_says_what_it_must_and_compresses_nothing(server: GatewayServer) -> None:
    with raw_client(server.port) as client:
        head = client.shake_hands(headers="Sec-WebSocket-Extensions: permessage-deflate\r\n").lower()
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" in head
    assert b"upgrade: websocket\r\n" in head
    assert b"extensions" not in head


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /prod", "Sec-WebSocket-Version: 13\r\n", 400),
        ("GET /prod", "Sec-WebSocket-Key: c2hvcnQ=\r\nSec-WebSocket-Version: 13\r\n", 400),
        ("GET /prod", f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 8\r\n", 400),
        ("GET /nowhere", f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n", 403),
        ("GET /prod/deeper", "", 403),
        ("POST /prod", "", 405),
    ],
)
def test_what_is_no_handshake_is_refused(server: GatewayServer, line: str, headers: str, status: int) -> None:
    with raw_client(server.port) as client:
        client.send(f"{line} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\r\n".encode())
        assert int(client.head().split()[1]) == status
        client.rest()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /prod HTTP/1.0", 505),
        (b"GET /prod\xff HTTP/1.1", 400),
        (b"GET /prod%ff HTTP/1.1", 403),
        (b"OPTIONS * HTTP/1.1", 403),
        (b"GET //[ HTTP/1.1", 403),
        (b"GET http://elsewhere/prod HTTP/1.1", 101),
    ],
)
def test_odd_request_lines_of_handshakes(server: GatewayServer, line: bytes, status: int) -> None:
    with raw_client(server.port) as client:
        client.send(handshake().replace(b"GET /prod HTTP/1.1", line))
        assert int(client.head().split()[1]) == status


def test_a_handshake_of_two_hosts_is_refused(server: GatewayServer) -> None:
    with raw_client(server.port) as client:
        client.send(handshake().replace(b"Host:", b"Host: elsewhere\r\nHost:"))
        assert client.head().startswith(b"HTTP/1.1 400 ")


def test_a_handshake_may_follow_answered_requests_and_no_others(server: GatewayServer) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw_client(server.port) as client:
        client.send(request)
        assert client.head().startswith(b"HTTP/1.1 200 ")
        assert client.take(4) == b"page"
        assert client.shake_hands().startswith(b"HTTP/1.1 101 ")
    with raw_client(server.port) as client:
        client.send(request + handshake())
        assert b" 101 " not in client.rest()


def test_an_http_api_stands_beside_it_at_the_same_port(server: GatewayServer) -> None:
    assert server.get("/").text == "page"
    assert json.loads(server.get("/prod").body) == {"message": "Not Found"}
