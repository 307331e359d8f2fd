"""Fair queues: no group of a standard queue holds up the others, nothing gets lost among them, and a receive costs the same with many of them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, multiple, rule
from queue_bench import ACCOUNT, REGION, Bench, Machine, run

from eventflow.services.queues.receives import Received


async def send(bench: Bench, group: str | None, number: int, **options: Any) -> None:
    await bench.send(*(f"{group or '-'}{index}" for index in range(number)), group=group, **options)


def test_ten_messages_behind_ten_thousand_of_another_group_come_among_the_first() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        for _part in range(10):
            await send(bench, "A", 1000)
        await send(bench, "B", 10)
        first = [body for _receive in range(3) for body in await bench.bodies()]
        assert sum(body.startswith("B") for body in first) == 10
        assert len(first) == 30

    run(scenario)


@pytest.mark.parametrize("limit", [1, 10])
def test_groups_take_turns_also_where_each_message_is_deleted_at_once(limit: int) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await send(bench, "A", 100)
        await send(bench, None, 100)
        await send(bench, "B", 10)
        first: list[str] = []
        while len(first) < 30:
            received = await bench.receive(limit)
            await bench.delete(*received)
            first += [message.body for message in received]
        assert Counter(body[0] for body in first) == {"A": 10, "B": 10, "-": 10}

    run(scenario)


def test_a_group_with_most_in_flight_waits_until_the_quiet_ones_are_served() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await send(bench, "A", 100)
        for _receive in range(4):
            assert all(body.startswith("A") for body in await bench.bodies())
        await bench.clock.advance(2)
        await send(bench, "B", 15)
        assert {body[0] for body in await bench.bodies()} == {"B"}
        assert Counter(body[0] for body in await bench.bodies()) == {"B": 5, "A": 5}
        assert await bench.counts() == (55, 60, 0)

    run(scenario)


def test_among_noisy_groups_the_one_with_the_fewest_in_flight_goes_first() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await send(bench, "A", 100)
        for _receive in range(5):
            await bench.receive()
        await bench.clock.advance(2)
        await send(bench, "B", 100)
        seen: list[str] = []
        for _receive in range(8):
            seen += [body[0] for body in await bench.bodies()]
        assert set(seen[:50]) == {"B"}
        assert set(seen[50:]) == {"A", "B"}

    run(scenario)


def test_a_hidden_group_wakes_a_long_poll() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(VisibilityTimeout="5")
        await send(bench, "A", 1)
        await bench.receive()
        waiting = asyncio.ensure_future(bench.bodies(wait=20))
        await bench.clock.advance(4)
        assert not waiting.done()
        await bench.clock.advance(1)
        assert await waiting == ["A0"]

    run(scenario)


def test_nothing_visible_is_left_out_when_many_groups_become_visible_at_once() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        for start in range(0, 3000, 500):
            await bench.queues.send(REGION, "orders", [outgoing(f"g{number}") for number in range(start, start + 500)])
        await bench.clock.advance(30)
        assert len(await bench.receive()) == 10
        assert await bench.counts() == (2990, 10, 0)

    run(scenario)


def outgoing(group: str) -> Any:
    from eventflow.services.queues.sends import Outgoing

    return Outgoing(group, group=group, delay=30)


def test_a_purge_and_expiry_leave_no_group_without_messages() -> None:
    async def scenario(bench: Bench) -> None:
        def tenants() -> Any:
            return bench.database.read(lambda c: [row[0] for row in c.execute("SELECT group_id FROM queue_tenants WHERE group_id > ''")])

        await bench.create(MessageRetentionPeriod="60")
        await send(bench, "A", 10)
        await send(bench, "B", 10)
        await bench.queues.purge(REGION, "orders")
        assert await tenants() == []
        await send(bench, "C", 3)
        await bench.clock.advance(60)
        assert await bench.bodies() == []
        assert await tenants() == []

    run(scenario)


class FairMachine(Machine):
    """Against a plain count: who is visible comes, as many as there are, whatever the order."""

    receipts = Bundle("receipts")

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        #: Body: since when it is visible, how often it was received, and of which receive that was.
        self.messages: dict[str, tuple[float, int]] = {}
        self.dead = 0
        self.do(self.set_up())

    async def set_up(self) -> None:
        await self.bench.queues.open()
        await self.bench.create("dead")
        policy = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead", "maxReceiveCount": 3}
        await self.bench.create(RedrivePolicy=json.dumps(policy), MessageRetentionPeriod="120")

    def visible(self) -> set[str]:
        return {body for body, (visible_at, _receives) in self.messages.items() if visible_at <= self.now}

    @rule(group=st.sampled_from((None, "a", "b", "c")), delay=st.sampled_from((0, 0, 7)), number=st.integers(1, 12))
    def send(self, group: str | None, delay: int, number: int) -> None:
        bodies = [f"{next(self.numbers)}" for _message in range(number)]
        self.do(self.bench.send(*bodies, group=group, delay=delay))
        self.messages |= dict.fromkeys(bodies, (self.now + delay, 0))

    @rule(target=receipts, limit=st.integers(1, 10), visibility=st.sampled_from((0, 5, 20)))
    def receive(self, limit: int, visibility: int) -> Any:
        visible = self.visible()
        before = self.do(self.bench.counts("dead"))[0]
        received = self.do(self.bench.receive(limit, visibility=visibility))
        buried = self.do(self.bench.counts("dead"))[0] - before
        bodies = [one.body for one in received]
        assert len(set(bodies)) == len(bodies)
        assert visible.issuperset(bodies)
        sound = sum(self.messages[body][1] < 3 for body in visible)
        assert len(bodies) == min(limit, sound) or not visibility
        assert bodies or not sound
        for one in received:
            receives = self.messages[one.body][1] + 1
            self.messages[one.body] = (self.now + visibility, receives)
            assert one.system["ApproximateReceiveCount"] == str(receives)
        self.bury(buried)
        return multiple(*received)

    def bury(self, number: int) -> None:
        """Which of those received three times went, the dead-letter queue tells."""
        gone = self.do(self.bench.database.read(lambda c: {body for (body,) in c.execute("SELECT body FROM queue_bodies")}))
        dead = {one.body for one in self.do(self.bench.receive(10, name="dead", visibility=0))} if number else set()
        buried = {body for body in dead & self.messages.keys() if self.messages[body][1] >= 3}
        assert buried <= gone
        assert len(buried) >= min(number, 10)
        for body in buried:
            del self.messages[body]
        if number:
            self.do(self.empty_the_dead())

    async def empty_the_dead(self) -> None:
        while received := await self.bench.receive(name="dead"):
            for one in received:
                self.messages.pop(one.body, None)
            await self.bench.delete(*received, name="dead")

    @rule(received=receipts)
    def delete(self, received: Received) -> None:
        state = self.messages.get(received.body)
        self.do(self.bench.delete(received))
        if state is not None and state[1] == received.receipt.receives:
            del self.messages[received.body]

    @rule(received=receipts, seconds=st.sampled_from((0, 3, 60)))
    def hide(self, received: Received, seconds: int) -> None:
        state = self.messages.get(received.body)
        if state is not None and state[1] == received.receipt.receives and state[0] > self.now:
            self.do(self.bench.hide(received, seconds))
            self.messages[received.body] = (self.now + seconds, state[1])

    @rule(seconds=st.integers(0, 15))
    def wait(self, seconds: int) -> None:
        self.do(self.bench.clock.advance(seconds))

    @rule()
    def purge(self) -> None:
        self.do(self.bench.clock.advance(60))
        self.do(self.bench.queues.purge(REGION, "orders"))
        self.messages.clear()

    @invariant()
    def counts_agree_with_a_plain_count(self) -> None:
        rows = self.do(
            self.bench.database.read(
                lambda c: c.execute(
                    "SELECT visible_at, receives FROM queue_messages WHERE queue = (SELECT id FROM queues WHERE name = 'orders') AND sent_at > ?",
                    (round(self.bench.clock.now() * 1000) - 120_000,),
                ).fetchall()
            )
        )
        now = round(self.bench.clock.now() * 1000)
        hidden = [receives for visible_at, receives in rows if visible_at > now]
        in_flight = sum(receives > 0 for receives in hidden)
        assert self.do(self.bench.counts()) == (len(rows) - len(hidden), in_flight, len(hidden) - in_flight)
        self.messages = {body: state for body, state in self.messages.items() if self.kept(body)}

    def kept(self, body: str) -> bool:
        row = self.do(
            self.bench.database.read(
                lambda c: c.execute("SELECT sent_at FROM queue_messages JOIN queue_bodies USING (id) WHERE body = ?", (body,)).fetchone()
            )
        )
        return row is not None and row[0] > round(self.bench.clock.now() * 1000) - 120_000


FairMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestFairQueueAgainstModel = FairMachine.TestCase
