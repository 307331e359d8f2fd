"""CORS of HTTP APIs and function URLs: "Configure CORS for HTTP APIs", API Gateway developer guide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from tests.gateway.server import GatewayServer, Response, gateway
from triggers import Http, Rest

SHOP = "https://shop.example"
app = App("cors")
app.http_api(
    cors={
        "allow_origins": [SHOP, "http://localhost:3000"],
        "allow_methods": ["GET", "PUT"],
        "allow_headers": ["x-token", "content-type"],
        "expose_headers": ["x-count"],
        "max_age": 600,
        "allow_credentials": True,
    }
)
app.http_api("anybody", base_path="/anybody", cors=True)
app.http_api("secure", base_path="/secure", cors={"allow_origins": ["https://*"], "allow_methods": ["*"]})


@app.on(Http("GET /items"))
@app.on(Http("GET /items", api="anybody"))
@app.on(Http("GET /items", api="secure"))
def items(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "https://evil.example", "access-control-max-age": "1", "x-count": "3"}}


@app.on(Http("OPTIONS /items"))
def options(event: Any, context: Any) -> Any:
    return "own"


@app.on(Rest("OPTIONS /items"))
def rest_options(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "headers": {"access-control-allow-origin": "*"}}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def shared(found: Response) -> dict[str, str]:
    """The CORS headers, without what they begin with."""
    return {name.lower().removeprefix("access-control-"): value for name, value in found.headers if name.lower().startswith("access-control-")}


def preflight(server: GatewayServer, path: str, origin: str = SHOP, method: str = "PUT") -> Response:
    return server.request("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": method})


def test_a_preflight_is_answered_without_a_function(server: GatewayServer) -> None:
    before = len(server.events)
    for path in ("/items", "/no/such/route"):
        found = preflight(server, path)
        assert (found.status, found.body) == (204, b"")
        assert shared(found) == {
            "allow-origin": SHOP,
            "allow-credentials": "true",
            "allow-methods": "GET,PUT",
            "allow-headers": "x-token,content-type",
            "expose-headers": "x-count",
            "max-age": "600",
        }
        assert found["vary"] == "Origin"
    assert len(server.events) == before


@pytest.mark.parametrize("origin, method", [("https://evil.example", "PUT"), (SHOP, "DELETE"), ("null", "PUT"), (SHOP + ".evil.example", "PUT")])
def test_what_is_not_allowed_gets_no_headers(server: GatewayServer, origin: str, method: str) -> None:
    found = preflight(server, "/items", origin, method)
    assert (found.status, shared(found)) == (204, {})


def test_an_options_request_that_is_no_preflight_is_a_request(server: GatewayServer) -> None:
    assert server.request("OPTIONS", "/items", headers={"Origin": SHOP}).text == "own"
    assert server.request("OPTIONS", "/items").text == "own"


def test_answers_get_the_apis_headers_and_not_the_functions(server: GatewayServer) -> None:
    found = server.get("/items", origin=SHOP)
    assert shared(found) == {"allow-origin": SHOP, "allow-credentials": "true", "expose-headers": "x-count"}
    assert found["x-count"] == "3"
    assert shared(server.get("/items", origin="https://evil.example")) == {}
    assert shared(server.get("/items")) == {}


def test_refusals_can_be_read_too(server: GatewayServer) -> None:
    found = server.get("/nothing", origin=SHOP)
    assert (found.status, shared(found)["allow-origin"]) == (404, SHOP)


def test_everybody(server: GatewayServer) -> None:
    found = preflight(server, "/anybody/items", "https://x.example", "PATCH")
    assert shared(found) == {"allow-origin": "*", "allow-methods": "*", "allow-headers": "*"}
    assert shared(server.get("/anybody/items", origin="https://x.example")) == {"allow-origin": "*"}


def test_every_origin_of_a_scheme(server: GatewayServer) -> None:
    assert shared(server.get("/secure/items", origin="https://x.example"))["allow-origin"] == "https://x.example"
    assert shared(server.get("/secure/items", origin="http://x.example")) == {}


def test_rest_apis_leave_it_to_their_functions(server: GatewayServer) -> None:
    found = preflight(server, "/prod/items")
    assert (found.status, shared(found)) == (200, {"allow-origin": "*"})


@pytest.mark.parametrize(
    "cors, message",
    [
        ("yes", "it takes True, or a dict"),
        ({"origins": ["*"]}, "has no setting 'origins'"),
        ({"allow_origins": "*"}, "it takes a list of texts"),
        ({"allow_origins": ["shop.example"]}, "a scheme and host"),
        ({"allow_origins": ["https://a.example\r\nx: y"]}, "it takes a list of texts"),
        ({"allow_methods": ["FETCH"]}, "the method 'FETCH' is refused"),
        ({"max_age": 86_401}, "max_age=86401 is refused"),
        ({"max_age": True}, "max_age=True is refused"),
        ({"allow_origins": ["*"], "allow_credentials": True}, "refused beside"),
        ({"allow_credentials": 1}, "it takes True or False"),
    ],
)
def test_what_browsers_would_not_take_is_refused(cors: Any, message: str) -> None:
    wrong = App("wrong")
    wrong.http_api(cors=cors)
    with pytest.raises(SettingError, match=message), gateway(wrong):
        pass


def test_a_rest_api_has_none() -> None:
    wrong = App("wrong")
    wrong.rest_api(cors=True)
    with pytest.raises(SettingError, match="only HTTP APIs answer for their functions"), gateway(wrong):
        pass
