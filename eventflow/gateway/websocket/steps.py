"""The steps of a route (throttling, authorizers) for handshakes and for messages, which are no HTTP requests."""

from __future__ import annotations

from typing import Any, NamedTuple

from eventflow.gateway.apis import Route
from eventflow.gateway.request import Request
from eventflow.gateway.seams import NOTHING_FOUND, Findings, Refusal
from eventflow.gateway.websocket.events import Facts


class Found(NamedTuple):
    """What the steps found out, and the refusal of one of them."""

    refusal: Refusal | None
    findings: Findings = NOTHING_FOUND


async def passed(request: Request, route: Route | None) -> Found:
    if route is None or not (route.early or route.steps):
        return Found(None)
    findings = Findings()
    for step in (*route.early, *route.steps):
        result = await step(request, route, findings)
        if isinstance(result, Refusal):
            findings.log.update(result.log)
            return Found(result, findings)
        if result is not None:
            findings.add(result)
    return Found(None, findings)


def with_log(findings: Findings, **variables: str) -> Findings:
    """What was found out, and further variables of the access log. The findings themselves may be everybody's."""
    return Findings(findings.authorizer, findings.identity, findings.authentication, {**findings.log, **variables})


def request_of(facts: Facts, message: str, now: float, started: float, request_id: str) -> Request:
    """A message as steps see it: the connection's host, stage and client, and the message as the body."""
    headers = [(b"host", facts.domain.encode())]
    if facts.user_agent is not None:
        headers.append((b"user-agent", facts.user_agent.encode("latin-1", "replace")))
    path = f"/{facts.stage}"
    scope: dict[str, Any] = {
        "type": "websocket",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "https",
        "client": (facts.source_ip, 0),
    }
    request = Request(scope, now, started, request_id)
    request.route_path, request.body, request.complete = "/", message.encode(), True
    return request
