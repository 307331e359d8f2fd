"""The mappings that the application declares by its triggers, as Lambda's API shows them. They are changed where they are declared."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from eventflow.services.mappings.names import FunctionName
from eventflow.trigger import Trigger

#: In which the UUIDs of declared mappings are made, from function and trigger: the same after each start.
NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
FUNCTION, BUCKET = "function:", "bucket:"


@dataclass(frozen=True)
class Declared:
    """``source`` is the queue's ARN, or the table's name, whose newest stream the trigger reads."""

    uuid: str
    function: FunctionName
    trigger: Trigger
    kind: str
    source: str
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.trigger)


def declared(triggers: Iterable[tuple[str, Trigger]], region: str, account: str) -> list[Declared]:
    found: dict[str, Declared] = {}
    for function, trigger in triggers:
        if trigger.kind not in ("queue", "stream"):
            continue
        parameters = trigger.parameters()
        if trigger.kind == "queue":
            source, settings = queue_arn(parameters, region, account), queue_settings(parameters)
        else:
            source, settings = parameters["table"], stream_settings(parameters, region, account)
        identity = f"{function}/{trigger.kind}/{source}"
        while (name := str(uuid.uuid5(NAMESPACE, identity))) in found:  # a second one between the same two, which Lambda would not have
            identity += "+"
        found[name] = Declared(name, FunctionName(function), trigger, trigger.kind, source, settings)
    return list(found.values())


def queue_arn(parameters: Mapping[str, Any], region: str, account: str) -> str:
    """The ARN of a queue here, or of one elsewhere as its URL and the trigger's region tell it."""
    path = [part for part in urlsplit(parameters["name"]).path.split("/") if part]
    if len(path) > 1:
        account = path[-2]
    return f"arn:aws:sqs:{parameters.get('region') or region}:{account}:{path[-1]}"


def shared(parameters: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "BatchSize": parameters["batch_size"],
        "MaximumBatchingWindowInSeconds": parameters["window"],
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if parameters["partial_failures"] else [],
    }
    if parameters["filters"]:
        settings["FilterCriteria"] = {"Filters": [{"Pattern": as_text(pattern)} for pattern in parameters["filters"]]}
    return settings


def as_text(pattern: Any) -> str:
    return pattern if isinstance(pattern, str) else json.dumps(pattern)


def queue_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    most = parameters["maximum_concurrency"]
    return shared(parameters) | ({} if most is None else {"ScalingConfig": {"MaximumConcurrency": most}})


def stream_settings(parameters: Mapping[str, Any], region: str, account: str) -> dict[str, Any]:
    return shared(parameters) | {
        "StartingPosition": parameters["starting_position"],
        "ParallelizationFactor": parameters["parallelization_factor"],
        "BisectBatchOnFunctionError": parameters["bisect_on_error"],
        "MaximumRetryAttempts": parameters["maximum_retry_attempts"],
        "MaximumRecordAgeInSeconds": parameters["maximum_record_age"],
        "TumblingWindowInSeconds": parameters["tumbling_window"],
        "DestinationConfig": {"OnFailure": destination(parameters["on_failure"], region, account)},
    }


def destination(name: str | None, region: str, account: str) -> dict[str, str]:
    if not name:
        return {}
    if name.startswith(FUNCTION):
        return {"Destination": FunctionName(name.removeprefix(FUNCTION)).arn(region, account)}
    if name.startswith(BUCKET):
        return {"Destination": f"arn:aws:s3:::{name.removeprefix(BUCKET)}"}
    return {"Destination": f"arn:aws:sqs:{region}:{account}:{name}"}
