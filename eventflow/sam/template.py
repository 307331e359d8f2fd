"""A template as a manifest: read, parameters filled in, SAM translated, every resource mapped, all problems told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eventflow.errors import SettingError
from eventflow.function import Function, Package, checked
from eventflow.manifest import Manifest
from eventflow.sam import apis, functions, permissions, schedules, sources, stores
from eventflow.sam.addresses import local_addresses
from eventflow.sam.configuration import Configuration, env_vars, stack_name
from eventflow.sam.document import Template, read_template
from eventflow.sam.intrinsics import REMOVED, Resolver
from eventflow.sam.options import TemplateOptions
from eventflow.sam.parameters import parameter_values
from eventflow.sam.plan import Plan
from eventflow.sam.problems import Problems, TemplateError
from eventflow.sam.stack import Declared, Stack
from eventflow.sam.translating import translate, uses_sam, with_definitions, with_local_code
from eventflow.sam.translations import kept_translation

Mapper = Callable[[Plan, Declared], None]

#: How each type of resource is mapped, in the order in which they are: what others name comes first.
MAPPERS: Mapping[str, Mapper] = {
    "AWS::SQS::Queue": stores.queue,
    "AWS::DynamoDB::Table": stores.table,
    "AWS::Events::EventBus": stores.bus,
    "AWS::Logs::LogGroup": stores.log_group,
    "AWS::Lambda::LayerVersion": functions.layer,
    "AWS::Lambda::Function": functions.function,
    "AWS::Lambda::Version": functions.version,
    "AWS::Lambda::Alias": functions.alias,
    "AWS::Lambda::Url": functions.url,
    "AWS::Lambda::EventInvokeConfig": functions.invoke_config,
    "AWS::S3::Bucket": stores.bucket,
    "AWS::Lambda::EventSourceMapping": sources.mapping,
    "AWS::Events::Rule": sources.rule,
    "AWS::Scheduler::Schedule": schedules.schedule,
    "AWS::ApiGateway::RestApi": apis.rest_api,
    "AWS::ApiGateway::Stage": apis.stage,
    "AWS::ApiGateway::Deployment": apis.deployment,
    "AWS::ApiGatewayV2::Api": apis.http_api,
    "AWS::ApiGatewayV2::Stage": apis.stage,
    "AWS::IAM::Role": permissions.role,
    "AWS::IAM::Policy": permissions.policy,
    "AWS::IAM::ManagedPolicy": permissions.policy,
    "AWS::SQS::QueuePolicy": permissions.resource_policy,
    "AWS::S3::BucketPolicy": permissions.resource_policy,
    "AWS::Lambda::Permission": permissions.invoke_permission,
    "AWS::CloudFormation::WaitConditionHandle": lambda plan, resource: None,
}

#: The sections of a template and the attributes of a resource that are read, or that change nothing of what functions see.
SECTIONS = (
    "AWSTemplateFormatVersion",
    "Transform",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Globals",
    "Resources",
    "Outputs",
)
ATTRIBUTES = ("Type", "Properties", "Metadata", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Connectors", "IgnoreGlobals")


def manifest_of(path: Path, options: TemplateOptions, check_runtime: Callable[[str], None]) -> Manifest:
    """The application that a template describes. Raises LoadError with everything that is wrong with it or not to be had; ``check_runtime`` raises
    SettingError for a runtime that is not."""
    problems = Problems(options.lenient)
    folder = path.resolve().parent
    configuration = Configuration.read(folder, options.config_env)
    template = with_definitions(read_template(path), folder)
    check_sections(template, problems)
    name = stack_name(options, configuration, folder)
    given = {**configuration.overrides, **options.overrides}
    parameters = parameter_values(template.get("Parameters"), given, problems)
    problems.refuse(str(path))
    variables = {**pseudo_parameters(name, options), **parameters}
    resolver = Resolver(variables, template.get("Mappings") or {}, template.get("Conditions") or {})
    ready = with_local_code(filled_in(template, resolver, problems), folder)
    problems.refuse(str(path))
    if uses_sam(template):
        asked = [ready, given, options.region]
        ready = kept_translation(options.own_folder, asked, lambda: translate(ready, given, options.region, problems))
        problems.refuse(str(path))
    plan = Plan(*stack_of(ready, resolver, name, options), options, folder, problems, check_runtime)
    map_all(plan)
    manifest = finished(plan, template, configuration, env_vars(options), path)
    problems.refuse(str(path))
    return manifest


def pseudo_parameters(stack: str, options: TemplateOptions) -> dict[str, Any]:
    return {
        "AWS::AccountId": options.account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": "aws",
        "AWS::Region": options.region,
        "AWS::StackId": f"arn:aws:cloudformation:{options.region}:{options.account}:stack/{stack}/eventflow",
        "AWS::StackName": stack,
        "AWS::URLSuffix": "amazonaws.com",
    }


def filled_in(template: Template, resolver: Resolver, problems: Problems) -> Template:
    """The template with what parameters, mappings and conditions tell, without the resources whose condition does not hold."""
    resources = {}
    for id, resource in template["Resources"].items():
        where = f"{id} ({resource.get('Type')})" if isinstance(resource, dict) else str(id)
        try:
            if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
                raise TemplateError("it takes a mapping with a Type.")
            check_attributes(where, resource, problems)
            if "Condition" in resource and not resolver.condition(resource["Condition"]):
                continue
            kept = {name: value for name, value in resource.items() if name not in ("Condition", "DependsOn")}
            properties = resolver.resolve(resource.get("Properties") or {})
            if not isinstance(properties, dict):
                raise TemplateError("Properties takes a mapping.")
            resources[id] = {**kept, "Properties": properties}
        except TemplateError as error:
            problems.wrong(where, str(error))
    found = {name: value for name, value in template.items() if name not in ("Conditions", "Outputs", "Rules", "Hooks")}
    try:
        shared = resolver.resolve(template.get("Globals") or {})
        found |= {} if shared is REMOVED else {"Globals": shared}
    except TemplateError as error:
        problems.wrong("Globals", str(error))
    return {**found, "Resources": resources}


def check_sections(template: Template, problems: Problems) -> None:
    for section in template:
        if section in ("Rules", "Hooks"):
            problems.absent(section, "nothing here would heed this section.")
        elif section not in SECTIONS:
            problems.wrong(str(section), f"a template has no such section; it has: {', '.join(SECTIONS)}.")


def check_attributes(where: str, resource: Mapping[str, Any], problems: Problems) -> None:
    """What stands beside ``Properties``."""
    for attribute in resource:
        if attribute in ("CreationPolicy", "UpdatePolicy"):
            problems.absent(f"{where}.{attribute}", "resources are made and changed at once.")
        elif attribute not in ATTRIBUTES:
            problems.wrong(f"{where}.{attribute}", f"a resource has no such attribute; it has: {', '.join(ATTRIBUTES)}.")


def stack_of(template: Template, resolver: Resolver, name: str, options: TemplateOptions) -> tuple[Stack, Resolver]:
    """The resources by logical id, and what carries out the functions that mean them."""
    declared = {
        id: Declared(id, resource["Type"], resource.get("Properties") or {}, resource.get("Metadata") or {})
        for id, resource in template["Resources"].items()
    }
    final = Resolver(resolver.variables, resolver.mappings, resolver.conditions)
    stack = Stack(name, options.account, options.region, options.endpoint, declared, final.resolve)
    final.ref, final.attribute = stack.ref, stack.attribute
    stack.absent = {id for id, resource in declared.items() if resource.type not in MAPPERS}
    apis.identify(stack)
    return stack, final


def map_all(plan: Plan) -> None:
    """Every resource, those that others name before these."""
    for id in plan.stack.absent:
        plan.problems.absent(str(plan.stack.resources[id]), "eventflow does not have this type of resource.")
    for kind, mapper in MAPPERS.items():
        for resource in plan.stack.resources.values():
            if resource.type == kind:
                map_one(plan, resource, mapper)


def map_one(plan: Plan, resource: Declared, mapper: Mapper) -> None:
    try:
        values = plan.resolver.resolve(resource.properties)
        known = Declared(resource.id, resource.type, {} if values is REMOVED else values, resource.metadata)
        mapper(plan, apis.with_addresses(plan.stack, known))
    except (TemplateError, SettingError) as error:
        plan.problems.wrong(str(resource), str(error))


def outputs(template: Template, plan: Plan) -> list[str]:
    """The Outputs of the template, a line each, as ``sam deploy`` shows them. One that names what is left out, or is not here, is not shown."""
    resolver = plan.resolver
    found = []
    for name, output in (template.get("Outputs") or {}).items():
        try:
            if "Condition" in output and not resolver.condition(output["Condition"]):
                continue
            value = local_addresses(resolver.resolve(output["Value"]), apis.mounts(plan.stack))
        except (TemplateError, KeyError, TypeError) as error:
            plan.problems.wrong(f"Output {name}", str(error))
            continue
        if not any(absent in str(value) for absent in map(plan.stack.physical, plan.stack.absent)):
            found.append(f"{name}: {value}")
    return found


def finished(plan: Plan, template: Template, configuration: Configuration, variables: Mapping[str, Mapping[str, str]], path: Path) -> Manifest:
    made = []
    ids = {plan.stack.physical(id): id for id, one in plan.stack.resources.items() if one.type == "AWS::Lambda::Function"}
    for name, settings in plan.functions.items():
        given = {**variables.get("Parameters", {}), **variables.get(ids[name], {}), **variables.get(name, {})}
        settings["environment"] = {key: given.get(key, value) for key, value in settings["environment"].items()}
        if settings.get("folder") is None:
            continue  # it is a problem already
        try:
            made.append(function_of(name, settings))
        except SettingError as error:
            plan.problems.wrong(f"{ids[name]} (AWS::Lambda::Function)", str(error).removeprefix(f"Function {name!r}: "))
    plan.add_ends(made)
    urls = [("url", function.name, function.url) for function in made if function.url is not None]
    for kind, name, options in urls:
        plan.add(kind, name, options)
    plan.notes += outputs(template, plan)
    skipped = [f"left out: {problem}" for problem in plan.problems.skipped]
    return Manifest(
        app=plan.stack.name,
        module="",
        attribute=None,
        root=str(plan.folder),
        functions=tuple(made),
        triggers=tuple(entry for entry in plan.triggers if entry.function in {function.name for function in made}),
        resources=json_plain(plan),
        notes=(*configuration.notes(path), *plan.notes, *skipped),
    )


def function_of(name: str, settings: Mapping[str, Any]) -> Function:
    """``settings`` as the mappers have gathered them: where the code is, what was checked while it was read, and what ``checked`` checks."""
    kept = dict(settings)
    package = Package(kept.pop("runtime"), kept.pop("folder"), tuple(kept.pop("layers")))
    read = {setting: kept.pop(setting) for setting in ("handler", "recursive_loop", "provisioned_concurrency") if setting in kept}
    return Function(package=package, **read, **checked(name, {"name": name, **kept}))


def json_plain(plan: Plan) -> tuple[Any, ...]:
    """The resources as they are after JSON, which is how they reach the daemon."""
    return tuple(type(one)(one.kind, one.name, json.loads(json.dumps(dict(one.options)))) for one in plan.resources)
