"""OpenAPI: documents of APIs that an independent validator takes, APIs of documents, and the way there and back."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from eventflow import App, SettingError
from eventflow.gateway.composition import described
from eventflow.gateway.openapi.export import document
from eventflow.gateway.openapi.importing import of_document
from eventflow.gateway.openapi.schemas import upgraded
from eventflow.manifest import resolve_triggers
from eventflow.trigger import Resource
from tests.examples import examples
from tests.gateway.server import ACCOUNT, REGION, gateway
from triggers import Http, Rest

SERVER = "http://127.0.0.1:8080"
KEY = "k" * 30
MODELS = {
    "Price": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    "Item": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "price": {"$ref": "Price"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
    },
}


def echo(event: Any, context: Any) -> Any:
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"route": event.get("resource") or event["routeKey"]}),
    }


def shop() -> App:
    """A REST API with all that a document can say of one."""
    app = App("shop")
    app.rest_api(
        "shop", base_path="/", models=MODELS, binary_media_types=["image/png"], openapi_route=True, info={"version": "2.1", "title": "The shop"}
    )
    app.api_key("partner", KEY)
    app.usage_plan("basic", keys=["partner"])
    app.function()(guard)
    guarded = app.lambda_authorizer("guard", guard, kind="token", ttl=60, validation="^Bearer .+$")
    for number, route in enumerate(
        (
            Rest("GET /items/{id}", api="shop", authorizer="none", openapi={"summary": "One item", "tags": ["items"]}),
            Rest("POST /items", api="shop", authorizer=guarded, validator="all", models="Item", required=["header.X-Tenant"], timeout=5),
            Rest("DELETE /items/{id}", api="shop", authorizer="iam"),
            Rest("PUT /items/{id}", api="shop", authorizer="none", api_key=True, validator="body", models={"$default": {"type": "object"}}),
            Rest("ANY /files/{path+}", api="shop", authorizer="none"),
            Rest("GET /feed", api="shop", authorizer="none", stream=True, timeout=120),
        )
    ):
        app.on(route, name=f"f{number}")(lambda event, context: echo(event, context))
    app.mock("GET /health", 204, headers={"x-health": "good"}, api="shop", authorizer="none")
    return app


def guard(event: Any, context: Any) -> Any:
    return {"principalId": "me", "policyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}


def web() -> App:
    app = App("web")
    app.http_api(cors={"allow_origins": ["https://example.org"], "allow_methods": ["GET"], "max_age": 60}, openapi_route="/docs/openapi.json")
    tokens = app.jwt_authorizer("tokens", issuer="https://login.example.org/", audience=["web"], algorithms=["RS256"])
    app.on(Http("GET /me", authorizer=tokens, scopes=["profile"]), name="me")(lambda event, context: echo(event, context))
    app.on(Http("$default", authorizer="none"), name="rest")(lambda event, context: echo(event, context))
    app.proxy("ANY /backend/{proxy+}", "http://127.0.0.1:9/{proxy}", authorizer="none")
    return app


def exported(app: App, *, extensions: bool = True) -> dict[str, Any]:
    manifest = app.manifest()
    apis = described(manifest.app, ACCOUNT, manifest.resources, resolve_triggers(manifest))
    return document(next(api for api in apis if api.protocol in ("HTTP", "REST")), ACCOUNT, REGION, SERVER, extensions=extensions)


def valid(found: dict[str, Any]) -> dict[str, Any]:
    OpenAPIV31SpecValidator(json.loads(json.dumps(found))).validate()
    return found


@pytest.mark.parametrize("app", [shop(), web()], ids=str)
@pytest.mark.parametrize("extensions", [True, False])
def test_documents_are_valid(app: App, extensions: bool) -> None:
    found = valid(exported(app, extensions=extensions))
    assert extensions or "x-" not in json.dumps(found).replace('"x-health', "").replace("x-api-key", "")
    assert extensions or "arn:" not in json.dumps(found)


def test_what_a_document_says_of_a_rest_api() -> None:
    found = exported(shop())
    assert found["info"] == {"title": "The shop", "version": "2.1"}
    post = found["paths"]["/items"]["post"]
    assert post["operationId"] == "postItems"
    assert post["parameters"] == [{"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string", "minLength": 1}}]
    assert post["requestBody"] == {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
    assert post["security"] == [{"guard": []}]
    assert post["x-amazon-apigateway-request-validator"] == "all"
    assert post["x-amazon-apigateway-integration"] == {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/arn:aws:lambda:{REGION}:{ACCOUNT}:function:f1/invocations",
        "payloadFormatVersion": "1.0",
        "timeoutInMillis": 5000,
    }
    assert found["components"]["schemas"] == {
        "Price": {"type": "number", "exclusiveMinimum": 0},
        "Item": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "price": {"$ref": "#/components/schemas/Price"},
                "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
            },
        },
    }
    assert set(found["components"]["securitySchemes"]) == {"guard", "sigv4", "api_key"}
    assert found["paths"]["/items/{id}"]["get"]["security"] == []
    assert set(post["responses"]) == {"400", "401", "403", "429", "default"}


@pytest.mark.parametrize("app", [shop(), web()], ids=str)
def test_an_api_of_its_own_document_has_the_same_document(app: App) -> None:
    first = exported(app)
    protocol = "REST" if app.name == "shop" else "HTTP"
    again = App(app.name)
    declare = again.rest_api if protocol == "REST" else again.http_api
    declare("shop" if protocol == "REST" else "default", openapi=first)
    assert exported(again) == first


def test_an_imported_api_enforces_what_its_document_says(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(exported(shop())))
    app = App("again")
    app.rest_api("shop", base_path="/", openapi=path)
    app.api_key("partner", KEY)
    app.usage_plan("basic", keys=["partner"])
    for number in range(6):
        app.function(name=f"f{number}")(lambda event, context: echo(event, context))
    app.function()(guard)
    with gateway(app) as server:
        assert server.get("/items/1").json() == {"route": "/items/{id}"}
        assert server.get("/files/a/b").json() == {"route": "/files/{path+}"}
        health = server.get("/health")
        assert (health.status, health["x-health"]) == (204, "good")
        assert server.request("DELETE", "/items/1").status == 403
        assert server.request("PUT", "/items/1", "{}").status == 403
        assert server.request("PUT", "/items/1", "[]", {"x-api-key": KEY}).status == 400
        assert server.request("PUT", "/items/1", "{}", {"x-api-key": KEY}).status == 200
        tenant = {"x-tenant": "t", "authorization": "Bearer of news"}
        assert server.request("POST", "/items", '{"name": "pen"}').status == 401
        assert server.request("POST", "/items", '{"name": "pen", "price": 0}', tenant).json() == {"message": "Invalid request body"}
        assert server.request("POST", "/items", '{"name": "pen", "price": 1}', tenant).status == 200


EXPORTED_HTTP = """
openapi: 3.0.1
info: {title: web, version: "2026-01-01 00:00:00UTC"}
servers: [{url: "https://abc.execute-api.us-east-1.amazonaws.com/{basePath}", variables: {basePath: {default: ""}}}]
paths:
  /$default:
    x-amazon-apigateway-any-method:
      responses: {default: {description: Default response for $default}}
      x-amazon-apigateway-integration: {$ref: "#/components/x-amazon-apigateway-integrations/integration1"}
      isDefaultRoute: true
  /pets/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {default: {description: Default response}}
      x-amazon-apigateway-integration: {$ref: "#/components/x-amazon-apigateway-integrations/integration1"}
components:
  x-amazon-apigateway-integrations:
    integration1:
      payloadFormatVersion: "2.0"
      type: aws_proxy
      httpMethod: POST
      uri: arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:pets/invocations
      connectionType: INTERNET
x-amazon-apigateway-cors: {allowMethods: ["*"], allowOrigins: ["*"], maxAge: 0, allowCredentials: false}
x-amazon-apigateway-importexport-version: "1.0"
"""
EXPORTED_REST = """
openapi: 3.0.1
info: {title: shop, version: "2026-01-01T00:00:00Z"}
servers: [{url: "https://abc.execute-api.us-east-1.amazonaws.com/{basePath}", variables: {basePath: {default: prod}}}]
paths:
  /pets:
    post:
      parameters: [{name: X-Tenant, in: header, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}, required: true}
      responses: {"200": {description: 200 response, content: {application/json: {schema: {$ref: "#/components/schemas/Empty"}}}}}
      x-amazon-apigateway-request-validator: Validate body and parameters
      x-amazon-apigateway-integration:
        type: AWS_PROXY
        httpMethod: POST
        uri: arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:pets/invocations
        passthroughBehavior: when_no_match
        contentHandling: CONVERT_TO_TEXT
        cacheNamespace: abc123
        cacheKeyParameters: []
        responses: {default: {statusCode: "200"}}
    options:
      responses: {"200": {description: 200 response}}
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: "{\\"statusCode\\": 200}"}
        passthroughBehavior: when_no_match
        responses:
          default:
            statusCode: "200"
            responseParameters:
              method.response.header.Access-Control-Allow-Methods: "'OPTIONS,POST'"
              method.response.header.Access-Control-Allow-Origin: "'*'"
components:
  schemas:
    Empty: {title: Empty Schema, type: object}
    Pet: {type: object, required: [name], properties: {name: {type: string, nullable: true}}}
x-amazon-apigateway-request-validators:
  Validate body and parameters: {validateRequestParameters: true, validateRequestBody: true}
"""


@pytest.mark.parametrize(("protocol", "text"), [("HTTP", EXPORTED_HTTP), ("REST", EXPORTED_REST)])
def test_what_aws_exports_is_taken(protocol: str, text: str) -> None:
    app = App("aws")
    (app.http_api if protocol == "HTTP" else app.rest_api)(openapi=yaml.safe_load(text))
    app.function(name="pets")(lambda event, context: echo(event, context))
    valid(exported(app))
    with gateway(app) as server:
        if protocol == "HTTP":
            assert [server.get(path).json()["route"] for path in ("/pets/1", "/other")] == ["GET /pets/{id}", "$default"]
            return
        allowed = server.request("OPTIONS", "/prod/pets")
        assert (allowed.status, allowed["access-control-allow-methods"]) == (200, "OPTIONS,POST")
        tenant = {"x-tenant": "t"}
        assert [server.request("POST", "/prod/pets", body, tenant).status for body in ('{"name": null}', '{"name": 5}')] == [200, 400]
        assert server.request("POST", "/prod/pets", '{"name": "x"}').status == 400


def test_the_gateway_publishes_the_document_without_what_is_behind() -> None:
    with gateway(shop()) as server:
        answer = server.get("/openapi.json", host="shop.example.org:8080")
        found = valid(answer.json())
        assert answer["content-type"] == "application/json"
        assert found["servers"] == [{"url": "http://shop.example.org:8080"}]
        assert b"x-amazon" not in answer.body
        assert set(found["paths"]["/files/{path+}"]) == {"get", "post", "put", "patch", "delete", "head", "options"}
    with gateway(web()) as server:
        assert "/me" in server.get("/docs/openapi.json").json()["paths"]


MINIMAL: dict[str, Any] = {
    "openapi": "3.0.1",
    "info": {"title": "x", "version": "1"},
    "paths": {"/x": {"get": {"x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": "f"}}}},
}
OPERATION = ("paths", "/x", "get")
INTEGRATION = (*OPERATION, "x-amazon-apigateway-integration")


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (("openapi",), "2.0", '#/openapi: "2.0" is refused: it takes a document of OpenAPI 3.0 or 3.1'),
        (("x-amazon-apigateway-policy",), {}, "#/x-amazon-apigateway-policy: {} is refused: there is no such thing here"),
        (("x-amazon-apigateway-gateway-responses",), {}, "#/x-amazon-apigateway-gateway-responses: "),
        (("x-amazon-apigateway-cors",), {}, "#/x-amazon-apigateway-cors: {} is refused: REST APIs have no such setting"),
        (
            ("servers",),
            [{"x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": True}}],
            "disableExecuteApiEndpoint: true is refused",
        ),
        (("paths", "/x", "trace"), {}, "#/paths/~1x/trace: {} is refused: there is no such method here"),
        (("paths", "x"), {"get": {}}, "#/paths/x: .* is refused: the route 'GET x' is refused"),
        (("paths", "/y"), {"get": {}}, "#/paths/~1y/get: {} is refused: it has no x-amazon-apigateway-integration"),
        ((*OPERATION, "x-amazon-apigateway-auth"), {"type": "CUSTOM"}, "#/paths/~1x/get/x-amazon-apigateway-auth/type: "),
        ((*OPERATION, "x-amazon-apigateway-request-validator"), "all", "#/paths/~1x/get/x-amazon-apigateway-request-validator: "),
        ((*OPERATION, "security"), [{"oauth": []}], "#/paths/~1x/get/security/0/oauth: .* is refused: there is no such scheme"),
        ((*OPERATION, "security"), [{}, {}], "#/paths/~1x/get/security: .* is refused: a route has one requirement"),
        ((*OPERATION, "parameters"), [{"$ref": "#/components/parameters/no"}], r"#/paths/~1x/get/parameters/0/\$ref: .* it leads nowhere"),
        (
            (*INTEGRATION, "type"),
            "aws",
            '#/paths/~1x/get/x-amazon-apigateway-integration/type: "aws" is refused: it takes aws_proxy, http_proxy or mock',
        ),
        ((*INTEGRATION, "credentials"), "arn:aws:iam::1:role/r", "#/paths/~1x/get/x-amazon-apigateway-integration/credentials: "),
        ((*INTEGRATION, "uri"), {"Fn::Sub": "x"}, "integration/uri: .* is refused: it takes a function's name"),
        (
            (*INTEGRATION, "uri"),
            "arn:aws:lambda:us-east-1:123456789012:function:f:live",
            "integration/uri: .* no versions and aliases here, such as 'live'",
        ),
        ((*INTEGRATION, "uri"), "missing", "integration/uri: \"missing\" is refused: the application has no function 'missing'; it has: f"),
        ((*INTEGRATION, "payloadFormatVersion"), "2.0", "integration/payloadFormatVersion: "),
        ((*INTEGRATION, "connectionType"), "VPC_LINK", 'integration/connectionType: "VPC_LINK" is refused'),
        ((*INTEGRATION, "timeoutInMillis"), 5, "integration/timeoutInMillis: 5 is refused"),
        ((*INTEGRATION, "timeoutInMillis"), 29_001, "integration/timeoutInMillis: 29001 is refused: .* from 50 to 29000"),
        ((*INTEGRATION, "responseTransferMode"), "PUSH", "integration/responseTransferMode: "),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_pointer(place: tuple[str, ...], value: Any, why: str) -> None:
    asking = copy.deepcopy(MINIMAL)
    found: Any = asking
    for part in place[:-1]:
        found = found.setdefault(part, {})
    found[place[-1]] = value
    with pytest.raises(SettingError, match=why):
        of_document("REST/x", asking, {}, {"f"})


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        ({"type": "oauth2", "flows": {}}, "nothing would enforce it"),
        ({"type": "apiKey", "name": "x-api-key", "in": "query"}, "nothing would enforce it"),
        ({"type": "apiKey", "name": "x", "in": "header", "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools"}}, "HTTP APIs have jwt"),
        (
            {"x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": "f", "authorizerCredentials": "r"}},
            "authorizerCredentials.*no such thing",
        ),
    ],
)
def test_a_scheme_that_nothing_would_enforce_is_refused(scheme: dict[str, Any], why: str) -> None:
    asking = {**copy.deepcopy(MINIMAL), "security": [{"s": []}], "components": {"securitySchemes": {"s": scheme}}}
    with pytest.raises(SettingError, match=why) as refused:
        of_document("REST/x", asking, {}, {"f"})
    assert "#/components/securitySchemes/s" in str(refused.value)


def test_files_that_are_no_documents_are_refused(tmp_path: Path) -> None:
    for name, text, why in (("a.yaml", "a: [", "is no YAML"), ("a.json", "{", "is no JSON"), ("b.json", "[]", "it takes an object")):
        (tmp_path / name).write_text(text)
        with pytest.raises(SettingError, match=why):
            of_document("REST/x", str(tmp_path / name), {})
    with pytest.raises(SettingError, match=r"[^#] cannot be read"):
        of_document("REST/x", str(tmp_path / "none.yaml"), {})


def test_yaml_is_read_as_the_json_that_it_means(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "openapi: 3.1.0\ninfo: {title: x, version: 2026-01-31}\npaths:\n  /x:\n    get:\n      responses: {200: {description: ok}}\n"
        "      x-amazon-apigateway-integration: {type: aws_proxy, uri: f, httpMethod: POST}\n"
    )
    api, route = of_document("HTTP/x", str(path), {})
    assert api.options["info"]["version"] == "2026-01-31"
    assert route.options["openapi"]["responses"] == {"200": {"description": "ok"}}
    path.write_text("openapi: 3.1.0\npaths: &paths {x: *paths}\n")
    with pytest.raises(SettingError, match=r"[^#] is no YAML that could be JSON"):
        of_document("HTTP/x", str(path), {})


def test_options_win_over_the_document() -> None:
    found = of_document("REST/x", MINIMAL, {"info": {"title": "other"}, "stage": "dev"})
    assert found[0] == Resource("api", "REST/x", {"info": {"title": "other"}, "stage": "dev"})
    assert found[1] == Resource("route", "REST/x/GET /x", {"integration": {"type": "function", "function": "f"}})


def test_schemas_of_3_0_mean_the_same_in_3_1() -> None:
    found = upgraded({"type": "object", "properties": {"nullable": {"type": "string", "nullable": True, "example": "x"}, "ref": {"$ref": "#/a"}}})
    assert found["properties"] == {"nullable": {"type": ["string", "null"], "examples": ["x"]}, "ref": {"$ref": "#/a"}}


NAMES = st.sampled_from("ab")
TYPES = st.sampled_from(["integer", "string", "array", "object", "null"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)
schemas = st.recursive(
    st.fixed_dictionaries({}, optional={"type": TYPES, "enum": st.lists(values, min_size=1, max_size=3, unique_by=repr)})
    | st.fixed_dictionaries({"minimum": st.integers(-3, 3), "exclusiveMinimum": st.booleans()}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "dependencies": st.dictionaries(NAMES, inner | st.just(["a"]), max_size=2),
            "items": inner | st.lists(inner, min_size=1, max_size=2),
            "additionalItems": inner | st.booleans(),
            "additionalProperties": inner | st.booleans(),
            "not": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=examples(200))
@given(schemas, values)
def test_an_upgraded_schema_takes_what_it_took(schema: Any, value: Any) -> None:
    found = upgraded(schema)
    Draft202012Validator.check_schema(found)
    assert Draft202012Validator(found).is_valid(value) == Draft4Validator(schema).is_valid(value)


def test_the_command_line_exports_without_a_daemon(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        'import boto3\nfrom eventflow import App\nfrom triggers import Http, Rest\n\nprint("noise")\ntable = boto3.resource("dynamodb").Table("x")\n'
        'app = App("cli")\napp.rest_api(stages={"prod": {}, "v2": {"base_path": "/two"}})\n\n'
        '@app.on(Http("GET /a"))\n@app.on(Rest("GET /b"))\ndef handler(event, context): ...\n'
    )
    command = [sys.executable, "-m", "eventflow", "export", "openapi", str(tmp_path / "app.py")]
    several = subprocess.run(command, capture_output=True, text=True, check=False)
    assert several.returncode == 1
    assert "It has: rest/default, http/default" in several.stderr
    done = subprocess.run([*command, "--api", "rest/default"], capture_output=True, text=True, check=True)
    found = valid(json.loads(done.stdout))
    assert found["servers"] == [{"url": "http://127.0.0.1:8080/prod"}, {"url": "http://127.0.0.1:8080/two"}]
    assert "noise" in done.stderr
