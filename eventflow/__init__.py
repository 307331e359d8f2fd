"""The serverless runtime you own: Lambda-shaped functions on files, schedules and queues, durable, on one machine.

This is the front door: what applications and triggers import. Nothing inside the package imports from here. Each name is brought in when it is
first used, so that a command line or a function's process pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventflow.app import App
    from eventflow.clock import Clock, iso
    from eventflow.context import Context
    from eventflow.cron import ExpressionError
    from eventflow.errors import EventflowError, PayloadTooLarge, ServiceError, SettingError, StorageError, Throttled
    from eventflow.event import (
        DestinationRecord,
        DynamoDBEvent,
        S3Event,
        ScheduledEvent,
        SQSBatchResponse,
        SQSEvent,
        dynamodb_event,
        s3_event,
        scheduled_event,
        sqs_event,
    )
    from eventflow.filters import Filters
    from eventflow.outcome import Outcome, Status
    from eventflow.pattern import Pattern, compile_pattern
    from eventflow.timetable import Rate, Timetable, parse_timetable, parse_zone
    from eventflow.trigger import ApiRoute, BucketSource, BusSource, Cursor, ObjectVersion, QueueSource, Resource, StreamSource, Target, Trigger

__all__ = [
    "ApiRoute",
    "App",
    "BucketSource",
    "BusSource",
    "Clock",
    "Context",
    "Cursor",
    "DestinationRecord",
    "DynamoDBEvent",
    "EventflowError",
    "ExpressionError",
    "Filters",
    "ObjectVersion",
    "Outcome",
    "Pattern",
    "PayloadTooLarge",
    "QueueSource",
    "Rate",
    "Resource",
    "S3Event",
    "SQSBatchResponse",
    "SQSEvent",
    "ScheduledEvent",
    "ServiceError",
    "SettingError",
    "Status",
    "StorageError",
    "StreamSource",
    "Target",
    "Throttled",
    "Timetable",
    "Trigger",
    "compile_pattern",
    "dynamodb_event",
    "iso",
    "parse_timetable",
    "parse_zone",
    "s3_event",
    "scheduled_event",
    "sqs_event",
]

_HOMES = {
    "app": ("App",),
    "clock": ("Clock", "iso"),
    "context": ("Context",),
    "cron": ("ExpressionError",),
    "errors": ("EventflowError", "PayloadTooLarge", "ServiceError", "SettingError", "StorageError", "Throttled"),
    "event": (
        "DestinationRecord",
        "DynamoDBEvent",
        "S3Event",
        "SQSBatchResponse",
        "SQSEvent",
        "ScheduledEvent",
        "dynamodb_event",
        "s3_event",
        "scheduled_event",
        "sqs_event",
    ),
    "filters": ("Filters",),
    "outcome": ("Outcome", "Status"),
    "pattern": ("Pattern", "compile_pattern"),
    "timetable": ("Rate", "Timetable", "parse_timetable", "parse_zone"),
    "trigger": ("ApiRoute", "BucketSource", "BusSource", "Cursor", "ObjectVersion", "QueueSource", "Resource", "StreamSource", "Target", "Trigger"),
}

if not TYPE_CHECKING:  # mypy would take every name for one that exists

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"eventflow.{home}"), name)
        raise AttributeError(f"module 'eventflow' has no attribute {name!r}; it has: {', '.join(__all__)}")

    def __dir__() -> list[str]:
        return [*globals(), *__all__]
