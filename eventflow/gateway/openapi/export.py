"""An API as an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from eventflow.cors_members import CORS_MEMBERS
from eventflow.errors import SettingError
from eventflow.gateway.apis import LONGEST, LONGEST_STREAM, Api, Route
from eventflow.gateway.authorizers.settings import IAM, NONE
from eventflow.gateway.models import URN
from eventflow.gateway.openapi import integrations, security
from eventflow.gateway.openapi.schemas import upgraded
from eventflow.gateway.routes import ANY, DEFAULT, METHODS, VARIABLE
from eventflow.gateway.validation import DEFAULT as ANY_TYPE
from eventflow.gateway.validation import JSON

VERSION = "3.1.0"
#: What the members of a validator are in AWS's words: body, parameters.
VALIDATORS = {"body": (True, False), "params": (False, True), "all": (True, True)}
#: OpenAPI documents begin the names of the members of CORS with small letters.
CORS = {f"{member[0].lower()}{member[1:]}": option for member, option in CORS_MEMBERS.items()}
MESSAGE = {"application/json": {"schema": {"type": "object", "properties": {"message": {"type": ["string", "null"]}}}}}
ANSWER = {"description": "What the function answers."}
REFUSALS = {"400": "The request is not valid.", "401": "Who asks is not known.", "403": "Who asks may not.", "429": "Too many requests, for now."}
EXTENSION = "x-amazon-apigateway-"
ANY_METHOD = EXTENSION + "any-method"
OURS = (EXTENSION, "x-eventflow-")


def document(api: Api, account: str, region: str, *servers: str, extensions: bool = True) -> dict[str, Any]:
    """The document of an HTTP or REST API, whose stages are reached at ``servers``. Without ``extensions`` it tells nothing of what is behind the
    API, so that everybody may read it; a route for any method is then one for each."""
    writer = Writer(api, account, region, extensions)
    paths = writer.paths()
    found: dict[str, Any] = {
        "openapi": VERSION,
        "info": {"title": api.name, "version": "1.0", **api.options.get("info", {})},
        "servers": [{"url": server} for server in servers],
        "paths": paths,
        **writer.components(),
        **writer.settings(),
    }
    return found if extensions else without_extensions(found)


class Writer:
    def __init__(self, api: Api, account: str, region: str, extensions: bool) -> None:
        self._api = api
        self._extensions = extensions
        self._account = account
        self._region = region
        self._authorizers = {one.name: one.options for one in api.resources if one.kind == "authorizer"}
        prefix = f"{api.protocol}/{api.name}/"
        self._routes = {one.name.removeprefix(prefix): one.options for one in api.resources if one.kind == "route" and one.name.startswith(prefix)}
        self._schemes: dict[str, Any] = {}
        self._validators: dict[str, Any] = {}
        self._ids: set[str] = set()

    def paths(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for route in self._api.routes:
            integration = self._integration(route)
            if integration is None:
                continue
            for method in self._methods(route):
                found.setdefault(route.path or f"/{DEFAULT}", {})[method] = self._operation(route, method, integration)
        return found

    def _methods(self, route: Route) -> Iterable[str]:
        """The members of a path that the route is."""
        if route.method != ANY:
            return (route.method.lower(),)
        if self._extensions:
            return (ANY_METHOD,)
        others = {one.method for one in self._api.routes if one.path == route.path}
        return [method.lower() for method in METHODS if method not in others] if route.path else ()

    def _integration(self, route: Route) -> Mapping[str, Any] | None:
        """What the route leads to as it was declared; None for one that the gateway has made itself."""
        declared = self._routes.get(route.key)
        if declared is not None:
            return declared["integration"]  # type: ignore[no-any-return]
        return None if route.function is None else {"type": "function", "function": route.function}

    def _operation(self, route: Route, method: str, integration: Mapping[str, Any]) -> dict[str, Any]:
        said = dict(route.options.get("openapi", {}))
        operation: dict[str, Any] = {"operationId": self._id(said.pop("operationId", None), route, method)}
        parameters = merged(self._parameters(route), said.pop("parameters", ()))
        if parameters:
            operation["parameters"] = parameters
        body = self._body(route)
        if body is not None:
            operation["requestBody"] = body
        required = self._security(route)
        operation["responses"] = self._responses(route, required)
        operation.update(said)
        if required is not None:
            operation["security"] = required
        validator = self._validator(route)
        if validator is not None:
            operation["x-amazon-apigateway-request-validator"] = validator
        stream = bool(route.options.get("stream"))
        timeout = None if route.timeout == (LONGEST_STREAM if stream else LONGEST[self._api.protocol]) else route.timeout
        written = integrations.written(integration, self._api.protocol, route.method, self._account, self._region, timeout, stream=stream)
        return {**operation, "x-amazon-apigateway-integration": written}

    def _id(self, said: str | None, route: Route, method: str) -> str:
        words = re.findall(r"[A-Za-z0-9]+", route.path or DEFAULT)
        name = said or ("any" if method == ANY_METHOD else method) + "".join(word[:1].upper() + word[1:] for word in words)
        found, number = name, 1
        while found in self._ids:
            number += 1
            found = f"{name}{number}"
        self._ids.add(found)
        return found

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        text = {"type": "string"}
        found: list[dict[str, Any]] = [
            {"name": name + greedy, "in": "path", "required": True, "schema": text} for name, greedy in VARIABLE.findall(route.path)
        ]
        for one in route.options.get("required", ()):
            place, _, name = one.partition(".")
            if place != "path":
                found.append({"name": name, "in": place, "required": True, "schema": {**text, "minLength": 1}})
        return found

    def _body(self, route: Route) -> dict[str, Any] | None:
        models = route.options.get("models")
        if models is None:
            return None
        by_type = models if isinstance(models, Mapping) and all("/" in name or name == ANY_TYPE for name in models) else {JSON: models}
        content = {"*/*" if name == ANY_TYPE else name: {"schema": self._schema(model)} for name, model in by_type.items()}
        return {"required": self._validator(route) in ("body", "all"), "content": content}

    def _schema(self, model: Any) -> Any:
        return {"$ref": f"#/components/schemas/{model}"} if isinstance(model, str) else upgraded(model, link_to)

    def _validator(self, route: Route) -> str | None:
        validator = route.options.get("validator", self._api.options.get("validator"))
        if validator is not None:
            body, parameters = VALIDATORS[validator]
            self._validators[validator] = {"validateRequestBody": body, "validateRequestParameters": parameters}
        return validator  # type: ignore[no-any-return]

    def _security(self, route: Route) -> list[dict[str, list[str]]] | None:
        """One requirement with all that a request needs; None where nothing was said."""
        name = route.options.get("authorizer", self._api.options.get("authorizer"))
        required: dict[str, list[str]] = {}
        if name == IAM:
            self._schemes[security.SIGV4] = security.SIGV4_SCHEME
            required[security.SIGV4] = []
        elif name is not None and name != NONE:
            if name not in self._authorizers:
                raise SettingError(f"The {self._api}: route {route.key!r}: authorizer={name!r} is no authorizer of the application.")
            self._schemes[name] = security.written(self._authorizers[name], self._api.protocol, self._account, self._region)
            required[name] = list(route.options.get("scopes", ()))
        if route.options.get("api_key"):
            self._schemes[security.API_KEY] = security.KEY_SCHEME
            required[security.API_KEY] = []
        if required:
            return [required]
        return [] if name == NONE else None

    def _responses(self, route: Route, required: list[dict[str, list[str]]] | None) -> dict[str, Any]:
        statuses = []
        if self._validator(route) is not None:
            statuses.append("400")
        if required:
            statuses += ["401", "403"]
        if required or "throttle" in route.options or "throttle" in self._api.options:
            statuses.append("429")
        return {**{status: {"description": REFUSALS[status], "content": MESSAGE} for status in statuses}, "default": ANSWER}

    def components(self) -> dict[str, Any]:
        said = self._api.options.get("components", {})
        schemas = {**said.get("schemas", {}), **{name: self._model(name, schema) for name, schema in self._api.options.get("models", {}).items()}}
        found = {**said, **({"schemas": schemas} if schemas else {}), **({"securitySchemes": self._schemes} if self._schemes else {})}
        return {"components": found} if found else {}

    def _model(self, name: str, schema: Any) -> Any:
        return upgraded(schema, lambda reference: within(name, reference))

    def settings(self) -> dict[str, Any]:
        """What AWS has extensions for."""
        api = self._api
        found: dict[str, Any] = {}
        if self._validators:
            found["request-validators"] = dict(sorted(self._validators.items()))
        if api.cors is not None:
            values = {member: getattr(api.cors, name) for member, name in CORS.items()}
            found["cors"] = {
                member: list(value) if isinstance(value, tuple) else value for member, value in values.items() if value not in ((), None, False)
            }
        if api.protocol == "REST" and security.API_KEY in self._schemes:
            found["api-key-source"] = api.options.get("api_key_source", "HEADER")
        if api.binary_media_types:
            found["binary-media-types"] = list(api.binary_media_types)
        if api.minimum_compression_size is not None:
            found["minimum-compression-size"] = api.minimum_compression_size
        return {EXTENSION + name: value for name, value in found.items()}


def merged(made: list[dict[str, Any]], said: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parameters by place and name; what was said of one wins."""
    found = {(one["in"], one["name"]): one for one in made}
    for one in said:
        found[one["in"], one["name"]] = dict(one)
    return list(found.values())


def within(name: str, reference: str) -> str:
    """A reference inside a model as one of the whole document."""
    if reference == "#":
        return f"#/components/schemas/{name}"
    if reference.startswith("#/") and not reference.startswith("#/components/"):
        return f"#/components/schemas/{name}/{reference[2:]}"
    return link_to(reference)


def link_to(reference: str) -> str:
    return reference if reference.startswith("#/") else f"#/components/schemas/{reference.removeprefix(URN).rpartition('/')[2]}"


def without_extensions(value: Any) -> Any:
    """The value without what is behind the API."""
    if isinstance(value, Mapping):
        return {name: without_extensions(one) for name, one in value.items() if not name.startswith(OURS)}
    return [without_extensions(one) for one in value] if isinstance(value, list) else value
