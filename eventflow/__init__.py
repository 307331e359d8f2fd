"""The serverless runtime you own: Lambda-shaped functions on files, schedules and queues, durable, on one machine.

This is the front door: what applications and triggers import. Nothing inside the package imports from here.
"""

from eventflow.app import App
from eventflow.clock import Clock, iso
from eventflow.context import Context
from eventflow.errors import EventflowError, ServiceError, SettingError, StorageError, Throttled
from eventflow.outcome import Outcome, Status
from eventflow.trigger import BucketSource, Cursor, ObjectVersion, QueueSource, Resource, Target, Trigger

__all__ = [
    "App",
    "BucketSource",
    "Clock",
    "Context",
    "Cursor",
    "EventflowError",
    "ObjectVersion",
    "Outcome",
    "QueueSource",
    "Resource",
    "ServiceError",
    "SettingError",
    "Status",
    "StorageError",
    "Target",
    "Throttled",
    "Trigger",
    "iso",
]
