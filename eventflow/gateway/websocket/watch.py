"""What ends connections by time: silence, age, sockets whose other end is gone, clients that do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from eventflow.clock import Clock
from eventflow.gateway.websocket.connection import Connection
from eventflow.gateway.websocket.front import Front

#: A client that has said nothing for so many seconds is pinged, and gone if it stays silent for so many more.
PING_AFTER = 50.0
PONG_WITHIN = 30.0
#: A client may take nothing of what is sent to it for so many seconds.
CHOKED_FOR = 60.0
#: A client that has said nothing for so many seconds costs no more than it must.
REST_AFTER = 2.0
#: Seconds between two looks at all connections, at most.
LONGEST_ROUND = 5.0
#: So many are looked at before others have their turn.
AT_ONCE = 500
GOING_AWAY = 1001, "Going away"
#: 1008 is "policy violation": the client was told, if it could be told at all.
TOO_SLOW = 1008, "Messages are not read"


class Watch:
    """Runs while there are connections. ``front`` gives the times of their APIs, which a reload may change."""

    def __init__(self, clock: Clock, connections: Mapping[str, Connection], front: Callable[[], Front]) -> None:
        self._clock = clock
        self._connections = connections
        self._front = front
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._connections:
            await self._clock.sleep(min(LONGEST_ROUND, self._front().shortest / 4))
            connections = list(self._connections.values())
            for start in range(0, len(connections), AT_ONCE):
                now, front = self._clock.monotonic(), self._front()
                for connection in connections[start : start + AT_ONCE]:
                    look(connection, front, now)
                await asyncio.sleep(0)


def look(connection: Connection, front: Front, now: float) -> None:
    found = front.of(connection.facts.api, connection.facts.stage)
    if connection.ended:
        return
    if now - connection.heard >= REST_AFTER:
        connection.rest()
    if found is None or now - connection.opened >= found.lifetime or now - connection.active >= found.idle_timeout:
        connection.close(*GOING_AWAY)
    elif connection.choked is not None and now - connection.choked >= CHOKED_FOR:
        connection.abort(*TOO_SLOW)
    elif connection.pinged is not None and not connection.paused and now - connection.pinged >= PONG_WITHIN:
        connection.abort()
    elif connection.pinged is None and not connection.paused and now - connection.heard >= PING_AFTER:
        connection.ping()
