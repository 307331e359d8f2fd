"""What was set on buckets by name: in memory for every call, in the database for the next start."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from eventflow.database import Database

SELECT = "SELECT bucket, name, value FROM bucket_settings"
INSERT = "INSERT OR REPLACE INTO bucket_settings (bucket, name, value) VALUES (?, ?, ?)"
DELETE = "DELETE FROM bucket_settings WHERE bucket = ? AND name = ?"

VERSIONING = "versioning"
TAGGING = "tagging"
LIFECYCLE = "lifecycle"
CORS = "cors"
NOTIFICATION = "notification"
OWNERSHIP = "ownership"
PUBLIC_ACCESS_BLOCK = "public-access-block"
ENABLED, SUSPENDED = "Enabled", "Suspended"


class BucketSettings:
    """JSON values by bucket and name. A bucket that is deleted loses them: call ``forget``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[str, dict[str, Any]] = {}

    async def load(self) -> None:
        for bucket, name, value in await self._database.read(lambda connection: connection.execute(SELECT).fetchall()):
            self._values.setdefault(bucket, {})[name] = json.loads(value)

    def get(self, bucket: str, name: str) -> Any:
        """The value, or None where nothing was set."""
        return self._values.get(bucket, {}).get(name)

    async def put(self, bucket: str, name: str, value: Any) -> None:
        """Set a value; returns once that is on the disk."""
        row = (bucket, name, json.dumps(value))

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(INSERT, row)

        await self._database.write(change)
        self._values.setdefault(bucket, {})[name] = value

    async def delete(self, bucket: str, name: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute(DELETE, (bucket, name))

        await self._database.write(change)
        self._values.get(bucket, {}).pop(name, None)

    def forget(self, bucket: str) -> None:
        """Drop what is in memory of a bucket whose rows are gone."""
        self._values.pop(bucket, None)

    # Versioning is asked for by every write.

    def versioning(self, bucket: str) -> str | None:
        """``Enabled``, ``Suspended``, or None for a bucket that never had versions."""
        values = self._values.get(bucket)
        return values.get(VERSIONING) if values else None


def made_id(*of: str) -> str:
    """A version id that comes out the same again for the same thing: for what was done by hand, and is found out again if its row is lost."""
    return hashlib.sha256("\0".join(of).encode(errors="surrogateescape")).hexdigest()[:32]
