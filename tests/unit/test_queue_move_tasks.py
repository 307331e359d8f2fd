"""Message move tasks: back to the source or elsewhere, at a rate, cancelled, failed, and going on after a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from queue_bench import ACCOUNT, REGION, Bench, WatchedDatabase, run

from eventflow.errors import ServiceError
from eventflow.services.queues import redriven
from eventflow.testing.virtual_clock import VirtualClock


def arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


async def dead_letters(bench: Bench, *bodies: str, fifo: bool = False) -> None:
    """Queues ``orders`` and ``dead``; the bodies are in ``dead``, come there from ``orders``."""
    suffix, kind = (".fifo", {"FifoQueue": "true", "ContentBasedDeduplication": "true"}) if fifo else ("", {})
    await bench.create(f"dead{suffix}", **kind)
    policy = json.dumps({"deadLetterTargetArn": arn(f"dead{suffix}"), "maxReceiveCount": 1})
    await bench.create(f"orders{suffix}", RedrivePolicy=policy, **kind)
    name = f"orders{suffix}"
    for body in bodies:
        await bench.send(body, name=name, **({"group": body[0]} if fifo else {}))
    while await bench.receive(name=name, visibility=0):
        pass
    assert (await bench.counts(f"dead{suffix}"))[0] == len(bodies)


async def latest(bench: Bench, name: str = "dead") -> dict[str, Any]:
    (task,) = await bench.queues.moves.latest(arn(name))
    return task


def test_messages_go_back_to_where_they_came_from_as_new_ones() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "one", "two")
        waiting = asyncio.create_task(bench.receive(wait=20))
        await bench.clock.advance(5)
        handle = await bench.queues.moves.start(arn("dead"))
        await bench.clock.advance(1)
        (message, *_rest) = await waiting
        assert message.body == "one"
        assert message.system["ApproximateReceiveCount"] == "1"
        assert "DeadLetterQueueSourceArn" not in message.system
        assert await latest(bench) == {
            "Status": "COMPLETED",
            "SourceArn": arn("dead"),
            "ApproximateNumberOfMessagesMoved": 2,
            "ApproximateNumberOfMessagesToMove": 2,
            "StartedTimestamp": round((bench.clock.now() - 1) * 1000),
        }
        with pytest.raises(ServiceError, match="Only active tasks"):
            await bench.queues.moves.cancel(handle)

    run(scenario)


def test_a_rate_is_kept_by_the_clock_and_a_cancelled_task_ends() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, *(str(number) for number in range(9)))
        await bench.create("elsewhere")
        handle = await bench.queues.moves.start(arn("dead"), arn("elsewhere"), 2)
        await bench.clock.advance(0.5)
        assert (await bench.counts("elsewhere"))[0] == 2
        await bench.clock.advance(2)
        assert (await bench.counts("elsewhere"))[0] == 6
        assert (await latest(bench))["TaskHandle"] == handle
        with pytest.raises(ServiceError, match="There is already a task running"):
            await bench.queues.moves.start(arn("dead"))
        assert await bench.queues.moves.cancel(handle) == 6
        await bench.clock.advance(10)
        assert (await bench.counts("elsewhere"))[0] == 6
        assert (await latest(bench))["Status"] == "CANCELLED"
        await bench.queues.moves.start(arn("dead"), arn("elsewhere"))
        await bench.clock.advance(1)
        assert (await bench.counts("elsewhere"))[0] == 9
        assert [task["Status"] for task in await bench.queues.moves.latest(arn("dead"), 10)] == ["COMPLETED", "CANCELLED"]

    run(scenario)


def test_what_comes_back_during_the_task_stays() -> None:
    """Else a message that fails at once would go round for ever."""

    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "a", "b", "c")
        await bench.queues.moves.start(arn("dead"), None, 1)
        for _second in range(6):
            await bench.clock.advance(1)
            await bench.receive(visibility=0)
            await bench.receive(visibility=0)
        assert (await latest(bench))["Status"] == "COMPLETED"
        assert (await latest(bench))["ApproximateNumberOfMessagesMoved"] == 3
        assert (await bench.counts("dead"))[0] == 3

    run(scenario)


def test_what_a_consumer_holds_is_not_moved() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "held", "free")
        (held,) = await bench.receive(1, name="dead")
        await bench.queues.moves.start(arn("dead"))
        await bench.clock.advance(1)
        assert await bench.bodies() == ["free"]
        await bench.delete(held, name="dead")

    run(scenario)


def test_fifo_messages_keep_the_order_of_their_groups() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "a1", "b1", "a2", "a3", fifo=True)
        await bench.queues.moves.start(arn("dead.fifo"), None, 2)
        await bench.clock.advance(3)
        assert (await latest(bench, "dead.fifo"))["Status"] == "COMPLETED"
        bodies = await bench.bodies(name="orders.fifo")
        assert [body for body in bodies if body[0] == "a"] == ["a1", "a2", "a3"]
        assert "b1" in bodies
        assert await bench.counts("dead.fifo") == (0, 0, 0)

    run(scenario)


def test_a_message_without_a_source_ends_the_task_and_what_was_moved_stays_moved() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "one")
        await bench.send("by hand", name="dead")
        await bench.queues.moves.start(arn("dead"))
        await bench.clock.advance(1)
        task = await latest(bench)
        assert (task["Status"], task["FailureReason"], task["ApproximateNumberOfMessagesMoved"]) == ("FAILED", "CouldNotDetermineMessageSource", 1)
        assert await bench.bodies(name="dead") == ["by hand"]

    run(scenario)


def test_a_source_that_is_gone_ends_the_task() -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench, "one")
        await bench.create("other", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1}))
        await bench.queues.delete(REGION, "orders")
        await bench.queues.moves.start(arn("dead"))
        await bench.clock.advance(1)
        assert (await latest(bench))["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"

    run(scenario)


@pytest.mark.parametrize(
    ("source", "destination", "rate", "code"),
    [
        (arn("nowhere"), None, None, "ResourceNotFoundException"),
        (arn("orders"), None, None, "InvalidParameterValue"),  # no dead-letter queue
        (arn("dead"), arn("nowhere"), None, "ResourceNotFoundException"),
        (arn("dead"), arn("dead"), None, "InvalidParameterValue"),
        (arn("dead"), arn("steps.fifo"), None, "InvalidParameterValue"),
        (arn("dead"), None, 0, "InvalidParameterValue"),
        (arn("dead"), None, 501, "InvalidParameterValue"),
        ("dead", None, None, "InvalidParameterValue"),
        (f"arn:aws:sqs:{REGION}:999999999999:dead", None, None, "ResourceNotFoundException"),
    ],
)
def test_tasks_that_are_refused(source: str, destination: str | None, rate: int | None, code: str) -> None:
    async def scenario(bench: Bench) -> None:
        await dead_letters(bench)
        await bench.create("steps.fifo", FifoQueue="true")
        with pytest.raises(ServiceError) as refused:
            await bench.queues.moves.start(source, destination, rate)
        assert refused.value.code == code
        assert await bench.queues.moves.latest(arn("dead")) == []

    run(scenario)


@pytest.mark.parametrize("handle", ["", "é", "nonsense", "e30=", "W10="])
def test_a_handle_that_is_none(handle: str) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(ServiceError, match="Value for parameter TaskHandle is invalid"):
            await bench.queues.moves.cancel(handle)

    run(scenario)


def test_a_task_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> None:
        await bench.queues.open()
        await dead_letters(bench, *(str(number) for number in range(5)))
        await bench.queues.moves.start(arn("dead"), None, 2)
        await bench.clock.advance(0.5)
        assert (await bench.counts())[0] == 2
        bench.queues.close()

    async def go_on(bench: Bench) -> None:
        await bench.queues.open()
        assert (await latest(bench))["Status"] == "RUNNING"
        await bench.clock.advance(2)
        assert (await latest(bench))["Status"] == "COMPLETED"
        assert (await bench.counts())[0] == 5

    for scenario in (begin, go_on):
        database = WatchedDatabase(tmp_path / "queues.db")

        async def main(database: WatchedDatabase = database, scenario: Any = scenario) -> None:
            await scenario(Bench(database, VirtualClock()))

        try:
            asyncio.run(main())
        finally:
            database.close()


def test_a_step_walks_indexes_alone() -> None:
    async def scenario(bench: Bench) -> None:
        def plan(statement: str, *bindings: object) -> Any:
            explain = "EXPLAIN QUERY PLAN " + statement
            return bench.database.read(lambda connection: " | ".join(row[3] for row in connection.execute(explain, bindings)))

        following = await plan(redriven.NEXT_UNGROUPED, 1, 0, 0, 0, 10) + await plan(redriven.NEXT_GROUPED, 1, 0, 0, 0, 10)
        assert "queue_messages_ungrouped (queue=? AND group_id=? AND visible_at<?)" in following
        assert "queue_messages_grouped (queue=? AND visible_at<?)" in following
        of_group = await plan(redriven.NEXT_OF_GROUP, 1, "g", 0, 0, 10)
        assert "queue_messages_by_group (queue=? AND group_id=?" in of_group
        assert "TEMP B-TREE" not in following + of_group

    run(scenario)
