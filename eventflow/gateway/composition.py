"""The gateway put together: what an application's manifest asks for, compiled into the table that the gateway answers from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventflow.errors import SettingError
from eventflow.function import STREAMED
from eventflow.gateway.access_log import ApiLog
from eventflow.gateway.apis import SOCKETS, URL, Api, add_route, check_claimed, finish, made_route, make_apis
from eventflow.gateway.authorizers.plug import Authorizers
from eventflow.gateway.authorizers.settings import IAM
from eventflow.gateway.backend import HttpIntegration, MockIntegration
from eventflow.gateway.compression import Compressing
from eventflow.gateway.events import Writer
from eventflow.gateway.forwarding import networks
from eventflow.gateway.functions import ANSWERS, FunctionIntegration
from eventflow.gateway.gateway import MANAGEMENT, Gateway
from eventflow.gateway.openapi.importing import expanded
from eventflow.gateway.openapi.plug import OpenApi
from eventflow.gateway.plugs import Surroundings, make_access_logs, make_admission, make_plugs, make_sockets
from eventflow.gateway.routes import DEFAULT, VARIABLE
from eventflow.gateway.seams import Integration, Receive, Scope, Send
from eventflow.gateway.streaming import StreamingIntegration
from eventflow.gateway.table import Table
from eventflow.gateway.validation import RequestValidation
from eventflow.gateway.websocket.events import domain_of
from eventflow.gateway.websocket.front import CONNECT, DISCONNECT
from eventflow.trigger import ApiRoute, Resource, Trigger

Accept = Callable[[asyncio.Transport, Scope, list[tuple[bytes, bytes]]], None]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
BELOW = MANAGEMENT.encode()


@dataclass(frozen=True)
class Declared:
    """A route as it was declared, ``where`` for people; it leads to a function, or else its ``integration`` says what it leads to."""

    where: str
    route: ApiRoute
    function: str | None = None
    integration: Mapping[str, Any] = field(default_factory=dict)


def without_function(resource: Resource) -> Declared:
    """Raises SettingError for a mock of an HTTP API, which AWS does not have either."""
    protocol, api, key = resource.name.split("/", 2)
    options = dict(resource.options)
    integration = options.pop("integration")
    if integration["type"] == "function":
        return Declared(f"Function {integration['function']!r}: {key}", ApiRoute(protocol, api, key, options), integration["function"])
    verb = "mock" if integration["type"] == "mock" else "proxy"
    where = f"app.{verb}({key!r})"
    if verb == "mock" and protocol != "REST":
        raise SettingError(f"{where}: only REST APIs have mock integrations; give it api=app.rest_api(...).")
    return Declared(where, ApiRoute(protocol, api, key, options), None, integration)


def of_url(resource: Resource) -> Declared:
    """The one route of a function's URL."""
    options: dict[str, Any] = {"authorizer": IAM} if resource.options["auth"] == "AWS_IAM" else {}
    if resource.options["invoke_mode"] == STREAMED:
        options["stream"] = True
    return Declared(f"Function {resource.name!r}: url", ApiRoute(URL, resource.name, DEFAULT, options), resource.name)


def all_declared(resources: Sequence[Resource], triggers: Iterable[tuple[str, Trigger]]) -> list[Declared]:
    found = [Declared(f"Function {function!r}: {trigger}", route, function) for function, trigger in triggers for route in trigger.routes()]
    found += [without_function(resource) for resource in resources if resource.kind == "route"]
    found += [of_url(resource) for resource in resources if resource.kind == "url"]
    return found


def described(app: str, account: str, resources: Iterable[Resource], triggers: Iterable[tuple[str, Trigger]]) -> Sequence[Api]:
    """The APIs with their routes as they were declared, for their documents: what takes a daemon to be checked is not. Raises SettingError."""
    resources = expanded(resources, None)
    declared = all_declared(resources, triggers)
    made = make_apis(app, account, resources, [(one.where, one.route) for one in declared])
    plugs = (RequestValidation(), OpenApi(account, ""))
    apis = tuple(api for stages in made.values() for api in stages)
    for plug in plugs:
        plug.load(apis)
    for one in declared:
        for api in made[one.route.protocol, one.route.api]:
            add_route(api, one.where, one.route, MockIntegration(one.where, {}), one.function, plugs)
    return apis


class GatewayService:
    """``compile`` checks and prepares an application's APIs, and changes nothing; ``take_up`` makes them the ones that answer."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.admission = make_admission(surroundings)
        self._access_logs = make_access_logs(surroundings)
        self._plugs = (*make_plugs(surroundings, self.admission), self._access_logs, OpenApi(surroundings.account, surroundings.region))
        self._sockets = make_sockets(surroundings)
        self._writer = Writer(surroundings.account)
        self.app = Gateway(surroundings.clock, trusted=networks(surroundings.trusted_proxies), sockets=self._sockets)

    def compile(
        self, app: str, resources: Iterable[Resource], triggers: Iterable[tuple[str, Trigger]], functions: Collection[str] | None = None
    ) -> Table:
        """Raises SettingError for what an API or a route asks for and cannot have. ``functions`` are those that there are, None if nobody knows."""
        resources = expanded(resources, functions)
        declared = all_declared(resources, triggers)
        named = [(one.where, one.route) for one in declared]
        made = make_apis(app, self._surroundings.account, resources, named)
        apis = tuple(api for stages in made.values() for api in stages)
        for api in apis:
            self._check(api, [(where, route) for where, route in named if api in made[route.protocol, route.api]])
        for plug in self._plugs:
            plug.load(apis)
        for one in declared:
            for api in made[one.route.protocol, one.route.api]:
                integration = self._integration(one)
                if api.minimum_compression_size is not None:
                    integration = Compressing(integration, api.minimum_compression_size)
                add_route(api, one.where, one.route, integration, one.function, self._plugs)
        for api in apis:
            if api.protocol == SOCKETS and all(route.key != CONNECT for route in api.routes):
                unasked = ApiRoute(SOCKETS, api.name, CONNECT)
                api.entrance = made_route(api, f"The {api}", unasked, MockIntegration(str(api), {}), None, self._plugs)
            finish(api, self._plugs)
        if self._sockets is not None:
            self._sockets.load([api for api in apis if api.protocol == SOCKETS])
        return Table(apis)

    def _check(self, api: Api, routes: Sequence[tuple[str, ApiRoute]]) -> None:
        if api.protocol == SOCKETS and self._sockets is None:
            raise SettingError(f"The {api} is not supported yet; HTTP and REST APIs are.")
        check_claimed(api, routes, self._plugs if self._sockets is None or api.protocol != SOCKETS else (*self._plugs, self._sockets))

    def _integration(self, one: Declared) -> Integration:
        if one.function is not None:
            return self._function(one.function, one.route)
        if one.integration["type"] == "mock":
            return MockIntegration(one.where, one.integration)
        names = frozenset(name for name, _greedy in VARIABLE.findall(one.route.key))
        return HttpIntegration(one.where, one.integration["to"], names)

    def _function(self, function: str, route: ApiRoute) -> Integration:
        event_of = self._writer.version_1 if route.protocol == "REST" else self._writer.version_2
        kind = StreamingIntegration if route.options.get("stream") else FunctionIntegration
        return kind(function, self._surroundings.invoke, event_of, ANSWERS.get(route.protocol, ANSWERS["HTTP"]))

    @property
    def accept(self) -> Accept | None:
        """What takes over the connections that ask for a WebSocket."""
        return None if self._sockets is None else self._sockets.accept

    def socket_domains(self, table: Table) -> Sequence[str]:
        """The hosts of the WebSocket APIs, as events name them."""
        return list(dict.fromkeys(domain_of(api.id, self._surroundings.region) for api in table.apis if api.protocol == SOCKETS))

    def beside(self, endpoint: Asgi) -> Asgi:
        """The AWS endpoint, which so takes requests to WebSocket connections too, signed for the service that these are signed for."""

        async def either(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and BELOW in scope["raw_path"] and self._sockets is not None and is_management(scope):
                await self._sockets(scope, receive, send)
            else:
                await endpoint(scope, receive, send)

        return either

    async def stop(self) -> None:
        """End the connections that would stay."""
        if self._sockets is not None:
            await self._sockets.stop()

    async def farewells_run(self, counts: Callable[[], Mapping[str, tuple[int, int]]], until: Callable[[], float]) -> None:
        """Wait for the functions that are told of these ends, until an instant of the monotonic clock; what has not run by then runs at the next
        start. ``counts`` says how many events of each function are ready and running."""
        clock = self._surroundings.clock
        functions = {route.function for api in self.app.table.apis for route in api.routes if api.protocol == SOCKETS and route.key == DISCONNECT}
        while any(sum(counts().get(str(function), (0, 0))) for function in functions) and clock.monotonic() < until():
            await clock.sleep(0.02)

    async def logged(self) -> None:
        """The lines of access logs that were to be written are, or are lost."""
        await self._access_logs.lines.written()

    async def keys(self) -> list[dict[str, Any]]:
        """The API keys with their plans and use, for ``eventflow keys``. What was made here is on disk before it is told. Raises StorageError."""
        await self._surroundings.api_keys.settled()
        return self.admission.describe()

    def authorizers(self) -> list[dict[str, object]]:
        """The authorizers and how their keys are, for ``eventflow status``."""
        return [shown for plug in self._plugs if isinstance(plug, Authorizers) for shown in plug.describe()]

    async def access_lines(self, name: str, since: str, limit: int) -> tuple[list[str], str] | None:
        """Lines of the access log of an API (``shop``, ``shop.dev`` for its stage ``dev``; ``rest-shop`` beside an HTTP API of that name) and the
        cursor to read on from; None where there is no such file."""
        logs = [api.access_log for api in self.app.table.apis if isinstance(api.access_log, ApiLog) and api.access_log.file is not None]
        file = next((log.file for log in logs if name in (log.file, str(log.file).removeprefix(f"{log.api.protocol.lower()}-"))), None)
        return None if file is None else await self._access_logs.read(file, since, limit)

    def take_up(self, table: Table) -> None:
        self.app.take_up(table)
        for plug in self._plugs:
            plug.took_up()
        if self._sockets is not None:
            self._sockets.took_up()


def is_management(scope: Scope) -> bool:
    """Whether a request is signed for the service execute-api, as those of the management API are."""
    return any(name == b"authorization" and b"/execute-api/aws4_request" in value for name, value in scope["headers"])
