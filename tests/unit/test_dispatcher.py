"""The dispatcher under a virtual clock: what is emitted runs, retries, ages, restarts and cancellations."""

import asyncio
import json
from pathlib import Path

import pytest
from dispatcher_bench import FAILURE, SUCCESS, Bench, on_bench

from eventflow.dispatch.dispatcher import LARGEST_EVENT, UnknownFunction
from eventflow.dispatch.invocation import Invocation
from eventflow.dispatch.journal import CursorMove
from eventflow.errors import PayloadTooLarge, Throttled
from eventflow.function import Destination, Function
from eventflow.outcome import Outcome, Status
from eventflow.target import owner_of
from tests.patience import PATIENCE
from triggers import Bucket


def test_an_event_runs_and_is_done(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        id = await bench.dispatcher.emit("f", b'{"a":1}', source="here")
        await bench.clock.settle()
        event = await bench.event(id)
        assert bench.runner.ran == [('{"a":1}', bench.clock.now())]
        assert (event["state"], event["source"], [attempt["status"] for attempt in event["attempts"]]) == ("done", "here", ["success"])

    on_bench(tmp_path, work)


def test_a_failing_event_is_retried_after_60_and_120_seconds_and_then_dead(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: FAILURE
        start = bench.clock.now()
        id = await bench.dispatcher.emit("f", b"{}")
        await bench.clock.advance("59s")
        assert len(bench.runner.ran) == 1
        await bench.clock.advance("1h")
        assert [at - start for _payload, at in bench.runner.ran] == [0, 60, 180]
        event = await bench.event(id)
        assert (event["state"], event["reason"], len(event["attempts"])) == ("dead", "RetriesExhausted: boom", 3)

    on_bench(tmp_path, work)


def test_retries_with_delays_of_one_s_own_go_on_beyond_lambda_s_age(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: FAILURE
        start = bench.clock.now()
        id = await bench.dispatcher.emit("f", b"{}")
        await bench.clock.advance("3d")
        assert [at - start for _payload, at in bench.runner.ran] == [0, 10, 10 + 7200, 10 + 7200 + 172_800]
        event = await bench.event(id)
        assert (event["state"], event["reason"]) == ("dead", "RetriesExhausted: boom")

    on_bench(tmp_path, work, Function("f", "m:f", retry_delays=(10, 7200, 172_800), maximum_event_age=60))


def test_retries_survive_a_restart_of_the_daemon(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: FAILURE
        start = bench.clock.now()
        await bench.dispatcher.emit("f", b"{}")
        await bench.clock.advance("30s")
        await bench.dispatcher.stop(0)
        ran = bench.runner.ran
        bench.start_dispatcher()
        await bench.clock.advance("10m")
        assert bench.runner.ran == []
        await bench.dispatcher.start({"f": Function("f", "m:f")})
        await bench.clock.advance(0)
        assert len(ran) == 1
        assert [at - start for _payload, at in bench.runner.ran] == [630]

    on_bench(tmp_path, work)


def test_what_was_accepted_and_not_run_runs_after_a_restart(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.open = False
        for number in range(3):
            await bench.dispatcher.emit("f", str(number).encode())
        bench.dispatcher.take("f", 1)  # it was under way when the daemon died
        bench.start_dispatcher()
        await bench.dispatcher.start({"f": Function("f", "m:f")})
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["0", "1", "2"]

    on_bench(tmp_path, work)


def test_system_errors_back_off_and_are_not_charged_to_the_function(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        outcomes = [Outcome(Status.SYSTEM_ERROR, b'{"errorType":"S"}', "S", "lost")] * 4 + [FAILURE, FAILURE, SUCCESS]
        bench.runner.answers = lambda _invocation: outcomes.pop(0)
        start = bench.clock.now()
        id = await bench.dispatcher.emit("f", b"{}")
        await bench.clock.advance("10m")
        assert [at - start for _payload, at in bench.runner.ran] == [0, 1, 3, 7, 15, 75, 195]
        assert (await bench.event(id))["state"] == "done"

    on_bench(tmp_path, work)


def test_an_event_that_waited_too_long_ends_without_running(tmp_path: Path) -> None:
    function = Function("f", "m:f", maximum_event_age=60, on_failure=Destination("queue", "failures"))

    async def work(bench: Bench) -> None:
        bench.runner.open = False
        id = await bench.dispatcher.emit("f", b'{"x":1}')
        await bench.clock.advance("61s")
        bench.runner.open = True
        bench.runner.wake("f")
        await bench.clock.settle()
        assert bench.runner.ran == []
        assert (await bench.event(id))["reason"].startswith("EventAgeExceeded")
        record = json.loads(bench.sent[0].body)
        assert record["requestContext"]["condition"] == "EventAgeExceeded"
        assert record["requestPayload"] == {"x": 1}
        assert "responsePayload" not in record

    on_bench(tmp_path, work, function)


def test_a_repeated_id_runs_once_and_gives_the_first_request_id(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        first = await bench.dispatcher.emit("f", b"1", key="k", cursor=CursorMove("me", {"a": 1}))
        assert await bench.dispatcher.emit("f", b"2", key="k") == first
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1"]
        assert await bench.journal.read_cursor("me") == {"a": 1}

    on_bench(tmp_path, work)


def test_a_cancelled_emitter_s_event_still_runs(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        emitting = asyncio.create_task(bench.dispatcher.emit("f", b"1"))
        await asyncio.sleep(0)
        emitting.cancel()
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1"]

    on_bench(tmp_path, work)


def test_unknown_functions_and_large_events_are_refused_in_a_sentence(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        with pytest.raises(UnknownFunction, match="no function named 'g'; there are: f"):
            await bench.dispatcher.emit("g", b"{}")
        with pytest.raises(PayloadTooLarge, match="1048577 bytes"):
            await bench.dispatcher.emit("f", b"x" * 1_048_577)

    on_bench(tmp_path, work)


def test_invocations_that_never_started_run_later_uncharged(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.open = False
        ids = [await bench.dispatcher.emit("f", str(n).encode()) for n in range(3)]
        taken = bench.dispatcher.take("f", 3)
        bench.dispatcher.ended(taken[0], SUCCESS)
        bench.runner.open = True
        bench.dispatcher.returned(taken[1:])
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1", "2"]
        assert [len((await bench.event(id))["attempts"]) for id in ids] == [1, 1, 1]

    on_bench(tmp_path, work)


def test_a_stopping_dispatcher_gives_out_no_work(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.open = False
        await bench.dispatcher.emit("f", b"1")
        taken = bench.dispatcher.take("f", 1)
        stopping = asyncio.create_task(bench.dispatcher.stop(5))
        await asyncio.sleep(0)
        assert bench.dispatcher.take("f", 1) == []
        bench.dispatcher.ended(taken[0], SUCCESS)
        assert await asyncio.wait_for(stopping, PATIENCE) == 0

    on_bench(tmp_path, work)


def test_a_trigger_s_memory_is_found_again_whatever_tunes_its_watching() -> None:
    assert owner_of("f", Bucket("uploads", settle=1.0)) == owner_of("f", Bucket("uploads", settle=9.0, watch="poll"))
    owners = {
        owner_of("f", Bucket("uploads")),
        owner_of("g", Bucket("uploads")),
        owner_of("f", Bucket("other")),
        owner_of("f", Bucket("uploads", prefix="a")),
    }
    assert len(owners) == 4


def test_many_events_are_accepted_together_or_not_at_all(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        ids = await bench.dispatcher.emit_many("f", [b"1", b"2", b"3"], source="bulk")
        assert await bench.dispatcher.emit_many("f", []) == []
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1", "2", "3"]
        assert [(await bench.event(id))["state"] for id in ids] == ["done"] * 3
        with pytest.raises(PayloadTooLarge):
            await bench.dispatcher.emit_many("f", [b"4", b"x" * (LARGEST_EVENT + 1)])
        with pytest.raises(UnknownFunction):
            await bench.dispatcher.emit_many("g", [b"4"])
        assert await bench.journal.backlog() == {}

    on_bench(tmp_path, work)


def test_keys_that_are_known_give_their_earlier_ids_also_among_new_ones(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        first = await bench.dispatcher.emit_many("f", [b"1", b"2"], keys=["a", None])
        again = await bench.dispatcher.emit_many("f", [b"3", b"4", b"5", b"6"], keys=["b", "a", "b", None])
        await bench.clock.settle()
        assert again[1] == first[0]
        assert again[2] == again[0]
        assert len({*first, *again}) == 4
        assert [payload for payload, _at in bench.runner.ran] == ["1", "2", "3", "6"]

    on_bench(tmp_path, work)


@pytest.mark.parametrize("throttled", [False, True])
def test_an_invocation_that_ends_before_it_was_handed_over_leaves_nothing_running(tmp_path: Path, throttled: bool) -> None:
    async def work(bench: Bench) -> None:
        def at_once(invocation: Invocation) -> None:
            if throttled:
                raise Throttled("Rate Exceeded", "ConcurrentInvocationLimitExceeded")
            bench.dispatcher.ended(invocation, FAILURE)  # as the pool does when no environment can be asked for

        bench.runner.submit = at_once  # type: ignore[method-assign]
        if throttled:
            with pytest.raises(Throttled):
                await bench.dispatcher.invoke("f", b"{}")
        else:
            assert (await bench.dispatcher.invoke("f", b"{}")).error_type == "E"
        assert bench.dispatcher.running == 0

    on_bench(tmp_path, work)
