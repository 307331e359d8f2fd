"""The dispatcher under a virtual clock: retries, ages, destinations, limits of what it holds in memory, and a disk that is full for a while."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventflow.database import Database
from eventflow.dispatch import lane
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import LARGEST_EVENT, Dispatcher, RecursionStopped, UnknownFunction
from eventflow.dispatch.invocation import Invocation
from eventflow.dispatch.journal import Attempt, CursorMove, Message, Settlement
from eventflow.errors import Overloaded, PayloadTooLarge, SettingError, StorageError, Throttled
from eventflow.function import Destination, Function
from eventflow.journals import history
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Outcome, Status
from eventflow.target import owner_of
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE
from triggers import Bucket

FAILURE = Outcome(Status.FUNCTION_ERROR, b'{"errorType":"E","errorMessage":"boom"}', "E", "boom")
SUCCESS = Outcome(Status.SUCCESS, b'"ok"')


@dataclass
class FakeRunner:
    """Runs everything at once with the outcome that ``answers`` says, as long as ``open``."""

    dispatcher: Dispatcher
    clock: VirtualClock
    answers: Callable[[Invocation], Outcome] = lambda _invocation: SUCCESS
    open: bool = True
    ran: list[tuple[str, float]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    def wake(self, function: str) -> None:
        asyncio.get_running_loop().call_soon(self.pull, function)

    def pull(self, function: str) -> None:
        while self.open and (taken := self.dispatcher.take(function, 3)):
            for invocation in taken:
                self.run(invocation)

    def submit(self, invocation: Invocation) -> None:
        asyncio.get_running_loop().call_soon(self.run, invocation)

    def run(self, invocation: Invocation) -> None:
        self.ran.append((invocation.payload.decode(), self.clock.now()))
        self.traces.append(invocation.trace)
        self.dispatcher.ended(invocation, self.answers(invocation))


class Bench:
    """A dispatcher on SQLite with a fake runner and a virtual clock; ``sent`` holds what was sent, ``rung`` who was told of it afterwards."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.database = Database(folder / "d.db")
        self.sent: list[Any] = []
        self.rung: list[str] = []
        self.journal = SqliteJournal(self.database, self.clock, self._send)
        self.start_dispatcher()
        self.clock.also_settle(self.settle)

    def start_dispatcher(self) -> None:
        self.dispatcher = Dispatcher(self.journal, self.clock, lambda name: f"arn:{name}")
        self.runner = FakeRunner(self.dispatcher, self.clock)
        self.dispatcher.attach(self.runner)

    def _send(self, _connection: sqlite3.Connection, message: Message) -> Callable[[], None]:
        self.sent.append(message)
        return partial(self.rung.append, str(message))

    async def settle(self) -> bool:
        if self.runner.open and not self.dispatcher.idle:
            await asyncio.wait_for(self.dispatcher.quiesce(), PATIENCE)
            return True
        return False

    async def event(self, id: str) -> dict[str, Any]:
        found = await self.database.read(lambda connection: history.show_event(connection, id))
        assert found is not None
        return found


def on_bench(folder: Path, work: Callable[[Bench], Awaitable[None]], *functions: Function) -> None:
    async def main() -> None:
        bench = Bench(folder)
        try:
            await bench.journal.open()
            await bench.dispatcher.start({function.name: function for function in functions or (Function("f", "m:f"),)})
            await work(bench)
        finally:
            bench.database.close()

    asyncio.run(main())


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


def test_a_backlog_beyond_memory_stays_on_disk_and_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MOST_EVENTS", 10)

    async def work(bench: Bench) -> None:
        bench.runner.open = False
        await asyncio.gather(*(bench.dispatcher.emit("f", str(n).encode()) for n in range(200)))
        assert len(bench.dispatcher.lane("f").ready) == 10
        bench.runner.open = True
        bench.runner.wake("f")
        emitting = asyncio.gather(*(bench.dispatcher.emit("f", str(n).encode()) for n in range(200, 300)))
        await bench.clock.settle()
        await emitting
        await bench.clock.settle()
        assert sorted(int(payload) for payload, _at in bench.runner.ran) == list(range(300))
        assert [payload for payload, _at in bench.runner.ran[:10]] == [str(n) for n in range(10)]

    on_bench(tmp_path, work)


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


def test_outcomes_wait_for_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Bench) -> None:
        broken, real = True, bench.journal.settle

        async def settle(settlements: Sequence[Settlement], attempts: Sequence[Attempt] = ()) -> None:
            if broken:
                raise StorageError("disk full")
            await real(settlements, attempts)

        monkeypatch.setattr(bench.journal, "settle", settle)
        monkeypatch.setattr(bench, "settle", None)
        bench.clock._settlers.clear()
        id = await bench.dispatcher.emit("f", b"1")
        for _ in range(3):
            await bench.clock.advance("1s")
        assert (await bench.event(id))["state"] == "ready"
        broken = False
        await bench.clock.advance("1s")
        await bench.dispatcher.quiesce()
        assert (await bench.event(id))["state"] == "done"
        assert len(bench.runner.ran) == 1, "what has run must not run again for want of disk"

    on_bench(tmp_path, work)


def test_a_dispatcher_stops_on_a_full_disk_and_its_events_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Bench) -> None:
        async def settle(*_arguments: Any) -> None:
            raise StorageError("disk full")

        monkeypatch.setattr(bench.journal, "settle", settle)
        bench.clock._settlers.clear()
        id = await bench.dispatcher.emit("f", b"1")
        await bench.clock.advance("1s")
        stopping = asyncio.create_task(bench.dispatcher.stop(2))
        for _ in range(5):
            await bench.clock.advance("1s")
        assert await asyncio.wait_for(stopping, PATIENCE) == 1
        assert (await bench.event(id))["state"] == "ready"

    on_bench(tmp_path, work)


def test_an_event_that_cannot_be_stored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Bench) -> None:
        async def append(*_arguments: Any) -> None:
            raise StorageError("disk full")

        monkeypatch.setattr(bench.journal, "append", append)
        with pytest.raises(StorageError):
            await bench.dispatcher.emit("f", b"1")
        await bench.clock.settle()
        assert bench.runner.ran == []

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


def test_reservations_must_leave_a_hundred_to_the_others() -> None:
    concurrency = Concurrency()
    concurrency.configure([Function("f", "m:f", reserved_concurrency=900)])
    with pytest.raises(SettingError, match="reserve 901"):
        concurrency.configure([Function("f", "m:f", reserved_concurrency=900), Function("g", "m:g", reserved_concurrency=1)])


def test_what_is_reserved_counts_together_whoever_configures_it() -> None:
    concurrency = Concurrency()
    concurrency.configure([Function("f", "m:f", reserved_concurrency=500)])
    concurrency.configure([Function("g", "m:g", reserved_concurrency=400)], "deployed")
    with pytest.raises(SettingError, match="reserve 901"):
        concurrency.configure([Function("f", "m:f", reserved_concurrency=501)])
    assert (concurrency.allowed("f"), concurrency.allowed("g"), concurrency.allowed("h")) == (500, 400, 100)
    concurrency.configure([], "deployed")
    assert (concurrency.allowed("f"), concurrency.allowed("g")) == (500, 500)


def test_slots_are_counted_for_reserved_and_shared_functions_apart() -> None:
    concurrency = Concurrency(limit=103)
    concurrency.configure([Function("f", "m:f", reserved_concurrency=2), Function("g", "m:g")])
    assert [concurrency.acquire("f") for _ in range(3)] == [None, None, "ReservedFunctionConcurrentInvocationLimitExceeded"]
    assert [concurrency.acquire("g") for _ in range(102)] == [None] * 101 + ["ConcurrentInvocationLimitExceeded"]
    concurrency.release("f")
    assert concurrency.acquire("f") is None
    assert (concurrency.allowed("f"), concurrency.allowed("g")) == (2, 101)


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


def test_who_emits_more_than_can_be_held_is_told_and_nothing_of_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.dispatch.dispatcher.MOST_ARRIVING", 3)
    monkeypatch.setattr("eventflow.dispatch.dispatcher.MOST_ARRIVING_BYTES", 20)

    async def work(bench: Bench) -> None:
        waiting = asyncio.gather(*(bench.dispatcher.emit("f", b"1") for _ in range(3)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 events"):
            await bench.dispatcher.emit("f", b"2")
        await waiting
        large = asyncio.ensure_future(bench.dispatcher.emit("f", b'"' + b"x" * 18 + b'"'))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="20 bytes"):
            await bench.dispatcher.emit_many("f", [b"2"])
        await large
        await bench.dispatcher.emit("f", b'"' + b"larger than all that is allowed" + b'"')  # alone
        await bench.clock.settle()
        assert "2" not in [payload for payload, _at in bench.runner.ran]
        assert len(bench.runner.ran) == 5

    on_bench(tmp_path, work)


def test_a_backlog_of_large_events_is_read_in_pieces_and_all_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.dispatch.dispatcher.CLAIM_BYTES", 50)
    monkeypatch.setattr(lane, "REFILL_BYTES", 50)

    async def work(bench: Bench) -> None:
        bench.runner.open = False
        await bench.dispatcher.emit_many("f", [f'"{n:020}"'.encode() for n in range(30)])
        bench.start_dispatcher()
        bench.runner.open = False
        await bench.dispatcher.start({"f": Function("f", "m:f")})
        while not bench.dispatcher.backlog("f"):  # noqa: ASYNC110 - the dispatcher tells its runner, which is closed here
            await asyncio.sleep(0)
        assert bench.dispatcher.backlog("f") == 3
        bench.runner.open = True
        bench.runner.pull("f")
        await bench.clock.settle()
        assert [int(json.loads(payload)) for payload, _at in bench.runner.ran] == list(range(30))

    on_bench(tmp_path, work)


def test_a_backlog_is_read_in_small_pieces_while_others_emit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.dispatch.dispatcher.CLAIM_LIMIT", 20)
    monkeypatch.setattr("eventflow.dispatch.dispatcher.SHARED_CLAIM_LIMIT", 3)

    async def work(bench: Bench) -> None:
        await bench.dispatcher.start({"f": Function("f", "m:f"), "g": Function("g", "m:g")})
        bench.runner.open = False
        await bench.dispatcher.emit_many("f", [f"{n}".encode() for n in range(30)])

        async def claimed_by_a_new_daemon(neighbour: bool) -> int:
            bench.start_dispatcher()
            bench.runner.open = False
            if neighbour:
                await bench.dispatcher.start({"g": Function("g", "m:g")})
                await bench.dispatcher.emit("g", b"99")
            await bench.dispatcher.start({"f": Function("f", "m:f"), "g": Function("g", "m:g")})
            while not bench.dispatcher.backlog("f"):  # noqa: ASYNC110 - the dispatcher tells its runner, which is closed here
                await asyncio.sleep(0)
            return bench.dispatcher.backlog("f")

        assert await claimed_by_a_new_daemon(neighbour=False) == 20
        assert await claimed_by_a_new_daemon(neighbour=True) == 3
        bench.runner.open = True
        bench.runner.pull("g")
        bench.runner.pull("f")
        await bench.clock.settle()
        assert [int(payload) for payload, _at in bench.runner.ran if payload != "99"] == list(range(30))

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


def test_events_that_woke_run_also_when_the_disk_fails_right_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.answers = lambda _invocation: FAILURE
        id = await bench.dispatcher.emit("f", b"{}")
        await bench.clock.settle()
        bench.runner.answers = lambda _invocation: SUCCESS
        next_wake = bench.journal.next_wake

        async def fail_once() -> dict[str, float]:
            monkeypatch.setattr(bench.journal, "next_wake", next_wake)
            raise StorageError("the disk fails")

        monkeypatch.setattr(bench.journal, "next_wake", fail_once)
        await bench.clock.advance("2m")
        assert (await bench.event(id))["state"] == "done"

    on_bench(tmp_path, work)


def test_a_function_that_comes_while_others_run_takes_up_its_backlog_before_what_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bench: Bench) -> None:
        bench.runner.open = False
        dispatcher, journal = bench.dispatcher, bench.journal
        await dispatcher.put(Function("late", "m:late"))
        await dispatcher.emit("late", b"1")
        dispatcher.remove("late")
        with pytest.raises(UnknownFunction):
            await dispatcher.emit("late", b"-")
        read, wakes = journal.backlog, journal.next_wake

        async def backlog() -> dict[str, int]:
            found = await read()
            await dispatcher.emit("late", b"2")
            return found

        async def next_wake() -> dict[str, float]:
            found = await wakes()
            dispatcher._schedule("f", bench.clock.now() + 60)
            return found

        monkeypatch.setattr(journal, "backlog", backlog)
        monkeypatch.setattr(journal, "next_wake", next_wake)
        await dispatcher.put(Function("late", "m:late"))
        assert dispatcher._wakes == {"f": bench.clock.now() + 60}, "it was settled while the journal was read"
        bench.runner.open = True
        await dispatcher.put(Function("late", "m:late", memory=256))
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1", "2"]
        assert dispatcher.functions()["late"].memory == 256

    on_bench(tmp_path, work)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_is_emitted_while_a_new_function_s_backlog_is_looked_for_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: bool
) -> None:
    async def work(bench: Bench) -> None:
        read = bench.journal.backlog

        async def backlog() -> dict[str, int]:
            found = await read()
            if meanwhile:
                await bench.dispatcher.emit("late", b"1")
            return found

        monkeypatch.setattr(bench.journal, "backlog", backlog)
        await bench.dispatcher.put(Function("late", "m:late"))
        if not meanwhile:
            await bench.dispatcher.emit("late", b"1")
        await bench.clock.settle()
        assert [payload for payload, _at in bench.runner.ran] == ["1"]

    on_bench(tmp_path, work)
