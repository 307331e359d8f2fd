"""A Target that stands in for a function and remembers what a trigger gave it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventflow.clock import Clock
from eventflow.outcome import Outcome, Status
from eventflow.trigger import BucketSource, BusSource, Cursor, QueueSource, StreamSource

Handler = Callable[[Any], Any]
T = TypeVar("T")


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

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._stored: dict[str, str] = {}

    async def items(self, after: str | None = None, limit: int | None = None) -> dict[str, Any]:
        keys = sorted((key for key in self._stored if after is None or key.encode() > after.encode()), key=str.encode)
        return {key: json.loads(self._stored[key]) for key in keys[:limit]}

    async def update(self, changes: Mapping[str, Any]) -> None:
        await self._disk.write(lambda: self.move(changes))

    def move(self, changes: Mapping[str, Any]) -> None:
        encoded = {key: encode(value) for key, value in changes.items()}  # all of it or none: what JSON cannot say fails here
        for key, value in changes.items():
            if value is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = encoded[key]


class MemoryDisk:
    """What all writes of a target go through, so that they can fail together and be cut off one by one."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.crash_after: int | None = None
        self.crashed = False

    async def write(self, change: Callable[[], T]) -> T:
        await asyncio.sleep(0)  # others run meanwhile, as they do while a disk is waited for
        if self.refusal is not None:
            raise self.refusal
        done = change()
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after, self.crashed = None, True
                await asyncio.Event().wait()
        return done


@dataclass
class RecordingTarget:
    """Implements ``Target`` in memory. Its memory outlives a run of the trigger as a daemon's disk outlives the daemon: to restart a trigger, run
    another one with the same target.

    ``deliveries`` has every payload in order (a repeated id is delivered once), ``reports`` each text once. ``handler`` makes the response of an
    invocation, or raises to make it a function error. ``refuse(StorageError(...))`` lets everything that would write fail until ``accept()``.
    After ``crash_after(n)`` the n-th write from then on (of an event or of the cursor) is kept but never acknowledged: ``crashed`` turns true, the
    trigger hangs there, and whoever runs it cancels it: what a ``kill -9`` at the worst moment leaves behind. Sources of real services go into
    ``buckets``, ``queues``, ``buses`` and ``streams`` by name (of a stream, by its ARN too);
    messages that were sent are in ``sent``, with their queue, and events of other functions (a repeated id once), with ``function:`` and the name.
    """

    clock: Clock
    function: str = "function"
    version: str = "$LATEST"
    timeout: float = 3.0
    concurrency: int = 10
    account: str = "000000000000"
    region: str = "us-east-1"
    handler: Handler = field(default=lambda payload: None)
    deliveries: list[Delivery] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    buckets: dict[str, BucketSource] = field(default_factory=dict)
    queues: dict[str, QueueSource] = field(default_factory=dict)
    streams: dict[str, StreamSource] = field(default_factory=dict)
    buses: dict[str, BusSource] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    is_ready: bool = False

    def __post_init__(self) -> None:
        self._disk = MemoryDisk()
        self._memory = MemoryCursor(self._disk)
        self._sent_events: dict[tuple[str, str], str] = {}
        self.cursor: Cursor = self._memory

    @property
    def payloads(self) -> list[Any]:
        return [delivery.payload for delivery in self.deliveries]

    @property
    def crashed(self) -> bool:
        return self._disk.crashed

    def refuse(self, refusal: Exception) -> None:
        self._disk.refusal = refusal

    def accept(self) -> None:
        self._disk.refusal = None

    def crash_after(self, writes: int) -> None:
        self._disk.crash_after = writes

    def restart(self) -> None:
        """Forget what a daemon forgets when it ends; everything that was written stays."""
        self.is_ready = self._disk.crashed = False
        self._disk.crash_after = None

    async def emit(self, payload: Any, *, id: str | None = None, trace: str | None = None, cursor: Mapping[str, Any] | None = None) -> str:
        encoded = encode(payload)

        def keep() -> str:
            self._memory.move(cursor or {})
            known = next((delivery for delivery in self.deliveries if id is not None and delivery.id == id), None)
            return known.request_id if known is not None else self._deliver(encoded, True, id, trace)

        return await self._disk.write(keep)

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        encoded = encode(payload)
        await self._disk.write(lambda: self._deliver(encoded, False, None, trace))
        try:
            return Outcome(Status.SUCCESS, payload=encode(self.handler(json.loads(encoded))).encode())
        except Exception as error:
            described = {"errorMessage": str(error), "errorType": type(error).__name__}
            return Outcome(Status.FUNCTION_ERROR, json.dumps(described).encode(), described["errorType"], described["errorMessage"])

    def _deliver(self, encoded: str, emitted: bool, id: str | None, trace: str | None) -> str:
        delivery = Delivery(json.loads(encoded), emitted, self.clock.now(), id, trace, self.clock.new_id())
        self.deliveries.append(delivery)
        return delivery.request_id

    def ready(self) -> None:
        self.is_ready = True

    def report(self, message: str) -> None:
        if message not in self.reports:
            self.reports.append(message)

    async def bucket(self, name: str) -> BucketSource:
        return self.buckets[name]

    async def queue(self, name: str) -> QueueSource:
        return self.queues[name]

    async def stream(self, table: str, arn: str | None = None) -> StreamSource:
        return self.streams[arn or table]

    async def bus(self, name: str) -> BusSource:
        return self.buses[name]

    async def send(self, queue: str, body: str) -> None:
        await self._disk.write(lambda: self.sent.append((queue, body)))

    async def put_record(self, bucket: str, shard: str, record: str) -> None:
        await self._disk.write(lambda: self.sent.append((f"bucket:{bucket}", record)))

    async def emit_to(self, function: str, payload: Any, *, id: str | None = None) -> str:
        encoded = encode(payload)

        def keep() -> str:
            if id is not None and (function, id) in self._sent_events:
                return self._sent_events[function, id]
            self.sent.append((f"function:{function}", encoded))
            request_id = self.clock.new_id()
            if id is not None:
                self._sent_events[function, id] = request_id
            return request_id

        return await self._disk.write(keep)


def encode(value: Any) -> str:
    """The value as the JSON text that a daemon keeps; what JSON cannot say is an error of the trigger."""
    return json.dumps(value, allow_nan=False)
