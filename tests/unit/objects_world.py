"""An object store in a temporary directory, for the tests of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from eventflow.clock import Clock, SystemClock
from eventflow.database import Database
from eventflow.services.objects import Objects
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.listing import Query
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.writer import Writing

T = TypeVar("T")
BUCKET = "uploads"


class World:
    """A store with one bucket, ``uploads``."""

    def __init__(self, objects: Objects, bucket: Bucket, database: Database) -> None:
        self.objects = objects
        self.bucket = bucket
        self.database = database
        self.path = bucket.path

    async def put(self, key: str, content: bytes = b"", writing: Writing | None = None) -> StoredObject:
        return await self.objects.put(BUCKET, key, body(content), writing)

    async def read(self, key: str) -> bytes:
        opened = await self.objects.get(BUCKET, key)
        return b"".join([piece async for piece in opened.content])

    async def keys(self, **query: object) -> list[str]:
        page = await self.objects.list(BUCKET, Query(**query))  # type: ignore[arg-type]
        return [stored.version.key for stored in page.objects]

    def by_hand(self, key: str, content: bytes = b"by hand") -> Path:
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def temporaries(self) -> list[str]:
        folder = self.path / ".eventflow-tmp"
        return sorted(entry.name for entry in folder.iterdir() if entry.name != "clock") if folder.is_dir() else []


def noted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of what is synced from now on by fsync, as they come."""
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return synced


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def in_world(folder: Path, work: Callable[[World], Awaitable[T]], clock: Clock | None = None) -> T:
    """Run ``work`` on a store below ``folder``; the next call finds what it left, as a restarted daemon would."""

    async def run() -> T:
        database = Database(folder / "state" / "state.db")
        objects = Objects(database, clock or SystemClock(), folder / "state" / "buckets")
        try:
            await objects.open()
            return await work(World(objects, await objects.ensure_bucket(BUCKET), database))
        finally:
            objects.close()
            database.close()

    (folder / "state").mkdir(exist_ok=True)
    return asyncio.run(run())
