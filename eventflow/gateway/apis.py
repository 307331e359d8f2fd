"""The APIs of an application, compiled from its manifest: stages, where each is mounted, its routes with their steps and integrations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventflow.api_ids import api_id, short_id
from eventflow.errors import SettingError
from eventflow.gateway.cors import Cors
from eventflow.gateway.routes import RouteKey, RouteTable
from eventflow.gateway.seams import AccessLog, Integration, Plug, Sockets, Step
from eventflow.trigger import ApiRoute, Resource

SOCKETS = "WEBSOCKET"
URL = "URL"
#: In the host of an API, behind its id or name.
EXECUTE_API = ".execute-api."
#: Where function URLs are on a host that cannot have names below it.
URL_PATH = "/_url"
DEFAULT_API = "default"
DEFAULT_STAGE = "$default"
STAGES = {"HTTP": DEFAULT_STAGE, "REST": "prod", "WEBSOCKET": "prod"}
STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
VARIABLE_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
VARIABLE_VALUE = re.compile(r"[A-Za-z0-9._~:/?#&=,-]{0,512}")
BASE_PATH = re.compile(r"/([A-Za-z0-9$_.+!*'()-]+(/[A-Za-z0-9$_.+!*'()-]+)*)?")
MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+_-]+/([A-Za-z0-9.+_-]+|\*)|\*/\*")
#: AWS: minimumCompressionSize is 0 to 10,485,760 bytes.
LARGEST_COMPRESSION_SIZE = 10_485_760
#: AWS: 30 seconds for HTTP APIs, 29 for the others (API Gateway quotas).
LONGEST = {"HTTP": 30.0, "REST": 29.0, "WEBSOCKET": 29.0, "URL": 900.0}
#: The options that the core enforces; every other one belongs to a plug.
API_OPTIONS = frozenset(("stage", "stages", "stage_variables", "base_path", "cors", "binary_media_types", "minimum_compression_size"))
#: What each stage of an API may have for itself; the rest is the API's.
STAGE_OPTIONS = ("stage_variables", "base_path", "throttle", "access_log")
#: AWS: 10 stages for an API (API Gateway quotas).
MOST_STAGES = 10
ROUTE_OPTIONS = frozenset(("timeout", "stream"))
#: AWS: a streamed response may take 15 minutes.
LONGEST_STREAM = 900.0


@dataclass(frozen=True)
class Stage:
    """``variables`` are the stage's; ``segment`` is the first part of the path where the API is reached by its own host (none for ``$default``)."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def segment(self) -> str:
        return "" if self.name == DEFAULT_STAGE else f"/{self.name}"


@dataclass(frozen=True, eq=False)
class Route:
    """A route that is ready to run. ``early`` are the steps that come before the body is read; ``options`` are those that plugs claim, as the
    trigger wrote them."""

    api: Api
    key: str
    method: str
    path: str
    integration: Integration
    timeout: float
    steps: tuple[Step, ...] = ()
    early: tuple[Step, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    function: str | None = None


@dataclass(eq=False)
class Api:
    """One stage of an API, which all the same is called an API where there is one stage. ``id`` is AWS's ten characters, the same after every start
    and for all stages; ``staged`` is whether the API was declared with several. ``options`` are those that plugs claim; ``access_log`` is one of
    them, made. ``resources`` is all that the application declares; ``entrance`` has the steps for connections to a WebSocket API that has no route
    for them."""

    protocol: str
    name: str
    id: str
    stage: Stage
    base_path: str | None = None
    cors: Cors | None = None
    binary_media_types: tuple[str, ...] = ()
    minimum_compression_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    access_log: AccessLog | None = None
    resources: Sequence[Resource] = ()
    table: RouteTable[Route] = field(default_factory=lambda: RouteTable(()))
    staged: bool = False
    entrance: Route | None = None

    @property
    def mount(self) -> str | None:
        """Where the API is on the gateway's port; None for one that only its own host leads to."""
        if self.base_path is not None:
            return self.base_path.rstrip("/")
        return self.stage.segment if self.name == DEFAULT_API else None

    def __str__(self) -> str:
        return f"{self.protocol} API {self.name!r}{f' (stage {self.stage.name!r})' if self.staged else ''}"


Made = Mapping[tuple[str, str], Sequence[Api]]


def make_apis(app: str, account: str, resources: Iterable[Resource], routes: Sequence[tuple[str, ApiRoute]]) -> Made:
    """The stages of the APIs that are declared, and the default ones that routes imply; without their routes. Raises SettingError."""
    apis: dict[tuple[str, str], Sequence[Api]] = {}
    resources = tuple(resources)
    for resource in resources:
        if resource.kind == "api":
            protocol, _, name = resource.name.partition("/")
            apis[protocol, name] = make_stages(app, account, protocol, name, resource.options)
        elif resource.kind == "url":
            apis[URL, resource.name] = (make_url(app, account, resource.name, resource.options),)
    for where, route in routes:
        if (route.protocol, route.api) in apis:
            continue
        if route.api != DEFAULT_API:
            declare = {"HTTP": "http_api", "REST": "rest_api"}.get(route.protocol, "websocket_api")
            raise SettingError(f"{where}: there is no {route.protocol} API named {route.api!r}; declare it: app.{declare}({route.api!r}).")
        apis[route.protocol, route.api] = (make_api(app, account, route.protocol, route.api, {}),)
    for stages in apis.values():
        for api in stages:
            api.resources = resources
    return apis


def make_stages(app: str, account: str, protocol: str, name: str, options: Mapping[str, Any]) -> Sequence[Api]:
    """The stages of an API: those that ``stages`` names, with what each has for itself in the place of what the API says for all; or the one."""
    if "stages" not in options:
        return (make_api(app, account, protocol, name, options),)
    where, stages = f"{protocol} API {name!r}", options["stages"]
    if not isinstance(stages, Mapping) or not 1 <= len(stages) <= MOST_STAGES or not all(isinstance(one, Mapping) for one in stages.values()):
        raise SettingError(f"{where}: stages={stages!r} is refused: it takes a dict of 1 to {MOST_STAGES} names of stages to dicts of options.")
    for option in ("stage", "base_path"):
        if option in options:
            raise SettingError(f"{where}: {option} is refused beside stages: each of these has its own.")
    common = {option: value for option, value in options.items() if option != "stages"}
    made = []
    for stage, own in stages.items():
        for option in own:
            if option not in STAGE_OPTIONS:
                raise SettingError(f"{where}: a stage has no option {option!r} ({stage!r}); it has: {', '.join(STAGE_OPTIONS)}.")
        api = make_api(app, account, protocol, name, {**common, **own, "stage": stage}, f"{where} (stage {stage!r})")
        api.staged = True
        made.append(api)
    return tuple(made)


def make_api(app: str, account: str, protocol: str, name: str, options: Mapping[str, Any], where: str | None = None) -> Api:
    where = where or f"{protocol} API {name!r}"
    stage = str(options.get("stage", STAGES[protocol]))
    if not STAGE_NAME.fullmatch(stage) and not (protocol == "HTTP" and stage == DEFAULT_STAGE):
        raise SettingError(f"{where}: stage={stage!r} is refused: it takes 1 to 128 of A-Z, a-z, 0-9, '_' and '-'.")
    base_path = options.get("base_path")
    if base_path is not None and (not isinstance(base_path, str) or not BASE_PATH.fullmatch(base_path)):
        raise SettingError(f"{where}: base_path={base_path!r} is refused: it takes a path such as '/shop' or '/shop/v2', or '/'.")
    if protocol != "HTTP" and "cors" in options:
        raise SettingError(f"{where}: cors is refused: only HTTP APIs answer for their functions; a REST API has an OPTIONS route for it.")
    cors = Cors.read(where, options["cors"]) if "cors" in options else None
    rest = {option: value for option, value in options.items() if option not in API_OPTIONS}
    at = Stage(stage, variables(where, options))
    return Api(protocol, name, api_id(account, app, protocol, name), at, base_path, cors, *of_rest(where, protocol, options), rest)


def of_rest(where: str, protocol: str, options: Mapping[str, Any]) -> tuple[tuple[str, ...], int | None]:
    """``binary_media_types`` and ``minimum_compression_size``, which REST APIs alone have."""
    types, least = options.get("binary_media_types", []), options.get("minimum_compression_size")
    for name in ("binary_media_types", "minimum_compression_size"):
        if protocol != "REST" and name in options:
            raise SettingError(f"{where}: {name} is refused: only REST APIs have it.")
    if not isinstance(types, list) or not all(isinstance(one, str) and MEDIA_TYPE.fullmatch(one) for one in types):
        raise SettingError(f"{where}: binary_media_types={types!r} is refused: it takes a list of types such as 'image/png', 'image/*' or '*/*'.")
    if least is not None and (not isinstance(least, int) or isinstance(least, bool) or not 0 <= least <= LARGEST_COMPRESSION_SIZE):
        raise SettingError(f"{where}: minimum_compression_size={least!r} is refused: it takes 0 to {LARGEST_COMPRESSION_SIZE} bytes.")
    return tuple(one.lower() for one in types), least


def make_url(app: str, account: str, function: str, options: Mapping[str, Any]) -> Api:
    """The URL of a function: an API of one route."""
    cors = Cors.read(f"Function {function!r}: url", options["cors"]) if "cors" in options else None
    name = f"{account}/{app}/{URL}/{function}"
    id = options.get("id") or "".join(short_id(f"{name}/{part}") for part in range(4))[:32]
    # One that was made by API has an id of its own, and a new one when it is made again: that is its address.
    return Api(URL, function, id, Stage(DEFAULT_STAGE), f"{URL_PATH}/{options.get('id') or function}", cors)


def variables(where: str, options: Mapping[str, Any]) -> dict[str, str]:
    found = options.get("stage_variables", {})
    if not isinstance(found, Mapping):
        raise SettingError(f"{where}: stage_variables={found!r} is refused: it takes a dict of names to texts.")
    for name, value in found.items():
        if not VARIABLE_NAME.fullmatch(name) or not isinstance(value, str) or not VARIABLE_VALUE.fullmatch(value):
            raise SettingError(
                f"{where}: the stage variable {name!r}: {value!r} is refused: names are A-Z, a-z, 0-9 and '_', "
                'values up to 512 of A-Z, a-z, 0-9 and -._~:/?#&=, (API Gateway, "Stage variables").'
            )
    return dict(found)


def check_claimed(api: Api, routes: Iterable[tuple[str, ApiRoute]], plugs: Sequence[Plug | Sockets]) -> None:
    """Refuse every option that nothing enforces."""
    api_claimed = frozenset().union(*(plug.api_options for plug in plugs))
    for option in api.options:
        if option not in api_claimed:
            raise SettingError(f"The {api}: {option}={json.dumps(api.options[option])} is not supported yet; leave it out, nothing would enforce it.")
    claimed = ROUTE_OPTIONS.union(*(plug.route_options for plug in plugs))
    for where, route in routes:
        for option in route.options:
            if option not in claimed:
                raise SettingError(
                    f"{where}: {option}={json.dumps(route.options[option])} is not supported yet; leave it out, nothing would enforce it."
                )


def add_route(api: Api, where: str, declared: ApiRoute, integration: Integration, function: str | None, plugs: Sequence[Plug]) -> None:
    api.routes.append(made_route(api, where, declared, integration, function, plugs))


def made_route(api: Api, where: str, declared: ApiRoute, integration: Integration, function: str | None, plugs: Sequence[Plug]) -> Route:
    try:
        key = RouteKey.parse(declared.key) if api.protocol != SOCKETS else RouteKey("", declared.key, ())
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from error
    if api.protocol == "REST" and not key.path.isascii():
        raise SettingError(f"{where}: the route {declared.key!r} is refused: REST APIs compare paths as they are sent, which is in ASCII.")
    steps = tuple(step for plug in plugs if (step := plug.step(api, declared)) is not None)
    timeout = float(declared.options.get("timeout", LONGEST_STREAM if declared.options.get("stream") else LONGEST[api.protocol]))
    options = {option: value for option, value in declared.options.items() if option != "timeout"}
    early = tuple(step for step in steps if getattr(step, "early", False))
    late = tuple(step for step in steps if step not in early)
    return Route(api, declared.key, key.method, key.path, integration, timeout, late, early, options, function)


def finish(api: Api, plugs: Sequence[Plug]) -> None:
    """Compile the routes, once all are there."""
    if api.protocol == SOCKETS:
        return
    for key, integration in [one for plug in plugs for one in plug.extend(api)]:
        add_route(api, str(api), ApiRoute(api.protocol, api.name, key), integration, None, ())
    try:
        api.table = RouteTable([(RouteKey.parse(route.key), route) for route in api.routes], by_resource=api.protocol == "REST")
    except SettingError as error:
        raise SettingError(f"The {api}: {error}") from error
