"""Who may change a key now: one change a key at a time, and none while its bucket is being deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Gate:
    """A bucket that many may be inside of (``async with``), or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def __aenter__(self) -> None:
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()

    async def __aexit__(self, *error: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._alone:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()


class KeyHold:
    """A key of a bucket, held while in the ``async with`` of this."""

    __slots__ = ("_gate", "_lock")

    def __init__(self, gate: Gate, lock: asyncio.Lock) -> None:
        self._gate = gate
        self._lock = lock

    async def __aenter__(self) -> None:
        await self._gate.__aenter__()
        try:
            await self._lock.acquire()
        except BaseException:
            await self._gate.__aexit__()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()
        await self._gate.__aexit__()


class KeyLocks:
    """The locks of all buckets; one that nobody holds or waits for takes no memory."""

    def __init__(self) -> None:
        self._keys: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._folders: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._gates: WeakValueDictionary[str, Gate] = WeakValueDictionary()

    def key(self, bucket: str, key: str) -> KeyHold:
        return KeyHold(self.inside(bucket), self._keys.setdefault((bucket, key), asyncio.Lock()))

    def inside(self, bucket: str) -> Gate:
        """In the bucket, without a key: it is not deleted meanwhile."""
        return self._gates.setdefault(bucket, Gate())

    @asynccontextmanager
    async def folders(self, bucket: str) -> AsyncIterator[None]:
        """While which empty directories stay is decided. Taken by who holds a key already, never before it."""
        lock = self._folders.setdefault(bucket, asyncio.Lock())
        async with lock:
            yield

    @asynccontextmanager
    async def bucket(self, bucket: str) -> AsyncIterator[None]:
        """Alone in the bucket: every change of a key has ended, and none begins."""
        gate = self._gates.setdefault(bucket, Gate())
        async with gate.exclusive():
            yield
