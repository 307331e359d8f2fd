"""Group what arrives while a store is busy into its next call: one fsync then serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """``add`` hands an item in; ``store`` gets all items of a moment together, one call at a time, in order. ``store`` must deal with its own
    errors: it is nobody's await. ``drained`` returns when everything handed in so far has been stored; ``emptied`` is called each time.
    """

    def __init__(self, store: Callable[[list[T]], Awaitable[None]], emptied: Callable[[], None]) -> None:
        self._store = store
        self._emptied = emptied
        self._items: list[T] = []
        self._flushing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def idle(self) -> bool:
        return self._flushing is None

    def add(self, item: T) -> None:
        self._items.append(item)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def drained(self) -> None:
        while self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        try:
            while self._items:
                items, self._items = self._items, []
                await self._store(items)
        finally:
            self._flushing = None
            self._emptied()
