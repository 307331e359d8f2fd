"""The environments that are starting, and the callers that wait until some of them have started."""

from __future__ import annotations

from collections.abc import Callable

from eventflow.clock import Clock
from eventflow.runtime.crew import Crew
from eventflow.runtime.environment import Environment
from eventflow.runtime.growth import Growth

#: How often those that were held back are considered again.
AGAIN_SECONDS = 0.01


class Starts:
    """``again`` is called with the name of a function whose callers were held back, and may try once more."""

    def __init__(self, clock: Clock, growth: Growth, again: Callable[[str], None]) -> None:
        self._clock = clock
        self._growth = growth
        self._again = again
        self._under_way: dict[str, Environment] = {}
        self._held_back: dict[str, None] = {}

    def begun(self, environment: Environment) -> None:
        self._under_way[environment.id] = environment

    def ended(self, environment: Environment) -> None:
        """It has started, or never will."""
        self._under_way.pop(environment.id, None)

    def allow(self, crew: Crew) -> bool:
        """Whether a caller of this function gets an environment now; it is held back otherwise. A function's first starts however many others do."""
        if not crew.starting:
            return True
        if not self._held_back:
            if self._growth.may_start([environment.pid for environment in self._under_way.values()]):
                return True
            self._clock.call_later(AGAIN_SECONDS, self._try_again)
        self._held_back[crew.function.key] = None
        return False

    def _try_again(self) -> None:
        held_back, self._held_back = self._held_back, {}
        for function in held_back:
            self._again(function)
