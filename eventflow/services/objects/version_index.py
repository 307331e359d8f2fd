"""The rows of versions and delete markers."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventflow.database import Database
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.index import FILE, Draft, encode, retagged, stored_object
from eventflow.services.objects.stored import Author, StoredObject

log = logging.getLogger("eventflow.objects")
COLUMNS = "key, sequencer, id, marker, file, state, etag, attributes, action, trace, principal, modified_at"
INSERT = f"INSERT OR REPLACE INTO versions (bucket, {COLUMNS}, pending) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: What there is: not what was begun and is not in the directory yet, nor what is deleted and still has bytes.
LIVE = "pending = 0 AND going = 0"
SELECT_ONE = f"SELECT {COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND id = ? AND {LIVE} ORDER BY sequencer DESC LIMIT 1"
SELECT_NEWEST = f"SELECT {COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND id <> ? AND {LIVE} ORDER BY sequencer DESC LIMIT 1"
SELECT_LAST = "SELECT max(sequencer) FROM versions WHERE bucket = ? AND key = ?"
SELECT_ANY = f"SELECT 1 FROM versions WHERE bucket = ? AND {LIVE} LIMIT 1"
SELECT_PENDING = f"SELECT {COLUMNS} FROM versions WHERE bucket = ? AND pending = 1"
SELECT_GOING = "SELECT key, sequencer, file FROM versions INDEXED BY versions_unfinished WHERE bucket = ? AND going = 1 LIMIT 1000"
SELECT_GOING_OF_KEY = "SELECT key, sequencer, file FROM versions WHERE bucket = ? AND key = ? AND going = 1"
SELECT_REST = f"SELECT {COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND sequencer < ? AND {LIVE} ORDER BY sequencer DESC LIMIT ?"
SELECT_BEHIND = f"SELECT {COLUMNS} FROM versions WHERE bucket = ? AND key >= ? AND key < ? AND {LIVE} ORDER BY key, sequencer DESC LIMIT ?"
CONFIRM = "UPDATE versions SET pending = 0 WHERE bucket = ? AND key = ? AND sequencer = ?"
DOOM = "UPDATE versions SET going = 1 WHERE bucket = ? AND key = ? AND id = ? AND sequencer <> ? AND pending = 0"
SPARE = "UPDATE versions SET going = 0 WHERE bucket = ? AND key = ? AND id = ?"
DOOM_ONE = "UPDATE versions SET going = 1 WHERE bucket = ? AND key = ? AND sequencer = ?"
DOOM_OVERWRITTEN = "UPDATE versions SET going = 1 WHERE bucket = ? AND key = ? AND state LIKE ? AND state <> ? AND marker = 0"
DELETE = "DELETE FROM versions WHERE bucket = ? AND key = ? AND sequencer = ?"
UPDATE_ATTRIBUTES = "UPDATE versions SET attributes = ? WHERE bucket = ? AND key = ? AND sequencer = ?"
NOTHING = FileState(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Version:
    """A version or a delete marker of a key. ``file`` has its bytes, ``modified_at`` is in Unix seconds; a newer one has a greater ``sequencer``."""

    key: str
    sequencer: str
    id: str
    marker: bool
    file: str | None
    state: FileState
    etag: str
    attributes: str
    action: str
    author: Author
    modified_at: float

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Version:
        key, sequencer, id, marker, file, state, etag, attributes, action, trace, principal, modified_at = row
        author = Author(principal, trace)
        return cls(key, sequencer, id, bool(marker), file, FileState.parse(state), etag, attributes, action, author, modified_at)

    @property
    def stored(self) -> StoredObject:
        """The object that a version was (or is)."""
        values = (self.key, FILE, str(self.state), self.sequencer, self.etag, 1, self.attributes, self.action, self.author.trace)
        return stored_object((*values, self.author.principal))


@dataclass(frozen=True, slots=True)
class Position:
    """A place among the versions: those of a key that are older than a sequencer (``rest``), then those of the keys from ``start`` on."""

    start: str
    rest: tuple[str, str] | None = None

    @classmethod
    def behind(cls, key: str, sequencer: str) -> Position:
        return cls(key + "\0", (key, sequencer))


def version_of(stored: StoredObject, sequencer: str, file: str) -> Version:
    """The version that an object is."""
    was = stored.version
    state, author = FileState(was.size, was.mtime_ns, was.inode), Author(was.principal, was.trace)
    draft = Draft(was.key, state, was.etag, stored.attributes, stored.checksum, stored.parts, version_id=was.version_id)
    return Version(was.key, sequencer, stored.version_id, False, file, state, was.etag, encode(draft), was.action, author, stored.modified)


class VersionIndex:
    """The versions of all buckets. What is called within a transaction takes its connection first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._confirming: dict[tuple[str, str], asyncio.Future[Any]] = {}

    async def find(self, bucket: str, key: str, id: str) -> Version | None:
        await self._until_confirmed(bucket, key)
        return await self._database.look(lambda connection: one(connection, SELECT_ONE, (bucket, key, id)))

    async def newest(self, bucket: str, key: str, but: str = "") -> Version | None:
        """The newest version or marker of a key, apart from those of the id ``but``."""
        await self._until_confirmed(bucket, key)
        return await self._database.look(lambda connection: one(connection, SELECT_NEWEST, (bucket, key, but)))

    async def any(self, bucket: str) -> bool:
        return await self._database.look(lambda connection: connection.execute(SELECT_ANY, (bucket,)).fetchone() is not None)

    async def pending(self, bucket: str) -> list[Version]:
        """What a daemon that was interrupted had begun."""
        return await self._database.read(lambda connection: [Version.of(row) for row in connection.execute(SELECT_PENDING, (bucket,))])

    async def going(self, bucket: str, key: str | None = None) -> Sequence[tuple[str, str, str | None]]:
        """Key, sequencer and file of some that are deleted and have bytes."""
        statement, values = (SELECT_GOING, (bucket,)) if key is None else (SELECT_GOING_OF_KEY, (bucket, key))
        return await self._database.read(lambda connection: connection.execute(statement, values).fetchall())

    async def gone(self, bucket: str, rows: Iterable[tuple[str, str]]) -> None:
        """Forget versions whose bytes are gone, by key and sequencer."""
        values = [(bucket, key, sequencer) for key, sequencer in rows]
        await self._database.write(lambda connection: connection.executemany(DELETE, values) and None)

    async def confirm(self, bucket: str, version: Version) -> None:
        """Say that the directory shows a version."""
        await self._database.write(lambda connection: connection.execute(CONFIRM, (bucket, version.key, version.sequencer)) and None)

    def confirm_along(self, bucket: str, version: Version) -> None:
        """The same, on the disk with what is written next."""
        written = self._database.write_along(lambda connection: connection.execute(CONFIRM, (bucket, version.key, version.sequencer)) and None)
        self._confirming[bucket, version.key] = written
        written.add_done_callback(partial(self._confirmed, bucket, version.key))

    def _confirmed(self, bucket: str, key: str, written: asyncio.Future[Any]) -> None:
        if self._confirming.get((bucket, key)) is written:
            del self._confirming[bucket, key]
        report(bucket, key, written)

    async def _until_confirmed(self, bucket: str, key: str) -> None:
        """The directory tells of a version until its row does; but somebody may have removed the file by hand in between."""
        if (written := self._confirming.get((bucket, key))) is not None:
            await asyncio.wait((written,))

    async def doom(self, bucket: str, key: str, id: str, but: str = "") -> None:
        """Delete the versions of an id; their bytes go when they are collected. ``but`` is the sequencer of one that stays."""
        await self._database.write(lambda connection: doom(connection, bucket, key, id, but))

    async def doom_one(self, bucket: str, version: Version) -> None:
        await self._database.write(lambda connection: connection.execute(DOOM_ONE, (bucket, version.key, version.sequencer)) and None)

    async def spare(self, bucket: str, key: str, id: str) -> None:
        """Take back that a version was to go."""
        await self._database.write(lambda connection: connection.execute(SPARE, (bucket, key, id)) and None)

    async def behind(self, bucket: str, position: Position, below: str, limit: int) -> list[Version]:
        """Some versions from a position on, by key and then newest first, of keys below ``below``."""

        def query(connection: sqlite3.Connection) -> list[Version]:
            rest = connection.execute(SELECT_REST, (bucket, *position.rest, limit)).fetchall() if position.rest else []
            if len(rest) < limit:
                rest += connection.execute(SELECT_BEHIND, (bucket, position.start, below, limit - len(rest))).fetchall()
            return [Version.of(row) for row in rest]

        return await self._database.read(query)

    async def set_tags(self, bucket: str, version: Version, tags: Mapping[str, str]) -> None:
        values = (retagged(version.attributes, tags), bucket, version.key, version.sequencer)
        await self._database.write(lambda connection: connection.execute(UPDATE_ATTRIBUTES, values) and None)


def report(bucket: str, key: str, written: asyncio.Future[None]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("a version of %s in bucket %s is confirmed at the next start of the daemon: %s", key, bucket, error)


def one(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> Version | None:
    row = connection.execute(statement, values).fetchone()
    return Version.of(row) if row else None


def insert(connection: sqlite3.Connection, bucket: str, version: Version, *, pending: bool) -> None:
    who = (version.action, version.author.trace, version.author.principal, version.modified_at)
    what = (version.marker, version.file, str(version.state), version.etag, version.attributes)
    connection.execute(INSERT, (bucket, version.key, version.sequencer, version.id, *what, *who, pending))


def doom(connection: sqlite3.Connection, bucket: str, key: str, id: str, but: str = "") -> None:
    """Within a transaction: delete the versions of an id, except the one of the sequencer ``but``."""
    connection.execute(DOOM, (bucket, key, id, but))


def following(connection: sqlite3.Connection, bucket: str, key: str) -> int:
    """The least sequencer behind all versions of a key."""
    last = connection.execute(SELECT_LAST, (bucket, key)).fetchone()[0]
    return int(last, 16) + 1 if last else 0


def keep(connection: sqlite3.Connection, bucket: str, standing: StoredObject, file: str) -> Version:
    """Within a transaction: have a row for the object that a key is now, before it is one no more. ``file`` is for one that has no row yet."""
    key, wanted = standing.version.key, version_of(standing, standing.version.sequencer, file)
    known = one(connection, SELECT_ONE, (bucket, key, standing.version_id))
    if known and known.state == wanted.state:
        return known
    # Somebody wrote into the file of a version by hand: its bytes are gone. And an id belongs to one state.
    inode = f"%:{wanted.state.inode}"
    connection.execute(DOOM_OVERWRITTEN, (bucket, key, inode, str(wanted.state)))
    doom(connection, bucket, key, wanted.id)
    sequencer = max(int(wanted.sequencer, 16), following(connection, bucket, key))
    wanted = version_of(standing, f"{sequencer:016x}", file)
    insert(connection, bucket, wanted, pending=False)
    return wanted
