"""SQS's queues on SQLite: visibility, delay, redrive, groups and deduplication."""

from eventflow.services.queues.store import Queues

__all__ = ["Queues"]
