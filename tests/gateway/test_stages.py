"""Several stages of one API: the same routes, with each stage's own variables, limits, log and place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.sync.client import connect

from eventflow import App, SettingError
from eventflow.clock import SystemClock
from eventflow.services.logs import LogStore
from tests.gateway.server import GatewayServer, gateway
from triggers import Http, Rest, WebSocket

KEY, OTHER = "k" * 20, "o" * 20
app = App("staged")
app.http_api(
    stage_variables={"table": "items"},
    access_log="$context.stage $context.status",
    stages={"$default": {}, "dev": {"stage_variables": {"table": "items-dev"}, "throttle": {"rate": 0.001, "burst": 3}}},
)
app.http_api("shop", stages={"live": {"base_path": "/shop"}, "next": {"base_path": "/shop/next"}, "hidden": {}})
rest = app.rest_api("orders", stages={"v1": {"base_path": "/orders"}, "v2": {}})
app.websocket_api(stages={"prod": {"stage_variables": {"room": "all"}}, "beta": {"stage_variables": {"room": "few"}}})
app.api_key("partner", KEY)
app.api_key("tester", OTHER)
app.usage_plan("all", keys=["partner"], apis=[rest])
app.usage_plan("one", keys=["tester"], apis=["orders/v2"])
opened: list[Any] = []


@app.on(Http("GET /items/{id}"))
@app.on(Http("GET /items/{id}", api="shop"))
def items(event: Any, context: Any) -> Any:
    return event


@app.on(Rest("GET /list/{id}", api="orders"))
@app.on(Rest("GET /closed", api="orders", api_key=True))
def orders(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": json.dumps(event)}


@app.on(WebSocket("$connect"))
def connected(event: Any, context: Any) -> Any:
    opened.append(event)
    return {"statusCode": 200}


@app.on(WebSocket("$default", route_response_selection_expression="$default"))
def said(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": json.dumps([event["requestContext"]["stage"], event["stageVariables"]["room"]])}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    store = LogStore(Path(tmp_path_factory.mktemp("logs")) / "access", SystemClock())
    with gateway(app, access_files=store) as running:
        yield running
    store.close()


def seen(event: Any) -> tuple[str, str, str | None]:
    return event["requestContext"]["stage"], event["rawPath"], event.get("stageVariables", {}).get("table")


def test_stages_are_beside_each_other_on_the_port(server: GatewayServer) -> None:
    assert seen(server.get("/items/7").json()) == ("$default", "/items/7", "items")
    event = server.get("/dev/items/7").json()
    assert seen(event) == ("dev", "/dev/items/7", "items-dev")
    assert event["pathParameters"] == {"id": "7"}
    assert event["requestContext"]["http"]["path"] == "/dev/items/7"


def test_stages_are_the_first_part_of_the_path_at_the_host_of_the_api(server: GatewayServer) -> None:
    host = "default.execute-api.localhost"
    assert seen(server.get("/items/7", Host=host).json()) == ("$default", "/items/7", "items")
    assert seen(server.get("/dev/items/7", Host=host).json()) == ("dev", "/dev/items/7", "items-dev")
    hidden = server.get("/hidden/items/7", Host="shop.execute-api.localhost").json()
    assert seen(hidden) == ("hidden", "/hidden/items/7", None)
    assert hidden["requestContext"]["apiId"] == server.get("/shop/items/7").json()["requestContext"]["apiId"]


def test_base_paths_lead_to_stages(server: GatewayServer) -> None:
    assert seen(server.get("/shop/items/7").json()) == ("live", "/live/items/7", None)
    assert seen(server.get("/shop/next/items/7").json()) == ("next", "/next/items/7", None)
    event = server.get("/orders/list/7").json()
    assert (event["path"], event["requestContext"]["stage"], event["requestContext"]["path"]) == ("/orders/list/7", "v1", "/orders/list/7")
    event = server.get("/v2/list/7", Host="orders.execute-api.localhost").json()
    assert (event["path"], event["requestContext"]["stage"], event["requestContext"]["path"]) == ("/list/7", "v2", "/v2/list/7")


def test_a_stage_that_there_is_not(server: GatewayServer) -> None:
    """As the protocols word it: a REST API does not know the stage, or knows it and not the resource."""
    at_rest, at_http = "orders.execute-api.localhost", "shop.execute-api.localhost"
    found = server.get("/v3/list/7", Host=at_rest)
    assert (found.status, found.json(), found["x-amzn-errortype"]) == (403, {"message": "Forbidden"}, "ForbiddenException")
    assert server.get("/", Host=at_rest).json() == {"message": "Forbidden"}
    found = server.get("/v2/nothing", Host=at_rest)
    assert (found.status, found.json()) == (403, {"message": "Missing Authentication Token"})
    for path in ("/other/items/7", "/", "/livelong/items/7"):
        found = server.get(path, Host=at_http)
        assert (found.status, found.json()) == (404, {"message": "Not Found"})
    assert server.get("/live/items/7", Host="unknown.execute-api.localhost").status == 404


def test_each_stage_has_its_own_bucket(server: GatewayServer) -> None:
    answers = [server.get("/dev/items/1").status for _ in range(4)]
    assert answers.count(429) >= 1
    assert server.get("/items/1").status == 200


def test_each_stage_has_its_own_log(server: GatewayServer) -> None:
    server.get("/items/1")
    server.get("/dev/items/1")
    logs = {name: server.run(server.service.access_lines(name, "", 100)) for name in ("default", "default.dev")}
    stages = {name: {line.split()[0] for line in found[0]} for name, found in logs.items() if found is not None}
    assert stages == {"default": {"$default"}, "default.dev": {"dev"}}


def test_usage_plans_are_for_apis_or_stages(server: GatewayServer) -> None:
    host = "orders.execute-api.localhost"
    answers = {(stage, key): server.get(f"/{stage}/closed", Host=host, x_api_key=key).status for stage in ("v1", "v2") for key in (KEY, OTHER)}
    assert answers == {("v1", KEY): 200, ("v1", OTHER): 403, ("v2", KEY): 200, ("v2", OTHER): 200}


@pytest.mark.parametrize("stage, room, other", [("prod", "all", "beta"), ("beta", "few", "prod")])
def test_websocket_connections_belong_to_their_stage(server: GatewayServer, stage: str, room: str, other: str) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/{stage}") as client:
        client.send("hello")
        assert json.loads(client.recv(5)) == [stage, room]
        context = opened[-1]["requestContext"]
        assert (context["stage"], opened[-1]["stageVariables"]) == (stage, {"room": room})
        management(server, stage).post_to_connection(ConnectionId=context["connectionId"], Data=b"pushed")
        assert client.recv(5) == "pushed"
        with pytest.raises(ClientError, match="Gone"):
            management(server, other).post_to_connection(ConnectionId=context["connectionId"], Data=b"pushed")


def management(server: GatewayServer, stage: str) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{server.port}/{stage}",
        config=Config(retries={"max_attempts": 0}),
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stages": {}}, "takes a dict of 1 to 10"),
        ({"stages": ["a"]}, "takes a dict of 1 to 10"),
        ({"stages": {"a": None}}, "takes a dict of 1 to 10"),
        ({"stages": {f"s{number}": {} for number in range(11)}}, "takes a dict of 1 to 10"),
        ({"stages": {"a": {"cors": True}}}, r"a stage has no option 'cors' \('a'\); it has: stage_variables, base_path, throttle, access_log"),
        ({"stages": {"a b": {}}}, r"HTTP API 'default' \(stage 'a b'\): stage='a b' is refused"),
        ({"stages": {"a": {}}, "stage": "b"}, "stage is refused beside stages"),
        ({"stages": {"a": {}}, "base_path": "/b"}, "base_path is refused beside stages"),
        (
            {"stages": {"a": {"base_path": "/x"}, "b": {"base_path": "/x"}}},
            r"\(stage 'a'\) and the HTTP API 'default' \(stage 'b'\) are both at '/x'",
        ),
        ({"stages": {"a": {"throttle": 1}}}, r"The HTTP API 'default' \(stage 'a'\): throttle=1 is refused"),
    ],
)
def test_stages_that_cannot_be(options: dict[str, Any], message: str) -> None:
    wrong = App("wrong")
    wrong.http_api(**options)
    with pytest.raises(SettingError, match=message), gateway(wrong):
        pass


def test_connections_of_a_stage_that_is_gone_are_still_told_of() -> None:
    def version(*stages: str) -> App:
        made = App("fewer")
        made.websocket_api(stages={stage: {} for stage in stages})
        made.on(WebSocket("$disconnect"))(told)
        return made

    ended: list[Any] = []

    def told(event: Any, context: Any) -> Any:
        ended.append(event["requestContext"]["stage"])

    with gateway(version("prod", "beta")) as server:
        with connect(f"ws://127.0.0.1:{server.port}/beta"):
            server.load(version("prod"))
        for _ in range(200):
            if ended:
                break
            server.get("/")
        assert ended == ["beta"]
