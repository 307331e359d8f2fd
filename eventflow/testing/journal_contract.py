"""What every Journal must do, as tests: subclass ``JournalContract`` in a test module and say how to open one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from eventflow.clock import Clock
from eventflow.dispatch.journal import Attempt, CursorMove, Event, Journal, QueueMessage, Settlement
from eventflow.outcome import Dead, Done, Outcome, Retry, Status, Step
from eventflow.testing.virtual_clock import VirtualClock

Work = Callable[[Journal], Awaitable[None]]


class JournalContract(ABC):
    """``open`` gives a journal over the state in ``folder`` (empty at first), ``close`` ends it as a stopped daemon does; ``sent`` collects
    queue messages."""

    sent: list[QueueMessage]

    @abstractmethod
    async def open(self, folder: Path, clock: Clock) -> Journal: ...

    @abstractmethod
    async def close(self, journal: Journal) -> None: ...

    def run(self, folder: Path, *works: Work) -> None:
        """Do each piece of work on the same state, closing and opening in between."""

        async def main() -> None:
            for work in works:
                journal = await self.open(folder, self.clock)
                try:
                    await work(journal)
                finally:
                    await self.close(journal)

        self.clock = VirtualClock()
        self.sent = []
        asyncio.run(main())

    def event(self, number: int, function: str = "f", key: str | None = None) -> Event:
        return Event(f"id-{number:04}", function, f'{{"n":{number}}}'.encode(), self.clock.now(), key=key, source="test")

    async def ids(self, journal: Journal, function: str = "f", after: int = 0, limit: int = 1000) -> list[str]:
        return [event.id for event in await journal.claim(function, after, limit)]

    def test_accepted_events_are_claimed_in_order_also_after_a_restart(self, tmp_path: Path) -> None:
        async def accept(journal: Journal) -> None:
            accepted = await journal.append([self.event(n) for n in range(5)])
            assert accepted == [(f"id-{n:04}", True) for n in range(5)]

        async def claim(journal: Journal) -> None:
            assert await self.ids(journal) == [f"id-{n:04}" for n in range(5)]
            assert await self.ids(journal) == [f"id-{n:04}" for n in range(5)], "claiming must not change anything"

        self.run(tmp_path, accept, claim)

    def test_an_event_comes_back_as_it_went_in(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            event = Event("id-1", "f", b'{"\xc3\xa9": [1]}', 12.5, key="k", trace="Root=1-2", source="a place", qualifier="live")
            await journal.append([event])
            [claimed] = await journal.claim("f", 0, 10)
            assert claimed == event
            assert claimed.sequence > 0

        self.run(tmp_path, work)

    def test_claims_go_on_after_a_sequence_and_keep_functions_apart(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(n, "f" if n % 2 else "g") for n in range(10)])
            first = await journal.claim("f", 0, 2)
            assert [event.id for event in first] == ["id-0001", "id-0003"]
            assert await self.ids(journal, "f", first[-1].sequence) == ["id-0005", "id-0007", "id-0009"]
            assert await journal.backlog() == {"f": 5, "g": 5}

        self.run(tmp_path, work)

    def test_a_claim_ends_with_the_event_that_reaches_its_bytes(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(n) for n in range(5)])
            size = len(self.event(0).payload)
            assert [event.id for event in await journal.claim("f", 0, 10, 2 * size)] == ["id-0000", "id-0001"]
            assert [event.id for event in await journal.claim("f", 0, 10, 2 * size + 1)] == ["id-0000", "id-0001", "id-0002"]
            assert [event.id for event in await journal.claim("f", 4, 10, 1)] == ["id-0004"]

        self.run(tmp_path, work)

    def test_a_repeated_key_is_ignored_for_its_function_also_after_it_is_done(self, tmp_path: Path) -> None:
        async def accept(journal: Journal) -> None:
            assert await journal.append([self.event(1, key="k"), self.event(2, key="k"), self.event(3, "g", key="k")]) == [
                ("id-0001", True),
                ("id-0001", False),
                ("id-0003", True),
            ]
            await journal.settle([Settlement(event, Done(), None) for event in await journal.claim("f", 0, 10)])

        async def again(journal: Journal) -> None:
            assert await journal.append([self.event(4, key="k")]) == [("id-0001", False)]
            assert await self.ids(journal) == []

        self.run(tmp_path, accept, again)

    def test_settled_events_are_not_claimed_again(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(n) for n in range(4)])
            events = await journal.claim("f", 0, 10)
            now = self.clock.now()
            steps: list[Step] = [Done(), Dead("RetriesExhausted"), Retry(now + 60)]
            await journal.settle([Settlement(event, step, None, "why") for event, step in zip(events, steps, strict=False)])
            assert await self.ids(journal) == ["id-0003"]
            assert await journal.next_wake() == {"f": now + 60}

        self.run(tmp_path, work)

    def test_waiting_events_wake_when_their_time_has_come_with_what_they_have_been_through(self, tmp_path: Path) -> None:
        async def wait(journal: Journal) -> None:
            await journal.append([self.event(n) for n in range(3)])
            settlements = []
            for delay, event in zip((30.0, 10.0, 20.0), await journal.claim("f", 0, 10), strict=True):
                event.function_errors, event.system_errors = 2, 5
                settlements.append(Settlement(event, Retry(self.clock.now() + delay), None))
            await journal.settle(settlements)

        async def wake(journal: Journal) -> None:
            now = self.clock.now()
            assert await journal.wake("f", now + 9, 10) == []
            assert [event.id for event in await journal.wake("f", now + 10, 10)] == ["id-0001"]
            woken = await journal.wake("f", now + 100, 10)
            assert [(event.id, event.function_errors, event.system_errors) for event in woken] == [("id-0000", 2, 5), ("id-0002", 2, 5)]
            assert await self.ids(journal) == ["id-0000", "id-0001", "id-0002"], "what woke is ready, also for a daemon that starts later"
            assert await journal.next_wake() == {}

        self.run(tmp_path, wait, wake)

    def test_waking_is_limited_and_takes_the_earliest(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(n) for n in range(5)])
            events = await journal.claim("f", 0, 10)
            await journal.settle([Settlement(event, Retry(self.clock.now() + 10 - n), None) for n, event in enumerate(events)])
            assert [event.id for event in await journal.wake("f", self.clock.now() + 100, 2)] == ["id-0003", "id-0004"]

        self.run(tmp_path, work)

    def test_a_settlement_s_messages_and_events_are_sent_with_it(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(1)])
            [event] = await journal.claim("f", 0, 10)
            message = QueueMessage("q", "body", {"RequestID": event.id})
            await journal.settle([Settlement(event, Done(), None, messages=[message], events=[self.event(2, "g")])])
            assert self.sent == [message]
            assert await self.ids(journal, "g") == ["id-0002"]

        self.run(tmp_path, work)

    def test_a_cursor_moves_with_its_event(self, tmp_path: Path) -> None:
        async def move(journal: Journal) -> None:
            assert await journal.read_cursor("me") == {}
            await journal.append([self.event(1)], [CursorMove("me", {"last": [1, "two", None], "other": 1})])
            await journal.move_cursor(CursorMove("me", {"other": None, "third": {"a": True}}))
            await journal.move_cursor(CursorMove("you", {"last": 5}))

        async def read(journal: Journal) -> None:
            assert await journal.read_cursor("me") == {"last": [1, "two", None], "third": {"a": True}}

        self.run(tmp_path, move, read)

    def test_a_large_cursor_is_read_page_by_page(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            keys = ["", "/", "a", "a/b", "b", "\u00e9", "\U0001f600"]
            await journal.move_cursor(CursorMove("me", {key: number for number, key in reversed(list(enumerate(keys)))}))
            await journal.move_cursor(CursorMove("you", {"a/a": 1}))
            pages, after = [], None
            while page := await journal.read_cursor("me", after, 3):
                pages.append(page)
                after = list(page)[-1]
            assert [list(page) for page in pages] == [keys[:3], keys[3:6], keys[6:]]
            assert {key: value for page in pages for key, value in page.items()} == {key: number for number, key in enumerate(keys)}

        self.run(tmp_path, work)

    def test_a_repeated_event_still_moves_the_cursor(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(1, key="k")])
            await journal.append([self.event(2, key="k")], [CursorMove("me", {"seen": 2})])
            assert await journal.read_cursor("me") == {"seen": 2}

        self.run(tmp_path, work)

    def test_a_refused_append_keeps_nothing(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(1)])
            with pytest.raises(Exception):  # noqa: B017 - each store has its own error for a repeated request id
                await journal.append([self.event(2), self.event(1)], [CursorMove("me", {"seen": 1})])
            assert await self.ids(journal) == ["id-0001"]
            assert await journal.read_cursor("me") == {}

        self.run(tmp_path, work)

    def test_attempts_are_recorded_with_settlements_and_alone(self, tmp_path: Path) -> None:
        async def work(journal: Journal) -> None:
            await journal.append([self.event(1)])
            [event] = await journal.claim("f", 0, 10)
            outcome = Outcome(Status.SUCCESS, duration_ms=1.5, billed_ms=2)
            await journal.settle(
                [Settlement(event, Done(), Attempt(event.id, "f", outcome, 128))], [Attempt("sync", "f", outcome, 128, synchronous=True)]
            )
            assert await self.recorded(journal) == [("id-0001", False, 2), ("sync", True, 2)]

        self.run(tmp_path, work)

    @abstractmethod
    async def recorded(self, journal: Journal) -> list[tuple[str, bool, Any]]:
        """The ledger: (event id, synchronous, billed milliseconds) of each attempt, oldest first."""
