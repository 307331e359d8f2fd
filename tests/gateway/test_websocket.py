"""WebSocket APIs as clients and functions see them: routes, events, refusals, responses."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from eventflow import App, SettingError
from eventflow.clock import SystemClock
from eventflow.gateway.websocket.events import Facts
from eventflow.gateway.websocket.records import Records
from eventflow.services.logs import LogStore
from tests.gateway.frames import TEXT, frame, handshake, raw_client, raw_websocket
from tests.gateway.server import ACCOUNT, GatewayServer, gateway, until
from tests.patience import PATIENCE
from triggers import Rest, WebSocket

app = App("chat")
app.websocket_api(stage_variables={"colour": "green"})
app.websocket_api("nested", route_selection_expression="${request.body.message.kind}", base_path="/nested", stage="v1")
app.websocket_api("hidden", stage="live")


go_on = threading.Event()


@app.on(WebSocket("$connect"))
def enter(event: Any, context: Any) -> Any:
    wanted = (event.get("queryStringParameters") or {}).get("do")
    if wanted == "fail":
        raise RuntimeError("no")
    if wanted == "switch":
        return {"statusCode": 101}
    if wanted == "wait":
        go_on.wait(20)
    if wanted == "odd":
        return {"status": "no status code"}
    if wanted == "refuse":
        return {"statusCode": 401, "headers": {"X-Why": "nobody knows you"}, "body": "who are you?"}
    offered = event["headers"].get("Sec-WebSocket-Protocol", "")
    if wanted == "other" or "chat.v2" in offered:
        return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "chat.v2"}}
    return {"statusCode": 200}


@app.on(WebSocket("$disconnect"))
def leave(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


@app.on(WebSocket("quiet"))
def quiet(event: Any, context: Any) -> Any:
    return {"statusCode": 500, "body": "nobody hears this"}


@app.on(WebSocket("loud", route_response_selection_expression="$default"))
@app.on(WebSocket("$default", route_response_selection_expression="$default"))
@app.on(WebSocket("hello", api="nested", route_response_selection_expression="$default"))
@app.on(WebSocket("$default", api="hidden", route_response_selection_expression="$default"))
def loud(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": event["requestContext"]["routeKey"]}


@app.on(WebSocket("binary", route_response_selection_expression="$default"))
def binary(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "/w==", "isBase64Encoded": True}


@app.on(WebSocket("large", route_response_selection_expression="$default"))
def large(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "x" * 131_073}


@app.on(WebSocket("fail"))
def fail(event: Any, context: Any) -> Any:
    raise RuntimeError("it failed")


@app.on(WebSocket("nothing"))
def nothing(event: Any, context: Any) -> Any:
    return None


@app.on(WebSocket("late", timeout=0.05))
def late(event: Any, context: Any) -> Any:
    time.sleep(1)
    return {"statusCode": 200}


@app.on(Rest("GET /{proxy+}"))
def rest(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "rest"}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


@pytest.fixture
def client(server: GatewayServer) -> Iterator[ClientConnection]:
    server.events.clear()
    with connect(f"ws://127.0.0.1:{server.port}/prod") as connection:
        yield connection


def asked(client: ClientConnection, message: Any) -> Any:
    client.send(message if isinstance(message, str) else json.dumps(message))
    return client.recv(PATIENCE)


@pytest.mark.parametrize(
    ("message", "route"),
    [
        ({"action": "loud"}, "loud"),
        ({"action": "unheard of"}, "$default"),
        ({"action": "$default"}, "$default"),
        ({"action": "$connect"}, "$default"),
        ({"action": "$disconnect"}, "$default"),
        ({"action": {"loud": 1}}, "$default"),
        ({"action": None}, "$default"),
        ({"other": "loud"}, "$default"),
        ([{"action": "loud"}], "$default"),
        ("no JSON", "$default"),
        ('{"action": "loud"', "$default"),
        ("NaN", "$default"),
        ("[" * 60_000, "$default"),
    ],
)
def test_a_message_takes_the_route_that_it_names(server: GatewayServer, message: Any, route: str) -> None:
    with raw_websocket(server.port) as client:
        data = (message if isinstance(message, str) else json.dumps(message)).encode()
        parts = [data[start : start + 30_000] for start in range(0, len(data), 30_000)]
        for place, part in enumerate(parts):
            client.send(frame(TEXT if place == 0 else 0, part, fin=place == len(parts) - 1))
        assert client.receive() == (TEXT, route.encode())


def test_numbers_and_truth_values_name_routes_too() -> None:
    numbered = App("numbered")

    @numbered.on(WebSocket("7", route_response_selection_expression="$default"))
    @numbered.on(WebSocket("true", route_response_selection_expression="$default"))
    def named(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": event["requestContext"]["routeKey"]}

    with gateway(numbered) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert [asked(client, {"action": value}) for value in (7, True)] == ["7", "true"]


def test_an_api_chooses_by_its_own_expression_and_stands_at_its_base_path(server: GatewayServer) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/nested") as client:
        assert asked(client, {"message": {"kind": "hello"}}) == "hello"
        assert json.loads(asked(client, {"action": "hello"}))["message"] == "Forbidden"
    assert [event["requestContext"]["stage"] for event in server.events if event["requestContext"]["routeKey"] == "hello"] == ["v1"]


def test_an_api_without_a_path_is_reached_by_its_host(server: GatewayServer) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.port}/live"):
        pass
    assert refused.value.response.status_code == 403
    with raw_client(server.port) as client:
        client.send(handshake("/live").replace(b"Host: 127.0.0.1", b"Host: hidden.execute-api.localhost"))
        assert client.head().startswith(b"HTTP/1.1 101")
        client.send(frame(TEXT, b"hello"))
        assert client.receive() == (TEXT, b"$default")


def test_a_rest_api_may_have_the_same_stage(server: GatewayServer) -> None:
    assert server.get("/prod/anything").text == "rest"


def test_the_events_are_those_of_api_gateway(server: GatewayServer) -> None:
    server.events.clear()
    with connect(f"ws://127.0.0.1:{server.port}/prod?room=1&room=2", user_agent_header="test/1") as client:
        assert asked(client, {"action": "loud"}) == "loud"
    until(lambda: told(server, "DISCONNECT")[-1:] == told(server, "CONNECT"))
    opened, message, closed = [event for event in server.events if event["requestContext"]["connectionId"] in told(server, "CONNECT")]
    context = opened["requestContext"]
    connection, api = context["connectionId"], context["apiId"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", connection)
    assert re.fullmatch(r"[a-z0-9]{10}", api)
    same = {
        "connectedAt": context["connectedAt"],
        "connectionId": connection,
        "apiId": api,
        "domainName": f"{api}.execute-api.us-east-1.amazonaws.com",
        "stage": "prod",
        "messageDirection": "IN",
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "test/1"},
    }
    for event, kind, key in ((opened, "CONNECT", "$connect"), (message, "MESSAGE", "loud"), (closed, "DISCONNECT", "$disconnect")):
        found = event["requestContext"]
        assert {name: found[name] for name in same} == same
        assert (found["eventType"], found["routeKey"]) == (kind, key)
        assert found["requestId"] == found["extendedRequestId"]
        assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", found["requestTime"])
        assert abs(found["requestTimeEpoch"] / 1000 - time.time()) < 60
        assert event["isBase64Encoded"] is False
        assert event["stageVariables"] == {"colour": "green"}
    assert opened["queryStringParameters"] == {"room": "2"}
    assert opened["multiValueQueryStringParameters"] == {"room": ["1", "2"]}
    assert opened["headers"]["Host"] == f"127.0.0.1:{server.port}"
    assert opened["headers"]["Sec-WebSocket-Version"] == "13"
    assert opened["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert opened["multiValueHeaders"]["User-Agent"] == ["test/1"]
    assert set(opened) == {
        *("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters"),
        *("requestContext", "stageVariables", "isBase64Encoded"),
    }
    assert message["body"] == '{"action": "loud"}'
    assert set(message) == {"requestContext", "body", "stageVariables", "isBase64Encoded"}
    assert set(message["requestContext"]) - set(context) == {"messageId"}
    assert set(closed["requestContext"]) - set(context) == {"disconnectStatusCode", "disconnectReason"}
    assert (closed["requestContext"]["disconnectStatusCode"], closed["requestContext"]["disconnectReason"]) == (1000, "")
    assert ACCOUNT not in json.dumps(message)


@pytest.mark.parametrize(
    ("action", "message"), [("fail", "Internal server error"), ("nothing", "Internal server error"), ("late", "Endpoint request timed out")]
)
def test_a_client_is_told_that_its_message_went_wrong(client: ClientConnection, action: str, message: str) -> None:
    told = json.loads(asked(client, {"action": action}))
    assert told["message"] == message
    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", told["connectionId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", told["requestId"])
    assert set(told) == {"message", "connectionId", "requestId"}
    assert asked(client, {"action": "loud"}) == "loud"


def test_only_a_route_response_sends_what_the_function_returned(client: ClientConnection) -> None:
    client.send(json.dumps({"action": "quiet"}))
    assert asked(client, {"action": "loud"}) == "loud"
    assert asked(client, {"action": "binary"}) == b"\xff"
    assert json.loads(asked(client, {"action": "large"}))["message"] == "Internal server error"


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("do=refuse", 401, "who are you?"),
        ("do=fail", 502, "Internal server error"),
        ("do=odd", 502, "Internal server error"),
        ("do=switch", 502, "Internal server error"),
    ],
)
def test_connect_refuses_the_handshake_with_its_own_status(server: GatewayServer, query: str, status: int, body: str) -> None:
    server.events.clear()
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.port}/prod?{query}"):
        pass
    response = refused.value.response
    assert response.status_code == status
    text = (response.body or b"").decode()
    assert text == body or json.loads(text)["message"] == body
    if status == 401:
        assert response.headers["x-why"] == "nobody knows you"
    with connect(f"ws://127.0.0.1:{server.port}/prod"):
        pass
    later = next(reversed(told(server, "CONNECT")))
    until(lambda: later in told(server, "DISCONNECT"))
    assert told(server, "CONNECT")[0] not in told(server, "DISCONNECT")


def told(server: GatewayServer, kind: str) -> list[str]:
    """The connections of which functions were told so."""
    contexts = [event["requestContext"] for event in list(server.events)]
    return [context["connectionId"] for context in contexts if context["eventType"] == kind]


def test_a_client_that_does_not_wait_for_the_answer_is_dropped_and_told_of(server: GatewayServer) -> None:
    server.events.clear()
    go_on.clear()
    with raw_client(server.port) as client:
        client.send(handshake("/prod?do=wait"))
        until(lambda: told(server, "CONNECT"))
        client.send(frame(TEXT, b"I cannot wait"))
        assert client.rest() == b""
    go_on.set()
    until(lambda: told(server, "DISCONNECT") == told(server, "CONNECT"))


def test_a_connection_that_comes_while_a_former_lifes_are_looked_for_is_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Records.left

    async def look_late(self: Records, after: str, limit: int) -> list[Facts]:
        await asyncio.sleep(0.5)
        return await look(self, after, limit)

    monkeypatch.setattr(Records, "left", look_late)
    with gateway(app) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        time.sleep(0.7)
        assert asked(client, {"action": "loud"}) == "loud"
        assert told(server, "DISCONNECT") == []


def test_a_handshake_names_its_host(server: GatewayServer) -> None:
    with raw_client(server.port) as client:
        client.send(handshake().replace(b"Host: 127.0.0.1\r\n", b""))
        assert client.head().startswith(b"HTTP/1.1 400 ")


def test_so_many_handshakes_are_under_way_at_once(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.gateway.websocket.sockets.MOST_HANDSHAKES", 1)
    server.events.clear()
    go_on.clear()
    with raw_client(server.port) as slow, raw_client(server.port) as other:
        slow.send(handshake("/prod?do=wait"))
        until(lambda: told(server, "CONNECT"))
        refused = other.shake_hands()
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1\r\n" in refused
        go_on.set()
        assert slow.head().startswith(b"HTTP/1.1 101 ")


def test_connect_chooses_a_subprotocol_among_those_that_are_offered(server: GatewayServer) -> None:
    url = f"ws://127.0.0.1:{server.port}/prod"
    with connect(url, subprotocols=[Subprotocol("chat.v1"), Subprotocol("chat.v2")]) as client:
        assert client.subprotocol == "chat.v2"
    with connect(url, subprotocols=[Subprotocol("chat.v1")]) as client:
        assert client.subprotocol is None
    with connect(f"{url}?do=other") as client:
        assert client.subprotocol is None


def test_an_api_may_have_nothing_but_one_route() -> None:
    sparse = App("sparse")

    @sparse.on(WebSocket("only"))
    def only(event: Any, context: Any) -> Any:
        return {"statusCode": 200}

    with gateway(sparse) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert json.loads(asked(client, "no JSON"))["message"] == "Forbidden"
        client.send('{"action": "only"}')
        until(lambda: len(server.events) == 1)


def test_connections_stay_over_a_reload_and_end_with_their_api() -> None:
    def version(text: str, api: str = "default") -> App:
        made = App("reloaded")
        made.websocket_api(api, base_path=None if api == "default" else "/x", idle_timeout=2)

        @made.on(WebSocket("$default", api=api, route_response_selection_expression="$default"))
        def answer(event: Any, context: Any) -> Any:
            return {"statusCode": 200, "body": text}

        return made

    with gateway(version("one")) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert asked(client, "?") == "one"
        server.load(version("two"))
        assert asked(client, "?") == "two"
        server.load(version("three", "other"))
        assert json.loads(asked(client, "?"))["message"] == "Forbidden"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"route_selection_expression": "$request.header.x"}, "route_selection_expression='$request.header.x' is refused"),
        ({"route_selection_expression": "$request.body"}, "is refused: it takes"),
        ({"route_selection_expression": 5}, "is refused"),
        ({"idle_timeout": 601}, "idle_timeout=601 is refused: it takes 1 to 600 seconds"),
        ({"idle_timeout": True}, "idle_timeout=True is refused"),
        ({"connection_lifetime": 0}, "connection_lifetime=0 is refused: it takes 1 to 7200 seconds"),
        ({"cors": {}}, "cors is refused"),
        ({"compression": True}, "compression=true is not supported yet"),
    ],
)
def test_an_option_that_cannot_be_enforced_is_refused(options: dict[str, Any], says: str) -> None:
    wrong = App("wrong")
    wrong.websocket_api(**options)
    with pytest.raises(SettingError, match=re.escape(says)), gateway(wrong):
        pass


def test_two_functions_cannot_have_one_route() -> None:
    doubled = App("doubled")

    @doubled.on(WebSocket("a"))
    def one(event: Any, context: Any) -> Any: ...

    @doubled.on(WebSocket("a"))
    def two(event: Any, context: Any) -> Any: ...

    with pytest.raises(SettingError, match="two functions have the route 'a'"), gateway(doubled):
        pass


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"route": ""}, "route='' is refused"),
        ({"route": "$other"}, "there are '$connect'"),
        ({"route": "a", "timeout": 30}, "timeout=30 is refused: it takes 0.05 to 29 seconds"),
        ({"route": "a", "authorizer": "x"}, "it is a setting of the route '$connect' alone"),
        ({"route": "$default", "api_key": True}, "api_key of the route"),
    ],
)
def test_a_trigger_refuses_what_the_gateway_has_not(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=re.escape(says)):
        WebSocket(**settings)


@pytest.mark.parametrize(("route", "value"), [("$connect", "$default"), ("a", "yes")])
def test_a_route_response_is_for_messages(route: str, value: str) -> None:
    answering = App("answering")

    @answering.on(WebSocket(route, route_response_selection_expression=value))
    def one(event: Any, context: Any) -> Any: ...

    with pytest.raises(SettingError, match="route_response_selection_expression"), gateway(answering):
        pass


def test_without_the_package_the_load_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.gateway.websocket.front.importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=re.escape("pip install 'eventflow[gateway]'")), gateway(app):
        pass


def test_throttles_and_access_logs_see_handshakes_and_messages(tmp_path: Path) -> None:
    watched = App("watched")
    watched.websocket_api(access_log="common")

    @watched.on(WebSocket("$connect"))
    @watched.on(WebSocket("open"))
    @watched.on(WebSocket("shut", throttle=(0, 0)))
    def any_of_them(event: Any, context: Any) -> Any:
        return {"statusCode": 200}

    store = LogStore(tmp_path, SystemClock())
    with gateway(watched, access_files=store) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        client.send('{"action": "open"}')
        assert json.loads(asked(client, {"action": "shut"}))["message"] == "Too Many Requests"
        until(lambda: len(logged(server)) == 3)
        assert sorted(line.split()[-2] for line in logged(server)) == ["101", "200", "429"]
    store.close()


def logged(server: GatewayServer) -> list[str]:
    found = server.run(server.service.access_lines("default", "", 100))
    return found[0] if found is not None else []
