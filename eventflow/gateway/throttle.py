"""Token buckets: how many requests a second something takes, and how many at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventflow.clock import Clock
from eventflow.errors import SettingError
from eventflow.gateway.seams import Refusal

MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """``rate`` is how many tokens come back in a second, ``burst`` how many there are at most. A limit without a burst lets nothing through."""

    rate: float
    burst: int

    @classmethod
    def read(cls, where: str, value: Any) -> Limit:
        """From ``{"rate": 10, "burst": 20}`` or ``(10, 20)``. Raises SettingError."""
        rule = f"{where}: throttle={value!r} is refused: it takes a rate a second and a burst, as in {{'rate': 10, 'burst': 20}}."
        if isinstance(value, Mapping):
            if set(value) != {"rate", "burst"}:
                raise SettingError(rule)
            rate, burst = value["rate"], value["burst"]
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
            rate, burst = value
        else:
            raise SettingError(rule)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= MOST:
            raise SettingError(f"{where}: throttle: rate={rate!r} is refused: it takes a number from 0 to {MOST} (requests a second).")
        if isinstance(burst, bool) or not isinstance(burst, int) or not 0 <= burst <= MOST:
            raise SettingError(f"{where}: throttle: burst={burst!r} is refused: it takes a whole number from 0 to {MOST} (requests).")
        return cls(float(rate), burst)


#: The pace of refusals: so many a second, and so many at once; how long one waits, in seconds, and how many do.
PACE, SHORTEST_WAIT, LONGEST_WAIT, MOST_WAITING = Limit(500.0, 100), 0.001, 2.0, 10_000
#: What an account has in a region if nobody asked AWS for more (API Gateway quotas, "Account-level quotas").
ACCOUNT_LIMIT = Limit(10_000.0, 5_000)


class TokenBucket:
    """Full at first. ``now`` is always the Clock's monotonic time."""

    __slots__ = ("_at", "_tokens", "limit")

    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self._tokens = float(limit.burst)
        self._at = now

    def has(self, now: float) -> bool:
        """Whether a token is there."""
        if now > self._at:
            self._tokens = min(float(self.limit.burst), self._tokens + (now - self._at) * self.limit.rate)
            self._at = now
        return self._tokens >= 1.0

    def take(self) -> None:
        """Take the token that ``has`` found."""
        self._tokens -= 1.0

    def wait(self) -> float | None:
        """Seconds until a token is there, from the last ``has`` on; None if none ever comes."""
        if self.limit.burst < 1 or not self.limit.rate:
            return None
        return max(0.0, (1.0 - self._tokens) / self.limit.rate)


def admitted(buckets: Sequence[TokenBucket], now: float) -> Refusal | None:
    """Take a token from each bucket, or from none and say how long the first empty one needs: who is refused by one limit uses up no other."""
    for bucket in buckets:
        if not bucket.has(now):
            return throttled(bucket.wait())
    for bucket in buckets:
        bucket.take()
    return None


class Refusals:
    """Lets refusals out at a pace: some at once, in a flood the others one after another, and meanwhile their clients ask nothing more. Without it a
    few hundred clients that take no notice of Retry-After would keep the daemon busy with telling them so."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When the next one would go out if all before it had been let out at the pace.
        self._due = clock.monotonic()
        self._waiting = 0

    async def paced(self, refusal: Refusal) -> Refusal:
        now = self._clock.monotonic()
        ahead = PACE.burst / PACE.rate
        self._due = min(max(self._due, now) + 1 / PACE.rate, now + ahead + LONGEST_WAIT)
        wait = self._due - now - ahead
        if wait > SHORTEST_WAIT and self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                await self._clock.sleep(wait)
            finally:
                self._waiting -= 1
        return refusal


def throttled(wait: float | None) -> Refusal:
    return Refusal("THROTTLED") if wait is None else Refusal("THROTTLED", ((b"retry-after", b"%d" % max(1, math.ceil(wait))),))
