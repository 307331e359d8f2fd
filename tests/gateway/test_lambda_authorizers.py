"""Lambda authorizers over real connections: their events, their answers, and for how long these stand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.gateway.authorizers.lambda_authorizers import Authorizer, LambdaStep
from eventflow.gateway.authorizers.settings import LambdaSettings
from eventflow.outcome import Outcome, Status
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.server import ACCOUNT, REGION, GatewayServer, Response, gateway
from tests.patience import PATIENCE
from triggers import Http, Rest

UNAUTHORIZED = (401, {"message": "Unauthorized"})
DENIED = (403, {"message": "User is not authorized to access this resource"})
EXPLICITLY_DENIED = (403, {"message": "User is not authorized to access this resource with an explicit deny"})
FORBIDDEN = (403, {"message": "Forbidden"})
BROKEN = (500, {"message": None})
BROKEN_HTTP = (500, {"message": "Internal Server Error"})


def policy(effect: str = "Allow", resource: Any = "*", action: Any = "execute-api:Invoke", **more: Any) -> dict[str, Any]:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return {"principalId": "ada", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, **more}


class Decider:
    """The authorizer's handler; ``answer`` is what it returns, or a function of the event. ``events`` are what it was called with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: Any) -> Any:
        self.events.append(event)
        return self.answer(event) if callable(self.answer) else self.answer


def application(decider: Decider, protocol: str, **options: Any) -> App:
    app = App("guarded")

    @app.function()
    def decide(event: Any, context: Any) -> Any:
        return decider(event)

    guard = app.lambda_authorizer("guard", decide, **options)
    if protocol == "HTTP":
        app.http_api(authorizer=guard, stage_variables={"level": "high"})
    else:
        app.rest_api(authorizer=guard, stage_variables={"level": "high"})
    trigger = Http if protocol == "HTTP" else Rest

    @app.on(trigger("GET /items/{id}"))
    @app.on(trigger("POST /items/{id}"))
    @app.on(trigger("ANY /all/{proxy+}"))
    def items(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": json.dumps(event["requestContext"].get("authorizer"))}

    @app.on(trigger("GET /open", authorizer="none"))
    def anybody(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": "open"}

    return app


def told(answer: Response) -> tuple[int, Any]:
    return answer.status, answer.json()


def arn(server: GatewayServer, protocol: str, rest: str) -> str:
    api = next(api for api in server.service.app.table.apis if api.protocol == protocol)
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/{api.stage.name}/{rest}"


# Events.


def test_the_event_of_a_token_authorizer() -> None:
    decider = Decider(policy())
    with gateway(application(decider, "REST", kind="token")) as server:
        assert server.get("/prod/items/1?a=b", authorization="Bearer x").status == 200
        assert decider.events == [{"type": "TOKEN", "methodArn": arn(server, "REST", "GET/items/1"), "authorizationToken": "Bearer x"}]


def test_the_event_of_a_request_authorizer() -> None:
    decider = Decider(policy())
    options = {"identity_source": ["method.request.header.Who", "method.request.querystring.a", "stageVariables.level", "context.httpMethod"]}
    with gateway(application(decider, "REST", **options)) as server:
        assert server.request("POST", "/prod/items/1?a=b&a=c", b"body", {"who": "me"}).status == 200
        event = decider.events[0]
        api = next(api for api in server.service.app.table.apis if api.protocol == "REST")
        assert (event["type"], event["methodArn"]) == ("REQUEST", arn(server, "REST", "POST/items/1"))
        assert (event["resource"], event["path"], event["httpMethod"]) == ("/items/{id}", "/items/1", "POST")
        assert (event["pathParameters"], event["stageVariables"]) == ({"id": "1"}, {"level": "high"})
        assert (event["queryStringParameters"], event["multiValueQueryStringParameters"]) == ({"a": "c"}, {"a": ["b", "c"]})
        assert {name.lower() for name in event["headers"]} >= {"who", "host"}
        assert event["requestContext"]["apiId"] == api.id
        assert not {"body", "isBase64Encoded", "version"} & event.keys()
        assert server.get("/prod/items/1?a=b", who="").status == 401


def test_what_is_empty_in_a_rest_event_is_an_object() -> None:
    decider = Decider(policy())
    with gateway(application(decider, "REST", identity_source=[], ttl=0)) as server:
        assert server.get("/prod/all/x").status == 200
        event = decider.events[0]
        assert (event["queryStringParameters"], event["multiValueQueryStringParameters"]) == ({}, {})


def test_the_events_of_http_apis() -> None:
    decider = Decider({"isAuthorized": True, "context": {"a": [1]}})
    sources = ["$request.header.Who", "$request.querystring.a", "$context.routeKey"]
    with gateway(application(decider, "HTTP", simple=True, identity_source=sources)) as server:
        answer = server.request("POST", "/items/1?a=b&a=c", b"body", {"who": "me", "cookie": "x=1; y=2"})
        assert told(answer) == (200, {"lambda": {"a": [1]}})
        event = decider.events[0]
        assert (event["version"], event["type"], event["routeArn"]) == ("2.0", "REQUEST", arn(server, "HTTP", "POST/items/1"))
        assert event["identitySource"] == ["me", "b,c", "POST /items/{id}"]
        assert (event["routeKey"], event["rawPath"], event["rawQueryString"]) == ("POST /items/{id}", "/items/1", "a=b&a=c")
        assert (event["cookies"], event["pathParameters"], event["stageVariables"]) == (["x=1", "y=2"], {"id": "1"}, {"level": "high"})
        assert (event["requestContext"]["http"]["method"], event["headers"]["who"]) == ("POST", "me")
        assert not {"body", "isBase64Encoded"} & event.keys()

        decider = Decider(policy(context={"b": True}))
        server.load(application(decider, "HTTP", payload="1.0", identity_source=sources))
        assert told(server.get("/items/1?a=b", who="me")) == (200, {"lambda": {"b": True}})
        event = decider.events[0]
        assert (event["version"], event["type"], event["methodArn"]) == ("1.0", "REQUEST", arn(server, "HTTP", "GET/items/1"))
        assert event["identitySource"] == event["authorizationToken"] == "me,b,GET /items/{id}"
        assert (event["path"], event["httpMethod"], event["requestContext"]["stage"]) == ("/items/1", "GET", "$default")


# Answers.


def test_what_the_function_gets_to_see_of_a_rest_authorizer() -> None:
    decider = Decider(policy(context={"text": "a", "number": 1, "truth": True, "nothing": None}))
    with gateway(application(decider, "REST")) as server:
        found = server.get("/prod/items/1", authorization="x").json()
        assert found.pop("integrationLatency") >= 0
        assert found == {"principalId": "ada", "text": "a", "number": "1", "truth": "true"}
        assert server.get("/prod/items/1", authorization="x").json()["integrationLatency"] == 0, "nobody was asked again"


RESOURCES = "arn:aws:execute-api:us-east-1:123456789012:"
ANSWERS: list[tuple[Any, tuple[int, Any]]] = [
    (policy("Deny"), EXPLICITLY_DENIED),
    (policy(resource=f"{RESOURCES}*/prod/GET/other"), DENIED),
    (policy(resource=f"{RESOURCES}*/*/GET/items/*"), (200, None)),
    (policy(resource=f"{RESOURCES}*/prod/GET/items/?"), (200, None)),
    (policy(resource=f"{RESOURCES}*/prod/GET/items/??"), DENIED),
    (policy(resource=f"{RESOURCES}*/prod/get/items/1"), DENIED),
    (policy(resource="arn:aws:execute-api:*:*:*"), (200, None)),
    (policy(resource="arn:aws:execute-api:eu-*:*:*"), DENIED),
    (policy(resource="arn:aws:execute-api:*/GET/items/1"), (200, None)),
    (policy(action="execute-api:*"), (200, None)),
    (policy(action=["s3:GetObject", "EXECUTE-API:invoke"]), (200, None)),
    (policy(action="execute-api:ManageConnections"), DENIED),
    (policy(action="s3:*"), DENIED),
    (
        {"principalId": "x", "policyDocument": {"Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "*", "NotResource": f"{RESOURCES}*/POST/*"},
        ]}},
        EXPLICITLY_DENIED,
    ),
    ({"principalId": "x", "policyDocument": {"Statement": {"Effect": "Allow", "NotAction": "s3:*", "Resource": ["x", "*"]}}}, (200, None)),
    (None, BROKEN),
    ("Allow", BROKEN),
    ([policy()], BROKEN),
    ({"isAuthorized": True}, BROKEN),
    ({**policy(), "principalId": 7}, BROKEN),
    ({"policyDocument": policy()["policyDocument"]}, BROKEN),
    ({**policy(), "policyDocument": json.dumps(policy()["policyDocument"])}, BROKEN),
    ({**policy(), "policyDocument": {"Version": "2012-10-17", "Statement": []}}, BROKEN),
    ({**policy(), "policyDocument": {"Version": "2025", "Statement": policy()["policyDocument"]["Statement"]}}, BROKEN),
    (policy("allow"), BROKEN),
    (policy(resource=[]), BROKEN),
    (policy(resource=[7]), BROKEN),
    (policy(resource="arn:aws:execute-api:us-east-1:*:*/${aws:username}"), BROKEN),
    (policy(context={"a": {"b": 1}}), BROKEN),
    (policy(context={"a": [1]}), BROKEN),
    (policy(context="a"), BROKEN),
    (policy(usageIdentifierKey=7), BROKEN),
    (policy(context={"a": "b" * 9000}), BROKEN),
]  # fmt: skip
CONDITIONAL = policy()
CONDITIONAL["policyDocument"]["Statement"][0]["Condition"] = {"IpAddress": {"aws:SourceIp": "127.0.0.1"}}


@pytest.fixture(scope="module")
def rest() -> Any:
    decider = Decider(None)
    with gateway(application(decider, "REST", ttl=0)) as server:
        yield server, decider


@pytest.mark.parametrize(("answer", "expected"), [*ANSWERS, (CONDITIONAL, BROKEN)])
def test_policies(rest: tuple[GatewayServer, Decider], answer: Any, expected: tuple[int, Any]) -> None:
    server, rest_decider = rest
    rest_decider.answer = answer
    found = server.get("/prod/items/1", authorization="x")
    assert (found.status, None if found.status == 200 else found.json()) == expected
    assert server.get("/prod/open").text == "open"
    if expected == BROKEN:
        assert found["x-amzn-errortype"] == "AuthorizerConfigurationException"


def test_an_authorizer_names_the_api_key() -> None:
    value = "0123456789abcdefghij"
    app = App("planned")

    @app.function()
    def decide(event: Any, context: Any) -> Any:
        return policy(usageIdentifierKey=event["authorizationToken"])

    app.rest_api(authorizer=app.lambda_authorizer("guard", decide, kind="token"), api_key_source="AUTHORIZER")
    app.usage_plan("plan", keys=[app.api_key("key", value)], quota=2, period="DAY")

    @app.on(Rest("GET /x", api_key=True))
    def answer(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": event["requestContext"]["identity"]["apiKey"]}

    with gateway(app) as server:
        assert server.get("/prod/x", authorization=value).text == value
        assert told(server.get("/prod/x", authorization="another", x_api_key=value)) == FORBIDDEN
        assert [server.get("/prod/x", authorization=value).status for _ in range(2)] == [200, 429]


def raising(text: str) -> Callable[[Any], Any]:
    def answer(event: Any) -> Any:
        raise RuntimeError(text)

    return answer


def test_errors_of_an_authorizer(rest: tuple[GatewayServer, Decider]) -> None:
    server, rest_decider = rest
    rest_decider.answer = raising("Unauthorized")
    assert told(server.get("/prod/items/1", authorization="x")) == UNAUTHORIZED
    rest_decider.answer = raising("Unauthorized: who are you")
    assert told(server.get("/prod/items/1", authorization="x")) == BROKEN


@pytest.mark.parametrize(
    ("simple", "answer", "expected"),
    [
        (True, {"isAuthorized": False}, FORBIDDEN),
        (True, {"isAuthorized": "true"}, BROKEN_HTTP),
        (True, {"isAuthorized": 1}, BROKEN_HTTP),
        (True, {}, BROKEN_HTTP),
        (True, policy(), BROKEN_HTTP),
        (True, {"isAuthorized": True, "context": []}, BROKEN_HTTP),
        (False, {"isAuthorized": True}, BROKEN_HTTP),
        (False, policy("Deny"), FORBIDDEN),
        (False, policy(resource="*/POST/*"), FORBIDDEN),
        (False, CONDITIONAL, BROKEN_HTTP),
        (False, policy(), (200, {"lambda": None})),
        (False, raising("Unauthorized"), UNAUTHORIZED),
        (False, raising("other"), BROKEN_HTTP),
    ],
)
def test_answers_of_http_authorizers(simple: bool, answer: Any, expected: tuple[int, Any]) -> None:
    with gateway(application(Decider(answer), "HTTP", simple=simple, ttl=0)) as server:
        assert told(server.get("/items/1", authorization="x")) == expected


def test_a_failure_of_our_own_lets_nobody_in(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*_given: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(LambdaStep, "__call__", fail)
    with gateway(application(Decider(policy()), "HTTP")) as server:
        assert told(server.get("/items/1", authorization="x")) == BROKEN_HTTP
        assert not server.events
    assert "a bug" in caplog.text


def test_who_does_not_say_who_it_is_is_turned_away_unasked() -> None:
    decider = Decider(policy())
    with gateway(application(decider, "REST", kind="token", validation=r"Bearer \d+")) as server:
        for headers in ({}, {"authorization": ""}, {"authorization": "Bearer x"}, {"authorization": "Bearer 1 or"}):
            found = server.request("GET", "/prod/items/1", headers=headers)
            assert told(found) == UNAUTHORIZED, headers
        assert not decider.events
        assert server.get("/prod/items/1", authorization="Bearer 12").status == 200


def test_a_body_is_not_read_for_those_who_are_turned_away() -> None:
    decider = Decider(policy("Deny"))
    with gateway(application(decider, "REST")) as server:
        answer = server.raw(b"POST /prod/items/1 HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")


# For how long, and for what.


def test_an_answer_stands_for_all_routes_of_its_stage_and_for_its_identity_alone() -> None:
    decider = Decider(lambda event: policy(resource=[event["methodArn"], "*/POST/items/2"]))
    clock = VirtualClock()
    with gateway(application(decider, "REST", ttl=60), clock=clock) as server:
        assert server.get("/prod/items/1", authorization="a").status == 200
        assert server.get("/prod/items/1", authorization="a").status == 200
        assert told(server.get("/prod/items/2", authorization="a")) == DENIED, "the policy of the first request says nothing of it"
        assert server.request("POST", "/prod/items/2", b"", {"authorization": "a"}).status == 200
        assert len(decider.events) == 1
        assert server.get("/prod/items/2", authorization="b").status == 200
        assert len(decider.events) == 2
        clock.advance_from_thread(server._loop, 60)
        assert server.get("/prod/items/2", authorization="a").status == 200
        assert len(decider.events) == 3


def test_a_refusal_is_remembered_and_a_failure_is_not() -> None:
    decider = Decider(policy("Deny"))
    with gateway(application(decider, "REST")) as server:
        assert [server.get("/prod/items/1", authorization="a").status for _ in range(3)] == [403] * 3
        assert len(decider.events) == 1
        decider.answer = None
        assert [server.get("/prod/items/1", authorization="b").status for _ in range(3)] == [500] * 3
        decider.answer = policy()
        assert server.get("/prod/items/1", authorization="b").status == 200
        server.load(server.app)
        assert server.get("/prod/items/1", authorization="a").status == 200, "a reload forgets: its authorizer may be another one"


def test_without_a_ttl_everybody_is_asked_for() -> None:
    decider = Decider({"isAuthorized": True})
    with gateway(application(decider, "HTTP", simple=True, ttl=0, identity_source=[])) as server:
        assert [server.get("/items/1").status for _ in range(3)] == [200] * 3
        assert len(decider.events) == 3


def test_identities_do_not_run_into_each_other() -> None:
    decider = Decider({"isAuthorized": True})
    sources = ["$request.header.one", "$request.header.two"]
    with gateway(application(decider, "HTTP", simple=True, identity_source=sources)) as server:
        assert server.get("/items/1", one="a,b", two="c").status == 200
        assert server.get("/items/1", one="a", two="b,c").status == 200
        assert len(decider.events) == 2


def test_requests_of_one_identity_share_an_invocation() -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(event: Any) -> Any:
        entered.set()
        assert gate.wait(PATIENCE)
        return {"isAuthorized": True}

    decider = Decider(wait)
    with gateway(application(decider, "HTTP", simple=True)) as server:
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(server.get("/items/1", authorization="a").status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert entered.wait(PATIENCE)
        assert server.get("/open").text == "open"
        gate.set()
        for thread in threads:
            thread.join()
        assert (statuses, len(decider.events)) == ([200] * 8, 1)


def test_one_that_leaves_takes_nobody_else_with_it() -> None:
    async def work() -> None:
        gate = asyncio.Event()

        async def invoke(function: str, payload: bytes, **given: Any) -> Outcome:
            await gate.wait()
            return Outcome(Status.SUCCESS, b'{"isAuthorized":true}')

        settings = LambdaSettings("guard", "decide", "request", None, "2.0", True, 300, None)
        authorizer = Authorizer(settings, "HTTP", invoke, VirtualClock())
        first, second = (asyncio.create_task(authorizer.ask(b"a", {}, None)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert (await second).allowed
        assert authorizer.remembered(b"a") is not None

    asyncio.run(work())


def test_an_authorizer_that_takes_too_long() -> None:
    gate = threading.Event()

    def wait(event: Any) -> Any:
        gate.wait(PATIENCE)

    clock = VirtualClock()
    with gateway(application(Decider(wait), "HTTP", simple=True), clock=clock) as server:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(told(server.get("/items/1", authorization="a"))))
        thread.start()
        while not server.events:
            pass
        clock.advance_from_thread(server._loop, 10)
        thread.join()
        gate.set()
        assert found == [BROKEN_HTTP]


def test_a_path_that_is_a_pattern_allows_nothing_else() -> None:
    decider = Decider(lambda event: policy(resource=event["methodArn"]))
    with gateway(application(decider, "REST")) as server:
        for path in ("/prod/all/*", "/prod/all/%3F", "/prod/all/$%7Baws:username%7D"):
            decider.events.clear()
            server.load(server.app)
            assert server.get(path, authorization="a").status == 200, path
            assert told(server.get("/prod/all/other", authorization="a")) == DENIED
            assert told(server.get("/prod/all/x", authorization="a")) == DENIED
            assert len(decider.events) == 1


@pytest.mark.parametrize(
    ("protocol", "options", "error"),
    [
        ("HTTP", {"kind": "token"}, "token authorizers are for REST APIs"),
        ("REST", {"simple": True}, "simple responses are for HTTP APIs"),
        ("HTTP", {"simple": True, "payload": "1.0"}, "simple=True is refused"),
        ("HTTP", {"payload": "3.0"}, "payload='3.0' is refused"),
        ("HTTP", {"ttl": 3601}, "ttl=3601 is refused"),
        ("HTTP", {"ttl": True}, "ttl=True is refused"),
        ("HTTP", {"identity_source": []}, "without a source nothing can be cached"),
        ("HTTP", {"identity_source": "method.request.header.X"}, "identity_source='method.request.header.X' is refused"),
        ("REST", {"identity_source": "$request.header.X"}, "identity_source='\\$request.header.X' is refused"),
        ("REST", {"identity_source": "context.identity.apiKey"}, "identity_source='context.identity.apiKey' is refused"),
        ("REST", {"kind": "token", "identity_source": ["method.request.header.X", "method.request.header.Y"]}, "a token authorizer takes one header"),
        ("REST", {"kind": "cognito"}, "kind='cognito' is refused"),
        ("REST", {"validation": "x"}, "of a token authorizer alone"),
        ("REST", {"kind": "token", "validation": "("}, "it is no regular expression"),
    ],
)
def test_what_cannot_be_enforced_is_refused(protocol: str, options: Mapping[str, Any], error: str) -> None:
    with gateway(App("empty")) as server, pytest.raises(SettingError, match=error):
        server.load(application(Decider(None), protocol, **options))


def test_an_authorizer_without_its_function_is_refused() -> None:
    app = App("lonely")
    app.lambda_authorizer("guard", "decide")
    with pytest.raises(SettingError, match="Authorizer 'guard': function names 'decide', which app 'lonely' does not have"):
        app.manifest()
    with pytest.raises(SettingError, match=r"is no function of app 'lonely'; put @app\.function"):
        app.lambda_authorizer("other", told)  # type: ignore[arg-type]
