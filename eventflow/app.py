"""App: what an application declares. Its decorators record functions, triggers and resources, and do nothing else."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Never, TypeVar, Unpack

from eventflow.asgi import Application, AsgiHandler
from eventflow.errors import LoadError, SettingError
from eventflow.function import NAME, Destination, Function, FunctionSettings
from eventflow.manifest import Manifest, TriggerClasses, entry_of, no_function
from eventflow.reference import (
    ApiKeyRef,
    ApiRef,
    AuthorizerRef,
    BucketRef,
    BusRef,
    QueueRef,
    Reference,
    RouteRef,
    TableRef,
    UsagePlanRef,
    api_key_ref,
    api_ref,
    authorizer_ref,
    bucket_ref,
    bus_ref,
    queue_ref,
    route_ref,
    table_ref,
    usage_plan_ref,
)
from eventflow.registration import Registration, check_handler, place_of, shown
from eventflow.source import Source, import_source, locate
from eventflow.trigger import Resource, Trigger

H = TypeVar("H", bound=Callable[..., Any])
R = TypeVar("R", BucketRef, TableRef, QueueRef, BusRef, ApiRef, ApiKeyRef, UsagePlanRef, RouteRef, AuthorizerRef)
Handler = Callable[[Any, Any], Any]


class App:
    """An application: functions, what triggers them, and the buckets, tables and queues they use.

    ``@app.on(trigger, **settings)`` makes a handler a function that the trigger starts; stacked on one handler, triggers and settings add up.
    ``@app.function(**settings)`` makes it one that is only invoked. Both return the handler untouched. ``FunctionSettings`` lists the settings.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise SettingError(f"The app name {name!r} is refused: it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'.")
        self.name = name
        made_in = sys._getframe(1)
        self.place = f"{made_in.f_code.co_filename}:{made_in.f_lineno}"
        self._module = str(made_in.f_globals.get("__name__", "__main__"))
        self._root = Path(made_in.f_code.co_filename).resolve().parent
        self._registrations: dict[int, Registration] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        #: The handlers of ASGI applications, by their functions' names: no name of the module leads to them.
        self.asgi_functions = SimpleNamespace()

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    def on(self, trigger: Trigger, **settings: Unpack[FunctionSettings]) -> Callable[[H], H]:
        """Let a trigger start the function. Raises SettingError for what cannot be enforced."""
        if not isinstance(trigger, Trigger):
            raise SettingError(f'@app.on takes a trigger, as in @app.on(Schedule("rate(5 minutes)")), and got {shown(trigger)}.')

        def record(handler: H) -> H:
            registration = self._registration(handler)
            named = self._trigger_without_callables(registration.name, trigger)
            if not registration.is_new(named):
                raise SettingError(
                    f"Function {registration.name!r} ({registration.place}) has the trigger {named} twice, with one memory; remove one."
                )
            registration.triggers.insert(0, named)  # decorators run from the bottom up, and people read from the top down
            registration.add(self._without_callables(registration.name, settings))
            return handler

        return record

    def function(self, *misplaced: Never, **settings: Unpack[FunctionSettings]) -> Callable[[H], H]:
        """Make a function that is only invoked. Raises SettingError for what cannot be enforced."""
        if misplaced:
            raise SettingError(
                f"@app.function is written with parentheses and named settings, as in @app.function(memory=256); it got {shown(misplaced[0])}."
            )

        def record(handler: H) -> H:
            registration = self._registration(handler)
            registration.add(self._without_callables(registration.name, settings))
            return handler

        return record

    def bucket(self, name: str, path: str | Path | None = None) -> BucketRef:
        """A bucket; ``path`` is its directory, relative to the application's folder, and by default one in the state directory."""
        return self._declare(bucket_ref(name, path))

    def table(self, name: str, key: str, key_type: str = "S", sort: str | None = None, sort_type: str = "S", stream: str | None = None) -> TableRef:
        """A table with a partition key and perhaps a sort key, of type ``S`` (text), ``N`` (number) or ``B`` (binary). ``stream`` gives it a
        stream with that view: ``KEYS_ONLY``, ``NEW_IMAGE``, ``OLD_IMAGE`` or ``NEW_AND_OLD_IMAGES``, which it also gets for a ``Stream`` trigger."""
        return self._declare(table_ref(name, key, key_type, sort, sort_type, stream))

    def queue(self, name: str, **attributes: Any) -> QueueRef:
        """A queue. Attributes are SQS's in lower case: ``visibility_timeout``, ``delay_seconds``, ``message_retention_period``,
        ``maximum_message_size``, ``receive_message_wait_time_seconds``, ``content_based_deduplication``; ``dead_letter_queue`` with
        ``max_receive_count`` is its redrive policy."""
        return self._declare(queue_ref(name, **attributes))

    def bus(self, name: str) -> BusRef:
        """An event bus of EventBridge, for the trigger ``Bus(pattern, bus=...)`` and ``PutEvents``. The bus ``default`` is always there."""
        return self._declare(bus_ref(name))

    def http_api(self, name: str = "default", **options: Any) -> ApiRef:
        """An HTTP API, for ``Http(..., api=name)``; the one called ``default`` is there without being declared. Options: ``stage`` (``$default``)
        or ``stages``, ``stage_variables``, ``base_path``, ``cors``, ``throttle``, ``access_log``, ``openapi``, ``openapi_route``, ``info``,
        ``components`` and ``authorizer``; docs/http.md says what each means."""
        return self._declare(api_ref("HTTP", name, **options))

    def rest_api(self, name: str = "default", **options: Any) -> ApiRef:
        """A REST API, for ``Rest(..., api=name)``; the one called ``default`` is there without being declared. Options: ``stage`` (``prod``) or
        ``stages``, ``stage_variables``, ``base_path``, ``binary_media_types``, ``minimum_compression_size``, ``throttle``, ``access_log``,
        ``models``, ``validator``, ``api_key_source``, ``openapi``, ``openapi_route``, ``info``, ``components`` and ``authorizer``; docs/http.md says
        what each means."""
        return self._declare(api_ref("REST", name, **options))

    def websocket_api(self, name: str = "default", **options: Any) -> ApiRef:
        """A WebSocket API, for ``WebSocket(..., api=name)``; the one called ``default`` is there without being declared. Options: ``stage``
        (``prod``) or ``stages``, ``stage_variables``, ``base_path``, ``route_selection_expression`` (``$request.body.action``), ``idle_timeout`` (600
        seconds) and ``connection_lifetime`` (7,200 seconds); docs/websocket.md says what each means."""
        return self._declare(api_ref("WEBSOCKET", name, **options))

    def api_key(
        self, name: str, value: str | None = None, *, variable: str | None = None, file: str | Path | None = None, enabled: bool = True
    ) -> ApiKeyRef:
        """A key for routes of REST APIs with ``api_key=True``, in the header ``x-api-key``. Its value is 20 to 128 characters, from an environment
        ``variable`` of the daemon or a ``file`` rather than from the source; without any of them one is made, which ``eventflow keys NAME`` tells."""
        return self._declare(api_key_ref(name, value, variable, file, enabled))

    def usage_plan(
        self,
        name: str,
        *,
        keys: Sequence[ApiKeyRef | str],
        rate: float | None = None,
        burst: int | None = None,
        quota: int | None = None,
        period: str | None = None,
        apis: Sequence[ApiRef | str] | None = None,
        methods: Mapping[str, Any] | None = None,
    ) -> UsagePlanRef:
        """What each of ``keys`` may: ``rate`` requests a second with ``burst`` at once, ``quota`` in a ``period`` (``DAY``, ``WEEK``, ``MONTH``), on
        the REST APIs that ``apis`` names (all); ``methods`` are throttles of single routes, as in ``{"GET /items": {"rate": 1, "burst": 5}}``."""
        options = {"rate": rate, "burst": burst, "quota": quota, "period": period, "apis": apis, "methods": methods}
        return self._declare(usage_plan_ref(name, keys=keys, **options))

    def asgi(
        self,
        path: str,
        application: Application,
        api: ApiRef | str = "default",
        *,
        authorizer: AuthorizerRef | str | None = None,
        **settings: Unpack[FunctionSettings],
    ) -> AsgiHandler:
        """Make an ASGI application (Starlette, FastAPI, Django; Flask through an adapter such as a2wsgi's) a function that answers all below
        ``path`` of an HTTP API. The function is called after the path, or by ``name``. Returns its handler."""
        if not isinstance(path, str) or not path.startswith("/") or "{" in path or (path != "/" and path.endswith("/")):
            raise SettingError(f"app.asgi: path={path!r} is refused: it takes a path such as '/legacy', or '/'.")
        if not callable(application) or hasattr(application, "wsgi_app"):
            raise SettingError(
                f"app.asgi({path!r}): {application!r} is no ASGI application. A WSGI one (Flask) becomes one with a2wsgi.WSGIMiddleware(...)."
            )
        name = str(settings.get("name") or re.sub(r"[^A-Za-z0-9_-]+", "-", path.strip("/")) or "asgi")
        handler = AsgiHandler(application, name, self._module, f"app.asgi_functions.{name}")
        registration = self._registration(handler)
        registration.add(self._without_callables(name, settings))
        setattr(self.asgi_functions, name, handler)
        for key in ("$default",) if path == "/" else (f"ANY {path}", f"ANY {path}/", f"ANY {path}/{{proxy+}}"):
            self._declare(route_ref("HTTP", api, key, {"type": "function", "function": name}, authorizer=authorizer))
        return handler

    def jwt_authorizer(
        self,
        name: str,
        *,
        issuer: str,
        audience: Sequence[str] | str,
        jwks: str | Path | None = None,
        algorithms: Sequence[str] | None = None,
        identity_source: str | None = None,
    ) -> AuthorizerRef:
        """Lets into routes of HTTP APIs who has a token of ``issuer`` for one of ``audience``. ``jwks`` is a file or an https address with the
        issuer's keys; without it they are looked for at the issuer itself. docs/authorizers.md has the rules. Takes ``eventflow[gateway]``."""
        given = {"issuer": issuer, "audience": audience, "jwks": jwks, "algorithms": algorithms, "identity_source": identity_source}
        return self._declare(authorizer_ref(name, "jwt", **given))

    def lambda_authorizer(
        self,
        name: str,
        function: Handler | str,
        *,
        kind: str | None = None,
        identity_source: Sequence[str] | str | None = None,
        payload: str | None = None,
        simple: bool | None = None,
        ttl: int | None = None,
        validation: str | None = None,
    ) -> AuthorizerRef:
        """Lets a function of the application, a handler or its name, say who may go on. ``kind`` is ``request`` or ``token`` (REST APIs alone),
        ``payload`` (2.0) and ``simple`` responses are for HTTP APIs, ``ttl`` are the seconds (300) for which an answer stands for all requests with
        the same ``identity_source``; ``validation`` is a regular expression of tokens. docs/authorizers.md has the rules."""
        given = {"kind": kind, "identity_source": identity_source, "payload": payload, "simple": simple, "ttl": ttl, "validation": validation}
        return self._declare(authorizer_ref(name, "lambda", function=self._function_name(f"Authorizer {name!r}", "function", function), **given))

    def proxy(
        self,
        route: str,
        to: str,
        api: ApiRef | str = "default",
        *,
        timeout: float | None = None,
        authorizer: AuthorizerRef | str | None = None,
        scopes: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """Let an HTTP server answer a route of an HTTP API (by name), or of what ``app.http_api`` or ``app.rest_api`` returned. ``to`` is the
        server's address, in which ``{name}`` stands for a variable of the route; ``timeout`` is how many seconds the head of its answer may take.
        Other options are those of ``Http`` or ``Rest``: ``throttle``, ``openapi``; ``api_key``, ``validator``, ``models``, ``required``."""
        said = {"timeout": timeout, "authorizer": authorizer, "scopes": list(scopes), **options}
        self._declare(route_ref("HTTP", api, route, {"type": "http", "to": to}, **said))

    def mock(
        self,
        route: str,
        status: int = 200,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        api: ApiRef | str = "default",
        *,
        authorizer: AuthorizerRef | str | None = None,
        **options: Any,
    ) -> None:
        """Let the gateway itself answer a route of a REST API (by name, or what ``app.rest_api`` returned), always the same. Other options are
        those of ``Rest``: ``throttle``, ``openapi``, ``api_key``, ``validator``, ``models``, ``required``."""
        integration = {"type": "mock", "status": status, "body": body, "headers": dict(headers or {})}
        self._declare(route_ref("REST", api, route, integration, authorizer=authorizer, **options))

    @property
    def functions(self) -> dict[str, Function]:
        """The functions by name; SettingError if two handlers have one name."""
        found: dict[str, Registration] = {}
        for registration in self._registrations.values():
            other = found.setdefault(registration.name, registration)
            if other is not registration:
                raise SettingError(
                    f"Two functions of app {self.name!r} are called {registration.name!r}: {other.place} and {registration.place}. "
                    "Rename one, or give it name=... in its decorator."
                )
        return {name: registration.function() for name, registration in found.items()}

    @property
    def triggers(self) -> list[tuple[str, Trigger]]:
        """Every trigger with its function's name, in the order of the source."""
        return [(registration.name, trigger) for registration in self._registrations.values() for trigger in registration.triggers]

    @property
    def resources(self) -> list[Resource]:
        return [reference.resource(self._root) for reference in self._references.values()]

    def handler(self, name: str) -> Handler:
        """The handler of a function, as the module's name is bound to it; LoadError names the functions there are."""
        for registration in self._registrations.values():
            if registration.name == name:
                return registration.handler
        raise LoadError(no_function(name, self.name, [registration.name for registration in self._registrations.values()]))

    def manifest(self, loaded: Loaded | None = None, *, classes: TriggerClasses | None = None) -> Manifest:
        """The application as the daemon knows it. Without ``loaded`` its module and root are those of the file that made the App, and handlers
        need not be found by name; ``classes`` stands in for the installed triggers, by kind. Raises SettingError or LoadError where parts do not fit.
        """
        for name, handler in vars(self.asgi_functions).items():
            handler.__module__ = loaded.module if loaded else self._module
            handler.__qualname__ = f"{loaded.attribute if loaded else 'app'}.asgi_functions.{name}"
        functions = self.functions
        root = loaded.root if loaded else self._root
        manifest = Manifest(
            app=self.name,
            module=loaded.module if loaded else self._module,
            attribute=loaded.attribute if loaded else None,
            root=str(root),
            functions=tuple(functions.values()),
            triggers=tuple(entry_of(function, trigger, classes) for function, trigger in self.triggers),
            resources=(
                *(reference.resource(root) for reference in self._references.values()),
                *(Resource("url", function.name, function.url) for function in functions.values() if function.url is not None),
            ),
        )
        self._check_names(functions)
        self._check_generators()
        if loaded is not None:
            self._check_lookup()
        return manifest

    def _registration(self, handler: Callable[..., Any]) -> Registration:
        """What is known of a handler. A decorator in between (functools.wraps) leaves it the same function."""
        innermost = inspect.unwrap(handler)
        known = self._registrations.get(id(innermost))
        if known is None:
            check_handler(handler)
            known = self._registrations[id(innermost)] = Registration(handler, place_of(innermost))
        known.handler = handler
        return known

    def _without_callables(self, function: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings in which a destination that was given as a handler is that function's name."""
        return {setting: self._named(function, setting, value) for setting, value in settings.items()}

    def _trigger_without_callables(self, function: str, trigger: Trigger) -> Trigger:
        """A trigger in which a setting that was given as a handler is ``function:`` and that function's name."""
        names = {
            setting: f"function:{self._function_name(f'Function {function!r}', setting, value)}"
            for setting, value in getattr(trigger, "__dict__", {}).items()
            if inspect.isroutine(value)
        }
        return replace(trigger, **names) if names else trigger  # type: ignore[type-var]

    def _named(self, function: str, setting: str, value: Any) -> Any:
        return self._function_name(f"Function {function!r}", setting, value) if setting in ("on_success", "on_failure") else value

    def _function_name(self, where: str, setting: str, value: Any) -> Any:
        """The name of the function that a handler is; what is no handler stays as it is."""
        if not callable(value):
            return value
        known = self._registrations.get(id(inspect.unwrap(value)))
        if known is None:
            raise SettingError(f"{where}: {setting}={shown(value)} is no function of app {self.name!r}; put @app.function() on it first.")
        return known.name

    def _check_generators(self) -> None:
        """Refuse a handler that yields where nobody takes pieces: it is more often a mistake than meant."""
        for registration in self._registrations.values():
            if registration.yields and not registration.streams:
                raise SettingError(
                    f"Function {registration.name!r} ({registration.place}) yields; a handler returns one value, but for streamed responses: "
                    'those of @app.function(url={"invoke_mode": "RESPONSE_STREAM"}) and of Rest(..., stream=True).'
                )

    def _check_lookup(self) -> None:
        """Refuse a handler that an environment, which looks it up as ``module:qualname``, would not find or would take for another one."""
        for registration in self._registrations.values():
            found = registration.look_up()
            other = self._registrations.get(id(inspect.unwrap(found))) if callable(found) else None
            if other is not None and other is not registration:
                raise LoadError(
                    f"Function {registration.name!r} ({registration.place}) is hidden: the name {registration.handler.__qualname__!r} now means "
                    f"function {other.name!r} ({other.place}). Give the two handlers different names in Python."
                )
            if not callable(found):
                raise LoadError(
                    f"Function {registration.name!r} ({registration.place}) cannot be found as {registration.path}: "
                    "define it at the top level of its module."
                )

    def _declare(self, reference: R) -> R:
        """Keep a reference; the same one may be declared again, another of its kind and name may not."""
        kind = f"{reference.protocol} API" if isinstance(reference, ApiRef) else reference.kind.replace("_", " ")
        known = self._references.setdefault((kind, reference.name), reference)
        if known != reference:
            raise SettingError(
                f"App {self.name!r} declares the {kind} {reference.name!r} twice, and differently: {known!r} and {reference!r}; keep one of them."
            )
        return reference

    def _check_names(self, functions: Mapping[str, Function]) -> None:
        """Refuse a destination, dead-letter queue or redrive target that the application does not have."""
        queues = {resource.name for resource in self.resources if resource.kind == "queue"}
        queues |= {resource.name for _function, trigger in self.triggers for resource in trigger.resources() if resource.kind == "queue"}
        for function in functions.values():
            for setting, end in ends_of(function).items():
                if end.name not in (queues if end.kind == "queue" else functions):
                    raise SettingError(
                        f"Function {function.name!r}: {setting} names the {end}, which app {self.name!r} does not have. {remedy(end, queues)}"
                    )
        for function_name, trigger in self.triggers:
            for resource in trigger.resources():
                if resource.kind == "function" and resource.name not in functions:
                    raise SettingError(
                        f"Function {function_name!r}: {trigger} names the function {resource.name}, which app {self.name!r} does not have. "
                        "Put @app.function() on that handler, or correct the name."
                    )
        for reference in self._references.values():
            authorizing = reference.options.get("function") if isinstance(reference, AuthorizerRef) else None
            if authorizing is not None and authorizing not in functions:
                raise SettingError(
                    f"Authorizer {reference.name!r}: function names {authorizing!r}, which app {self.name!r} does not have. "
                    "Put @app.function() on that handler, or correct the name."
                )
            target = reference.dead_letter_queue if isinstance(reference, QueueRef) else None
            if target is not None and target not in queues:
                raise SettingError(
                    f"Queue {reference.name!r}: dead_letter_queue names {target!r}, which app {self.name!r} does not have. "
                    f"Declare app.queue({target!r})."
                )


def ends_of(function: Function) -> dict[str, Destination]:
    """The setting and the place of each way out of a function."""
    dead_letters = Destination("queue", function.dead_letter_queue) if function.dead_letter_queue else None
    ends = {"on_success": function.on_success, "on_failure": function.on_failure, "dead_letter_queue": dead_letters}
    return {setting: end for setting, end in ends.items() if end is not None}


def remedy(end: Destination, queues: set[str]) -> str:
    if end.kind == "queue":
        return f"Declare app.queue({end.name!r})."
    if end.name in queues:
        return f"There is a queue of that name: pass what app.queue({end.name!r}) returned, not its name."
    return "Put @app.function() on that handler, or correct the name."


@dataclass(frozen=True)
class Loaded:
    """An application that was imported: the module and attribute that hold it, and the folder from which the module is imported."""

    app: App
    module: str
    attribute: str
    root: Path

    def manifest(self) -> Manifest:
        return self.app.manifest(self)


def load(reference: str) -> Loaded:
    """Import the application that ``module:app``, ``path.py``, ``path.py:app`` or a folder names; LoadError says what is wrong.

    This runs the user's code and puts its folder first on ``sys.path``: call it in a process of its own.
    """
    source = locate(reference)
    if source.template is not None:
        raise LoadError(f"{source} is a template, for which there is no App in Python: `eventflow run` and `eventflow dev` run it.")
    module = import_source(source)
    attribute = source.attribute or only_app(source, module)
    return Loaded(named_app(source, module, attribute), source.module, attribute, source.root)


def only_app(source: Source, module: ModuleType) -> str:
    """The name of the module's one App."""
    found = apps_of(module)
    if not found:
        raise LoadError(f'{source} makes no App: write `app = App("name")` at its top level, and decorate the handlers with @app.on(...).')
    if len({id(app) for app in found.values()}) > 1:
        made = ", ".join(f"{name} ({app.place})" for name, app in found.items())
        first = next(iter(found))
        raise LoadError(f"{source} has more than one App: {made}. Say which, as in {source.file or source.module}:{first}.")
    return next(iter(found))


def named_app(source: Source, module: ModuleType, attribute: str) -> App:
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, App):
        return found
    has = ", ".join(apps_of(module)) or "none"
    what = f"has no {attribute!r}" if found is None else f"has {attribute!r}, which is {shown(found)} and no App"
    raise LoadError(f"{source} {what}; its Apps are: {has}.")


def apps_of(module: ModuleType) -> dict[str, App]:
    return {name: value for name, value in vars(module).items() if isinstance(value, App)}
