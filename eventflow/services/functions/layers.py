"""Layers: archives that functions have besides their own code, in versions that never change."""

from __future__ import annotations

import sqlite3
from typing import IO

from eventflow.services.functions import rows
from eventflow.services.functions.code import Code
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import not_found
from eventflow.services.functions.records import LayerVersion
from eventflow.services.functions.versions import check_stored


class Layers:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def publish(
        self, layer: str, archive: IO[bytes], *, description: str, license: str, runtimes: list[str], architectures: list[str]
    ) -> LayerVersion:
        """Make the next version of a layer, which is made with it if it is not there."""
        ledger = self._ledger

        def change(connection: sqlite3.Connection, code: Code) -> LayerVersion:
            check_stored(connection, code.size)
            number = rows.count_up(connection, "layer", layer)
            version = LayerVersion(layer, number, description, license, tuple(runtimes), tuple(architectures), code, ledger.clock.now())
            rows.insert_layer_version(connection, version)
            return version

        async with ledger.code.holding(archive) as code:
            return await ledger.write(lambda connection: change(connection, code))

    async def find(self, layer: str, number: int) -> LayerVersion:
        found = await self._ledger.database.read(lambda connection: rows.layer_version(connection, layer, number))
        if found is None:
            raise not_found("The resource you requested does not exist.")
        return found

    async def delete(self, layer: str, number: int) -> None:
        """Delete a version; functions that use it keep it. One that is not there is no error, as on Lambda."""

        def change(connection: sqlite3.Connection) -> LayerVersion | None:
            gone = rows.layer_version(connection, layer, number)
            connection.execute(rows.DELETE_LAYER_VERSION, (layer, number))
            return gone

        gone = await self._ledger.write(change)
        if gone is not None:
            self._ledger.code.forget([gone.code.sha])

    async def versions(self, layer: str, before: int | None, limit: int, runtime: str | None, architecture: str | None) -> list[LayerVersion]:
        """Versions of a layer from the newest on, below ``before``, that fit."""
        return await self._ledger.database.read(lambda connection: rows.layer_versions(connection, layer, before, limit, runtime, architecture))

    async def newest(self, after: str, limit: int, runtime: str | None, architecture: str | None) -> list[LayerVersion]:
        """Of each layer whose name is behind ``after`` the newest version that fits."""
        return await self._ledger.database.read(lambda connection: rows.newest_layers(connection, after, limit, runtime, architecture))
