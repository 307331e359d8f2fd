"""Messages of clients: each takes a route, runs its function, and is answered where it went wrong or the route has a response."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from eventflow.clock import Clock
from eventflow.gateway.apis import Route
from eventflow.gateway.functions import Invoke
from eventflow.gateway.refusals import worded
from eventflow.gateway.seams import Answer, Refusal
from eventflow.gateway.websocket.events import Events, Facts, short_id
from eventflow.gateway.websocket.front import RESPONSE, Front, SocketApi
from eventflow.gateway.websocket.integration import complaint, run, wording
from eventflow.gateway.websocket.steps import passed, request_of, with_log

if TYPE_CHECKING:
    from eventflow.gateway.websocket.connection import Connection

log = logging.getLogger("eventflow.gateway")

#: AWS: 128 KB, as for messages that come.
LARGEST_RESPONSE = 131_072


class Message(NamedTuple):
    """``received`` in Unix seconds, ``started`` the same in monotonic seconds."""

    facts: Facts
    text: str
    request_id: str
    message_id: str
    received: float
    started: float


class Messages:
    """``front`` gives the APIs as they are when a message comes."""

    def __init__(self, clock: Clock, invoke: Invoke, events: Events, front: Callable[[], Front]) -> None:
        self._clock = clock
        self._invoke = invoke
        self._events = events
        self._front = front

    async def deal_with(self, connection: Connection, text: str) -> None:
        clock, facts = self._clock, connection.facts
        message = Message(facts, text, short_id(clock.new_id()), short_id(clock.new_id()), clock.now(), clock.monotonic())
        try:
            answer = await self._answer(message)
        except Exception:
            log.exception("a message of the connection %s failed", facts.connection)
            answer = Refusal("API_CONFIGURATION_ERROR")
        if isinstance(answer, Refusal):
            connection.send(complaint(wording(answer), facts.connection, message.request_id), limited=False)
        elif answer.body:
            connection.send(answer.body, limited=False)
        connection.done()

    async def _answer(self, message: Message) -> Answer | Refusal:
        """What the route's function says to a message; an Answer with a body only where the client is to get it."""
        socket = self._front().of(message.facts.api, message.facts.stage)
        route = None if socket is None else socket.route_of(message.text)
        if socket is None or route is None:
            return Refusal("NO_API")
        if route.early or route.steps or socket.api.access_log is not None:
            return await self._through_steps(socket, route, message)
        return await self._run(socket, route, message)

    async def _through_steps(self, socket: SocketApi, route: Route, message: Message) -> Answer | Refusal:
        request = request_of(message.facts, message.text, message.received, message.started, message.request_id)
        found = await passed(request, route)
        answer = found.refusal or await self._run(socket, route, message)
        if socket.api.access_log is not None:
            said = worded(answer, "WEBSOCKET", message.request_id) if isinstance(answer, Refusal) else answer
            seen = with_log(found.findings, connectionId=message.facts.connection, eventType="MESSAGE", messageId=message.message_id)
            socket.api.access_log.record(request, route, seen, said, self._clock.monotonic() - message.started)
        return answer

    async def _run(self, socket: SocketApi, route: Route, message: Message) -> Answer | Refusal:
        facts, text, request_id, message_id, received, _started = message
        event = self._events.message(facts, route.key, text, request_id, message_id, received, socket.api.stage.variables)
        answer = await run(self._invoke, route, event)
        if isinstance(answer, Refusal):
            return answer
        if RESPONSE not in route.options:
            return Answer(answer.status)
        return answer if len(answer.body) <= LARGEST_RESPONSE else Refusal("INTEGRATION_FAILURE")
