"""What ends connections by time, with short times and the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App
from eventflow.gateway.websocket import connection, watch
from tests.gateway.frames import CLOSE, PING, PONG, RawClient, frame, raw_websocket, text
from tests.gateway.server import GatewayServer, gateway, until
from triggers import WebSocket

app = App("times")
app.websocket_api("idle", base_path="/idle", idle_timeout=2)
app.websocket_api("short", base_path="/short", connection_lifetime=2)


@app.on(WebSocket("$default"))
@app.on(WebSocket("$default", api="idle"))
@app.on(WebSocket("$default", api="short"))
def anything(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


@app.on(WebSocket("$disconnect"))
@app.on(WebSocket("$disconnect", api="idle"))
@app.on(WebSocket("$disconnect", api="short"))
def gone(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


@app.on(WebSocket("large", route_response_selection_expression="$default"))
def large(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "x" * 131_072}


@pytest.fixture
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def told(server: GatewayServer) -> list[tuple[int, str]]:
    contexts = [event["requestContext"] for event in list(server.events) if event["requestContext"]["eventType"] == "DISCONNECT"]
    return [(context["disconnectStatusCode"], context["disconnectReason"]) for context in contexts]


def going_away(client: RawClient) -> bool:
    return client.receive() == (CLOSE, (1001).to_bytes(2) + b"Going away")


def test_a_silent_connection_ends_and_pings_and_messages_keep_it(server: GatewayServer) -> None:
    with (
        raw_websocket(server.port, "/idle") as silent,
        raw_websocket(server.port, "/idle") as pinging,
        raw_websocket(server.port, "/idle") as talking,
    ):
        for _ in range(30):
            pinging.send(frame(PING))
            begin = time.monotonic()
            talking.send(text("I am here"))
            time.sleep(0.1)
        assert going_away(silent)
        assert {pinging.receive() for _ in range(30)} == {(PONG, b"")}
        assert going_away(talking)
        assert time.monotonic() - begin > 1.95, "its time counts from the last message"
    until(lambda: told(server).count((1001, "Going away")) >= 2)


def test_a_connection_ends_with_its_lifetime_whatever_it_says(server: GatewayServer) -> None:
    with raw_websocket(server.port, "/short") as client:
        begin = time.monotonic()
        while time.monotonic() - begin < 0.8:
            client.send(text("still here"))
            time.sleep(0.1)
        assert going_away(client)
    until(lambda: (1001, "Going away") in told(server))


def test_a_client_that_does_not_answer_the_closing_handshake_is_dropped(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.2)
    with raw_websocket(server.port, "/short") as client:
        assert going_away(client)
        assert client.receive() is None


def test_a_half_open_socket_is_found_by_a_ping(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PING_AFTER", 0.3)
    monkeypatch.setattr(watch, "PONG_WITHIN", 1.5)
    with raw_websocket(server.port) as dead, raw_websocket(server.port) as alive:
        while not told(server):
            assert alive.receive() == (PING, b"")
            alive.send(frame(PONG))
        assert dead.receive() == (PING, b"")
        assert dead.receive() is None
        assert told(server) == [(1006, "Connection closed abnormally")]


def test_a_client_that_reads_nothing_is_dropped(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CHOKED_FOR", 0.5)
    with raw_websocket(server.port) as client:
        client.send(text('{"action": "large"}') * 100)
        until(lambda: told(server) == [(1008, "Messages are not read")])
        ran = len(server.events)
    assert ran < 100
