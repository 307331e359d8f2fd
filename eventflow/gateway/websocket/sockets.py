"""The WebSocket APIs as the gateway sees them: connections come in here, and are known until they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from eventflow.clock import Clock
from eventflow.errors import EventflowError
from eventflow.gateway.apis import Api
from eventflow.gateway.events import Writer
from eventflow.gateway.forwarding import networks
from eventflow.gateway.refusals import JSON_TYPE, REST, identified
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Receive, Refusal, Scope, Send
from eventflow.gateway.websocket.events import Events, Facts, connection_of, short_id
from eventflow.gateway.websocket.farewells import Emit, Farewells
from eventflow.gateway.websocket.front import API_OPTIONS, CONNECT, RESPONSE, ROUTE_OPTIONS, Front, SocketApi
from eventflow.gateway.websocket.handshake import accepting, checked, offered, refusing
from eventflow.gateway.websocket.integration import complaint, run, wording
from eventflow.gateway.websocket.records import Records
from eventflow.gateway.websocket.steps import Found, passed, request_of

if TYPE_CHECKING:
    # The package websockets is loaded with the first of these, and not for applications without WebSocket APIs.
    from eventflow.gateway.plugs import Surroundings
    from eventflow.gateway.websocket.connection import Connection
    from eventflow.gateway.websocket.management import Management
    from eventflow.gateway.websocket.watch import Watch

log = logging.getLogger("eventflow.gateway")

UPGRADE = Answer(426, (JSON_TYPE, (b"upgrade", b"websocket")), b'{"message":"Upgrade Required"}')
STOPPING = Answer(503, (JSON_TYPE, (b"retry-after", b"1")), b'{"message":"Service Unavailable"}')
FORBIDDEN = Answer(403, (JSON_TYPE, (b"x-amzn-errortype", b"ForbiddenException")), b'{"message":"Forbidden"}')
Headers = list[tuple[bytes, bytes]]


class WebSockets:
    """``accept`` takes over a connection whose request asks for a WebSocket; the call answers the management API. What is open stays open over
    reloads; ``stop`` ends it."""

    api_options = API_OPTIONS
    route_options = ROUTE_OPTIONS

    def __init__(self, surroundings: Surroundings, emit: Emit) -> None:
        self.clock: Clock = surroundings.clock
        self._surroundings = surroundings
        self._trusted = networks(surroundings.trusted_proxies)
        self._invoke = surroundings.invoke
        self._front = self._loaded = Front((), surroundings.region)
        self._events = Events(Writer(surroundings.account))
        self._records = Records(surroundings.database)
        self._farewells = Farewells(self.clock, emit, self._records, self._events, lambda: self._front)
        self._recovered: asyncio.Task[None] | None = None
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._watch: Watch | None = None
        self._management: Management | None = None

    # The application.

    def load(self, apis: Sequence[Api]) -> None:
        self._loaded = Front(apis, self._surroundings.region)

    def took_up(self) -> None:
        self._front = self._loaded
        if self._recovered is None:
            self._recovered = asyncio.create_task(self._recover())
        if self._front.by_id and self._watch is None:
            self._prepare()

    def _prepare(self) -> None:
        from eventflow.gateway.websocket.management import Management
        from eventflow.gateway.websocket.watch import Watch

        self._watch = Watch(self.clock, self._connections, lambda: self._front)
        self._management = Management(self._surroundings.credentials, self.clock, self._find)

    async def _recover(self) -> None:
        try:
            await self._farewells.recover()
        except EventflowError as error:
            log.error("$disconnect of the connections that a former daemon had open waits for the next start: %s", error)

    async def stop(self) -> None:
        """End all connections, and return when the events of $disconnect are on disk, or cannot be written."""
        self._stopping = True
        for connection in list(self._connections.values()):
            connection.close(1001, "Going away")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)  # handshakes that are under way come to their end
        try:
            async with asyncio.timeout(5.0):
                await self._farewells.settled()
        except TimeoutError:
            log.warning("$disconnect of some connections waits for the next start")
        for part in (self._farewells, self._watch):
            if part is not None:
                part.stop()

    # A connection begins.

    def accept(self, transport: asyncio.Transport, scope: MutableMapping[str, Any], date: Headers) -> None:
        """``scope`` is ASGI's of the request, ``date`` the header of that name. Nobody reads the transport until the handshake is over."""
        request = Request(scope, self.clock.now(), self.clock.monotonic(), self.clock.new_id(), self._trusted)
        transport.set_protocol(Waiting())
        self._spawn(self._shake_hands(transport, request, date))

    async def _shake_hands(self, transport: asyncio.Transport, request: Request, date: Headers) -> None:
        found = None if self._stopping else self._front.find(request)
        if found is None:
            end_with(transport, refusing(STOPPING if self._stopping else FORBIDDEN, date))
            return
        socket = found[0]
        result: Found = Found(None)
        try:
            accept = checked(request)
            if isinstance(accept, Answer):
                answer: Answer = accept
            else:
                request.route_path = "/"
                result = await passed(request, socket.routes.get(CONNECT))
                answer = await self._connect(transport, request, socket, result, accept, date)
        except EventflowError as error:
            log.warning("a connection to the %s was refused: %s", socket.api, error)
            answer = refused(Refusal("INTEGRATION_FAILURE"), request, "")
        if answer.status != 101:
            end_with(transport, refusing(answer, date))
        if socket.api.access_log is not None:
            seconds = self.clock.monotonic() - request.started
            socket.api.access_log.record(request, socket.routes.get(CONNECT), result.findings, answer, seconds)

    async def _connect(self, transport: asyncio.Transport, request: Request, socket: SocketApi, found: Found, accept: bytes, date: Headers) -> Answer:
        """Put the connection on record, ask $connect, and open it; or the answer that it is refused with."""
        facts = facts_of(request, socket, found, connection_of(request))
        if found.refusal is not None:
            return refused(found.refusal, request, facts.connection)
        await self._records.prepare()
        await self._records.opened(facts)
        answer = await self._ask(request, socket, facts)
        subprotocol = chosen(answer, request)
        if not 200 <= answer.status < 300:
            await self._records.ended([facts.connection])
            return answer
        if transport.is_closing() or self._stopping:
            self._farewells.add(facts, 1006, "")
            return STOPPING
        self._open(transport, facts, accepting(accept, subprotocol, date))
        return Answer(101, answer.headers)

    async def _ask(self, request: Request, socket: SocketApi, facts: Facts) -> Answer:
        route = socket.routes.get(CONNECT)
        if route is None:
            return Answer(200)
        request_id = short_id(request.request_id)
        event = self._events.connect(facts, request, request_id, socket.api.stage.variables)
        answer = await run(self._invoke, route, event, request.trace)
        return refused(answer, request, facts.connection) if isinstance(answer, Refusal) else answer

    def _open(self, transport: asyncio.Transport, facts: Facts, head: bytes) -> None:
        from eventflow.gateway.websocket.connection import Connection

        assert self._watch is not None
        transport.write(head)
        connection = Connection(self, transport, facts)
        self._connections[facts.connection] = connection
        connection.open()
        self._watch.start()

    # A connection's messages, and its end.

    def message(self, connection: Connection, text: str) -> None:
        self._spawn(self._deal_with(connection, text))

    async def _deal_with(self, connection: Connection, text: str) -> None:
        try:
            facts = connection.facts
            socket = self._front.by_id.get(facts.api)
            request_id = short_id(self.clock.new_id())
            answer = Refusal("NO_API") if socket is None else await self._answer(socket, connection, text, request_id)
            if isinstance(answer, Refusal):
                connection.send(complaint(wording(answer), facts.connection, request_id), limited=False)
            elif answer.body:
                connection.send(answer.body, limited=False)
        finally:
            connection.done()

    async def _answer(self, socket: SocketApi, connection: Connection, text: str, request_id: str) -> Answer | Refusal:
        """What the route's function says to a message; an Answer with a body only where the client is to get it."""
        facts, now = connection.facts, self.clock.now()
        route = socket.route_of(text)
        if route is None:
            return Refusal("NO_API")
        if route.early or route.steps:
            found = await passed(request_of(facts, text, now, self.clock.monotonic(), request_id), route)
            if found.refusal is not None:
                return found.refusal
        message_id = short_id(self.clock.new_id())
        event = self._events.message(facts, route.key, text, request_id, message_id, now, socket.api.stage.variables)
        answer = await run(self._invoke, route, event)
        if isinstance(answer, Refusal):
            return answer
        if RESPONSE not in route.options:
            return Answer(answer.status)
        return answer if len(answer.body) <= LARGEST_RESPONSE else Refusal("INTEGRATION_FAILURE")

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        if self._connections.pop(connection.facts.connection, None) is not None:
            self._farewells.add(connection.facts, code, reason)

    # The management API.

    def manages(self, request: Request) -> bool:
        return self._front.find(request, below=True) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, self.clock.now(), self.clock.monotonic(), self.clock.new_id(), self._trusted)
        found = self._front.find(request, below=True)
        if found is None or self._management is None:
            answer = FORBIDDEN
        elif not request.path[len(found[1]) :].startswith("/@connections/"):
            answer = UPGRADE
        else:
            answer = await self._management.answer(request, found[0].api.id, scope, receive)
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        if answer.status == 204:
            headers.pop()
        if not request.complete:
            headers.append((b"connection", b"close"))  # what was not read would be taken for the next request
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def _find(self, api: str, connection: str) -> Connection | None:
        found = self._connections.get(connection)
        return found if found is not None and found.facts.api == api else None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a WebSocket's message or handshake failed", exc_info=error)


#: AWS: 128 KB, as for messages that come.
LARGEST_RESPONSE = 131_072


class Waiting(asyncio.Protocol):
    """A connection while $connect is asked. A client that sends before it was answered, and more than a little, is not waited for."""


def facts_of(request: Request, socket: SocketApi, found: Found, connection: str) -> Facts:
    findings = found.findings
    return Facts(
        connection,
        socket.api.id,
        socket.api.stage.name,
        socket.domain,
        request.received,
        request.source_ip,
        request.header_map.get("user-agent"),
        findings.authorizer,
        findings.identity or None,
    )


def chosen(answer: Answer, request: Request) -> str | None:
    """The subprotocol that the function chose. One that the client did not offer would end the connection in the client."""
    for name, value in answer.headers:
        if name == b"sec-websocket-protocol":
            subprotocol = value.decode("latin-1")
            if subprotocol in offered(request):
                return subprotocol
            log.warning("%s: the function chose the subprotocol %r, which the client did not offer", CONNECT, subprotocol)
    return None


def refused(refusal: Refusal, request: Request, connection: str) -> Answer:
    """A refusal of the handshake."""
    kind = REST[refusal.kind]
    headers = [JSON_TYPE, *refusal.headers, *identified("WEBSOCKET", request.request_id)]
    if kind.error:
        headers.append((b"x-amzn-errortype", kind.error.encode()))
    return Answer(refusal.status or kind.status, headers, complaint(wording(refusal), connection, short_id(request.request_id)))


def end_with(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
        transport.close()
