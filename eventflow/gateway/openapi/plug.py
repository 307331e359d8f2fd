"""OpenAPI as a plug: what is said of APIs and routes for their documents, and the document itself as a route."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from eventflow.errors import SettingError
from eventflow.gateway.apis import Api, Route
from eventflow.gateway.openapi.export import document
from eventflow.gateway.openapi.importing import SAID
from eventflow.gateway.request import Request
from eventflow.gateway.routes import RouteKey
from eventflow.gateway.seams import Answer, Findings, Integration, Refusal, Step
from eventflow.trigger import ApiRoute

PROTOCOLS = ("HTTP", "REST")
ROUTE = "/openapi.json"
MEMBERS = (*SAID, "parameters")


class OpenApi:
    """``openapi`` of a route are members of its operation, ``info`` and ``components`` of an API are the document's; ``openapi_route`` is the path
    where everybody may read it, or True for ``/openapi.json``."""

    route_options = frozenset(("openapi",))
    api_options = frozenset(("info", "components", "openapi_route"))

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    def load(self, apis: Sequence[Api]) -> None:
        for api in apis:
            for option in self.api_options & api.options.keys():
                if api.protocol not in PROTOCOLS:
                    raise SettingError(f"The {api}: {option} is refused: HTTP and REST APIs have documents.")
                if option != "openapi_route" and not isinstance(api.options[option], Mapping):
                    raise SettingError(f"The {api}: {option}={api.options[option]!r} is refused: it takes a dict, as the document has it.")

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        said = route.options.get("openapi", {})
        where = f"The route {route.key!r} of the {api}"
        if not isinstance(said, Mapping):
            raise SettingError(f"{where}: openapi={said!r} is refused: it takes a dict of members of an operation: {', '.join(MEMBERS)}.")
        for name in said:
            if name not in MEMBERS:
                raise SettingError(f"{where}: openapi has the member {name!r}, which is refused: it takes {', '.join(MEMBERS)}.")
        return None

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        path = api.options.get("openapi_route", False)
        if path is False:
            return ()
        path = ROUTE if path is True else path
        if not isinstance(path, str) or not path.startswith("/") or "{" in path:
            raise SettingError(f"The {api}: openapi_route={path!r} is refused: it takes True, or a path such as {ROUTE!r}.")
        return ((str(RouteKey.parse(f"GET {path}")), Published(api, self._account, self._region)),)

    def took_up(self) -> None:
        """All is made when it is asked for."""


class Published:
    """Answers with the document, for the address that the client used."""

    def __init__(self, api: Api, account: str, region: str) -> None:
        self._api = api
        self._account = account
        self._region = region
        self._written: bytes | None = None

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        if self._written is None:
            found = document(self._api, self._account, self._region, extensions=False)
            del found["servers"]
            self._written = json.dumps(found, separators=(",", ":")).encode()
        server = json.dumps([{"url": server_of(request)}]).encode()
        return Answer(200, ((b"content-type", b"application/json"),), self._written[:-1] + b',"servers":' + server + b"}")


def server_of(request: Request) -> str:
    """Where the client has reached the API, without a slash at the end."""
    mount = request.path[: len(request.path) - len(request.route_path)]
    return f"{request.scheme}://{request.host}{mount}"
