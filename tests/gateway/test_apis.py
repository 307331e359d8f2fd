"""APIs as they are declared: where they are, and what they cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.api_ids import api_id
from eventflow.gateway.apis import Api, Stage
from eventflow.gateway.table import Table
from tests.gateway.server import gateway
from triggers import Http, Rest


def table(*mounts: str) -> Table:
    return Table([Api("HTTP", f"api{number}", f"id{number}", Stage("$default"), mount) for number, mount in enumerate(mounts)])


@pytest.mark.parametrize(
    "path, mount",
    [
        ("/", ""),
        ("/x", ""),
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/shopping", ""),
        ("/shop/v2/items", "/shop/v2"),
        ("/shop/v20", "/shop"),
        ("", ""),
    ],
)
def test_the_longest_base_path_wins(path: str, mount: str) -> None:
    found = table("/", "/shop", "/shop/v2").mounted(path)
    assert found is not None
    assert found[1] == mount


def test_without_an_api_at_the_root_there_is_none_elsewhere() -> None:
    assert table("/shop").mounted("/other") is None
    assert table("/shop").only is None
    assert table("/").only is not None


def test_ids_stay_the_same_and_are_names_of_hosts() -> None:
    assert api_id("123456789012", "shop", "HTTP", "default") == api_id("123456789012", "shop", "HTTP", "default")
    ids = {api_id("123456789012", "shop", protocol, f"api{number}") for protocol in ("HTTP", "REST") for number in range(500)}
    assert len(ids) == 1000
    assert all(len(one) == 10 and one.isalnum() and one[0].isalpha() for one in ids)


def handler(event: Any, context: Any) -> Any:
    return "x"


def test_two_apis_at_one_place_are_refused() -> None:
    app = App("twice")
    app.on(Http("GET /"))(handler)
    app.rest_api(base_path="/")
    with pytest.raises(SettingError, match=r"The REST API 'default' and the HTTP API 'default' are both at '/' .* another base_path"), gateway(app):
        pass


def test_a_rest_api_can_be_at_the_root() -> None:
    app = App("root")
    app.rest_api(base_path="/", stage="live")
    app.on(Rest("GET /items"))(handler_1)
    with gateway(app) as server:
        assert server.get("/items").json() == ["/items", "/items", "live"]


def test_another_encoding_of_a_closed_path_does_not_lead_to_the_open_route_beside_it() -> None:
    app = App("closed")
    app.rest_api(base_path="/")
    app.on(Rest("GET /admin", authorizer="iam"))(handler)
    app.on(Rest("ANY /{proxy+}", authorizer="none"))(handler_1)
    with gateway(app) as server:
        assert server.get("/other").status == 200
        assert [server.get(path).status for path in ("/admin", "/%61dmin", "/adm%69n", "/admin/")] == [403] * 4


def test_a_rest_path_that_could_never_come_is_refused() -> None:
    app = App("never")
    app.on(Rest("GET /é"))(handler)
    with pytest.raises(SettingError, match="'GET /é' is refused: REST APIs compare paths as they are sent"), gateway(app):
        pass


def handler_1(event: Any, context: Any) -> Any:
    context_path, stage = event["requestContext"]["path"], event["requestContext"]["stage"]
    return {"statusCode": 200, "body": f'["{event["path"]}", "{context_path}", "{stage}"]'}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stage": "a b"}, "stage='a b' is refused"),
        ({"stage": ""}, "stage='' is refused"),
        ({"base_path": "shop"}, "base_path='shop' is refused"),
        ({"base_path": "/shop/"}, "base_path='/shop/' is refused"),
        ({"base_path": "/{x}"}, "is refused: it takes a path"),
        ({"stage_variables": ["a"]}, "it takes a dict"),
        ({"stage_variables": {"a b": "c"}}, "stage variable 'a b'"),
        ({"stage_variables": {"a": 1}}, "stage variable 'a': 1 is refused"),
        ({"stage_variables": {"a": 'say "x"'}}, "is refused: names are"),
        ({"nonsense": 1}, "nonsense=1 is not supported yet"),
    ],
)
def test_options_that_no_api_has_are_refused(options: dict[str, Any], message: str) -> None:
    app = App("wrong")
    app.http_api(**options)
    with pytest.raises(SettingError, match=message), gateway(app):
        pass


@pytest.mark.parametrize("name", ["", "Shop", "a.b", "-a", "a" * 64])
def test_names_that_no_host_could_have_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match="The API name"):
        App("wrong").http_api(name)


def test_declared_twice_and_differently() -> None:
    app = App("twice")
    app.http_api("shop", stage="a")
    app.rest_api("shop")
    with pytest.raises(SettingError, match="declares the HTTP API 'shop' twice, and differently"):
        app.http_api("shop", stage="b")


def test_apis_of_one_name_have_hosts_of_their_own() -> None:
    app = App("namesakes")
    app.http_api("shop")
    app.rest_api("shop", stage="v1")
    app.http_api("alone")
    for api in ("shop", "alone"):
        app.on(Http("GET /x", api=api))(handler)
    app.on(Rest("GET /x", api="shop"))(handler_1)
    with gateway(app) as server:
        answers = {
            label: server.get(path, Host=f"{label}.execute-api.localhost").text
            for label, path in [("http-shop", "/x"), ("rest-shop", "/v1/x"), ("shop", "/x"), ("shop", "/v1/x"), ("alone", "/x"), ("http-alone", "/x")]
        }
    assert answers == {
        "http-shop": "x",
        "rest-shop": '["/x", "/v1/x", "v1"]',
        "shop": '{"message":"Not Found"}',  # it could be either's
        "alone": "x",
        "http-alone": "x",
    }


def test_a_name_that_is_the_host_of_another_api_is_refused() -> None:
    app = App("namesakes")
    app.rest_api("shop")
    app.http_api("rest-shop")
    with (
        pytest.raises(SettingError, match=r"The HTTP API 'rest-shop' and the REST API 'shop' would both be at the host rest-shop\.execute-api"),
        gateway(app),
    ):
        pass


def test_the_default_stage_is_for_http_apis() -> None:
    app = App("wrong")
    app.rest_api(stage="$default")
    with pytest.raises(SettingError, match="stage='\\$default' is refused"), gateway(app):
        pass


def test_one_route_for_two_functions_is_refused_by_name() -> None:
    app = App("twice")
    app.on(Http("GET /{a}"))(handler)
    app.on(Http("GET /{b}"))(handler_1)
    with pytest.raises(SettingError, match=r"The HTTP API 'default': two functions have the route GET /\{b\}"), gateway(app):
        pass


def test_a_reload_changes_routes_from_one_request_to_the_next() -> None:
    first, second = App("one"), App("one")
    first.on(Http("GET /a"))(handler)
    second.on(Http("GET /b"))(handler)
    with gateway(first) as server:
        assert (server.get("/a").status, server.get("/b").status) == (200, 404)
        server.load(second)
        assert (server.get("/a").status, server.get("/b").status) == (404, 200)
