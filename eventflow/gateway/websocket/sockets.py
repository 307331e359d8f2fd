"""The WebSocket APIs as the gateway sees them: connections come in here, and are known until they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from eventflow.clock import Clock
from eventflow.errors import EventflowError
from eventflow.gateway.apis import Api, Route
from eventflow.gateway.events import Writer
from eventflow.gateway.forwarding import networks
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Findings, Receive, Refusal, Scope, Send
from eventflow.gateway.websocket.events import Events, Facts, connection_of, short_id
from eventflow.gateway.websocket.farewells import Emit, Farewells
from eventflow.gateway.websocket.front import API_OPTIONS, CONNECT, ROUTE_OPTIONS, Front, SocketApi
from eventflow.gateway.websocket.handshake import (
    BUSY,
    FORBIDDEN,
    NO_HOST,
    STOPPING,
    UPGRADE,
    Waiting,
    accepting,
    checked,
    chosen,
    end_with,
    facts_of,
    refused,
    refusing,
)
from eventflow.gateway.websocket.integration import run
from eventflow.gateway.websocket.messages import Messages
from eventflow.gateway.websocket.records import Records
from eventflow.gateway.websocket.steps import Found, passed, with_log

if TYPE_CHECKING:
    # The package websockets is loaded with the first of these, and not for applications without WebSocket APIs.
    from eventflow.gateway.plugs import Surroundings
    from eventflow.gateway.websocket.connection import Connection
    from eventflow.gateway.websocket.management import Management
    from eventflow.gateway.websocket.watch import Watch

log = logging.getLogger("eventflow.gateway")

#: The status of a handshake that was answered already.
OPENED = 101
#: So many handshakes are under way at once; AWS has a limit of 500 new connections a second.
MOST_HANDSHAKES = 1000
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
        self._messages = Messages(self.clock, self._invoke, self._events, lambda: self._front)
        self._tasks: set[asyncio.Task[None]] = set()
        self._shaking = 0
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
        found = self._front.find(request)
        if not request.host or found is None or self._stopping or self._shaking >= MOST_HANDSHAKES:
            crowded = BUSY if self._shaking >= MOST_HANDSHAKES else FORBIDDEN
            end_with(transport, refusing(STOPPING if self._stopping else crowded if request.host else NO_HOST, date))
            return
        transport.set_protocol(Waiting(transport))
        self._spawn(self._shake_hands(transport, request, found[0], date))

    async def _shake_hands(self, transport: asyncio.Transport, request: Request, socket: SocketApi, date: Headers) -> None:
        result: Found = Found(None)
        self._shaking += 1
        try:
            accept = checked(request)
            if isinstance(accept, Answer):
                answer: Answer = accept
            else:
                request.route_path = "/"
                result = await passed(request, socket.routes.get(CONNECT) or socket.api.entrance)
                answer = await self._connect(transport, request, socket, result, accept, date)
        except EventflowError as error:
            log.warning("a connection to the %s was refused: %s", socket.api, error)
            answer = refused(Refusal("INTEGRATION_FAILURE"), request, connection_of(request))
        except Exception:
            log.exception("a connection to the %s failed", socket.api)
            answer = refused(Refusal("API_CONFIGURATION_ERROR"), request, connection_of(request))
        finally:
            self._shaking -= 1
        if answer.status != OPENED:
            end_with(transport, refusing(answer, date))
        self._log(socket, request, socket.routes.get(CONNECT), result.findings, answer)

    def _log(self, socket: SocketApi, request: Request, route: Route | None, findings: Findings, answer: Answer) -> None:
        if socket.api.access_log is not None:
            seen = with_log(findings, connectionId=connection_of(request), eventType="CONNECT")
            socket.api.access_log.record(request, route, seen, answer, self.clock.monotonic() - request.started)

    async def _connect(self, transport: asyncio.Transport, request: Request, socket: SocketApi, found: Found, accept: bytes, date: Headers) -> Answer:
        """Put the connection on record, ask $connect, and open it; or the answer that it is refused with."""
        facts = facts_of(request, socket, found, connection_of(request))
        if found.refusal is not None:
            return refused(found.refusal, request, facts.connection)
        if self._recovered is not None:
            await asyncio.shield(self._recovered)  # until then every connection on record is a former life's
        await self._records.prepare()
        await self._records.opened(facts)
        try:
            answer = await self._ask(request, socket, facts)
        except BaseException:
            self._farewells.add(facts, 1006, "")  # the function may have run
            raise
        subprotocol = chosen(answer, request)
        if not 200 <= answer.status < 300:
            await self._records.ended([facts.connection])
            return answer
        if transport.is_closing() or self._stopping:
            self._farewells.add(facts, 1006, "")
            return STOPPING
        self._open(transport, facts, accepting(accept, subprotocol, date))
        return Answer(OPENED)

    async def _ask(self, request: Request, socket: SocketApi, facts: Facts) -> Answer:
        route = socket.routes.get(CONNECT)
        if route is None:
            return Answer(200)
        request_id = short_id(request.request_id)
        event = self._events.connect(facts, request, request_id, socket.api.stage.variables)
        answer = await run(self._invoke, route, event, request.trace)
        if isinstance(answer, Answer) and answer.status < 200:  # 101 among them, which is not the function's to say
            answer = Refusal("INTEGRATION_FAILURE")
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
        self._spawn(self._messages.deal_with(connection, text))

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
            answer = await self._management.answer(request, found[0].api, scope, receive)
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        if answer.status == 204:
            headers.pop()
        if not request.complete:
            headers.append((b"connection", b"close"))  # what was not read would be taken for the next request
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def _find(self, api: Api, connection: str) -> Connection | None:
        found = self._connections.get(connection)
        return found if found is not None and (found.facts.api, found.facts.stage) == (api.id, api.stage.name) else None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a WebSocket's message or handshake failed", exc_info=error)
