"""Events as the gateway would send them, for requests and connections that nobody made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from eventflow.api_ids import short_id
from eventflow.clock import Clock
from eventflow.errors import SettingError
from eventflow.gateway.apis import SOCKETS, STAGES, URL, Api, Route, Stage
from eventflow.gateway.authorizers.lambda_events import AuthorizerEvents
from eventflow.gateway.authorizers.policies import method_arn
from eventflow.gateway.events import Writer
from eventflow.gateway.refusals import worded
from eventflow.gateway.request import Request
from eventflow.gateway.routes import RouteKey, RouteTable, as_sent
from eventflow.gateway.seams import NOTHING_FOUND, Answer, Findings, Refusal
from eventflow.gateway.websocket.events import Events, Facts, connection_of, domain_of
from eventflow.gateway.websocket.events import short_id as short_request_id

#: The kinds of Lambda authorizers' events, and of which protocol each is.
AUTHORIZERS = {"token": "REST", "request": "REST", "http-1.0": "HTTP", "http-2.0": "HTTP", "websocket": SOCKETS}
CONNECT = "$connect"
CLIENT = ("192.0.2.1", 0)


@dataclass(frozen=True)
class Asked:
    """A request that nobody made: ``route`` is the key of the route that leads to the function, ``target`` a path with perhaps a query."""

    route: str
    target: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    stage: str | None = None
    stage_variables: Mapping[str, str] | None = None
    authorizer: Mapping[str, Any] | None = None


class Generator:
    """Writes events of one account and region, with the writers that the gateway itself uses."""

    def __init__(self, clock: Clock, account: str, region: str) -> None:
        self._clock = clock
        self._account = account
        self._region = region
        self._writer = Writer(account)

    def request(self, protocol: str, asked: Asked) -> dict[str, Any]:
        """The event of a route (``HTTP``, ``REST``) or of a function URL (``URL``). Raises SettingError where the route does not lead there."""
        request, route = self._made(protocol, asked)
        write = self._writer.version_1 if protocol == "REST" else self._writer.version_2
        found: dict[str, Any] = json.loads(write(request, route, findings(asked)))
        return found

    def authorizer(self, kind: str, asked: Asked, identity: Sequence[str]) -> dict[str, Any]:
        """The event of a Lambda authorizer; ``identity`` is what its identity sources gave, the token first of all."""
        protocol = AUTHORIZERS[kind]
        request, route = self._made(protocol, asked)
        events = AuthorizerEvents(self._account, self._region)
        write = {"token": events.token, "request": events.rest, "http-1.0": events.http_1, "http-2.0": events.http_2, "websocket": events.websocket}
        if protocol == SOCKETS:
            arn = f"arn:aws:execute-api:{self._region}:{self._account}:{route.api.id}/{route.api.stage.name}/{route.key}"
        else:
            arn = method_arn(self._region, self._account, route.api, request.method, request.route_path)
        return dict(write[kind](request, route, NOTHING_FOUND, arn, identity))

    def connection(self, asked: Asked, code: int = 1000, reason: str = "") -> dict[str, Any]:
        """The event of a WebSocket API's route: ``$connect``, ``$disconnect`` with this code and reason, or a message, which is the body."""
        request, route = self._made(SOCKETS, asked)
        api, now, events = route.api, self._clock.now(), Events(self._writer)
        agent, domain = request.header_map.get("user-agent"), domain_of(api.id, self._region)
        facts = Facts(connection_of(request), api.id, api.stage.name, domain, now, request.source_ip, agent, asked.authorizer)
        request_id = short_request_id(request.request_id)
        if route.key == CONNECT:
            written = events.connect(facts, request, request_id, api.stage.variables)
        elif route.key == "$disconnect":
            written = events.disconnect(facts, code, reason, request_id, now, api.stage.variables)
        else:
            message_id = short_request_id(self._clock.new_id())
            written = events.message(facts, route.key, asked.body.decode(), request_id, message_id, now, api.stage.variables)
        found: dict[str, Any] = json.loads(written)
        return found

    def _made(self, protocol: str, asked: Asked) -> tuple[Request, Route]:
        stage = Stage(asked.stage or STAGES.get(protocol, "$default"), asked.stage_variables or {})
        api = Api(protocol, "default", short_id("generated"), stage)
        parts = urlsplit(asked.target)
        if protocol in (URL, SOCKETS):
            parameters: Mapping[str, str] = {}
            method, route = "GET", Route(api, asked.route, "GET", "/", nothing, 30.0)
            if protocol == URL:
                method, _, _path = asked.route.partition(" ")
                route = Route(api, "$default", "ANY", "/", nothing, 30.0)
        else:
            method, route, parameters = matched(api, asked.route, parts.path)
        request = Request(self._scope(api, method, asked, parts.path, parts.query), self._clock.now(), self._clock.monotonic(), self._clock.new_id())
        request.parameters, request.body = parameters, asked.body
        request.route_path = unquote(parts.path) if protocol == "HTTP" else parts.path
        return request, route

    def _scope(self, api: Api, method: str, asked: Asked, path: str, query: str) -> dict[str, Any]:
        raw = f"{api.stage.segment}{path}"
        place = f"lambda-url.{self._region}.on.aws" if api.protocol == URL else f"execute-api.{self._region}.amazonaws.com"
        length = [(b"content-length", b"%d" % len(asked.body))] if asked.body and api.protocol != SOCKETS else []
        return {
            "method": method,
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [
                (b"host", f"{api.id}.{place}".encode()),
                (b"user-agent", b"eventflow"),
                *length,
                *((name.lower().encode(), value.encode()) for name, value in asked.headers),
            ],
            "http_version": "1.1",
            "scheme": "https",
            "client": CLIENT,
        }


def matched(api: Api, key: str, path: str) -> tuple[str, Route, Mapping[str, str]]:
    """The method that is asked with, the route, and the variables of its path."""
    parsed = RouteKey.parse(key)
    route = Route(api, key, parsed.method, parsed.path, nothing, 30.0)
    method = parsed.method if parsed.method != "ANY" else "GET"
    rest = api.protocol == "REST"
    match = RouteTable([(parsed, route)], by_resource=rest).find(method, as_sent(path) if rest else unquote(path))
    if match is None:
        raise SettingError(f"The route {key!r} does not lead to {path!r}.")
    return method, route, match.parameters


def findings(asked: Asked) -> Findings:
    return NOTHING_FOUND if asked.authorizer is None else Findings(authorizer=asked.authorizer)


async def nothing(request: Request, route: Route, findings: Findings) -> Answer:
    return worded(Refusal("NOT_FOUND"), route.api.protocol, request.request_id)
