"""What schedules invoke: the functions, queues and buses of this daemon."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from eventflow.dispatch.dispatcher import Dispatcher, UnknownFunction
from eventflow.errors import ServiceError
from eventflow.services.bus import Buses
from eventflow.services.bus.routing import Effects
from eventflow.services.queues import Queues
from eventflow.services.schedules.destination import Fire

#: The dead letter names SQS's error as the query protocol does (AWS: "Configuring a schedule's dead-letter queue").
QUERY_CODES = {"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}


class DaemonTargets:
    """``buses`` is None where there are no event buses."""

    def __init__(self, dispatcher: Dispatcher, queues: Queues, buses: Buses | None = None) -> None:
        self.has_buses = buses is not None
        self._dispatcher = dispatcher
        self._queues = queues
        self._buses = buses

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

    def put_event(self, connection: sqlite3.Connection, fire: Fire) -> Effects:
        bus = fire.to.partition("event-bus/")[2]
        if self._buses is None:
            raise ServiceError("ResourceNotFoundException", f"Event bus {bus} does not exist.", 404)
        detail = json.loads(fire.payload()) if "Input" in fire.target else {}
        parameters = fire.target["EventBridgeParameters"]
        _id, effects = self._buses.put_in(
            connection, fire.region, parameters["Source"], parameters["DetailType"], detail, resources=[fire.arn], bus=bus, time=fire.instant
        )
        return effects

    def after(self, put: object) -> None:
        if self._buses is not None and isinstance(put, Effects):
            self._buses.after(put)

    def wake(self, arn: str) -> None:
        if arn.startswith("arn:aws:sqs:"):
            self._queues.wake(arn.split(":")[3], arn)
