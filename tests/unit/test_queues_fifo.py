"""FIFO queues: order in groups, one batch of a group at a time, deduplication for five minutes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import pytest
from queue_bench import ACCOUNT, REGION, Bench, run

from eventflow.errors import ServiceError
from eventflow.services.queues import messages
from tests.patience import PATIENCE

NAME = "orders.fifo"


async def fifo(bench: Bench, **attributes: str) -> None:
    await bench.create(NAME, FifoQueue="true", **{"ContentBasedDeduplication": "true", **attributes})


async def send(bench: Bench, *texts: str) -> list[Any]:
    """Each text is ``<group><number>``."""
    return [(await bench.send(text, name=NAME, group=text[0]))[0] for text in texts]


async def bodies(bench: Bench, limit: int = 10) -> list[str]:
    return await bench.bodies(limit, name=NAME)


def test_a_group_is_served_one_batch_at_a_time_in_order() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "a2", "a3", "b1")
        first = await bench.receive(2, name=NAME)
        assert [message.body for message in first] == ["a1", "a2"]
        assert await bodies(bench) == ["b1"]
        assert await bodies(bench) == []
        await bench.delete(first[0], name=NAME)
        assert await bodies(bench) == []  # a2 is still out
        await bench.delete(first[1], name=NAME)
        assert await bodies(bench) == ["a3"]

    run(scenario)


def test_a_failed_batch_comes_back_in_order_before_what_follows() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "a2", "a3")
        await bench.receive(2, name=NAME)
        await bench.clock.advance(30)
        assert await bodies(bench) == ["a1", "a2", "a3"]

    run(scenario)


def test_a_group_stays_closed_while_any_of_its_messages_is_out() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "a2", "a3")
        first, second = await bench.receive(2, name=NAME)
        await bench.hide(first, 100, NAME)
        await bench.hide(second, 0, NAME)
        assert await bodies(bench) == []
        await bench.clock.advance(99)
        assert await bodies(bench) == []
        await bench.clock.advance(1)
        assert await bodies(bench) == ["a1", "a2", "a3"]

    run(scenario)


def test_a_receive_of_no_visibility_takes_each_message_once() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "b1")
        assert await bench.bodies(name=NAME, visibility=0) == ["a1", "b1"]
        assert sorted(await bodies(bench)) == ["a1", "b1"]

    run(scenario)


def test_a_long_poll_is_woken_when_a_group_opens() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "a2")
        (first,) = await bench.receive(1, name=NAME)
        polling = asyncio.ensure_future(bench.bodies(name=NAME, wait=20))
        await bench.clock.advance(5)
        assert not polling.done()
        await bench.delete(first, name=NAME)
        assert await asyncio.wait_for(polling, PATIENCE) == ["a2"]

    run(scenario)


def test_duplicates_are_accepted_and_not_delivered_for_five_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        (first,) = await send(bench, "a1")
        await bench.delete(*await bench.receive(name=NAME), name=NAME)
        await bench.clock.advance(299)
        (duplicate,) = await send(bench, "a1")
        assert (duplicate.message_id, duplicate.sequence) == (first.message_id, first.sequence)
        assert await bodies(bench) == []
        await bench.clock.advance(1)
        (fresh,) = await send(bench, "a1")
        assert fresh.message_id != first.message_id
        assert fresh.sequence > first.sequence
        assert await bodies(bench) == ["a1"]

    run(scenario)


def test_an_explicit_id_wins_over_the_content_and_holds_for_the_whole_queue() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await bench.send("same", name=NAME, group="a", deduplication_id="1")
        await bench.send("same", name=NAME, group="b", deduplication_id="2")
        await bench.send("other", name=NAME, group="b", deduplication_id="1")
        assert await bodies(bench) == ["same", "same"]

    run(scenario)


def test_deduplication_by_group() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
        for group in ("a", "b", "b"):
            await bench.send("same", name=NAME, group=group)
        assert await bodies(bench) == ["same", "same"]

    run(scenario)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "The request must contain the parameter MessageGroupId."),
        ({"group": "a"}, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"),
        (
            {"group": "a", "deduplication_id": "1", "delay": 2},
            "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.",
        ),
        (
            {"group": "a b", "deduplication_id": "1"},
            (
                "Value a b for parameter MessageGroupId is invalid. "
                "Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length."
            ),
        ),
    ],
)
def test_what_a_fifo_queue_asks_of_a_message(options: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, ContentBasedDeduplication="false")
        with pytest.raises(ServiceError) as refused:
            await bench.send("text", name=NAME, **options)
        assert refused.value.message == message

    run(scenario)


def test_a_standard_queue_takes_a_group_and_no_deduplication_id() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        with pytest.raises(ServiceError, match="not valid for this queue type"):
            await bench.send("text", deduplication_id="1")
        await bench.send("one", "two", group="a")
        received = await bench.receive()
        assert [(one.body, one.system["MessageGroupId"]) for one in received] == [("one", "a"), ("two", "a")]
        assert "SequenceNumber" not in received[0].system
        await bench.hide(received[0], 0)
        await bench.delete(received[1])
        assert await bench.bodies() == ["one"]
        rows = await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM queue_groups").fetchone()[0])
        assert rows == 0

    run(scenario)


def test_system_attributes_and_sequence_numbers_order_the_messages() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        sent = await send(bench, "a1", "a2")
        received = await bench.receive(name=NAME)
        assert [message.system["SequenceNumber"] for message in received] == [one.sequence for one in sent]
        assert sent[0].sequence < sent[1].sequence
        assert len(sent[0].sequence) == 20
        assert received[0].system["MessageGroupId"] == "a"
        assert received[0].system["MessageDeduplicationId"] == "f55ff16f66f43360266b95db6f8fec01d76031054306ae4a4b380598f6cfd114"

    run(scenario)


def test_handles_expire_with_the_visibility() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1")
        (message,) = await bench.receive(name=NAME)
        await bench.clock.advance(30)
        for step in (bench.delete(message, name=NAME), bench.hide(message, 5, NAME)):
            with pytest.raises(ServiceError, match=r"Reason: The receipt handle has expired\."):
                await step

    run(scenario)


def test_a_new_delay_holds_for_messages_already_there() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1")
        await bench.queues.set_attributes(REGION, NAME, {"DelaySeconds": "60"})
        await bench.clock.advance(59)
        assert await bodies(bench) == []
        await bench.clock.advance(1)
        assert await bodies(bench) == ["a1"]

    run(scenario)


def test_a_shorter_delay_wakes_who_waits() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, DelaySeconds="60")
        await send(bench, "a1", "a2")
        assert await bench.counts(NAME) == (0, 0, 2)
        waiting = asyncio.ensure_future(bench.bodies(name=NAME, wait=20))
        await bench.clock.advance(5)
        await bench.queues.set_attributes(REGION, NAME, {"DelaySeconds": "10"})
        await bench.clock.advance(4)
        assert not waiting.done()
        await bench.clock.advance(1)
        assert await waiting == ["a1", "a2"]
        assert await bench.counts(NAME) == (0, 2, 0)

    run(scenario)


def test_a_new_delay_is_set_without_touching_a_message() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "b1", "c1")
        before = await bench.database.read(lambda connection: connection.total_changes)
        await bench.queues.set_attributes(REGION, NAME, {"DelaySeconds": "60"})
        assert await bench.database.read(lambda connection: connection.total_changes) == before + 1  # the queue's own row

    run(scenario)


def test_a_message_that_was_received_is_not_delayed_again() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, VisibilityTimeout="5")
        await send(bench, "a1", "b1")
        assert await bodies(bench, 1) == ["a1"]
        await bench.queues.set_attributes(REGION, NAME, {"DelaySeconds": "60"})
        assert await bench.counts(NAME) == (0, 1, 1)
        await bench.clock.advance(5)
        assert await bodies(bench) == ["a1"]
        await bench.clock.advance(55)
        assert await bodies(bench) == ["a1", "b1"]

    run(scenario)


def test_the_dead_letter_queue_keeps_group_and_order_and_frees_the_rest() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("dead.fifo", FifoQueue="true")
        policy = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead.fifo", "maxReceiveCount": 1}
        await fifo(bench, RedrivePolicy=json.dumps(policy))
        await send(bench, "a1", "a2", "a3")
        await bench.receive(2, name=NAME)
        await bench.clock.advance(30)
        assert await bodies(bench) == ["a3"]
        dead = await bench.receive(name="dead.fifo")
        assert [(message.body, message.system["MessageGroupId"]) for message in dead] == [("a1", "a"), ("a2", "a")]

    run(scenario)


def test_the_in_flight_limit_makes_the_queue_seem_empty() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, "a1", "b1", "c1")
        assert len(await bodies(bench)) == 2
        assert await bodies(bench) == []

    run(scenario, most_in_flight=2)


def test_the_source_takes_ten_at_most() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench)
        await send(bench, *[f"a{number}" for number in range(12)])
        source = await bench.queues.source(REGION, NAME)
        assert source.fifo
        assert len(await source.receive(100, 0)) == 10

    run(scenario)


def test_purging_and_expiring_leave_no_group_behind() -> None:
    async def scenario(bench: Bench) -> None:
        def groups() -> Any:
            return bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM queue_groups").fetchone()[0])

        await fifo(bench, MessageRetentionPeriod="60")
        await send(bench, "a1", "b1")
        await bench.receive(1, name=NAME)
        await bench.queues.purge(REGION, NAME)
        assert await groups() == 0
        await send(bench, "a2", "b2")
        await bench.clock.advance(60)
        assert await bodies(bench) == []
        assert await groups() == 0

    run(scenario)


def test_a_purge_that_was_cut_short_leaves_no_group_without_messages() -> None:
    async def scenario(bench: Bench) -> None:
        def groups(connection: sqlite3.Connection) -> list[str]:
            return [group for (group,) in connection.execute("SELECT group_id FROM queue_groups ORDER BY group_id")]

        await fifo(bench)
        await send(bench, "a1", "b1", "c1", "d1", "a2")
        queue = await bench.queues.find(REGION, NAME)
        assert await bench.database.write(lambda connection: messages.purge(connection, queue, messages.newest(connection), 3, 0)) == 3
        assert await bench.database.read(groups) == ["a", "d"]
        assert sorted(await bodies(bench)) == ["a2", "d1"]

    run(scenario)
