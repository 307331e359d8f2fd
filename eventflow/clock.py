"""Time and chance as arguments: every wait, instant and fresh identifier in eventflow comes from a Clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

#: A wall-clock wait is cut into pieces of this many seconds, so that a clock that jumps (suspend, NTP) is noticed.
LONGEST_NAP = 15.0
#: The random parts of so many identifiers are made at once.
FRESH_IDS = 256


class Timer(Protocol):
    """A pending callback; ``cancel`` may be called more than once and after it fired."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Where a part gets the time, waits, and fresh identifiers.

    ``now`` is Unix time in seconds, ``monotonic`` never goes back. ``call_later`` runs a callback on the event loop of the caller
    after so many seconds of *this* clock; ``sleep``, ``sleep_until`` and ``wait`` build on it. ``wait`` returns True when the event was set
    and False when the time passed first. ``new_id`` gives a UUID whose text sorts by creation time.
    """

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer: ...
    async def sleep(self, seconds: float) -> None: ...
    async def sleep_until(self, instant: float) -> None: ...
    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool: ...
    def new_id(self) -> str: ...


class TimerClock:
    """The waits of a Clock, made from its ``now`` and ``call_later``."""

    def now(self) -> float:
        raise NotImplementedError

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.Event()
        timer = self.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def sleep_until(self, instant: float) -> None:
        while (left := instant - self.now()) > 0:
            await self.sleep(min(left, LONGEST_NAP))

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if event.is_set():
            return True
        if seconds is None:
            await event.wait()
            return True
        waiting = asyncio.ensure_future(event.wait())

        def give_up() -> None:
            waiting.cancel()

        timer = self.call_later(seconds, give_up)
        try:
            await asyncio.wait({waiting})
            return not waiting.cancelled()
        finally:
            timer.cancel()
            waiting.cancel()


class WallClockWaits:
    """All that wait for an instant on one event loop, behind one timer: ten thousand schedules that each woke after every nap would keep a daemon
    busy."""

    def __init__(self, clock: TimerClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, asyncio.Event]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._abandoned = 0

    async def until(self, instant: float) -> None:
        over = asyncio.Event()
        wait = (instant, next(self._order), over)
        heapq.heappush(self._heap, wait)
        if self._timer is None or self._heap[0] is wait:
            self._nap()
        try:
            await over.wait()
        finally:
            if not over.is_set():
                over.set()
                self._abandon()

    def _abandon(self) -> None:
        """Somebody waits no more: nothing needs to wake for it, and it is not kept until its instant."""
        self._abandoned += 1
        if self._abandoned * 2 > len(self._heap):
            self._heap = [wait for wait in self._heap if not wait[2].is_set()]
            heapq.heapify(self._heap)
            self._abandoned = 0

    def _nap(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._heap:
            left = self._heap[0][0] - self._clock.now()
            self._timer = self._clock.call_later(min(max(left, 0.0), LONGEST_NAP), self._wake)

    def _wake(self) -> None:
        now = self._clock.now()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].is_set()):
            _instant, _order, over = heapq.heappop(self._heap)
            self._abandoned -= over.is_set()
            over.set()
        self._nap()


class SystemClock(TimerClock):
    """The machine's own clock and random numbers."""

    def __init__(self) -> None:
        self._millisecond = 0
        self._head = ""
        self._tails: list[str] = []
        self._waits: tuple[asyncio.AbstractEventLoop, WallClockWaits] | None = None

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep_until(self, instant: float) -> None:
        if instant <= self.now():
            return
        loop = asyncio.get_running_loop()
        if self._waits is None or self._waits[0] is not loop:
            self._waits = (loop, WallClockWaits(self))
        await self._waits[1].until(instant)

    def new_id(self) -> str:
        millisecond = int(time.time() * 1000)
        if millisecond != self._millisecond:
            self._millisecond, self._head = millisecond, uuid_head(millisecond)
        if not self._tails:
            chance = os.urandom(10 * FRESH_IDS)
            self._tails = [uuid_tail(chance[start : start + 10]) for start in range(0, len(chance), 10)]
        return self._head + self._tails.pop()


class BlockingClock:
    """The machine's clock and random numbers for code that has no event loop: ``pause`` blocks its thread."""

    def monotonic(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def chance(self) -> float:
        """A number from 0 up to 1."""
        return int.from_bytes(os.urandom(4), "big") / 2**32

    def new_id(self) -> str:
        return time_ordered_uuid(time.time(), os.urandom(10))


def time_ordered_uuid(now: float, chance: bytes) -> str:
    """A version 7 UUID (RFC 9562) of a Unix time in seconds and ten random bytes: index pages fill in order."""
    return uuid_head(int(now * 1000)) + uuid_tail(chance)


def uuid_head(millisecond: int) -> str:
    digits = f"{millisecond:012x}"
    return f"{digits[:8]}-{digits[8:]}-7"


def uuid_tail(chance: bytes) -> str:
    digits = chance.hex()
    return f"{digits[1:4]}-{'89ab'[chance[2] >> 6]}{digits[5:8]}-{digits[8:]}"


def iso(instant: float, *, milliseconds: bool = True) -> str:
    """A Unix time as AWS writes it in events: ``2026-01-31T09:05:00.000Z``, or whole seconds."""
    moment = datetime.fromtimestamp(instant, UTC)
    text = moment.isoformat(timespec="milliseconds" if milliseconds else "seconds")
    return text.replace("+00:00", "Z")
