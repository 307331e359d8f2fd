"""The settings of a function as the API's requests have them: checked in Lambda's words, and what nothing here enforces refused by name."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from eventflow.function import JSON, LARGEST_ENVIRONMENT, RESERVED_VARIABLES, TEXT, USUAL_LEVEL
from eventflow.services.functions.names import Place, invalid, wrong
from eventflow.services.functions.records import Settings

#: AWS's quotas: seconds, MB, layers, and MB of /tmp.
LONGEST_TIMEOUT = 900
LEAST_MEMORY, MOST_MEMORY = 128, 10_240
MOST_LAYERS = 5
USUAL_STORAGE = 512
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower(), "x86_64")
ROLE = re.compile(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", re.ASCII)
VARIABLE = re.compile(r"[a-zA-Z]([a-zA-Z0-9_])+", re.ASCII)
HANDLER = re.compile(r"[^\s]{1,128}")
QUEUE = re.compile(r"arn:aws:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(\.fifo)?)", re.ASCII)

#: What says that something is not wanted, for each parameter whose other values nothing here enforces.
HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "PackageType": ("Zip",),
    "VpcConfig": ({}, {"SubnetIds": [], "SecurityGroupIds": []}, {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False}),
    "KMSKeyArn": ("",),
    "TracingConfig": ({}, {"Mode": "PassThrough"}),
    "FileSystemConfigs": ([],),
    "CodeSigningConfigArn": (),
    "ImageConfig": ({},),
    "Architectures": ([ARCHITECTURE],),
    "EphemeralStorage": ({"Size": USUAL_STORAGE},),
    "SnapStart": ({}, {"ApplyOn": "None"}),
    "TenancyConfig": (),
    "CapacityProviderConfig": (),
    "DurableConfig": (),
    "RuntimeConfig": (),
    "AcceleratorConfig": (),
    "PublishTo": (),
}
HINTS = {
    "PackageType": "There are no containers here: pack the code as a zip archive.",
    "ImageUri": "There are no containers here: pack the code as a zip archive.",
    "Architectures": f"This machine is {ARCHITECTURE}.",
}


def refuse_unenforced(params: Mapping[str, Any]) -> None:
    """Raises ServiceError, naming the parameter, for one that is there and would change something that nothing here changes."""
    for name, harmless in HARMLESS.items():
        if params.get(name) is not None and params[name] not in harmless:
            hint = f" {HINTS[name]}" if name in HINTS else ""
            raise wrong(f"eventflow does not support {name}={shown(params[name])} yet; leave it out.{hint}")


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}..."


def settings_of(params: Mapping[str, Any], former: Settings | None, place: Place) -> Settings:
    """What a request makes of a function's settings; without ``former`` it makes the function. Raises ServiceError."""
    refuse_unenforced(params)
    if former is None:
        if not params.get("Runtime") or not params.get("Handler"):
            raise wrong("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
        former = Settings(params["Runtime"], params["Handler"], params["Role"])
    settings = replace(
        former,
        runtime=given(params, "Runtime", former.runtime),
        handler=given(params, "Handler", former.handler),
        role=given(params, "Role", former.role),
        description=given(params, "Description", former.description),
        timeout=given(params, "Timeout", former.timeout),
        memory=given(params, "MemorySize", former.memory),
    )
    if params.get("Environment") is not None:
        settings = replace(settings, environment=environment(params["Environment"].get("Variables") or {}))
    if params.get("Layers") is not None:
        settings = replace(settings, layers=layers(params["Layers"], place))
    if params.get("DeadLetterConfig") is not None:
        settings = replace(settings, dead_letter=dead_letter(params["DeadLetterConfig"].get("TargetArn") or "", place))
    if params.get("LoggingConfig") is not None:
        settings = replace(settings, **logging(params["LoggingConfig"], settings, params["FunctionName"]))
    check(settings)
    return settings


def logging(config: Mapping[str, str], former: Settings, function: str) -> dict[str, Any]:
    """The format and levels of a function's log. What a request leaves out stays, unless the format changes: then it is Lambda's usual level."""
    group = f"/aws/lambda/{function.rpartition(':')[2]}"
    if config.get("LogGroup", group) != group:
        raise wrong(
            f"eventflow does not support LoggingConfig LogGroup={config['LogGroup']!r} yet: the log of this function is {group}; leave it out."
        )
    log_format = config.get("LogFormat", former.log_format)
    if log_format != JSON:
        if config.get("ApplicationLogLevel") or config.get("SystemLogLevel"):
            raise wrong(
                'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the LogFormat to "JSON" '
                "and try again."
            )
        return {"log_format": TEXT, "application_log_level": None, "system_log_level": None}
    return {
        "log_format": JSON,
        "application_log_level": config.get("ApplicationLogLevel") or former.application_log_level or USUAL_LEVEL,
        "system_log_level": config.get("SystemLogLevel") or former.system_log_level or USUAL_LEVEL,
    }


def given(params: Mapping[str, Any], name: str, former: Any) -> Any:
    value = params.get(name)
    return former if value is None else value


def check(settings: Settings) -> None:
    if not HANDLER.fullmatch(settings.handler):
        raise invalid(settings.handler, "handler", "satisfy regular expression pattern: [^\\s]+")
    if not ROLE.fullmatch(settings.role):
        raise invalid(settings.role, "role", f"satisfy regular expression pattern: {ROLE.pattern}")
    if settings.timeout > LONGEST_TIMEOUT:
        raise invalid(str(settings.timeout), "timeout", f"have value less than or equal to {LONGEST_TIMEOUT}")
    if settings.timeout < 1:
        raise invalid(str(settings.timeout), "timeout", "have value greater than or equal to 1")
    if settings.memory > MOST_MEMORY:
        raise invalid(str(settings.memory), "memorySize", f"have value less than or equal to {MOST_MEMORY}")
    if settings.memory < LEAST_MEMORY:
        raise invalid(str(settings.memory), "memorySize", f"have value greater than or equal to {LEAST_MEMORY}")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """A function's variables. Lambda measures them as JSON."""
    for name in variables:
        if not VARIABLE.fullmatch(name):
            shown_names = ", ".join(variables)
            raise invalid(
                shown_names, "environment.variables", "satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
            )
    reserved = sorted(RESERVED_VARIABLES & variables.keys())
    if reserved:
        raise wrong(
            "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys "
            f"that are currently not supported for modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), ensure_ascii=False, separators=(",", ":"))
    if len(measured.encode()) > LARGEST_ENVIRONMENT:
        raise wrong(
            "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. "
            f"String measured: {measured[:LARGEST_ENVIRONMENT]}"
        )
    if any("\0" in text for text in variables.values()):
        raise wrong("Lambda was unable to configure your environment variables because a value has a null character in it.")
    return dict(variables)


def layers(arns: list[str], place: Place) -> tuple[str, ...]:
    if len(arns) > MOST_LAYERS:
        raise wrong(f"You cannot reference more than {MOST_LAYERS} layers.")
    names: dict[str, str] = {}
    for arn in arns:
        name, _version = place.layer_version(arn)
        if name in names:
            raise wrong(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"The layer {name} is referenced as {names[name]} and {arn}."
            )
        names[name] = arn
    return tuple(arns)


def dead_letter(arn: str, place: Place) -> str | None:
    """The ARN of a standard queue of this place; an empty one takes the setting back."""
    if not arn:
        return None
    match = QUEUE.fullmatch(arn)
    if match is None or match["region"] != place.region or match["account"] != place.account:
        raise wrong(
            f"eventflow does not support DeadLetterConfig TargetArn {arn!r}: it takes the ARN of an SQS queue "
            f"(arn:aws:sqs:{place.region}:{place.account}:<name>), and no topics yet."
        )
    if match["name"].endswith(".fifo"):
        raise wrong("The provided dead letter queue is a FIFO queue; Lambda sends dead letters to standard queues only.")
    return arn
