"""Events as the gateway would send them, for requests that nobody made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from eventflow.api_ids import short_id
from eventflow.clock import Clock
from eventflow.errors import SettingError
from eventflow.gateway.apis import STAGES, Api, Route, Stage
from eventflow.gateway.events import Writer
from eventflow.gateway.refusals import worded
from eventflow.gateway.request import Request
from eventflow.gateway.routes import RouteKey, RouteTable, as_sent
from eventflow.gateway.seams import NOTHING_FOUND, Answer, Findings, Refusal


async def nothing(request: Request, route: Route, findings: Findings) -> Answer:
    return worded(Refusal("NOT_FOUND"), route.api.protocol, request.request_id)


def generated_event(
    protocol: str, key: str, target: str, body: bytes, headers: Sequence[tuple[str, str]], clock: Clock, account: str, region: str
) -> dict[str, Any]:
    """The event of a route for a request to ``target``, a path with perhaps a query. Raises SettingError where the route does not lead there."""
    parsed = RouteKey.parse(key)
    api = Api(protocol, "default", short_id("generated"), Stage(STAGES[protocol]))
    route = Route(api, key, parsed.method, parsed.path, nothing, 30.0)
    method = parsed.method if parsed.method != "ANY" else "GET"
    parts = urlsplit(target)
    match = RouteTable([(parsed, route)], by_resource=protocol == "REST").find(
        method, as_sent(parts.path) if protocol == "REST" else unquote(parts.path)
    )
    if match is None:
        raise SettingError(f"The route {key!r} does not lead to {target!r}.")
    path = f"{api.stage.segment}{parts.path}"
    host = f"{api.id}.execute-api.{region}.amazonaws.com"
    given = [(name.lower().encode(), value.encode()) for name, value in headers]
    length = [(b"content-length", b"%d" % len(body))] if body else []
    scope = {
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(b"host", host.encode()), (b"user-agent", b"eventflow"), *length, *given],
        "http_version": "1.1",
        "scheme": "https",
        "client": ("192.0.2.1", 0),
    }
    request = Request(scope, clock.now(), clock.monotonic(), clock.new_id())
    request.parameters, request.body = match.parameters, body
    writer = Writer(account)
    write = writer.version_1 if protocol == "REST" else writer.version_2
    found: dict[str, Any] = json.loads(write(request, route, NOTHING_FOUND))
    return found
