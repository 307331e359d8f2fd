"""Listings as S3 makes them: keys in UTF-8 order, those under a delimiter rolled up, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventflow.errors import ServiceError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.directory import BucketDirectory, FileState
from eventflow.services.objects.disk import Disk
from eventflow.services.objects.index import ObjectIndex
from eventflow.services.objects.names import BEHIND, NameCache
from eventflow.services.objects.reader import ObjectReader
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.walk import BucketWalk, Found

#: How many files that the index does not know are read at once.
RECOGNISED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Query:
    """What to list: keys that begin with ``prefix`` and sort behind ``after``; those with ``delimiter`` behind the prefix are rolled up to it."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """``last`` is the last key or common prefix of the page: the next page's ``after``. None if this is the last page."""

    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    last: str | None


class ObjectListing:
    def __init__(self, index: ObjectIndex, reader: ObjectReader, disk: Disk) -> None:
        self._index = index
        self._reader = reader
        self._disk = disk
        self._names = NameCache()

    async def page(self, bucket: Bucket, query: Query) -> Page:
        """One page. A file that is gone, or still being written, by the time of the second look at it is left out."""
        if query.limit == 0:
            return Page((), (), None)
        folders = await self._index.folders(bucket.name, query.prefix, query.after)
        items, more = await self._disk.run(scan, bucket.directory, query, folders, self._names)
        found = [item for item in items if isinstance(item, Found)]
        prefixes = [item for item in items if isinstance(item, str)]
        return Page(await self._objects(bucket, found), prefixes, name_of(items[-1]) if more else None)

    async def found(self, bucket: Bucket, query: Query) -> tuple[list[Found], str | None]:
        """The keys of a page with the states of their files and nothing more, and where the next page begins."""
        folders = await self._index.folders(bucket.name, query.prefix, query.after)
        items, more = await self._disk.run(scan, bucket.directory, query, folders, self._names)
        return [item for item in items if isinstance(item, Found)], name_of(items[-1]) if more else None

    async def is_empty(self, bucket: Bucket) -> bool:
        folders = await self._index.folders(bucket.name)
        items, _more = await self._disk.run(scan, bucket.directory, Query(limit=1), folders, self._names)
        return not items

    async def _objects(self, bucket: Bucket, found: Sequence[Found]) -> list[StoredObject]:
        known = await self._index.find_all(bucket.name, ((item.key, item.kind, item.state) for item in found))
        few = asyncio.Semaphore(RECOGNISED_AT_ONCE)

        async def recognised(key: str) -> StoredObject | None:
            async with few:
                try:
                    return await self._reader.find(bucket, key)
                except ServiceError as error:
                    if error.code in ("SlowDown", "AccessDenied"):
                        return None  # still being written, or not ours to read: no object of ours yet
                    raise

        objects = [known.get(item.key) for item in found]
        missing = [number for number, stored in enumerate(objects) if stored is None]
        for number, stored in zip(missing, await asyncio.gather(*(recognised(found[number].key) for number in missing)), strict=True):
            objects[number] = stored
        return [stored for stored in objects if stored is not None]


def scan(
    directory: BucketDirectory, query: Query, folders: Mapping[str, FileState], names: NameCache | None = None
) -> tuple[list[Found | str], bool]:
    """The keys and common prefixes of a page, and whether there are more."""
    items: list[Found | str] = []
    after = query.after.encode()
    walk = BucketWalk(directory, query.prefix.encode(), after, folders, names)
    try:
        for found in walk:
            prefix = common_prefix(found.key, query)
            if prefix is not None:
                walk.skip_to(prefix.encode() + BEHIND)
                if prefix.encode() <= after:
                    continue
            if len(items) == query.limit:
                return items, True
            items.append(found if prefix is None else prefix)
        return items, False
    finally:
        walk.close()


def common_prefix(key: str, query: Query) -> str | None:
    if not query.delimiter:
        return None
    end = key.find(query.delimiter, len(query.prefix))
    return None if end < 0 else key[: end + len(query.delimiter)]


def name_of(item: Found | str) -> str:
    return item if isinstance(item, str) else item.key
