"""The virtual clock: time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import math
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from eventflow.clock import TimerClock, time_ordered_uuid
from eventflow.errors import EventflowError, SettingError

START = "2026-01-01T00:00:00Z"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\s*", re.ASCII)

#: The loop is quiet after so many turns in a row in which nothing but us was ready: one would miss what a socket of this process is about to bring.
QUIET_TURNS = 3
#: On an event loop that does not show whether something is ready, settling is this many turns.
BLIND_TURNS = 50
#: Something that is still ready after so many turns is not waiting for time at all.
MOST_TURNS = 50_000

#: Time is kept in whole microseconds, for floating point would drift; what a difference of two instants is off by is less than this many of them.
NOISE = 0.3
MICROSECONDS = 1_000_000

Settler = Callable[[], Awaitable[bool]]


@dataclass(order=True)
class VirtualTimer:
    """A callback due at ``due`` (monotonic microseconds); timers that are due together fire in the order in which they were made."""

    due: int
    number: int
    callback: Callable[[], None] = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock(TimerClock):
    """A Clock that stands at ``start`` (Unix seconds or ISO 8601 text) and moves only when it is told to.

    ``await clock.advance("2m")`` goes from timer to timer in order and lets the event loop settle at each, so that what one wait set off is done,
    and has set its own timers, before time goes on. ``jump`` moves the wall clock alone, as NTP, a suspended laptop or an operator does.
    ``new_id`` counts: a test sees the same identifiers in every run.

    Work outside the event loop (a database's writer thread, a child process) does not show in the loop. Whoever knows of such work says so with
    ``also_settle(settler)``: ``await settler()`` waits for what is under way and returns whether there was any.

    Timers fire on the loop that made them. A test that runs no loop itself moves the clock of one that runs in another thread with
    ``advance_from_thread(loop, "2m")``; ``now``, ``monotonic`` and ``new_id`` may be called from any thread.
    """

    def __init__(self, start: float | str = START) -> None:
        self._wall = round(unix_time(start) * MICROSECONDS)
        self._monotonic = 0
        self._timers: list[VirtualTimer] = []
        self._sleepers: set[asyncio.Event] = set()
        self._settlers: list[Settler] = []
        self._lock = threading.Lock()
        self._made = 0

    def now(self) -> float:
        return self._wall / MICROSECONDS

    def monotonic(self) -> float:
        return self._monotonic / MICROSECONDS

    def call_later(self, seconds: float, callback: Callable[[], None]) -> VirtualTimer:
        with self._lock:
            timer = VirtualTimer(self._monotonic + microseconds(seconds), self._count(), callback, asyncio.get_running_loop())
            heapq.heappush(self._timers, timer)
        return timer

    async def sleep_until(self, instant: float) -> None:
        # No naps as on a real clock: whoever jumps wakes the sleepers, and six hours are one step.
        while (left := instant - self.now()) > 0:
            jumped = asyncio.Event()
            self._sleepers.add(jumped)
            try:
                await self.wait(jumped, left)
            finally:
                self._sleepers.discard(jumped)

    def new_id(self) -> str:
        with self._lock:
            return time_ordered_uuid(self.now(), self._count().to_bytes(10, "big"))

    def _count(self) -> int:
        self._made += 1
        return self._made

    async def advance(self, duration: float | str) -> None:
        """Let so much time pass: ``90``, ``"90s"``, ``"1h30m"``, ``"250ms"``. Returns when all that was due by then has been done."""
        end = self._monotonic + microseconds(parse_duration(duration))
        await self.settle()
        while (timer := self._next(end)) is not None:
            self._move(timer.due)
            self._fire(timer)
            await self.settle()
        self._move(end)
        await self.settle()

    def advance_from_thread(self, loop: asyncio.AbstractEventLoop, duration: float | str, patience: float = 30.0) -> None:
        """``advance`` on a loop that runs in another thread; returns when it is done, or raises ``TimeoutError`` after ``patience`` real seconds."""
        asyncio.run_coroutine_threadsafe(self.advance(duration), loop).result(patience)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back with a negative number; ``monotonic`` and timers do not notice, ``sleep_until`` does."""
        self._wall += round(seconds * MICROSECONDS)
        for jumped in tuple(self._sleepers):
            jumped.set()

    def also_settle(self, settler: Settler) -> None:
        self._settlers.append(settler)

    async def settle(self) -> None:
        """Wait until nothing is left to do at this instant."""
        busy = True
        while busy:
            await quiet()
            busy = False
            for settler in self._settlers:
                busy = await settler() or busy

    def _next(self, end: int) -> VirtualTimer | None:
        """Take the first timer that is due by ``end``."""
        with self._lock:
            while self._timers and self._timers[0].due <= end:
                timer = heapq.heappop(self._timers)
                if not timer.cancelled and not timer.loop.is_closed():
                    return timer
        return None

    def _move(self, monotonic: int) -> None:
        passed = max(0, monotonic - self._monotonic)
        self._monotonic += passed
        self._wall += passed

    def _fire(self, timer: VirtualTimer) -> None:
        timer.loop.call_soon_threadsafe(timer.callback)


async def quiet() -> None:
    """Give the running loop turns until nothing else is ready in it."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:
        for _turn in range(BLIND_TURNS):
            await asyncio.sleep(0)
        return
    still = 0
    for _turn in range(MOST_TURNS):
        await asyncio.sleep(0)
        still = still + 1 if not ready else 0
        if still == QUIET_TURNS:
            return
    raise EventflowError(f"The event loop is still busy after {MOST_TURNS} turns at one instant: a task goes round without waiting on its Clock.")


def microseconds(seconds: float) -> int:
    """A wait in whole microseconds, never none when there is something left to wait for."""
    return max(1, math.ceil(seconds * MICROSECONDS - NOISE)) if seconds > 0 else 0


def unix_time(instant: float | str) -> float:
    """Unix seconds from a number of them or from ISO 8601 text, which is in UTC unless it says otherwise."""
    if not isinstance(instant, str):
        return instant
    moment = datetime.fromisoformat(instant)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_duration(duration: float | str) -> float:
    """Seconds from a number of them or from text: ``250ms``, ``90s``, ``2m``, ``1h30m``, ``1.5h``, ``7d``."""
    if isinstance(duration, str):
        text = duration.strip()
        pieces = PIECE.findall(text)
        if not text or PIECE.sub("", text):
            raise SettingError(f"The duration {duration!r} is not understood: write numbers with units {', '.join(UNITS)}, as in '1h30m' or '250ms'.")
        return sum(float(number) * UNITS[unit] for number, unit in pieces)
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration < float("inf"):
        raise SettingError(f"The duration {duration!r} is not a number of seconds from 0 on; to set the wall clock back use jump().")
    return float(duration)
