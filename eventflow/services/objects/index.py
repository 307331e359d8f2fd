"""What the store knows of its objects beyond their files: rows, each valid for one state of one file."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from eventflow.database import Database
from eventflow.remembered import remembered
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import to_the_end
from eventflow.services.objects.stored import Attributes, Author, Parts, StoredObject
from eventflow.trigger import ObjectVersion

T = TypeVar("T")
Row = tuple[Any, ...]
log = logging.getLogger("eventflow.objects")

FILE = "file"
FOLDER = "folder"
REMOVED = "removed"
#: How long it is remembered that a key was removed, in seconds: what reads that was down for at most so long.
REMEMBERED = 7 * 86_400.0
#: The most forgotten removals that one delete cleans away, so that none of them takes long.
FORGOTTEN_AT_ONCE = 100
#: What is known of an object is remembered decoded if it has no more characters.
LONGEST_REMEMBERED = 256
#: A sequencer is compared as text: sixteen digits, always.
LARGEST_SEQUENCER = (1 << 64) - 1
NEVER = -1

COLUMNS = "key, kind, state, sequencer, etag, settled, attributes, action, trace, principal"
SELECT_KEY = f"SELECT {COLUMNS} FROM objects WHERE bucket = ? AND key = ? ORDER BY sequencer DESC"
# CROSS JOIN: SQLite takes the list first then, and finds each row by its key; else it may go through all rows of the bucket.
SELECT_STATES = f"""
SELECT {", ".join("o." + name for name in COLUMNS.split(", "))} FROM json_each(?) AS wanted
CROSS JOIN objects AS o ON o.bucket = ? AND o.key = json_extract(wanted.value, '$[0]')
    AND o.kind = json_extract(wanted.value, '$[1]') AND o.state = json_extract(wanted.value, '$[2]')
"""
SELECT_NEWEST = f"SELECT {COLUMNS} FROM objects WHERE bucket = ? AND key = ? ORDER BY sequencer DESC LIMIT 1"
SELECT_FOLDERS = "SELECT key, state FROM objects WHERE bucket = ? AND kind = 'folder' AND key >= ? AND key < ?"
INSERT = """
INSERT OR REPLACE INTO objects (bucket, key, kind, state, sequencer, etag, settled, attributes, action, trace, principal, removed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
DELETE_OTHERS = "DELETE FROM objects WHERE bucket = ? AND key = ? AND kind IN ('file', 'folder') AND state NOT IN (?, ?)"
DELETE_ROW = "DELETE FROM objects WHERE bucket = ? AND key = ? AND kind = ? AND state = ?"
DELETE_REMOVAL = "DELETE FROM objects WHERE bucket = ? AND key = ? AND kind = 'removed'"
DELETE_FOLDER = "DELETE FROM objects WHERE bucket = ? AND key = ? AND kind = 'folder'"
UPDATE_STATE = "UPDATE OR REPLACE objects SET state = ? WHERE bucket = ? AND key = ? AND kind = 'file' AND state = ?"
#: So that its file, should it come back, is recognised anew.
UNSETTLE = "UPDATE objects SET settled = 0 WHERE bucket = ? AND key = ? AND kind = 'file'"
UPDATE_ATTRIBUTES = "UPDATE objects SET attributes = ? WHERE bucket = ? AND key = ? AND kind = ? AND state = ?"
#: In the transaction of the object that comes of it.
COMPLETING = "UPDATE uploads SET completing = ? WHERE id = ?"
SELECT_FORGOTTEN = "SELECT bucket, key, sequencer FROM objects WHERE kind = 'removed' AND removed_at < ? LIMIT ?"
DELETE_FORGOTTEN = "DELETE FROM objects WHERE bucket = ? AND key = ? AND sequencer <= ?"


@dataclass(frozen=True, slots=True)
class Draft:
    """A state of a key that is to be recorded; the index gives it its sequencer. If it is not ``settled`` its ETag is computed again next time.
    ``upload`` is the id of the multipart upload that it comes of."""

    key: str
    state: FileState
    etag: str
    attributes: Attributes = field(default_factory=Attributes)
    checksum: Checksum | None = None
    parts: Parts = field(default_factory=Parts)
    action: str = "Put"
    author: Author = field(default_factory=Author)
    kind: str = FILE
    settled: bool = True
    version_id: str | None = None
    upload: str | None = None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """All rows of a key, the newest first, as they were when the index stood at ``moment``."""

    rows: Sequence[Row]
    moment: int

    def find(self, state: FileState, kind: str = FILE) -> StoredObject | None:
        """What is known of this state of the key's file, unless its ETag has to be computed anew."""
        row = row_of(self.rows, state, kind)
        return stored_object(row) if row and row[5] else None


class ObjectIndex:
    """The rows of all buckets. Rows of one key may stand beside each other while a write is under way: the file's own state says which one holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: dict[tuple[str, str], Row] = {}
        self._moment = 0

    async def known(self, bucket: str, key: str) -> KnownKey:
        """What there is about a key."""
        unwritten = self._unwritten.get((bucket, key))
        if unwritten is not None:
            return KnownKey((unwritten,), NEVER)
        moment = self._moment
        return KnownKey(await self._database.look(lambda connection: rows_of(connection, bucket, key)), moment)

    def holds(self, known: KnownKey) -> bool:
        """Whether nothing was written since this was read. True is certain only for who holds the key."""
        return known.moment == self._moment

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Make a change to rows of objects, perhaps with others."""
        try:
            return await self._database.write(change)
        finally:
            self._moment += 1

    async def find_all(self, bucket: str, wanted: Iterable[tuple[str, str, FileState]]) -> dict[str, StoredObject]:
        """The same for many (key, kind, state), by key."""
        asked = json.dumps([(key, kind, str(state)) for key, kind, state in wanted])

        def query(connection: sqlite3.Connection) -> dict[str, StoredObject]:
            return {row[0]: stored_object(row) for row in connection.execute(SELECT_STATES, (asked, bucket)) if row[5]}

        return await self._database.read(query)

    async def folders(self, bucket: str, prefix: str = "", after: str = "") -> dict[str, FileState]:
        """The zero-byte keys that end in a slash, begin with ``prefix`` and do not sort before ``after``, with the inode of the directory that each
        was made for."""
        behind = prefix + "\U0010ffff"

        def query(connection: sqlite3.Connection) -> dict[str, FileState]:
            return {key: FileState.parse(state) for key, state in connection.execute(SELECT_FOLDERS, (bucket, max(prefix, after), behind))}

        return await self._database.read(query)

    async def record(self, bucket: str, draft: Draft, standing: FileState | None) -> StoredObject:
        """Write the row of a state that is about to become the file's. The row of ``standing``, the state that the file is in now, is kept until
        the next time: a crash in between leaves the old file with its own row."""

        return await self.write(lambda connection: recorded(connection, bucket, draft, standing))

    async def recognise(self, bucket: str, draft: Draft, known: KnownKey) -> StoredObject:
        """What is known of a file that somebody put or changed by hand, and is kept in a row from now on; what was recognised before keeps its
        sequencer. The caller holds the key; ``known`` spares a look if it still holds.

        The row is not waited for: it shares the transaction of what comes next, such as the event that tells of the file, and is never behind it.
        Lost in a crash, it is found out again from the same file and the same earlier rows, and comes out the same.
        """
        name = (bucket, draft.key)
        if name in self._unwritten:  # what a look would see is behind

            def change(connection: sqlite3.Connection) -> StoredObject:
                recognised = recognise(rows_of(connection, bucket, draft.key), draft)
                keep(connection, bucket, *recognised)
                return draft_object(*recognised)

            return await to_the_end(self.write(change))
        if not self.holds(known):
            known = await self.known(bucket, draft.key)
        recognised = recognise(known.rows, draft)
        self._unwritten[name] = row_from(*recognised)
        written = self._database.write_along(lambda connection: keep(connection, bucket, *recognised))
        written.add_done_callback(partial(self._written, name))
        return draft_object(*recognised)

    def _written(self, name: tuple[str, str], written: asyncio.Future[None]) -> None:
        del self._unwritten[name]
        self._moment += 1
        if not written.cancelled() and (error := written.exception()) is not None:
            log.warning("what is known of %s in bucket %s was not kept; it is found out again when it is asked for: %s", name[1], name[0], error)

    async def set_tags(self, bucket: str, stored: StoredObject, tags: Mapping[str, str]) -> None:
        """Replace the tags of an object as it is now; the caller holds the key, and found it so."""
        was = stored.version
        state = FileState(was.size, was.mtime_ns, was.inode)

        def change(connection: sqlite3.Connection) -> None:
            for row in rows_of(connection, bucket, was.key):
                if row[1] != REMOVED and row[2] == str(state):
                    connection.execute(UPDATE_ATTRIBUTES, (retagged(row[6], tags), bucket, was.key, row[1], row[2]))

        await self.write(change)

    async def forget(self, bucket: str, key: str, state: FileState, kind: str = FILE) -> None:
        """Take back the row of a write that failed after it."""
        await self.write(lambda connection: retract(connection, bucket, key, state, kind))

    async def bury(self, bucket: str, key: str, state: FileState, author: Author, now: float, kind: str = FILE, action: str = "Delete") -> None:
        """Record that a key is about to be removed, and by whom. The row of its present state holds until the file is gone."""

        def change(connection: sqlite3.Connection) -> None:
            row = row_of(rows_of(connection, bucket, key), state, kind)
            removal(connection, bucket, Draft(key, state, row[4] if row else "", author=author), now, action)
            if kind == FOLDER:
                forget_folder(connection, bucket, key)
            forget_old_removals(connection, now - REMEMBERED)

        await self.write(change)

    async def removed(self, bucket: str, key: str, now: float) -> ObjectVersion | None:
        """The removal of a key whose file is gone; one that nobody recorded, because it was done by hand, is recorded now."""

        def change(connection: sqlite3.Connection) -> ObjectVersion | None:
            row = connection.execute(SELECT_NEWEST, (bucket, key)).fetchone()
            if row is None:
                return None
            if row[1] != REMOVED:
                removal(connection, bucket, Draft(key, FileState.parse(row[2]), row[4]), now)
                row = connection.execute(SELECT_NEWEST, (bucket, key)).fetchone()
            connection.execute(UNSETTLE, (bucket, key))
            return stored_object(row).version

        return await self.write(change)


def recorded(connection: sqlite3.Connection, bucket: str, draft: Draft, standing: FileState | None, least: int = 0) -> StoredObject:
    """Within a transaction: ``record``. ``least`` is what its sequencer must be at least."""
    sequencer = next_sequencer(connection, bucket, draft.key, max(draft.state.mtime_ns, least))
    connection.execute(DELETE_OTHERS, (bucket, draft.key, str(standing), str(draft.state)))
    if draft.kind == FOLDER:  # it has nothing that a crash could leave in its former state
        forget_folder(connection, bucket, draft.key)
    insert(connection, bucket, draft, sequencer)
    if draft.upload is not None:
        connection.execute(COMPLETING, (str(draft.state), draft.upload))
    return draft_object(draft, sequencer)


def moved(connection: sqlite3.Connection, bucket: str, key: str, before: FileState, after: FileState) -> None:
    """Within a transaction: the file of a state was written anew, and is in another one."""
    connection.execute(UPDATE_STATE, (str(after), bucket, key, str(before)))


def retract(connection: sqlite3.Connection, bucket: str, key: str, state: FileState, kind: str = FILE) -> None:
    """Within a transaction: take back the row of a write that failed after it."""
    connection.execute(DELETE_ROW, (bucket, key, kind, str(state)))


def forget_folder(connection: sqlite3.Connection, bucket: str, key: str) -> None:
    """Within a transaction: the directory of a key that ends in a slash is no object any more."""
    connection.execute(DELETE_FOLDER, (bucket, key))


def retagged(attributes: str, tags: Mapping[str, str]) -> str:
    """The attributes of a row with these tags instead of theirs."""
    values = json.loads(attributes)
    values.pop("tags", None)
    return json.dumps(values | ({"tags": dict(tags)} if tags else {}))


def rows_of(connection: sqlite3.Connection, bucket: str, key: str) -> list[Row]:
    return connection.execute(SELECT_KEY, (bucket, key)).fetchall()


def row_of(rows: Iterable[Row], state: FileState, kind: str = FILE) -> Row | None:
    wanted = str(state)
    return next((row for row in rows if row[1] == kind and row[2] == wanted), None)


def recognise(rows: Sequence[Row], draft: Draft) -> tuple[Draft, str]:
    """What is to be kept of a file that is as in ``draft``, and its sequencer."""
    newest = rows[0] if rows else None
    row = row_of(rows, draft.state)
    if row is not None and newest is not None and row[4] == draft.etag:
        known = stored_object(row)
        if newest[1] != REMOVED:
            return known_again(draft, known)
        # It was taken away, which was told, and brought back: that is a later state of the key although the file is the same.
        kept = replace(draft, attributes=known.attributes, checksum=known.checksum, parts=known.parts, version_id=known.version.version_id)
        return kept, sequencer_after(newest, draft.state.mtime_ns)
    return restored(newest, draft) or (draft, sequencer_after(newest, draft.state.mtime_ns))


def keep(connection: sqlite3.Connection, bucket: str, draft: Draft, sequencer: str) -> None:
    connection.execute(DELETE_OTHERS, (bucket, draft.key, str(draft.state), str(draft.state)))
    insert(connection, bucket, draft, sequencer)


def removal(connection: sqlite3.Connection, bucket: str, draft: Draft, now: float, action: str = "Delete", least: int = 0) -> str:
    """Within a transaction: record that a key goes; its sequencer."""
    sequencer = next_sequencer(connection, bucket, draft.key, max(draft.state.mtime_ns + 1, least))
    connection.execute(DELETE_REMOVAL, (bucket, draft.key))
    values = (draft.etag, True, encode(draft), action, draft.author.trace, draft.author.principal, now)
    connection.execute(INSERT, (bucket, draft.key, REMOVED, str(draft.state), sequencer, *values))
    return sequencer


def forget_old_removals(connection: sqlite3.Connection, before: float) -> None:
    for forgotten in connection.execute(SELECT_FORGOTTEN, (before, FORGOTTEN_AT_ONCE)).fetchall():
        connection.execute(DELETE_FORGOTTEN, forgotten)


def next_sequencer(connection: sqlite3.Connection, bucket: str, key: str, mtime_ns: int) -> str:
    return sequencer_after(connection.execute(SELECT_NEWEST, (bucket, key)).fetchone(), mtime_ns)


def sequencer_after(newest: Row | None, mtime_ns: int) -> str:
    """Greater than every one that the key had, and the file's time where that is enough: so it stays the same if the index is lost."""
    least = int(newest[3], 16) + 1 if newest else 0
    return f"{min(max(mtime_ns, least), LARGEST_SEQUENCER):016x}"


def restored(newest: Row | None, draft: Draft) -> tuple[Draft, str] | None:
    """The object again, and its sequencer, if the file is one that was known with another inode: it came back from a backup."""
    if newest is None or newest[1] != FILE or newest[4] != draft.etag:
        return None
    known = stored_object(newest)
    if (known.version.size, known.version.mtime_ns) != (draft.state.size, draft.state.mtime_ns):
        return None
    return known_again(draft, known)


def known_again(draft: Draft, known: StoredObject) -> tuple[Draft, str]:
    author = Author(known.version.principal, known.version.trace)
    kept = replace(draft, attributes=known.attributes, checksum=known.checksum, parts=known.parts, action=known.version.action, author=author)
    kept = replace(kept, version_id=known.version.version_id)
    return kept, known.version.sequencer


def insert(connection: sqlite3.Connection, bucket: str, draft: Draft, sequencer: str) -> None:
    connection.execute(INSERT, (bucket, *row_from(draft, sequencer), None))


def row_from(draft: Draft, sequencer: str) -> Row:
    author = draft.author
    values = (draft.etag, draft.settled, encode(draft), draft.action, author.trace, author.principal)
    return (draft.key, draft.kind, str(draft.state), sequencer, *values)


def draft_object(draft: Draft, sequencer: str) -> StoredObject:
    state, author = draft.state, draft.author
    who = (draft.action, author.trace, author.principal, draft.version_id)
    version = ObjectVersion(draft.key, state.size, draft.etag, state.mtime_ns, state.inode, sequencer, *who)
    return StoredObject(version, draft.attributes, draft.checksum, draft.parts)


def stored_object(row: tuple[Any, ...]) -> StoredObject:
    key, _kind, state_text, sequencer, etag, _settled, encoded, action, trace, principal = row
    state = FileState.parse(state_text)
    version_id, attributes, checksum, parts = decoded(encoded)
    version = ObjectVersion(key, state.size, etag, state.mtime_ns, state.inode, sequencer, action, trace, principal, version_id)
    return StoredObject(version, attributes, checksum, parts)


@remembered(longest=LONGEST_REMEMBERED)
def decoded(encoded: str) -> tuple[str | None, Attributes, Checksum | None, Parts]:
    """What ``encode`` wrote of an object, its version's id first. Many objects of a bucket have the same type and nothing else."""
    values = json.loads(encoded)
    return values.get("version"), decode_attributes(values), decode_checksum(values.get("checksum")), decode_parts(values)


def encode(draft: Draft) -> str:
    values = encode_attributes(draft.attributes)
    if draft.checksum:
        values["checksum"] = [draft.checksum.algorithm, draft.checksum.value, draft.checksum.kind]
    if draft.parts:
        values["parts"] = draft.parts.sizes
        if draft.parts.checksums:
            values["part_checksums"] = draft.parts.checksums
    if draft.version_id:
        values["version"] = draft.version_id
    return json.dumps(values)


def decode_parts(values: Mapping[str, Any]) -> Parts:
    return Parts(tuple(values.get("parts", ())), values.get("part_checksums", ""))


def encode_attributes(attributes: Attributes) -> dict[str, Any]:
    values = {"type": attributes.content_type, "headers": dict(attributes.headers), "metadata": dict(attributes.metadata)}
    return values | ({"tags": dict(attributes.tags)} if attributes.tags else {})


def decode_attributes(values: Mapping[str, Any]) -> Attributes:
    return Attributes(values["type"], values["headers"], values["metadata"], values.get("tags", {}))


def decode_checksum(values: list[str] | None) -> Checksum | None:
    return Checksum(*values) if values else None
