"""Records of failed events on their way into a bucket: durable with the event's end, and an object soon after.

An object's bytes are in a file, which no transaction can hold. The record is so written down first and stored from there, under a key that it was
given at once: whoever is killed in between stores it again, and there is one object all the same.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.journal import BucketMessage
from eventflow.errors import ServiceError, StorageError
from eventflow.services.objects import Objects
from eventflow.services.objects.stored import Attributes
from eventflow.services.objects.writer import Writing

log = logging.getLogger("eventflow.dispatch")

ADD = "INSERT INTO failure_records (bucket, key, body, event) VALUES (?, ?, ?, ?)"
FIRST = "SELECT id, bucket, key, body, event FROM failure_records ORDER BY id LIMIT 1"
FORGET = "DELETE FROM failure_records WHERE id = ?"
#: Seconds until what could not be stored, for want of disk, is tried again.
AGAIN_AFTER = 5.0


#: Writes down, inside a transaction, that what the end of an event (its id) causes was refused.
Note = Callable[[sqlite3.Connection, str, BucketMessage, ServiceError], None]


class FailureRecords:
    """``add_in`` inside a transaction, ``wake`` once that is on disk."""

    def __init__(self, database: Database, clock: Clock, objects: Objects, note: Note) -> None:
        self._database = database
        self._clock = clock
        self._objects = objects
        self._note = note
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._database.migrate("failure_records", "eventflow.services")

    def start(self) -> None:
        """Store what was left by the last run, and what comes."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What is not stored yet is at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add_in(self, connection: sqlite3.Connection, message: BucketMessage) -> None:
        connection.execute(ADD, (message.bucket, message.key, message.body, message.event))

    def wake(self) -> None:
        self._news.set()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                while await self.store_one():
                    pass
            except StorageError as error:
                log.error("records of failed events wait to be stored: %s", error)
                await self._clock.sleep(AGAIN_AFTER)
            else:
                await self._news.wait()

    async def store_one(self) -> bool:
        """Store the oldest; False when there is none."""
        row = await self._database.read(lambda connection: connection.execute(FIRST).fetchone())
        if row is None:
            return False
        id, bucket, key, body, event = row
        refused: ServiceError | None = None
        try:
            await self._objects.put(bucket, key, once(body.encode()), Writing(Attributes("application/json")))
        except ServiceError as error:
            refused = error

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(FORGET, (id,))
            if refused is not None:
                # As on AWS, where there is no such bucket any more, the event's end stands; `events show` says what was not delivered.
                self._note(connection, event, BucketMessage(bucket, key, "", event), refused)

        await self._database.write(change)
        return True


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body
