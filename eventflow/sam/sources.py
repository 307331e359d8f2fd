"""What starts functions: event source mappings and rules of buses, each as a trigger where one does what they say."""

from __future__ import annotations

import json
from typing import Any

from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared
from eventflow.sam.targets import delivery

DEFAULT_VISIBILITY = 30
TARGET_MEMBERS = ("Id", "Input", "InputPath", "InputTransformer", "SqsParameters")
#: What of a target no trigger does.
RULE_MEMBERS = ("InputPath", "InputTransformer", "RetryPolicy", "DeadLetterConfig")


def mapping(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::EventSourceMapping of a queue or of a table's stream."""
    said = plan.properties(resource)
    said.ignore("Tags")
    arn, function = said.take("EventSourceArn"), plan.function_named(said.take("FunctionName"))
    source = plan.named(arn)
    if source is None or source.kind not in ("queue", "table"):
        if not plan.stack.is_absent(arn):
            said.absent("EventSourceArn", f"{arn!r}: event sources are queues and streams of tables of this account.")
        return
    if function is None:
        if not plan.stack.is_absent(said.take("FunctionName")):
            said.wrong("FunctionName", f"{said.take('FunctionName')!r} is no function of this template.")
        return
    parameters = common(said)
    parameters |= of_queue(said, source.name) if source.kind == "queue" else of_stream(plan, said, source.name)
    enabled = said.truth("Enabled", True)
    said.finish()
    if not enabled:
        plan.note(f"{resource} is disabled: it starts nothing.")
        return
    if source.kind == "queue":
        check_visibility(plan, said, source.name, function)
    plan.trigger(str(resource), function, "queue" if source.kind == "queue" else "stream", **parameters)


def common(said: Properties) -> dict[str, Any]:
    """What both kinds have."""
    responses = said.listed("FunctionResponseTypes")
    if responses not in ([], ["ReportBatchItemFailures"]):
        said.wrong("FunctionResponseTypes", f"{responses!r} is refused: it takes ReportBatchItemFailures.")
    filters = [one.take("Pattern") for one in said.at("FilterCriteria").each("Filters")]
    return {
        "batch_size": said.number("BatchSize"),
        "window": said.number("MaximumBatchingWindowInSeconds"),
        "partial_failures": bool(responses),
        "filters": filters,
    }


def of_queue(said: Properties, queue: str) -> dict[str, Any]:
    return {"name": queue, "maximum_concurrency": said.at("ScalingConfig").number("MaximumConcurrency")}


def of_stream(plan: Plan, said: Properties, table: str) -> dict[str, Any]:
    position = said.text("StartingPosition")
    if position is None:
        said.wrong("StartingPosition", "it is missing; it takes TRIM_HORIZON or LATEST.")
    end = said.at("DestinationConfig").at("OnFailure")
    arn = end.take("Destination")
    failure = None
    if arn is not None:
        found, function = plan.named(arn), plan.function_named(arn)
        failure = f"function:{function}" if function else found.name if found is not None and found.kind == "queue" else None
        if failure is None:
            end.absent("Destination", f"{arn!r}: what is given up goes to a queue of this account or a function of this template.")
    return {
        "table": table,
        "starting_position": position,
        "parallelization_factor": said.number("ParallelizationFactor"),
        "bisect_on_error": said.truth("BisectBatchOnFunctionError"),
        "maximum_retry_attempts": said.number("MaximumRetryAttempts"),
        "maximum_record_age": said.number("MaximumRecordAgeInSeconds"),
        "tumbling_window": said.number("TumblingWindowInSeconds"),
        "on_failure": failure,
    }


def check_visibility(plan: Plan, said: Properties, queue: str, function: str) -> None:
    """Lambda refuses a mapping whose messages would come again while the function still has them."""
    declared = next((one for one in plan.resources if one.kind == "queue" and one.name == queue), None)
    if declared is None:
        return
    visible = int(declared.options.get("Attributes", {}).get("VisibilityTimeout", DEFAULT_VISIBILITY))
    timeout = plan.functions[function].get("timeout", 3)
    if visible < timeout:
        said.wrong("", f"Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds. Give {queue} a longer one.")


def rule(plan: Plan, resource: Declared) -> None:
    """AWS::Events::Rule. One that gives functions the event, or an instant's input, is a trigger of each; any other is a rule of EventBridge's."""
    said = plan.properties(resource)
    said.ignore("Name", "Tags", "RoleArn")
    description = said.text("Description")
    bus = bus_name(plan, said)
    pattern, expression = said.take("EventPattern"), said.text("ScheduleExpression")
    enabled = said.text("State", "ENABLED")
    if enabled not in ("ENABLED", "DISABLED"):
        said.absent("State", f"{enabled!r}: there are ENABLED and DISABLED.")
    if pattern is None and expression is None:
        said.wrong("", "a rule takes an EventPattern or a ScheduleExpression.")
    targets = list(said.each("Targets"))
    triggers = pattern is None or expression is None
    for target in targets:
        triggers = triggers and plan.function_named(target.take("Arn")) is not None and not needs_rule(target, pattern)
    if enabled == "DISABLED":
        plan.note(f"{resource} is disabled: it starts nothing.")
    if not triggers or not targets:
        given = [one for target in targets if (one := target_of(plan, target)) is not None]
        text = pattern if isinstance(pattern, str | None) else json.dumps(pattern)
        params = {"EventPattern": text, "ScheduleExpression": expression, "State": enabled, "Description": description}
        kept = {member: value for member, value in params.items() if value is not None}
        name = plan.stack.physical(resource.id)
        if not any(one.kind == "bus" and one.name == bus for one in plan.resources):
            plan.add("bus", bus)
        plan.add("rule", f"{bus}/{name}", {"bus": bus, "name": name, "rule": kept, "targets": given})
        said.finish()
        return
    starts = [start for target in targets if (start := rule_target(plan, target)) is not None]
    said.finish()
    for where, function, payload in starts if enabled != "DISABLED" else ():
        if pattern is None:
            plan.trigger(where, function, "schedule", expression=expression, input=payload)
        else:
            plan.trigger(where, function, "bus", pattern=pattern, bus=bus)


def needs_rule(target: Properties, pattern: Any) -> bool:
    """Whether the target asks for what only a rule of EventBridge's does."""
    return any(member in target for member in RULE_MEMBERS) or (pattern is not None and "Input" in target)


def target_of(plan: Plan, target: Properties) -> dict[str, Any] | None:
    """The target as PutTargets takes it; None with a problem where there is no such thing here."""
    target.ignore("RoleArn")
    arn, function = target.take("Arn"), plan.function_named(target.take("Arn"))
    named = plan.named(arn)
    if function is None and (named is None or named.kind not in ("queue", "bus", "logs")):
        if not plan.stack.is_absent(arn):
            target.absent("Arn", f"{arn!r}: the target of a rule is a function of this template, or a queue, bus or log group of this account.")
        return None
    members = {name: target.take(name) for name in TARGET_MEMBERS if name in target} | delivery(plan, target)
    if not isinstance(members.get("Id"), str):
        target.wrong("Id", "it is missing; it takes a text that tells the targets of a rule apart.")
        return None
    if isinstance(members.get("Input"), dict | list):
        members["Input"] = json.dumps(members["Input"])
    return {**members, "Arn": arn if function is None else plan.function_arn(function)}


def rule_target(plan: Plan, target: Properties) -> tuple[str, str, Any] | None:
    """Where the target stands, its function, and what that gets in place of the event."""
    target.ignore("Id", "RoleArn")
    arn = target.take("Arn")
    function = plan.function_named(arn)
    payload = target.json("Input")
    if function is None:
        if not plan.stack.is_absent(arn):
            target.absent("Arn", f"{arn!r}: the target of a schedule is a function of this template.")
        return None
    return target.where, function, payload


def bus_name(plan: Plan, said: Properties) -> str:
    value = said.text("EventBusName", "default") or "default"
    found = plan.named(value)
    return found.name if found is not None and found.kind == "bus" else value
