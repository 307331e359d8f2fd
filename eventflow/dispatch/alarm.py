"""One timer for many instants: it rings at the earliest of those that were asked for."""

from __future__ import annotations

from collections.abc import Callable

from eventflow.clock import Clock, Timer


class Alarm:
    """``now`` tells which time the instants are in (``clock.now`` or ``clock.monotonic``). Who is rung asks again for what is still to come."""

    def __init__(self, clock: Clock, now: Callable[[], float], ring: Callable[[], None]) -> None:
        self._clock = clock
        self._now = now
        self._ring = ring
        self._set: tuple[float, Timer] | None = None

    def ask(self, at: float) -> None:
        """Ring at this instant, unless it rings earlier."""
        if self._set is not None:
            if self._set[0] <= at:
                return
            self._set[1].cancel()
        self._set = (at, self._clock.call_later(max(0.0, at - self._now()), self._rung))

    def cancel(self) -> None:
        if self._set is not None:
            self._set[1].cancel()
            self._set = None

    def _rung(self) -> None:
        self._set = None
        self._ring()
