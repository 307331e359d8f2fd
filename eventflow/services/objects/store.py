"""The object store: buckets that are plain directories, with S3's rules on top."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from eventflow import directories
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import EventflowError, ServiceError, SettingError
from eventflow.services.objects.buckets import Bucket, Buckets, check_bucket_name
from eventflow.services.objects.checksums import default_algorithm
from eventflow.services.objects.conditions import ReadConditions
from eventflow.services.objects.disk import Disk, to_the_end
from eventflow.services.objects.history import Deletion, History
from eventflow.services.objects.incoming import LARGEST_BODY
from eventflow.services.objects.index import ObjectIndex
from eventflow.services.objects.lifecycle_sweep import LifecycleSweep
from eventflow.services.objects.listing import ObjectListing, Page, Query
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.pending import PendingBodies
from eventflow.services.objects.reader import ObjectReader, Opened
from eventflow.services.objects.recovery import Recovery
from eventflow.services.objects.settings import VERSIONING, BucketSettings
from eventflow.services.objects.source import StoredBucket
from eventflow.services.objects.stored import Attributes, Author, StoredObject
from eventflow.services.objects.upload_index import UploadIndex
from eventflow.services.objects.uploads import Uploads
from eventflow.services.objects.version_files import VersionFiles
from eventflow.services.objects.version_index import VersionIndex
from eventflow.services.objects.version_listing import VersionListing, VersionPage, VersionQuery
from eventflow.services.objects.writer import Expected, ObjectWriter, Writing

log = logging.getLogger("eventflow.objects")
HOME_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class CopySource:
    """Where a copy comes from, and under which conditions."""

    bucket: str
    key: str
    conditions: ReadConditions = field(default_factory=ReadConditions)
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy, and the version that it was made of."""

    stored: StoredObject
    source: StoredObject


class Objects:
    """S3's operations as values. ``root`` is where buckets without a path of their own are kept; call ``open`` first and ``close`` last.

    The files are the truth: an object is whatever regular file is in a bucket's directory, however it came there. What S3 knows beyond
    the bytes is in the database, and holds for a file exactly as long as its size, time and inode stay what they were.
    """

    def __init__(self, database: Database, clock: Clock, root: Path, account: str = "000000000000") -> None:
        self.account = account
        self._database = database
        self._clock = clock
        self._buckets = Buckets(database, root)
        self.settings = BucketSettings(database)
        self._disk = Disk()
        self._locks = KeyLocks()
        self._naming = asyncio.Lock()
        self._index = ObjectIndex(database)
        self._reader = ObjectReader(self._index, self._disk, self._locks, self.settings)
        self._versions = VersionIndex(database)
        self.history = History(self._index, self._versions, self._reader, self.settings, self._disk, self._locks, clock)
        self._pending = PendingBodies(database, self._index, self._disk, clock)
        self._recovery = Recovery(database, self._index, self._pending, self._disk, self._locks, clock)
        self._writer = ObjectWriter(self._buckets, self._index, self._pending, self._reader, self.history, self._disk, self._locks, clock)
        self._upload_index = UploadIndex(database)
        self.uploads = Uploads(self._upload_index, self._reader, self._writer, self._disk, clock)
        self._listing = ObjectListing(self._index, self._reader, self._disk)
        self._version_listing = VersionListing(self._listing, self._versions, self.history, self._reader, self._disk, self._locks)

        self.lifecycle = LifecycleSweep(self._buckets, self.settings, self._listing, self._version_listing, self._writer, self.uploads, clock)

    async def open(self) -> None:
        """Bring the tables up to date and sweep away what an interrupted daemon left unfinished."""
        await self._database.migrate("objects", "eventflow.services")
        await self._buckets.load()
        await self.settings.load()
        await self._pending.open(self._recovery.write_anew)
        for bucket in self._buckets.all().values():
            if await self._disk.run(bucket.path.is_dir):
                keep = await self._recovery.recover(bucket)
                await self._disk.run(bucket.directory.sweep, keep.union(await self._upload_index.files(bucket.name)))
                if self.history.keeps(bucket):
                    await self.history.recover(bucket)
                await self.uploads.recover(bucket)

    async def flush(self) -> None:
        """Have the files of all objects on the disk, so that the next start finds nothing to make good. Raises what keeps it from that."""
        await self._pending.flush()

    async def stop(self) -> None:
        """The same before ``close``; what cannot be done now is done at the next start."""
        try:
            await self.flush()
        except EventflowError as error:
            log.warning("small objects stay in the state file until the next start: %s", error)

    def close(self) -> None:
        self.lifecycle.close()
        self._pending.close()
        self._disk.close()

    async def settle(self) -> bool:
        """Wait for the work on files that is under way; whether there was any. (For a virtual clock, which does not see threads.)"""
        worked = await self._disk.settle()
        return await self._pending.settle() or worked

    # Buckets.

    async def ensure_bucket(self, name: str, path: Path | str | None = None, region: str = HOME_REGION) -> Bucket:
        """Make a bucket unless it is there, and its directory; ``path`` puts it outside the root. Raises ``SettingError`` if it cannot be so."""
        async with self._naming:
            standing = self._buckets.all().get(name)
            if standing is None:
                return await self._make_bucket(name, resolved(path) if path is not None else None, region)
            if path is not None and standing.path != resolved(path):
                raise SettingError(
                    f"Bucket {name!r} is the directory {standing.path}, not {path}. "
                    "Name that directory, or delete the bucket and move its files first."
                )
            await self._disk.run(make_directory, standing.path)
            return standing

    async def create_bucket(self, name: str, region: str) -> Bucket:
        """S3's CreateBucket: one that is there already is an error, except in us-east-1, where S3 answers as if it had just been made."""
        check_bucket_name(name)
        async with self._naming:
            standing = self._buckets.all().get(name)
            if standing is None:
                return await self._make_bucket(name, None, region)
        if standing.region == region == HOME_REGION:
            return standing
        raise ServiceError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            409,
            BucketName=name,
        )

    async def _make_bucket(self, name: str, path: Path | None, region: str) -> Bucket:
        try:
            check_bucket_name(name)
        except ServiceError as error:
            raise SettingError(
                f"Bucket name {name!r} is not one that S3 allows: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a "
                "letter or digit, no address of four numbers, none of S3's reserved prefixes and suffixes. Rename the bucket."
            ) from error
        place = self._buckets.place(name, path)
        await self._disk.run(make_directory, place)
        bucket = Bucket(name, place, region, self._clock.now())
        await self._buckets.add(bucket)
        return bucket

    def bucket(self, name: str) -> Bucket:
        """The bucket of this name; raises ``NoSuchBucket``."""
        return self._buckets.get(name)

    def list_buckets(self) -> list[Bucket]:
        """All buckets, by name."""
        return sorted(self._buckets.all().values(), key=lambda bucket: bucket.name)

    async def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket. Its directory goes too if it lies in the root; a directory that the application named is left to its owner."""
        bucket = self._buckets.get(name)
        ours = self._buckets.is_in_root(bucket)
        async with self._naming, self._locks.bucket(name):
            if await self._disk.run(bucket.path.is_dir) or not ours:
                await self._empty_directory(bucket, ours)
            await self._buckets.remove(name)
            self.settings.forget(name)

    async def _empty_directory(self, bucket: Bucket, ours: bool) -> None:
        if not await self._listing.is_empty(bucket):
            raise bucket_not_empty(bucket, "The bucket you tried to delete is not empty")
        if await self._versions.any(bucket.name):
            raise bucket_not_empty(bucket, "The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
        await self._disk.run(VersionFiles(bucket.directory).leave)
        if not await self._disk.run(vanished if ours else left, bucket):
            raise bucket_not_empty(bucket, f"The bucket holds no objects, but its directory {bucket.path} holds other things. Remove those first.")

    async def source(self, name: str) -> StoredBucket:
        """The bucket for its trigger."""
        return StoredBucket(self._buckets.get(name), self._index, self._reader, self.history, self._locks, self._clock)

    # Objects.

    async def put(self, bucket: str, key: str, body: AsyncIterable[bytes], writing: Writing | None = None) -> StoredObject:
        """Store a whole body under a key; returns once that is on the disk."""
        writing = writing or Writing()
        if writing.expected.computed is None and (algorithm := default_algorithm()):
            writing = replace(writing, expected=replace(writing.expected, algorithm=algorithm))
        return await self._writer.put(self._buckets.get(bucket), key, body, writing)

    async def get(self, bucket: str, key: str, conditions: ReadConditions | None = None, version_id: str | None = None) -> Opened:
        """An object and its bytes; read them to the end or close them."""
        opened = await self._open(bucket, key, version_id)
        try:
            (conditions or ReadConditions()).check(opened.stored)
        except ServiceError:
            await opened.content.aclose()
            raise
        return opened

    async def _open(self, bucket: str, key: str, version_id: str | None) -> Opened:
        place = self._buckets.get(bucket)
        if version_id is not None:
            return await self.history.open(place, key, version_id)
        try:
            return await self._reader.open(place, key)
        except ServiceError as error:
            if error.code == "NoSuchKey":
                raise await self.history.absent(place, key) from None
            raise

    async def open_source(self, source: CopySource) -> Opened:
        """The source of a copy; its conditions are not looked at."""
        try:
            return await self._open(source.bucket, source.key, source.version_id)
        except ServiceError as error:
            if error.code != "MethodNotAllowed":
                raise
            text = "The source of a copy request may not specifically refer to a delete marker by version id."
            raise ServiceError("InvalidRequest", text) from None

    async def head(self, bucket: str, key: str, conditions: ReadConditions | None = None, version_id: str | None = None) -> StoredObject:
        """What is known of an object."""
        opened = await self.get(bucket, key, conditions, version_id)
        await opened.content.aclose()
        return opened.stored

    async def delete(
        self, bucket: str, key: str, author: Author | None = None, if_match: str | None = None, version_id: str | None = None
    ) -> Deletion:
        """Remove an object, or one version of it; returns once it is gone from the disk. One that is not there is no error."""
        return await self._writer.delete(self._buckets.get(bucket), key, author or Author(), if_match, version_id)

    async def copy(
        self, source: CopySource, bucket: str, key: str, writing: Writing, attributes: Attributes | None = None, tags: Mapping[str, str] | None = None
    ) -> Copied:
        """Store an object's bytes under another key (or another bucket). ``attributes`` replace those of the source but for its tags, which ``tags``
        replace."""
        target = self._buckets.get(bucket)
        opened = await self.open_source(source)
        try:
            source.conditions.check_source(opened.stored)
            if opened.stored.version.size > LARGEST_BODY:
                raise ServiceError(
                    "InvalidRequest", f"The specified copy source is larger than the maximum allowable size for a copy source: {LARGEST_BODY}"
                )
            stored = await self._writer.put(target, key, opened.content, copied(writing, opened.stored, attributes, tags))
            return Copied(stored, opened.stored)
        finally:
            await opened.content.aclose()

    def new_rule_id(self) -> str:
        """The id of a lifecycle rule that came without."""
        return self._clock.new_id()

    async def set_versioning(self, bucket: str, status: str) -> None:
        """``Enabled`` or ``Suspended``. Every change of a key that is under way ends first."""
        place = self._buckets.get(bucket)
        async with self._locks.bucket(bucket):
            self._buckets.confirm(place)
            await self.flush()  # what becomes a version has to be on the disk
            await self.settings.put(bucket, VERSIONING, status)

    async def tag(self, bucket: str, key: str, version_id: str | None, tags: Mapping[str, str]) -> str:
        """Replace the tags of an object, or of one version of it; the version's id."""
        return await to_the_end(self.history.tag(self._buckets.get(bucket), key, version_id, tags))

    async def list_versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """A page of a bucket's versions and delete markers."""
        return await self._version_listing.page(self._buckets.get(bucket), query)

    async def list(self, bucket: str, query: Query) -> Page:
        """A page of a bucket's keys."""
        return await self._listing.page(self._buckets.get(bucket), query)


def copied(writing: Writing, source: StoredObject, attributes: Attributes | None, tags: Mapping[str, str] | None) -> Writing:
    """A copy keeps what its source has: what was said of it, its tags, and which checksum."""
    algorithm = writing.expected.algorithm or (source.checksum.algorithm if source.checksum else default_algorithm())
    attributes = replace(attributes or source.attributes, tags=source.attributes.tags if tags is None else tags)
    return replace(writing, attributes=attributes, expected=Expected(algorithm=algorithm), action="Copy")


def resolved(path: Path | str) -> Path:
    return Path(path).expanduser().resolve()


def make_directory(path: Path) -> None:
    try:
        directories.make_directory(path)
    except (FileExistsError, NotADirectoryError):
        raise SettingError(f"A bucket cannot be {path}: there is a file in its place. Move the file, or name another directory.") from None


def vanished(bucket: Bucket) -> bool:
    try:
        bucket.directory.vanish()
    except OSError:
        return False  # something is in the way that is no object
    return True


def left(bucket: Bucket) -> bool:
    bucket.directory.leave()
    return True


def bucket_not_empty(bucket: Bucket, message: str) -> ServiceError:
    return ServiceError("BucketNotEmpty", message, 409, BucketName=bucket.name)
