"""The Queue trigger on embedded queues: Lambda's event source mapping, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from busy_target import BusyTarget
from queue_bench import REGION, Bench, run

from eventflow import EventflowError, Outcome, SettingError, Status, StorageError, Throttled
from tests.patience import PATIENCE
from triggers.queue import Queue

QUEUE = "orders"


class FunctionTarget(BusyTarget):
    """A function that takes its time and ends as it is told: ``ends`` are outcomes or exceptions, in order, then success."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.ends: list[Any] = []
        self.traces: list[str | None] = []

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        self.traces.append(trace)
        async with self.busy():
            end = self.ends.pop(0) if self.ends else None
            if isinstance(end, Throttled | StorageError):
                raise end
            outcome = await super().invoke(payload, trace=trace)
            if isinstance(end, Exception):
                raise end
            return outcome if end is None else end


class Place:
    """A queue, a function, and the trigger between them."""

    def __init__(self, bench: Bench, name: str, trigger: Queue, target: FunctionTarget) -> None:
        self.bench, self.name, self.trigger, self.target = bench, name, trigger, target
        self.clock = bench.clock

    async def send(self, *bodies: str, **options: Any) -> None:
        await self.bench.send(*bodies, name=self.name, **options)

    async def counts(self) -> tuple[int, int, int]:
        return await self.bench.counts(self.name)

    @property
    def batches(self) -> list[list[str]]:
        return [[record["body"] for record in payload["Records"]] for payload in self.target.payloads]

    @asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.create_task(self.trigger.run(self.target))
        await self.clock.settle()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=PATIENCE)
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()


def place(scenario: Callable[[Place], Awaitable[None]], *, attributes: dict[str, str] | None = None, name: str = QUEUE, **settings: Any) -> None:
    async def whole(bench: Bench) -> None:
        await bench.create(
            name, **({"FifoQueue": "true", "ContentBasedDeduplication": "true"} if name.endswith(".fifo") else {}), **(attributes or {})
        )
        target = FunctionTarget(bench.clock, region=REGION)
        target.queues[name] = await bench.queues.source(REGION, name)
        await scenario(Place(bench, name, Queue(name, **settings), target))

    run(whole)


FILTERS = [{"body": {"kind": ["order"], "total": [{"numeric": [">", 10]}]}}, {"messageAttributes": {"vip": {"stringValue": ["yes"]}}}]


def test_what_no_filter_lets_through_is_deleted_unseen() -> None:
    async def scenario(at: Place) -> None:
        async with at.running():
            await at.send('{"kind": "order", "total": 5}', "not json", '{"kind": "invoice", "total": 50}')
            await at.send('{"kind": "order", "total": 50}')
            await at.send("plain", attributes={"vip": {"DataType": "String", "StringValue": "yes"}})
            await at.clock.settle()
        assert {body for batch in at.batches for body in batch} == {"plain", '{"kind": "order", "total": 50}'}
        assert await at.counts() == (0, 0, 0)

    place(scenario, filters=FILTERS)


def test_a_filter_of_plain_text_wants_the_text() -> None:
    async def scenario(at: Place) -> None:
        await at.send("stop", "go", '"go"', '{"go": 1}')
        assert await at.trigger.sweep(at.target) == 1
        assert at.batches == [["go"]]
        assert await at.counts() == (0, 0, 0)

    place(scenario, filters=['{"body": ["go"]}'])


def test_a_batch_is_collected_past_what_the_filters_drop() -> None:
    async def scenario(at: Place) -> None:
        async with at.running():
            for number in range(4):
                await at.send(f'{{"n": {number % 2}}}')
                await at.clock.advance(1)
            assert at.batches == []
            await at.clock.advance(10)
        assert at.batches == [['{"n": 1}', '{"n": 1}']]
        assert await at.counts() == (0, 0, 0)

    place(scenario, filters=[{"body": {"n": [1]}}], window=10)


def test_a_fifo_queue_goes_on_behind_what_is_dropped() -> None:
    async def scenario(at: Place) -> None:
        for body in ("a", "b", "c"):
            await at.send(body, group="g")
        async with at.running():
            await at.clock.settle()
        assert [body for batch in at.batches for body in batch] == ["a", "c"]
        assert await at.counts() == (0, 0, 0)

    place(scenario, name="orders.fifo", filters=[{"body": [{"anything-but": "b"}]}], batch_size=1)


def failure(error_type: str = "ValueError") -> Outcome:
    return Outcome(Status.FUNCTION_ERROR, b'{"errorMessage": "bad"}', error_type, "bad")


def answer(value: Any) -> Outcome:
    return Outcome(Status.SUCCESS, json.dumps(value).encode())


def test_the_event_is_lambda_s_and_the_messages_are_deleted() -> None:
    async def scenario(at: Place) -> None:
        async with at.running():
            await at.send(
                "hello",
                attributes={"n": {"DataType": "Number", "StringValue": "7"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}},
                trace="Root=1-5759e988-bd862e3fe1be46a994272793",
            )
            await at.clock.settle()
        ((record,),) = [payload["Records"] for payload in at.target.payloads]
        now = str(round(at.clock.now() * 1000))
        assert record.pop("messageId")
        assert record.pop("receiptHandle")
        assert record == {
            "body": "hello",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": now,
                "SenderId": record["attributes"]["SenderId"],
                "ApproximateFirstReceiveTimestamp": now,
                "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
            },
            "messageAttributes": {
                "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
                "b": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            },
            "md5OfMessageAttributes": record["md5OfMessageAttributes"],
            "md5OfBody": "5d41402abc4b2a76b9719d911017c592",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:orders",
            "awsRegion": REGION,
        }
        assert at.target.traces == ["Root=1-5759e988-bd862e3fe1be46a994272793"]
        assert await at.counts() == (0, 0, 0)

    place(scenario)


def test_a_failed_batch_comes_again_when_its_visibility_ends() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [failure()]
        await at.send("a", "b")
        async with at.running():
            assert at.batches == [["a", "b"]]
            await at.clock.advance(29)
            assert at.batches == [["a", "b"]]
            await at.clock.advance(1)
            assert at.batches == [["a", "b"], ["a", "b"]]
        assert await at.counts() == (0, 0, 0)

    place(scenario)


def test_a_throttled_batch_is_tried_again_inside_its_visibility() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [Throttled("Rate Exceeded.", "x"), StorageError("The disk is full."), Outcome(Status.SYSTEM_ERROR)]
        await at.send("a")
        async with at.running():
            await at.clock.advance(1 + 2 + 4)
            assert len(at.target.traces) == 4
        assert await at.counts() == (0, 0, 0)

    place(scenario)


def test_a_batch_that_stays_throttled_is_left_to_its_visibility() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [Throttled("Rate Exceeded.", "x")] * 4
        await at.send("a")
        async with at.running():
            await at.clock.advance(9.9)
            assert len(at.target.traces) == 4  # after 0, 1, 3 and 7 seconds; the next would be at 15
            assert await at.counts() == (0, 1, 0)
            await at.clock.advance(0.1)
            assert len(at.target.traces) == 5
        assert await at.counts() == (0, 0, 0)

    place(scenario, attributes={"VisibilityTimeout": "10"})


def test_a_stopped_loop_is_reported_and_left_to_the_redrive_policy() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [EventflowError("A recursive loop was stopped.")]
        await at.send("a")
        async with at.running():
            await at.clock.advance(5)
        assert await at.counts() == (0, 1, 0)
        assert "A recursive loop was stopped." in at.target.reports[0]

    place(scenario)


def test_only_the_reported_failures_come_again() -> None:
    async def scenario(at: Place) -> None:
        def handler(event: Any) -> Any:
            bad = [
                record["messageId"] for record in event["Records"] if record["body"] == "b" and record["attributes"]["ApproximateReceiveCount"] == "1"
            ]
            return {"batchItemFailures": [{"itemIdentifier": name} for name in bad]}

        at.target.handler = handler
        await at.send("a", "b", "c")
        async with at.running():
            assert await at.counts() == (0, 1, 0)
            await at.clock.advance(30)
            assert at.batches == [["a", "b", "c"], ["b"]]
        assert await at.counts() == (0, 0, 0)

    place(scenario, partial_failures=True)


def test_a_report_of_failures_means_nothing_unless_it_was_agreed_on() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [answer({"batchItemFailures": [{"itemIdentifier": ""}]})]
        await at.send("a")
        async with at.running():
            assert await at.counts() == (0, 0, 0)

    place(scenario)


def test_a_batch_beyond_six_megabytes_is_delivered_in_parts() -> None:
    async def scenario(at: Place) -> None:
        bodies = [f"{number}" + "x" * 1_000_000 for number in range(8)]
        for body in bodies:
            await at.send(body)
        async with at.running():
            await at.clock.settle()
        assert [len(batch) for batch in at.batches] == [6, 2]
        assert [body for batch in at.batches for body in batch] == bodies
        assert await at.counts() == (0, 0, 0)

    place(scenario)


def test_a_window_collects_until_it_is_over_or_the_batch_is_full() -> None:
    async def scenario(at: Place) -> None:
        async with at.running():
            await at.send("a")
            await at.clock.advance(3)
            await at.send("b")
            await at.clock.advance(1.9)
            assert at.batches == []
            await at.clock.advance(0.1)
            assert at.batches == [["a", "b"]]
            await at.send(*[str(number) for number in range(25)])
            await at.clock.settle()
            assert len(at.batches[1]) == 20
        assert await at.counts() in [(5, 0, 0), (0, 0, 0)]

    place(scenario, batch_size=20, window=5)


def test_collected_messages_stay_hidden_and_the_function_gets_their_whole_visibility() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 9
        at.target.timeout = 10
        async with at.running():
            await at.send("a")
            await at.clock.advance(40)
            assert await at.bench.bodies(wait=0) == []
            await at.send("b")
            await at.clock.advance(20)
            assert at.target.running == 1
            await at.clock.advance(9)
            assert at.batches == [["a", "b"]]
        assert await at.counts() == (0, 0, 0)

    place(scenario, batch_size=20, window=60, attributes={"VisibilityTimeout": "10"})


def test_batches_run_side_by_side_up_to_the_function_s_concurrency() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 2
        at.target.concurrency = 3
        await at.send(*"abcdefgh")
        async with at.running():
            await at.clock.advance(1)
            assert at.target.running == 3
            assert (await at.counts())[1] <= 4
            await at.clock.advance(10)
            assert sorted(body for batch in at.batches for body in batch) == list("abcdefgh")
        assert at.target.most_running == 3

    place(scenario, batch_size=1)


def test_maximum_concurrency_stays_below_the_function_s() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 2
        await at.send(*"abcdefgh")
        async with at.running():
            await at.clock.advance(30)
        assert at.target.most_running == 2
        assert len(at.batches) == 8

    place(scenario, batch_size=1, maximum_concurrency=2)


def test_more_pollers_help_while_there_are_messages() -> None:
    """One receive a second, as over a slow network, would take twenty seconds."""

    async def scenario(at: Place) -> None:
        source = at.target.queues[QUEUE]
        receive = source.receive

        async def slow(limit: int, wait: float) -> Any:
            await at.clock.sleep(1)
            return await receive(limit, wait)

        source.receive = slow  # type: ignore[method-assign]
        await at.send(*"abcdefghijklmnopqrst")
        async with at.running():
            await at.clock.advance(9)
            assert len(at.batches) == 20

    place(scenario, batch_size=1)


def test_an_idle_queue_costs_one_long_poll() -> None:
    async def scenario(at: Place) -> None:
        source = at.target.queues[QUEUE]
        waits: list[float] = []
        receive = source.receive

        async def counting(limit: int, wait: float) -> Any:
            waits.append(wait)
            return await receive(limit, wait)

        source.receive = counting  # type: ignore[method-assign]
        async with at.running():
            await at.clock.advance(60)
        assert waits == [20.0] * 4

    place(scenario)


def test_a_fifo_group_is_handled_in_order_one_batch_after_the_other() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 1
        at.target.ends = [None, failure()]
        for body in ("a1", "a2", "a3", "b1"):
            await at.send(body, group=body[0])
        async with at.running():
            await at.clock.advance(60)
        handled = [body for batch in at.batches for body in batch]
        assert handled[:2] in (["a1", "b1"], ["b1", "a1"])
        assert [body for body in handled if body[0] == "a"] in (["a1", "a1", "a2", "a3"], ["a1", "a2", "a3"])
        assert at.target.most_running == 2
        assert await at.counts() == (0, 0, 0)

    place(scenario, name="orders.fifo", batch_size=1)


def test_stopping_lets_a_running_function_finish_and_deletes_what_it_handled() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 5
        await at.send("a")
        async with at.running():
            await at.clock.advance(1)
        assert at.target.running == 1
        await at.send("b")
        await at.clock.advance(4)
        assert at.batches == [["a"]]
        assert await at.counts() == (1, 0, 0)

    place(scenario)


def test_stopping_returns_what_waits_for_another_attempt() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [Throttled("Rate Exceeded.", "x")]
        await at.send("a")
        async with at.running():
            await at.clock.advance(0.5)
            assert await at.counts() == (0, 1, 0)
        assert await at.counts() == (1, 0, 0)

    place(scenario)


def test_stopping_returns_what_was_collected() -> None:
    async def scenario(at: Place) -> None:
        await at.send("a", "b")
        async with at.running():
            await at.clock.advance(1)
            assert await at.counts() == (0, 2, 0)
        assert await at.counts() == (2, 0, 0)
        assert at.batches == []

    place(scenario, batch_size=20, window=30)


def test_a_running_batch_that_could_not_be_run_after_all_is_returned_when_stopping() -> None:
    async def scenario(at: Place) -> None:
        at.target.duration = 5
        at.target.ends = [Outcome(Status.SYSTEM_ERROR)]
        await at.send("a")
        async with at.running():
            await at.clock.advance(1)
        await at.clock.advance(4)
        assert await at.counts() == (1, 0, 0)

    place(scenario)


def test_a_function_that_may_run_longer_than_messages_are_hidden_is_refused_in_lambda_s_words() -> None:
    async def scenario(at: Place) -> None:
        at.target.timeout = 31
        with pytest.raises(SettingError, match="Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"):
            await at.trigger.run(at.target)
        assert not at.target.is_ready
        at.target.timeout = 30
        async with at.running():
            assert at.target.is_ready

    place(scenario)


def test_a_failing_source_ends_the_run_with_its_own_error() -> None:
    async def scenario(at: Place) -> None:
        await at.send("a")
        at.target.duration = 5
        running = asyncio.create_task(at.trigger.run(at.target))
        await at.clock.advance(1)
        await at.bench.queues.delete(REGION, QUEUE)
        await at.clock.settle()
        with pytest.raises(EventflowError, match="QueueDoesNotExist"):
            await asyncio.wait_for(running, PATIENCE)
        await at.clock.advance(5)
        assert any("may come again" in report for report in at.target.reports) or at.batches == [["a"]]

    place(scenario)


def test_a_sweep_handles_what_is_there_without_waiting() -> None:
    async def scenario(at: Place) -> None:
        at.target.ends = [failure(), None, Throttled("Rate Exceeded.", "x")]
        await at.send("a", "b", "c", "d", "e")
        assert await at.trigger.sweep(at.target) == 4
        assert at.batches == [["a", "b"], ["c", "d"]]
        assert await at.trigger.sweep(at.target) == 0
        assert await at.counts() == (0, 3, 0)

    place(scenario, batch_size=2)


@pytest.mark.parametrize(("partial_failures", "most"), [(False, 3), (True, 20)])
def test_a_function_that_fails_gets_fewer_batches_unless_it_reports_single_failures(partial_failures: bool, most: int) -> None:
    async def scenario(at: Place) -> None:
        at.target.concurrency = 20
        at.target.duration = 1.0
        await at.send(*map(str, range(300)))
        async with at.running():
            await at.clock.advance(6)
            assert at.target.running == 20
            at.target.ends = [failure() for _ in range(150)]
            await at.clock.advance(6)
            assert at.target.running <= most
            assert partial_failures == (at.target.running == 20)

    place(scenario, batch_size=1, partial_failures=partial_failures)


def test_a_function_that_is_switched_on_later_is_polled_for() -> None:
    async def scenario(at: Place) -> None:
        at.target.concurrency = 0
        await at.send("a")
        async with at.running():
            await at.clock.advance("1m")
            assert (at.batches, await at.counts()) == ([], (1, 0, 0))
            at.target.concurrency = 2
            await at.clock.advance("10s")
            assert at.batches == [["a"]]

    place(scenario)
