"""Functions of a template: AWS::Lambda::Function with its URL, asynchronous configuration, layers, versions and aliases."""

from __future__ import annotations

import json
import platform
from typing import Any

from eventflow.errors import SettingError
from eventflow.function import Destination
from eventflow.sam.code import inline_code, local_code
from eventflow.sam.cors import cors_options
from eventflow.sam.plan import Plan
from eventflow.sam.problems import TemplateError
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared

LARGEST_INLINE = 4_194_304
LOOPS = ("Terminate", "Allow")
#: What all functions may be provisioned with and have reserved: 100 of an account's 1,000 concurrent executions stay unreserved (Lambda quotas).
MOST_PROVISIONED = 900


def function(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::Function."""
    said, name = plan.properties(resource), plan.stack.physical(resource.id)
    said.ignore("FunctionName", "Tags")
    settings: dict[str, Any] = {"environment": variables(said), "description": said.text("Description", "")}
    for member, setting in (("MemorySize", "memory"), ("Timeout", "timeout"), ("ReservedConcurrentExecutions", "reserved_concurrency")):
        value = said.number(member)
        if value is not None:
            settings[setting] = value
    settings["recursive_loop"] = said.text("RecursiveLoop", "Terminate")
    if settings["recursive_loop"] not in LOOPS:
        said.wrong("RecursiveLoop", f"{settings['recursive_loop']!r} is refused: it takes {' or '.join(LOOPS)}.")
    dead_letters(plan, said, settings)
    snap_start(said, settings)
    logs(said, settings, name)
    with_package(plan, said, settings)
    role(plan, said, name)
    architecture(plan, said)
    refuse_others(said)
    said.finish()
    plan.functions[name] = settings


def with_package(plan: Plan, said: Properties, settings: dict[str, Any]) -> None:
    runtime, handler = said.text("Runtime"), said.text("Handler")
    said.at("Code").ignore("S3Bucket", "S3Key", "S3ObjectVersion", "ZipFile")
    if said.text("PackageType", "Zip") != "Zip" or "ImageUri" in said.at("Code"):
        said.absent("PackageType", "eventflow has no containers; it takes code as a folder or a .zip.")
        said.ignore("ImageConfig", "Code")
        said.at("Code").ignore("ImageUri")
        return
    if runtime is None:
        said.wrong("Runtime", "it is missing; it takes Lambda's name of a runtime, such as python3.13.")
        return
    try:
        plan.check_runtime(runtime)
    except SettingError as error:
        said.absent("Runtime", str(error))
        return
    if handler is None and not runtime.startswith("provided"):
        said.wrong("Handler", "it is missing; it takes a file and a function, such as app.handler.")
        return
    settings["handler"] = handler or "bootstrap"
    settings["runtime"] = runtime
    settings["folder"] = folder_of(plan, said, runtime)
    settings["layers"] = layers(plan, said)


def folder_of(plan: Plan, said: Properties, runtime: str) -> str | None:
    """The folder of the code that ``Code`` names; None with a problem where there is none."""
    code = said.at("Code")
    inline = code.text("ZipFile")
    if inline is not None:
        if len(inline.encode()) > LARGEST_INLINE or runtime.startswith("provided"):
            code.wrong("ZipFile", f"code in the template is for Python and Node, and has at most {LARGEST_INLINE} bytes.")
            return None
        return str(inline_code(plan.options.own_folder, inline, "index.py" if runtime.startswith("python") else "index.js"))
    return code_folder(plan, code)


def code_folder(plan: Plan, code: Properties) -> str | None:
    bucket, key = code.take("S3Bucket"), code.take("S3Key")
    code.ignore("S3ObjectVersion")
    try:
        return str(local_code(plan.options.own_folder, bucket, key))
    except TemplateError as error:
        code.wrong("", str(error))
        return None


def variables(said: Properties) -> dict[str, str]:
    """Environment variables as texts. SAM and CloudFormation take numbers and truth values in their place."""
    found = {}
    given = said.at("Environment").at("Variables")
    given.ignore(*given.values)
    for name, value in given.values.items():
        if isinstance(value, dict | list):
            said.wrong(f"Environment.Variables.{name}", "it takes a text.")
            continue
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        if ":table/" in text and text.endswith("/stream/*"):
            said.absent(f"Environment.Variables.{name}", "a stream gets its ARN when its table is made; ask DescribeTable for LatestStreamArn.")
        found[name] = text
    return found


def dead_letters(plan: Plan, said: Properties, settings: dict[str, Any]) -> None:
    config = said.at("DeadLetterConfig")
    arn = config.take("TargetArn")
    if arn is None:
        return
    found = plan.named(arn)
    if found is None or found.kind != "queue":
        config.absent("TargetArn", f"{arn!r}: a dead-letter queue is a queue of this account; there are no topics.")
        return
    settings["dead_letter_queue"] = found.name


def logs(said: Properties, settings: dict[str, Any], name: str) -> None:
    config = said.at("LoggingConfig")
    for member, setting in (("LogFormat", "log_format"), ("ApplicationLogLevel", "application_log_level"), ("SystemLogLevel", "system_log_level")):
        value = config.text(member)
        if value is not None:
            settings[setting] = value
    config.only("LogGroup", f"/aws/lambda/{name}", why="each function has its own log.")


def snap_start(said: Properties, settings: dict[str, Any]) -> None:
    config = said.at("SnapStart")
    applied = config.text("ApplyOn", "None")
    if applied not in ("None", "PublishedVersions"):
        config.wrong("ApplyOn", f"{applied!r} is refused: it takes PublishedVersions or None.")
    elif applied == "PublishedVersions":
        if (said.text("Runtime") or "").startswith("python"):
            settings["snap_start"] = True
        else:
            config.absent("ApplyOn", "snapshots are made of Python functions.")


def role(plan: Plan, said: Properties, name: str) -> None:
    arn = said.take("Role")
    plan.roles.setdefault(str(arn), []).append(name)


def layers(plan: Plan, said: Properties) -> list[str]:
    """The folders of the layers, which are layers of the template."""
    found = []
    for arn in said.listed("Layers"):
        layer = next(
            (one for one in plan.stack.resources.values() if one.type == "AWS::Lambda::LayerVersion" and plan.stack.arn(one.id) == arn), None
        )
        if layer is None:
            said.absent("Layers", f"{arn!r} is no layer of this template, and eventflow cannot fetch one from AWS.")
        elif (folder := code_folder(plan, plan.properties(layer).at("Content"))) is not None:
            found.append(folder)
    return found


def architecture(plan: Plan, said: Properties) -> None:
    """There is one, the machine's: a function that says another is told of it, for only what is compiled minds."""
    asked = said.listed("Architectures")
    if asked not in ([], ["x86_64"], ["arm64"]):
        said.wrong("Architectures", f"{asked!r} is refused: it takes one of x86_64 and arm64.")
    elif asked and asked[0] != (own := "arm64" if platform.machine() in ("aarch64", "arm64") else platform.machine()):
        plan.note(f"{said.where}.Architectures: it says {asked[0]}, and the function runs on this machine's {own}.")


def refuse_others(said: Properties) -> None:
    """What Lambda has and nothing here enforces, unless it asks for what is so anyhow."""
    storage = said.at("EphemeralStorage")
    storage.only("Size", 512, "512", why="the size of /tmp is not limited.")
    tracing = said.at("TracingConfig")
    tracing.only("Mode", "PassThrough", why="there is no X-Ray.")
    runtime = said.at("RuntimeManagementConfig")
    runtime.only("UpdateRuntimeOn", "Auto", why="the runtime is the machine's own.")


# What belongs to a function that is there already.


def url(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::Url."""
    said = plan.properties(resource)
    said.ignore("Qualifier")
    name = owner(plan, said, "TargetFunctionArn")
    options = {"auth": said.text("AuthType", "AWS_IAM"), "invoke_mode": said.text("InvokeMode", "BUFFERED"), **cors_options(said, "Cors")}
    said.finish()
    if name is not None:
        plan.functions[name]["url"] = options


def invoke_config(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::EventInvokeConfig."""
    said = plan.properties(resource)
    said.ignore("Qualifier")
    name = owner(plan, said, "FunctionName")
    found: dict[str, Any] = {"retries": said.number("MaximumRetryAttempts"), "maximum_event_age": said.number("MaximumEventAgeInSeconds")}
    ends = said.at("DestinationConfig")
    for member, setting in (("OnSuccess", "on_success"), ("OnFailure", "on_failure")):
        end = ends.at(member)
        arn = end.take("Destination")
        if arn is not None:
            found[setting] = destination(plan, end, arn)
    said.finish()
    if name is not None:
        plan.functions[name].update({setting: value for setting, value in found.items() if value is not None})


def destination(plan: Plan, end: Properties, arn: Any) -> Destination | None:
    found = plan.named(arn)
    if found is not None and found.kind in ("queue", "bus", "bucket"):
        return Destination(found.kind, found.name)
    if (name := plan.function_named(arn)) is not None:
        return Destination("function", name)
    if not plan.stack.is_absent(arn):
        end.absent("Destination", f"{arn!r}: a destination is a queue, bus or bucket of this account, or a function of this template.")
    return None


def owner(plan: Plan, said: Properties, member: str) -> str | None:
    """The function that a resource belongs to; None with a problem where the template has none."""
    value = said.take(member)
    name = plan.function_named(value)
    if name is None and plan.stack.is_absent(value):
        return None
    if name is None:
        said.wrong(member, f"{value!r} is no function of this template.")
    return name


def version(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::Version: the code that runs is always the template's."""
    said = plan.properties(resource)
    provision(plan, said, owner(plan, said, "FunctionName"))
    said.ignore("Description", "CodeSha256")
    said.at("RuntimePolicy").only("UpdateRuntimeOn", "Auto", why="the runtime is the machine's own.")
    said.finish()


def alias(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::Alias: it means the function itself."""
    said = plan.properties(resource)
    provision(plan, said, owner(plan, said, "FunctionName"))
    said.ignore("Name", "FunctionVersion", "Description")
    said.finish()


def provision(plan: Plan, said: Properties, name: str | None) -> None:
    """``ProvisionedConcurrencyConfig`` of a version or an alias: environments of the function itself, which both mean."""
    config = said.at("ProvisionedConcurrencyConfig")
    wanted = config.number("ProvisionedConcurrentExecutions", 0) or 0
    if "ProvisionedConcurrencyConfig" not in said or name is None:
        return
    settings = plan.functions[name]
    total, reserved = settings.get("provisioned_concurrency", 0) + wanted, settings.get("reserved_concurrency")
    others = sum(one.get("reserved_concurrency") or one.get("provisioned_concurrency", 0) for other, one in plan.functions.items() if other != name)
    if wanted < 1:
        config.wrong("ProvisionedConcurrentExecutions", f"{wanted} is refused: it takes 1 or more.")
    elif settings.get("snap_start"):
        config.wrong("", "a function has either SnapStart or provisioned concurrency.")
    elif reserved is not None and total > reserved:
        config.wrong("ProvisionedConcurrentExecutions", f"{total} is refused: it is more than the function has reserved ({reserved}).")
    elif reserved is None and others + total > MOST_PROVISIONED:
        config.wrong("ProvisionedConcurrentExecutions", f"{total} is refused: all functions together have at most {MOST_PROVISIONED}.")
    else:
        settings["provisioned_concurrency"] = total


def layer(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::LayerVersion."""
    said = plan.properties(resource)
    said.ignore("LayerName", "Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
    code_folder(plan, said.at("Content"))
    said.finish()
