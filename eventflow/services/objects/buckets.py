"""Which buckets there are: a name, the directory that it is, and the region it was made in."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventflow.database import MEMORY, Database
from eventflow.errors import ServiceError, SettingError
from eventflow.services.objects.directory import BucketDirectory

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

SELECT_BUCKETS = "SELECT name, path, region, created_at FROM buckets"
INSERT_BUCKET = "INSERT INTO buckets (name, path, region, created_at) VALUES (?, ?, ?, ?)"
DELETE_BUCKET = "DELETE FROM buckets WHERE name = ?"
DELETE_OBJECTS = "DELETE FROM objects WHERE bucket = ?"
DELETE_UPLOADS = "DELETE FROM uploads WHERE bucket = ?"
DELETE_COMPLETED = "DELETE FROM completed_uploads WHERE bucket = ?"
DELETE_SETTINGS = "DELETE FROM bucket_settings WHERE bucket = ?"
DELETE_PENDING = "DELETE FROM pending_bodies WHERE bucket = ?"
DELETE_VERSIONS = "DELETE FROM versions WHERE bucket = ?"


@dataclass(frozen=True, slots=True)
class Bucket:
    """``path`` is absolute and free of symbolic links, ``created_at`` Unix seconds."""

    name: str
    path: Path
    region: str
    created_at: float
    directory: BucketDirectory = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", BucketDirectory(self.path))


class Buckets:
    """The registry of buckets, in memory and in the database. ``root`` is where buckets without a path of their own are."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root.resolve()
        self._state = None if database.path == MEMORY else Path(database.path).resolve().parent
        self._buckets: dict[str, Bucket] = {}

    async def load(self) -> None:
        rows = await self._database.read(lambda connection: connection.execute(SELECT_BUCKETS).fetchall())
        self._buckets = {name: Bucket(name, Path(path) if path else self._root / name, region, created_at) for name, path, region, created_at in rows}

    def all(self) -> Mapping[str, Bucket]:
        return self._buckets

    def get(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            raise no_such_bucket(name)
        return bucket

    def confirm(self, bucket: Bucket) -> None:
        """Raise ``NoSuchBucket`` if a bucket was deleted since it was got (and perhaps made again, elsewhere)."""
        if self._buckets.get(bucket.name) != bucket:
            raise no_such_bucket(bucket.name)

    def place(self, name: str, path: Path | None) -> Path:
        """Where a bucket of this name goes. A path of its own must share nothing with another bucket, the buckets' root or the state directory."""
        wanted = (path or self._root / name).resolve()
        if wanted == self._root / name:
            return wanted
        taken = {f"the bucket {other.name!r}": other.path for other in self._buckets.values()} | {"the directory of all buckets": self._root}
        if self._state:
            taken["the state directory"] = self._state
        for owner, other_path in taken.items():
            if wanted.is_relative_to(other_path) or other_path.is_relative_to(wanted):
                raise SettingError(
                    f"Bucket {name!r} cannot be the directory {wanted}: it overlaps {other_path}, which is {owner}. "
                    "Give it a directory apart from that one."
                )
        return wanted

    def is_in_root(self, bucket: Bucket) -> bool:
        return bucket.path == self._root / bucket.name

    async def add(self, bucket: Bucket) -> None:
        # Without a path where the root says it: the state may be moved, or copied, and must not lead back to where it was.
        path = None if self.is_in_root(bucket) else str(bucket.path)
        row = (bucket.name, path, bucket.region, bucket.created_at)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(INSERT_BUCKET, row)

        await self._database.write(change)
        self._buckets[bucket.name] = bucket

    async def remove(self, name: str) -> None:
        """Take a bucket and all that is known of its objects out of the database."""

        def change(connection: sqlite3.Connection) -> None:
            for statement in (DELETE_OBJECTS, DELETE_UPLOADS, DELETE_COMPLETED, DELETE_SETTINGS, DELETE_VERSIONS, DELETE_PENDING, DELETE_BUCKET):
                connection.execute(statement, (name,))

        await self._database.write(change)
        del self._buckets[name]


def no_such_bucket(name: str) -> ServiceError:
    return ServiceError("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)


def check_bucket_name(name: str) -> None:
    """S3's rules for the names of general purpose buckets."""
    lawful = NAME.fullmatch(name) and ".." not in name and not ADDRESS.fullmatch(name)
    if not lawful or name.startswith(RESERVED_PREFIXES) or name.endswith(RESERVED_SUFFIXES):
        raise ServiceError("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)
