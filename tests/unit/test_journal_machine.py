"""The journal against a model of a few lines, driven by hypothesis: any interleaving of what a dispatcher does with it, and crashes in between."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventflow.database import Database
from eventflow.dispatch.journal import Attempt, CursorMove, Event, QueueMessage, Settlement, State
from eventflow.errors import ServiceError
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Dead, Done, Outcome, Retry, Status, Step
from eventflow.testing.virtual_clock import VirtualClock
from tests.unit.machine_runs import run_of

T = TypeVar("T")

FUNCTIONS = ("f", "g")
OWNERS = ("one", "two")
functions = st.sampled_from(FUNCTIONS)
keys = st.none() | st.sampled_from(["a", "b", "c"])
cursors = st.builds(CursorMove, st.sampled_from(OWNERS), st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 9), max_size=2))
new_events = st.lists(st.tuples(functions, keys), min_size=1, max_size=4)
#: What a settlement makes of an event: its step (a number: a retry after so many seconds), whether it ran, what it sends, what it causes.
ends = st.tuples(
    st.sampled_from(["done", "dead", 60.0, 120.0, 1.0]),
    st.booleans(),
    st.lists(st.sampled_from(["q", "gone"]), max_size=2),
    st.lists(st.tuples(functions, keys), max_size=2),
)


@dataclass(frozen=True)
class Row:
    """What the model knows of an event."""

    id: str
    function: str
    key: str | None
    payload: bytes
    accepted_at: float
    state: State = State.READY
    due: float = 0.0
    settled_at: float = 0.0
    function_errors: int = 0
    system_errors: int = 0
    reason: str = ""


class JournalMachine(RuleBasedStateMachine):
    """``rows`` (in the order of acceptance), ``cursors``, ``sent`` and ``ledger`` are the model."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp(prefix="journal-machine-"))
        self.numbers = itertools.count(1)
        self.clock = VirtualClock()
        self.rows: dict[str, Row] = {}
        self.cursors: dict[str, dict[str, Any]] = {owner: {} for owner in OWNERS}
        self.sent: list[str] = []
        self.ledger: list[tuple[str, float]] = []
        self.open(self.home / "0")

    def open(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.database = Database(folder / "journal.db")
        self.journal = SqliteJournal(self.database, self.clock, self.send)
        self.do(self.journal.open())
        self.do(self.database.write(lambda connection: connection.execute("CREATE TABLE IF NOT EXISTS sent (body TEXT)").rowcount))

    def send(self, connection: sqlite3.Connection, message: QueueMessage) -> None:
        """A queue in the same database: what it got shares the fate of the transaction."""
        if message.queue == "broken":
            raise RuntimeError("this settlement fails")
        if message.queue == "gone":
            raise ServiceError("QueueDoesNotExist", "The queue is gone.")
        connection.execute("INSERT INTO sent VALUES (?)", (message.body,))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.database.close()
        self.loop.close()
        shutil.rmtree(self.home)

    # Chance that is not the store's business.

    def event(self, function: str, key: str | None) -> Event:
        number = next(self.numbers)
        return Event(f"id-{number:05}", function, json.dumps({"n": number}).encode(), self.clock.now(), key, source="model")

    def rows_in(self, *states: State, function: str | None = None) -> list[Row]:
        return [row for row in self.rows.values() if row.state in states and function in (None, row.function)]

    def accept(self, event: Event) -> tuple[str, bool]:
        """The model's part of storing an event."""
        for row in self.rows.values():
            if event.key is not None and (row.function, row.key) == (event.function, event.key):
                return row.id, False
        self.rows[event.id] = Row(event.id, event.function, event.key, event.payload, event.accepted_at)
        return event.id, True

    def claimed(self, function: str, after: int = 0, limit: int = 10_000) -> list[Event]:
        return self.do(self.journal.claim(function, after, limit))

    # What a dispatcher, a trigger and an operator do.

    @initialize()
    def begin(self) -> None:
        assert self.claimed("f") == []
        self.append([("f", None), ("g", None), ("f", "a"), ("f", None), ("g", "a"), ("f", None)], [])

    @rule(new=new_events, moves=st.lists(cursors, max_size=2))
    def append(self, new: list[tuple[str, str | None]], moves: list[CursorMove]) -> None:
        events = [self.event(*one) for one in new]
        accepted = self.do(self.journal.append(events, moves))
        assert [tuple(one)[:2] for one in accepted] == [self.accept(event) for event in events]
        for move in moves:
            self.move(move)

    @precondition(lambda self: self.rows)
    @rule(new=new_events, moves=st.lists(cursors, max_size=1))
    def append_with_a_repeated_request_id(self, new: list[tuple[str, str | None]], moves: list[CursorMove]) -> None:
        """It is refused as a whole."""
        repeated = replace(self.event("f", None), id=next(iter(self.rows)))
        with pytest.raises(Exception):  # noqa: B017 - each store has its own error for it
            self.do(self.journal.append([*(self.event(*one) for one in new), repeated], moves))

    @rule(move=cursors)
    def move_cursor(self, move: CursorMove) -> None:
        self.do(self.journal.move_cursor(move))
        self.move(move)

    def move(self, move: CursorMove) -> None:
        memory = self.cursors[move.owner]
        memory.update(move.changes)
        self.cursors[move.owner] = {key: value for key, value in memory.items() if value is not None}

    @rule(function=functions, skip=st.integers(0, 5), limit=st.integers(1, 4))
    def claim(self, function: str, skip: int, limit: int) -> None:
        whole = self.claimed(function)
        assert [event.sequence for event in whole] == sorted({event.sequence for event in whole}), "in the order of acceptance, each once"
        after = whole[min(skip, len(whole)) - 1].sequence if whole and skip else 0
        page = self.claimed(function, after, limit)
        ready = [row.id for row in self.rows_in(State.READY, function=function)]
        assert [event.id for event in page] == ready[min(skip, len(ready)) :][:limit]

    @rule(function=functions, ahead=st.sampled_from([0.0, 10.0, 200.0]), limit=st.integers(1, 3))
    def wake(self, function: str, ahead: float, limit: int) -> None:
        now = self.clock.now() + ahead
        due = sorted((row for row in self.rows_in(State.WAITING, function=function) if row.due <= now), key=lambda row: row.due)[:limit]
        woken = self.do(self.journal.wake(function, now, limit))
        assert [event.id for event in woken] == [row.id for row in self.rows.values() if row in due], "the earliest, in the order of acceptance"
        self.check_events(woken)
        for row in due:
            self.rows[row.id] = replace(row, state=State.READY, due=0.0)

    @precondition(lambda self: self.rows_in(State.READY))
    @rule(
        made=st.lists(ends, min_size=1, max_size=6), newest=st.booleans(), synchronous=st.integers(0, 1), broken=st.sampled_from([False, False, True])
    )
    def settle(self, made: list[Any], newest: bool, synchronous: int, broken: bool) -> None:
        ready = sorted((event for function in FUNCTIONS for event in self.claimed(function)), key=lambda event: event.id, reverse=newest)
        settlements = [self.settlement(event, *end) for event, end in zip(ready, made, strict=False)]
        attempts = [Attempt(f"sync-{next(self.numbers)}", "f", self.outcome(), 128, synchronous=True) for _ in range(synchronous)]
        if broken:
            settlements[-1].messages = [*settlements[-1].messages, QueueMessage("broken", "x")]
            with pytest.raises(RuntimeError):
                self.do(self.journal.settle(settlements, attempts))
            return
        self.do(self.journal.settle(settlements, attempts))
        for settlement in settlements:
            self.settled(settlement)
        recorded = [*(one.attempt for one in settlements if one.attempt is not None), *attempts]
        self.ledger += [(attempt.event_id, attempt.outcome.started_at) for attempt in recorded]

    def outcome(self) -> Outcome:
        return Outcome(Status.SUCCESS, started_at=self.clock.now())

    def settlement(self, event: Event, end: str | float, ran: bool, queues: Sequence[str], new: Sequence[tuple[str, str | None]]) -> Settlement:
        event.function_errors += ran
        event.system_errors += not ran
        if isinstance(end, float):
            # At different instants, or which of them is the earliest would be the store's own choice.
            step: Step = Retry(self.clock.now() + end + next(self.numbers) / 1024)
        else:
            step = Done() if end == "done" else Dead("RetriesExhausted")
        attempt = Attempt(event.id, event.function, self.outcome(), 128) if ran else None
        messages = [QueueMessage(queue, f"m{next(self.numbers)}") for queue in queues]
        return Settlement(event, step, attempt, "why", messages, [self.event(*one) for one in new])

    def settled(self, settlement: Settlement) -> None:
        """The model's part of a settlement."""
        event, step = settlement.event, settlement.step
        row = replace(self.rows[event.id], function_errors=event.function_errors, system_errors=event.system_errors)
        if isinstance(step, Retry):
            row = replace(row, state=State.WAITING, due=step.at, reason="why")
        elif isinstance(step, Done):
            row = replace(row, state=State.DONE, settled_at=self.clock.now(), reason="why")
        else:
            row = replace(row, state=State.DEAD, settled_at=self.clock.now(), reason=f"{step.condition}: why")
        self.rows[event.id] = row
        for caused in settlement.events:
            self.accept(caused)
        self.sent += [message.body for message in settlement.messages if message.queue != "gone"]

    @precondition(lambda self: self.rows_in(State.DONE, State.DEAD))
    @rule(many=st.integers(1, 3), others=st.booleans())
    def revive(self, many: int, others: bool) -> None:
        chosen = [row.id for row in self.rows_in(State.DONE, State.DEAD)][-many:]
        if others:
            chosen += ["unknown", *(row.id for row in self.rows_in(State.READY, State.WAITING))]
        revived = self.do(self.journal.revive(chosen))
        settled = [id for id in chosen if id in self.rows and self.rows[id].state in (State.DONE, State.DEAD)]
        assert [event.id for event in revived] == settled
        for id in settled:
            row = self.rows[id]
            self.rows[id] = Row(id, row.function, row.key, row.payload, self.clock.now())
        self.check_events(revived)

    @rule(done=st.sampled_from([0, 30, 90]), dead=st.sampled_from([0, 30, 90]))
    def prune(self, done: int, dead: int) -> None:
        now = self.clock.now()
        kept = {State.DONE: now - done, State.DEAD: now - dead}
        rows = [row.id for row in self.rows.values() if row.state in kept and row.settled_at < kept[row.state]]
        ledger = [entry for entry in self.ledger if entry[1] < min(kept.values())]
        assert self.do(self.journal.prune(kept[State.DONE], kept[State.DEAD])) == len(rows) + len(ledger)
        for id in rows:
            del self.rows[id]
        self.ledger = [entry for entry in self.ledger if entry not in ledger]

    @rule(seconds=st.sampled_from([1, 30, 60, 90]))
    def pass_time(self, seconds: int) -> None:
        self.do(self.clock.advance(float(seconds)))

    @rule(killed=st.booleans())
    def restart(self, killed: bool) -> None:
        """After a stop, or with the files as a killed daemon leaves them."""
        if not killed:
            self.database.close()
            self.open(self.folder)
            return
        after = self.home / str(next(self.numbers))
        after.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, after / name)
        self.database.close()
        self.open(after)

    # What must always hold.

    def check_events(self, events: Sequence[Event]) -> None:
        """What the journal gives is what was accepted, with what it has been through."""
        for event in events:
            row = self.rows[event.id]
            found = (event.function, event.key, event.payload, event.accepted_at, event.function_errors, event.system_errors)
            assert found == (row.function, row.key, row.payload, row.accepted_at, row.function_errors, row.system_errors)

    @invariant()
    def what_is_ready_is_claimed(self) -> None:
        for function in FUNCTIONS:
            events = self.claimed(function)
            assert [event.id for event in events] == [row.id for row in self.rows_in(State.READY, function=function)]
            self.check_events(events)

    @invariant()
    def the_counts_are_right(self) -> None:
        ready = [row.function for row in self.rows_in(State.READY)]
        assert self.do(self.journal.backlog()) == {function: ready.count(function) for function in set(ready)}
        wakes: dict[str, float] = {}
        for row in self.rows_in(State.WAITING):
            wakes[row.function] = min(row.due, wakes.get(row.function, row.due))
        assert self.do(self.journal.next_wake()) == wakes

    @invariant()
    def triggers_remember(self) -> None:
        for owner in OWNERS:
            assert self.do(self.journal.read_cursor(owner)) == self.cursors[owner]

    @invariant()
    def nothing_else_is_there(self) -> None:
        def look(connection: sqlite3.Connection) -> tuple[list[Any], list[Any], list[Any]]:
            events = connection.execute("SELECT id, state, coalesce(settled_at, 0.0), reason FROM events ORDER BY sequence").fetchall()
            ledger = connection.execute("SELECT event_id, started_at FROM attempts ORDER BY sequence").fetchall()
            return events, ledger, [body for (body,) in connection.execute("SELECT body FROM sent ORDER BY rowid")]

        events, ledger, sent = self.do(self.database.read(look))
        assert [(id, State(state), settled_at) for id, state, settled_at, _reason in events] == [
            (row.id, row.state, row.settled_at) for row in self.rows.values()
        ]
        for (_id, _state, _at, reason), row in zip(events, self.rows.values(), strict=True):
            assert reason.partition(" [not delivered")[0] == row.reason
        assert ledger == self.ledger
        assert sent == self.sent


TestJournalMachine = run_of(JournalMachine, examples=12, steps=25)
TestManyJournals = pytest.mark.timeout(900)(pytest.mark.slow(run_of(JournalMachine, examples=100, steps=50)))
