"""Authorizers of WebSocket APIs, which are asked once, at $connect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from eventflow import App, SettingError
from tests.gateway.server import ACCOUNT, REGION, GatewayServer, gateway
from tests.patience import PATIENCE
from triggers import WebSocket


def application(answer: Any, asked: list[Any]) -> App:
    app = App("guarded")

    @app.function()
    def decide(event: Any, context: Any) -> Any:
        asked.append(event)
        return answer

    guard = app.lambda_authorizer("guard", decide, identity_source="route.request.querystring.token")
    app.websocket_api(authorizer=guard)

    @app.on(WebSocket("$connect"))
    @app.on(WebSocket("who", route_response_selection_expression="$default"))
    def who(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": json.dumps(event["requestContext"])}

    return app


def policy(effect: str) -> Any:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*"}
    return {"principalId": "ada", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, "context": {"level": 3}}


def address(server: GatewayServer, query: str = "") -> str:
    return f"ws://127.0.0.1:{server.port}/prod{query}"


def test_connect_is_where_it_is_asked() -> None:
    asked: list[Any] = []
    with gateway(application(policy("Allow"), asked)) as server:
        with connect(address(server, "?token=x"), proxy=None) as client:
            client.send('{"action":"who"}')
            context = json.loads(client.recv(PATIENCE))
        assert context["authorizer"].pop("integrationLatency") >= 0
        assert context["authorizer"] == {"principalId": "ada", "level": "3"}
        (event,) = asked
        assert (event["type"], event["queryStringParameters"]) == ("REQUEST", {"token": "x"})
        api = next(iter(server.service.app.table.apis))
        assert event["methodArn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/prod/$connect"
        assert event["requestContext"]["connectionId"] == context["connectionId"]
        assert (event["requestContext"]["eventType"], event["requestContext"]["routeKey"]) == ("CONNECT", "$connect")


@pytest.mark.parametrize(("answer", "query", "status"), [(policy("Deny"), "?token=x", 403), (policy("Allow"), "", 401), (None, "?token=x", 500)])
def test_who_is_turned_away(answer: Any, query: str, status: int) -> None:
    with gateway(application(answer, [])) as server:
        with pytest.raises(InvalidStatus) as refused, connect(address(server, query), proxy=None):
            pass
        assert refused.value.response.status_code == status
        assert not [event for event in server.events if event.get("type") != "REQUEST"], "no function ran"


def test_a_signed_handshake() -> None:
    app = App("signed")
    app.websocket_api(authorizer="iam")

    @app.on(WebSocket("$connect"))
    def opened(event: Any, context: Any) -> Any:
        return {"statusCode": 200}

    with gateway(app) as server:
        http = address(server, "?a=b").replace("ws:", "http:")
        credentials = Credentials("AKIDEXAMPLE", "secret")
        request = AWSRequest("GET", http)
        SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        with connect(address(server, "?a=b"), proxy=None, additional_headers=dict(request.headers.items())):
            pass
        request = AWSRequest("GET", http)
        SigV4QueryAuth(credentials, "execute-api", REGION, expires=60).add_auth(request)
        with connect(str(request.url).replace("http:", "ws:"), proxy=None):
            pass
        identity = server.events[-1]["requestContext"]["identity"]
        assert (identity["accessKey"], identity["userArn"]) == ("AKIDEXAMPLE", f"arn:aws:iam::{ACCOUNT}:root")
        with pytest.raises(InvalidStatus) as refused, connect(address(server), proxy=None):
            pass
        assert refused.value.response.status_code == 403
        assert b"Missing Authentication Token" in (refused.value.response.body or b"")
        assert len(server.events) == 2


def test_an_authorizer_that_nobody_would_ask_is_refused() -> None:
    app = application(None, [])
    app.websocket_api("other", authorizer="iam")

    @app.on(WebSocket("$default", api="other"))
    def answer(event: Any, context: Any) -> Any: ...

    with gateway(App("empty")) as server, pytest.raises(SettingError, match=r"authorizer='iam' is asked at \$connect, and the API has no such route"):
        server.load(app)
