"""Requests as Lambda authorizers get them: what the function behind the route would get, without the body and with what identifies the client."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventflow.gateway.apis import Route
from eventflow.gateway.events import Writer
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Findings
from eventflow.gateway.websocket.events import Events, Facts, connection_of, domain_of, short_id

#: The event of a request: its ARN, what the identity sources gave.
EventOf = Callable[[Request, Route, Findings, str, Sequence[str]], Mapping[str, Any]]
#: What REST authorizers get empty where the function gets null.
OBJECTS = ("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables")


class AuthorizerEvents:
    """The formats of "Input to an API Gateway Lambda authorizer" and "Control access to HTTP APIs with AWS Lambda authorizers"."""

    def __init__(self, account: str, region: str) -> None:
        self._region = region
        self._writer = Writer(account)
        self._connects = Events(self._writer)

    def token(self, request: Request, route: Route, findings: Findings, arn: str, identity: Sequence[str]) -> Mapping[str, Any]:
        return {"type": "TOKEN", "methodArn": arn, "authorizationToken": identity[0]}

    def rest(self, request: Request, route: Route, findings: Findings, arn: str, identity: Sequence[str]) -> Mapping[str, Any]:
        return {"type": "REQUEST", "methodArn": arn, **self._version_1(request, route, findings)}

    def http_1(self, request: Request, route: Route, findings: Findings, arn: str, identity: Sequence[str]) -> Mapping[str, Any]:
        joined = ",".join(identity)
        head = {"version": "1.0", "type": "REQUEST", "methodArn": arn, "identitySource": joined, "authorizationToken": joined}
        return {**head, **self._version_1(request, route, findings)}

    def http_2(self, request: Request, route: Route, findings: Findings, arn: str, identity: Sequence[str]) -> Mapping[str, Any]:
        event = json.loads(self._writer.version_2(without_body(request), route, findings))
        del event["version"], event["isBase64Encoded"]
        return {"version": "2.0", "type": "REQUEST", "routeArn": arn, "identitySource": list(identity), **event}

    def websocket(self, request: Request, route: Route, findings: Findings, arn: str, identity: Sequence[str]) -> Mapping[str, Any]:
        """Of the handshake, with the id of the connection that it opens if all let it."""
        api = route.api
        agent = request.header_map.get("user-agent")
        domain = domain_of(api.id, self._region)
        facts = Facts(connection_of(request), api.id, api.stage.name, domain, request.received, request.source_ip, agent, None, findings.identity)
        event = json.loads(self._connects.connect(facts, request, short_id(request.request_id), api.stage.variables))
        del event["isBase64Encoded"]
        empty: dict[str, Any] = {"queryStringParameters": {}, "multiValueQueryStringParameters": {}, "stageVariables": {}}
        return {"type": "REQUEST", "methodArn": arn, **empty, **event}

    def _version_1(self, request: Request, route: Route, findings: Findings) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self._writer.version_1(without_body(request), route, findings))
        del event["body"], event["isBase64Encoded"]
        return {name: {} if value is None and name in OBJECTS else value for name, value in event.items()}


def without_body(request: Request) -> Request:
    """The request with an empty body: an authorizer never gets it, and most come before it was read."""
    bare = copy.copy(request)
    bare.body = b""
    return bare
