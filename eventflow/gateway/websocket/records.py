"""The durable record of open connections: whoever was connected when the daemon was killed is told of at its next start."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from eventflow.database import Database
from eventflow.gateway.websocket.events import Facts

OPENED = "INSERT INTO websocket_connections (id, facts) VALUES (?, ?)"
ENDED = "DELETE FROM websocket_connections WHERE id = ?"
LEFT = "SELECT facts FROM websocket_connections WHERE id > ? ORDER BY id LIMIT ?"


class Records:
    """``opened`` returns once the connection is on disk. ``prepare`` makes the table, and may be awaited by many."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._preparing: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        if self._preparing is None or (self._preparing.done() and self._preparing.exception() is not None):
            self._preparing = asyncio.create_task(self._database.migrate("websocket", "eventflow.services"))
        await asyncio.shield(self._preparing)

    async def opened(self, facts: Facts) -> None:
        row = (facts.connection, facts.to_json())
        await self._database.write(lambda connection: connection.execute(OPENED, row) and None)

    async def ended(self, connections: Sequence[str]) -> None:
        def forget(connection: sqlite3.Connection) -> None:
            connection.executemany(ENDED, [(one,) for one in connections])

        await self._database.write(forget)

    async def left(self, after: str, limit: int) -> list[Facts]:
        """Connections on record, by their ids."""
        rows = await self._database.read(lambda connection: connection.execute(LEFT, (after, limit)).fetchall())
        return [Facts.from_json(row[0]) for row in rows]
