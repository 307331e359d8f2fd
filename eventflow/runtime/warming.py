"""Keeps the environments started that functions are provisioned with, whether anything is to be run or not."""

from __future__ import annotations

from collections.abc import Callable

from eventflow.clock import Clock
from eventflow.runtime.crew import Crew

#: Environments of one function that start at once because it is provisioned with them.
AT_ONCE = 4
#: The first and the longest pause after inits that failed, in seconds.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Warming:
    """``start`` forks an environment of a crew, and returns False where the machine has no room for it now."""

    def __init__(self, clock: Clock, start: Callable[[Crew], bool]) -> None:
        self._clock = clock
        self._start = start
        self._closed = False

    def keep(self, crew: Crew) -> None:
        """Start what is missing, a few at a time; where the init fails, one by one and more and more slowly. To be called again whenever an
        environment has started or ended."""
        missing = crew.missing
        if self._closed or missing <= 0 or crew.warming is not None or crew.nursery is None:
            return
        if crew.failed_inits:
            self._later(crew, min(FIRST_PAUSE * 2 ** (crew.failed_inits - 1), LONGEST_PAUSE))
        else:
            self._fill(crew, min(missing, AT_ONCE - crew.starting))

    def close(self) -> None:
        """Start none any more."""
        self._closed = True

    def end(self, crew: Crew) -> None:
        """The function is gone."""
        if crew.warming is not None:
            crew.warming.cancel()
            crew.warming = None

    def _later(self, crew: Crew, seconds: float) -> None:
        crew.warming = self._clock.call_later(seconds, lambda: self._again(crew))

    def _again(self, crew: Crew) -> None:
        crew.warming = None
        if not self._closed and crew.missing > 0 and crew.nursery is not None:
            self._fill(crew, 1 if crew.failed_inits else min(crew.missing, AT_ONCE - crew.starting))

    def _fill(self, crew: Crew, count: int) -> None:
        for _ in range(count):
            if not self._start(crew):
                self._later(crew, FIRST_PAUSE)
                return
