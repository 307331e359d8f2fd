"""What a start does about small objects whose files were not synced: nothing after a kill, all that is needed after a power cut."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import EventflowError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.directory import FileState, closing
from eventflow.services.objects.disk import Disk, to_the_end
from eventflow.services.objects.etags import md5_of
from eventflow.services.objects.index import FILE, REMOVED, ObjectIndex, Row, moved
from eventflow.services.objects.keys import is_folder
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.pending import Pending, PendingBodies

log = logging.getLogger("eventflow.objects")
SELECT = "SELECT id, key, state, standing, sequencer, temporary, boot, length(body) FROM pending_bodies WHERE bucket = ? ORDER BY key, id"
SELECT_BODY = "SELECT body FROM pending_bodies WHERE id = ?"
UPDATE = "UPDATE pending_bodies SET state = ?, temporary = ?, boot = ? WHERE id = ?"
#: What of a write that was cut off may be there and what not, in units of so many bytes: no disk has smaller ones.
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Left:
    """A row that an earlier daemon left."""

    pending: Pending
    standing: str | None
    sequencer: str
    temporary: str
    boot: str | None


class Recovery:
    """Makes files good from what of them is in the state file."""

    def __init__(self, database: Database, index: ObjectIndex, pending: PendingBodies, disk: Disk, locks: KeyLocks, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._pending = pending
        self._disk = disk
        self._locks = locks
        self._clock = clock

    async def recover(self, bucket: Bucket) -> set[str]:
        """Make the pending objects of a bucket good, before anybody else is in it. What cannot be made good is told and tried again at the next
        start; the temporaries to keep for that."""
        keep = set()
        for key, group in groupby(await self._left(bucket), lambda left: left.pending.key):
            lefts = list(group)
            try:
                newest = await self._recover_key(bucket, key, lefts)
            except EventflowError as error:
                log.error("%s in bucket %s could not be made good after an interruption, and is tried at the next start: %s", key, bucket.name, error)
                keep.add(lefts[-1].temporary)
                continue
            for pending in (*(left.pending for left in lefts[:-1]), newest):
                self._pending.adopt(pending)
        return keep

    async def _left(self, bucket: Bucket) -> list[Left]:
        rows = await self._database.read(lambda connection: connection.execute(SELECT, (bucket.name,)).fetchall())
        return [
            Left(Pending(id, bucket, key, FileState.parse(state), size), standing, sequencer, temporary, boot)
            for id, key, state, standing, sequencer, temporary, boot, size in rows
        ]

    async def _recover_key(self, bucket: Bucket, key: str, lefts: Sequence[Left]) -> Pending:
        """Have the file of a key as its newest put left it, or as somebody changed it since."""
        newest = lefts[-1]
        state = await self._disk.run(bucket.directory.state, key)
        rows = (await self._index.known(bucket.name, key)).rows
        if is_superseded(newest, state, rows):
            return newest.pending
        if newest.boot is not None and newest.boot == self._pending.boot:
            # A kill alone: the kernel has it all. Without the temporary the file had its name already; what is there now is meant to be. With it
            # nobody was told of the put, and what somebody has done to the file since is the last word.
            untouched = is_folder(key) or (str(state) if state else None) == newest.standing
            if untouched and await self._disk.run(bucket.directory.temporary_state, newest.temporary) == newest.pending.state:
                await self._disk.run(bucket.directory.place, newest.temporary, key, None)
            return newest.pending
        bodies = [await self._body(left.pending) or b"" for left in lefts]
        if await self._disk.run(is_lost, bucket, key, lefts, rows, bodies):
            return await self._write(newest.pending, bodies[-1])
        return newest.pending

    async def _body(self, pending: Pending) -> bytes | None:
        """The body; None where it went with the bucket that it was of."""
        row = await self._database.read(lambda connection: connection.execute(SELECT_BODY, (pending.id,)).fetchone())
        return None if row is None else bytes(row[0])

    async def write_anew(self, pending: Pending) -> Pending:
        """Make the file of an object once more from its body, if it is still there as it was written."""
        return await to_the_end(self._write_anew(pending))

    async def _write_anew(self, pending: Pending) -> Pending:
        async with self._locks.key(pending.bucket.name, pending.key):
            body = await self._body(pending)
            if body is None or await self._disk.run(pending.bucket.directory.state, pending.key) != pending.state:
                return pending
            return await self._write(pending, body)

    async def _write(self, pending: Pending, body: bytes) -> Pending:
        directory, before = pending.bucket.directory, pending.state
        temporary = self._clock.new_id()

        def change(connection: sqlite3.Connection, former: FileState, state: FileState, boot: str | None) -> None:
            moved(connection, pending.bucket.name, pending.key, former, state)
            connection.execute(UPDATE, (str(state), temporary, boot, pending.id))

        try:
            _, state = await self._disk.run(directory.lay, pending.key, temporary, body, before.mtime_ns)
            await self._index.write(partial(change, former=before, state=state, boot=self._pending.boot))
            try:
                await self._disk.run(directory.place, temporary, pending.key, None)
            except BaseException:
                await self._index.write(partial(change, former=state, state=before, boot=None))  # as it was, and to be looked at again
                raise
        except BaseException:
            await self._disk.run(directory.discard, temporary)
            raise
        return replace(pending, state=state)


def is_superseded(left: Left, state: FileState | None, rows: Sequence[Row]) -> bool:
    """Whether what there is of a key now came after a put, and was synced: a removal, or what another write put in its place. The put's own file
    under a newer row was only taken away and brought back."""
    newer = [row for row in rows if row[3] > left.sequencer]
    if state is None:
        return any(row[1] != FILE for row in newer)
    return state != left.pending.state and any(row[1] == FILE and row[2] == str(state) for row in newer)


def is_lost(bucket: Bucket, key: str, lefts: Sequence[Left], rows: Sequence[Row], bodies: Sequence[bytes]) -> bool:
    """Whether a power cut took the newest put of a key: nothing is there, or what was there before it, or a part of it. Anything else somebody has
    put there since, by hand. Blocks."""
    opened = bucket.directory.open(key)
    if opened is None:
        return True
    descriptor, state = opened
    with closing(descriptor):
        older = [row for row in rows if row[1] != REMOVED and row[3] < lefts[-1].sequencer]
        former = [*(left.standing for left in lefts if left.standing), *(str(left.pending.state) for left in lefts[:-1]), *(row[2] for row in older)]
        if any(is_same(state, FileState.parse(text)) for text in former):
            return True
        if any(FileState.parse(row[2]).size == state.size for row in older) and md5_of(descriptor) in {row[4] for row in older}:
            return True
        if state.size > max(map(len, bodies)):
            return False
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(state.size)
    return content != bodies[-1] and any(is_part(content, body) for body in bodies)


def is_same(one: FileState, other: FileState) -> bool:
    """Whether a file is as it was. Its inode does not count: a backup that is played back gives it another."""
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)


def is_part(content: bytes, body: bytes) -> bool:
    """Whether bytes are what an interrupted write may leave of a body: a beginning of it, with zeros for what did not arrive."""
    if len(content) > len(body):
        return False
    sectors = ((content[start : start + SECTOR], body[start : start + SECTOR]) for start in range(0, len(content), SECTOR))
    return all(not any(found) or meant.startswith(found) for found, meant in sectors)
