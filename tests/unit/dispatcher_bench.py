"""What the tests of the dispatcher share: it runs on SQLite with a virtual clock and a runner that answers as it is told."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from eventflow.database import Database
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.invocation import Invocation
from eventflow.dispatch.journal import Message
from eventflow.function import Function
from eventflow.journals import history
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Outcome, Status
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE

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
