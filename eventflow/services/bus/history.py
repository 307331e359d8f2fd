"""Archives and replays: made, changed, listed and ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

from eventflow.errors import ServiceError
from eventflow.pattern import compile_pattern
from eventflow.services.bus import archives, records, replays, rules
from eventflow.services.bus.archives import Archive
from eventflow.services.bus.errors import already_exists, invalid, refuse_members, unlike
from eventflow.services.bus.names import NAME, check_name
from eventflow.services.bus.replays import Replay
from eventflow.services.bus.shelf import Shelf

#: Parameters of archives that there are none of here.
REFUSED_OF_ARCHIVES = ("KmsKeyIdentifier",)


class History(Shelf):
    """What is kept of events, and sent again. Every method that changes something returns once that is on disk."""

    async def create_archive(self, region: str, bus: str, params: Mapping[str, Any]) -> Archive:
        name = params["ArchiveName"]
        check_archive(params)

        def change(connection: sqlite3.Connection) -> Archive:
            records.find_bus(connection, region, bus)
            if archives.look_up(connection, region, name) is not None:
                raise already_exists(f"Archive {name} already exists.")
            row = (region, name, bus, params.get("Description"), params.get("EventPattern") or None, params.get("RetentionDays") or 0)
            connection.execute(archives.INSERT, (*row, self._clock.now()))
            return archives.find(connection, region, name)

        archive = await self._change(change)
        self._wake()
        return archive

    async def update_archive(self, region: str, name: str, params: Mapping[str, Any]) -> Archive:
        check_archive(params)

        def change(connection: sqlite3.Connection) -> Archive:
            archive = archives.find(connection, region, name)
            given = (params.get("Description"), params.get("EventPattern"), params.get("RetentionDays"))
            kept = (archive.description, archive.pattern, archive.retention_days)
            new = [one if one is not None else other for one, other in zip(given, kept, strict=True)]
            connection.execute(archives.UPDATE, (*new, archive.id))
            return archives.find(connection, region, name)

        archive = await self._change(change)
        self._wake()
        return archive

    async def archive(self, region: str, name: str) -> Archive:
        return await self._read(lambda connection: archives.find(connection, region, name))

    async def archives(self, region: str, prefix: str, bus: str | None, limit: int | None, token: str | None) -> tuple[list[Archive], str | None]:
        return await self._page(partial(archives.listed, region=region, prefix=prefix, bus=bus), lambda archive: archive.name, limit, token)

    async def delete_archive(self, region: str, name: str) -> None:
        """Forget the events, some at a time, and then the archive."""
        archive = await self.archive(region, name)
        while await self._database.write(lambda connection: archives.forget(connection, archive.id, self._clock.now())):
            pass
        await self._change(lambda connection: connection.execute("DELETE FROM bus_archives WHERE id = ?", (archive.id,)))

    async def start_replay(self, region: str, archive_name: str, bus: str, params: Mapping[str, Any], start: float, end: float) -> Replay:
        name, only = params["ReplayName"], params["Destination"].get("FilterArns")
        check_name("replayName", name, 64, NAME)
        rules.check_description(params.get("Description"))
        if end <= start:
            raise invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")

        def change(connection: sqlite3.Connection) -> Replay:
            archive = archives.find(connection, region, archive_name)
            if archive.bus != bus:
                raise invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
            if replays.look_up(connection, region, name) is not None:
                raise already_exists(f"Replay {name} already exists.")
            row = (region, name, archive_name, bus, json.dumps(only) if only else None, params.get("Description"), start, end, self._clock.now())
            connection.execute(replays.INSERT, row)
            return replays.find(connection, region, name)

        replay = await self._database.write(change)
        self._wake()
        return replay

    async def replay(self, region: str, name: str) -> Replay:
        return await self._read(lambda connection: replays.find(connection, region, name))

    async def replays(self, region: str, asked: Mapping[str, str | None], limit: int | None, token: str | None) -> tuple[list[Replay], str | None]:
        return await self._page(partial(replays.listed, region=region, asked=asked), lambda replay: replay.name, limit, token)

    async def cancel_replay(self, region: str, name: str) -> Replay:
        def change(connection: sqlite3.Connection) -> Replay:
            replay = replays.find(connection, region, name)
            if replay.state not in replays.ACTIVE or replay.state == "CANCELLING":
                raise ServiceError("IllegalStatusException", f"Replay {name} is not in a valid state for this operation.")
            replays.set_state(connection, replay, "CANCELLING", self._clock.now())
            return replays.find(connection, region, name)

        replay = await self._database.write(change)
        self._wake()
        return replay


def check_archive(params: Mapping[str, Any]) -> None:
    check_name("archiveName", params["ArchiveName"], 48, NAME)
    refuse_members(params, REFUSED_OF_ARCHIVES, "the parameter ")
    rules.check_description(params.get("Description"))
    if (params.get("RetentionDays") or 0) < 0:
        raise unlike("retentionDays", params["RetentionDays"], "have value greater than or equal to 0")
    if params.get("EventPattern"):
        compile_pattern(params["EventPattern"])
