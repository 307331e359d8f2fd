"""The management API through boto3, which is the independent other side."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from eventflow import App
from tests.gateway.frames import CLOSE, TEXT, raw_websocket
from tests.gateway.server import GatewayServer, gateway, until
from tests.patience import PATIENCE
from triggers import WebSocket

app = App("pushed")
app.websocket_api("other", base_path="/other")
connecting: list[str] = []
tried: list[str] = []


@app.on(WebSocket("$connect"))
def opened(event: Any, context: Any) -> Any:
    connecting.append(event["requestContext"]["connectionId"])
    if event.get("queryStringParameters"):
        tried.append(
            failure(lambda: management(int(event["headers"]["X-Forwarded-Port"])).post_to_connection(ConnectionId=connecting[-1], Data=b"x"))
        )
    return {"statusCode": 200}


@app.on(WebSocket("$disconnect"))
@app.on(WebSocket("$default", api="other"))
def closed(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def management(port: int, stage: str = "/prod", **options: Any) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{port}{stage}",
        config=Config(retries={"max_attempts": 0}),
        **{"region_name": "us-east-1", "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", **options},
    )


@pytest.fixture(scope="module")
def api(server: GatewayServer) -> Any:
    return management(server.port)


@pytest.fixture
def client(server: GatewayServer) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}/prod", user_agent_header="test/1") as connection:
        yield connection


def failure(call: Any) -> str:
    with pytest.raises(ClientError) as error:
        call()
    return f"{error.value.response['ResponseMetadata']['HTTPStatusCode']} {error.value.response['Error']['Code']}"


def test_what_is_posted_arrives_in_its_order(api: Any, client: ClientConnection) -> None:
    for number in range(20):
        api.post_to_connection(ConnectionId=connecting[-1], Data=f"grün {number}".encode())
    assert [client.recv(PATIENCE) for _ in range(20)] == [f"grün {number}" for number in range(20)]


def test_bytes_that_are_no_text_come_as_a_binary_message(api: Any, client: ClientConnection) -> None:
    api.post_to_connection(ConnectionId=connecting[-1], Data=b"\xff\x00")
    api.post_to_connection(ConnectionId=connecting[-1], Data=b"")
    assert [client.recv(PATIENCE), client.recv(PATIENCE)] == [b"\xff\x00", ""]


def test_a_message_has_up_to_128_kb(api: Any, client: ClientConnection) -> None:
    api.post_to_connection(ConnectionId=connecting[-1], Data=b"x" * 131_072)
    assert len(client.recv(PATIENCE)) == 131_072
    raw = management(int(api.meta.endpoint_url.rpartition(":")[2].partition("/")[0]))
    raw.meta.events.register("before-call", lambda params, **_: params.update(body=b"x" * 131_073))
    assert failure(lambda: raw.post_to_connection(ConnectionId=connecting[-1], Data=b"x")) == "413 PayloadTooLargeException"


def test_a_connection_is_described(api: Any, client: ClientConnection) -> None:
    found = api.get_connection(ConnectionId=connecting[-1])
    assert found["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test/1"}
    now = datetime.now(UTC)
    assert abs((now - found["ConnectedAt"]).total_seconds()) < 60
    time.sleep(0.01)
    api.post_to_connection(ConnectionId=connecting[-1], Data=b"x")
    assert found["ConnectedAt"] <= found["LastActiveAt"] < api.get_connection(ConnectionId=connecting[-1])["LastActiveAt"]


def test_a_deleted_connection_is_closed_and_gone(server: GatewayServer, api: Any, client: ClientConnection) -> None:
    connection = connecting[-1]
    assert api.delete_connection(ConnectionId=connection)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ConnectionClosed) as ended:
        client.recv(PATIENCE)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1000
    for call in (api.get_connection, api.delete_connection):
        assert failure(lambda call=call: call(ConnectionId=connection)) == "410 GoneException"
    assert failure(lambda: api.post_to_connection(ConnectionId=connection, Data=b"x")) == "410 GoneException"
    until(lambda: any(event["requestContext"].get("disconnectStatusCode") == 1000 for event in server.events))


def test_a_connection_is_gone_once_its_client_has_left_and_not_there_before_connect_has_ended(server: GatewayServer, api: Any) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/prod?try=it"):
        connection = connecting[-1]
    assert tried == ["410 GoneException"]
    until(lambda: failure_or_none(api, connection) == "410 GoneException")


def failure_or_none(api: Any, connection: str) -> str | None:
    try:
        api.get_connection(ConnectionId=connection)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return None


def test_a_connection_belongs_to_its_api(server: GatewayServer, client: ClientConnection) -> None:
    assert failure(lambda: management(server.port, "/other").get_connection(ConnectionId=connecting[-1])) == "410 GoneException"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "403 InvalidSignatureException"),
        ({"aws_access_key_id": "AKIDNOBODY"}, "403 UnrecognizedClientException"),
    ],
)
def test_only_the_daemons_key_may_ask(server: GatewayServer, client: ClientConnection, options: dict[str, str], code: str) -> None:
    stranger = management(server.port, **options)
    assert failure(lambda: stranger.post_to_connection(ConnectionId=connecting[-1], Data=b"x")) == code
    assert failure(lambda: stranger.delete_connection(ConnectionId=connecting[-1])) == code


def test_an_unsigned_request_is_refused(server: GatewayServer, client: ClientConnection) -> None:
    answer = server.request("POST", f"/prod/@connections/{connecting[-1]}", b"x")
    assert (answer.status, answer["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert server.request("GET", "/prod/@connections/").status == 403
    assert server.request("PUT", f"/prod/@connections/{connecting[-1]}", b"x").status == 405


def test_a_body_that_was_changed_on_the_way_is_refused(server: GatewayServer, client: ClientConnection) -> None:
    changed = management(server.port)
    changed.meta.events.register("before-send", lambda request, **_: setattr(request, "body", b"y"))
    assert failure(lambda: changed.post_to_connection(ConnectionId=connecting[-1], Data=b"x")) == "403 InvalidSignatureException"


def test_what_waits_for_a_slow_reader_is_bounded(server: GatewayServer, api: Any) -> None:
    with raw_websocket(server.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection, sent = connecting[-1], 0
        while sent < 200 and (code := posted(api, connection, b"%08d" % sent + b"x" * 120_000)) is None:
            sent += 1
        assert code == "429 LimitExceededException"
        assert sent * 120_000 < 8_000_000
        assert [int(received[1][:8]) for _ in range(sent) if (received := client.receive()) is not None and received[0] == TEXT] == list(range(sent))
        until(lambda: posted(api, connection, b"there is room again") is None)
        assert client.receive() == (TEXT, b"there is room again")


def posted(api: Any, connection: str, data: bytes) -> str | None:
    try:
        api.post_to_connection(ConnectionId=connection, Data=data)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return None


def test_a_stop_closes_connections_with_1001_and_tells_of_each() -> None:
    with gateway(app) as server:
        with raw_websocket(server.port) as one, raw_websocket(server.port) as other:
            server.run(server.service.stop())
            for client in (one, other):
                received = client.receive()
                assert received is not None
                assert (received[0], int.from_bytes(received[1][:2])) == (CLOSE, 1001)
        told = [event["requestContext"]["disconnectStatusCode"] for event in server.events if event["requestContext"]["eventType"] == "DISCONNECT"]
        assert told == [1001, 1001]
        assert json.loads(server.request("GET", "/prod/@connections/x").body)["message"]
