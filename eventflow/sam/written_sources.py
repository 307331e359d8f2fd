"""Triggers of an application as events of its functions in a template. Routes are written with their API."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from eventflow.trigger import Resource

if TYPE_CHECKING:
    from eventflow.sam.writer import Draft

Parameters = dict[str, Any]


def event(draft: Draft, function: str, kind: str, properties: Mapping[str, Any]) -> None:
    """Add an event to a function, under a name that says its kind."""
    events = draft.resources[draft.name("function", function)]["Properties"].setdefault("Events", {})
    number = sum(1 for one in events.values() if one["Type"] == kind) + 1
    given = {name: value for name, value in properties.items() if value is not None}
    events[f"{kind}Event{number}"] = {"Type": kind, "Properties": given}


def declared(draft: Draft, kind: str, name: str) -> None:
    """What only a trigger names is made for it, as it is here."""
    from eventflow.sam.written_stores import STORES

    if not draft.has(kind, name):
        STORES[kind](draft, Resource(kind, name))


def bucket(draft: Draft, function: str, parameters: Parameters) -> None:
    """S3 takes one prefix and one suffix: several of them are several events."""
    name = parameters["name"]
    declared(draft, "bucket", name)
    for prefix, suffix in itertools.product(parameters["prefix"] or [""], parameters["suffix"] or [""]):
        rules = [{"Name": kind, "Value": value} for kind, value in (("prefix", prefix), ("suffix", suffix)) if value]
        properties = {
            "Bucket": draft.ref("bucket", name),
            "Events": [f"s3:{one}" for one in parameters["events"]],
            "Filter": {"S3Key": {"Rules": rules}} if rules else None,
        }
        event(draft, function, "S3", properties)
    if parameters["watch"] != "auto" or parameters["settle"] != 1.0:
        draft.note(f"Function {function}: watch and settle of Bucket({name!r}) say how this machine's folder is looked at.")


def schedule(draft: Draft, function: str, parameters: Parameters) -> None:
    """A rule, whose event is the one that is sent here; EventBridge's Scheduler for what rules cannot do, which sends what ``input`` says."""
    expression, zone, given = parameters["expression"], parameters["timezone"], parameters["input"]
    where = f"Function {function}, Schedule({expression!r})"
    if parameters["catch_up"] != "skip":
        draft.cannot(where, f"catch_up={parameters['catch_up']!r}: EventBridge does not catch up.")
    text = None if given is None else json.dumps(given)
    if zone == "UTC" and not expression.startswith("at("):
        event(draft, function, "Schedule", {"Schedule": expression, "Input": text})
        return
    if given is None:
        draft.cannot(
            where, "with a timezone or at(...) it needs EventBridge's Scheduler, which has no event of its own: give it input=..., such as {}."
        )
    event(draft, function, "ScheduleV2", {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, "Input": text or "{}"})


def mapping(parameters: Parameters) -> Parameters:
    """What queues and streams have in common."""
    filters = [{"Pattern": one if isinstance(one, str) else json.dumps(one)} for one in parameters["filters"]]
    return {
        "BatchSize": parameters["batch_size"],
        "MaximumBatchingWindowInSeconds": parameters["window"] or None,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if parameters["partial_failures"] else None,
        "FilterCriteria": {"Filters": filters} if filters else None,
    }


def queue(draft: Draft, function: str, parameters: Parameters) -> None:
    name = parameters["name"]
    if parameters["endpoint_url"] is not None or "://" in name:
        draft.cannot(f"Function {function}, Queue({name!r})", "a queue elsewhere is no resource of this application.")
        return
    declared(draft, "queue", name)
    most = parameters["maximum_concurrency"]
    scaling = {"MaximumConcurrency": most} if most is not None else None
    event(draft, function, "SQS", {"Queue": draft.arn("queue", name), **mapping(parameters), "ScalingConfig": scaling})


def stream(draft: Draft, function: str, parameters: Parameters) -> None:
    end = parameters["on_failure"]
    properties = {
        "Stream": {"Fn::GetAtt": [draft.name("table", parameters["table"]), "StreamArn"]},
        "StartingPosition": parameters["starting_position"],
        **mapping(parameters),
        "ParallelizationFactor": parameters["parallelization_factor"] if parameters["parallelization_factor"] != 1 else None,
        "BisectBatchOnFunctionError": parameters["bisect_on_error"] or None,
        "MaximumRetryAttempts": parameters["maximum_retry_attempts"] if parameters["maximum_retry_attempts"] != -1 else None,
        "MaximumRecordAgeInSeconds": parameters["maximum_record_age"] if parameters["maximum_record_age"] != -1 else None,
        "TumblingWindowInSeconds": parameters["tumbling_window"] or None,
    }
    if end is not None and end.startswith("function:"):
        draft.cannot(
            f"Function {function}, Stream({parameters['table']!r})", "on_failure: Lambda tells a queue of discarded records, not a function."
        )
    elif end is not None and end.startswith("bucket:"):
        draft.cannot(f"Function {function}, Stream({parameters['table']!r})", "on_failure: a bucket goes with a mapping that Lambda's API made.")
    elif end is not None:
        declared(draft, "queue", end)
        properties["DestinationConfig"] = {"OnFailure": {"Type": "SQS", "Destination": draft.arn("queue", end)}}
    event(draft, function, "DynamoDB", properties)


def bus(draft: Draft, function: str, parameters: Parameters) -> None:
    name = parameters["bus"]
    declared(draft, "bus", name)
    given = None if name == "default" else draft.ref("bus", name)
    event(draft, function, "EventBridgeRule", {"Pattern": parameters["pattern"], "EventBusName": given})


def route(draft: Draft, function: str, parameters: Parameters) -> None:
    """Written with its API."""
    if parameters.get("stream"):
        draft.cannot(f"Function {function}, Rest({parameters['route']!r})", "Lambda's own Python runtime streams no responses.")


SOURCES: Mapping[str, Callable[[Draft, str, Parameters], None]] = {
    "bucket": bucket,
    "schedule": schedule,
    "queue": queue,
    "stream": stream,
    "bus": bus,
    "http": route,
    "rest": route,
    "websocket": route,
}
