"""The journal contract, on SQLite: a file as in production, and the same code in memory."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.dispatch.journal import Journal, QueueMessage, Settlement
from eventflow.errors import ServiceError
from eventflow.journals import history
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Dead, Done, Retry
from eventflow.testing.journal_contract import JournalContract


class TestSqliteJournal(JournalContract):
    async def open(self, folder: Path, clock: Clock) -> SqliteJournal:
        self.database = Database(folder / "journal.db")
        journal = SqliteJournal(self.database, clock, self.send)
        await journal.open()
        return journal

    async def close(self, journal: Journal) -> None:
        self.database.close()

    async def recorded(self, journal: Journal) -> list[tuple[str, bool, Any]]:
        rows = await self.database.read(lambda c: c.execute("SELECT event_id, synchronous, billed_ms FROM attempts ORDER BY sequence").fetchall())
        return [(event, bool(synchronous), billed) for event, synchronous, billed in rows]

    def send(self, _connection: sqlite3.Connection, message: QueueMessage) -> None:
        if message.queue == "gone":
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        self.sent.append(message)

    def test_a_destination_that_is_gone_does_not_undo_the_settlement(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(1), self.event(2)])
            first, second = await journal.claim("f", 0, 10)
            good = QueueMessage("q", "x")
            await journal.settle(
                [Settlement(first, Done(), None, messages=[QueueMessage("gone", "x")]), Settlement(second, Done(), None, messages=[good])]
            )
            assert self.sent == [good]
            shown = await self.database.read(lambda connection: history.show_event(connection, "id-0001"))
            assert shown is not None
            assert "not delivered to queue gone" in shown["reason"]
            assert shown["state"] == "done"

        self.run(tmp_path, work)

    def test_dead_events_are_revived_with_fresh_retries(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            assert isinstance(journal, SqliteJournal)
            await journal.append([self.event(n) for n in range(3)])
            events = await journal.claim("f", 0, 10)
            for event in events:
                event.function_errors = 3
            await journal.settle([Settlement(events[0], Dead("RetriesExhausted"), None, "boom"), Settlement(events[1], Done(), None)])
            await self.clock.advance("1h")
            revived = await journal.revive(["id-0000", "id-0001", "id-0002", "unknown"])
            assert [(event.id, event.function_errors, event.accepted_at) for event in revived] == [
                ("id-0000", 0, self.clock.now()),
                ("id-0001", 0, self.clock.now()),
            ]
            assert await self.ids(journal) == ["id-0000", "id-0001", "id-0002"]

        self.run(tmp_path, work)

    def test_old_events_are_forgotten_done_ones_earlier_than_dead_ones(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            assert isinstance(journal, SqliteJournal)
            start = self.clock.now()
            await journal.append([self.event(n) for n in range(3)])
            done, dead, _ready = await journal.claim("f", 0, 10)
            await journal.settle([Settlement(done, Done(), None), Settlement(dead, Dead("RetriesExhausted"), None)])
            assert await journal.prune(start, start) == 0
            assert await journal.prune(start + 1, start) == 1
            assert await journal.prune(start + 1, start + 1) == 1
            assert await self.ids(journal) == ["id-0002"]

        self.run(tmp_path, work)

    def test_what_waits_for_a_deleted_function_is_dropped_and_never_tried_again(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            assert isinstance(journal, SqliteJournal)
            await journal.append([self.event(n, "g" if n == 4 else "f") for n in range(5)])
            failing, waiting, succeeding, idle = await journal.claim("f", 0, 10)
            await journal.settle([Settlement(waiting, Retry(self.clock.now() + 60), None)])
            assert await journal.drop("f", "FunctionDeleted", "f was deleted.") == (4, 0)
            await journal.settle([Settlement(failing, Retry(self.clock.now() + 60), None, "boom"), Settlement(succeeding, Done(), None)])
            assert await self.ids(journal) == []
            assert await journal.next_wake() == {}
            assert await self.ids(journal, "g") == ["id-0004"]
            shown = await self.database.read(
                lambda connection: [history.show_event(connection, one.id) for one in (failing, waiting, succeeding, idle)]
            )
            told = [(one["state"], one["reason"]) for one in shown if one is not None]
            assert told == [("done", "") if n == 2 else ("dead", "FunctionDeleted: f was deleted.") for n in range(4)]

        self.run(tmp_path, work)

    def test_what_came_by_an_alias_goes_on_with_its_heir_unless_it_runs(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            assert isinstance(journal, SqliteJournal)
            by = {0: "live", 1: "live", 2: "1", 3: "live", 4: "other"}
            await journal.append([replace(self.event(number, "f:1"), qualifier=qualifier) for number, qualifier in by.items()])
            events = await journal.claim("f:1", 0, 10)
            await journal.settle([Settlement(events[1], Retry(self.clock.now() + 60), None)])
            assert await journal.drop("f:1", "FunctionDeleted", "gone", {"live": "f:2"}, {"id-0003"}) == (3, 2)
            woken = await journal.wake("f:2", self.clock.now(), 10)
            assert [(event.id, event.qualifier) for event in woken] == [("id-0000", "live")]
            assert await journal.next_wake() == {"f:2": self.clock.now() + 60}
            assert await self.ids(journal, "f:1") == []

        self.run(tmp_path, work)


def test_events_are_listed_newest_first_in_pages() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        check_pages(connection)


def check_pages(connection: sqlite3.Connection) -> None:
    for schema in sorted((Path(history.__file__).parent / "schema").iterdir()):
        connection.executescript(schema.read_text())
    for number in range(5):
        row = (f"id-{number}", "f", None, b"{}", None, "test", 1.0)
        connection.execute("INSERT INTO events (id, function, key, payload, trace, source, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    page, following = history.list_events(connection, state="ready", function=None, limit=3, before=None)
    assert [event["id"] for event in page] == ["id-4", "id-3", "id-2"]
    rest, end = history.list_events(connection, state=None, function="f", limit=3, before=following)
    assert [event["id"] for event in rest] == ["id-1", "id-0"]
    assert end is None
