"""A receive of a FIFO queue repeated under its ReceiveRequestAttemptId."""

from __future__ import annotations

import pytest
from queue_bench import REGION, Bench, run

from eventflow.errors import ServiceError
from eventflow.services.queues.receives import Received

NAME = "orders.fifo"


async def fifo(bench: Bench, *bodies: str) -> None:
    await bench.create(NAME, FifoQueue="true", ContentBasedDeduplication="true")
    for body in bodies:
        await bench.send(body, name=NAME, group=body[0])


async def receive(bench: Bench, attempt_id: str = "try", limit: int = 10, visibility: int | None = None) -> list[Received]:
    return await bench.queues.receive(REGION, NAME, limit=limit, wait=0, visibility=visibility, attempt_id=attempt_id)


def test_a_repeated_receive_gives_the_same_again_and_hides_it_anew() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, "a1", "b1", "a2")
        first = await receive(bench, limit=2)
        assert [one.body for one in first] == ["a1", "a2"]
        await bench.clock.advance(20)
        again = await receive(bench, limit=2)
        assert again == first
        await bench.clock.advance(20)
        assert await receive(bench, limit=2) == first
        other = await receive(bench, "another")
        assert [one.body for one in other] == ["b1"]
        await bench.delete(*again, name=NAME)
        assert await bench.counts(NAME) == (0, 1, 0)

    run(scenario)


def test_a_receive_whose_messages_changed_is_not_repeated() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, "a1", "b1", "c1")
        (first,) = await receive(bench, limit=1)
        await bench.hide(first, 100, NAME)
        (second,) = await receive(bench, limit=1)
        assert second.body == "b1"
        await bench.delete(second, name=NAME)
        (third,) = await receive(bench, limit=1)
        assert third.body == "c1"
        await bench.clock.advance(30)
        (later,) = await receive(bench, limit=1)  # its visibility ended: a receive of its own
        assert later.body == "c1"
        assert later.system["ApproximateReceiveCount"] == "2"

    run(scenario)


def test_an_attempt_is_forgotten_after_five_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, "a1", "b1")
        await receive(bench, limit=1, visibility=1000)
        await bench.clock.advance(299)
        assert [one.body for one in await receive(bench, limit=1, visibility=1000)] == ["a1"]
        await bench.clock.advance(1)
        assert [one.body for one in await receive(bench, limit=1, visibility=1000)] == ["b1"]

    run(scenario)


@pytest.mark.parametrize("attempt_id", ["", "x" * 129, "a b", "é"])
def test_an_attempt_id_that_is_none(attempt_id: str) -> None:
    async def scenario(bench: Bench) -> None:
        await fifo(bench, "a1")
        with pytest.raises(ServiceError, match="1 to 128 in length"):
            await receive(bench, attempt_id)

    run(scenario)
