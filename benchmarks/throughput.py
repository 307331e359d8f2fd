"""Durable events: 20,000 no-ops of 300 bytes, each on disk before it is acknowledged, each run alone in a function's process."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import Figure, median_of
from tests.process.spine import Spine, with_spine

EVENTS = 20_000
EMITTERS = 400
PAYLOAD = b'{"text":"' + b"x" * 289 + b'"}'
CODE = """
@app.function()
def noop(event, context):
    return None
"""


def ours(emit: Callable[[Spine], Awaitable[None]]) -> float:
    """Events a second, from the first emit until all are handled and settled."""
    seconds = 0.0

    async def work(spine: Spine) -> None:
        nonlocal seconds
        await asyncio.gather(*(spine.emit("noop", PAYLOAD) for _ in range(200)))
        await spine.settled()
        begin = time.perf_counter()
        await emit(spine)
        await asyncio.wait_for(spine.dispatcher.quiesce(), 120)
        seconds = time.perf_counter() - begin

    with tempfile.TemporaryDirectory() as folder:
        with_spine(Path(folder), CODE, work)
    return EVENTS / seconds


async def one_by_one(spine: Spine) -> None:
    """400 senders, each waiting for its event before it emits the next."""

    async def sender() -> None:
        for _ in range(EVENTS // EMITTERS):
            await spine.emit("noop", PAYLOAD)

    await asyncio.gather(*(sender() for _ in range(EMITTERS)))


async def in_bulk(spine: Spine) -> None:
    """Four senders of 500 events at a time."""

    async def sender() -> None:
        for _ in range(EVENTS // 500 // 4):
            await spine.dispatcher.emit_many("noop", [PAYLOAD] * 500)

    await asyncio.gather(*(sender() for _ in range(4)))


def sqlite_groups() -> float:
    """Rows of the same size in groups of 500 with synchronous=FULL, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/limit.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, payload BLOB)")
        begin = time.perf_counter()
        for _ in range(EVENTS // 500):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO t (payload) VALUES (?)", [(PAYLOAD,)] * 500)
            connection.execute("COMMIT")
        seconds = time.perf_counter() - begin
        connection.close()
    return EVENTS / seconds


def figures() -> list[Figure]:
    limit, others = median_of(sqlite_groups), peers.throughputs()
    return [
        Figure(
            f"durable events in process, {how}, emit to handled",
            "events/s",
            median_of(partial(ours, emit)),
            limit=limit,
            limit_name="SQLite rows in groups of 500",
            peers=others,
        )
        for how, emit in (("in bulk", in_bulk), ("one by one", one_by_one))
    ]
