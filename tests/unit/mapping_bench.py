"""What the tests of event source mappings share: the daemon's core with functions that are coroutines, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from eventflow.composition import Core
from eventflow.database import MEMORY, Database
from eventflow.dispatch.invocation import Invocation
from eventflow.errors import ServiceError, Throttled
from eventflow.function import Function
from eventflow.outcome import Outcome, Status
from eventflow.services.queues.sends import Outgoing
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.trigger import Trigger

ACCOUNT = "000000000000"
REGION = "us-east-1"


class WatchedDatabase(Database):
    """Tells the virtual clock that a thread has still something to do."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._pending = 0
        self._done = asyncio.Event()

    async def write(self, change: Callable[..., Any]) -> Any:
        return await self._watched(super().write(change))

    async def read(self, query: Callable[..., Any]) -> Any:
        return await self._watched(super().read(query))

    async def look(self, query: Callable[..., Any]) -> Any:
        return await self._watched(super().look(query))

    async def _watched(self, work: Awaitable[Any]) -> Any:
        self._pending += 1
        try:
            return await work
        finally:
            self._pending -= 1
            self._done.set()

    async def settle(self) -> bool:
        if self._pending == 0:
            return False
        self._done.clear()
        await self._done.wait()
        return True


class World:
    """``handlers`` are the functions' code by name, ``ends`` what their next invocations end with instead: outcomes or exceptions. ``events`` is what
    each was invoked with."""

    def __init__(
        self,
        folder: Path,
        clock: VirtualClock,
        functions: Iterable[Function],
        triggers: Iterable[tuple[str, Trigger]] = (),
        sweeping: bool = False,
        on_disk: bool = True,
    ) -> None:
        self.clock = clock
        self.database = WatchedDatabase(folder / "eventflow.db" if on_disk else MEMORY)
        self.core = Core(self.database, clock, buckets=folder / "buckets", account=ACCOUNT, region=REGION)
        self.mappings = self.core.mappings
        self.functions = {function.name: function for function in functions}
        self.triggers = list(triggers)
        self.events: list[tuple[str, Any]] = []
        self.ends: list[Any] = []
        self.duration = 0.0
        self.gate: asyncio.Event | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._folder = folder
        self._sweeping = sweeping

    async def open(self) -> World:
        self.clock._settlers.clear()
        for part in (self.database, self.core.tables.upkeep, self.core.tables.streams.trimming):
            self.clock.also_settle(part.settle)
        await self.core.open()
        self.core.dispatcher.attach(self)
        await self.load()
        self.mappings.start(sweeping=self._sweeping)
        await self.clock.settle()
        return self

    async def load(self) -> None:
        """Take up the functions, as the daemon does."""
        self.core.concurrency.configure(self.functions.values())
        await self.core.dispatcher.start(self.functions)
        self.mappings.take_up(self.triggers)
        await self.clock.settle()

    async def restarted(self) -> World:
        """The same after a kill: nothing is told, everything begins from the state file."""
        await self.close()
        return await World(self._folder, self.clock, self.functions.values(), self.triggers).open()

    async def close(self) -> None:
        await self.mappings.stop()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self.core.close()
        self.database.close()

    # As the dispatcher's runner.

    def wake(self, function: str) -> None:
        """For events; mappings invoke."""

    def submit(self, invocation: Invocation) -> None:
        reason = self.core.concurrency.acquire(invocation.function.name)
        if reason is not None:
            raise Throttled("Rate Exceeded.", reason)
        task = asyncio.get_running_loop().create_task(self._run(invocation))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, invocation: Invocation) -> None:
        name = invocation.function.name
        self.events.append((invocation.function.key, json.loads(invocation.payload)))
        started_at = self.clock.now()
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.duration:
                await self.clock.sleep(self.duration)
        finally:
            self.core.concurrency.release(name)
        end = self.ends.pop(0) if self.ends else None
        outcome = end if isinstance(end, Outcome) else Outcome(Status.SUCCESS, json.dumps(end).encode(), started_at=started_at)
        self.core.dispatcher.ended(invocation, outcome)

    # What tests do.

    async def queue(self, name: str = "orders", **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
        await self.core.queues.create(REGION, name, attributes)
        return queue_arn(name)

    async def table(self, name: str = "items") -> str:
        await self.core.tables.ensure(REGION, name, key="id")
        await self.core.tables.ensure_stream(REGION, name)
        return (await self.core.tables.streams.source(REGION, name)).arn

    async def send(self, *bodies: str, name: str = "orders", **options: Any) -> None:
        for outcome in await self.core.queues.send(REGION, name, [Outgoing(body, **options) for body in bodies]):
            if isinstance(outcome, ServiceError):
                raise outcome

    async def received(self, name: str) -> list[Any]:
        """The JSON of what is in a queue."""
        found = await self.core.queues.receive(REGION, name, limit=10, wait=0, visibility=0)
        return [json.loads(one.body) for one in found]

    async def counts(self, name: str = "orders") -> tuple[int, int]:
        """Messages that are visible, and that are in flight."""
        told = await self.core.queues.attributes(REGION, name, ["All"])
        return int(told["ApproximateNumberOfMessages"]), int(told["ApproximateNumberOfMessagesNotVisible"])

    async def put(self, *ids: str, table: str = "items") -> None:
        for id in ids:
            await self.core.tables.put_item(REGION, {"TableName": table, "Item": {"id": {"S": id}}})

    async def create(self, source: str, function: str = "f", **params: Any) -> str:
        """A mapping that is at rest; its UUID."""
        made = await self.mappings.create({"EventSourceArn": source, "FunctionName": function, **params})
        await self.clock.settle()
        return str(made["UUID"])

    async def state(self, uuid: str) -> str:
        return str((await self.mappings.get(uuid))["State"])

    def bodies(self, function: str = "f") -> list[list[str]]:
        return [[record["body"] for record in event["Records"]] for name, event in self.events if name == function]

    def changes(self, function: str = "f") -> list[list[str]]:
        return [[record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]] for name, event in self.events if name == function]


def failure(text: str = "no luck") -> Outcome:
    return Outcome(Status.FUNCTION_ERROR, b'{"errorType": "RuntimeError"}', "RuntimeError", text)


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def world(
    scenario: Callable[[World], Awaitable[None]],
    folder: Path,
    *functions: Function,
    triggers: Iterable[tuple[str, Trigger]] = (),
    sweeping: bool = False,
    on_disk: bool = False,
) -> None:
    """Run one scenario; ``on_disk`` for one that restarts."""

    async def main() -> None:
        known = functions or (Function("f", "app:f", timeout=5), Function("g", "app:g", timeout=5))
        at = await World(folder, VirtualClock(), known, triggers, sweeping, on_disk).open()
        try:
            await scenario(at)
        finally:
            await at.close()

    asyncio.run(main())


async def refusal(work: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        await work
    return caught.value.code, caught.value.message
