"""The WebSocket trigger: a route of a WebSocket API that leads to the function."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from eventflow import ApiRoute, SettingError, Target, Trigger

#: AWS: 29 seconds for an integration of a WebSocket API.
LONGEST = 29.0


@dataclass(frozen=True)
class WebSocket(Trigger):
    """A route of a WebSocket API: ``$connect``, ``$disconnect``, ``$default``, or a key that messages name (``{"action": "join"}``, where the API's
    route selection expression is ``$request.body.action``). The function gets API Gateway's event and returns ``{"statusCode": 200}``.

    ``api`` names an API of ``app.websocket_api``; ``route_response_selection_expression="$default"`` sends the ``body`` that the function returns
    to the client; ``timeout`` is how many seconds the function may take (29 at most, and as default). ``authorizer``, ``api_key`` (is one
    required?) and ``throttle`` are those of the route; the first two are for ``$connect``.
    """

    kind: ClassVar[str] = "websocket"
    clocked: ClassVar[bool] = True

    route: str
    api: Any = "default"
    route_response_selection_expression: str | None = None
    timeout: float | None = None
    authorizer: Any = None
    scopes: Sequence[str] = ()
    api_key: bool = False
    throttle: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "api", str(self.api))
        if self.authorizer is not None:
            object.__setattr__(self, "authorizer", str(self.authorizer))
        if isinstance(self.scopes, str) or not all(isinstance(scope, str) and scope for scope in self.scopes):
            raise SettingError(f"WebSocket: scopes={self.scopes!r} is refused: it takes a list of texts.")
        object.__setattr__(self, "scopes", tuple(self.scopes))
        if not isinstance(self.route, str) or not 1 <= len(self.route) <= 512:
            raise SettingError(
                f"WebSocket: route={self.route!r} is refused: it takes '$connect', '$disconnect', '$default' or a text that messages name."
            )
        if self.route.startswith("$") and self.route not in ("$connect", "$disconnect", "$default"):
            raise SettingError(
                f"WebSocket: route={self.route!r} is refused: of the keys with '$' there are '$connect', '$disconnect' and '$default'."
            )
        if self.route != "$connect":
            self._refuse_authorization()
        if self.timeout is not None and (
            isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not 0.05 <= self.timeout <= LONGEST
        ):
            raise SettingError(f"WebSocket: timeout={self.timeout!r} is refused: it takes 0.05 to {LONGEST:g} seconds.")

    def _refuse_authorization(self) -> None:
        """AWS has both at $connect alone: who is connected was asked already."""
        for name in ("authorizer", "scopes", "api_key"):
            if getattr(self, name):
                raise SettingError(f"WebSocket: {name} of the route {self.route!r} is refused: it is a setting of the route '$connect' alone.")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "scopes": list(self.scopes)}

    def routes(self) -> Iterable[ApiRoute]:
        options = {name: value for name, value in self.parameters().items() if name not in ("route", "api") and value not in (None, (), [], False)}
        return (ApiRoute("WEBSOCKET", self.api, self.route, options),)

    async def run(self, target: Target) -> None:
        """The gateway asks for the routes when the application is loaded; there is nothing to watch."""
        target.ready()
        await asyncio.Event().wait()
