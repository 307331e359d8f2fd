"""What functions get: the events of $connect, of messages and of $disconnect, as Lambda proxy integrations of WebSocket APIs have them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eventflow.gateway.events import LONGEST_REMEMBERED, Writer, both
from eventflow.gateway.request import Request, quoted
from eventflow.remembered import remembered

#: These describe the connection between client and gateway.
HOP = frozenset((b"connection", b"upgrade", b"x-forwarded-for"))
SPELLED = {"websocket": "WebSocket"}
#: The texts for the two codes that say that there was none.
REASONS = {1005: "Client-side close frame status not set", 1006: "Connection closed abnormally"}
encoded = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a connection for as long as it lasts, and is on disk meanwhile. ``api`` is its id, ``connected_at`` in Unix seconds,
    ``authorizer`` and ``identity`` are what the steps of $connect found out."""

    connection: str
    api: str
    stage: str
    domain: str
    connected_at: float
    source_ip: str
    user_agent: str | None = None
    authorizer: Mapping[str, Any] | None = None
    identity: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Facts:
        return cls(**json.loads(text))


def short_id(long: str) -> str:
    """An identifier as WebSocket APIs make them, of sixteen characters: ``L0SM9cOFvHcCIhw=``."""
    return base64.urlsafe_b64encode(hashlib.sha256(long.encode()).digest()[:11]).decode()


def connection_of(request: Request) -> str:
    """The id of the connection that a handshake opens, which its authorizer gets to see before it is open."""
    return short_id(f"connection of {request.request_id}")


def domain_of(api: str, region: str) -> str:
    """The host that events name: AWS's own for an API of this id, whatever the client asked for."""
    return f"{api}.execute-api.{region}.amazonaws.com"


class Events:
    """Writes events ("Lambda proxy integrations for WebSocket APIs" and the $connect and $disconnect routes, API Gateway developer guide)."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def connect(self, facts: Facts, request: Request, request_id: str, variables: Mapping[str, str]) -> bytes:
        event = self._heads(request)
        query, queries = both(request.query_pairs)
        if query:
            event |= {"queryStringParameters": query, "multiValueQueryStringParameters": queries}
        event["requestContext"] = self._context(facts, "$connect", "CONNECT", request_id, facts.connected_at)
        return written(event, variables)

    def message(self, facts: Facts, key: str, message: str, request_id: str, message_id: str, now: float, variables: Mapping[str, str]) -> bytes:
        """Written as text at once: there are many of them."""
        parts = [
            '{"requestContext":{"routeKey":', quoted(key), ',"messageId":"', message_id, '","eventType":"MESSAGE","extendedRequestId":"', request_id,
            '","requestTime":"', self._writer.time(now), '","messageDirection":"IN","stage":"', facts.stage, '","connectedAt":',
            str(int(facts.connected_at * 1000)), ',"requestTimeEpoch":', str(int(now * 1000)), ',"identity":', encoded(identity_of(facts)),
            ',"requestId":"', request_id, '","domainName":"', facts.domain, '","connectionId":"', facts.connection, '","apiId":"', facts.api, '"',
        ]  # fmt: skip
        if facts.authorizer is not None:
            parts += [',"authorizer":', encoded(facts.authorizer)]
        parts += ['},"body":', quoted(message)]
        if variables:
            parts += [',"stageVariables":', encoded(variables)]
        parts.append(',"isBase64Encoded":false}')
        return "".join(parts).encode("ascii")

    def disconnect(self, facts: Facts, code: int, reason: str, request_id: str, now: float, variables: Mapping[str, str]) -> bytes:
        heads = {"Host": facts.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
        context = self._context(facts, "$disconnect", "DISCONNECT", request_id, now)
        context |= {"disconnectStatusCode": code, "disconnectReason": reason or REASONS.get(code, "")}
        event = {"headers": heads, "multiValueHeaders": {name: [value] for name, value in heads.items()}, "requestContext": context}
        return written(event, variables)

    def _heads(self, request: Request) -> dict[str, Any]:
        """The handshake's headers, under the names that browsers send (the server has them in lower case), and those that API Gateway adds."""
        pairs = [(cased(name), value.decode("latin-1")) for name, value in request.headers if name not in HOP]
        before = request.header("x-forwarded-for")
        added = {
            "X-Amzn-Trace-Id": request.trace,
            "X-Forwarded-For": f"{before}, {request.peer}" if before else request.peer,
            "X-Forwarded-Port": request.port,
            "X-Forwarded-Proto": request.scheme,
        }
        single, multiple = both([pair for pair in pairs if pair[0] not in added])
        return {"headers": {**single, **added}, "multiValueHeaders": {**multiple, **{name: [value] for name, value in added.items()}}}

    def _context(self, facts: Facts, key: str, kind: str, request_id: str, now: float) -> dict[str, Any]:
        context: dict[str, Any] = {
            "routeKey": key,
            "eventType": kind,
            "extendedRequestId": request_id,
            "requestTime": self._writer.time(now),
            "messageDirection": "IN",
            "stage": facts.stage,
            "connectedAt": int(facts.connected_at * 1000),
            "requestTimeEpoch": int(now * 1000),
            "identity": identity_of(facts),
            "requestId": request_id,
            "domainName": facts.domain,
            "connectionId": facts.connection,
            "apiId": facts.api,
        }
        if facts.authorizer is not None:
            context["authorizer"] = facts.authorizer
        return context


@remembered(longest=LONGEST_REMEMBERED)
def cased(name: bytes) -> str:
    """``Sec-WebSocket-Key`` for ``sec-websocket-key``."""
    return "-".join([SPELLED.get(part) or part[:1].upper() + part[1:] for part in name.decode("latin-1").split("-")])


def identity_of(facts: Facts) -> dict[str, Any]:
    identity: dict[str, Any] = {"sourceIp": facts.source_ip}
    if facts.user_agent is not None:
        identity["userAgent"] = facts.user_agent
    return {**identity, **facts.identity} if facts.identity else identity


def written(event: dict[str, Any], variables: Mapping[str, str]) -> bytes:
    if variables:
        event["stageVariables"] = dict(variables)
    event["isBase64Encoded"] = False
    return encoded(event).encode()
