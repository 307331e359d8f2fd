"""A Target that stands in for a function and remembers what a trigger gave it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.clock import Clock
from eventflow.outcome import Outcome, Status
from eventflow.trigger import BucketSource, QueueSource

Handler = Callable[[Any], Any]


@dataclass(frozen=True)
class Delivery:
    """One payload that reached the function. ``emitted`` tells ``emit`` from ``invoke``; ``at`` is Unix seconds of the target's clock."""

    payload: Any
    emitted: bool
    at: float
    id: str | None = None
    trace: str | None = None
    request_id: str = ""


class MemoryCursor:
    """A cursor whose disk is a dictionary; values go through JSON as they do on a real one."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.refusal: Exception | None = None

    async def items(self) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in self.stored.items()}

    async def update(self, changes: Mapping[str, Any]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.move(changes)

    def move(self, changes: Mapping[str, Any]) -> None:
        encoded = {key: encode(value) for key, value in changes.items() if value is not None}
        for key, value in changes.items():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = encoded[key]


@dataclass
class RecordingTarget:
    """Implements ``Target`` in memory. Its memory outlives a run of the trigger as a daemon's disk outlives the daemon: to restart a trigger, run
    another one with the same target.

    ``deliveries`` has every payload in order (a repeated id is delivered once), ``reports`` each text once. ``handler`` makes the response of an
    invocation, or raises to make it a function error. ``refuse(StorageError(...))`` lets everything that would write fail until ``accept()``.
    After ``crash_after = n`` the n-th delivery from then on is kept but never acknowledged: ``crashed`` turns true, the trigger hangs there, and
    whoever runs it cancels it: what a ``kill -9`` at the worst moment leaves behind. Sources of real services go into ``buckets`` and ``queues``.
    """

    clock: Clock
    function: str = "function"
    timeout: float = 3.0
    concurrency: int = 10
    account: str = "000000000000"
    region: str = "us-east-1"
    handler: Handler = field(default=lambda payload: None)
    cursor: MemoryCursor = field(default_factory=MemoryCursor)
    deliveries: list[Delivery] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    buckets: dict[str, BucketSource] = field(default_factory=dict)
    queues: dict[str, QueueSource] = field(default_factory=dict)
    crash_after: int | None = None
    crashed: bool = False
    is_ready: bool = False

    @property
    def payloads(self) -> list[Any]:
        return [delivery.payload for delivery in self.deliveries]

    def refuse(self, refusal: Exception) -> None:
        self.cursor.refusal = refusal

    def accept(self) -> None:
        self.cursor.refusal = None

    async def emit(self, payload: Any, *, id: str | None = None, trace: str | None = None, cursor: Mapping[str, Any] | None = None) -> str:
        encoded = encode(payload)
        await self._write()
        self.cursor.move(cursor or {})
        known = next((delivery for delivery in self.deliveries if id is not None and delivery.id == id), None)
        if known is None:
            known = Delivery(json.loads(encoded), True, self.clock.now(), id, trace, self.clock.new_id())
            self.deliveries.append(known)
            await self._crash_if_due()
        return known.request_id

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        encoded = encode(payload)
        await self._write()
        self.deliveries.append(Delivery(json.loads(encoded), False, self.clock.now(), trace=trace, request_id=self.clock.new_id()))
        await self._crash_if_due()
        try:
            return Outcome(Status.SUCCESS, payload=encode(self.handler(json.loads(encoded))).encode())
        except Exception as error:
            described = {"errorMessage": str(error), "errorType": type(error).__name__}
            return Outcome(Status.FUNCTION_ERROR, json.dumps(described).encode(), described["errorType"], described["errorMessage"])

    async def _write(self) -> None:
        """Let others run, as a wait for a disk does, then fail if the disk is said to be full."""
        await asyncio.sleep(0)
        if self.cursor.refusal is not None:
            raise self.cursor.refusal

    async def _crash_if_due(self) -> None:
        if self.crash_after is None:
            return
        self.crash_after -= 1
        if self.crash_after <= 0:
            self.crash_after, self.crashed = None, True
            await asyncio.Event().wait()

    def ready(self) -> None:
        self.is_ready = True

    def report(self, message: str) -> None:
        if message not in self.reports:
            self.reports.append(message)

    async def bucket(self, name: str) -> BucketSource:
        return self.buckets[name]

    async def queue(self, name: str) -> QueueSource:
        return self.queues[name]


def encode(value: Any) -> str:
    """The value as the JSON text that a daemon keeps; what JSON cannot say is an error of the trigger."""
    return json.dumps(value, allow_nan=False)
