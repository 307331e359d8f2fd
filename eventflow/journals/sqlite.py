"""The Journal in SQLite: appends and settlements of many events share one transaction and one fsync."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.journal import CLAIM_BYTES, Attempt, CursorMove, Event, Message, Settlement, State
from eventflow.errors import ServiceError
from eventflow.journals.rows import GatheredEvents, ManyRows
from eventflow.outcome import Dead, Done, Retry, Status

log = logging.getLogger("eventflow.journal")

Send = Callable[[sqlite3.Connection, Message], Callable[[], None] | None]

COLUMNS = "id, function, payload, accepted_at, key, trace, source, function_errors, system_errors, sequence, qualifier"
EVENTS = "INSERT INTO events (sequence, id, function, payload, source, accepted_at, key, trace, qualifier)"
APPEND = ManyRows(EVENTS, "(?, ?, ?, ?, ?, ?, ?, ?, ?)", "ON CONFLICT (function, key) WHERE key IS NOT NULL DO NOTHING")
APPEND_PLAIN = ManyRows(EVENTS, "(?, ?, ?, ?, ?, ?, NULL, NULL, NULL)")
LAST_SEQUENCE = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
FIND_KEY = "SELECT id FROM events WHERE function = ? AND key = ?"
READY = "SELECT sequence, length(payload) AS size FROM events WHERE function = ? AND state = 0 AND sequence > ? ORDER BY sequence LIMIT ?"
DUE = "SELECT sequence, due_at, length(payload) AS size FROM events WHERE function = ? AND state = 1 AND due_at <= ? ORDER BY due_at LIMIT ?"
CLAIM = GatheredEvents(
    f"(SELECT sequence FROM (SELECT sequence, sum(size) OVER (ORDER BY sequence) - size AS before FROM ({READY})) WHERE before < ?)"
)
FIND_DUE = (
    "SELECT json_group_array(sequence) FROM"
    f" (SELECT sequence, sum(size) OVER (ORDER BY due_at, sequence) - size AS before FROM ({DUE})) WHERE before < ?"
)
WAKE = "UPDATE events SET state = 0, due_at = NULL WHERE sequence IN (SELECT value FROM json_each(?))"
LOAD = GatheredEvents("(SELECT value FROM json_each(?))")
DONE = "UPDATE events SET state = 2, due_at = NULL, settled_at = ?, reason = '' WHERE sequence IN (SELECT value FROM json_each(?))"
SETTLE = ManyRows(
    "UPDATE events SET state = new.column2, due_at = new.column3, settled_at = new.column4, function_errors = new.column5,"
    " system_errors = new.column6, reason = new.column7 FROM (",
    "(?, ?, ?, ?, ?, ?, ?)",
    # What was dropped while it ran is not tried again.
    f") AS new WHERE events.sequence = new.column1 AND NOT (new.column2 = {State.WAITING:d} AND events.state = {State.DEAD:d})",
)
ATTEMPTS = (
    "INSERT INTO attempts (event_id, function, started_at, duration_ms, billed_ms, memory_mb, max_memory_mb,"
    " init_ms, synchronous, status, error_type, error_message)"
)
RECORD = ManyRows(ATTEMPTS, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
RECORD_PLAIN = ManyRows(ATTEMPTS, "(?, ?, ?, ?, ?, ?, ?, NULL, 0, 'success', NULL, NULL)")
BACKLOG = "SELECT function, count(*) FROM events WHERE state = 0 GROUP BY function"
NEXT_WAKE = "SELECT function, min(due_at) FROM events WHERE state = 1 GROUP BY function"
READ_CURSOR = "SELECT key, value FROM cursors WHERE owner = ? AND key >= ? ORDER BY key LIMIT ?"
MOVE_CURSOR = "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT (owner, key) DO UPDATE SET value = excluded.value"
FORGET = "DELETE FROM cursors WHERE owner = ? AND key = ?"
PRUNE_EVENTS = (
    "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE sequence > ? AND state = ? AND settled_at < ? ORDER BY sequence LIMIT ?)"
)
PRUNE_ATTEMPTS = "DELETE FROM attempts WHERE sequence IN (SELECT sequence FROM attempts WHERE started_at < ? ORDER BY sequence LIMIT ?)"
FUNCTION_OF = "SELECT function FROM events WHERE id = ?"
REVIVE = (
    "UPDATE events SET state = 0, due_at = NULL, settled_at = NULL, accepted_at = ?, function_errors = 0, system_errors = 0, reason = ''"
    " WHERE id = ? AND state IN (2, 3)"
)
WAITING_FOR = "SELECT sequence, id, qualifier FROM events WHERE function = ? AND state = {:d} LIMIT ?"
LEFT = tuple(WAITING_FOR.format(state) for state in (State.READY, State.WAITING))
DROP = "UPDATE events SET state = 3, due_at = NULL, settled_at = ?, reason = ? WHERE sequence = ?"
#: An event that is ready waits, until now: it is woken like those whose time has come.
HAND_ON = "UPDATE events SET function = ?, state = 1, due_at = coalesce(due_at, ?) WHERE sequence = ?"
NOTE = "UPDATE events SET reason = reason || ? WHERE id = ?"
GET = f"SELECT {COLUMNS} FROM events WHERE id = ?"
PRUNE_CHUNK = 1000


class SqliteJournal:
    """``send`` hands a message to a queue, a bus or a bucket of the same database, inside the transaction of a settlement; what it returns is called
    once that is on disk. It raises ServiceError for what cannot be delivered."""

    def __init__(self, database: Database, clock: Clock, send: Send) -> None:
        self._database = database
        self._clock = clock
        self._send = send
        self._sequence = -1  # the last that was given, known to the writer's thread alone

    async def open(self) -> None:
        await self._database.migrate("journal", "eventflow.journals")

    async def append(self, events: Sequence[Event], cursors: Sequence[CursorMove] = ()) -> list[tuple[str, bool]]:
        def change(connection: sqlite3.Connection) -> list[tuple[str, bool]]:
            accepted = self.append_in(connection, events)
            for cursor in cursors:
                move_cursor(connection, cursor)
            return accepted

        return await self._database.write(change)

    async def claim(self, function: str, after: int, limit: int, most_bytes: int = CLAIM_BYTES) -> list[Event]:
        # Through the writer, so that what it returns and the appends acknowledged afterwards never leave a gap between them.
        return await self._database.write(lambda connection: CLAIM(connection, function, after, limit, most_bytes))

    async def wake(self, function: str, now: float, limit: int) -> list[Event]:
        def change(connection: sqlite3.Connection) -> list[Event]:
            (due,) = connection.execute(FIND_DUE, (function, now, limit, CLAIM_BYTES)).fetchone()
            connection.execute(WAKE, (due,))
            return LOAD(connection, due)

        return await self._database.write(change)

    async def settle(self, settlements: Sequence[Settlement], attempts: Sequence[Attempt] = ()) -> None:
        now = self._clock.now()

        def change(connection: sqlite3.Connection) -> list[Callable[[], None]]:
            sent: list[Callable[[], None]] = []
            done = [settlement.event.sequence for settlement in settlements if is_plain_end(settlement)]
            if done:
                connection.execute(DONE, (now, json.dumps(done)))
            SETTLE(connection, [settled_row(settlement, now) for settlement in settlements if not is_plain_end(settlement)])
            for settlement in settlements:
                if settlement.events or settlement.messages:
                    sent += self._cause(connection, settlement)
            record(connection, [settlement.attempt for settlement in settlements if settlement.attempt is not None])
            record(connection, attempts)
            return sent

        if settlements:
            for follow in await self._database.write(change):
                follow()
        else:
            await self._database.write_along(change)

    def append_in(self, connection: sqlite3.Connection, events: Sequence[Event]) -> list[tuple[str, bool]]:
        """Store the events whose key is not known yet, in their order; for each its request id and whether it is new. Sets their sequence.

        Inside somebody else's ``database.write``, hand those that are new to the dispatcher's ``offer`` once that has committed.
        """
        if self._sequence < 0:
            found = connection.execute(LAST_SEQUENCE).fetchone()
            self._sequence = found[0] if found else 0
        for event in events:
            self._sequence += 1
            event.sequence = self._sequence
        new = 0
        for plain, run in groupby(events, is_plain_event):
            if plain:
                new += APPEND_PLAIN(connection, [event_row(event) for event in run])
            else:
                new += APPEND(connection, [full_event_row(event) for event in run])
        if new == len(events):
            return [(event.id, True) for event in events]
        accepted = []
        for event in events:
            earlier = event.id if event.key is None else connection.execute(FIND_KEY, (event.function, event.key)).fetchone()[0]
            accepted.append((earlier, earlier == event.id))
        return accepted

    async def backlog(self) -> dict[str, int]:
        return await self._database.read(lambda connection: dict(connection.execute(BACKLOG).fetchall()))

    async def next_wake(self) -> dict[str, float]:
        return await self._database.read(lambda connection: dict(connection.execute(NEXT_WAKE).fetchall()))

    def _cause(self, connection: sqlite3.Connection, settlement: Settlement) -> Iterator[Callable[[], None]]:
        self.append_in(connection, settlement.events)
        for message in settlement.messages:
            try:
                follow = self._send(connection, message)
            except ServiceError as error:
                # The queue is gone or refuses the message: as on AWS the event's end stands, and `events show` says what was not delivered.
                note_in(connection, settlement.event.id, message, error)
            else:
                if follow is not None:
                    yield follow
        faultpoint.reach("settle.caused")

    async def read_cursor(self, owner: str, after: str | None = None, limit: int | None = None) -> dict[str, Any]:
        first = "" if after is None else after + "\0"
        arguments = (owner, first, -1 if limit is None else limit)
        rows = await self._database.read(lambda connection: connection.execute(READ_CURSOR, arguments).fetchall())
        return {key: json.loads(value) for key, value in rows}

    async def move_cursor(self, move: CursorMove) -> None:
        await self._database.write(lambda connection: move_cursor(connection, move))

    async def revive(self, ids: Sequence[str], knows: Callable[[str], bool] = lambda _function: True) -> list[Event]:
        """Make settled events ready again with a fresh age and fresh retries, and give them; unknown and unsettled ids are left out, and those whose
        function is not known (``knows`` is asked in the writer's thread)."""
        now = self._clock.now()

        def change(connection: sqlite3.Connection) -> list[Event]:
            found = ((id, connection.execute(FUNCTION_OF, (id,)).fetchone()) for id in ids)
            revived = [id for id, row in found if row and knows(row[0]) and connection.execute(REVIVE, (now, id)).rowcount]
            return [Event(*connection.execute(GET, (id,)).fetchone()) for id in revived]

        return await self._database.write(change)

    async def drop(
        self, function: str, condition: str, reason: str, heirs: Mapping[str, str] | None = None, running: Collection[str] = ()
    ) -> tuple[int, int]:
        """End all events that wait for a function as dead ones, in small transactions; of what is ``running`` (ids) a success still counts. What came
        by a qualifier that has an heir waits for that function from now on. How many were dropped, and how many handed on."""
        now, whys = self._clock.now(), f"{condition}: {reason}"

        def change(connection: sqlite3.Connection, statement: str) -> tuple[int, int]:
            found = connection.execute(statement, (function, PRUNE_CHUNK)).fetchall()
            onward = {sequence: heirs[qualifier] for sequence, id, qualifier in found if heirs and qualifier in heirs and id not in running}
            connection.executemany(HAND_ON, [(heir, now, sequence) for sequence, heir in onward.items()])
            connection.executemany(DROP, [(now, whys, sequence) for sequence, _id, _qualifier in found if sequence not in onward])
            return len(found) - len(onward), len(onward)

        dropped = handed_on = 0
        for statement in LEFT:
            while (chunk := await self._database.write(partial(change, statement=statement))) != (0, 0):
                dropped, handed_on = dropped + chunk[0], handed_on + chunk[1]
        return dropped, handed_on

    async def prune(self, done_before: float, dead_before: float) -> int:
        """Forget events that were done, or dead, before these instants, and ledger rows as old; returns how many rows went. In small
        transactions, so that events go on meanwhile."""
        removed = 0
        for statement, arguments in (
            (PRUNE_EVENTS, (0, State.DONE, done_before)),
            (PRUNE_EVENTS, (0, State.DEAD, dead_before)),
            (PRUNE_ATTEMPTS, (min(done_before, dead_before),)),
        ):
            while chunk := await self._delete(statement, arguments):
                removed += chunk
        return removed

    async def _delete(self, statement: str, arguments: tuple[Any, ...]) -> int:
        return await self._database.write(lambda connection: connection.execute(statement, (*arguments, PRUNE_CHUNK)).rowcount)


def is_plain_event(event: Event) -> bool:
    return event.key is None and event.trace is None and event.qualifier is None


def event_row(event: Event) -> tuple[Any, ...]:
    return (event.sequence, event.id, event.function, event.payload, event.source, event.accepted_at)


def full_event_row(event: Event) -> tuple[Any, ...]:
    return (*event_row(event), event.key, event.trace, event.qualifier)


def note_in(connection: sqlite3.Connection, event: str, message: Message, error: ServiceError) -> None:
    """Write down, within a transaction, that what an event's end causes could not be delivered."""
    note = f" [not delivered to {message}: {error}]"
    connection.execute(NOTE, (note, event))
    log.error("event %s:%s", event, note)


def is_plain_end(settlement: Settlement) -> bool:
    return isinstance(settlement.step, Done) and not settlement.reason


def settled_row(settlement: Settlement, now: float) -> tuple[Any, ...]:
    event, reason = settlement.event, settlement.reason
    errors = (event.function_errors, event.system_errors)
    match settlement.step:
        case Done():
            return (event.sequence, State.DONE, None, now, *errors, reason)
        case Retry(at=at):
            return (event.sequence, State.WAITING, at, None, *errors, reason)
        case Dead(condition=condition):
            return (event.sequence, State.DEAD, None, now, *errors, f"{condition}: {reason}")


def record(connection: sqlite3.Connection, attempts: Sequence[Attempt]) -> None:
    """Write the ledger, in order. Values that are nearly always the same are in the statement: each that is bound costs as much as a small row."""
    for plain, run in groupby(attempts, is_plain_attempt):
        if plain:
            RECORD_PLAIN(connection, [attempt_row(attempt) for attempt in run])
        else:
            RECORD(connection, [full_attempt_row(attempt) for attempt in run])


def is_plain_attempt(attempt: Attempt) -> bool:
    return attempt.outcome.status is Status.SUCCESS and attempt.outcome.init_ms is None and not attempt.synchronous


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    outcome = attempt.outcome
    return (
        attempt.event_id,
        attempt.function,
        outcome.started_at,
        outcome.duration_ms,
        outcome.billed_ms,
        attempt.memory_mb,
        outcome.max_memory_mb,
    )


def full_attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    outcome = attempt.outcome
    return (*attempt_row(attempt), outcome.init_ms, attempt.synchronous, str(outcome.status), outcome.error_type, outcome.error_message)


def move_cursor(connection: sqlite3.Connection, move: CursorMove) -> None:
    kept = [(move.owner, key, json.dumps(value)) for key, value in move.changes.items() if value is not None]
    gone = [(move.owner, key) for key, value in move.changes.items() if value is None]
    connection.executemany(MOVE_CURSOR, kept)
    connection.executemany(FORGET, gone)
