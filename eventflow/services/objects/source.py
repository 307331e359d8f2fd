"""A bucket as its trigger sees it."""

from __future__ import annotations

from pathlib import Path

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.disk import to_the_end
from eventflow.services.objects.history import History
from eventflow.services.objects.index import ObjectIndex
from eventflow.services.objects.keys import key_at
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.reader import ObjectReader
from eventflow.trigger import ObjectVersion


class StoredBucket:
    """A ``BucketSource`` on the object store, with one thing more: ``removed``."""

    def __init__(self, bucket: Bucket, index: ObjectIndex, reader: ObjectReader, history: History, locks: KeyLocks, clock: Clock) -> None:
        self.name: str = bucket.name
        self.path: Path = bucket.path
        self._bucket = bucket
        self._index = index
        self._reader = reader
        self._history = history
        self._locks = locks
        self._clock = clock

    def key_at(self, path: str) -> str | None:
        return key_at(path)

    async def describe(self, key: str) -> ObjectVersion | None:
        """The object as it is on disk now, or None if there is none. The same state of a file has the same ETag and sequencer every time."""
        stored = await self._reader.find(self._bucket, key)
        faultpoint.reach("bucket.described")
        return stored.version if stored else None

    async def removed(self, key: str) -> ObjectVersion | None:
        """The removal of a key that was an object and is one no more: its last size and ETag, a sequencer behind all of its life, and who did it if
        a call did. ``action`` is ``Delete``. None for a key that is there, that was never seen, or that was removed more than a week ago."""
        async with self._locks.key(self.name, key):
            if await self._reader.find(self._bucket, key, locked=True) is not None:
                return None
            if self._history.keeps(self._bucket):
                await to_the_end(self._history.notice_removal(self._bucket, key))
            return await to_the_end(self._index.removed(self.name, key, self._clock.now()))
