"""Queues against a model of a few lines, driven by hypothesis: visibility, delay, receipt handles, redrive, FIFO groups, receives repeated
under their attempt id, and dead letters moved back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, multiple, rule
from queue_bench import ACCOUNT, REGION, Machine

from eventflow.errors import ServiceError
from eventflow.services.queues.receives import Received

MOST_RECEIVES = 2
VISIBILITY = 10


@dataclass
class ModelMessage:
    body: str
    visible_at: float
    group: str = ""
    receives: int = 0
    fresh: bool = True  # never received, and so held up by a FIFO queue's delay
    key: int | None = None  # of the row, once a receive has told it: a message that was moved is another one


@dataclass
class ModelAttempt:
    received_at: float
    hidden_until: float
    messages: list[ModelMessage]
    receives: list[int]


class QueueMachine(Machine):
    """``messages`` is the model: every message that was not deleted, in the order of arrival."""

    fifo = False
    delay = 0  # of the FIFO queue, in seconds
    receipts = Bundle("receipts")

    def __init__(self) -> None:
        super().__init__()
        self.suffix = ".fifo" if self.fifo else ""
        self.messages: list[ModelMessage] = []
        self.dead: list[str] = []
        self.attempts: dict[str, ModelAttempt] = {}
        self.sent = 0
        self.do(self.set_up())

    async def set_up(self) -> None:
        kind = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if self.fifo else {}
        await self.bench.queues.open()
        await self.bench.create(f"dead{self.suffix}", **kind)
        policy = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead{self.suffix}", "maxReceiveCount": MOST_RECEIVES}
        kind = {**kind, "VisibilityTimeout": str(VISIBILITY)}
        await self.bench.create(f"orders{self.suffix}", RedrivePolicy=json.dumps(policy), **kind)

    @property
    def name(self) -> str:
        return f"orders{self.suffix}"

    def find(self, received: Received) -> ModelMessage | None:
        return next((message for message in self.messages if message.key == received.receipt.id), None)

    @rule(delay=st.integers(0, 20), group=st.sampled_from("ab"), number=st.integers(1, 5))
    def send(self, delay: int, group: str, number: int) -> None:
        for _message in range(number):
            self.sent += 1
            body = f"{group}{self.sent}"
            options: dict[str, Any] = {"group": group} if self.fifo else {"delay": delay}
            self.do(self.bench.send(body, name=self.name, **options))
            self.messages.append(ModelMessage(body, self.now + (0 if self.fifo else delay), group))

    @rule(target=receipts, limit=st.integers(1, 10), visibility=st.none() | st.integers(0, 20))
    def receive(self, limit: int, visibility: int | None) -> Any:
        received = self.do(self.bench.receive(limit, name=self.name, visibility=visibility))
        expected = self.expected(limit)
        assert [one.body for one in received] == [message.body for message in expected]
        for one, message in zip(received, expected, strict=True):
            assert message.key in (None, one.receipt.id)
            message.key = one.receipt.id
            message.receives, message.fresh = message.receives + 1, False
            message.visible_at = self.now + (VISIBILITY if visibility is None else visibility)
            assert one.system["ApproximateReceiveCount"] == str(message.receives)
        return multiple(*received)

    def expected(self, limit: int) -> list[ModelMessage]:
        """What a receive takes; messages that were received too often go away on the way."""
        taken: list[ModelMessage] = []
        for message in self.in_turn():
            if len(taken) == limit:
                break
            if message.receives >= MOST_RECEIVES:
                self.messages.remove(message)
                self.dead.append(message.body)
            else:
                taken.append(message)
        return taken

    def in_turn(self) -> list[ModelMessage]:
        order = {message.body: number for number, message in enumerate(self.messages)}
        visible = [message for message in self.messages if self.opens(message) <= self.now]
        if not self.fifo:
            return sorted(visible, key=lambda message: (message.visible_at, message.receives, order[message.body]))
        in_flight = {message.group for message in self.messages if not message.fresh and message.visible_at > self.now}
        return [message for group in self.groups_in_turn() if group not in in_flight for message in self.first_of(group)]

    def opens(self, message: ModelMessage) -> float:
        return message.visible_at + (self.delay if message.fresh else 0)

    def first_of(self, group: str) -> list[ModelMessage]:
        """The group's messages as far as the first that is delayed."""
        of_group = [message for message in self.messages if message.group == group]
        return list(takewhile(lambda message: self.opens(message) <= self.now, of_group))

    def groups_in_turn(self) -> list[str]:
        """The group that has been open for the longest goes first: it opened when the last of its messages came back, or the first one came."""
        opened: dict[str, float] = {}
        for message in self.messages:
            if message.group not in opened or not message.fresh:
                opened[message.group] = max(opened.get(message.group, 0.0), self.opens(message))
        return sorted(opened, key=lambda group: (opened[group], group))

    @rule(received=receipts)
    def delete(self, received: Received) -> None:
        message = self.find(received)
        try:
            self.do(self.bench.delete(received, name=self.name))
        except ServiceError:
            assert self.fifo
            assert message is not None
            assert message.visible_at <= self.now or message.receives != received.receipt.receives
            return
        if message is not None and message.receives == received.receipt.receives:
            assert not self.fifo or message.visible_at > self.now
            self.messages.remove(message)

    @rule(received=receipts, seconds=st.integers(0, 60))
    def hide(self, received: Received, seconds: int) -> None:
        message = self.find(received)
        held = message is not None and message.receives == received.receipt.receives and message.visible_at > self.now
        try:
            self.do(self.bench.hide(received, seconds, self.name))
        except ServiceError:
            assert not held
            return
        assert held
        assert message is not None
        message.visible_at = self.now + seconds

    @rule()
    def move_back(self) -> None:
        """All dead letters return, as new messages behind those that are there."""

        async def move() -> None:
            await self.bench.queues.moves.start(f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead{self.suffix}")
            await self.bench.clock.settle()

        self.do(move())
        self.messages += [ModelMessage(body, self.now, body[0]) for body in self.dead]
        self.dead.clear()

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        self.do(self.bench.clock.advance(seconds))

    @invariant()
    def counts_agree(self) -> None:
        hidden = [message for message in self.messages if self.opens(message) > self.now]
        in_flight = sum(not message.fresh for message in hidden)
        visible = len(self.messages) - len(hidden)
        assert self.do(self.bench.counts(self.name)) == (visible, in_flight, len(hidden) - in_flight)

    @invariant()
    def the_dead_are_where_they_belong(self) -> None:
        assert self.do(self.bench.counts(f"dead{self.suffix}"))[0] == len(self.dead)


class FifoMachine(QueueMachine):
    fifo = True

    @rule(delay=st.integers(0, 20))
    def set_delay(self, delay: int) -> None:
        """It holds for the messages that are there, too."""
        self.do(self.bench.queues.set_attributes(REGION, self.name, {"DelaySeconds": str(delay)}))
        self.delay = delay

    @rule(target=QueueMachine.receipts, attempt_id=st.sampled_from("xy"), limit=st.integers(1, 10), visibility=st.sampled_from((5, 400)))
    def receive_under_an_id(self, attempt_id: str, limit: int, visibility: int) -> Any:
        call = self.bench.queues.receive(REGION, self.name, limit=limit, wait=0, visibility=visibility, attempt_id=attempt_id)
        received = self.do(call)
        attempt = self.attempts.get(attempt_id)
        if attempt is not None and self.repeatable(attempt):
            assert [(one.receipt.id, one.receipt.receives) for one in received] == [
                (message.key, receives) for message, receives in zip(attempt.messages, attempt.receives, strict=True)
            ]
            attempt.hidden_until = self.now + visibility
            for message in attempt.messages:
                message.visible_at = attempt.hidden_until
            return multiple(*received)
        messages = self.expected(limit)
        assert [one.body for one in received] == [message.body for message in messages]
        for one, message in zip(received, messages, strict=True):
            message.key, message.receives, message.fresh, message.visible_at = one.receipt.id, message.receives + 1, False, self.now + visibility
        if messages:
            receives = [message.receives for message in messages]
            self.attempts[attempt_id] = ModelAttempt(self.now, self.now + visibility, messages, receives)
        return multiple(*received)

    def repeatable(self, attempt: ModelAttempt) -> bool:
        """Within five minutes, while all its messages are in flight as it left them."""
        return (
            self.now < min(attempt.hidden_until, attempt.received_at + 300)
            and all(any(message is other for other in self.messages) and message.visible_at == attempt.hidden_until for message in attempt.messages)
            and [message.receives for message in attempt.messages] == attempt.receives
        )


QueueMachine.TestCase.settings = FifoMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestStandardQueueAgainstModel = QueueMachine.TestCase
TestFifoQueueAgainstModel = FifoMachine.TestCase
