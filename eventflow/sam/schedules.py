"""Schedules of EventBridge Scheduler: one that gives a function its input is a trigger, any other is Scheduler's own."""

from __future__ import annotations

import json
from typing import Any

from eventflow.cron import ExpressionError
from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared
from eventflow.sam.targets import bounded, delivery
from eventflow.timetable import parse_timetable, parse_zone

#: Minutes (Scheduler API reference, FlexibleTimeWindow).
LONGEST_WINDOW = 1440
#: How the attributes begin that Scheduler puts into an input: the function would get them as they stand.
CONTEXT = "<aws.scheduler."


def schedule(plan: Plan, resource: Declared) -> None:
    """AWS::Scheduler::Schedule."""
    said = plan.properties(resource)
    said.ignore("Name")
    said.only("GroupName", "default", why="a template's schedules are in the group default.")
    description, state = said.text("Description"), said.text("State", "ENABLED")
    expression, zone = said.text("ScheduleExpression"), said.text("ScheduleExpressionTimezone")
    window, target = window_of(said.at("FlexibleTimeWindow")), said.at("Target")
    if state not in ("ENABLED", "DISABLED"):
        said.wrong("State", f"{state!r} is refused: it takes ENABLED or DISABLED.")
    if expression is None:
        said.wrong("ScheduleExpression", "it is missing.")
        return
    if state == "DISABLED":
        plan.note(f"{resource} is disabled: it starts nothing.")
    function = plan.function_named(target.take("Arn"))
    if function is not None and window["Mode"] == "OFF" and is_plain(target):
        target.ignore("RoleArn")
        given = target.json("Input")
        said.finish()
        if state == "ENABLED":
            plan.trigger(str(resource), function, "schedule", expression=expression, timezone=zone, input=given)
        return
    check_expression(said, expression, zone)
    params = {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, "State": state, "Description": description}
    made = target_of(plan, target, function)
    said.finish()
    if made is not None:
        kept = {member: value for member, value in params.items() if value is not None}
        plan.add("schedule", plan.stack.physical(resource.id), {**kept, "FlexibleTimeWindow": window, "Target": made})


def is_plain(target: Properties) -> bool:
    """Whether nothing is asked for but that the function gets an input: without one it gets Scheduler's own event."""
    return "Input" in target and CONTEXT not in str(target.values["Input"]) and not {"RetryPolicy", "DeadLetterConfig"} & target.values.keys()


def window_of(said: Properties) -> dict[str, Any]:
    mode, minutes = said.text("Mode", "OFF"), bounded(said, "MaximumWindowInMinutes", 1, LONGEST_WINDOW)
    if mode not in ("OFF", "FLEXIBLE") or (mode == "FLEXIBLE") != (minutes is not None):
        said.wrong("", "it takes Mode OFF, or FLEXIBLE with MaximumWindowInMinutes.")
        return {"Mode": "OFF"}
    return {"Mode": "OFF"} if minutes is None else {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes}


def check_expression(said: Properties, expression: str, zone: str | None) -> None:
    try:
        parse_timetable(expression, parse_zone(zone or "UTC"))
    except ExpressionError as error:
        said.wrong("ScheduleExpression", f"{expression!r} is refused: {error.reason}.")
    except ValueError as error:
        said.wrong("ScheduleExpressionTimezone", f"{error}.")


def target_of(plan: Plan, target: Properties, function: str | None) -> dict[str, Any] | None:
    """The target as CreateSchedule takes it; None with a problem where there is no such thing here."""
    target.ignore("RoleArn")
    arn = target.take("Arn")
    named = plan.named(arn)
    found = {"Arn": arn if function is None else plan.function_arn(function), **delivery(plan, target)}
    if "Input" in target:
        given = target.take("Input")
        found["Input"] = given if isinstance(given, str) else json.dumps(given)
    sqs, events = target.at("SqsParameters"), target.at("EventBridgeParameters")
    own = {
        "SqsParameters": {"MessageGroupId": sqs.text("MessageGroupId")},
        "EventBridgeParameters": {"DetailType": events.text("DetailType"), "Source": events.text("Source")},
    }
    found |= {member: value for member, value in own.items() if member in target}
    if function is None and (named is None or named.kind not in ("queue", "bus")):
        if not plan.stack.is_absent(arn):
            target.absent("Arn", f"{arn!r}: the target of a schedule is a function of this template, or a queue or bus of this account.")
        return None
    return found
