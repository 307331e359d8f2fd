"""The WebSocket APIs of one version of the application: which API a path or a host leads to, and which route a message."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eventflow.errors import SettingError
from eventflow.gateway.apis import EXECUTE_API, Api, Route
from eventflow.gateway.request import Request
from eventflow.gateway.websocket.events import domain_of
from eventflow.gateway.websocket.selection import DEFAULT_EXPRESSION, Selection

CONNECT, DISCONNECT, DEFAULT = "$connect", "$disconnect", "$default"
RESPONSE = "route_response_selection_expression"
#: AWS: ten minutes without a message, two hours in all ("Amazon API Gateway quotas", WebSocket APIs).
LONGEST_IDLE, LONGEST_LIFE = 600.0, 7200.0
MOST_ROUTES = 300

API_OPTIONS = frozenset(("route_selection_expression", "idle_timeout", "connection_lifetime"))
ROUTE_OPTIONS = frozenset((RESPONSE,))


@dataclass(frozen=True, eq=False)
class SocketApi:
    """``idle_timeout`` and ``lifetime`` in seconds; ``domain`` is the host that events name, AWS's own for an API of this id."""

    api: Api
    domain: str
    selection: Selection
    routes: Mapping[str, Route]
    idle_timeout: float
    lifetime: float

    @classmethod
    def make(cls, api: Api, region: str) -> SocketApi:
        """Raises SettingError."""
        where = f"The {api}"
        routes: dict[str, Route] = {}
        for route in api.routes:
            if routes.setdefault(route.key, route) is not route:
                raise SettingError(f"{where}: two functions have the route {route.key!r}; keep one of them.")
            check_response(where, route)
        if api.options.get("authorizer", "none") != "none" and CONNECT not in routes:
            raise SettingError(f"{where}: authorizer={api.options['authorizer']!r} is asked at {CONNECT}, and the API has no such route; add it.")
        if len(routes) > MOST_ROUTES:
            raise SettingError(f"{where} has {len(routes)} routes; it takes up to {MOST_ROUTES}.")
        return cls(
            api,
            domain_of(api.id, region),
            Selection.parse(where, api.options.get("route_selection_expression", DEFAULT_EXPRESSION)),
            routes,
            seconds(where, api.options, "idle_timeout", LONGEST_IDLE),
            seconds(where, api.options, "connection_lifetime", LONGEST_LIFE),
        )

    def route_of(self, message: str) -> Route | None:
        key = self.selection.key(message)
        return (None if key is None else self.routes.get(key)) or self.routes.get(DEFAULT)


def check_response(where: str, route: Route) -> None:
    value = route.options.get(RESPONSE)
    if value is None:
        return
    if value != DEFAULT:
        raise SettingError(f"{where}: {RESPONSE}={value!r} of the route {route.key!r} is refused: it takes '$default'.")
    if route.key in (CONNECT, DISCONNECT):
        raise SettingError(
            f"{where}: {RESPONSE} of the route {route.key!r} is refused: there is nobody yet, or any more, who would get the response."
        )


def seconds(where: str, options: Mapping[str, object], name: str, most: float) -> float:
    value = options.get(name, most)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise SettingError(f"{where}: {name}={value!r} is refused: it takes 1 to {most:g} seconds.")
    return float(value)


class Front:
    """All of them. It is never changed. ``shortest`` is the shortest time, in seconds, after which a connection may have to end."""

    def __init__(self, apis: Iterable[Api], region: str) -> None:
        sockets = [SocketApi.make(api, region) for api in apis]
        if sockets and importlib.util.find_spec("websockets") is None:
            raise SettingError(f"The {sockets[0].api} needs the package websockets, which is not installed: pip install 'eventflow[gateway]'.")
        #: The stages of the APIs by their ids, and by their names.
        self.by_id: dict[str, dict[str, SocketApi]] = {}
        for socket in sockets:
            self.by_id.setdefault(socket.api.id, {})[socket.api.stage.name] = socket
        self._hosts: dict[str, dict[str, SocketApi]] = {}
        for socket in sockets:
            for label in (socket.api.name, f"websocket-{socket.api.name}", socket.api.id):
                self._hosts.setdefault(label, {})[socket.api.stage.segment] = socket
        self.shortest = min((min(socket.idle_timeout, socket.lifetime) for socket in sockets), default=LONGEST_IDLE)
        self._mounts: dict[str, SocketApi] = {}
        for found in sockets:
            mount = found.api.mount
            if mount is not None and self._mounts.setdefault(mount, found) is not found:
                raise SettingError(
                    f"The {self._mounts[mount].api} and the {found.api} are both at {mount or '/'!r} of the gateway; "
                    "give one of them another base_path, such as '/v2'."
                )

    def of(self, api: str, stage: str) -> SocketApi | None:
        """A stage of the API of this id."""
        return self.by_id.get(api, {}).get(stage)

    def any_of(self, api: str, stage: str) -> SocketApi | None:
        """The same, or another stage of the API where this one is gone: they have the same routes."""
        return self.of(api, stage) or next(iter(self.by_id.get(api, {}).values()), None)

    def find(self, request: Request, *, below: bool = False) -> tuple[SocketApi, str] | None:
        """The API that a request is for, and where in its path that is mounted; ``below`` is for requests to what an API has there."""
        path = request.path.rstrip("/") if not below else request.path
        candidates = self._hosts.get(request.domain.partition(".")[0], {}) if EXECUTE_API in request.domain else self._mounts
        if not below:
            return (candidates[path], path) if path in candidates else None
        fitting = [mount for mount in candidates if path.startswith(f"{mount}/")]
        return (candidates[max(fitting, key=len)], max(fitting, key=len)) if fitting else None
