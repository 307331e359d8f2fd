"""The rows of multipart uploads and their parts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.index import decode_attributes, encode_attributes
from eventflow.services.objects.stored import Attributes

UPLOAD = "id, bucket, key, attributes, algorithm, checksum_kind, initiated_at"
PART = "number, file, size, etag, checksum, modified_at"
INSERT_UPLOAD = f"INSERT INTO uploads ({UPLOAD}) VALUES (?, ?, ?, ?, ?, ?, ?)"
SELECT_UPLOAD = f"SELECT {UPLOAD} FROM uploads WHERE id = ? AND bucket = ? AND key = ?"
SELECT_UPLOADS = f"SELECT {UPLOAD} FROM uploads WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key, id"
SELECT_BEGUN = f"SELECT {UPLOAD} FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) ORDER BY key, id LIMIT ?"
DELETE_UPLOAD = "DELETE FROM uploads WHERE id = ?"
INSERT_PART = f"INSERT OR REPLACE INTO upload_parts (upload, {PART}) VALUES (?, ?, ?, ?, ?, ?, ?)"
SELECT_PART_FILE = "SELECT file FROM upload_parts WHERE upload = ? AND number = ?"
SELECT_PARTS = f"SELECT {PART} FROM upload_parts WHERE upload = ? ORDER BY number"
#: How long, in seconds, a completed upload is known: longer than anybody who did not hear the answer asks again.
REMEMBERED = 86_400.0
#: The most that one completion cleans away.
FORGOTTEN_AT_ONCE = 100
INSERT_COMPLETED = "INSERT OR REPLACE INTO completed_uploads (id, bucket, key, answer, completed_at) VALUES (?, ?, ?, ?, ?)"
SELECT_COMPLETED = "SELECT answer FROM completed_uploads WHERE id = ? AND bucket = ? AND key = ?"
DELETE_COMPLETED = "DELETE FROM completed_uploads WHERE id IN (SELECT id FROM completed_uploads WHERE completed_at < ? LIMIT ?)"
SELECT_COMPLETING = f"SELECT {UPLOAD}, completing FROM uploads INDEXED BY uploads_completing WHERE bucket = ? AND completing IS NOT NULL"
SELECT_STATE = "SELECT completing FROM uploads WHERE id = ?"
SELECT_FILES = "SELECT p.file FROM upload_parts AS p JOIN uploads AS u ON u.id = p.upload WHERE u.bucket = ?"


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload. ``checksum_kind`` is ``COMPOSITE`` or ``FULL_OBJECT`` if it has an ``algorithm``; ``initiated_at`` Unix seconds."""

    id: str
    bucket: str
    key: str
    attributes: Attributes
    algorithm: str | None
    checksum_kind: str | None
    initiated_at: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part that arrived: the name of its temporary, its MD5 as ``etag``, its checksum (base64) if the upload has an algorithm."""

    number: int
    file: str
    size: int
    etag: str
    checksum: str | None
    modified_at: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The object that came of an upload."""

    etag: str
    checksum: Checksum | None
    version_id: str | None


class UploadIndex:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, upload: Upload) -> None:
        attributes = json.dumps(encode_attributes(upload.attributes))
        row = (upload.id, upload.bucket, upload.key, attributes, upload.algorithm, upload.checksum_kind, upload.initiated_at)
        await self._database.write(lambda connection: connection.execute(INSERT_UPLOAD, row) and None)

    async def find(self, bucket: str, key: str, id: str) -> Upload:
        """The upload; raises ``NoSuchUpload``."""

        def query(connection: sqlite3.Connection) -> Upload:
            return existing(connection, bucket, key, id)

        return await self._database.read(query)

    async def uploads(self, bucket: str, prefix: str) -> list[Upload]:
        """All uploads to keys that begin with ``prefix``, by key and then by age."""

        def query(connection: sqlite3.Connection) -> list[Upload]:
            return [upload_of(row) for row in connection.execute(SELECT_UPLOADS, (bucket, prefix, prefix + "\U0010ffff"))]

        return await self._database.read(query)

    async def begun(self, bucket: str, after: tuple[str, str], limit: int) -> list[Upload]:
        """Some uploads of a bucket, by key and id, behind these."""

        def query(connection: sqlite3.Connection) -> list[Upload]:
            return [upload_of(row) for row in connection.execute(SELECT_BEGUN, (bucket, *after, limit))]

        return await self._database.read(query)

    async def add(self, upload: Upload, part: Part) -> str | None:
        """Record a part; the temporary of the part that it replaces, if it does."""

        def change(connection: sqlite3.Connection) -> str | None:
            existing(connection, upload.bucket, upload.key, upload.id)
            row = connection.execute(SELECT_PART_FILE, (upload.id, part.number)).fetchone()
            values = (part.number, part.file, part.size, part.etag, part.checksum, part.modified_at)
            connection.execute(INSERT_PART, (upload.id, *values))
            return row[0] if row else None

        return await self._database.write(change)

    async def parts(self, upload: Upload) -> list[Part]:
        def query(connection: sqlite3.Connection) -> list[Part]:
            return [Part(*row) for row in connection.execute(SELECT_PARTS, (upload.id,))]

        return await self._database.read(query)

    async def completed(self, bucket: str, key: str, id: str) -> Completed | None:
        """What came of an upload that was completed a short while ago."""

        def query(connection: sqlite3.Connection) -> Completed | None:
            row = connection.execute(SELECT_COMPLETED, (id, bucket, key)).fetchone()
            return completed_of(row[0]) if row else None

        return await self._database.read(query)

    async def completing(self, bucket: str) -> list[tuple[Upload, FileState]]:
        """The uploads that were about to become objects, each with the state of the object's file."""

        def query(connection: sqlite3.Connection) -> list[tuple[Upload, FileState]]:
            return [(upload_of(row[:-1]), FileState.parse(row[-1])) for row in connection.execute(SELECT_COMPLETING, (bucket,))]

        return await self._database.read(query)

    async def state(self, upload: Upload) -> FileState | None:
        """The state of the object's file, of one such upload."""
        row = await self._database.read(lambda connection: connection.execute(SELECT_STATE, (upload.id,)).fetchone())
        return FileState.parse(row[0]) if row and row[0] else None

    async def end(self, upload: Upload, completed: Completed | None = None, now: float = 0.0) -> Sequence[Part]:
        """Forget an upload, but for what came of it; the parts whose temporaries are to be discarded."""

        def change(connection: sqlite3.Connection) -> list[Part]:
            if completed is not None:
                answer = json.dumps([completed.etag, completed.checksum and astuple(completed.checksum), completed.version_id])
                connection.execute(INSERT_COMPLETED, (upload.id, upload.bucket, upload.key, answer, now))
                connection.execute(DELETE_COMPLETED, (now - REMEMBERED, FORGOTTEN_AT_ONCE))
            parts = [Part(*row) for row in connection.execute(SELECT_PARTS, (upload.id,))]
            connection.execute(DELETE_UPLOAD, (upload.id,))
            return parts

        return await self._database.write(change)

    async def files(self, bucket: str) -> set[str]:
        """The temporaries of a bucket that are parts."""

        def query(connection: sqlite3.Connection) -> set[str]:
            return {name for (name,) in connection.execute(SELECT_FILES, (bucket,))}

        return await self._database.read(query)


def existing(connection: sqlite3.Connection, bucket: str, key: str, id: str) -> Upload:
    row = connection.execute(SELECT_UPLOAD, (id, bucket, key)).fetchone()
    if row is None:
        raise ServiceError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
            404,
            UploadId=id,
        )
    return upload_of(row)


def upload_of(row: tuple[str, str, str, str, str | None, str | None, float]) -> Upload:
    identifier, bucket, key, attributes, algorithm, checksum_kind, initiated_at = row
    return Upload(identifier, bucket, key, decode_attributes(json.loads(attributes)), algorithm, checksum_kind, initiated_at)


def completed_of(answer: str) -> Completed:
    etag, checksum, version_id = json.loads(answer)
    return Completed(etag, Checksum(*checksum) if checksum else None, version_id)
