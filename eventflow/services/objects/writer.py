"""Objects as they change: put, completed and removed such that a crash leaves the old one or the new one, whole."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field, replace

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.errors import ServiceError
from eventflow.services.objects.buckets import Bucket, Buckets
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.conditions import WriteConditions, etag_matches, precondition_failed
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import Disk, to_the_end
from eventflow.services.objects.history import Deletion, History, check_id
from eventflow.services.objects.incoming import SMALL, Incoming, beginning, check_size, pieces, receive
from eventflow.services.objects.index import FILE, FOLDER, Draft, ObjectIndex
from eventflow.services.objects.keys import check_writable, is_folder, segments
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.pending import PendingBodies
from eventflow.services.objects.reader import ObjectReader
from eventflow.services.objects.stored import NULL, Attributes, Author, StoredObject

#: What S3's events call the end of an object by its bucket's lifecycle, for good or behind a delete marker.
EXPIRED, EXPIRED_MARKED = "LifecycleExpiration:Delete", "LifecycleExpiration:DeleteMarkerCreated"

#: What is done with an object that was just made.
Placed = Callable[[StoredObject], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a body must turn out to be: its length, its MD5 (base64) and a checksum, each only if the caller said so. ``algorithm`` is the checksum to
    compute and keep when no value was given for it."""

    length: int | None = None
    md5: str | None = None
    checksum: Checksum | None = None
    algorithm: str | None = None

    @property
    def computed(self) -> str | None:
        return self.checksum.algorithm if self.checksum else self.algorithm

    def check(self, incoming: Incoming) -> None:
        if self.length is not None and incoming.size != self.length:
            raise ServiceError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
        if self.md5 is not None and self.md5_bytes() != incoming.md5:
            raise ServiceError(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=self.md5,
                CalculatedDigest=base64.b64encode(incoming.md5).decode(),
            )
        if self.checksum and incoming.checksum != self.checksum:
            raise ServiceError("BadDigest", f"The {self.checksum.algorithm} you specified did not match the calculated checksum.")

    def md5_bytes(self) -> bytes:
        try:
            digest = base64.b64decode(self.md5 or "", validate=True)
        except ValueError:
            digest = b""
        if len(digest) != 16:
            raise ServiceError("InvalidDigest", f"The Content-MD5 you specified was invalid: {self.md5!r}.")
        return digest


@dataclass(frozen=True, slots=True)
class Writing:
    """All of a write but its bytes. ``action`` is what the event of it is called: ``Put``, ``Copy`` or ``CompleteMultipartUpload``."""

    attributes: Attributes = field(default_factory=Attributes)
    author: Author = field(default_factory=Author)
    conditions: WriteConditions = field(default_factory=WriteConditions)
    expected: Expected = field(default_factory=Expected)
    action: str = "Put"


class ObjectWriter:
    def __init__(
        self,
        buckets: Buckets,
        index: ObjectIndex,
        pending: PendingBodies,
        reader: ObjectReader,
        history: History,
        disk: Disk,
        locks: KeyLocks,
        clock: Clock,
    ) -> None:
        self._buckets = buckets
        self._index = index
        self._pending = pending
        self._reader = reader
        self._history = history
        self._disk = disk
        self._locks = locks
        self._clock = clock

    async def put(self, bucket: Bucket, key: str, body: AsyncIterable[bytes], writing: Writing) -> StoredObject:
        check_writable(key)
        incoming = await self.receive(bucket, body, writing.expected)
        faultpoint.reach("object.received")
        draft = Draft(
            key, FileState(0, 0, 0), incoming.md5.hex(), writing.attributes, incoming.checksum, action=writing.action, author=writing.author
        )
        return await self.commit(bucket, draft, incoming, writing.conditions)

    async def receive(self, bucket: Bucket, body: AsyncIterable[bytes], expected: Expected) -> Incoming:
        """Take a body into a temporary that is whole and what it should be, or into nothing."""
        check_size(expected.length or 0)
        if expected.md5 is not None:
            expected.md5_bytes()
        incoming = Incoming(bucket.directory, self._clock.new_id(), expected.computed)
        try:
            arriving = aiter(body)
            first = await beginning(arriving)
            if len(first) <= SMALL:
                incoming.keep(first)
            else:
                async with self._locks.inside(bucket.name):
                    self._buckets.confirm(bucket)
                    await self._disk.run(incoming.open)
                await receive(pieces(first, arriving), incoming, self._disk)
            expected.check(incoming)
        except BaseException:
            await self._disk.run(incoming.discard)
            raise
        return incoming

    async def seal(self, bucket: Bucket, incoming: Incoming) -> FileState:
        """Put a received body on the disk."""
        async with self._locks.inside(bucket.name):
            self._buckets.confirm(bucket)
            return await self._disk.together(bucket.path, incoming.seal, self._now_ns())

    async def commit(
        self, bucket: Bucket, draft: Draft, incoming: Incoming, conditions: WriteConditions, placed: Placed | None = None
    ) -> StoredObject:
        """Make a received body the object, or discard it. ``placed`` is called while nobody else can change the object yet; with it, the body must
        be in a file."""
        try:
            return await to_the_end(self._commit(bucket, draft, incoming, conditions, placed))
        except BaseException:
            await self._disk.run(incoming.discard)
            raise

    async def _commit(self, bucket: Bucket, draft: Draft, incoming: Incoming, conditions: WriteConditions, placed: Placed | None) -> StoredObject:
        # A directory is an object without content; a key that ends in a slash and has some lies in a file of its own.
        if is_folder(draft.key) and not incoming.size and not self._history.keeps(bucket):
            made = await self._commit_folder(bucket, draft, incoming, conditions, placed)
            if made is not None:
                return made
        return await self._commit_file(bucket, draft, incoming, conditions, placed)

    async def _commit_file(
        self, bucket: Bucket, draft: Draft, incoming: Incoming, conditions: WriteConditions, placed: Placed | None
    ) -> StoredObject:
        body, stored = incoming.at_hand, None
        if body is not None and not self._history.keeps(bucket) and self._pending.room(bucket, len(body)):
            stored = await self._commit_small(bucket, draft, incoming, body, conditions)
        stored = stored or await self._commit_synced(bucket, draft, incoming, conditions, placed)
        faultpoint.reach("object.placed")
        return stored

    async def _commit_synced(
        self, bucket: Bucket, draft: Draft, incoming: Incoming, conditions: WriteConditions, placed: Placed | None
    ) -> StoredObject:
        # The file is on the disk before its row, the row before the rename, the rename before the answer: at every moment the file that is
        # there has its row, because the rows of both states stand until the next write.
        state = await self.seal(bucket, incoming)
        faultpoint.reach("object.sealed")
        draft = replace(draft, state=state)
        async with self._locks.key(bucket.name, draft.key):
            standing = await self._check(bucket, draft.key, conditions)
            if self._history.keeps(bucket):
                stored = await self._history.replace(bucket, draft, incoming.name, await self._reader.find(bucket, draft.key, locked=True))
            else:
                stored = await self._index.record(bucket.name, draft, standing)
                faultpoint.reach("object.recorded")
                try:
                    await self._disk.together(bucket.path, bucket.directory.place, incoming.name, draft.key)
                except BaseException:
                    await self._index.forget(bucket.name, draft.key, state)
                    raise
            if placed is not None:
                await placed(stored)
        return stored

    async def _commit_small(self, bucket: Bucket, draft: Draft, incoming: Incoming, body: bytes, conditions: WriteConditions) -> StoredObject | None:
        """Make a body that is in memory the object, with one sync: that of the state file, which has the bytes too until those of the file are on the
        disk. None where versions are kept: then every file is synced before it gets its name."""
        pending = None
        try:
            async with self._locks.key(bucket.name, draft.key):
                if self._history.keeps(bucket):
                    return None
                await self._confirm(bucket, draft.key, conditions)
                # In a thread: a file system may take its time to make a file, and to let one take the place of another.
                standing, state = await self._disk.in_line(bucket.path, bucket.directory.lay, draft.key, incoming.name, body, self._now_ns())
                if standing is None and is_folder(draft.key):
                    standing = await self._reader.folder_state(bucket, draft.key)
                faultpoint.reach("object.written")
                stored, pending = await self._pending.record(bucket, replace(draft, state=state), standing, incoming.name, body)
                faultpoint.reach("object.journaled")
                try:
                    go = self._disk.in_line if standing else self._disk.brief
                    await go(bucket.path, bucket.directory.place, incoming.name, draft.key, None, standing is not None)
                except BaseException:
                    await self._pending.take_back(pending)
                    raise
                self._pending.placed(pending)
        finally:
            if pending is None:
                self._pending.give_back(len(body))
        return stored

    async def _commit_folder(
        self, bucket: Bucket, draft: Draft, incoming: Incoming, conditions: WriteConditions, placed: Placed | None
    ) -> StoredObject | None:
        """Make a directory the object; None where there cannot be one."""
        async with self._locks.key(bucket.name, draft.key), self._locks.folders(bucket.name):
            standing = await self._check(bucket, draft.key, conditions)
            inode = await self._disk.run(bucket.directory.make_folder, draft.key)
            if inode is None:
                return None
            draft = replace(draft, state=FileState(0, self._now_ns(), inode), kind=FOLDER)
            stored = await self._index.record(bucket.name, draft, standing)
            await self._disk.run(bucket.directory.remove_encoded, draft.key)
            if placed is not None:
                await placed(stored)
        await self._disk.run(incoming.discard)
        return stored

    async def _check(self, bucket: Bucket, key: str, conditions: WriteConditions) -> FileState | None:
        """The state of the key's file, once everything speaks for replacing it."""
        await self._confirm(bucket, key, conditions)
        state = await self._disk.brief(bucket.path, bucket.directory.state, key)
        return state or (await self._reader.folder_state(bucket, key) if is_folder(key) else None)

    async def _confirm(self, bucket: Bucket, key: str, conditions: WriteConditions) -> None:
        self._buckets.confirm(bucket)
        if conditions:
            conditions.check(key, await self._reader.find(bucket, key, locked=True))

    async def delete(self, bucket: Bucket, key: str, author: Author, if_match: str | None = None, version_id: str | None = None) -> Deletion:
        """Remove an object, or one version of it; one that is not there is removed already, unless ``if_match`` is ``*``, which asks for one. In a
        bucket with versioning an object is hidden behind a delete marker."""
        return await to_the_end(self._delete(bucket, key, author, if_match, version_id))

    async def _delete(self, bucket: Bucket, key: str, author: Author, if_match: str | None, version_id: str | None) -> Deletion:
        async with self._locks.key(bucket.name, key):
            if if_match is not None:
                current = await self._reader.find(bucket, key, locked=True)
                if (current is None and if_match == "*") or (current and not etag_matches(if_match, current.version.etag)):
                    raise precondition_failed("If-Match")
            if self._history.keeps(bucket):
                deletion = await self._delete_version(bucket, key, author, version_id)
            else:
                deletion = await self._delete_object(bucket, key, author, version_id)
            await self._tidy(bucket, key)
            return deletion

    async def expire(self, bucket: Bucket, key: str, due: Callable[[StoredObject], bool]) -> bool:
        """Remove an object whose time has come, if that is still so once the key is held; whether it was."""
        return await to_the_end(self._expire(bucket, key, due))

    async def _expire(self, bucket: Bucket, key: str, due: Callable[[StoredObject], bool]) -> bool:
        async with self._locks.key(bucket.name, key):
            current = await self._reader.find(bucket, key, locked=True)
            if current is None or not due(current) or self._buckets.all().get(bucket.name) != bucket:
                return False
            if self._history.keeps(bucket):
                await self._history.mark(bucket, key, Author(), current, EXPIRED_MARKED)
            else:
                await self._delete_object(bucket, key, Author(), None, EXPIRED)
            await self._tidy(bucket, key)
            return True

    async def expire_version(self, bucket: Bucket, key: str, version_id: str) -> None:
        """Remove a version, or a delete marker, whose time has come."""
        await self.delete(bucket, key, Author(), version_id=version_id)

    async def _delete_version(self, bucket: Bucket, key: str, author: Author, version_id: str | None) -> Deletion:
        current = await self._reader.find(bucket, key, locked=True)
        if version_id is None:
            return await self._history.mark(bucket, key, author, current)
        return await self._history.delete(bucket, key, version_id, author, current)

    async def _delete_object(self, bucket: Bucket, key: str, author: Author, version_id: str | None, action: str = "Delete") -> Deletion:
        if version_id not in (None, NULL):
            check_id(version_id or "")
            return Deletion(version_id)
        for kind, state in await self._standing(bucket, key):
            await self._index.bury(bucket.name, key, state, author, self._clock.now(), kind, action)
            faultpoint.reach("object.buried")
            if kind == FILE:
                await self._disk.run(bucket.directory.remove, key)
                faultpoint.reach("object.removed")
        return Deletion(version_id)

    async def _standing(self, bucket: Bucket, key: str) -> list[tuple[str, FileState]]:
        """What a key is now. A folder's key may be both, a file with its content and a directory that was the object before."""
        file = await self._disk.run(bucket.directory.state, key)
        folder = await self._reader.folder_state(bucket, key) if is_folder(key) else None
        return [(kind, state) for kind, state in ((FILE, file), (FOLDER, folder)) if state]

    async def _tidy(self, bucket: Bucket, key: str) -> None:
        """Remove the directories that a delete left empty, except those that are objects themselves."""
        path = segments(key) or ()
        path = path if is_folder(key) else path[:-1]
        if not path:
            return
        async with self._locks.folders(bucket.name):
            keep = await self._index.folders(bucket.name, path[0] + "/")
            await self._disk.run(bucket.directory.prune, path, keep)

    def _now_ns(self) -> int:
        return int(self._clock.now() * 1e9)
