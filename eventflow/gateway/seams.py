"""The seams of the pipeline: what a step, an integration and an access log are to the gateway, and how what an application asks for becomes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncio import Transport

    from eventflow.gateway.apis import Api, Route
    from eventflow.gateway.request import Request
    from eventflow.trigger import ApiRoute

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client. Header names in lower case; the ``content-length`` of a ``body`` is added by who sends it. A ``stream`` takes the
    body's place: pieces that leave as they come, with the length that the headers tell, or none. Of a refusal, ``kind`` and ``message`` say why."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    kind: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no further. ``kind`` is AWS's name of the gateway response (``THROTTLED``, ``UNAUTHORIZED``, ...), which knows status and
    text for each protocol (eventflow/gateway/refusals.py); ``status`` and ``message`` override those. ``log`` are an Addition's."""

    kind: str
    headers: Headers = ()
    status: int | None = None
    message: str | None = None
    log: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addition:
    """What a step found out about a request. ``authorizer`` is ``requestContext.authorizer`` of the event as the payload's version has it,
    ``identity`` goes into ``requestContext.identity`` (1.0), ``authentication`` is ``requestContext.authentication`` (2.0), ``log`` are variables
    for the access log by AWS's names (``authorizer.error``), ``usage_key`` is the API key that an authorizer found (``usageIdentifierKey``)."""

    authorizer: Mapping[str, Any] | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    authentication: Mapping[str, Any] | None = None
    log: Mapping[str, str] = field(default_factory=dict)
    usage_key: str | None = None


@dataclass(slots=True)
class Findings:
    """What all steps so far added, joined; what a step adds later wins."""

    authorizer: Mapping[str, Any] | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    authentication: Mapping[str, Any] | None = None
    log: dict[str, str] = field(default_factory=dict)
    usage_key: str | None = None

    def add(self, addition: Addition) -> None:
        if addition.authorizer is not None:
            self.authorizer = addition.authorizer
        if addition.authentication is not None:
            self.authentication = addition.authentication
        if addition.usage_key is not None:
            self.usage_key = addition.usage_key
        self.identity.update(addition.identity)
        self.log.update(addition.log)


NOTHING_FOUND = Findings()


class Step(Protocol):
    """One check of a request before its integration. Returns what it adds, a Refusal, or None; a route without steps pays for none.

    ``findings`` are the steps' before it: read them, never change them.
    A step whose ``early`` is true runs before the request's body is read, and before all that are not: what refuses a flood should.
    """

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None: ...


class Integration(Protocol):
    """What answers a request in the end."""

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal: ...


class AccessLog(Protocol):
    """Is told of every request that an API answered, also of those that were refused. Must neither wait nor raise. ``route`` is None where none
    matched; ``seconds`` is the time from the request's head to the answer."""

    def record(self, request: Request, route: Route | None, findings: Findings, answer: Answer, seconds: float) -> None: ...


class Plug(Protocol):
    """A part of the pipeline as the gateway's composition sees it: it lives as long as the daemon, and makes the steps of routes at every load.

    ``route_options`` and ``api_options`` are the options that it enforces; what no plug claims is refused at load. ``load`` is called with all
    APIs before ``step`` is asked for the first of their routes, and may set ``api.access_log``; both raise SettingError for what cannot be enforced,
    and the load is then refused and the former application goes on: keep nothing of it until ``took_up``. ``extend`` gives further routes of an
    API, whose ``routes`` are all there by then: a key such as ``GET /openapi.json``, and what answers.
    """

    route_options: frozenset[str]
    api_options: frozenset[str]

    def load(self, apis: Sequence[Api]) -> None: ...
    def step(self, api: Api, route: ApiRoute) -> Step | None: ...
    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]: ...
    def took_up(self) -> None: ...


class Sockets(Protocol):
    """The WebSocket APIs. ``load`` and ``took_up`` are a Plug's, for the APIs of that protocol, whose routes are there. The call is that of an ASGI
    application, for the HTTP requests that are for such an API (``/{stage}/@connections/{id}``); connections that ask for a WebSocket come to
    ``accept``: the transport, the request's ASGI scope, and the headers that every answer has. ``manages`` says whether a request is for
    connections of one of them; ``stop`` ends all connections and returns when what follows from that is on disk."""

    api_options: frozenset[str]
    route_options: frozenset[str]

    def load(self, apis: Sequence[Api]) -> None: ...
    def took_up(self) -> None: ...
    def accept(self, transport: Transport, scope: Scope, date: list[tuple[bytes, bytes]]) -> None: ...
    def manages(self, request: Request) -> bool: ...
    async def stop(self) -> None: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
