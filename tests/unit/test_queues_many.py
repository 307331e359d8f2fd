"""A receive costs the same whatever waits in the queue, is hidden in it, or is delayed: counted in steps of SQLite's machine, not in time."""

from __future__ import annotations

import sqlite3

import pytest
from queue_bench import Bench, run

STEPS = 20  # of SQLite's virtual machine, between two counts
MANY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many)
INSERT INTO queue_messages (queue, visible_at, receives, sent_at, message_id, sender, group_id, deduplication_id)
SELECT 1, :visible_at, :receives, :now, 'm' || n, '000000000000', :group || (n % :groups), iif(:group IS NULL, NULL, 'd' || n) FROM numbers
"""
BODIES = "INSERT INTO queue_bodies (id, body) SELECT id, 'x' FROM queue_messages WHERE id NOT IN (SELECT id FROM queue_bodies)"
GROUPS = "INSERT OR IGNORE INTO queue_groups (queue, group_id, available_at) SELECT DISTINCT queue, group_id, visible_at FROM queue_messages"


class Counter:
    def __init__(self) -> None:
        self.steps = 0

    def __call__(self) -> int:
        self.steps += 1
        return 0


def fill(bench: Bench, many: int, *, seconds: int = 0, receives: int = 0, group: str | None = None, groups: int = 1) -> object:
    """Put messages into the first queue; ``seconds`` until they are visible, negative for since when they are."""
    now = round(bench.clock.now() * 1000)
    values = {"many": many, "visible_at": now + 1000 * seconds, "receives": receives, "now": now, "group": group, "groups": groups}

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(MANY, values)
        connection.execute(BODIES)
        if group is not None:
            connection.execute(GROUPS)

    return bench.database.write(change)


async def cost(bench: Bench, name: str = "orders") -> int:
    """The steps of a receive of ten messages and their deletion."""
    counter = Counter()
    await bench.receive(name=name)  # the first one counts what is in flight
    await bench.database.write(lambda connection: connection.set_progress_handler(counter, STEPS))
    received = await bench.receive(name=name)
    assert len(received) == 10
    await bench.delete(*received, name=name)
    await bench.database.write(lambda connection: connection.set_progress_handler(None, STEPS))
    return counter.steps


@pytest.mark.parametrize("state", [{}, {"seconds": 100}, {"seconds": 100, "receives": 1}], ids=["visible", "delayed", "in flight"])
def test_standard_messages(state: dict[str, int]) -> None:
    costs: list[int] = []

    async def scenario(bench: Bench) -> None:
        await bench.create()
        await fill(bench, 100, seconds=-1)
        costs.append(await cost(bench))
        await fill(bench, 30_000, **state)
        costs.append(await cost(bench))

    run(scenario)
    assert costs[1] < 1.5 * costs[0]


@pytest.mark.parametrize("groups", [1, 10_000])
def test_fifo_messages(groups: int) -> None:
    costs: list[int] = []

    async def scenario(bench: Bench) -> None:
        await bench.create("orders.fifo", FifoQueue="true")
        await fill(bench, 100, seconds=-1, group="few", groups=4)
        costs.append(await cost(bench, "orders.fifo"))
        await fill(bench, 30_000, group="many", groups=groups)
        costs.append(await cost(bench, "orders.fifo"))

    run(scenario)
    assert costs[1] < 1.5 * costs[0]
