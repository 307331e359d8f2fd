"""The spine without its surface: journal, dispatcher and real environments on an application written by the test."""

import asyncio
import itertools
import os
import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eventflow.clock import SystemClock
from eventflow.database import Database
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.function import Function
from eventflow.journals import history
from eventflow.journals.sqlite import SqliteJournal
from eventflow.manifest import Manifest
from eventflow.outcome import Outcome
from eventflow.runtime.launcher import Launcher
from eventflow.runtime.limits import Limiter, choose_limiter
from eventflow.runtime.nursery import NO_APP, Nursery
from eventflow.runtime.pool import Pool
from eventflow.services.logs import LogStore
from eventflow.settings import inherited_variables
from tests.patience import DAEMON, PATIENCE

#: Each spine has control groups of its own: one that is still ending does not meet the next.
OWNERS = itertools.count(1)
#: ``HERE`` is the test's own folder.
HEADER = "from eventflow import App\napp, HERE = App('t'), {!r}\n"


class Spine:
    def __init__(self, folder: Path, limiter: Limiter | None, idle_seconds: float) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.database = Database(folder / "spine.db")
        self.journal = SqliteJournal(self.database, self.clock, lambda _connection, _message: None)
        self.dispatcher = Dispatcher(self.journal, self.clock, lambda name: f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
        self.concurrency = Concurrency()
        self.logs = LogStore(folder / "logs", self.clock)
        self.lost = asyncio.Event()
        launcher = Launcher(self.clock, limiter or choose_limiter(f"test-{os.getpid()}-{next(OWNERS)}"), self.dispatcher._arn, folder / "run")
        self.pool = Pool(self.dispatcher, self.clock, self.concurrency, launcher, self.logs, lambda _nursery: self.lost.set(), idle_seconds)
        self.dispatcher.attach(self.pool)

    async def load(self, packaged: Sequence[Function] = (), **variables: str) -> Nursery:
        """The application of ``app.py``, or, in a zygote without an application, functions whose code is a package."""
        reference = NO_APP if packaged else str(self.folder / "app.py")
        nursery = Nursery(reference, {**inherited_variables(), **variables}, self.pool)
        manifest = Manifest.from_json(await nursery.start())
        functions = {function.name: function for function in packaged or manifest.functions}
        self.concurrency.configure(functions.values())
        self.pool.replace(nursery, functions)
        await self.dispatcher.start(functions)
        self.nursery = nursery
        return nursery

    async def invoke(self, function: str, payload: bytes = b"{}") -> Outcome:
        return await asyncio.wait_for(self.dispatcher.invoke(function, payload), PATIENCE)

    async def emit(self, function: str, payload: bytes = b"{}") -> str:
        return await self.dispatcher.emit(function, payload)

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait until something outside the event loop has happened."""
        end = self.clock.monotonic() + seconds
        while not condition():
            assert self.clock.monotonic() < end, "it did not happen in time"
            await asyncio.sleep(0.005)

    async def settled(self) -> None:
        await asyncio.wait_for(self.dispatcher.quiesce(), DAEMON)

    async def event(self, id: str) -> dict[str, Any]:
        found = await self.database.read(lambda connection: history.show_event(connection, id))
        assert found is not None
        return found

    def log_text(self, function: str) -> str:
        self.logs.flush()
        return "\n".join(line.text for line in self.logs.read(function)[0])

    def environments(self, function: str) -> list[Any]:
        return [one for one in self.pool._by_id.values() if one.function.name == function]

    async def environment(self, function: str) -> Any:
        """Its only environment, with its process's number: that comes by another way than the process's answers, and may come after them."""
        (environment,) = self.environments(function)
        await self.until(lambda: environment.pid)
        return environment

    async def close(self) -> None:
        await self.dispatcher.stop(0.0)
        await self.pool.close()
        self.logs.close()
        self.database.close()


def with_spine(
    folder: Path,
    code: str,
    work: Callable[[Spine], Awaitable[None]],
    *,
    limiter: Limiter | None = None,
    idle_seconds: float = 60.0,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run ``work`` on an application whose functions are ``code``."""
    (folder / "app.py").write_text(HEADER.format(str(folder)) + textwrap.dedent(code))

    run(folder, work, (), limiter, idle_seconds, variables)


def with_packages(
    folder: Path,
    functions: Sequence[Function],
    work: Callable[[Spine], Awaitable[None]],
    *,
    limiter: Limiter | None = None,
    idle_seconds: float = 60.0,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run ``work`` on functions that have packages, without an application."""
    run(folder, work, functions, limiter, idle_seconds, variables)


def run(
    folder: Path,
    work: Callable[[Spine], Awaitable[None]],
    packaged: Sequence[Function],
    limiter: Limiter | None,
    idle_seconds: float,
    variables: Mapping[str, str] | None,
) -> None:
    async def main() -> None:
        spine = Spine(folder, limiter, idle_seconds)
        try:
            await spine.journal.open()
            await spine.load(packaged, **(variables or {}))
            await work(spine)
        finally:
            await spine.close()

    asyncio.run(main())
