"""The authorizers of an application as a plug of the gateway: which of them closes which route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from eventflow.aws.sigv4 import Verifier
from eventflow.errors import SettingError
from eventflow.gateway.apis import Api
from eventflow.gateway.authorizers.fetching import Fetcher
from eventflow.gateway.authorizers.iam import IamStep
from eventflow.gateway.authorizers.identity_sources import source_of
from eventflow.gateway.authorizers.lambda_authorizers import Authorizer, LambdaStep
from eventflow.gateway.authorizers.lambda_events import AuthorizerEvents, EventOf
from eventflow.gateway.authorizers.settings import AUTHORIZATION, IAM, NONE, JwtSettings, LambdaSettings, Settings, read_settings
from eventflow.gateway.seams import Integration, Step
from eventflow.trigger import ApiRoute

if TYPE_CHECKING:
    from eventflow.gateway.authorizers.json_web_tokens import TokenVerifier
    from eventflow.gateway.plugs import Surroundings

CONNECT = "$connect"


class Authorizers:
    """Everything that an authorizer could close is closed, or said to be open: see ``_check_said``."""

    route_options = frozenset(("authorizer", "scopes"))
    api_options = frozenset(("authorizer",))

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._fetcher = Fetcher(surroundings.clock)
        self._events = AuthorizerEvents(surroundings.account, surroundings.region)
        self._signatures = Verifier(surroundings.credentials, surroundings.clock)
        #: Those of the version that answers, which keep their keys and tokens over reloads; and those of the one that is being loaded.
        self._verifiers: dict[JwtSettings, TokenVerifier] = {}
        self._next: dict[JwtSettings, TokenVerifier] = {}
        self._answering: Sequence[Settings] = ()
        self._begin({})

    def _begin(self, declared: dict[str, Settings]) -> None:
        self._declared = declared
        self._next = {}
        self._lambdas: dict[tuple[str, str, str], Authorizer] = {}
        self._used: set[str] = set()
        self._named: dict[str, str] = {}
        self._silent: dict[str, str] = {}

    def load(self, apis: Sequence[Api]) -> None:
        resources = {resource.name: resource for api in apis for resource in api.resources if resource.kind == "authorizer"}
        self._begin({name: read_settings(resource) for name, resource in resources.items()})
        for api in apis:
            name = api.options.get("authorizer")
            if name is not None:
                self._check_name(str(api), name)

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        own, default = route.options.get("authorizer"), api.options.get("authorizer")
        where = f"The {api}: route {route.key!r}"
        if api.protocol == "WEBSOCKET" and route.key != CONNECT:
            if own is not None:
                raise SettingError(f"{where}: authorizer={own!r} is refused: a WebSocket API asks who it is at {CONNECT} alone.")
            return None
        self._check_said(where, api, own, default)
        name = next((one for one in (own, default) if one is not None), NONE)
        self._check_name(where, name)
        scopes = frozenset(route.options.get("scopes", ()))
        settings = self._declared.get(name)
        if scopes and not isinstance(settings, JwtSettings):
            raise SettingError(f"{where}: scopes={sorted(scopes)} is refused: only tokens have scopes; give it authorizer=... of app.jwt_authorizer.")
        if settings is None:
            return IamStep(self._signatures, self._around.account, self._around.region, self._around.clock) if name == IAM else None
        if isinstance(settings, JwtSettings):
            return self._jwt_step(where, api, settings, scopes)
        return self._lambda_step(where, api, settings)

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        """No routes; but all are there by now, so that it shows whether an authorizer was forgotten."""
        unused = self._declared.keys() - self._used
        if unused:
            raise SettingError(
                f"The authorizer {min(unused)!r} is declared, and closes nothing: name it in a route, as in Http(..., authorizer={min(unused)!r}), "
                "or in an API, as in app.http_api(authorizer=...); or remove it."
            )
        return ()

    def took_up(self) -> None:
        for settings, verifier in self._verifiers.items():
            if settings not in self._next:
                verifier.source.close()
        self._verifiers = self._next
        self._answering = tuple(self._declared.values())

    def describe(self) -> list[dict[str, object]]:
        """The authorizers for ``eventflow status``: ``keys`` are how many an issuer has, None before they were asked for."""
        return [self._described(settings) for settings in self._answering]

    def _described(self, settings: Settings) -> dict[str, object]:
        if isinstance(settings, LambdaSettings):
            return {"name": settings.name, "type": "lambda", "function": settings.function}
        verifier = self._verifiers.get(settings)
        source = None if verifier is None else verifier.source
        return {
            "name": settings.name,
            "type": "jwt",
            "source": None if source is None else source.name,
            "keys": None if source is None or not source.generation else source.known,
            "failure": None if source is None else source.error,
        }

    def _check_name(self, where: str, name: object) -> None:
        if not isinstance(name, str) or (name not in self._declared and name not in (IAM, NONE)):
            have = ", ".join(repr(one) for one in (*self._declared, IAM, NONE))
            raise SettingError(
                f"{where}: authorizer={name!r} is refused: the application has {have}; app.jwt_authorizer and app.lambda_authorizer make one."
            )
        self._used.add(name)

    def _check_said(self, where: str, api: Api, own: object, default: object) -> None:
        """In an API without an authorizer of its own, of which some routes name one, the others say that they are open: none is by an oversight."""
        if default is not None:
            return
        if own is None:
            self._silent.setdefault(api.id, where)
        elif own != NONE:
            self._named.setdefault(api.id, f"{where} has authorizer={own!r}")
        if api.id in self._silent and api.id in self._named:
            raise SettingError(
                f"{self._silent[api.id]} says nothing of an authorizer, and would be open, while {self._named[api.id]}. "
                'Give it authorizer="none" if anybody may use it, or the authorizer\'s name; or give the API one for all its routes.'
            )

    def _jwt_step(self, where: str, api: Api, settings: JwtSettings, scopes: frozenset[str]) -> Step:
        if api.protocol != "HTTP":
            raise SettingError(
                f"{where}: authorizer={settings.name!r} is refused: JWT authorizers are for HTTP APIs; a {api.protocol} API takes a Lambda one."
            )
        try:
            from eventflow.gateway.authorizers import json_web_tokens, keys
        except ImportError as error:
            raise SettingError(
                f"{where}: authorizer={settings.name!r} checks tokens, which takes packages that are not installed ({error.name}): "
                "pip install 'eventflow[gateway]'"
            ) from error
        verifier = self._next.get(settings) or self._verifiers.get(settings)
        if verifier is None:
            source = keys.key_source(settings.issuer, settings.jwks, self._around.clock, self._fetcher)
            verifier = json_web_tokens.TokenVerifier(settings, source, self._around.clock)
        self._next[settings] = verifier
        return json_web_tokens.JwtStep(verifier, source_of(where, settings.identity_source, api.protocol), scopes)

    def _lambda_step(self, where: str, api: Api, settings: LambdaSettings) -> Step:
        event_of = self._event_of(where, api, settings)
        sources = settings.identity_source if settings.identity_source is not None else (AUTHORIZATION[api.protocol],)
        readers = [source_of(where, source, api.protocol) for source in sources]
        authorizer = self._lambdas.get((api.id, api.stage.name, settings.name))
        if authorizer is None:
            authorizer = Authorizer(settings, api.protocol, self._around.invoke, self._around.clock)
            self._lambdas[api.id, api.stage.name, settings.name] = authorizer
        return LambdaStep(authorizer, readers, event_of, self._around.region, self._around.account, self._around.clock)

    def _event_of(self, where: str, api: Api, settings: LambdaSettings) -> EventOf:
        if settings.kind == "token" and api.protocol != "REST":
            raise SettingError(f"{where}: authorizer={settings.name!r} is refused: token authorizers are for REST APIs; kind='request' is for all.")
        if settings.simple and api.protocol != "HTTP":
            raise SettingError(
                f"{where}: authorizer={settings.name!r} is refused: simple responses are for HTTP APIs; elsewhere it answers a policy."
            )
        if api.protocol == "HTTP":
            return self._events.http_2 if settings.payload == "2.0" else self._events.http_1
        if api.protocol == "WEBSOCKET":
            return self._events.websocket
        return self._events.token if settings.kind == "token" else self._events.rest
