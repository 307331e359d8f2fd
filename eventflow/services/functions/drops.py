"""What becomes of asynchronous events whose function is deleted: they belong to it, as on AWS, and are dropped with it. What an alias had led to a
version that is deleted goes to the one that the alias names now.

That they are to be dropped is written down with the deletion; whoever is killed in between finishes it at the next start, and no function gets a
name before the events of its predecessor are gone.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable

from eventflow.errors import StorageError
from eventflow.services.functions import rows
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.records import NEWEST

log = logging.getLogger("eventflow.functions")


class Drops:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def record_in(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Write down, with the deletion of functions or versions, that their events are to be dropped."""
        connection.executemany(rows.PUT_DROP, [(key,) for key in keys])

    async def finish(self, name: str | None = None) -> None:
        """Drop the events of what was deleted of a function, or of all. Call it once nothing takes events for that any more. Raises StorageError."""
        keys = await self._ledger.database.read(lambda connection: [row[0] for row in connection.execute(rows.DROPS).fetchall()])
        for key in keys:
            if name not in (None, key.partition(":")[0]):
                continue
            if count := await self._ledger.world.drop_events(key, self._heirs(key)):
                log.warning(
                    "%s was deleted, and with it %d asynchronous events that waited for it: eventflow events list --function %s", key, count, key
                )
            await self._ledger.write(lambda connection, key=key: connection.execute(rows.DELETE_DROP, (key,)))  # type: ignore[misc]

    def _heirs(self, key: str) -> dict[str, str]:
        """By the aliases of a function that is there still, the versions that they name."""
        name = key.partition(":")[0]
        aliases = self._ledger.routes[name].aliases.values() if name in self._ledger.routes else ()
        return {alias.name: name if alias.number == NEWEST else f"{name}:{alias.number}" for alias in aliases}

    async def try_to_finish(self, name: str) -> None:
        """As ``finish``, where the deletion stands even if the disk is full: the next start, or the next function made, drops what is left."""
        try:
            await self.finish(name)
        except StorageError as error:
            log.error("the events of deleted functions are not dropped yet: %s", error)
