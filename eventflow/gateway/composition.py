"""The gateway put together: what an application's manifest asks for, compiled into the table that the gateway answers from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eventflow.clock import Clock
from eventflow.gateway.apis import Table, add_route, check_claimed, finish, make_apis
from eventflow.gateway.events import Writer
from eventflow.gateway.functions import ANSWERS, FunctionIntegration, Invoke
from eventflow.gateway.gateway import Gateway
from eventflow.gateway.seams import Plug, Sockets
from eventflow.trigger import ApiRoute, Resource, Trigger


class GatewayService:
    """``compile`` checks and prepares an application's APIs, and changes nothing; ``take_up`` makes them the ones that answer.

    ``plugs`` are in the order of the pipeline: throttling, authorizers, keys and usage plans, validation.
    """

    def __init__(self, clock: Clock, account: str, invoke: Invoke, plugs: Sequence[Plug] = (), sockets: Sockets | None = None) -> None:
        self._account = account
        self._invoke = invoke
        self._plugs = tuple(plugs)
        self._writer = Writer(account)
        self.app = Gateway(clock, sockets=sockets)

    def compile(self, app: str, resources: Iterable[Resource], triggers: Iterable[tuple[str, Trigger]]) -> Table:
        """Raises SettingError for what an API or a route asks for and cannot have."""
        declared = [(function, trigger, route) for function, trigger in triggers for route in trigger.routes()]
        named: list[tuple[str, ApiRoute]] = [(f"Function {function!r}: {trigger}", route) for function, trigger, route in declared]
        apis = make_apis(app, self._account, resources, named)
        for api in apis.values():
            own = [(where, route) for where, route in named if (route.protocol, route.api) == (api.protocol, api.name)]
            check_claimed(api, own, self._plugs)
        for plug in self._plugs:
            plug.load(tuple(apis.values()))
        for (function, _trigger, route), (where, _route) in zip(declared, named, strict=True):
            add_route(apis[route.protocol, route.api], where, route, self._function(function, route.protocol), function, self._plugs)
        for api in apis.values():
            finish(api)
        return Table(apis.values())

    def _function(self, function: str, protocol: str) -> FunctionIntegration:
        event_of = self._writer.version_2 if protocol == "HTTP" else self._writer.version_1
        return FunctionIntegration(function, self._invoke, event_of, ANSWERS[protocol])

    def take_up(self, table: Table) -> None:
        self.app.take_up(table)
        for plug in self._plugs:
            plug.took_up()
