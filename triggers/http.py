"""The Http and Rest triggers: a route of the API gateway that leads to the function, with payload 2.0 or 1.0."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from eventflow import ApiRoute, SettingError, Target, Trigger

KEY = re.compile(r"\$default|(ANY|GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) /\S*")


@dataclass(frozen=True)
class Http(Trigger):
    """A route of an HTTP API: a method (or ``ANY``) and a path with perhaps ``{variables}`` and a last ``{greedy+}`` one, or ``$default``. The
    function gets the request as AWS's payload 2.0 and answers with ``statusCode``, ``headers``, ``cookies`` and ``body``, or with a plain value.

    ``api`` names an API of ``app.http_api``; ``timeout`` is how many seconds the answer may take (30 at most, and as default). ``authorizer``,
    ``scopes`` and ``throttle`` are those of the route; ``openapi`` is what its document says of it (``{"summary": ..., "responses": ...}``).
    """

    kind: ClassVar[str] = "http"
    protocol: ClassVar[str] = "HTTP"
    clocked: ClassVar[bool] = True

    route: str
    api: Any = "default"
    timeout: float | None = None
    authorizer: Any = None
    scopes: Sequence[str] = ()
    throttle: Any = None
    openapi: Any = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "api", str(self.api))
        if self.authorizer is not None:
            object.__setattr__(self, "authorizer", str(self.authorizer))
        if isinstance(self.scopes, str) or not all(isinstance(scope, str) and scope for scope in self.scopes):
            raise SettingError(f"{name}: scopes={self.scopes!r} is refused: it takes a list of texts.")
        object.__setattr__(self, "scopes", tuple(self.scopes))
        if not isinstance(self.route, str) or not KEY.fullmatch(self.route):
            raise SettingError(f'{name}: route={self.route!r} is refused: it takes a method and a path, such as "GET /items/{{id}}", or "$default".')
        most = self.longest()
        if self.timeout is not None and (
            isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not 0.05 <= self.timeout <= most
        ):
            raise SettingError(f"{name}: timeout={self.timeout!r} is refused: it takes 0.05 to {most:g} seconds.")

    def longest(self) -> float:
        return 30.0

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "scopes": list(self.scopes)}

    def routes(self) -> Iterable[ApiRoute]:
        options = {name: value for name, value in self.parameters().items() if name not in ("route", "api") and value not in (None, (), [], False)}
        return (ApiRoute(self.protocol, self.api, self.route, options),)

    async def run(self, target: Target) -> None:
        """The gateway asks for the routes when the application is loaded; there is nothing to watch."""
        target.ready()
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Rest(Http):
    """A route of a REST API: a method (or ``ANY``) and a path with perhaps ``{variables}`` and a last ``{greedy+}`` one. The function gets the
    request as AWS's payload 1.0 and answers with ``statusCode``, ``headers``, ``multiValueHeaders``, ``body`` and ``isBase64Encoded``.

    ``api`` names an API of ``app.rest_api``; ``timeout`` is how many seconds the answer may take (29 at most, and as default). ``authorizer``,
    ``scopes``, ``throttle``, ``api_key`` (is one required?), ``validator``, ``models`` and ``required`` are those of the method.
    With ``stream`` a handler that yields has its response sent in pieces, for up to 900 seconds.
    """

    kind: ClassVar[str] = "rest"
    protocol: ClassVar[str] = "REST"

    api_key: bool = False
    validator: Any = None
    models: Any = None
    required: Sequence[str] = ()
    stream: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.stream, bool):
            raise SettingError(f"Rest: stream={self.stream!r} is refused: it takes True or False.")
        super().__post_init__()
        if isinstance(self.required, str) or not all(isinstance(one, str) for one in self.required):
            raise SettingError(f"Rest: required={self.required!r} is refused: it takes a list of texts such as 'header.X-Tenant' or 'query.page'.")
        object.__setattr__(self, "required", tuple(self.required))
        if self.route == "$default":
            raise SettingError("Rest: route='$default' is refused: REST APIs have no such route; \"ANY /{proxy+}\" takes every path but '/'.")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "required": list(self.required)}

    def longest(self) -> float:
        return 900.0 if self.stream is True else 29.0
