"""IAM authorization over real connections: botocore signs, and the gateway verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from eventflow import App
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.server import ACCOUNT, REGION, GatewayServer, Response, gateway
from triggers import Http, Rest

CLOCK = VirtualClock()
KEY, SECRET = "AKIDEXAMPLE", "secret"
FORBIDDEN = (403, {"message": "Forbidden"})
ROOT = f"arn:aws:iam::{ACCOUNT}:root"

app = App("signed")
app.rest_api(authorizer="iam")


@app.on(Http("ANY /mine/{proxy+}", authorizer="iam"))
@app.on(Rest("ANY /mine/{proxy+}"))
@app.on(Http("GET /open", authorizer="none"))
@app.on(Rest("GET /open", authorizer="none"))
def answer(event: Any, context: Any) -> Any:
    context = event["requestContext"]
    return {"statusCode": 200, "body": json.dumps([context.get("authorizer"), context.get("identity")])}


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app, clock=CLOCK) as running:
        yield running


def signed(
    server: GatewayServer, method: str, path: str, body: bytes = b"", *, secret: str = SECRET, key: str = KEY, region: str = REGION,
    service: str = "execute-api", presigned: int | None = None, at: float = 0.0, headers: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, str]]:  # fmt: skip
    """The path and the headers of a request that was signed ``at`` so many seconds from now."""
    request = AWSRequest(method, f"{server.url}{path}", data=body, headers=dict(headers or {}))
    credentials = Credentials(key, secret)
    signer = SigV4Auth(credentials, service, region) if presigned is None else SigV4QueryAuth(credentials, service, region, expires=presigned)
    now = datetime.fromtimestamp(CLOCK.now() + at, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        signer.add_auth(request)
    return str(request.url).removeprefix(server.url), dict(request.headers.items())


def send(server: GatewayServer, method: str, path: str, body: bytes = b"", **options: Any) -> Response:
    path, headers = signed(server, method, path, body, **options)
    return server.request(method, path, body, headers)


def told(answer: Response) -> tuple[int, Any]:
    return answer.status, answer.json()


def test_a_signature_lets_in(server: GatewayServer) -> None:
    for method, path, body in (
        ("GET", "/mine/a", b""),
        ("POST", "/mine/b%20c/d?x=1&y=%C3%A4&x=0", b"text"),
        ("PUT", "/mine/large", b"a" * 1_000_000),
    ):
        found = send(server, method, path, body)
        assert found.status == 200, found.body
        assert found.json()[0] == {
            "iam": {
                "accessKey": KEY, "accountId": ACCOUNT, "callerId": ACCOUNT, "cognitoIdentity": None, "principalOrgId": None,
                "userArn": ROOT, "userId": ACCOUNT,
            }
        }  # fmt: skip
        found = send(server, method, f"/prod{path}", body)
        assert found.status == 200, found.body
        authorizer, identity = found.json()
        assert authorizer is None
        assert {name: identity[name] for name in ("accessKey", "accountId", "caller", "user", "userArn", "cognitoIdentityId")} == {
            "accessKey": KEY, "accountId": ACCOUNT, "caller": ACCOUNT, "user": ACCOUNT, "userArn": ROOT, "cognitoIdentityId": None,
        }  # fmt: skip
    assert server.get("/open").status == server.get("/prod/open").status == 200


def test_a_presigned_address_lets_in_while_it_lives(server: GatewayServer) -> None:
    assert send(server, "GET", "/prod/mine/a?b=c", presigned=60).status == 200
    assert send(server, "GET", "/mine/a", presigned=60, at=-59).status == 200
    found = send(server, "GET", "/prod/mine/a", presigned=60, at=-61)
    assert (found.status, found["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert told(send(server, "GET", "/mine/a", presigned=60, at=-61)) == FORBIDDEN


def test_what_rest_apis_say_to_those_who_are_turned_away(server: GatewayServer) -> None:
    def refusal(answer: Response) -> tuple[str | None, str]:
        assert answer.status == 403
        return answer["x-amzn-errortype"], answer.json()["message"]

    assert refusal(server.get("/prod/mine/a")) == ("MissingAuthenticationTokenException", "Missing Authentication Token")
    assert refusal(send(server, "GET", "/prod/mine/a", key="AKIDOTHER")) == (
        "UnrecognizedClientException", "The security token included in the request is invalid.",
    )  # fmt: skip
    kind, text = refusal(send(server, "GET", "/prod/mine/a", secret="other"))
    assert kind == "InvalidSignatureException"
    assert text.startswith(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
        "Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'GET\n/prod/mine/a\n\nhost:"
    )
    assert "\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in text
    assert SECRET not in text.replace("Secret", "")
    assert refusal(send(server, "GET", "/prod/mine/a", region="eu-west-1"))[1] == "Credential should be scoped to a valid region, not 'eu-west-1'."
    assert refusal(send(server, "GET", "/prod/mine/a", service="lambda"))[1] == "Credential should be scoped to correct service: 'execute-api'."
    assert refusal(send(server, "GET", "/prod/mine/a", at=-901)) == (
        "InvalidSignatureException", "Signature expired: 20251231T234459Z is now earlier than 20251231T234500Z (20260101T000000Z - 15 min.)",
    )  # fmt: skip
    assert refusal(send(server, "GET", "/prod/mine/a", at=901)) == (
        "InvalidSignatureException", "Signature not yet current: 20260101T001501Z is still later than 20260101T001500Z (20260101T000000Z + 15 min.)",
    )  # fmt: skip
    assert refusal(server.get("/prod/mine/a", authorization="Bearer x"))[0] == "IncompleteSignatureException"
    assert refusal(server.get("/prod/mine/a", authorization="AWS4-HMAC-SHA256 Credential=x"))[0] == "IncompleteSignatureException"


def test_what_was_not_signed_is_refused(server: GatewayServer) -> None:
    path, headers = signed(server, "POST", "/mine/a?b=1", b"text")
    for method, where, body, changed in (
        ("POST", path, b"other", headers), ("PUT", path, b"text", headers), ("POST", "/mine/a?b=2", b"text", headers),
        ("POST", "/mine/b?b=1", b"text", headers), ("POST", "/mine/a", b"text", headers), ("POST", path, b"", headers),
        ("POST", path, b"text", {**headers, "host": "other"}), ("POST", path, b"text", {**headers, "X-Amz-Date": "20260101T000001Z"}),
    ):  # fmt: skip
        assert told(server.request(method, where, body, changed)) == FORBIDDEN, (method, where, body)
    assert server.request("POST", path, b"text", headers).status == 200


def test_a_body_that_says_it_is_unsigned_is_checked_all_the_same(server: GatewayServer) -> None:
    path, headers = signed(server, "POST", "/mine/a", b"text", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert told(server.request("POST", path, b"other", headers)) == FORBIDDEN


def test_without_a_key_of_the_daemon_nobody_comes_in() -> None:
    with gateway(app, clock=CLOCK, credentials={}) as closed:
        assert told(send(closed, "GET", "/mine/a")) == FORBIDDEN
        assert closed.get("/open").status == 200


def test_routes_without_functions_are_closed_too(server: GatewayServer) -> None:
    closed = App("closed")
    closed.rest_api(authorizer="iam")
    closed.mock("GET /mock", body="mocked")
    closed.mock("GET /open", body="mocked", authorizer="none")
    closed.http_api(authorizer="iam")
    closed.proxy("GET /proxied", "http://127.0.0.1:1/")
    with gateway(closed, clock=CLOCK) as running:
        assert told(running.get("/prod/mock")) == (403, {"message": "Missing Authentication Token"})
        assert told(running.get("/proxied")) == FORBIDDEN
        assert running.get("/prod/open").text == "mocked"
        assert send(running, "GET", "/prod/mock").text == "mocked"
        assert send(running, "GET", "/proxied").status == 503, "nothing listens there"
