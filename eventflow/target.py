"""What the daemon hands to a running trigger: its function's two verbs, its cursor, and the sources it reads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.journal import CursorMove, Journal
from eventflow.errors import Overloaded
from eventflow.function import Function
from eventflow.outcome import Outcome
from eventflow.trigger import BucketSource, BusSource, Cursor, QueueSource, StreamSource, Trigger

log = logging.getLogger("eventflow.trigger")

#: Seconds between attempts to emit while the dispatcher is overloaded.
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1.0


@dataclass(frozen=True)
class Sources:
    """Where triggers find the embedded buckets, queues and tables' streams."""

    bucket: Callable[[str], Awaitable[BucketSource]]
    queue: Callable[[str], Awaitable[QueueSource]]
    stream: Callable[[str, str | None], Awaitable[StreamSource]]
    #: Puts a message (its body) into an embedded queue.
    send: Callable[[str, str], Awaitable[None]]
    #: Puts an object (its bytes as text) of a key into an embedded bucket.
    put: Callable[[str, str, str], Awaitable[None]]
    bus: Callable[[str], Awaitable[BusSource]]


class JournalCursor:
    """A trigger's memory, kept in the journal."""

    def __init__(self, journal: Journal, owner: str, kind: str) -> None:
        self._journal = journal
        self._owner = owner
        self._kind = kind

    async def items(self, after: str | None = None, limit: int | None = None) -> dict[str, Any]:
        return await self._journal.read_cursor(self._owner, after, limit)

    async def update(self, changes: Mapping[str, Any]) -> None:
        faultpoint.reach(f"{self._kind}.remembering")
        await self._journal.move_cursor(CursorMove(self._owner, changes))
        faultpoint.reach(f"{self._kind}.remembered")


class FunctionTarget:
    """A ``Target`` (see ``eventflow.trigger``) of one function for one trigger; ``account`` and ``region`` are the daemon's."""

    def __init__(
        self,
        function: Function,
        trigger: Trigger,
        dispatcher: Dispatcher,
        journal: Journal,
        clock: Clock,
        sources: Sources,
        *,
        account: str,
        region: str,
        concurrency: int,
    ) -> None:
        self.function = function.name
        self.version = function.version
        self.timeout = float(function.timeout)
        self.concurrency = concurrency
        self.account = account
        self.region = region
        self.clock = clock
        self.owner = owner_of(function.name, trigger)
        self.cursor: Cursor = JournalCursor(journal, self.owner, trigger.kind)
        #: The UUID of the event source mapping that it is the target of.
        self.mapping = str(uuid.uuid5(uuid.NAMESPACE_URL, self.owner))
        self.is_ready = asyncio.Event()
        self.reports: list[str] = []
        self._source = str(trigger)
        self._kind = trigger.kind
        self._dispatcher = dispatcher
        self._sources = sources

    async def emit(self, payload: Any, *, id: str | None = None, trace: str | None = None, cursor: Mapping[str, Any] | None = None) -> str:
        move = CursorMove(self.owner, cursor) if cursor else None
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        faultpoint.reach(f"{self._kind}.emitting")
        request_id = await self._accepted(body, id, trace, move)
        faultpoint.reach(f"{self._kind}.emitted")
        return request_id

    async def emit_to(self, function: str, payload: Any, *, id: str | None = None) -> str:
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        request_id = await self._accepted(body, id, None, None, function)
        faultpoint.reach(f"{self._kind}.sent")
        return request_id

    async def _accepted(self, body: bytes, id: str | None, trace: str | None, move: CursorMove | None, function: str | None = None) -> str:
        """Emit; while too much waits for the disk, wait too: so a trigger is slowed down, and has nothing to catch up with."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._dispatcher.emit(function or self.function, body, key=id, trace=trace, source=self._source, cursor=move)
            except Overloaded:
                await self.clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        return await self._invoke(self.function, payload, trace)

    async def _invoke(self, function: str, payload: Any, trace: str | None) -> Outcome:
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        outcome = await self._dispatcher.invoke(function, body, trace=trace)
        faultpoint.reach(f"{self._kind}.invoked")
        return outcome

    def ready(self) -> None:
        self.is_ready.set()

    def report(self, message: str) -> None:
        if message not in self.reports:
            self.reports.append(message)
            log.warning("%s of %s: %s", self._source, self.function, message)

    async def bucket(self, name: str) -> BucketSource:
        return await self._sources.bucket(name)

    async def queue(self, name: str) -> QueueSource:
        return await self._sources.queue(name)

    async def bus(self, name: str) -> BusSource:
        return await self._sources.bus(name)

    async def stream(self, table: str, arn: str | None = None) -> StreamSource:
        return await self._sources.stream(table, arn)

    async def send(self, queue: str, body: str) -> None:
        await self._sources.send(queue, body)
        faultpoint.reach(f"{self._kind}.sent")

    async def put_record(self, bucket: str, shard: str, record: str) -> None:
        at = datetime.fromtimestamp(self.clock.now(), UTC)
        # AWS: aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>
        key = f"aws/lambda/{self.mapping}/{shard}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{self.clock.new_id()}"
        await self._sources.put(bucket, key, record)
        faultpoint.reach(f"{self._kind}.sent")


def owner_of(function: str, trigger: Trigger) -> str:
    """The name of a trigger's memory: the same after a restart, another one when it becomes another trigger."""
    identity = json.dumps(trigger.identity(), sort_keys=True, default=list)
    return f"{function}/{trigger.kind}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
