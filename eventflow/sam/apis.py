"""APIs of a template: each is made of its OpenAPI document, which SAM writes where the template does not, and of its stage."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from eventflow.api_ids import api_id
from eventflow.sam.addresses import GATEWAY, local_addresses
from eventflow.sam.cors import cors_options
from eventflow.sam.openapi import document_of
from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties
from eventflow.sam.stack import HTTP, REST, Declared, Stack

PROTOCOLS = {REST: "REST", HTTP: "HTTP"}
STAGES = {"AWS::ApiGateway::Stage": ("RestApiId", REST), "AWS::ApiGatewayV2::Stage": ("ApiId", HTTP)}
DEFAULT_API = "default"
DEFAULT_STAGE = "$default"
#: What SAM calls a stage that API Gateway asks for at each deployment, and that nobody uses.
SAM_STAGE = "Stage"
#: The qualifier of a version or an alias in the address of a function's invocations: it means the function itself.
QUALIFIER = re.compile(r"(:function:[A-Za-z0-9_-]+)(?::[A-Za-z0-9$_-]+)?(?=/invocations|/response-streaming-invocations)")


def api_name(stack: Stack, id: str) -> str:
    """``default``, which has its place at the root of the gateway, for the only API of its protocol; else the logical id in small letters."""
    kind = stack.resources[id].type
    alike = [one.id for one in stack.resources.values() if one.type == kind]
    return DEFAULT_API if alike == [id] else re.sub(r"[^a-z0-9-]", "", id.lower())[:63]


def identify(stack: Stack) -> None:
    """Give the APIs their ids and functions' URLs their addresses, which other resources may name."""
    apis = [one for one in stack.resources.values() if one.type in PROTOCOLS]
    stack.api_ids = {one.id: api_id(stack.account, stack.name, PROTOCOLS[one.type], api_name(stack, one.id)) for one in apis}
    stack.url_of = lambda function: f"{GATEWAY}/_url/{stack.physical(function)}/"


def mount(stack: Stack, id: str, stage: str) -> str:
    """Where a stage of an API is on the gateway's port."""
    name = api_name(stack, id)
    own = "" if stage == DEFAULT_STAGE else f"/{stage}"
    return own if name == DEFAULT_API else f"/{name}{own}"


def stages_of(stack: Stack, id: str) -> dict[str, Declared]:
    """The stages of an API by name."""
    found = {}
    for one in stack.resources.values():
        member, kind = STAGES.get(one.type, ("", ""))
        if kind == stack.resources[id].type and stack.text(one.properties.get(member)) == stack.api_ids[id]:
            found[str(stack.text(one.properties.get("StageName", "")))] = one
    return found


def with_addresses(stack: Stack, resource: Declared) -> Declared:
    """A function's properties with the addresses of the template's APIs as they are here."""
    if resource.type != "AWS::Lambda::Function":
        return resource
    return dataclasses.replace(resource, properties=local_addresses(resource.properties, mounts(stack)))


def mounts(stack: Stack) -> Mapping[str, Callable[[str | None], str]]:
    """For each API's id, the path on the gateway of an address whose path begins with what may be a stage."""

    def of(id: str) -> Callable[[str | None], str]:
        def path(first: str | None) -> str:
            if first in stages_of(stack, id):
                return mount(stack, id, str(first))
            return mount(stack, id, DEFAULT_STAGE) + ("" if first is None else f"/{first}")

        return path

    return {stack.api_ids[id]: of(id) for id in stack.api_ids}


def rest_api(plan: Plan, resource: Declared) -> None:
    """AWS::ApiGateway::RestApi with a document."""
    said = plan.properties(resource)
    said.ignore("Name", "Description", "Tags", "FailOnWarnings", "Mode")
    endpoint = said.at("EndpointConfiguration")
    endpoint.ignore("VpcEndpointIds", "IpAddressType")
    for kind in endpoint.listed("Types"):
        if kind not in ("EDGE", "REGIONAL"):
            endpoint.absent("Types", f"{kind!r}: the gateway has one address, which is no private network's.")
    said.only("DisableExecuteApiEndpoint", False, "false", why="an API always has its address.")
    options: dict[str, Any] = {}
    types = [str(one).replace("~1", "/") for one in said.listed("BinaryMediaTypes")]
    for option, value in (
        ("binary_media_types", types or None),
        ("minimum_compression_size", said.number("MinimumCompressionSize")),
        ("api_key_source", said.text("ApiKeySourceType")),
    ):
        if value is not None:
            options[option] = value
    add_api(plan, resource, said, options)


def http_api(plan: Plan, resource: Declared) -> None:
    """AWS::ApiGatewayV2::Api with a document."""
    said = plan.properties(resource)
    said.ignore("Name", "Description", "Tags", "FailOnWarnings", "Version", "IpAddressType")
    said.only("BasePath", "ignore", why="routes are where the document's paths say.")
    said.only("ProtocolType", "HTTP", why="a template's WebSocket API is not read yet; declare it in Python with WebSocket triggers.")
    said.only("DisableExecuteApiEndpoint", False, "false", why="an API always has its address.")
    add_api(plan, resource, said, cors_options(said, "CorsConfiguration"))


def add_api(plan: Plan, resource: Declared, said: Properties, options: dict[str, Any]) -> None:
    body, stack = said.take("Body"), plan.stack
    said.finish()
    if not isinstance(body, Mapping):
        said.absent("Body", "eventflow makes APIs of their OpenAPI documents: AWS::Serverless::Api and HttpApi have one, others take Body.")
        return
    stages = {name: stage_options(plan, stage, resource.type) for name, stage in stages_of(stack, resource.id).items()}
    if not stages:
        said.wrong("", "it has no stage, so nothing would be served.")
        return
    protocol, name = PROTOCOLS[resource.type], api_name(stack, resource.id)
    # The only API is at its stage's name as on AWS, and its events say so; a base path is for others, and is in events as that of a custom domain.
    placed = {stage: own if name == DEFAULT_API else {**own, "base_path": mount(stack, resource.id, stage)} for stage, own in stages.items()}
    if len(placed) == 1:
        ((stage, own),) = placed.items()
        options |= {"stage": stage, **own}
    else:
        options["stages"] = placed
    plan.add("api", f"{protocol}/{name}", {**options, "openapi": document_of(unqualified(body))})


def unqualified(value: Any) -> Any:
    """Addresses of invocations without a version or alias."""
    if isinstance(value, str):
        return QUALIFIER.sub(r"\1", value) if ":function:" in value else value
    if isinstance(value, list):
        return [unqualified(one) for one in value]
    return {name: unqualified(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def stage_options(plan: Plan, stage: Declared, kind: str) -> dict[str, Any]:
    """What a stage says, in the words of the API's options."""
    values = plan.stack.text(stage.properties)
    said = Properties(str(stage), values, plan.problems)
    said.ignore("RestApiId", "ApiId", "StageName", "DeploymentId", "Description", "Tags", "AutoDeploy")
    options: dict[str, Any] = {}
    variables = said.take("Variables" if kind == REST else "StageVariables")
    if variables:
        options["stage_variables"] = {name: str(value) for name, value in variables.items()}
    said.only("TracingEnabled", False, "false", why="there is no X-Ray.")
    said.only("CacheClusterEnabled", False, "false", why="responses are not cached.")
    throttles = list(said.each("MethodSettings")) if kind == REST else [said.at("DefaultRouteSettings")]
    for one in throttles:
        if throttle := throttle_of(one, kind):
            options["throttle"] = throttle
    said.finish()
    return options


def throttle_of(said: Properties, kind: str) -> dict[str, Any] | None:
    if kind == REST:
        said.only("ResourcePath", "/*", "/", why="a throttle is the whole stage's.")
        said.only("HttpMethod", "*", why="a throttle is the whole stage's.")
        for member in ("DataTraceEnabled", "MetricsEnabled", "CachingEnabled"):
            said.only(member, False, "false", why="there is no such thing.")
        said.only("LoggingLevel", "OFF", why="there are no execution logs.")
    else:
        said.only("DetailedMetricsEnabled", False, "false", why="there are no metrics of routes.")
    rate, burst = said.take("ThrottlingRateLimit"), said.number("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return None
    return {name: value for name, value in (("rate", float(rate) if rate is not None else None), ("burst", burst)) if value is not None}


def stage(plan: Plan, resource: Declared) -> None:
    """Stages are read with their API, which must be in the template."""
    said = plan.properties(resource)
    member, _kind = STAGES[resource.type]
    if (api := said.take(member)) not in plan.stack.api_ids.values():
        said.wrong(member, f"{api!r} is no API of this template.")


def deployment(plan: Plan, resource: Declared) -> None:
    """AWS::ApiGateway::Deployment: what is declared is what is served."""
    said = plan.properties(resource)
    said.ignore("RestApiId", "Description")
    # SAM's own deployments name one for nothing; others would make a stage by it.
    said.only("StageName", SAM_STAGE, why="stages are resources of their own here: AWS::ApiGateway::Stage.")
    said.finish()
