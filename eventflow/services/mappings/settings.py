"""A mapping's settings: Lambda's parameters, checked against the kind of its source, and the poll trigger that obeys them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.errors import SettingError
from eventflow.manifest import TriggerEntry, make_trigger
from eventflow.services.mappings.names import BUCKET as BUCKET_ARN
from eventflow.services.mappings.names import QUEUE as QUEUE_ARN
from eventflow.services.mappings.names import FunctionName, Source
from eventflow.services.mappings.refusals import absent, invalid, unsupported
from eventflow.trigger import Trigger

Settings = dict[str, Any]

#: What eventflow does not have. Tags are told from settings before these are looked for.
ABSENT = (
    "StartingPositionTimestamp",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
    "KMSKeyArn",
    "MetricsConfig",
    "LoggingConfig",
)
BOTH: Settings = {"MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
DEFAULTS: Mapping[str, Settings] = {
    "queue": {"BatchSize": 10, **BOTH},
    "stream": {
        "BatchSize": 100,
        **BOTH,
        "ParallelizationFactor": 1,
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
    },
}
#: Parameters without a default.
OPTIONAL = {"queue": {"FilterCriteria", "ScalingConfig"}, "stream": {"FilterCriteria", "StartingPosition"}}
POSITIONS = ("TRIM_HORIZON", "LATEST")
MOST_FILTERS = 5
LARGEST_FIFO_BATCH = 10
LARGEST_BATCH_WITHOUT_WINDOW = 10
YOUNGEST_AGE = 60


def settled(source: Source, given: Mapping[str, Any], standing: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a mapping that is made, or with ``standing`` ones that are changed, complete. Raises ServiceError in Lambda's words."""
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name in ABSENT:
            raise absent(name)
    if "OnSuccess" in (given.get("DestinationConfig") or {}):
        raise unsupported("DestinationConfig")
    known = DEFAULTS[source.kind].keys() | OPTIONAL[source.kind]
    for name in given:
        if name not in known:
            raise unsupported(name)
    settings = {**(DEFAULTS[source.kind] if standing is None else standing), **given}
    check_filters(settings)
    (check_queue if source.kind == "queue" else check_stream)(source, settings)
    return {name: value for name, value in settings.items() if value or name not in OPTIONAL[source.kind]}


def check_filters(settings: Settings) -> None:
    filters = (settings.get("FilterCriteria") or {}).get("Filters") or []
    if len(filters) > MOST_FILTERS:
        raise invalid(f"FilterCriteria has {len(filters)} Filters; an event source mapping may have {MOST_FILTERS}.")
    if not all(one.get("Pattern") for one in filters):
        raise invalid("Invalid filter pattern definition.")
    settings["FilterCriteria"] = {"Filters": [{"Pattern": one["Pattern"]} for one in filters]} if filters else {}


def check_queue(source: Source, settings: Settings) -> None:
    if source.fifo and settings["MaximumBatchingWindowInSeconds"]:
        raise invalid("Batching window is not supported for FIFO queues")
    if source.fifo and settings["BatchSize"] > LARGEST_FIFO_BATCH:
        raise invalid(f"BatchSize {settings['BatchSize']} is invalid: a batch of a FIFO queue has up to {LARGEST_FIFO_BATCH} messages.")
    if settings["BatchSize"] > LARGEST_BATCH_WITHOUT_WINDOW and not settings["MaximumBatchingWindowInSeconds"]:
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
    if "ScalingConfig" in settings and settings["ScalingConfig"].get("MaximumConcurrency") is None:
        settings["ScalingConfig"] = {}  # as on AWS: an empty one takes the limit away


def check_stream(source: Source, settings: Settings) -> None:
    position = settings.get("StartingPosition")
    if position is None:
        raise invalid("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
    if position not in POSITIONS:
        raise invalid(f"Unsupported starting position for arn type: {source.arn}")
    age = settings["MaximumRecordAgeInSeconds"]
    if age != -1 and age < YOUNGEST_AGE:
        raise invalid(f"MaximumRecordAgeInSeconds {age} is invalid: it takes -1, for no end, or {YOUNGEST_AGE} to 604800.")
    if settings["TumblingWindowInSeconds"] and settings["ParallelizationFactor"] != 1:
        raise invalid("ParallelizationFactor must be 1 with TumblingWindowInSeconds: a window has one state.")
    destination = (settings["DestinationConfig"].get("OnFailure") or {}).get("Destination")
    if destination and not BUCKET_ARN.fullmatch(destination):
        failure_queue(destination)
    settings["DestinationConfig"] = {"OnFailure": {"Destination": destination} if destination else {}}


def failure_queue(arn: str) -> tuple[str, str, str]:
    """Region, account and name of the queue that is told of records that were given up. Raises ServiceError where it is none."""
    match = QUEUE_ARN.fullmatch(arn)
    if match is None:
        raise invalid(f"What a mapping gives up is told to SQS queues and S3 buckets alone; DestinationConfig.OnFailure.Destination is {arn}.")
    if match[3].endswith(".fifo"):
        raise invalid(f"DestinationConfig.OnFailure.Destination takes a standard queue, and {arn} is a FIFO queue.")
    return match[1], match[2], match[3]


def failure_destination(arn: str | None) -> str | None:
    """As the trigger names it."""
    if not arn:
        return None
    bucket = BUCKET_ARN.fullmatch(arn)
    return failure_queue(arn)[2] if bucket is None else f"bucket:{bucket[1]}"


def trigger_of(function: FunctionName, source: Source, settings: Mapping[str, Any]) -> Trigger:
    """The trigger that polls; it checks the settings once more, in its own words."""
    parameters = queue_parameters if source.kind == "queue" else stream_parameters
    entry = TriggerEntry(str(function), source.kind, parameters(source, settings))
    try:
        return make_trigger(entry)
    except SettingError as error:
        if "filters" in str(error):
            raise invalid(f"Invalid filter pattern definition. {error}") from error
        raise invalid(str(error)) from error


def queue_parameters(source: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": source.name,
        **shared_parameters(settings),
        "maximum_concurrency": (settings.get("ScalingConfig") or {}).get("MaximumConcurrency"),
    }


def stream_parameters(source: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "table": source.name,
        "stream": source.arn,
        **shared_parameters(settings),
        "starting_position": settings["StartingPosition"],
        "parallelization_factor": settings["ParallelizationFactor"],
        "bisect_on_error": settings["BisectBatchOnFunctionError"],
        "maximum_retry_attempts": settings["MaximumRetryAttempts"],
        "maximum_record_age": settings["MaximumRecordAgeInSeconds"],
        "on_failure": failure_destination(settings["DestinationConfig"]["OnFailure"].get("Destination")),
        "tumbling_window": settings["TumblingWindowInSeconds"],
    }


def shared_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": settings["BatchSize"],
        "window": settings["MaximumBatchingWindowInSeconds"],
        "partial_failures": "ReportBatchItemFailures" in settings["FunctionResponseTypes"],
        "filters": [one["Pattern"] for one in (settings.get("FilterCriteria") or {}).get("Filters") or ()],
    }
