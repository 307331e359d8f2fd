"""What schedules invoke: the functions, queues and buses of this daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Protocol

from eventflow.dispatch.dispatcher import Dispatcher, UnknownFunction
from eventflow.errors import ServiceError
from eventflow.services.queues import Queues

#: The dead letter names SQS's error as the query protocol does (AWS: "Configuring a schedule's dead-letter queue").
QUERY_CODES = {"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}


class EventBus(Protocol):
    """Puts an event on the bus of an ARN inside the caller's transaction. Raises ServiceError, and has then written nothing."""

    def put_scheduled(self, connection: sqlite3.Connection, bus: str, source: str, detail_type: str, detail: str, resource: str) -> None: ...
    def wake(self, arn: str) -> None: ...


class DaemonTargets:
    """``bus`` is None where there are no event buses."""

    def __init__(self, dispatcher: Dispatcher, queues: Queues, bus: EventBus | None = None) -> None:
        self.has_buses = bus is not None
        self._dispatcher = dispatcher
        self._queues = queues
        self._bus = bus

    async def emit(self, function: str, payload: str, id: str) -> None:
        try:
            await self._dispatcher.emit(function, payload.encode(), key=id, source="EventBridge Scheduler")
        except UnknownFunction as error:
            raise ServiceError("ResourceNotFoundException", str(error), 404) from error

    def send_message(self, connection: sqlite3.Connection, queue: str, body: str, group: str | None, attributes: Mapping[str, str]) -> None:
        try:
            self._queues.send_in(connection, queue.split(":")[3], queue, body, attributes, group=group)
        except ServiceError as error:
            raise ServiceError(QUERY_CODES.get(error.code, error.code), error.message, error.status) from error

    def put_event(self, connection: sqlite3.Connection, bus: str, source: str, detail_type: str, detail: str, resource: str) -> None:
        if self._bus is None:
            raise ServiceError("ResourceNotFoundException", f"Event bus {bus} does not exist.", 404)
        self._bus.put_scheduled(connection, bus, source, detail_type, detail, resource)

    def wake(self, arn: str) -> None:
        if arn.startswith("arn:aws:sqs:"):
            self._queues.wake(arn.split(":")[3], arn)
        elif self._bus is not None and arn.startswith("arn:aws:events:"):
            self._bus.wake(arn)
