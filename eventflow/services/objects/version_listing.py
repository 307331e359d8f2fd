"""Listings of versions: by key, each key's newest first, those of the directory's files and those of the rows in one order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.disk import Disk
from eventflow.services.objects.history import History, check_id
from eventflow.services.objects.listing import ObjectListing, Query, common_prefix
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.reader import ObjectReader
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.version_files import VersionFiles
from eventflow.services.objects.version_index import Position, Version, VersionIndex

#: Behind every key that begins as what stands before it; and behind every sequencer.
BEHIND, NEWEST = "\U0010ffff", "g"
#: So many ends of pages are remembered, for who comes back when the version that a page ended with is gone.
MOST_ENDS = 10_000


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """What to list: versions behind those of ``key_marker``, or in it behind ``version_marker``. The rest is as in ``Query``."""

    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    version_marker: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """A version (``stored``) or a delete marker (``marker``)."""

    key: str
    id: str
    latest: bool
    stored: StoredObject | None = None
    marker: Version | None = None

    @property
    def sequencer(self) -> str:
        if self.marker:
            return self.marker.sequencer
        return self.stored.version.sequencer if self.stored else ""


@dataclass(frozen=True, slots=True)
class VersionPage:
    """``last`` is where the next page begins: the key, or common prefix, and the version id. None if this is the last page."""

    entries: Sequence[Listed]
    prefixes: Sequence[str]
    last: tuple[str, str | None] | None


class Files:
    """The current versions, and what is rolled up of them, by name."""

    def __init__(self, listing: ObjectListing, bucket: Bucket, query: VersionQuery) -> None:
        self._listing = listing
        self._bucket = bucket
        self._query = query
        self._after: str | None = query.key_marker
        self._items: deque[tuple[str, StoredObject | None]] = deque()

    async def peek(self) -> tuple[str, StoredObject | None] | None:
        while not self._items and self._after is not None:
            wanted = Query(self._query.prefix, self._query.delimiter, self._after, self._query.limit + 1)
            page = await self._listing.page(self._bucket, wanted)
            found: list[tuple[str, StoredObject | None]] = [(stored.version.key, stored) for stored in page.objects]
            found += [(name, None) for name in page.prefixes]
            self._items.extend(sorted(found, key=lambda item: item[0].encode()))
            self._after = page.last
        return self._items[0] if self._items else None

    def pop(self) -> StoredObject | None:
        return self._items.popleft()[1]


class Rows:
    """The versions and markers that have rows, and what is rolled up of them: a name, and the version unless it is a common prefix. Versions whose
    bytes are gone are left out."""

    def __init__(self, versions: VersionIndex, disk: Disk, bucket: Bucket, query: VersionQuery, position: Position) -> None:
        self._versions = versions
        self._disk = disk
        self._bucket = bucket
        self._query = query
        self._rolled = Query(query.prefix, query.delimiter)
        self._position: Position | None = position
        self._items: deque[tuple[str, Version | None]] = deque()

    async def peek(self) -> tuple[str, Version | None] | None:
        while not self._items and self._position is not None:
            await self._fetch(self._position)
        return self._items[0] if self._items else None

    def pop(self) -> Version | None:
        return self._items.popleft()[1]

    async def _fetch(self, position: Position) -> None:
        limit = self._query.limit + 1
        found = await self._versions.behind(self._bucket.name, position, self._query.prefix + BEHIND, limit)
        self._position = Position.behind(found[-1].key, found[-1].sequencer) if len(found) == limit else None
        wanted = {version.file: version.state for version in found if version.file}
        present = await self._disk.run(VersionFiles(self._bucket.directory).present, wanted) if wanted else set()
        for version in found:
            prefix = common_prefix(version.key, self._rolled)
            if prefix is not None:
                if prefix > self._query.key_marker:
                    self._items.append((prefix, None))
                self._position = Position(prefix + BEHIND)
                return
            if version.marker or version.file in present:
                self._items.append((version.key, version))


class VersionListing:
    def __init__(self, listing: ObjectListing, versions: VersionIndex, history: History, reader: ObjectReader, disk: Disk, locks: KeyLocks) -> None:
        self._listing = listing
        self._versions = versions
        self._history = history
        self._reader = reader
        self._disk = disk
        self._locks = locks
        #: The sequencers of versions that pages ended with and that were not their key's newest.
        self._ends: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    async def page(self, bucket: Bucket, query: VersionQuery) -> VersionPage:
        if query.limit == 0:
            return VersionPage((), (), None)
        out: list[Listed | str] = []
        await self._begin(bucket, query, out)
        last = out[query.limit - 1] if len(out) > query.limit else None
        out = out[: query.limit]
        entries = [item for item in out if isinstance(item, Listed)]
        if isinstance(last, Listed) and not last.latest:
            self._remember(bucket, last)
        position = None if last is None else (last, None) if isinstance(last, str) else (last.key, last.id)
        return VersionPage(entries, [item for item in out if isinstance(item, str)], position)

    def _remember(self, bucket: Bucket, last: Listed) -> None:
        self._ends[bucket.name, last.key, last.id] = last.sequencer
        while len(self._ends) > MOST_ENDS:
            self._ends.popitem(last=False)

    async def _begin(self, bucket: Bucket, query: VersionQuery, out: list[Listed | str]) -> None:
        key, files = query.key_marker, Files(self._listing, bucket, query)
        prefix = common_prefix(key, Query(query.prefix, query.delimiter)) if key.startswith(query.prefix) else None
        position = Position(prefix + BEHIND) if prefix is not None else Position(max(key + "\0" if key else "", query.prefix))
        if query.version_marker and prefix is None:
            position, current, begun = await self._within(bucket, key, query.version_marker)
            rows = Rows(self._versions, self._disk, bucket, query, position)
            await self._key(bucket, key, current, rows, out, query.limit, begun=begun)
        else:
            rows = Rows(self._versions, self._disk, bucket, query, position)
        while len(out) <= query.limit:
            file, row = await files.peek(), await rows.peek()
            names = [item[0] for item in (file, row) if item is not None]
            if not names:
                return
            name = min(names, key=str.encode)
            if (file and file[0] == name and file[1] is None) or (row and row[0] == name and row[1] is None):
                if file and file[0] == name:
                    files.pop()
                while (item := await rows.peek()) and item[0] == name:
                    rows.pop()
                out.append(name)
            else:
                await self._key(bucket, name, files.pop() if file and file[0] == name else None, rows, out, query.limit)

    async def _within(self, bucket: Bucket, key: str, id: str) -> tuple[Position, StoredObject | None, bool]:
        """Where the versions of a key go on behind one of them: the rows' position, the current version if only its id is to be left out, and whether
        the key's newest was told. Where a version that is gone meanwhile was is remembered, unless very many pages or a restart lie between: then,
        and where nothing of its key was told before it, the key begins anew."""
        check_id(id)
        current = await self._reader.find(bucket, key)
        if current and current.version_id == id:
            return Position.behind(key, NEWEST), current, True
        version = await self._versions.find(bucket.name, key, id)
        sequencer = version.sequencer if version else self._ends.get((bucket.name, key, id))
        if sequencer is None:
            return Position.behind(key, NEWEST), current, False
        newest = await (self._versions.find(bucket.name, key, current.version_id) if current else self._versions.newest(bucket.name, key))
        return Position.behind(key, sequencer), current, version is not None or newest is None or newest.sequencer > sequencer

    async def _key(
        self, bucket: Bucket, key: str, current: StoredObject | None, rows: Rows, out: list[Listed | str], limit: int, *, begun: bool = False
    ) -> None:
        """All versions of a key, or as many as the page takes. ``begun`` says that its newest was in the page before."""
        latest, told = not begun, {current.version_id} if current else set()
        if current and latest:
            out.append(Listed(key, current.version_id, True, stored=current))
            latest = False
        while len(out) <= limit and (row := await rows.peek()) and row[0] == key:
            version = rows.pop()
            if version is None or version.id in told:
                continue
            if latest and not version.marker and (marker := await self._unnoticed(bucket, key)):
                out.append(Listed(key, marker.id, True, marker=marker))
                told.add(marker.id)
                latest = False
            told.add(version.id)
            out.append(Listed(key, version.id, latest, None if version.marker else version.stored, version if version.marker else None))
            latest = False

    async def _unnoticed(self, bucket: Bucket, key: str) -> Version | None:
        """The delete marker of a key whose file was removed by hand; None if the file has come back meanwhile."""
        async with self._locks.key(bucket.name, key):
            if await self._reader.find(bucket, key, locked=True) is not None:
                return None
            await self._history.notice_removal(bucket, key)
        newest = await self._versions.newest(bucket.name, key)
        return newest if newest and newest.marker else None
