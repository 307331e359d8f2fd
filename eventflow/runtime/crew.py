"""A function's environments, and what is known of how its invocations usually go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from eventflow.clock import Timer
from eventflow.dispatch.invocation import Invocation
from eventflow.function import Function
from eventflow.runtime.environment import Environment, Phase
from eventflow.runtime.nursery import Nursery

#: An invocation that takes less costs less than the message that brings it.
QUICK_MS = 1.0
#: So long a synchronous invocation of a quick function waits for an environment that is running others, before another is started.
PATIENCE_SECONDS = 0.01
#: How much the newest measure counts in what is usual.
LEARN = 0.2


@dataclass(eq=False)
class Crew:
    """The environments of one function. ``urgent`` are synchronous invocations that hold a slot and wait for an environment; ``usual_ms`` is
    what an invocation takes lately, ``processor_share`` how much of that it computes (0 to 1)."""

    """``nursery`` is the zygote that its environments come from; without one none can be started. ``failed_inits`` counts those that failed since
    the last that did not."""

    function: Function
    nursery: Nursery | None = None
    environments: set[Environment] = field(default_factory=set)
    idle: list[Environment] = field(default_factory=list)
    urgent: deque[Invocation] = field(default_factory=deque)
    starting: int = 0
    usual_ms: float = 5.0
    processor_share: float = 0.0
    growing: Timer | None = None
    patience: Timer | None = None
    blocked_until: float = 0.0
    warming: Timer | None = None
    failed_inits: int = 0

    @property
    def quick(self) -> bool:
        return self.usual_ms < QUICK_MS

    @property
    def started(self) -> int:
        """How many environments have done their init."""
        return len(self.environments) - self.starting

    @property
    def patient(self) -> bool:
        """Whether callers wait for its environments: the usual invocation is over before another environment would have started."""
        return self.quick and self.started > 0

    def is_stale(self, environment: Environment) -> bool:
        """Whether it runs what was the function before."""
        return environment.nursery is not self.nursery or environment.function is not self.function

    @property
    def current(self) -> list[Environment]:
        """The environments of the function as it is now, those aside that are about to end."""
        return [environment for environment in self.environments if not self.is_stale(environment) and environment.phase is not Phase.ENDING]

    @property
    def missing(self) -> int:
        """How many environments it has too few of for what the function is provisioned with."""
        return self.function.provisioned_concurrency - len(self.current)

    def getting_on(self, now: float, most: int | None = None) -> int:
        """How many environments run it and are as quick as usual, up to ``most``. One that has been running for longer is not."""
        if not self.quick:
            return 0
        busy = (one for one in self.environments if one.phase is Phase.BUSY and self.gets_on(one, now))
        return sum(1 for _one in islice(busy, most))

    def gets_on(self, environment: Environment, now: float) -> bool:
        return self.quick and environment.since > now - PATIENCE_SECONDS

    def learn(self, slowest: float, lasted: float, computed: float) -> None:
        """What invocations tell that have just ended: the slowest of them, all together, and what they computed, in milliseconds."""
        self.usual_ms += (slowest - self.usual_ms) * LEARN
        if slowest > QUICK_MS and lasted:
            self.processor_share += (min(1.0, computed / lasted) - self.processor_share) * LEARN
