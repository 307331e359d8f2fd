"""Events as functions get them: member for member those that AWS documents."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from tests.gateway.server import ACCOUNT, GatewayServer, Response, gateway
from triggers import Http, Rest

app = App("events")
app.http_api("staged", stage="beta", stage_variables={"table": "items-beta"}, base_path="/staged")
app.http_api("hosted", stage="dev")
app.rest_api(stage="v1", stage_variables={"table": "items"}, binary_media_types=["image/png", "application/*"])
app.rest_api("mapped", base_path="/mapped")
app.rest_api("small", base_path="/small", minimum_compression_size=100)


@app.on(Http("ANY /my/{proxy+}"))
@app.on(Http("$default", api="staged"))
@app.on(Http("ANY /x/{id}", api="hosted"))
def two(event: Any, context: Any) -> Any:
    return event


@app.on(Rest("GET /picture"))
@app.on(Rest("GET /picture", api="mapped"))
def picture(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "headers": {"content-type": "image/png"}, "body": base64.b64encode(b"\x89PNG").decode(), "isBase64Encoded": True}


@app.on(Rest("GET /sized"))
@app.on(Rest("GET /sized", api="small"))
def sized(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "x" * int(event["queryStringParameters"]["size"])}


@app.on(Rest("ANY /my/{id}"))
@app.on(Rest("ANY /my/{id}", api="mapped"))
@app.on(Rest("ANY /my/{id}", api="small"))
def one(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": json.dumps(event)}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app, options={}) as running:
        yield running


#: "Create AWS Lambda proxy integrations for HTTP APIs", the example of format 2.0.
DOCUMENTED_2 = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/my/path",
    "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
    "cookies": ["cookie1", "cookie2"],
    "headers": {"header1": "value1", "header2": "value1,value2"},
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "api-id",
        "domainName": "id.execute-api.us-east-1.amazonaws.com",
        "domainPrefix": "id",
        "http": {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "agent"},
        "requestId": "id",
        "routeKey": "$default",
        "stage": "$default",
        "time": "12/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1583348638390,
    },
    "body": "Hello from Lambda",
    "pathParameters": {"parameter1": "value1"},
    "isBase64Encoded": False,
}


def same_members(found: Any, documented: Any, where: str = "") -> None:
    """Whether one has the members of the other, with values of the same kinds."""
    assert type(found) is type(documented), where
    if isinstance(documented, dict) and not where.endswith((".headers", ".queryStringParameters", ".pathParameters", ".stageVariables")):
        assert sorted(found) == sorted(documented), where
        for name, value in documented.items():
            same_members(found[name], value, f"{where}.{name}")


def test_format_2(server: GatewayServer) -> None:
    head = "POST /my/path?parameter1=value1&parameter1=value2&parameter2=value HTTP/1.1\r\nHost: id.example.com:8080\r\nUser-Agent: agent\r\n"
    more = (
        "Header1: value1\r\nHeader2: value1\r\nHEADER2: value2\r\nCookie: cookie1; cookie2\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\n"
    )
    event = json.loads(server.raw(f"{head}{more}Hello from Lambda".encode()).partition(b"\r\n\r\n")[2])
    same_members(event, DOCUMENTED_2)
    for name in ("version", "rawPath", "rawQueryString", "cookies", "queryStringParameters", "body", "isBase64Encoded"):
        assert event[name] == DOCUMENTED_2[name]
    headers = event["headers"]
    trace = headers.pop("x-amzn-trace-id")
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", trace)
    assert headers == {
        "host": "id.example.com:8080",
        "user-agent": "agent",
        "header1": "value1",
        "header2": "value1,value2",
        "content-type": "text/plain",
        "content-length": "17",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-port": "8080",
        "x-forwarded-proto": "http",
    }
    context = event["requestContext"]
    assert context["http"] == {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "agent"}
    assert (context["accountId"], context["domainName"], context["domainPrefix"]) == (ACCOUNT, "id.example.com", "id")
    assert (event["routeKey"], context["routeKey"], context["stage"]) == ("ANY /my/{proxy+}", "ANY /my/{proxy+}", "$default")
    assert event["pathParameters"] == {"proxy": "path"}
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
    assert abs(context["timeEpoch"] / 1000 - server.clock.now()) < 60


def test_format_2_leaves_out_what_is_not_there(server: GatewayServer) -> None:
    event = server.get("/staged/x").json()
    assert {"cookies", "queryStringParameters", "pathParameters", "body"}.isdisjoint(event)
    assert event["rawQueryString"] == ""
    assert "authorizer" not in event["requestContext"]


def test_cookies_of_several_headers_are_not_run_together(server: GatewayServer) -> None:
    received = server.raw(b"GET /my/path HTTP/1.1\r\nHost: x\r\nCookie: a=1; b=2\r\nCookie: c=3;d=4\r\n\r\n")
    event = json.loads(received.partition(b"\r\n\r\n")[2])
    assert event["cookies"] == ["a=1", "b=2", "c=3", "d=4"]
    assert "cookie" not in event["headers"]


def test_stages_and_base_paths_of_http_apis(server: GatewayServer) -> None:
    event = server.get("/staged/a%20b").json()
    assert (event["rawPath"], event["requestContext"]["http"]["path"]) == ("/beta/a b", "/beta/a b")
    assert (event["requestContext"]["stage"], event["stageVariables"]) == ("beta", {"table": "items-beta"})
    event = server.get("/dev/x/1", host="hosted.execute-api.localhost").json()
    assert (event["rawPath"], event["pathParameters"], event["requestContext"]["stage"]) == ("/dev/x/1", {"id": "1"}, "dev")
    assert server.get("/x/1", host="hosted.execute-api.localhost").status == 404
    assert server.get("/dev/x/1").status == 404, "an API that has a name and no base path is at its own host alone"


@pytest.mark.parametrize(
    "content_type, body, shown, encoded",
    [
        ("text/plain", b"a\n", "a\n", False),
        ("application/json; charset=utf-8", '"\u00e4"'.encode(), '"\u00e4"', False),
        ("application/vnd.api+json", b"{}", "{}", False),
        ("application/xml", b"<a/>", "<a/>", False),
        ("", b"plain", "plain", False),
        ("application/octet-stream", b"plain", base64.b64encode(b"plain").decode(), True),
        ("image/png", b"\x89PNG", base64.b64encode(b"\x89PNG").decode(), True),
        ("application/x-www-form-urlencoded", b"a=1", base64.b64encode(b"a=1").decode(), True),
        ("text/plain", b"\xff\xfe", base64.b64encode(b"\xff\xfe").decode(), True),
    ],
)
def test_bodies_of_format_2(server: GatewayServer, content_type: str, body: bytes, shown: str, encoded: bool) -> None:
    event = server.request("POST", "/my/x", body, {"Content-Type": content_type} if content_type else {}).json()
    assert (event["body"], event["isBase64Encoded"]) == (shown, encoded)


#: "Input format of a Lambda function for proxy integration", the members that are always there.
MEMBERS_1 = {"body", "headers", "httpMethod", "isBase64Encoded", "multiValueHeaders", "multiValueQueryStringParameters", "path", "pathParameters"}
MEMBERS_1 |= {"queryStringParameters", "requestContext", "resource", "stageVariables"}
CONTEXT_1 = {"accountId", "apiId", "domainName", "domainPrefix", "extendedRequestId", "httpMethod", "identity", "path", "protocol", "requestId"}
CONTEXT_1 |= {"requestTime", "requestTimeEpoch", "resourceId", "resourcePath", "stage"}
IDENTITY = {"accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType", "cognitoIdentityId"}
IDENTITY |= {"cognitoIdentityPoolId", "principalOrgId", "sourceIp", "user", "userAgent", "userArn"}


def test_format_1(server: GatewayServer) -> None:
    head = b"POST /v1/my/a%20b?q=1&q=2&r=%C3%A4 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: agent\r\n"
    found = server.raw(head + b"X-Two: 1\r\nx-two: 2\r\nContent-Length: 2\r\n\r\nhi")
    event = json.loads(found.partition(b"\r\n\r\n")[2])
    assert (event.keys(), event["requestContext"].keys(), event["requestContext"]["identity"].keys()) == (MEMBERS_1, CONTEXT_1, IDENTITY)
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/my/{id}", "/my/a%20b", "POST")
    assert event["headers"]["X-Two"] == "2"
    assert event["multiValueHeaders"]["X-Two"] == ["1", "2"]
    assert event["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert event["queryStringParameters"] == {"q": "2", "r": "\u00e4"}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"], "r": ["\u00e4"]}
    assert (event["pathParameters"], event["stageVariables"]) == ({"id": "a%20b"}, {"table": "items"})
    assert (event["body"], event["isBase64Encoded"]) == ("hi", False)
    context = event["requestContext"]
    assert (context["path"], context["stage"], context["resourcePath"]) == ("/v1/my/a%20b", "v1", "/my/{id}")
    assert (context["identity"]["sourceIp"], context["identity"]["userAgent"]) == ("127.0.0.1", "agent")


def test_format_1_has_null_for_what_is_not_there(server: GatewayServer) -> None:
    event = server.get("/mapped/my/1").json()
    for name in ("queryStringParameters", "multiValueQueryStringParameters", "stageVariables", "body"):
        assert event[name] is None, name
    assert (event["path"], event["requestContext"]["path"], event["requestContext"]["stage"]) == ("/mapped/my/1", "/mapped/my/1", "prod")


@pytest.mark.parametrize("content_type, encoded", [("image/png", True), ("application/pdf", True), ("image/gif", False), ("text/plain", False)])
def test_binary_media_types(server: GatewayServer, content_type: str, encoded: bool) -> None:
    event = server.request("POST", "/v1/my/1", b"\x89PNG", {"Content-Type": content_type}).json()
    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(b"\x89PNG").decode() if encoded else "\ufffdPNG")


def test_binary_answers_of_rest_apis_are_for_who_accepts_them(server: GatewayServer) -> None:
    sent = base64.b64encode(b"\x89PNG").decode()
    assert server.get("/v1/picture", accept="image/png, text/html").body == b"\x89PNG"
    assert server.get("/v1/picture", accept="text/html, image/png").text == sent
    assert server.get("/mapped/picture", accept="image/png").text == sent


def test_answers_are_compressed_from_a_size_on(server: GatewayServer) -> None:
    def asked(size: int, accepted: str) -> tuple[str | None, bytes]:
        found = server.get(f"/small/sized?size={size}", accept_encoding=accepted)
        return found["content-encoding"], found.body

    assert asked(99, "gzip") == (None, b"x" * 99)
    for size in (100, 200_000):
        coding, body = asked(size, "br, gzip;q=0.5")
        assert (coding, gzip.decompress(body)) == ("gzip", b"x" * size)
    coding, body = asked(100, "deflate")
    assert (coding, zlib.decompress(body)) == ("deflate", b"x" * 100)
    assert asked(100, "identity, gzip;q=0")[0] is None
    assert asked(100, "br")[0] is None
    assert server.get("/v1/sized?size=1000", accept_encoding="gzip")["content-encoding"] is None, "that API does not compress"


def test_compressed_bodies_are_decompressed(server: GatewayServer) -> None:
    def posted(body: bytes, coding: str) -> Response:
        return server.request("POST", "/small/my/1", body, {"Content-Encoding": coding})

    assert posted(gzip.compress(b"hello"), "gzip").json()["body"] == "hello"
    assert posted(b"hello", "identity").json()["body"] == "hello"
    assert posted(b"hello", "gzip").status == 400
    assert posted(gzip.compress(b"hello")[:-9], "gzip").status == 400
    assert posted(b"hello", "br").status == 415
    assert posted(gzip.compress(b"0" * 10_485_761), "gzip").status == 413, "a small body that becomes a large one"


@pytest.mark.parametrize(
    "options",
    [
        {"binary_media_types": "image/png"},
        {"binary_media_types": ["png"]},
        {"minimum_compression_size": -1},
        {"minimum_compression_size": True},
        {"stage": "a b"},
    ],
)
def test_what_a_rest_api_cannot_have_is_refused(options: dict[str, Any]) -> None:
    wrong = App("wrong")
    wrong.rest_api(**options)
    with pytest.raises(SettingError, match=f"REST API 'default': {next(iter(options))}="), gateway(wrong):
        pass


ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    "brought", [ROOT, f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1", f"Self=1-67891234-12456789abcdef012345678; {ROOT};Lineage=a1:2|b2:1"]
)
def test_a_trace_goes_on(server: GatewayServer, brought: str) -> None:
    assert server.get("/my/echo", X_Amzn_Trace_Id=brought).json()["headers"]["x-amzn-trace-id"] == brought
    assert server.events[-1]["headers"]["x-amzn-trace-id"] == brought


@pytest.mark.parametrize(
    "brought",
    [
        "rubbish",
        "Root=1-zzzzzzzz-bd862e3fe1be46a994272793",
        "Parent=53995c3f42cd8ad8",
        f"{ROOT};Parent=evil",
        f"{ROOT};Sampled=yes",
        f"{ROOT};{ROOT}",
        f"{ROOT},{ROOT}",
        f"{ROOT};rubbish",
        f"{ROOT};a=<script>",
        f"{ROOT};a={'b' * 1024}",
    ],
)
def test_what_is_no_trace_is_not_passed_on(server: GatewayServer, brought: str) -> None:
    got = server.get("/my/echo", X_Amzn_Trace_Id=brought).json()["headers"]["x-amzn-trace-id"]
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", got)
    assert got != ROOT
