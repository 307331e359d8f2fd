"""Functions with an address of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from tests.gateway.server import GatewayServer, gateway
from triggers import Http

app = App("urls")


@app.function(url={"cors": {"allow_origins": ["https://a.example"]}})
def open_one(event: Any, context: Any) -> Any:
    return event


@app.function(url={"auth": "AWS_IAM"})
def closed(event: Any, context: Any) -> Any:
    return event


@app.function(url=True)
def failing(event: Any, context: Any) -> Any:
    raise ValueError("no")


@app.on(Http("$default"))
def rest(event: Any, context: Any) -> Any:
    return "another"


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def test_it_is_called_by_its_host_and_by_a_path(server: GatewayServer) -> None:
    url_id = server.service.app.table.urls["open_one"].id
    assert len(url_id) == 32
    domain = f"{url_id}.lambda-url.us-east-1.localhost"
    event = server.get("/a%20b/c?x=1", host=f"{domain}:8080").json()
    assert (event["rawPath"], event["routeKey"], event["rawQueryString"]) == ("/a%20b/c", "$default", "x=1")
    context = event["requestContext"]
    assert (context["domainName"], context["domainPrefix"], context["apiId"], context["stage"]) == (domain, url_id, url_id, "$default")
    event = server.get("/_url/open_one/a%20b/c").json()
    assert (event["rawPath"], event["requestContext"]["http"]["path"]) == ("/a%20b/c", "/a%20b/c")
    assert server.get("/_url/open_one").json()["rawPath"] == "/"
    assert server.get("/_url/rest").text == "another", "that function has no URL: the path is the API's"


def test_its_cors_answers_for_it(server: GatewayServer) -> None:
    assert server.get("/_url/open_one", origin="https://a.example")["access-control-allow-origin"] == "https://a.example"
    assert server.get("/_url/open_one", origin="https://b.example")["access-control-allow-origin"] is None


def test_its_refusals_are_lambdas(server: GatewayServer) -> None:
    found = server.get("/_url/failing")
    assert (found.status, found.json()) == (502, {"Message": "Internal Server Error"})
    found = server.get("/_url/closed")
    assert (found.status, found.json()) == (403, {"Message": "Forbidden"})
    assert server.get("/", host="none.lambda-url.us-east-1.localhost").status == 404


@pytest.mark.parametrize("url", [{"auth": "JWT"}, {"invoke_mode": "SLOWLY"}, {"Cors": {}}, "yes"])
def test_what_cannot_be_is_refused(url: Any) -> None:
    with pytest.raises(SettingError, match="url="):
        App("x").function(url=url)(failing)
