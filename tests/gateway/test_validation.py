"""Request validation: what REST APIs let through to their functions, with AWS's words for what they do not."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator

from eventflow import App, SettingError
from eventflow.gateway.schema_keywords import bounded
from tests.examples import examples
from tests.gateway.server import GatewayServer, gateway
from triggers import Http, Rest

MODELS = {
    "Price": {"type": "number", "minimum": 0, "exclusiveMinimum": True},  # as draft 4 writes it
    "Item": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "required": ["name", "price"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
            "price": {"$ref": "https://apigateway.amazonaws.com/restapis/abc123/models/Price"},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
            "size": {"$ref": "#/definitions/size"},
        },
        "additionalProperties": False,
        "definitions": {"size": {"enum": ["S", "M"]}},
    },
}
ITEM = {"name": "pen", "price": 2}


def shop(*routes: Rest, **options: Any) -> App:
    app = App("shop")
    app.rest_api(**{"models": MODELS, **options})
    for number, route in enumerate(routes):
        app.on(route, name=f"f{number}")(lambda event, context: {"statusCode": 200, "body": event["body"]})
    return app


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    app = shop(
        Rest("POST /items", validator="body", models="Item"),
        Rest("POST /typed", validator="all", models={"application/json": "Item", "text/plain": {"type": "string"}}, required=["header.X-Tenant"]),
        Rest("POST /any", validator="body", models={"$default": "Item"}),
        Rest("GET /find", validator="params", required=["query.page", "header.X-Tenant"]),
        Rest("POST /params", validator="params", models="Item"),
        Rest("POST /free"),
    )
    with gateway(app) as running:
        yield running


def post(server: GatewayServer, path: str, body: Any, **headers: str) -> int:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return server.request("POST", f"/prod{path}", text, {name.replace("_", "-"): value for name, value in headers.items()}).status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ITEM, 200),
        ({**ITEM, "parts": [{**ITEM, "parts": []}], "size": "S"}, 200),
        ({**ITEM, "price": 0}, 400),
        ({**ITEM, "name": "Pen"}, 400),
        ({**ITEM, "parts": [{"name": "pen"}]}, 400),
        ({**ITEM, "size": "L"}, 400),
        ({**ITEM, "more": 1}, 400),
        ({"name": "pen"}, 400),
        ([], 400),
        ("", 400),
        ("{", 400),
        ('{"name": "pen", "price": NaN}', 400),
        (b"\xff\xfe", 400),
        ('{"name": "pen"}'.encode("utf-16"), 400),  # functions get UTF-8, and would get something else than was checked
        ("[" * 100_000, 400),
    ],
)
def test_bodies_meet_the_model(server: GatewayServer, body: Any, status: int) -> None:
    before = len(server.events)
    assert post(server, "/items", body) == status
    assert len(server.events) - before == (status == 200)


def test_a_refusal_is_worded_as_awss(server: GatewayServer) -> None:
    refused = server.request("POST", "/prod/items", "{}")
    assert (refused.status, refused.json(), refused["x-amzn-errortype"]) == (400, {"message": "Invalid request body"}, "BadRequestException")
    refused = server.get("/prod/find?page=")
    assert (refused.status, refused.json()) == (400, {"message": "Missing required request parameters: [page, X-Tenant]"})
    assert server.get("/prod/find?page=1", x_tenant=" ").json() == {"message": "Missing required request parameters: [X-Tenant]"}
    assert server.get("/prod/find?page=1", x_tenant="t").status == 200


def test_the_content_type_chooses_the_model(server: GatewayServer) -> None:
    assert post(server, "/typed", ITEM, x_tenant="t", content_type="application/json; charset=utf-8") == 200
    assert post(server, "/typed", "5", x_tenant="t", content_type="text/plain") == 400
    assert post(server, "/typed", '"five"', x_tenant="t", content_type="text/plain") == 200
    assert post(server, "/typed", "<item/>", x_tenant="t", content_type="application/xml") == 200, "no model, nothing to check, as on AWS"
    assert post(server, "/typed", "{}", content_type="application/xml") == 400, "the header is required all the same"
    assert post(server, "/any", "<item/>", content_type="application/xml") == 400


def test_what_the_validator_leaves_out_is_not_checked(server: GatewayServer) -> None:
    assert post(server, "/params", "{}") == 200
    assert post(server, "/free", "{}") == 200


def test_a_long_body_is_checked_too(server: GatewayServer) -> None:
    parts = [ITEM] * 4_000
    assert post(server, "/items", {**ITEM, "parts": parts}) == 200
    assert post(server, "/items", {**ITEM, "parts": [*parts, {}]}) == 400


def test_a_compressed_body_is_checked_as_what_it_says() -> None:
    with gateway(shop(Rest("POST /items", models="Item", validator="body"), minimum_compression_size=0)) as server:
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        bodies = [gzip.compress(json.dumps(body).encode()) for body in (ITEM, {})]
        assert [server.request("POST", "/prod/items", body, headers).status for body in bodies] == [200, 400]
        assert json.loads(server.events[0]["body"]) == ITEM


def test_an_api_has_a_validator_for_all_its_routes() -> None:
    with gateway(shop(Rest("POST /items", models="Item"), Rest("POST /params", models="Item", validator="params"), validator="body")) as server:
        assert [post(server, "/items", "{}"), post(server, "/params", "{}")] == [400, 200]


@pytest.mark.parametrize(
    ("route", "options", "why"),
    [
        (Rest("POST /x", validator="everything"), {}, "POST /x.*validator='everything' is refused: it takes body, params, all"),
        (Rest("POST /x", validator="body", models="Thing"), {}, "there is no model named 'Thing'; models has: Item, Price"),
        (Rest("POST /x", models="Item"), {}, "models and required need a validator"),
        (Rest("POST /x", validator="params", required=["cookie.x"]), {}, "required='cookie.x' is refused"),
        (Rest("POST /x", validator="params", required=["path.id"]), {}, r"the route's path has no variable \{id\}"),
        (Rest("POST /x"), {"models": {"Bad": {"type": "strnig"}}}, "the model 'Bad' is no JSON schema"),
        (Rest("POST /x"), {"models": {"Bad": {"pattern": "("}}}, "the model 'Bad' is no JSON schema"),
        (Rest("POST /x"), {"models": {"Bad": {"$ref": "Nowhere"}}}, r"\$ref 'Nowhere' leads to no model"),
        (Rest("POST /x"), {"models": {"Bad name": {}}}, "the model 'Bad name' is refused"),
        (Rest("POST /x"), {"models": []}, r"models=\[\] is refused"),
    ],
)
def test_what_cannot_be_checked_is_refused(route: Rest, options: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingError, match=why), gateway(shop(route, **options)):
        pass


def test_http_apis_validate_nothing() -> None:
    app = App("http")
    app.http_api(models=MODELS)
    app.on(Http("GET /x"), name="x")(lambda event, context: None)
    with pytest.raises(SettingError, match="HTTP API 'default': models is refused: only REST APIs validate requests"), gateway(app):
        pass


SLOW: dict[str, tuple[Any, Any]] = {
    "pattern": ({"type": "object", "properties": {"a": {"pattern": "^(x+x+)+y$"}}}, {"a": "x" * 15_000}),
    "names by pattern": ({"patternProperties": {"^(x+x+)+y$": {}}, "additionalProperties": False}, {"x" * 15_000: 1}),
    "what is the same": ({"type": "array", "uniqueItems": True, "minItems": 10**6}, [{"a": number} for number in range(9_000)]),
    "numbers of one hash": ({"type": "array", "uniqueItems": True, "minItems": 10**6}, [number * (2**61 - 1) for number in range(9_000)]),
}


BRANCHES = [{"properties": {"c": {"$ref": "Node"}}, "required": ["x"]}, {"properties": {"c": {"$ref": "Node"}}}]


def test_a_schema_that_leads_to_itself_in_two_ways() -> None:
    """Each level of the body doubles what the library looks at."""
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"c": deep}
    with gateway(shop(Rest("POST /x", validator="body", models="Node"), models={"Node": {"oneOf": BRANCHES}})) as server:
        begin = time.process_time()
        bodies: list[Any] = [deep, {"c": {}}, {"c": {"c": {}}}, {"x": 1}]
        assert [post(server, "/x", body) for body in bodies] == [400, 200, 200, 400]
        assert time.process_time() - begin < 3


def test_a_body_with_many_references() -> None:
    models = {"Item": {"anyOf": [{"type": "string"}, {"$ref": "Number"}]}, "Number": {"type": "number"}}
    with gateway(shop(Rest("POST /x", validator="body", models={"items": {"$ref": "Item"}}), models=models)) as server:
        assert post(server, "/x", [1] * 2_000) == 200
        assert post(server, "/x", [*[1] * 2_000, None]) == 400


@pytest.mark.parametrize("name", SLOW)
def test_no_body_holds_up_the_daemon(name: str) -> None:
    schema, body = SLOW[name]
    with gateway(shop(Rest("POST /x", validator="body", models=schema))) as server:
        begin = time.process_time()
        assert post(server, "/x", body) == 400
        assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    ("schema", "body", "status"),
    [
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, {"a": True}, None, 1.5], 200),
        ({"uniqueItems": True}, [1, 1.0], 400),
        ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], 400),
        ({"uniqueItems": False}, [1, 1], 200),
        (
            {"patternProperties": {"^n_": {"type": "number"}}, "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
            {"n_a": 1, "a": 1, "b": ""},
            200,
        ),
        ({"patternProperties": {"^n_": {"type": "number"}}, "properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"n_a": "1"}, 400),
        ({"patternProperties": {"^n_": {"type": "number"}}, "properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"b": 1}, 400),
        ({"patternProperties": {"^n_": {}}, "additionalProperties": False}, {"n_a": 1, "m": 1}, 400),
        ({"pattern": "^(?=.*[A-Z])(?=.*[0-9]).{4,}$"}, '"abC4"', 200),
        ({"pattern": "^(?=.*[A-Z])(?=.*[0-9]).{4,}$"}, '"abcd"', 400),
        ({"pattern": "b"}, 5, 200),
        ({"multipleOf": 0.5}, 10**400, 400),
        ({"multipleOf": 0.5}, 2.5, 200),
        ({"minimum": 0.5}, 10**400, 200),
        ({"definitions": {"a": {"type": "string"}}, "properties": {"b": {"$ref": "#/definitions/a"}}}, {"b": 1}, 400),
    ],
)
def test_keywords_mean_what_they_mean_elsewhere(schema: Any, body: Any, status: int) -> None:
    with gateway(shop(Rest("POST /x", validator="body", models=schema))) as server:
        assert post(server, "/x", body) == status


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"pattern": r"(a)\1"}, r"the pattern '\(a\)\\\\1' is refused: it has a back reference\. A client"),
        ({"patternProperties": {"a(?=b)": {}}}, r"is refused: it has a condition on what is around, other than \(\?=\.\.\.\) at the start"),
        ({"patternProperties": {"(": {}}}, r"the pattern '\(' is no regular expression: missing \)"),
        ({"$ref": "#/definitions/no"}, "'#/definitions/no' leads nowhere in it"),
        ({"items": [{"$ref": "#/items/1"}]}, "'#/items/1' leads nowhere in it"),
        ({"$ref": "Missing"}, "leads to no model; models has: Item, Price"),
    ],
)
def test_schemas_that_would_fail_or_hang_later_are_refused(schema: Any, why: str) -> None:
    with pytest.raises(SettingError, match=why), gateway(shop(Rest("POST /x", validator="body", models=schema))):
        pass


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ab", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["^a", "b$", "a|c", ""])
SCHEMAS = st.recursive(
    st.sampled_from([{}, {"type": "number"}, {"type": "string"}, {"uniqueItems": True}, {"pattern": "^a"}, {"pattern": "b|^$"}]),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "patternProperties": st.dictionaries(NAMES, inner, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "not": inner,
        },
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=examples(200))
@given(SCHEMAS, VALUES)
def test_what_is_checked_here_is_what_the_library_checks(schema: Any, value: Any) -> None:
    for library in (Draft4Validator, Draft202012Validator):
        assert bounded(library)(schema).is_valid(value) == library(schema).is_valid(value)
