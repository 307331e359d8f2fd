"""$disconnect: once for every connection that was open, as an event that is on disk before the connection's record goes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from eventflow.clock import Clock
from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.errors import EventflowError
from eventflow.gateway.websocket.events import Events, Facts, short_id
from eventflow.gateway.websocket.front import DISCONNECT, Front
from eventflow.gateway.websocket.records import Records

log = logging.getLogger("eventflow.gateway")

#: How many connections are taken leave of in one transaction.
GROUP = 256
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
SOURCE = "WebSocket('$disconnect')"
#: Those that a killed daemon left behind: nobody heard how they ended.
LOST = 1006, "The server was stopped"


class Emit(Protocol):
    """The dispatcher's ``emit_many``."""

    async def __call__(
        self, function: str, payloads: Sequence[bytes], *, keys: Sequence[str | None] | None = None, trace: str | None = None, source: str = ""
    ) -> list[str]: ...


class Farewells:
    """``add`` takes a connection that has ended; ``front`` tells what the application is by then. While the disk or the journal refuses, they wait.

    The event's key is the connection's id: where the daemon dies between the event and the end of the record, the event is not accepted again.
    """

    def __init__(self, clock: Clock, emit: Emit, records: Records, events: Events, front: Callable[[], Front]) -> None:
        self._clock = clock
        self._emit = emit
        self._records = records
        self._events = events
        self._front = front
        self._waiting: deque[tuple[Facts, int, str]] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, facts: Facts, code: int, reason: str) -> None:
        self._waiting.append((facts, code, reason))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def settled(self) -> None:
        """Return when the events of all that have ended are on disk."""
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    def stop(self) -> None:
        """Leave the rest to the next start."""
        if self._task is not None:
            self._task.cancel()

    async def recover(self) -> None:
        """Take leave of the connections of an earlier life of the daemon. Call it before any is opened in this one."""
        await self._records.prepare()
        after = ""
        while group := await self._records.left(after, GROUP):
            for facts in group:
                self.add(facts, *LOST)
            after = group[-1].connection

    async def _work(self) -> None:
        pause = FIRST_PAUSE
        while self._waiting:
            group = [self._waiting[place] for place in range(min(GROUP, len(self._waiting)))]
            try:
                await self._take_leave(group)
            except UnknownFunction:
                await self._clock.sleep(FIRST_PAUSE)  # the application is being loaded
            except EventflowError as error:
                log.warning("$disconnect of %d connections has to wait: %s", len(self._waiting), error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                for _ in group:
                    self._waiting.popleft()

    async def _take_leave(self, group: Sequence[tuple[Facts, int, str]]) -> None:
        await self._records.prepare()
        front, now = self._front(), self._clock.now()
        payloads: dict[str, list[bytes]] = {}
        keys: dict[str, list[str | None]] = {}
        for facts, code, reason in group:
            found = front.any_of(facts.api, facts.stage)
            route = None if found is None else found.routes.get(DISCONNECT)
            if found is None or route is None or route.function is None:
                continue
            event = self._events.disconnect(facts, code, reason, short_id(self._clock.new_id()), now, found.api.stage.variables)
            payloads.setdefault(route.function, []).append(event)
            keys.setdefault(route.function, []).append(f"websocket/{facts.connection}")
        for function, events in payloads.items():
            await self._emit(function, events, keys=keys[function], source=SOURCE)
        await self._records.ended([facts.connection for facts, _code, _reason in group])
