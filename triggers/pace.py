"""How many batches of a queue run at once: more while messages wait, fewer when batches wait for an environment."""

from __future__ import annotations

import asyncio

from eventflow import Clock

#: Lambda begins with five batches at once and adds up to 300 a minute while there are messages (Lambda developer guide, "Configuring scaling
#: behavior for SQS event source mappings").
FIRST = 5
#: So many are left when all fail.
LEAST = 2
STEP, STEP_SECONDS = 5, 1.0
#: A batch waits for an environment no longer than this, nor than this share of its visibility timeout: its messages are hidden meanwhile, and would
#: come a second time if it waited until they are not.
LONGEST_WAIT = 1.0
LONGEST_SHARE = 1 / 10


class Pace:
    """Slots for batches; ``limit`` is how many there are now. ``most`` is what the settings allow, ``visibility_timeout`` in seconds."""

    def __init__(self, clock: Clock, most: int, visibility_timeout: float) -> None:
        self._clock = clock
        self._most = most
        self.limit = min(FIRST, most)
        self._grows_at: float | None = None
        self._longest_wait = min(LONGEST_WAIT, visibility_timeout * LONGEST_SHARE)
        self._running = 0
        self._freed = asyncio.Event()
        self._cut_at = -STEP_SECONDS

    @property
    def full(self) -> bool:
        return self._running >= self.limit

    def allow(self, most: int) -> None:
        """So many may run from now on: the function's concurrency changed."""
        if most != self._most:
            self._most = most
            self.limit = min(max(self.limit, FIRST), most)

    def idle(self) -> None:
        """The queue has no messages: begin anew when it has."""
        self.limit = min(FIRST, self._most)
        self._grows_at = None

    async def acquire(self, seconds: float | None = None) -> bool:
        """Take a slot as soon as there is one; False if there was none for so many seconds."""
        end = None if seconds is None else self._clock.monotonic() + seconds
        while self.full:
            now = self._clock.monotonic()
            if end is not None and end <= now:
                return False
            if self._grows_at is None:
                self._grows_at = now + STEP_SECONDS
            if self.limit < self._most and self._grows_at <= now:
                self.limit = min(self._most, self.limit + STEP)
                self._grows_at = now + STEP_SECONDS
            else:
                self._freed.clear()
                instants = [at for at in (end, self._grows_at if self.limit < self._most else None) if at is not None]
                await self._clock.wait(self._freed, min(instants) - now if instants else None)
        self._running += 1
        return True

    def release(self) -> None:
        self._running -= 1
        self._freed.set()

    def waited(self, seconds: float) -> None:
        """A batch had to wait so long for an environment. Where that is long, half as many run from now on: they all wait for the same."""
        if seconds > self._longest_wait:
            self._halve(FIRST)

    def failed(self) -> None:
        """The function failed on a batch: it gets fewer (Lambda developer guide, "Backoff strategy for failed invocations")."""
        self._halve(LEAST)

    def _halve(self, least: int) -> None:
        """Once in a while only: batches of one moment all tell the same."""
        now = self._clock.monotonic()
        if now >= self._cut_at + STEP_SECONDS:
            self.limit = min(self.limit, max(min(least, self._most), self.limit // 2))
            self._cut_at, self._grows_at = now, now + 2 * STEP_SECONDS
