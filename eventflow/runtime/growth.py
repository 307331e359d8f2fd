"""How many more environments a backlog deserves: one for each processor at once, more while those that run leave processors free."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from eventflow.clock import Clock
from eventflow.runtime.limits import on_processor

#: Looking at so many processes is enough to tell.
SAMPLE = 32
#: So many inits a processor run at once, however busy they keep it. With hundreds at once none would be done in the time that an init has.
STARTS = 4
#: Our own use of the processors is measured over so long at least.
OWN_SECONDS = 0.05


class Growth:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.processors = os.cpu_count() or 1
        self._measured = (clock.monotonic(), time.process_time(), 0.0)

    def step(self, active: Sequence[int], computing: float, *, crew: int, starting: int, quick: bool) -> int:
        """How many environments to add now to a crew that has ``crew`` of them, ``starting`` of which are on their way.

        ``active`` are the processes of all environments that run something, ``computing`` how many processors they keep busy by what has been
        measured of their functions; ``quick`` invocations cost less than the socket, so that one environment is as good as many.
        """
        if len(active) < self.processors:
            return self.processors - len(active)
        if not crew:
            return 1  # however busy the machine is with others, the scheduler shares it out
        if quick or starting >= self.processors:
            return 0
        # Those that wait (for a disk, a network, a sleep) leave the processors to others. Those that wait for *us*, as a handler does that puts
        # objects, look as if they did: what they and we have been computing tells the difference.
        if computing + self._own_share() >= self.processors or on_processor(active[-SAMPLE:]) >= self.processors:
            return 0
        return max(2, crew // 2)

    def may_start(self, starting: Sequence[int]) -> bool:
        """Whether another environment may start beside these processes, whose init is under way, for a caller that waits: where they keep the
        processors busy, it would only make all of them late."""
        return len(starting) < STARTS * self.processors or on_processor(starting[-SAMPLE:]) < self.processors

    def _own_share(self) -> float:
        """How many processors this process keeps busy, over the last moments."""
        now, used = self._clock.monotonic(), time.process_time()
        since, used_then, share = self._measured
        if now - since >= OWN_SECONDS:
            share = (used - used_then) / (now - since)
            self._measured = (now, used, share)
        return share
