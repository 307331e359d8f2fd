"""Looks after environments while they start and run: ends those that are late, takes their output, watches memory where nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eventflow.clock import Clock, Timer
from eventflow.dispatch.alarm import Alarm
from eventflow.runtime.environment import Environment, Phase, failed
from eventflow.runtime.launcher import INIT_SECONDS
from eventflow.runtime.limits import MEGABYTE, Limiter, resident_below, resident_bytes
from eventflow.runtime.runtimes import runs_programs
from eventflow.runtime.transcript import Transcript, out_of_memory

#: How often running environments are looked at: their output is taken, their memory watched where no control group does it.
LOOK_SECONDS = 0.05
ACTIVE = (Phase.STARTING, Phase.BUSY)


class Watch:
    """``environments`` are all there are, by any key. ``take_frames`` reads what one of them has told and acts on it; False when nothing more can
    come."""

    def __init__(
        self,
        clock: Clock,
        environments: Mapping[str, Environment],
        take_frames: Callable[[Environment], bool],
        transcript: Transcript,
        limiter: Limiter,
    ) -> None:
        self._clock = clock
        self._environments = environments
        self._take_frames = take_frames
        self._transcript = transcript
        self._limiter = limiter
        self._deadlines = Alarm(clock, clock.monotonic, self._enforce_deadlines)
        self._timer: Timer | None = None
        self._closed = False

    def expect(self, environment: Environment, deadline: float) -> None:
        """It must be done by this monotonic instant."""
        environment.deadline = deadline
        self._deadlines.ask(deadline)

    def look_soon(self) -> None:
        """There is somebody to look after."""
        if self._timer is None and not self._closed:
            self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        self._closed = True
        self._deadlines.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _enforce_deadlines(self) -> None:
        timed = self._active()
        for environment in timed:
            if environment.deadline <= self._clock.monotonic() and self._take_frames(environment) and environment.deadline <= self._clock.monotonic():
                time_out(environment)
        left = [one.deadline for one in timed if one.phase in ACTIVE]
        if left:
            self._deadlines.ask(min(left))

    def _look(self) -> None:
        """Take the output of what has been running for a while, and watch memory where nothing else does."""
        self._timer = None
        active = self._active()
        for environment in active:
            if environment.in_flight:
                self._take_output(environment)
        if self._limiter.watched:
            watch_memory([one for one in active if one.pid])
        if active:
            self.look_soon()

    def _active(self) -> list[Environment]:
        return [one for one in self._environments.values() if one.phase in ACTIVE]

    def _take_output(self, environment: Environment) -> None:
        """Of the only invocation that could have written it; with several in flight the frames tell whose it is, some of which come by no message."""
        if len(environment.in_flight) > 1 and not environment.is_held_up and not self._take_frames(environment):
            return
        if not environment.in_flight:
            return
        self._transcript.announce(environment)
        if len(environment.in_flight) == 1:
            self._transcript.take_output(environment, None, environment.in_flight[0].request_id)


def time_out(environment: Environment) -> None:
    """End an environment that is late."""
    if environment.phase is Phase.STARTING:
        message = f"The init phase of {environment.function.name} did not finish within {INIT_SECONDS:.2f} seconds"
    elif environment.in_flight:
        message = f"RequestId: {environment.in_flight[0].request_id} Error: Task timed out after {environment.function.timeout:.2f} seconds"
    else:
        return
    environment.kill(failed("Sandbox.Timedout", message))


def watch_memory(environments: list[Environment]) -> None:
    """End those that are larger than their function may be."""
    if not environments:
        return
    outside = [one.pid for one in environments if runs_programs(one.function.package, one.function.environment)]
    sizes = resident_bytes([environment.pid for environment in environments])
    sizes |= resident_below(outside) if outside else {}
    for environment in environments:
        if sizes.get(environment.pid, 0) > environment.function.memory * MEGABYTE:
            environment.kill(out_of_memory(environment))
