"""The dispatcher under a virtual clock, driven by hypothesis: any interleaving of emits, takes, outcomes, lost environments, clock moves, failing
stores and restarts keeps what is promised of an accepted event.

The model keeps of each event what it has been through and computes what must follow by rules of its own; the journal is the real one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventflow.database import MEMORY, Database
from eventflow.dispatch import dispatcher as dispatching
from eventflow.dispatch import lane as lanes
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.invocation import Invocation
from eventflow.dispatch.journal import QueueMessage
from eventflow.errors import StorageError
from eventflow.function import Destination, Function
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Outcome, Status
from eventflow.testing.virtual_clock import VirtualClock
from tests.unit.machine_runs import run_of

T = TypeVar("T")

FUNCTIONS = {
    "plain": Function("plain", "m:f"),
    "letters": Function("letters", "m:f", retries=1, maximum_event_age=150, dead_letter_queue="dlq", on_success=Destination("queue", "good")),
    "chained": Function("chained", "m:f", retries=0, on_failure=Destination("function", "plain")),
}
#: Small enough for a handful of events to fill a lane.
MOST_EVENTS, REFILL_BELOW, SHARED_CLAIM_LIMIT, WAKE_LIMIT = 4, 2, 1, 3
OUTCOMES = {
    "success": Outcome(Status.SUCCESS, b"1"),
    "error": Outcome(Status.FUNCTION_ERROR, b'{"errorType":"E","errorMessage":"boom"}', "E", "boom"),
    "lost": Outcome(Status.SYSTEM_ERROR, b'{"errorType":"S","errorMessage":"lost"}', "S", "lost"),
}
names = st.sampled_from(sorted(FUNCTIONS))
keys = st.none() | st.sampled_from(["a", "b"])


@dataclass
class Record:
    """What the model knows of an accepted event: when it was accepted, how its attempts ended, and the instants at which they did."""

    id: str
    function: Function
    key: str | None
    accepted_at: float
    ends: list[tuple[str, float]] = field(default_factory=list)
    revived_after: int = 0
    redrives: int = 0
    ripe_after: int = -1  # the time of the attempt after so many came, before the clock was set back

    def standing(self) -> tuple[str, float]:
        """``done``, ``dead`` or ``live``, and the instant from which it may run again: Lambda's rules, once more in other words."""
        errors = lost = 0
        state, may_run_from = "live", float("-inf")
        for end, at in self.ends[self.revived_after :]:
            assert state == "live", "it ran although it had ended"
            if end == "success":
                state = "done"
                continue
            if end == "error":
                errors += 1
                wait = (60.0, 120.0, 0.0)[errors - 1]
                state = "dead" if errors == self.function.retries + 1 else "live"
            else:
                wait = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0)[min(lost, 9)]
                lost += 1
            may_run_from = at + wait
            if may_run_from - self.accepted_at > self.function.maximum_event_age:
                state = "dead"
        return state, may_run_from


class Store:
    """The journal as one daemon has it: while ``failing`` names a method, that raises StorageError and keeps nothing; ``dead`` fails them all."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.failing: set[str] = set()
        self.dead = False
        self.busy = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.journal, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            if self.dead or name in self.failing:
                raise StorageError(f"{name} fails for a while")
            self.busy += 1
            try:
                return await method(*arguments, **options)
            finally:
                self.busy -= 1

        return call


class Runner:
    """Only hears that there is work: the machine takes it when it likes."""

    def __init__(self) -> None:
        self.woken: set[str] = set()

    def wake(self, function: str) -> None:
        self.woken.add(function)

    def submit(self, invocation: Invocation) -> None:
        raise AssertionError("nothing is invoked synchronously here")


class DispatcherMachine(RuleBasedStateMachine):
    """``records`` are the accepted events, ``held`` what runs, ``lost`` the request ids of events whose acceptance nobody heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = (lanes.MOST_EVENTS, lanes.REFILL_BELOW)
        self.saved_too = (dispatching.CLAIM_LIMIT, dispatching.SHARED_CLAIM_LIMIT, dispatching.WAKE_LIMIT)
        lanes.MOST_EVENTS, lanes.REFILL_BELOW = MOST_EVENTS, REFILL_BELOW
        dispatching.CLAIM_LIMIT, dispatching.SHARED_CLAIM_LIMIT, dispatching.WAKE_LIMIT = REFILL_BELOW, SHARED_CLAIM_LIMIT, WAKE_LIMIT
        self.loop = asyncio.new_event_loop()
        self.numbers = itertools.count(1)
        self.clock = VirtualClock()
        self.clock.also_settle(self.store_is_quiet)
        self.database = Database(MEMORY)
        self.records: dict[str, Record] = {}
        self.held: dict[str, Invocation] = {}
        self.messages: list[QueueMessage] = []
        self.do(SqliteJournal(self.database, self.clock, self.send).open())

    def send(self, _connection: sqlite3.Connection, message: QueueMessage) -> None:
        self.messages.append(message)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 100))

    async def store_is_quiet(self) -> bool:
        """Wait for the writer's thread, which the virtual clock does not see."""
        if not self.store.busy:
            return False
        while self.store.busy:  # noqa: ASYNC110 - real time, in which a thread works
            await asyncio.sleep(0.0002)
        return True

    def settle(self) -> None:
        self.do(self.clock.settle())

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what wants a running event loop, and let what follows from it happen."""

        async def calling() -> T:
            return function(*arguments)

        result = self.do(calling())
        self.settle()
        return result

    @initialize(name=names)
    def begin(self, name: str) -> None:
        self.start()
        self.emit(name, [None] * 6)

    def start(self) -> None:
        self.store = Store(SqliteJournal(self.database, self.clock, self.send))
        self.runner = Runner()
        self.dispatcher = Dispatcher(self.store, self.clock, lambda name: f"arn:{name}")
        self.dispatcher.attach(self.runner)
        self.held.clear()
        self.do(self.dispatcher.start(FUNCTIONS))
        self.settle()

    async def stop(self) -> None:
        """Outcomes that cannot be written are given up at the next attempt to write them."""
        stopping = asyncio.ensure_future(self.dispatcher.stop(0.0))
        await self.clock.advance(2.0)
        await stopping

    def teardown(self) -> None:
        try:
            self.finish_everything()
        finally:
            self.do(self.stop())
            self.database.close()
            self.loop.close()
            lanes.MOST_EVENTS, lanes.REFILL_BELOW = self.saved
            dispatching.CLAIM_LIMIT, dispatching.SHARED_CLAIM_LIMIT, dispatching.WAKE_LIMIT = self.saved_too

    # What happens to a dispatcher.

    @rule(name=names, few=st.lists(keys, min_size=1, max_size=6))
    def emit(self, name: str, few: list[str | None]) -> None:
        """Several at once, as many emitters do."""
        self.accepted(name, few, self.do(self.gather([self.dispatcher.emit(name, b'{"n":1}', key=key) for key in few])))
        self.settle()

    @rule(name=names, few=st.lists(keys, min_size=1, max_size=6))
    def emit_many(self, name: str, few: list[str | None]) -> None:
        """All of them or none."""
        [ids] = self.do(self.gather([self.dispatcher.emit_many(name, [b"{}"] * len(few), keys=few)]))
        self.accepted(name, few, ids if isinstance(ids, list) else [ids] * len(few))
        self.settle()

    async def gather(self, works: Sequence[Any]) -> list[Any]:
        return await asyncio.gather(*works, return_exceptions=True)

    def accepted(self, name: str, few: Sequence[str | None], results: Sequence[Any]) -> None:
        for key, result in zip(few, results, strict=True):
            if isinstance(result, BaseException):
                assert "append" in self.store.failing, result
                continue
            known = [one.id for one in self.records.values() if key is not None and (one.function.name, one.key) == (name, key)]
            assert result == known[0] if known else result not in self.records, "a key is accepted once"
            if not known:
                self.records[result] = Record(result, FUNCTIONS[name], key, self.clock.now())

    @rule(name=names, limit=st.integers(1, 4))
    def take(self, name: str, limit: int) -> None:
        taken = self.call(self.dispatcher.take, name, limit)
        assert len(taken) <= limit
        now = self.clock.now()
        if any(invocation.request_id not in self.records for invocation in taken):
            self.know_what_was_caused()
        for invocation in taken:
            record = self.records[invocation.request_id]
            assert record.function.name == name
            assert invocation.request_id not in self.held, "two attempts of one event at once"
            state, may_run_from = record.standing()
            assert state == "live", f"it is {state} and runs again"
            assert now >= may_run_from or record.ripe_after == len(record.ends), "it runs before its time"
            assert now - record.accepted_at <= record.function.maximum_event_age, "it runs although it is too old"
            self.held[invocation.request_id] = invocation

    @precondition(lambda self: self.held)
    @rule(ends=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=6), newest=st.booleans())
    def end(self, ends: list[str], newest: bool) -> None:
        self.call(self.let_end, sorted(self.held, reverse=newest), ends)

    def let_end(self, ids: Sequence[str], ends: Sequence[str]) -> None:
        for id, end in zip(ids, ends, strict=False):
            if end:
                self.records[id].ends.append((end, self.clock.now()))
                self.dispatcher.ended(self.held.pop(id), OUTCOMES[end])
            else:
                self.dispatcher.returned([self.held.pop(id)])

    @rule(name=names, ends=st.lists(st.sampled_from(["", *OUTCOMES]), min_size=1, max_size=6))
    def run(self, name: str, ends: list[str]) -> None:
        """Take so many and end each so, or give it back."""
        before = set(self.held)
        self.take(name, len(ends))
        self.call(self.let_end, sorted(set(self.held) - before), ends)

    @precondition(lambda self: self.held)
    @rule(many=st.integers(1, 3))
    def environments_are_lost_before_they_began(self, many: int) -> None:
        ids = sorted(self.held)[:many]
        self.call(self.dispatcher.returned, [self.held.pop(id) for id in ids])

    @rule(seconds=st.sampled_from([1.0, 59.0, 60.0, 120.0, 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.do(self.clock.advance(seconds))

    @rule(seconds=st.sampled_from([-3600.0, -30.0, 30.0, 3600.0]))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        for record in self.records.values():
            if record.standing()[1] <= self.clock.now():
                record.ripe_after = len(record.ends)
        self.clock.jump(seconds)

    @rule(failing=st.sets(st.sampled_from(["append", "claim", "wake", "settle", "next_wake"])))
    def the_disk_fails(self, failing: set[str]) -> None:
        self.store.failing = failing

    @rule()
    def the_disk_works_again(self) -> None:
        self.store.failing = set()
        self.do(self.clock.advance(2.0))

    @rule(name=names, many=st.integers(8, 16), seconds=st.sampled_from([0.0, 60.0, 130.0]))
    def a_wave_of_failures(self, name: str, many: int, seconds: float) -> None:
        """More events than fit into a lane fail, and their retries come due together."""
        self.emit(name, [None] * many)
        for _ in range(many // 2):
            self.run(name, ["error"] * 4)
        self.pass_time(seconds)

    @rule(killed=st.booleans(), later=st.sampled_from([0.0, 1.0, 60.0, 150.0]))
    def restart(self, killed: bool, later: float) -> None:
        """What ran is run again; an outcome that never reached the disk is forgotten. Time passes before anybody takes work again."""
        if killed:
            self.store.dead = True
        self.do(self.stop())
        if not killed:
            self.call(self.dispatcher.returned, list(self.held.values()))
        recorded = Counter(id for id, _state in self.ledger())
        for record in self.records.values():
            assert recorded[record.id] <= len(record.ends)
            if not (killed or self.store.failing):
                assert recorded[record.id] == len(record.ends), "a graceful stop writes what has ended"
            del record.ends[recorded[record.id] :]
        self.start()
        self.pass_time(later)

    @rule()
    def redrive(self) -> None:
        """An operator has the oldest dead event run again."""
        if self.store.failing:
            return
        dead = [id for id, state in self.states().items() if state == "dead"][:1]
        revived = self.do(self.store.revive(dead))
        for event in revived:
            self.know_what_was_caused()
            record = self.records[event.id]
            record.accepted_at, record.revived_after, record.redrives = self.clock.now(), len(record.ends), record.redrives + 1
        self.call(self.dispatcher.resume, revived)

    # What the disk says.

    def look(self, statement: str) -> list[Any]:
        return self.do(self.database.write(lambda connection: connection.execute(statement).fetchall()))

    def ledger(self) -> list[tuple[str, str]]:
        return self.look("SELECT event_id, status FROM attempts ORDER BY sequence")

    def states(self) -> dict[str, str]:
        names = ("live", "live", "done", "dead")
        return {id: names[state] for id, state in self.look("SELECT id, state FROM events ORDER BY sequence")}

    def know_what_was_caused(self) -> None:
        """Take up the events that dead ones of ``chained`` sent to ``plain``."""
        for id, function, accepted_at in self.look("SELECT id, function, accepted_at FROM events ORDER BY sequence"):
            if id not in self.records:
                assert function == "plain"
                self.records[id] = Record(id, FUNCTIONS[function], None, accepted_at)

    # What must always hold.

    @invariant()
    def every_attempt_is_in_the_ledger_once_it_is_settled(self) -> None:
        if not hasattr(self, "store") or self.store.failing:
            return
        self.know_what_was_caused()
        status = {"success": "success", "error": "function_error", "lost": "system_error"}
        states, ledger = self.states(), self.ledger()
        unwritten = len(ledger) < sum(len(record.ends) for record in self.records.values())
        assert not unwritten or self.store_failed_lately(), "outcomes were lost"
        for record in self.records.values():
            attempts = [state for id, state in ledger if id == record.id]
            assert attempts == [status[end] for end, _at in record.ends][: len(attempts)]
            expected, _ = record.standing()
            if len(attempts) == len(record.ends) and expected != "live":
                assert states[record.id] == expected

    def store_failed_lately(self) -> bool:
        """Outcomes that could not be written are tried again after a second."""
        return not self.dispatcher.idle

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "dispatcher"):
            for ready, _running in self.dispatcher.counts().values():
                assert ready <= 2 * MOST_EVENTS + WAKE_LIMIT + 1, "a full lane, what was taken and came back, what woke, and what was redriven"

    @invariant()
    def the_counts_are_right(self) -> None:
        if hasattr(self, "dispatcher") and not self.store.failing and not self.store_failed_lately():
            running = sum(running for _ready, running in self.dispatcher.counts().values())
            assert running == len(self.held)
            assert self.dispatcher.running == running

    def finish_everything(self) -> None:
        """From here on all goes well: every event must end, within its greatest age and the longest wait."""
        if not hasattr(self, "store"):
            return
        self.store.failing = set()
        idle = 0
        while idle < 60:  # a lane here holds four events, so that many of them take many turns
            self.do(self.clock.advance(2.0))
            self.call(self.let_end, list(self.held), ["success"] * len(self.held))
            for name in FUNCTIONS:
                self.take(name, 100)
            if not self.held and set(self.states().values()) <= {"done", "dead"}:
                break
            if not self.held:
                idle += 1
                self.do(self.clock.advance(300.0 if idle < 30 else 3600.0))
        self.know_what_was_caused()
        states = self.states()
        assert set(states) == set(self.records), "an accepted event is lost"
        assert set(states.values()) <= {"done", "dead"}, f"events never ended: {states}"
        self.every_attempt_is_in_the_ledger_once_it_is_settled()
        self.everything_was_told_once(states)

    def everything_was_told_once(self, states: dict[str, str]) -> None:
        """A dead letter for every death, a record for every success, an event for every death of ``chained``."""
        letters = Counter(message.attributes["RequestID"] for message in self.messages if message.queue == "dlq")
        successes = Counter(json.loads(message.body)["requestContext"]["requestId"] for message in self.messages if message.queue == "good")
        for record in self.records.values():
            if record.function.name == "letters":
                assert letters[record.id] == record.redrives + (states[record.id] == "dead")
                assert successes[record.id] == (states[record.id] == "done")
        deaths = [record.redrives + (states[record.id] == "dead") for record in self.records.values() if record.function.name == "chained"]
        assert sum(deaths) == len(self.look("SELECT id FROM events WHERE source LIKE 'destination of chained%'")), "each death causes one event"


TestDispatcherMachine = run_of(DispatcherMachine, examples=15, steps=20)
TestManyDispatchers = pytest.mark.timeout(900)(pytest.mark.slow(run_of(DispatcherMachine, examples=25, steps=40)))


def test_a_retry_that_comes_due_passes_over_no_event_that_is_still_on_disk() -> None:
    """The machine's way to it is long, so it is gone here straight."""
    machine = DispatcherMachine()
    machine.begin("plain")
    for _ in range(3):
        machine.take("plain", 6)
    assert len(machine.held) == 6
    machine.end(["lost"], newest=True)
    machine.environments_are_lost_before_they_began(5)
    machine.restart(killed=False, later=60.0)
    machine.memory_is_bounded()
    machine.teardown()


def test_retries_that_come_due_together_do_not_fill_the_memory() -> None:
    machine = DispatcherMachine()
    machine.begin("plain")
    machine.a_wave_of_failures("plain", 30, 130.0)
    machine.memory_is_bounded()
    machine.teardown()
