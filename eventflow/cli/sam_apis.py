"""APIs of an application as resources of a SAM template: each is its OpenAPI document with AWS's extensions, and a stage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.gateway.apis import LONGEST, Api
from eventflow.gateway.openapi.export import document
from eventflow.sam.writer import ALIAS, Draft

#: What AWS imports; the exported document is written in 3.1.
VERSION = "3.0.1"
PLACEHOLDER_ACCOUNT, PLACEHOLDER_REGION = "123456789012", "us-east-1"
INVOCATIONS = re.compile(
    rf"arn:aws:apigateway:{PLACEHOLDER_REGION}:lambda:path/([0-9-]+)/functions/arn:aws:lambda:{PLACEHOLDER_REGION}:{PLACEHOLDER_ACCOUNT}"
    r":function:([A-Za-z0-9_-]+)/(\S+)"
)
UNSAID = {
    "access_log": "an access log needs a group of logs of your own: add AccessLogSettings by hand.",
    "openapi_route": "an API's own document is served by no service of AWS.",
    "idle_timeout": "API Gateway closes a connection that is idle for ten minutes.",
    "connection_lifetime": "API Gateway closes a connection after two hours.",
}
SOURCE = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${API}/*"


class ApiWriter:
    """Adds all APIs of an application to a template."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._stages: dict[str, list[Api]] = {}
        for api in apis:
            self._stages.setdefault(f"{api.protocol}/{api.name}", []).append(api)

    def __call__(self, draft: Draft) -> None:
        for resource in draft.manifest.resources:
            if resource.kind in ("api_key", "usage_plan"):
                draft.cannot(f"{resource.kind} {resource.name}", "SAM makes keys and plans of its own for each API; add them by hand.")
            if resource.kind == "authorizer" and resource.options.keys() & {"jwks", "algorithms"}:
                draft.cannot(f"Authorizer {resource.name}", "API Gateway asks the issuer itself for its keys: jwks and algorithms cannot be said.")
        for name, stages in self._stages.items():
            api = stages[0]
            if api.protocol not in ("HTTP", "REST", "WEBSOCKET"):
                continue
            if len(stages) > 1:
                draft.cannot(f"{name}", f"an API of SAM has one stage, and this one has {len(stages)}; the first is written.")
            self._check(draft, api)
            if api.protocol == "WEBSOCKET":
                self._websocket(draft, name, api)
            elif api.routes:
                self._with_document(draft, name, api)

    def _check(self, draft: Draft, api: Api) -> None:
        for option, text in UNSAID.items():
            if option in api.options or (option == "access_log" and api.access_log is not None):
                draft.cannot(str(api), f"{option}: {text}")
        if api.base_path is not None:
            draft.note(f"{api}: base_path={api.base_path!r} is where it is on this machine's port; on AWS a custom domain has it.")

    def _with_document(self, draft: Draft, name: str, api: Api) -> None:
        functions: set[str] = set()
        written = document(api, PLACEHOLDER_ACCOUNT, PLACEHOLDER_REGION)
        body = {member: value for member, value in written.items() if member != "servers"} | {"openapi": VERSION}
        http = api.protocol == "HTTP"
        cors = body.pop("x-amazon-apigateway-cors", None) if http else None
        properties: dict[str, Any] = {"StageName": api.stage.name, "DefinitionBody": older(self._local(draft, body, functions))}
        if api.stage.variables:
            properties["StageVariables" if http else "Variables"] = dict(api.stage.variables)
        if cors is not None:
            properties["CorsConfiguration"] = {member[:1].upper() + member[1:]: value for member, value in cors.items()}
        if not http:
            properties["OpenApiVersion"] = VERSION
        properties |= throttles(api)
        draft.add("api", name, f"AWS::Serverless::{'HttpApi' if http else 'Api'}", properties)
        permissions(draft, name, functions)

    def _local(self, draft: Draft, value: Any, functions: set[str]) -> Any:
        """The document with functions as references to those of the template."""
        if isinstance(value, Mapping):
            return {name: self._local(draft, one, functions) for name, one in value.items() if not name.startswith("x-eventflow-")}
        if isinstance(value, list):
            return [self._local(draft, one, functions) for one in value]
        found = INVOCATIONS.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return value
        functions.add(found[2])
        qualifier = f":{ALIAS}" if draft.manifest.function(found[2]).snap_start else ""
        target = f"${{{draft.name('function', found[2])}.Arn}}{qualifier}"
        return {"Fn::Sub": f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/{found[1]}/functions/{target}/{found[3]}"}

    def _websocket(self, draft: Draft, name: str, api: Api) -> None:
        routes: dict[str, Any] = {}
        authorizer = None
        for route in api.routes:
            if route.function is None:
                continue
            given: dict[str, Any] = {"FunctionArn": draft.arn("function", route.function)}
            if selection := route.options.get("route_response_selection_expression"):
                given["RouteResponseSelectionExpression"] = selection
            if route.options.get("api_key"):
                given["ApiKeyRequired"] = True
            if route.timeout != LONGEST[api.protocol]:
                given["IntegrationTimeout"] = round(route.timeout * 1000)
            authorizer = route.options.get("authorizer", authorizer)
            routes[route.key] = given
        said = api.options.get("route_selection_expression") or "$request.body.action"
        properties: dict[str, Any] = {"StageName": api.stage.name, "RouteSelectionExpression": said, "Routes": routes}
        if authorizer not in (None, "none"):
            properties["Auth"] = self._websocket_auth(draft, str(authorizer))
        if api.stage.variables:
            properties["StageVariables"] = dict(api.stage.variables)
        draft.add("api", name, "AWS::Serverless::WebSocketApi", properties | throttles(api))

    def _websocket_auth(self, draft: Draft, name: str) -> dict[str, Any]:
        if name == "iam":
            return {"AuthType": "AWS_IAM"}
        options = next(one.options for one in draft.manifest.resources if one.kind == "authorizer" and one.name == name)
        sources = options.get("identity_source", ["route.request.header.Authorization"])
        sources = [sources] if isinstance(sources, str) else list(sources)
        return {"AuthType": "CUSTOM", "AuthArn": draft.arn("function", options["function"]), "IdentitySource": sources, "Name": name}


def throttles(api: Api) -> dict[str, Any]:
    """The throttle of the stage, and those of single routes."""
    own = {route: throttle_of(route.options["throttle"]) for route in api.routes if route.options.get("throttle")}
    default = throttle_of(api.options["throttle"]) if api.options.get("throttle") else None
    if api.protocol != "REST":
        found: dict[str, Any] = {"DefaultRouteSettings": default} if default else {}
        return {**found, "RouteSettings": {route.key: one for route, one in own.items()}} if own else found
    settings = [{"ResourcePath": "/*", "HttpMethod": "*", **default}] if default else []
    for route, one in own.items():
        path = "/" + route.path.replace("/", "~1") if route.path != "/" else "/"
        settings.append({"ResourcePath": path, "HttpMethod": "*" if route.method == "ANY" else route.method, **one})
    return {"MethodSettings": settings} if settings else {}


def throttle_of(value: Mapping[str, Any]) -> dict[str, Any]:
    names = {"rate": "ThrottlingRateLimit", "burst": "ThrottlingBurstLimit"}
    return {names[name]: limit for name, limit in value.items() if name in names and limit is not None}


def permissions(draft: Draft, api: str, functions: set[str]) -> None:
    """Let API Gateway invoke the functions that its document names."""
    for function in sorted(functions):
        aliased = draft.manifest.function(function).snap_start  # a snapshot is of a version, which an alias leads to
        properties = {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": f"{draft.name('function', function)}.Alias"} if aliased else draft.ref("function", function),
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": {"Fn::Sub": SOURCE.replace("${API}", f"${{{draft.name('api', api)}}}")},
        }
        draft.add("permission", f"{api}/{function}", "AWS::Lambda::Permission", properties)


def older(value: Any) -> Any:
    """Schemas of 3.1 in the words of 3.0: of several types with null, one that is nullable."""
    if isinstance(value, list):
        return [older(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {name: older(one) for name, one in value.items()}
    kinds = found.get("type")
    if isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds):
        others = [kind for kind in kinds if kind != "null"]
        found |= {"type": others[0]} if len(others) == 1 else {}
        if len(others) == 1 and "null" in kinds:
            found["nullable"] = True
    return found
