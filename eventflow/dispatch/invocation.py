"""One run of one function that is about to happen, and the seam between who has work and who runs it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eventflow.dispatch.journal import Event
from eventflow.function import Function
from eventflow.outcome import Outcome


@dataclass(slots=True, eq=False)
class Invocation:
    """What an environment needs to run a function once. ``event`` is set for an asynchronous one, ``answer`` (called with the outcome) for a
    synchronous one. ``trace`` is the trace header that the function sees. ``stream`` takes the response in pieces. ``arn`` is how the function was
    named, where that was not by its own.
    """

    request_id: str
    function: Function
    payload: bytes
    trace: str
    event: Event | None = None
    answer: Callable[[Outcome], None] | None = None
    client_context: str = ""
    stream: ResponseStream | None = None
    arn: str = ""


class ResponseStream:
    """The pieces of one response between the process that sends them and the one who reads, of which there is one; in memory is ``most`` and a
    piece. ``on_room`` is set by who was told that there is no more room, and called once when there is."""

    def __init__(self, most: int = 1024 * 1024) -> None:
        self._most = most
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._closed = False
        self.ended = False
        self.on_room: Callable[[], None] | None = None

    def put(self, piece: bytes) -> bool:
        """Take a piece; whether there is room for another. What nobody reads any more is forgotten."""
        if self._closed:
            return True
        self._pieces.append(piece)
        self._size += len(piece)
        self._news.set()
        return self._size < self._most

    def end(self) -> None:
        """No more will come."""
        self.ended = True
        self._news.set()

    def close(self) -> None:
        """Nobody reads any more."""
        self._closed = True
        self._pieces.clear()
        self._size = 0
        self._make_room()

    async def next(self) -> bytes | None:
        """The next piece; None when there are no more."""
        while not self._pieces:
            if self.ended or self._closed:
                return None
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._size < self._most // 2:
            self._make_room()
        return piece

    def _make_room(self) -> None:
        waiting, self.on_room = self.on_room, None
        if waiting is not None:
            waiting()


class Work(Protocol):
    """Who has invocations to run. ``take`` gives up to ``limit`` now; ``ended`` takes the outcome of one; ``returned`` takes back those
    that never started, uncharged. ``backlog`` is how many ``take`` could give at least."""

    def take(self, function: str, limit: int) -> list[Invocation]: ...
    def backlog(self, function: str) -> int: ...
    def ended(self, invocation: Invocation, outcome: Outcome) -> None: ...
    def returned(self, invocations: list[Invocation]) -> None: ...


class Runner(Protocol):
    """Who runs them. ``wake`` says that a function has work to take; ``submit`` runs one at once, ahead of the backlog, or raises ``Throttled``."""

    def wake(self, function: str) -> None: ...
    def submit(self, invocation: Invocation) -> None: ...
