"""The pipeline as a client sees it, over real connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from tests.gateway.server import GatewayServer, gateway
from triggers import Http, Rest

app = App("pipeline")
app.http_api("shop", base_path="/shop")


@app.on(Http("GET /items/{id}"))
@app.on(Http("ANY /echo/{proxy+}"))
def echo(event: Any, context: Any) -> Any:
    return event


@app.on(Http("GET /plain"))
@app.on(Http("GET /plain", api="shop"))
def plain(event: Any, context: Any) -> Any:
    return "plain text"


@app.on(Http("POST /answer"))
def answer(event: Any, context: Any) -> Any:
    return json.loads(event["body"])


@app.on(Http("GET /fails"))
@app.on(Rest("GET /fails"))
def fails(event: Any, context: Any) -> Any:
    raise ValueError("no")


@app.on(Rest("POST /answer"))
def rest_answer(event: Any, context: Any) -> Any:
    return json.loads(event["body"])


@app.on(Rest("ANY /echo/{proxy+}"))
def rest_echo(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": json.dumps(event)}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def test_every_answer_names_its_request(server: GatewayServer) -> None:
    for path, name in (("/plain", "apigw-requestid"), ("/nothing", "apigw-requestid"), ("/prod/echo/x", "x-amzn-requestid")):
        found = server.get(path)
        assert len(found.all(name)) == 1, path
        if path == "/prod/echo/x":
            assert found.json()["requestContext"]["requestId"] == found[name]


def test_a_route_leads_to_its_function(server: GatewayServer) -> None:
    event = server.get("/items/7?a=1").json()
    assert (event["routeKey"], event["pathParameters"], event["rawQueryString"]) == ("GET /items/{id}", {"id": "7"}, "a=1")


def test_paths_without_a_route_are_told_as_aws_tells_them(server: GatewayServer) -> None:
    for path in ("/nothing", "/items", "/items/1/2", "/plain/"):
        found = server.get(path)
        assert (found.status, found.json()) == (404, {"message": "Not Found"}), path
    found = server.get("/prod/nothing")
    assert (found.status, found.json()) == (403, {"message": "Missing Authentication Token"})


def test_an_api_with_a_base_path_is_there(server: GatewayServer) -> None:
    assert server.get("/shop/plain").text == "plain text"
    assert server.get("/shop/items/1").status == 404


def test_every_api_has_a_host_of_its_own(server: GatewayServer) -> None:
    assert server.get("/plain", host="shop.execute-api.localhost").text == "plain text"
    assert server.get("/plain", host="none.execute-api.localhost").status == 404
    event = server.get("/prod/echo/x", host=f"{server.service.app.table.mounts['/prod'].id}.execute-api.localhost:80").json()
    assert (event["path"], event["requestContext"]["path"]) == ("/echo/x", "/prod/echo/x")


def test_functions_that_fail(server: GatewayServer) -> None:
    found = server.get("/fails")
    assert (found.status, found.json()) == (500, {"message": "Internal Server Error"})
    found = server.get("/prod/fails")
    assert (found.status, found.json()) == (502, {"message": "Internal server error"})


def test_what_nothing_enforces_is_refused_by_name() -> None:
    asking = App("asking")
    asking.http_api(parking="free")
    asking.on(Http("GET /x"))(plain)
    with gateway(App("empty")) as running, pytest.raises(SettingError, match=r"HTTP API 'default': parking=.*is not supported yet"):
        running.load(asking)


def test_an_api_that_is_not_declared_is_refused() -> None:
    asking = App("asking")
    asking.on(Http("GET /x", api="shop"))(plain)
    with pytest.raises(SettingError, match=r"there is no HTTP API named 'shop'; declare it: app.http_api\('shop'\)"), gateway(asking):
        pass
