"""Records of failures for a bucket: stored once whatever ends the daemon in between, and told of where there is no such bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from eventflow.composition import Core
from eventflow.database import Database
from eventflow.dispatch.journal import BucketMessage, Event
from eventflow.journals import history
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE

KEY = "aws/lambda/async/f/2026/01/01/2026-01-01T00.00.00-0"


def life(folder: Path, work: Callable[[Core], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(folder / "state.db")
        core = Core(database, VirtualClock(), buckets=folder / "buckets", account="123456789012", region="us-east-1")
        try:
            await core.open()
            await core.objects.ensure_bucket("failures")
            await work(core)
        finally:
            await core.stop()
            await core.objects.stop()
            core.close()
            database.close()

    asyncio.run(main())


async def settle(core: Core, message: BucketMessage) -> None:
    follow = await core.database.write(lambda connection: core._deliver(connection, message))
    follow()


async def stored(core: Core, key: str = KEY) -> bytes:
    opened = await core.objects.get("failures", key)
    assert opened.stored.attributes.content_type == "application/json"
    return b"".join([piece async for piece in opened.content])


def test_a_record_is_stored_after_the_daemon_was_killed_right_behind_the_event_s_end(tmp_path: Path) -> None:
    life(tmp_path, lambda core: settle(core, BucketMessage("failures", KEY, '{"a": 1}', "id")))

    async def again(core: Core) -> None:
        core.failure_records.start()
        while await left(core):  # noqa: ASYNC110 - what is left is on disk alone
            await asyncio.sleep(0)
        assert await stored(core) == b'{"a": 1}'
        await settle(core, BucketMessage("failures", f"{KEY}1", "{}", "id"))
        while await left(core):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert await stored(core, f"{KEY}1") == b"{}"

    life(tmp_path, lambda core: asyncio.wait_for(again(core), PATIENCE))


async def left(core: Core) -> int:
    count: int = await core.database.read(lambda connection: connection.execute("SELECT count(*) FROM failure_records").fetchone()[0])
    return count


def test_a_bucket_that_is_gone_is_told_with_the_event(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        await core.journal.append([Event("e1", "f", b"{}", 1.0)])
        await settle(core, BucketMessage("nowhere", KEY, "{}", "e1"))
        assert await core.failure_records.store_one()
        assert not await core.failure_records.store_one()
        event = await core.database.read(lambda connection: history.show_event(connection, "e1"))
        assert event is not None
        assert "[not delivered to bucket nowhere: " in event["reason"]

    life(tmp_path, work)
