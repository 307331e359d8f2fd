"""Objects as they are read: an open file together with what the index knows of exactly that state of it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass

from eventflow.errors import ServiceError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.conditions import no_such_key
from eventflow.services.objects.content_types import ContentTypes
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import Disk, is_local
from eventflow.services.objects.etags import compute_etag, small_etag
from eventflow.services.objects.index import FOLDER, Draft, KnownKey, ObjectIndex
from eventflow.services.objects.keys import is_folder, segments
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.outgoing import Outgoing
from eventflow.services.objects.settings import ENABLED, BucketSettings, made_id
from eventflow.services.objects.stored import Attributes, StoredObject

#: How often a file may be replaced between our look at it and our word on it.
ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """An object and its bytes. Read ``content`` to its end, or call its ``aclose``."""

    stored: StoredObject
    content: Outgoing


class ObjectReader:
    def __init__(self, index: ObjectIndex, disk: Disk, locks: KeyLocks, settings: BucketSettings) -> None:
        self._index = index
        self._disk = disk
        self._locks = locks
        self._settings = settings
        self._content_types = ContentTypes()

    async def open(self, bucket: Bucket, key: str) -> Opened:
        opened = await self._open(bucket, key, locked=False)
        if opened is None:
            raise no_such_key(key)
        return opened

    async def find(self, bucket: Bucket, key: str, *, locked: bool = False) -> StoredObject | None:
        """The object as it is now, or None. ``locked`` says that the caller holds the key."""
        opened = await self._open(bucket, key, locked)
        if opened is None:
            return None
        await opened.content.aclose()
        return opened.stored

    async def _open(self, bucket: Bucket, key: str, locked: bool) -> Opened | None:
        for _ in range(ATTEMPTS):
            found = await self._disk.brief(bucket.path, bucket.directory.open, key)
            if found is None:
                return await self._open_folder(bucket, key) if is_folder(key) else None
            content = Outgoing(found[0], self._disk)
            known = await self._index.known(bucket.name, key)
            stored = known.find(found[1]) or await self._recognise(bucket, key, content, known, locked)
            if stored is not None:
                content.limit(0, stored.version.size)
                return Opened(stored, content)
            await content.aclose()
        raise ServiceError("SlowDown", f"The file of {key!r} changes faster than it can be read. Try again when it has been written.", 503)

    async def _recognise(self, bucket: Bucket, key: str, content: Outgoing, known: KnownKey, locked: bool) -> StoredObject | None:
        """What a file is that the index does not know: somebody put it there by hand. None if it was replaced meanwhile."""
        summed = at_once = small_etag(content.descriptor) if is_local(bucket.path) else None
        if summed is None:
            summed = await self._disk.run(compute_etag, content.descriptor, bucket.directory)
        etag, state, settled = summed
        id = made_id(bucket.name, key, str(state)) if self._settings.versioning(bucket.name) == ENABLED else None
        draft = Draft(key, state, etag, Attributes(self._content_types.guess(key)), settled=settled, version_id=id)
        async with nullcontext() if locked else self._locks.key(bucket.name, key):
            # Where nothing was waited for since the file was opened, it has just been seen in its place.
            waited = not (at_once and self._index.holds(known))
            if waited and await self._disk.brief(bucket.path, bucket.directory.state, key) != state:
                return None
            return await self._index.recognise(bucket.name, draft, known)

    async def _open_folder(self, bucket: Bucket, key: str) -> Opened | None:
        state = await self.folder_state(bucket, key)
        stored = (await self._index.known(bucket.name, key)).find(state, FOLDER) if state else None
        if stored is None:
            return None
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return Opened(stored, Outgoing(descriptor, self._disk))

    async def folder_state(self, bucket: Bucket, key: str) -> FileState | None:
        """The state of a folder's key, if its directory is still the one that it was made for."""
        if segments(key) is None:
            return None
        state = (await self._index.folders(bucket.name, key)).get(key)
        inode = await self._disk.brief(bucket.path, bucket.directory.folder, key)
        return state if state and state.inode == inode else None
