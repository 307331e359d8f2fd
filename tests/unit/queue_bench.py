"""What the queue tests share: queues on a database in memory, under a virtual clock that waits for the database's writer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from eventflow.database import MEMORY, Database
from eventflow.errors import ServiceError
from eventflow.services.queues import Queues
from eventflow.services.queues.in_flight import InFlight
from eventflow.services.queues.receives import Received
from eventflow.services.queues.sends import Outgoing
from eventflow.testing.virtual_clock import VirtualClock

REGION = "eu-central-1"
ACCOUNT = "000000000000"


class WatchedDatabase(Database):
    """Tells the virtual clock that the writer's thread still has something to do."""

    pending = 0

    async def write(self, change: Callable[..., Any]) -> Any:
        self.pending += 1
        try:
            return await super().write(change)
        finally:
            self.pending -= 1

    async def settle(self) -> bool:
        if self.pending == 0:
            return False
        await super().write(lambda _connection: None)
        return True


class Bench:
    """One set of queues and shorthands for what tests do with it."""

    def __init__(self, database: WatchedDatabase, clock: VirtualClock, most_in_flight: int = 120_000) -> None:
        self.database = database
        self.clock = clock
        self.queues = Queues(database, clock, ACCOUNT, InFlight(most_in_flight))
        clock.also_settle(database.settle)

    async def create(self, name: str = "orders", **attributes: str) -> str:
        await self.queues.create(REGION, name, attributes)
        return name

    async def send(self, *bodies: str, name: str = "orders", **options: Any) -> list[Any]:
        outcomes = await self.queues.send(REGION, name, [Outgoing(body, **options) for body in bodies])
        for outcome in outcomes:
            if isinstance(outcome, ServiceError):
                raise outcome
        return outcomes

    async def receive(self, limit: int = 10, *, name: str = "orders", wait: int | None = 0, visibility: int | None = None) -> list[Received]:
        return await self.queues.receive(REGION, name, limit=limit, wait=wait, visibility=visibility)

    async def bodies(self, limit: int = 10, *, name: str = "orders", **options: Any) -> list[str]:
        return [received.body for received in await self.receive(limit, name=name, **options)]

    async def delete(self, *received: Received, name: str = "orders") -> None:
        for outcome in await self.queues.delete_messages(REGION, name, [one.receipt.handle() for one in received]):
            if outcome is not None:
                raise outcome

    async def hide(self, received: Received, seconds: int, name: str = "orders") -> None:
        (outcome,) = await self.queues.change_visibility(REGION, name, [(received.receipt.handle(), seconds)])
        if outcome is not None:
            raise outcome

    async def counts(self, name: str = "orders") -> tuple[int, int, int]:
        told = await self.queues.attributes(REGION, name, ["All"])
        return tuple(int(told["ApproximateNumberOfMessages" + suffix]) for suffix in ("", "NotVisible", "Delayed"))  # type: ignore[return-value]


def run(scenario: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    """Run one scenario on fresh queues."""
    database = WatchedDatabase(MEMORY)

    async def main() -> None:
        bench = Bench(database, VirtualClock(), **settings)
        await bench.queues.open()
        await scenario(bench)

    try:
        asyncio.run(main())
    finally:
        database.close()


class Machine(RuleBasedStateMachine):
    """What machines have that drive queues: a bench on an event loop of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = WatchedDatabase(MEMORY)
        self.bench = Bench(self.database, VirtualClock())

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        self.database.close()
        self.loop.close()

    @property
    def now(self) -> float:
        return self.bench.clock.monotonic()
