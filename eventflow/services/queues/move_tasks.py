"""Message move tasks: the messages of a dead-letter queue go back to where they came from, or to another queue, a piece in each transaction."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError, StorageError
from eventflow.services.queues import messages as queue_messages
from eventflow.services.queues import records as queue_records
from eventflow.services.queues import redriven
from eventflow.services.queues.errors import between, invalid, invalid_value
from eventflow.services.queues.records import Queue
from eventflow.services.queues.redrive import QUEUE_ARN

log = logging.getLogger("eventflow.queues")

MOST_A_SECOND = 500
MOST_LISTED = 10
#: The most messages that one transaction moves: few enough that other changes hardly wait.
STEP = 250
#: Seconds until a step is tried again that could not be stored.
PAUSE = 5.0

COLUMNS = "id, source, destination_arn, rate, newest, status, moved, to_move, failure, started_at"
INSERT = (
    "INSERT INTO queue_move_tasks (id, source, destination_arn, rate, newest, status, to_move, started_at) VALUES (?, ?, ?, ?, ?, 'RUNNING', ?, ?)"
)
FIND = f"SELECT {COLUMNS} FROM queue_move_tasks WHERE id = ?"
LATEST = f"SELECT {COLUMNS} FROM queue_move_tasks WHERE source = ? ORDER BY number DESC LIMIT ?"
RUNNING = "SELECT id FROM queue_move_tasks WHERE status = 'RUNNING' ORDER BY id"
RUNNING_OF = "SELECT 1 FROM queue_move_tasks WHERE source = ? AND status = 'RUNNING'"
MOVED = "UPDATE queue_move_tasks SET moved = moved + ? WHERE id = ?"
END = "UPDATE queue_move_tasks SET status = ?, failure = ? WHERE id = ?"
FORGET = """
DELETE FROM queue_move_tasks WHERE source = :source AND number <= (
    SELECT number FROM queue_move_tasks WHERE source = :source ORDER BY number DESC LIMIT 1 OFFSET :kept
)
"""


@dataclass(frozen=True, slots=True)
class MoveTask:
    """A task as it is on disk. ``source`` is the queue's id, ``rate`` in messages a second, ``started_at`` in milliseconds."""

    id: str
    source: int
    destination_arn: str | None
    rate: int | None
    newest: int
    status: str
    moved: int
    to_move: int
    failure: str | None
    started_at: int

    @property
    def running(self) -> bool:
        return self.status == "RUNNING"


class MoveTasks:
    """``resume`` goes on with the tasks that were running when the daemon ended. A task moves what is visible, up to the newest message that was
    there when it began, in the order of a receive; the moved are new messages, as on SQS: another id and age, no receives."""

    def __init__(self, database: Database, clock: Clock, account: str, wake: Callable[[str, str], None]) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._wake = wake
        self._movers: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Stop moving; what is moved is on disk, and ``resume`` goes on from there."""
        for mover in self._movers.values():
            mover.cancel()

    async def resume(self) -> None:
        for (task_id,) in await self._database.read(lambda connection: connection.execute(RUNNING).fetchall()):
            self._set_off(task_id)

    async def start(self, source_arn: str, destination_arn: str | None = None, rate: int | None = None) -> str:
        """Begin to move; the task's handle."""
        between("MaxNumberOfMessagesPerSecond", rate, 1, MOST_A_SECOND, f"Must be between 1 and {MOST_A_SECOND}, if provided.")
        task_id = self._clock.new_id()
        to_move = await self._database.read(partial(self._count, source_arn))

        def change(connection: sqlite3.Connection) -> None:
            source = self._source(connection, source_arn)
            if not queue_records.sources(connection, source.region, source.name, "", 1):
                raise invalid("Source queue must be configured as a Dead Letter Queue.")
            self._check_destination(connection, source, source_arn, destination_arn)
            if connection.execute(RUNNING_OF, (source.id,)).fetchone():
                raise invalid("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
            newest = queue_messages.newest(connection)
            connection.execute(INSERT, (task_id, source.id, destination_arn, rate, newest, to_move, self._now()))
            connection.execute(FORGET, {"source": source.id, "kept": MOST_LISTED})

        await self._database.write(change)
        self._set_off(task_id)
        return handle_of(task_id, source_arn)

    async def latest(self, source_arn: str, limit: int | None = None) -> list[dict[str, Any]]:
        """The last tasks of a queue, the newest first, as ListMessageMoveTasks tells them; one if no limit is given."""
        between("MaxResults", limit, 1, MOST_LISTED, f"Must be between 1 and {MOST_LISTED}, if provided.")

        def query(connection: sqlite3.Connection) -> list[MoveTask]:
            source = self._source(connection, source_arn)
            return [MoveTask(*row) for row in connection.execute(LATEST, (source.id, limit or 1))]

        return [told(task, source_arn) for task in await self._database.read(query)]

    async def cancel(self, handle: str) -> int:
        """End a task that runs; what it has moved stays where it is. How many messages that were."""
        task_id, source_arn = read_handle(handle)

        def change(connection: sqlite3.Connection) -> int:
            self._source(connection, source_arn)
            task = find(connection, task_id)
            if task is None:
                raise ServiceError("ResourceNotFoundException", "Task does not exist.", 404)
            if not task.running:
                raise invalid("Only active tasks can be cancelled")
            connection.execute(END, ("CANCELLED", None, task.id))
            return task.moved

        return await self._database.write(change)

    # A task at work.

    def _set_off(self, task_id: str) -> None:
        mover = self._movers[task_id] = asyncio.ensure_future(self._run(task_id))
        mover.add_done_callback(partial(self._ended, task_id))

    def _ended(self, task_id: str, mover: asyncio.Task[None]) -> None:
        self._movers.pop(task_id, None)
        if not mover.cancelled() and (error := mover.exception()) is not None:
            log.error("The message move task %s broke off; it goes on when the daemon is started again.", task_id, exc_info=error)

    async def _run(self, task_id: str) -> None:
        began, allowed = self._clock.monotonic(), 0
        while True:
            try:
                rate, woken = await self._database.write(partial(self._step, task_id))
            except StorageError as error:
                log.warning("The message move task %s waits %g s: %s", task_id, PAUSE, error)
                await self._clock.sleep(PAUSE)
                continue
            for region, name in woken:
                self._wake(region, name)
            if rate == 0:
                return
            if rate is not None:
                allowed += 1  # seconds' worth of messages that were moved
                await self._clock.sleep(began + allowed - self._clock.monotonic())

    def _step(self, task_id: str, connection: sqlite3.Connection) -> tuple[int | None, set[tuple[str, str]]]:
        """Move what one second allows, or one transaction should hold. The task's rate, 0 when it ended, and the queues that got something."""
        task = find(connection, task_id)
        if task is None or not task.running:
            return 0, set()
        source = queue_records.by_id(connection, task.source)
        limit = STEP if task.rate is None else task.rate
        outcome = redriven.move(connection, source, self._account, task.destination_arn, task.newest, limit, self._now(), self._clock.new_id)
        connection.execute(MOVED, (outcome.moved, task.id))
        if outcome.failure is not None:
            connection.execute(END, ("FAILED", outcome.failure, task.id))
        elif outcome.moved < limit:
            connection.execute(END, ("COMPLETED", None, task.id))
        else:
            return task.rate, outcome.queues
        return 0, outcome.queues

    # What is asked for.

    def _count(self, arn: str, connection: sqlite3.Connection) -> int:
        return queue_messages.counts(connection, self._source(connection, arn), self._now())[0]

    def _source(self, connection: sqlite3.Connection, arn: str) -> Queue:
        return self._queue(connection, arn, "SourceArn")

    def _queue(self, connection: sqlite3.Connection, arn: str, parameter: str) -> Queue:
        match = QUEUE_ARN.fullmatch(arn)
        if match is None:
            raise invalid_value(parameter, arn, "It must be a queue's ARN.")
        queue = queue_records.lookup(connection, match["region"], match["name"]) if match["account"] == self._account else None
        if queue is None:
            raise ServiceError("ResourceNotFoundException", f"The resource that you specified for the {parameter} parameter doesn't exist.", 404)
        return queue

    def _check_destination(self, connection: sqlite3.Connection, source: Queue, source_arn: str, arn: str | None) -> None:
        if arn is None:
            return
        if arn == source_arn:
            raise invalid_value("DestinationArn", arn, "Messages cannot be moved to the queue that they are in.")
        target = self._queue(connection, arn, "DestinationArn")
        if target.fifo != source.fifo or target.region != source.region:
            raise invalid_value("DestinationArn", arn, "It must be a queue of the source's own type and region.")

    def _now(self) -> int:
        return round(self._clock.now() * 1000)


def find(connection: sqlite3.Connection, task_id: str) -> MoveTask | None:
    row = connection.execute(FIND, (task_id,)).fetchone()
    return MoveTask(*row) if row else None


def told(task: MoveTask, source_arn: str) -> dict[str, Any]:
    """A ListMessageMoveTasksResultEntry."""
    entry: Mapping[str, Any] = {
        "TaskHandle": handle_of(task.id, source_arn) if task.running else None,
        "Status": task.status,
        "SourceArn": source_arn,
        "DestinationArn": task.destination_arn,
        "MaxNumberOfMessagesPerSecond": task.rate,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "FailureReason": task.failure,
        "StartedTimestamp": task.started_at,
    }
    return {name: value for name, value in entry.items() if value is not None}


def handle_of(task_id: str, source_arn: str) -> str:
    return base64.b64encode(json.dumps({"taskId": task_id, "sourceArn": source_arn}).encode()).decode()


def read_handle(handle: str) -> tuple[str, str]:
    try:
        value = json.loads(base64.b64decode(handle, validate=True))
        return str(value["taskId"]), str(value["sourceArn"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise invalid("Value for parameter TaskHandle is invalid.") from error
