"""$disconnect, on the real journal: once for every connection on record, whatever fails in between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventflow import App
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.errors import StorageError
from eventflow.gateway.apis import add_route, make_api
from eventflow.gateway.events import Writer
from eventflow.gateway.websocket import farewells
from eventflow.gateway.websocket.events import Events, Facts
from eventflow.gateway.websocket.farewells import Farewells
from eventflow.gateway.websocket.front import Front
from eventflow.gateway.websocket.records import Records
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.trigger import ApiRoute

app = App("told")


@app.function()
def gone(event: Any, context: Any) -> None: ...


def front(*routes: str) -> Front:
    api = make_api("told", "123456789012", "WEBSOCKET", "default", {})
    for route in routes:
        add_route(api, "here", ApiRoute("WEBSOCKET", "default", route), None, "gone", ())  # type: ignore[arg-type]
    return Front([api], "us-east-1")


TOLD, SILENT = front("$disconnect"), front("$connect")
API = next(iter(TOLD.by_id))


def facts(name: str) -> Facts:
    return Facts(name, API, "prod", "host", 1.0, "127.0.0.1", "agent", {"principalId": "me"})


class Life:
    """One life of a daemon on a state file."""

    def __init__(self, path: Path, apis: Front = TOLD) -> None:
        self.clock = VirtualClock()
        self.database = Database(path)
        self.core = Core(self.database, self.clock, buckets=path.parent / "buckets", account="123456789012", region="us-east-1")
        self.records = Records(self.database)
        self.farewells = Farewells(self.clock, self.emit, self.records, Events(Writer("123456789012")), lambda: apis)
        self.refusals = 0

    async def emit(self, function: str, payloads: Sequence[bytes], **named: Any) -> list[str]:
        if self.refusals:
            self.refusals -= 1
            raise StorageError("the disk is full")
        return await self.core.dispatcher.emit_many(function, payloads, **named)

    async def told(self) -> list[dict[str, Any]]:
        query = "SELECT payload FROM events ORDER BY sequence"
        rows = await self.database.read(lambda connection: connection.execute(query).fetchall())
        return [json.loads(row[0])["requestContext"] for row in rows]

    async def left(self) -> list[str]:
        return [one.connection for one in await self.records.left("", 1000)]


def live(path: Path, work: Callable[[Life], Awaitable[None]], apis: Front = TOLD) -> None:
    async def run() -> None:
        life = Life(path, apis)
        try:
            await life.core.open()
            await life.core.dispatcher.start(app.functions)
            await life.records.prepare()
            await work(life)
        finally:
            life.core.close()
            life.database.close()

    asyncio.run(run())


async def settle(life: Life) -> None:
    """Until all are told of, with all the time that their pauses take."""
    done = asyncio.ensure_future(life.farewells.settled())
    while not done.done():
        await life.clock.advance(1)
        await asyncio.sleep(0.001)


def test_a_former_lifes_connections_are_told_of_in_the_next(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        for number in range(600):  # more than one page, and more than one group
            await life.records.opened(facts(f"connection {number:03}"))

    async def after(life: Life) -> None:
        await life.farewells.recover()
        await settle(life)
        told = await life.told()
        assert [one["connectionId"] for one in told] == [f"connection {number:03}" for number in range(600)]
        assert {(one["disconnectStatusCode"], one["disconnectReason"], one["eventType"]) for one in told} == {(*farewells.LOST, "DISCONNECT")}
        assert told[0]["authorizer"] == {"principalId": "me"}
        assert await life.left() == []

    live(tmp_path / "state.db", before)
    live(tmp_path / "state.db", after)


def test_who_dies_between_the_event_and_the_end_of_the_record_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before(life: Life) -> None:
        await life.records.opened(facts("one"))

        async def die(_connections: Sequence[str]) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(life.records, "ended", die)
        life.farewells.add(facts("one"), 1000, "")
        with pytest.raises(KeyboardInterrupt):
            await life.farewells.settled()

    async def after(life: Life) -> None:
        assert await life.left() == ["one"]
        await life.farewells.recover()
        await settle(life)
        assert [(one["connectionId"], one["disconnectStatusCode"]) for one in await life.told()] == [("one", 1000)]
        assert await life.left() == []

    try:
        live(tmp_path / "state.db", before)
    except KeyboardInterrupt:
        pass
    live(tmp_path / "state.db", after)


def test_while_the_disk_refuses_they_wait(tmp_path: Path) -> None:
    async def work(life: Life) -> None:
        await life.records.opened(facts("one"))
        life.refusals = 5
        begin = life.clock.now()
        life.farewells.add(facts("one"), 1001, "Going away")
        await settle(life)
        assert [one["disconnectReason"] for one in await life.told()] == ["Going away"]
        assert life.clock.now() - begin >= 0.1 + 0.2 + 0.4 + 0.8 + 1.6
        assert await life.left() == []

    live(tmp_path / "state.db", work)


def test_without_the_route_the_record_goes_and_nobody_is_told(tmp_path: Path) -> None:
    async def work(life: Life) -> None:
        await life.records.opened(facts("one"))
        life.farewells.add(facts("one"), 1000, "")
        await settle(life)
        assert (await life.told(), await life.left()) == ([], [])

    live(tmp_path / "state.db", work, SILENT)


def test_the_table_is_made_once_and_again_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(life: Life) -> None:
        records = Records(life.database)
        migrate = life.database.migrate

        async def fail(*_: Any) -> None:
            raise StorageError("the disk is full")

        monkeypatch.setattr(life.database, "migrate", fail)
        with pytest.raises(StorageError):
            await records.prepare()
        monkeypatch.setattr(life.database, "migrate", migrate)
        await asyncio.gather(records.prepare(), records.prepare())
        await records.opened(facts("one"))
        with pytest.raises(sqlite3.IntegrityError):
            await records.opened(facts("one"))

    live(tmp_path / "state.db", work)
