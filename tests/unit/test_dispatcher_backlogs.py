"""What waits: limits of what the dispatcher holds in memory, backlogs on disk, and a disk that is full for a while."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dispatcher_bench import FAILURE, SUCCESS, Bench, on_bench

from eventflow.dispatch import lane
from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.dispatch.journal import Attempt, Settlement
from eventflow.errors import Overloaded, StorageError
from eventflow.function import Function
from tests.patience import PATIENCE


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
