"""A bus as its trigger sees it (``BusSource`` of eventflow/trigger.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from eventflow.services.bus.subscriptions import Waiting


class Readable(Protocol):
    """What a reader needs of the buses."""

    async def subscribe(self, region: str, name: str, owner: str, pattern: str) -> None: ...
    async def waiting(self, owner: str, limit: int, wait: float) -> list[Waiting]: ...
    async def forget(self, owner: str, position: int) -> None: ...


class EmbeddedBus:
    """``owner`` is the reader: what matched its pattern waits for it over restarts."""

    def __init__(self, buses: Readable, region: str, name: str, owner: str) -> None:
        self.name = name
        self.region = region
        self._buses = buses
        self._owner = owner

    async def subscribe(self, pattern: str) -> None:
        await self._buses.subscribe(self.region, self.name, self._owner, pattern)

    async def receive(self, limit: int, wait: float) -> Sequence[Waiting]:
        return await self._buses.waiting(self._owner, limit, wait)

    async def forget(self, position: int) -> None:
        await self._buses.forget(self._owner, position)
