"""The gateway: an ASGI application that leads requests through the pipeline, from the route that they match to the answer of its integration."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence

from eventflow.body_budget import BodyBudget, Share
from eventflow.clock import Clock
from eventflow.errors import Overloaded
from eventflow.gateway.apis import EXECUTE_API, SOCKETS, Api, Route
from eventflow.gateway.deadlines import Deadlines
from eventflow.gateway.forwarding import Network
from eventflow.gateway.refusals import worded
from eventflow.gateway.request import Request
from eventflow.gateway.routes import as_sent
from eventflow.gateway.seams import NOTHING_FOUND, Answer, Findings, Receive, Refusal, Scope, Send, Sockets, Step
from eventflow.gateway.sending import streamed
from eventflow.gateway.table import Table

log = logging.getLogger("eventflow.gateway")

#: AWS: 10 MB for the body of a request.
LARGEST_BODY = 10 * 1024 * 1024
#: How much of an unwanted body is read and forgotten; beyond that the connection is closed.
MOST_DRAINED = 256 * 1024
FUNCTION_URL = ".lambda-url."
MANAGEMENT = "/@connections/"
DRAIN_SECONDS = 2.0
#: A client may take so long for the whole of a body.
BODY_SECONDS = 120.0
BODILESS = frozenset((204, 304))
#: The header by which each protocol names a request in its answer.
ID_NAMES = {"HTTP": b"apigw-requestid", "REST": b"x-amzn-requestid", "URL": b"x-amzn-requestid"}
EMPTY = Table(())


class Gateway:
    """``take_up`` makes another version of the application answer, from one request to the next; those under way end with the former."""

    def __init__(self, clock: Clock, *, trusted: Sequence[Network] = (), bodies: BodyBudget | None = None, sockets: Sockets | None = None) -> None:
        """``trusted`` are the addresses of proxies whose word is taken for who the client is."""
        self._clock = clock
        self._trusted = tuple(trusted)
        self._bodies = bodies or BodyBudget()
        self._sockets = sockets
        self._table = EMPTY
        self._body_deadlines = Deadlines(BODY_SECONDS)

    @property
    def table(self) -> Table:
        return self._table

    def take_up(self, table: Table) -> None:
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock = self._clock
        request = Request(scope, clock.now(), clock.monotonic(), clock.new_id(), self._trusted)
        try:
            if MANAGEMENT in request.path and self._sockets is not None and self._sockets.manages(request):
                await self._sockets(scope, receive, send)
                return
            is_clear = not request.ambiguous and (request.host != "" or request.http_version == "1.0") and request.path[:1] == "/"
            api = self._api_of(request) if is_clear else None
            if api is None:
                refusal = Refusal("NO_API" if is_clear else "BAD_REQUEST")
                protocol = self._table.protocol_of(request.domain.partition(".")[0]) if EXECUTE_API in request.domain else "HTTP"
                await self._finish(request, worded(refusal, protocol, request.request_id), receive, send)
            elif api.protocol == SOCKETS and self._sockets is not None:
                await self._sockets(scope, receive, send)
            else:
                await self._through(api, request, receive, send)
        except ClientGone:
            log.debug("%s %s: the client left before its request was whole", request.method, request.path)

    def _api_of(self, request: Request) -> Api | None:
        api = self._found_api(request)
        if api is not None:
            request.named = ID_NAMES.get(api.protocol, b"")
        return api

    def _found_api(self, request: Request) -> Api | None:
        """The API that a request is for: by its host, or by the first parts of its path. Sets the request's ``route_path``."""
        table = self._table
        if FUNCTION_URL in request.domain:
            return table.urls.get(request.domain.partition(".")[0])
        if EXECUTE_API in request.domain:
            api = table.staged(request.domain.partition(".")[0], request.path)
            if api is None:
                return None
            mount = api.stage.segment
        elif table.only is not None:
            api, mount = table.only, ""
        else:
            found = table.mounted(request.path)
            if found is None:
                return None
            api, mount = found
            request.mount = mount if api.base_path is not None else ""
        path = request.path
        if api.protocol == "REST" and (request.raw_path == mount or request.raw_path.startswith(f"{mount}/")):
            path = as_sent(request.raw_path)
        if mount or path is not request.path:
            request.route_path = path[len(mount) :] or "/"
        return api

    async def _through(self, api: Api, request: Request, receive: Receive, send: Send) -> None:
        """The pipeline: route, preflight, steps, integration, answer, access log."""
        findings = NOTHING_FOUND
        route: Route | None = None
        if api.cors is not None and request.method == "OPTIONS" and (answer := api.cors.preflight(request.header_map)) is not None:
            await self._finish(request, answer, receive, send)
        else:
            match = api.table.find(request.method, request.route_path)
            result: Answer | Refusal
            if match is None:
                result = Refusal("NOT_FOUND")
            else:
                route = match.route
                request.parameters = match.parameters
                if route.early or route.steps:
                    findings = Findings()
                result = await checked(request, route, route.early, findings) if route.early else NOTHING
                if result is NOTHING:
                    with self._bodies.share() as share:
                        request.share = share
                        result = await read_body(request, receive, share, self._body_deadlines) or NOTHING
                        if result is NOTHING and route.steps:
                            result = await checked(request, route, route.steps, findings)
                        if result is NOTHING:
                            result = await (integrated if api.access_log is None else self._timed)(request, route, findings)
            answer = worded(result, api.protocol, request.request_id) if isinstance(result, Refusal) else result
            if api.cors is not None:
                answer = shared(api, request, answer)
            await self._finish(request, answer, receive, send)
        if api.access_log is not None:
            api.access_log.record(request, route, findings, answer, self._clock.monotonic() - request.started)

    async def _timed(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        """What is answered, with how long it took for the access log."""
        begun = self._clock.monotonic()
        result = await integrated(request, route, findings)
        if findings is not NOTHING_FOUND:
            findings.log["integrationLatency"] = str(round((self._clock.monotonic() - begun) * 1000))
        return result

    async def _finish(self, request: Request, answer: Answer, receive: Receive, send: Send) -> None:
        headers = list(answer.headers)
        if answer.kind is None and request.named:
            headers.append((request.named, request.request_id.encode()))
        if answer.stream is None and answer.status not in BODILESS:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        if not request.complete and not await drained(request, receive):
            headers.append((b"connection", b"close"))  # what was not read would be taken for the next request
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.stream is not None:
            await streamed(answer.stream, receive, send, silent=answer.status in BODILESS)
        else:
            body = b"" if request.method == "HEAD" or answer.status in BODILESS else answer.body
            await send({"type": "http.response.body", "body": body})


NOTHING = Answer(0)


async def read_body(request: Request, receive: Receive, share: Share, deadlines: Deadlines) -> Refusal | None:
    """Read the body whole; a Refusal where it is too large."""
    length = b""
    chunked = False
    for name, value in request.headers:
        if name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            chunked = True
    if not chunked and not length.strip(b"0"):
        request.complete = True
        return None
    if length and len(length) < 20 and int(length) > LARGEST_BODY:
        return Refusal("REQUEST_TOO_LARGE")
    try:
        with deadlines.begin():
            body = await pieces_of(request, receive, share)
    except TimeoutError:
        return Refusal("REQUEST_TOO_SLOW")
    except Overloaded:
        return Refusal("OVERLOADED", ((b"retry-after", b"1"),))
    if body is None:
        return Refusal("REQUEST_TOO_LARGE")
    request.complete = True
    request.body = body[0] if len(body) == 1 else b"".join(body)
    return None


async def pieces_of(request: Request, receive: Receive, share: Share) -> list[bytes] | None:
    """The pieces of a body; None for one that is too large."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > LARGEST_BODY:
            return None
        share.take(len(piece))
        pieces.append(piece)
        if not message.get("more_body"):
            return pieces


class ClientGone(Exception):
    """The client left before its request was whole."""


async def drained(request: Request, receive: Receive) -> bool:
    """Read the rest of a body and forget it, if it is not much and comes soon; whether the end was reached."""
    if b"expect" in dict(request.headers):
        return False  # it waits for a word before it sends its body
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while size <= MOST_DRAINED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    return True
    except TimeoutError:
        return False
    return False


async def checked(request: Request, route: Route, steps: Sequence[Step], findings: Findings) -> Answer | Refusal:
    """Let steps add to the findings; NOTHING, or the refusal of one of them."""
    for step in steps:
        try:
            result = await step(request, route, findings)
        except Exception:
            log.exception("a step before %s of the %s failed", route.key, route.api)
            return Refusal("API_CONFIGURATION_ERROR")
        if isinstance(result, Refusal):
            findings.log.update(result.log)
            return result
        if result is not None:
            findings.add(result)
    return NOTHING


async def integrated(request: Request, route: Route, findings: Findings) -> Answer | Refusal:
    try:
        return await route.integration(request, route, findings)
    except Exception:
        log.exception("%s of the %s failed", route.key, route.api)
        return Refusal("API_CONFIGURATION_ERROR")


def shared(api: Api, request: Request, answer: Answer) -> Answer:
    """An answer with the API's CORS headers in the place of those that the function sent."""
    assert api.cors is not None
    kept = [one for one in answer.headers if not one[0].startswith(b"access-control-")]
    return dataclasses.replace(answer, headers=[*kept, *api.cors.headers_for(request.header_map.get("origin"))])
