"""Writes and deletes in buckets that keep versions: what was there stays under its version id."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.errors import EventflowError, ServiceError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.conditions import no_such_key
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import Disk
from eventflow.services.objects.index import Draft, ObjectIndex, forget_folder, recorded, removal
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.outgoing import Outgoing
from eventflow.services.objects.reader import ObjectReader, Opened
from eventflow.services.objects.settings import ENABLED, BucketSettings, made_id
from eventflow.services.objects.stored import NULL, Author, StoredObject
from eventflow.services.objects.version_files import VersionFiles
from eventflow.services.objects.version_index import NOTHING, Version, VersionIndex, doom, following, insert, keep, version_of

log = logging.getLogger("eventflow.objects")
VERSION_ID = re.compile(r"[0-9a-f]{32}")
#: What S3's events call a delete that keeps what it hides, and what ours calls the return of a version from under those that were deleted.
MARKED, RETURN = "DeleteMarkerCreated", "Return"


class HiddenError(ServiceError):
    """An error that is because of a delete marker; ``modified_at`` (Unix seconds) is when that was made."""

    def __init__(self, error: ServiceError, marker_id: str, modified_at: float) -> None:
        super().__init__(error.code, error.message, error.status, **error.members)
        self.marker_id = marker_id
        self.modified_at = modified_at


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete did: the id of the version that it removed, or of the delete marker that it made (or removed). None: nothing of the kind."""

    version_id: str | None = None
    marker: bool = False


class History:
    """The versions of all buckets. The caller of what changes a key holds it."""

    def __init__(
        self,
        index: ObjectIndex,
        versions: VersionIndex,
        reader: ObjectReader,
        settings: BucketSettings,
        disk: Disk,
        locks: KeyLocks,
        clock: Clock,
    ) -> None:
        self._index = index
        self._versions = versions
        self._reader = reader
        self._settings = settings
        self._disk = disk
        self._locks = locks
        self._clock = clock

    def keeps(self, bucket: Bucket) -> bool:
        """Whether a bucket has, or had, versioning."""
        return self._settings.versioning(bucket.name) is not None

    def _new_id(self, bucket: Bucket) -> str | None:
        return self._clock.new_id().replace("-", "") if self._settings.versioning(bucket.name) == ENABLED else None

    # Reading.

    async def open(self, bucket: Bucket, key: str, id: str) -> Opened:
        """A version and its bytes. Raises ``NoSuchVersion``, or ``MethodNotAllowed`` for a delete marker."""
        check_id(id)
        current = await self._current(bucket, key)
        if current and current.stored.version_id == id:
            return current
        if current:
            await current.content.aclose()
        version = await self._versions.find(bucket.name, key, id)
        if version is None:
            raise no_such_version(key, id)
        if version.marker:
            raise marked(version)
        descriptor = await self._disk.run(VersionFiles(bucket.directory).open, version.file or "", version.state)
        if descriptor is None:
            raise no_such_version(key, id)
        content = Outgoing(descriptor, self._disk)
        content.limit(0, version.state.size)
        return Opened(version.stored, content)

    async def _current(self, bucket: Bucket, key: str) -> Opened | None:
        try:
            return await self._reader.open(bucket, key)
        except ServiceError as error:
            if error.code == "NoSuchKey":
                return None
            raise

    async def absent(self, bucket: Bucket, key: str) -> ServiceError:
        """The error for a key that has no object: with the delete marker that hides it, if one does."""
        error = no_such_key(key)
        if self.keeps(bucket) and (newest := await self._versions.newest(bucket.name, key)) and newest.marker:
            return hidden(error, newest)
        return error

    # Writing.

    async def replace(self, bucket: Bucket, draft: Draft, temporary: str, standing: StoredObject | None) -> StoredObject:
        """Make a sealed temporary the current version. What stands there is kept, unless it is the null version and this is one too."""
        new, kept = self._new_id(bucket), self._clock.new_id()
        draft = replace(draft, version_id=new)
        if standing is None:
            await self.notice_removal(bucket, draft.key)

        def change(connection: sqlite3.Connection) -> tuple[StoredObject, Version | None, Version]:
            old = None
            if standing and standing.version.version_id != new:
                old = keep(connection, bucket.name, standing, kept)
            state = state_of(standing) if standing else None
            stored = recorded(connection, bucket.name, draft, state, following(connection, bucket.name, draft.key))
            version = version_of(stored, stored.version.sequencer, new or "")
            if new:
                insert(connection, bucket.name, version, pending=True)
            return stored, old, version

        stored, old, version = await self._index.write(change)
        faultpoint.reach("version.recorded")
        try:
            await self._disk.run(place, bucket, draft.key, temporary, new, old)
        except BaseException:
            await self._index.forget(bucket.name, draft.key, draft.state)
            if new:
                await self._versions.doom_one(bucket.name, version)
                await self.collect(bucket, draft.key)
            raise
        faultpoint.reach("version.placed")
        await self._confirm(bucket, version)
        return stored

    async def mark(self, bucket: Bucket, key: str, author: Author, standing: StoredObject | None, action: str = MARKED) -> Deletion:
        """Hide a key behind a delete marker. ``action`` is what the event of it is called."""
        new, kept, now = self._new_id(bucket), self._clock.new_id(), self._clock.now()
        if standing is None:
            await self.notice_removal(bucket, key)

        def change(connection: sqlite3.Connection) -> tuple[Version | None, Version]:
            old = keep(connection, bucket.name, standing, kept) if standing and standing.version.version_id != new else None
            marker = make_marker(connection, bucket.name, key, new, author, now, standing, action)
            insert(connection, bucket.name, marker, pending=standing is not None)
            forget_folder(connection, bucket.name, key)
            return old, marker

        old, marker = await self._index.write(change)
        faultpoint.reach("version.marked")
        if standing:
            try:
                await self._disk.run(take_away, bucket, key, old)
            except BaseException:
                await self._versions.doom_one(bucket.name, marker)
                await self.collect(bucket, key)
                raise
            faultpoint.reach("version.hidden")
        await self._confirm(bucket, marker)
        return Deletion(marker.id, True)

    async def _confirm(self, bucket: Bucket, version: Version) -> None:
        """The directory shows a version now; one with the same id, which only the null version can have, is replaced by it."""
        if version.marker:
            await self._versions.confirm(bucket.name, version)
        elif version.id != NULL:
            # Nobody waits: the directory says it until the row does.
            self._versions.confirm_along(bucket.name, version)
            return
        if version.id == NULL and await self._versions.find(bucket.name, version.key, NULL) is not None:
            await self._versions.doom(bucket.name, version.key, NULL, version.sequencer)
            await self.collect(bucket, version.key)

    async def delete(self, bucket: Bucket, key: str, id: str, author: Author, standing: StoredObject | None) -> Deletion:
        """Remove a version for good. Where it was the current one, the next newest is that again."""
        check_id(id)
        if standing is None:
            await self.notice_removal(bucket, key)
        version = await self._versions.find(bucket.name, key, id)
        is_current = standing is not None and standing.version_id == id
        if not is_current and version is None:
            return Deletion(id)
        newest = await self._versions.newest(bucket.name, key)
        if is_current or (standing is None and version and newest and version.sequencer == newest.sequencer):
            await self._uncover(bucket, key, id, author, standing)
        else:
            await self._versions.doom(bucket.name, key, id)
        await self.collect(bucket, key)
        return Deletion(id, version is not None and version.marker and not is_current)

    async def _uncover(self, bucket: Bucket, key: str, id: str, author: Author, standing: StoredObject | None) -> None:
        """Remove the newest version, or marker, of a key, and have the directory show what is below it."""
        below, now = await self._versions.newest(bucket.name, key, id), self._clock.now()
        temporary, draft = self._clock.new_id(), None
        if below and not below.marker:
            draft = await self._returning(bucket, below, temporary)

        def change(connection: sqlite3.Connection) -> None:
            doom(connection, bucket.name, key, id)
            if draft:
                recorded(connection, bucket.name, draft, state_of(standing) if standing else None)
            else:
                forget_folder(connection, bucket.name, key)
            if standing and not draft:
                removal(
                    connection,
                    bucket.name,
                    Draft(key, state_of(standing), standing.version.etag, author=author, version_id=standing.version.version_id),
                    now,
                )

        try:
            await self._index.write(change)
            if draft:
                await self._disk.run(bucket.directory.place, temporary, key)
            elif standing:
                await self._disk.run(bucket.directory.remove, key)
        except BaseException:
            await self._versions.spare(bucket.name, key, id)
            if draft:
                await self._disk.run(bucket.directory.discard, temporary)
            raise

    async def _returning(self, bucket: Bucket, version: Version, temporary: str) -> Draft | None:
        """A version as the key's object again, its file under the name of a temporary; None if its bytes are gone."""
        try:
            state = await self._disk.run(VersionFiles(bucket.directory).bring_back, version.file or "", temporary)
        except EventflowError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        stored = version.stored
        about = (stored.attributes, stored.checksum, stored.parts, RETURN, version.author)
        return Draft(version.key, state, version.etag, *about, version_id=None if version.id == NULL else version.id)

    # What happened by hand, and what a crash left.

    async def notice_removal(self, bucket: Bucket, key: str) -> None:
        """Record a delete marker for a key whose file somebody removed by hand. The caller holds the key, and saw that it has no file."""
        newest = await self._versions.newest(bucket.name, key)
        if newest is None or newest.marker:
            return
        now = self._clock.now()
        id = made_id(bucket.name, key, newest.sequencer) if self._settings.versioning(bucket.name) == ENABLED else None

        def change(connection: sqlite3.Connection) -> None:
            marker = make_marker(connection, bucket.name, key, id, Author(), now, newest.stored)
            if marker.id == NULL:
                doom(connection, bucket.name, key, NULL)
            insert(connection, bucket.name, marker, pending=False)

        await self._index.write(change)

    async def recover(self, bucket: Bucket) -> None:
        """Decide what was under way when a daemon was interrupted: what the directory shows has happened, all else has not."""
        for version in await self._versions.pending(bucket.name):
            state = await self._disk.run(bucket.directory.state, version.key)
            if (state == version.state) != version.marker:
                await self._versions.confirm(bucket.name, version)
            else:
                await self._versions.doom_one(bucket.name, version)
        await self.collect(bucket)

    async def collect(self, bucket: Bucket, key: str | None = None) -> None:
        """Take away the bytes of deleted versions, then their rows: of a key, or of all keys."""
        while rows := await self._versions.going(bucket.name, key):
            await self._disk.run(VersionFiles(bucket.directory).discard, [file for _key, _sequencer, file in rows if file])
            await self._versions.gone(bucket.name, [(name, sequencer) for name, sequencer, _file in rows])
            await asyncio.sleep(0)

    async def tag(self, bucket: Bucket, key: str, id: str | None, tags: Mapping[str, str]) -> str:
        """Replace the tags of a version, or of the current one; its id."""
        async with self._locks.key(bucket.name, key):
            current = await self._reader.find(bucket, key, locked=True)
            if id is None and current is None:
                raise await self.absent(bucket, key)
            version = await self._versions.find(bucket.name, key, id or (current.version_id if current else NULL))
            is_current = current is not None and id in (None, current.version_id)
            if not is_current and version is None:
                raise no_such_version(key, id or NULL)
            if version and version.marker and not is_current:
                raise marked(version)
            if is_current and current:
                await self._index.set_tags(bucket.name, current, tags)
            if version:
                await self._versions.set_tags(bucket.name, version, tags)
            return current.version_id if is_current and current else id or NULL


def place(bucket: Bucket, key: str, temporary: str, new: str | None, old: Version | None) -> None:
    """Keep what is there, and have the new version's file under its second name before it has its first."""
    files = VersionFiles(bucket.directory)
    keep_current(files, key, old)
    if new:
        files.keep_temporary(temporary, new)
    bucket.directory.place(temporary, key)


def take_away(bucket: Bucket, key: str, old: Version | None) -> None:
    keep_current(VersionFiles(bucket.directory), key, old)
    bucket.directory.remove(key)


def keep_current(files: VersionFiles, key: str, old: Version | None) -> None:
    if old and old.file and old.file not in files.present({old.file: old.state}) and not files.keep_current(key, old.file, old.state):
        raise ServiceError("SlowDown", f"The file of {key!r} was changed by hand while it was to be kept as a version. Try again.", 503)


def make_marker(
    connection: sqlite3.Connection,
    bucket: str,
    key: str,
    id: str | None,
    author: Author,
    now: float,
    hidden: StoredObject | None,
    action: str = MARKED,
) -> Version:
    """A delete marker behind all that the key was, whose removal is recorded too, for triggers."""
    state, etag = (state_of(hidden), hidden.version.etag) if hidden else (NOTHING, "")
    least = following(connection, bucket, key)
    if hidden:
        sequencer = removal(connection, bucket, Draft(key, state, etag, author=author, version_id=id), now, action, least)
    else:
        sequencer = f"{max(least, int(now * 1e9)):016x}"
    return Version(key, sequencer, id or NULL, True, None, state, "", "{}", MARKED, author, now)


def state_of(stored: StoredObject) -> FileState:
    return FileState(stored.version.size, stored.version.mtime_ns, stored.version.inode)


def check_id(id: str) -> None:
    if id != NULL and not VERSION_ID.fullmatch(id):
        raise ServiceError("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=id)


def no_such_version(key: str, id: str) -> ServiceError:
    return ServiceError("NoSuchVersion", "The specified version does not exist.", 404, Key=key, VersionId=id)


def marked(version: Version) -> ServiceError:
    error = ServiceError(
        "MethodNotAllowed", "The specified method is not allowed against this resource.", 405, Method="GET", ResourceType="DeleteMarker"
    )
    return hidden(error, version)


def hidden(error: ServiceError, marker: Version) -> HiddenError:
    return HiddenError(error, marker.id, marker.modified_at)
