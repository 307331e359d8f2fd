"""What becomes of events that are done or given up: destinations, dead letters, and loops that are stopped."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from dispatcher_bench import FAILURE, SUCCESS, Bench, on_bench

from eventflow.dispatch.dispatcher import RecursionStopped
from eventflow.dispatch.invocation import Invocation
from eventflow.function import Destination, Function
from eventflow.outcome import Outcome


def test_reserved_concurrency_zero_sends_events_straight_to_the_dead_letters(tmp_path: Path) -> None:
    function = Function("f", "m:f", reserved_concurrency=0, dead_letter_queue="dlq")

    async def work(bench: Bench) -> None:
        id = await bench.dispatcher.emit("f", b'{"x":1}')
        await bench.clock.settle()
        assert bench.runner.ran == []
        assert (await bench.event(id))["reason"].startswith("ZeroReservedConcurrency")
        assert [(message.queue, message.body) for message in bench.sent] == [("dlq", '{"x":1}')]

    on_bench(tmp_path, work, function)


def test_destinations_and_the_dead_letter_queue_get_what_aws_sends(tmp_path: Path) -> None:
    function = Function(
        "f", "m:f", retries=0, on_success=Destination("function", "g"), on_failure=Destination("queue", "failures"), dead_letter_queue="dlq"
    )

    async def work(bench: Bench) -> None:
        await bench.dispatcher.emit("f", b'{"x":1}')
        await bench.clock.settle()
        to_g = json.loads(bench.runner.ran[1][0])
        assert (to_g["requestContext"]["condition"], to_g["responsePayload"], to_g["requestPayload"]) == ("Success", "ok", {"x": 1})
        bench.runner.answers = lambda _invocation: FAILURE
        id = await bench.dispatcher.emit("f", b'{"x":2}')
        await bench.clock.settle()
        record, dead = bench.sent
        failed = json.loads(record.body)
        assert (record.queue, failed["requestContext"]["condition"], failed["responseContext"]["functionError"]) == (
            "failures",
            "RetriesExhausted",
            "Unhandled",
        )
        assert failed["requestContext"]["approximateInvokeCount"] == 1
        assert (dead.queue, dead.body, dead.attributes["RequestID"], dead.attributes["ErrorMessage"]) == ("dlq", '{"x":2}', id, "boom")
        assert bench.rung == ["queue failures", "queue dlq"]

    on_bench(tmp_path, work, function, Function("g", "m:g"))


@pytest.mark.parametrize(("answer", "result"), [(SUCCESS, "Success"), (FAILURE, "Failure")])
def test_a_bus_gets_the_record_as_an_event_of_lambda(tmp_path: Path, answer: Outcome, result: str) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: answer
        await bench.dispatcher.emit("f", b'{"x":1}')
        await bench.clock.settle()
        (sent,) = bench.sent
        assert (sent.bus, sent.detail_type) == ("orders", f"Lambda Function Invocation Result - {result}")
        assert (sent.detail["requestPayload"], sent.detail["version"]) == ({"x": 1}, "1.0")
        assert sent.resources == ["arn:f:$LATEST", "arn:f:$LATEST:event-bus/orders"]
        assert bench.rung == ["bus orders"]

    bus = Destination("bus", "orders")
    on_bench(tmp_path, work, Function("f", "m:f", retries=0, on_success=bus, on_failure=bus))


def test_a_bucket_gets_the_record_of_a_failure_under_a_key_of_its_time(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: FAILURE
        id = await bench.dispatcher.emit("f", b'{"x":1}')
        await bench.clock.settle()
        (sent,) = bench.sent
        assert (sent.bucket, sent.event, json.loads(sent.body)["responsePayload"]["errorMessage"]) == ("failures", id, "boom")
        assert re.fullmatch(r"aws/lambda/async/f/\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{36}", sent.key)

    on_bench(tmp_path, work, Function("f", "m:f", retries=0, on_failure=Destination("bucket", "failures")))


def test_a_function_that_causes_itself_is_stopped_after_sixteen_runs(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        tasks = []

        def cause_again(_invocation: Invocation) -> Outcome:
            tasks.append(asyncio.ensure_future(bench.dispatcher.emit("f", b"{}", trace=bench.runner.traces[-1])))
            return SUCCESS

        bench.runner.answers = cause_again
        await bench.dispatcher.emit("f", b"{}")
        await bench.clock.settle()
        assert len(bench.runner.ran) == 16
        last = await bench.event(tasks[-1].result())
        assert last["state"] == "dead"
        assert last["reason"].startswith("RecursiveLoop: f stands 16 times")
        with pytest.raises(RecursionStopped):
            await bench.dispatcher.invoke("f", b"{}", trace=bench.runner.traces[-1])

    on_bench(tmp_path, work)
