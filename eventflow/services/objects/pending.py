"""Bodies of small objects, in the state file too until their files are on the disk: so that a put waits for one sync, which it shares."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from eventflow import faultpoint
from eventflow.clock import Clock, Timer
from eventflow.database import Database
from eventflow.errors import EventflowError, StorageError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import Disk, is_local
from eventflow.services.objects.index import Draft, ObjectIndex, recorded, retract
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.syncing import run_of_the_machine, sync_file_systems

log = logging.getLogger("eventflow.objects")
#: So many bytes of bodies may be pending at once; a put that finds no room syncs its file itself, which takes longer: so the disk keeps up. It bounds
#: what the state file is enlarged by, and what a start after a power cut has to look through.
MOST_PENDING = 64 * 1024 * 1024
#: Files are synced when the oldest has waited so long, in seconds, or when there are so many bytes: one sync for a second's work is next to nothing.
LONGEST_WAIT = 1.0
WORTH_A_SYNC = 16 * 1024 * 1024
#: What a row takes beside its body, about.
ROW = 2048
#: So many bodies leave the state file in one change: about a millisecond, in which others wait.
DROPPED_AT_ONCE = 100

INSERT = "INSERT INTO pending_bodies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
DELETE = "DELETE FROM pending_bodies WHERE id IN (SELECT value FROM json_each(?))"

SELECT_LAST = "SELECT coalesce(max(id), 0) FROM pending_bodies"


@dataclass(frozen=True, slots=True)
class Pending:
    """An object whose body is in the state file too, under ``id``."""

    id: int
    bucket: Bucket
    key: str
    state: FileState
    size: int


WriteAnew = Callable[[Pending], Awaitable[Pending]]


async def unchanged(pending: Pending) -> Pending:
    return pending


class PendingBodies:
    """What of all buckets is in the state file and not synced yet. A put takes ``room`` first, has itself ``recorded`` with its body, and says that
    its file is ``placed``; then that is synced soon, and the body leaves the state file. ``flush`` does that at once."""

    def __init__(self, database: Database, index: ObjectIndex, disk: Disk, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._disk = disk
        self._clock = clock
        self.boot = run_of_the_machine()
        self._ids = itertools.count(1)
        self._placed: dict[int, Pending] = {}
        self._held = 0
        self._waiting = 0
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._is_told = False
        self._doubtful: set[int] = set()
        self._write_anew: WriteAnew = unchanged

    async def open(self, write_anew: WriteAnew) -> None:
        """``write_anew`` makes a file once more from its body: after a sync that failed nobody knows what of the file is on the disk."""
        self._write_anew = write_anew
        self._ids = itertools.count(await self._database.read(lambda connection: int(connection.execute(SELECT_LAST).fetchone()[0])) + 1)

    def room(self, bucket: Bucket, size: int) -> bool:
        """Take room for a body, if there is some: only on a file system of this machine, which forgets nothing but in a power cut of this machine."""
        if self._held + size + ROW > MOST_PENDING or not is_local(bucket.path):
            return False
        self._held += size + ROW
        return True

    def give_back(self, size: int) -> None:
        self._held -= size + ROW

    async def record(self, bucket: Bucket, draft: Draft, standing: FileState | None, temporary: str, body: bytes) -> tuple[StoredObject, Pending]:
        """Write the row of a state that is about to become the file's, and its bytes, in one transaction."""
        pending = Pending(next(self._ids), bucket, draft.key, draft.state, len(body))
        former = str(standing) if standing else None

        def change(connection: sqlite3.Connection) -> StoredObject:
            stored = recorded(connection, bucket.name, draft, standing)
            values = (pending.id, bucket.name, draft.key, str(draft.state), former, stored.version.sequencer, temporary, self.boot, body)
            connection.execute(INSERT, values)
            return stored

        return await self._index.write(change), pending

    async def take_back(self, pending: Pending) -> None:
        """Undo ``record``: the file could not be placed."""

        def change(connection: sqlite3.Connection) -> None:
            retract(connection, pending.bucket.name, pending.key, pending.state)
            drop(json.dumps([pending.id]), connection)

        try:
            await self._index.write(change)
        except BaseException:
            self.placed(pending)  # so that its body goes at least
            raise
        self.give_back(pending.size)

    def placed(self, pending: Pending) -> None:
        """A file has its name (or never will): sync it soon."""
        self._placed[pending.id] = pending
        self._waiting += pending.size
        if self._waiting >= WORTH_A_SYNC:
            self._begin()
        elif self._timer is None:
            self._timer = self._clock.call_later(LONGEST_WAIT, self._begin)

    def adopt(self, pending: Pending) -> None:
        """The same of one that an earlier daemon left."""
        self._held += pending.size + ROW
        self.placed(pending)

    def _begin(self) -> None:
        self._stop_timer()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush_along())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush_along(self) -> None:
        try:
            await self._make_certain()
            await self.flush()
            self._is_told = False
        except EventflowError as error:
            if not self._is_told:
                log.error("Small objects stay in the state file until their files can be put on the disk, which is told once: %s", error)
            self._is_told = True
        if self._placed and self._timer is None:
            self._timer = self._clock.call_later(LONGEST_WAIT, self._begin)

    async def _make_certain(self) -> None:
        """Write what is in doubt anew, each by itself: a bucket whose directory is gone holds nobody else up."""
        for id in sorted(self._doubtful):
            try:
                self._placed[id] = await self._write_anew(self._placed[id])
            except EventflowError as error:
                log.debug("an object in doubt stays so for now: %s", error)  # ``flush`` says that there are some
                continue
            self._doubtful.discard(id)

    async def flush(self) -> None:
        """Have all that was placed so far on the disk, and its bytes out of the state file. Raises for what keeps it from that."""
        async with self._flushing:
            batch = [pending for pending in self._placed.values() if pending.id not in self._doubtful]
            if batch:
                await self._sync(batch)
                faultpoint.reach("object.synced")
                await self._drop(batch)
                faultpoint.reach("object.dropped")
        if self._doubtful:
            raise StorageError(f"{len(self._doubtful)} small objects could not be put on the disk, and are tried again. Check the disk.")

    async def _sync(self, batch: Sequence[Pending]) -> None:
        try:
            await self._disk.run(sync, batch)
        except EventflowError:
            self._doubtful.update(pending.id for pending in batch)  # the kernel may take for written what is not
            raise

    async def _drop(self, batch: Sequence[Pending]) -> None:
        for start in range(0, len(batch), DROPPED_AT_ONCE):
            some = {pending.id: pending.size for pending in batch[start : start + DROPPED_AT_ONCE]}
            ids = json.dumps(list(some))
            await self._database.write_along(partial(drop, ids))
            for id in some:
                del self._placed[id]
            self._waiting -= sum(some.values())
            self._held -= sum(some.values()) + len(some) * ROW

    async def settle(self) -> bool:
        """Wait for the sync that is under way; whether there was one. (For a virtual clock: not all of it is in threads.)"""
        if self._task is None or self._task.done():
            return False
        await asyncio.wait({self._task})
        return True

    def close(self) -> None:
        """What is pending then stays so until the next start."""
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()


def drop(ids: str, connection: sqlite3.Connection) -> None:
    connection.execute(DELETE, (ids,))


def sync(batch: Sequence[Pending]) -> None:
    """Put the files on the disk, and their names. Whole file systems: so a file that was moved within one meanwhile is there too, wherever it is now.
    Where a directory is gone it was removed, or its file system unmounted, which syncs it."""
    present = {path for path in {pending.bucket.path for pending in batch} if path.is_dir()}
    if not sync_file_systems(present):
        for pending in batch:
            if pending.bucket.path in present:
                pending.bucket.directory.sync(pending.key, pending.state)
