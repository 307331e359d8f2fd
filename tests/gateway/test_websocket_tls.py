"""WebSockets behind TLS, whose transports are others than sockets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from eventflow import App
from eventflow.http_guard import Limits, guarded
from tests.gateway.server import GatewayServer, gateway, until
from tests.gateway.test_mutual_tls import identity
from tests.patience import PATIENCE
from triggers import WebSocket

app = App("secure")


@app.on(WebSocket("$connect"))
@app.on(WebSocket("$disconnect"))
def note(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


@app.on(WebSocket("$default", route_response_selection_expression="$default"))
def size(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": event["body"][::-1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[GatewayServer]:
    own = identity(folder, "localhost", identity(folder, "authority"))
    with gateway(app, options={"tls": own.files, "protocol": guarded(Limits(10_240, 30.0, 60.0))}) as running:
        yield running


@pytest.fixture
def client(server: GatewayServer, folder: Path) -> Iterator[ClientConnection]:
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    with connect(f"wss://127.0.0.1:{server.port}/prod", ssl=context, max_size=None) as connection:
        yield connection


def test_messages_go_both_ways_up_to_the_largest(server: GatewayServer, client: ClientConnection) -> None:
    for text in ("hello", "x" * 30_000, "done"):
        client.send(text)
        assert client.recv(PATIENCE) == text[::-1]
    client.send(["ab" * 16_000] * 4)
    assert client.recv(PATIENCE) == "ba" * 64_000
    assert server.events[0]["headers"]["X-Forwarded-Proto"] == "https"


def test_what_is_too_large_ends_it_with_the_reason(server: GatewayServer, client: ClientConnection) -> None:
    before = len(server.events)
    client.send("x" * 40_000)
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    until(lambda: len(server.events) > before)
    until(lambda: server.events[-1]["requestContext"].get("disconnectStatusCode") == 1009)


def test_the_server_may_close_it(server: GatewayServer, client: ClientConnection) -> None:
    server.run(server.service.stop())
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
