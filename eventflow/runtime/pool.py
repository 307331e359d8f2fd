"""The pool: environments of every function, grown while work waits, reused warm, killed at their limits, ended when idle."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from eventflow import faultpoint
from eventflow.clock import Clock, Timer
from eventflow.dispatch.concurrency import ACCOUNT_EXCEEDED, Concurrency
from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.dispatch.invocation import Invocation, Work
from eventflow.errors import Throttled
from eventflow.function import Function
from eventflow.outcome import Outcome, Status
from eventflow.runtime import frames
from eventflow.runtime.crew import PATIENCE_SECONDS, Crew
from eventflow.runtime.environment import Environment, Phase, failed
from eventflow.runtime.growth import Growth
from eventflow.runtime.launcher import Launcher
from eventflow.runtime.limits import MEGABYTE, available_memory
from eventflow.runtime.nursery import Nursery, exit_reason
from eventflow.runtime.starts import Starts
from eventflow.runtime.transcript import LogSink, Transcript, out_of_memory
from eventflow.runtime.warming import Warming
from eventflow.runtime.watch import Watch

log = logging.getLogger("eventflow.runtime")

#: A function whose invocations take less than QUICK_MS gets several at once over the socket, so that the socket costs less than the function.
QUICK_WINDOW = 64
#: As many synchronous invocations at once: their callers are waiting.
URGENT_WINDOW = 16
#: A failure counts as so slow: what it causes costs us many times what a success does, and a window full of it would hold up everybody else.
FAILURE_MS = 10.0
#: How often growth is considered again while events wait.
GROW_SECONDS = 0.01
#: New environments are not made when the machine would be left with less than this.
SPARE_MEMORY = 256 * MEGABYTE
RESTART_SECONDS = 1.0
#: What most environments tell with their readiness.
NOTHING_LEARNED = b"null"


class Pool:
    """Runs invocations. Give it its ``work`` and a ``nursery``, then ``wake`` and ``submit``; ``replace`` swaps the code under it."""

    def __init__(
        self,
        work: Work,
        clock: Clock,
        concurrency: Concurrency,
        launcher: Launcher,
        logs: LogSink,
        on_lost: Callable[[Nursery], None],
        idle_seconds: float = 120.0,
    ) -> None:
        self._work = work
        self._clock = clock
        self._concurrency = concurrency
        self._launcher = launcher
        self._transcript = Transcript(clock, logs)
        self._on_lost = on_lost
        self._idle_seconds = idle_seconds
        self._crews: dict[str, Crew] = {}
        self._application: set[str] = set()
        self._nursery: Nursery | None = None
        self._by_pid: dict[int, Environment] = {}
        self._by_id: dict[str, Environment] = {}
        self._room_left = True
        self._watch = Watch(clock, self._by_id, self._take_frames, self._transcript, launcher.limiter)
        self._reap_timer: Timer | None = None
        self._starved: set[str] = set()
        self._growth = Growth(clock)
        self._starts = Starts(clock, self._growth, self._try_again)
        self._warming = Warming(clock, self._start_provisioned)
        self._closing = False
        self._all_gone = asyncio.Event()

    # Life.

    def replace(self, nursery: Nursery, functions: Mapping[str, Function]) -> Nursery | None:
        """Run these functions with this code from now on; what runs ends as it began. Returns the former nursery: close it when
        ``busy(former)`` is 0."""
        former, self._nursery = self._nursery, nursery
        for name in self._application - set(functions):
            self._drop(name, f"The application was loaded again, and has no function {name} any more.")
        self._application = set(functions)
        for function in functions.values():
            self.put(function, nursery)
        return former

    def put(self, function: Function, nursery: Nursery | None) -> None:
        """Run a function from now on, forked from this nursery, or run it otherwise than before; what runs ends as it began. Without a nursery what
        comes waits until there is one."""
        crew = self._crews.setdefault(function.key, Crew(function))
        if crew.function != function or crew.nursery is not nursery:
            crew.function, crew.nursery, crew.failed_inits = function, nursery, 0
            self._launcher.preloads.forget(function.key)
            self._retire(crew)
        self.wake(function.key)
        self._warming.keep(crew)

    def remove(self, key: str) -> None:
        """Run a function no more; what runs ends as it began, and callers that wait are told."""
        self._drop(key, f"The function {key} was deleted.")

    def kill(self, key: str) -> None:
        """End a function's environments with what they run."""
        crew = self._crews.get(key)
        for environment in list(crew.environments) if crew is not None else ():
            environment.kill()

    def nursery_of(self, key: str) -> Nursery | None:
        """The zygote that a function's environments are forked from now."""
        crew = self._crews.get(key)
        return None if crew is None else crew.nursery

    def _drop(self, key: str, message: str) -> None:
        crew = self._crews.pop(key, None)
        if crew is None:
            return
        self._warming.end(crew)
        self._launcher.preloads.forget(key)
        self._retire(crew)
        while crew.urgent:
            self._fail_waiting(crew, failed("ServiceException", message, status=Status.SYSTEM_ERROR))

    def busy(self, nursery: Nursery) -> int:
        """How many environments that came from this nursery still run something."""
        return sum(1 for environment in self._by_id.values() if environment.in_flight and environment.nursery is nursery)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many environments of each function are in each phase."""
        found: dict[str, dict[str, int]] = {}
        for environment in self._by_id.values():
            phases = found.setdefault(environment.function.key, {})
            phases[environment.phase.value] = phases.get(environment.phase.value, 0) + 1
        return found

    async def close(self) -> None:
        """End every environment now; what they were running is given back uncharged."""
        self._closing = True
        self._watch.close()
        self._warming.close()
        self._launcher.preloads.close()
        if self._reap_timer is not None:
            self._reap_timer.cancel()
        for crew in self._crews.values():
            self._work.returned(list(crew.urgent))
            crew.urgent.clear()
        for environment in list(self._by_id.values()):
            self._work.returned(list(environment.in_flight))
            environment.in_flight.clear()
            environment.kill()
        if self._by_id:
            await self._clock.wait(self._all_gone, 2.0)
        nurseries = [self._nursery, *(crew.nursery for crew in self._crews.values())]
        await asyncio.gather(*(nursery.close() for nursery in dict.fromkeys(nurseries) if nursery is not None))
        for environment in list(self._by_id.values()):
            self._forget(environment)
        self._launcher.limiter.sweep()

    # Work comes in.

    def submit(self, invocation: Invocation) -> None:
        """Run a synchronous invocation at once. Raises ``Throttled``, or ``UnknownFunction`` where the function has just been removed."""
        name = invocation.function.name
        crew = self._crews.get(invocation.function.key)
        if crew is None:
            raise UnknownFunction(f"There is no function named {invocation.function.key!r} any more.")
        reason = self._concurrency.acquire(name)
        if reason is not None:
            raise Throttled(f"Rate Exceeded: {name} runs {self._concurrency.busy(name)} times at once, which is its limit.", reason)
        if crew.idle and not self._crowded(crew):
            self._assign(crew.idle.pop(), [invocation], slots=1)
            return
        if not crew.patient and not self._room():
            self._concurrency.release(name)
            raise Throttled("Rate Exceeded: the machine has no memory left for another environment.", ACCOUNT_EXCEEDED)
        crew.urgent.append(invocation)
        self._start_urgent(crew)

    def wake(self, function: str) -> None:
        """Give a function's waiting events to idle environments; grow when there are none."""
        crew = self._crews.get(function)
        if crew is None or self._closing:
            return
        while crew.idle and self._work.backlog(function) and not self._crowded(crew):
            environment = crew.idle.pop()
            if not self._feed(crew, environment):
                crew.idle.append(environment)
                return
        self._start_urgent(crew)
        if self._work.backlog(function) > 0:
            self._grow(crew)

    def _crowded(self, crew: Crew) -> bool:
        """Whether as many environments run a quick function as there are processors: another would only get in their way."""
        processors = self._growth.processors
        return crew.getting_on(self._clock.monotonic(), processors) >= processors

    def _start_urgent(self, crew: Crew) -> None:
        """Start an environment for each synchronous invocation that waits. Where the usual one is over before an environment has started, they wait
        for those that there are, for as long as that takes at most."""
        if not crew.patient:
            self._start_each(crew)
        elif crew.urgent and crew.patience is None:
            first = crew.urgent[0]
            crew.patience = self._clock.call_later(PATIENCE_SECONDS, lambda: self._lose_patience(crew, first))

    def _lose_patience(self, crew: Crew, first: Invocation) -> None:
        crew.patience = None
        if crew.urgent and crew.urgent[0] is first:
            self._start_each(crew)
        else:
            self._start_urgent(crew)

    def _start_each(self, crew: Crew) -> None:
        while crew.idle and crew.urgent:
            self._feed(crew, crew.idle.pop())
        while crew.nursery is not None and crew.starting < len(crew.urgent):
            if not self._starts.allow(crew) or not self._start(crew):
                return

    def _try_again(self, function: str) -> None:
        crew = self._crews.get(function)
        if crew is not None and not self._closing:
            self._start_urgent(crew)

    def _feed(self, crew: Crew, environment: Environment) -> bool:
        """Give a free environment its next work, if there is any and a slot for it."""
        if crew.urgent:
            share = math.ceil(len(crew.urgent) / max(1, crew.started))
            count = min(share, URGENT_WINDOW) if crew.quick else 1
            self._assign(environment, [crew.urgent.popleft() for _ in range(count)], slots=count)
            return True
        key, name = crew.function.key, crew.function.name
        if not self._work.backlog(key):
            return False
        if self._concurrency.acquire(name) is not None:
            self._starved.add(key)
            return False
        invocations = self._work.take(key, self._window(crew))
        if not invocations:
            self._release(name)
            return False
        self._assign(environment, invocations, slots=1)
        return True

    def _window(self, crew: Crew) -> int:
        """How many invocations an environment gets at once: more than one only where they are so quick that none would wait noticeably."""
        if not crew.quick:
            return 1
        share = self._work.backlog(crew.function.key) // max(1, len(crew.environments))
        return max(1, min(QUICK_WINDOW, share))

    def _assign(self, environment: Environment, invocations: list[Invocation], slots: int) -> None:
        environment.phase = Phase.BUSY
        environment.slots += slots
        self._watch.look_soon()
        first = not environment.in_flight
        environment.in_flight.extend(invocations)
        arn = self._launcher.arn(environment.function.key)
        data = b"".join(
            [
                frames.invoke(
                    one.request_id, one.arn or arn, one.trace, one.client_context, one.payload, frames.INVOKE if one.stream is None else frames.STREAM
                )
                for one in invocations
            ]
        )
        if not environment.send(data):
            asyncio.get_running_loop().add_writer(environment.connection, self._writable, environment)
        faultpoint.reach("run.sent")
        if first:
            self._begin(environment, self._clock.monotonic())

    def _writable(self, environment: Environment) -> None:
        if environment.send_rest():
            asyncio.get_running_loop().remove_writer(environment.connection)

    def _begin(self, environment: Environment, since: float) -> None:
        """The first invocation in flight has been running since then."""
        environment.began(since)
        self._watch.expect(environment, since + environment.function.timeout)

    # Growth.

    def _grow(self, crew: Crew) -> None:
        """Start environments for a backlog: one for each processor at once, more while those that run leave processors free."""
        if crew.growing is not None or crew.nursery is None:
            return
        waiting = self._work.backlog(crew.function.key) - crew.starting
        allowed = self._concurrency.allowed(crew.function.name) - len(crew.environments)
        blocked = crew.blocked_until > self._clock.monotonic()
        wanted = 0 if blocked else min(waiting, allowed, self._step(crew))
        for _ in range(wanted):
            if not self._room() or not self._start(crew):
                break
        if waiting > 0 and allowed > 0:
            crew.growing = self._clock.call_later(GROW_SECONDS, lambda: self._grow_again(crew))

    def _step(self, crew: Crew) -> int:
        """How many environments to add now."""
        active = [environment for environment in self._by_id.values() if environment.phase in (Phase.STARTING, Phase.BUSY)]
        computing = sum(map(self._share, active))
        processes, quick = [environment.pid for environment in active], crew.getting_on(self._clock.monotonic()) > 0
        return self._growth.step(processes, computing, crew=len(crew.environments), starting=crew.starting, quick=quick)

    def _share(self, environment: Environment) -> float:
        """How much of a processor it keeps busy, by what is known of its function."""
        crew = self._crews.get(environment.function.key)
        if crew is None:
            return 0.0
        return 1.0 if crew.gets_on(environment, self._clock.monotonic()) else crew.processor_share

    def _grow_again(self, crew: Crew) -> None:
        crew.growing = None
        self.wake(crew.function.key)

    def _room(self) -> bool:
        available = available_memory()
        room = available is None or available > SPARE_MEMORY
        if self._room_left and not room:
            log.warning(
                "less than %d MB of memory are available: events wait, and no environments are added until there is more", SPARE_MEMORY // MEGABYTE
            )
            self._launcher.preloads.forget_all()
        self._room_left = room
        return room

    def _start_provisioned(self, crew: Crew) -> bool:
        return self._room() and self._start(crew, provisioned=True)

    def warm(self, key: str) -> tuple[int, bool]:
        """How many environments of a function have done their init and run its newest code, and whether the last init failed."""
        crew = self._crews.get(key)
        if crew is None:
            return 0, False
        return sum(1 for one in crew.current if one.initialised), crew.failed_inits > 0

    def _start(self, crew: Crew, *, provisioned: bool = False) -> bool:
        """Fork an environment; False when that could not be asked for."""
        try:
            environment = self._launcher.launch(crew.function, crew.nursery, provisioned=provisioned)
        except OSError as error:
            self._cannot_start(crew, error)
            return False
        crew.environments.add(environment)
        crew.starting += 1
        self._by_id[environment.id] = environment
        self._starts.begun(environment)
        asyncio.get_running_loop().add_reader(environment.connection, self._readable, environment)
        self._watch.expect(environment, environment.deadline)
        self._watch.look_soon()
        return True

    def _cannot_start(self, crew: Crew, error: OSError) -> None:
        """The machine's doing, not the function's: what waits is charged a system error, and backs off."""
        message = f"An environment for {crew.function.key} could not be made: {error}."
        log.error("%s", message)
        crew.blocked_until = self._clock.monotonic() + RESTART_SECONDS
        self._fail_waiting(crew, failed("ServiceException", message, status=Status.SYSTEM_ERROR))

    def _fail_waiting(self, crew: Crew, outcome: Outcome) -> None:
        """End one waiting invocation with the outcome of an environment that never came to run it."""
        if crew.urgent:
            invocation = crew.urgent.popleft()
            self._release(crew.function.name)
        else:
            taken = self._work.take(crew.function.key, 1)
            if not taken:
                return
            invocation = taken[0]
        # Of our time, though nothing ever started: the ledger forgets what is old.
        outcome = replace(outcome, started_at=outcome.started_at or self._clock.now())
        self._transcript.never_began(invocation, outcome)
        self._work.ended(invocation, outcome)

    # What environments tell.

    def forked(self, environment: str, pid: int) -> None:
        known = self._by_id.get(environment)
        if known is None:
            return
        known.pid = pid
        self._by_pid[pid] = known
        if known.phase is Phase.ENDING:
            known.kill()

    def exited(self, pid: int, status: int) -> None:
        environment = self._by_pid.pop(pid, None)
        if environment is None:
            return
        self._take_frames(environment)
        outcome = environment.verdict
        if environment.confinement.out_of_memory() and (outcome is None or outcome.error_type != "Sandbox.Timedout"):
            outcome = out_of_memory(environment)
        self._lose(environment, outcome or failed("Runtime.ExitError", exit_reason(status)))

    def lost(self, nursery: Nursery) -> None:
        """The zygote died: its environments die with it, and none of that is the functions' doing."""
        if self._closing:
            return
        if nursery is self._nursery:
            self._nursery = None
        for crew in self._crews.values():
            if crew.nursery is nursery:
                crew.nursery = None
        for environment in [one for one in self._by_id.values() if one.nursery is nursery]:
            self._take_frames(environment)
            environment.kill()
            self._by_pid.pop(environment.pid, None)
            self._lose(environment, failed("ServiceException", "The environment was lost together with the zygote.", status=Status.SYSTEM_ERROR))
        self._on_lost(nursery)

    def _readable(self, environment: Environment) -> None:
        if not self._take_frames(environment):
            asyncio.get_running_loop().remove_reader(environment.connection)
            environment.kill()
            crew = self._crews.get(environment.function.key)
            if crew is not None and environment in crew.idle:
                crew.idle.remove(environment)  # its exit may be long in coming, and work comes meanwhile

    def _take_frames(self, environment: Environment) -> bool:
        try:
            received, is_open = environment.receive()
        except frames.FrameError as error:
            environment.kill(failed("Runtime.ExitError", f"The function's process wrote something of its own to the runtime's socket: {error}."))
            return False
        if received:
            faultpoint.reach("run.answered")
        ended: list[frames.Answer] = []
        for answer in received:
            if answer.kind == frames.READY:
                self._ready(environment, answer)
            elif answer.kind == frames.INIT_ERROR:
                self._init_failed(environment, answer)
            elif answer.kind == frames.PIECE:
                self._pass_on(environment, answer.content)
            elif environment.in_flight and environment.phase is not Phase.ENDING:
                self._end_first(environment, answer)
                ended.append(answer)
        if ended:
            self._learn(environment, ended)
            self._go_on(environment, ended[-1].kind)
        return is_open

    def _pass_on(self, environment: Environment, piece: bytes) -> None:
        """Hand on a piece of a streamed response. While its reader has no room for more, nothing is read from the process, which then waits."""
        stream = environment.in_flight[0].stream if environment.in_flight else None
        if stream is not None and not stream.put(piece) and stream.on_room is None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(environment.connection)
            stream.on_room = partial(self._read_on, environment)

    def _read_on(self, environment: Environment) -> None:
        if self._by_id.get(environment.id) is environment:
            asyncio.get_running_loop().add_reader(environment.connection, self._readable, environment)

    def _ready(self, environment: Environment, answer: frames.Answer) -> None:
        environment.cpu_ms = answer.cpu_ms
        crew = self._crews.get(environment.function.key)
        environment.init_ms = None if environment.provisioned else answer.duration
        self._transcript.take_output(environment, answer.log_end, "")
        environment.phase = Phase.IDLE
        environment.since = self._clock.monotonic()
        environment.initialised = True
        self._starts.ended(environment)
        if crew is not None and environment in crew.environments:
            crew.starting -= 1
            crew.failed_inits = 0
            if answer.content != NOTHING_LEARNED and not crew.is_stale(environment) and self._room():
                self._launcher.learn(environment, json.loads(answer.content))
            self._warming.keep(crew)
        self._free(environment)

    def _init_failed(self, environment: Environment, answer: frames.Answer) -> None:
        self._transcript.take_output(environment, answer.log_end, "")
        environment.verdict = self._transcript.outcome_of_init(answer.duration, answer.content)

    def _end_first(self, environment: Environment, answer: frames.Answer) -> None:
        """The first in flight has ended; the next began when it did."""
        transcript = self._transcript
        if answer.log_end > environment.log_offset:
            transcript.announce(environment)
            transcript.take_output(environment, answer.log_end, environment.in_flight[0].request_id)
        invocation = environment.in_flight.popleft()
        outcome = transcript.outcome(environment, answer)
        transcript.end(environment, invocation, outcome)
        self._work.ended(invocation, outcome)
        environment.began(answer.started + answer.duration / 1000)
        if environment.slots > 1:
            environment.slots -= 1
            self._release(environment.function.name)

    def _learn(self, environment: Environment, ended: list[frames.Answer]) -> None:
        crew = self._crews.get(environment.function.key)
        computed, environment.cpu_ms = ended[-1].cpu_ms - environment.cpu_ms, ended[-1].cpu_ms
        if crew is not None:
            slowest = max([answer.duration if answer.kind == frames.RESULT else FAILURE_MS for answer in ended])
            crew.learn(slowest, sum([answer.duration for answer in ended]), computed)

    def _go_on(self, environment: Environment, kind: int) -> None:
        """After the last frame that had come, of this kind: the next in flight is running, or the environment is free."""
        if kind == frames.FATAL:  # the process ends, and what it had not begun is not its doing
            self._give_back(environment)
        if environment.in_flight:
            self._begin(environment, environment.since)
            self._top_up(environment)
            return
        environment.shrink()
        environment.phase = Phase.ENDING if kind == frames.FATAL else Phase.IDLE
        if environment.slots:
            environment.slots = 0
            self._release(environment.function.name)
        self._free(environment)

    def _top_up(self, environment: Environment) -> None:
        """Send a quick function's next invocations before it has run out of them."""
        crew = self._crews.get(environment.function.key)
        if crew is None or environment.phase is not Phase.BUSY or crew.is_stale(environment) or crew.urgent:
            return
        window = self._window(crew)
        if window > 1 and len(environment.in_flight) <= QUICK_WINDOW // 2:
            invocations = self._work.take(crew.function.key, window)
            if invocations:
                self._assign(environment, invocations, slots=0)

    def _free(self, environment: Environment) -> None:
        """An environment has nothing to do: feed it, keep it warm, or let it go."""
        crew = self._crews.get(environment.function.key)
        if environment.phase is not Phase.IDLE:
            return
        if crew is None or crew.is_stale(environment) or environment not in crew.environments or self._closing:
            environment.kill()
            return
        environment.since = self._clock.monotonic()
        if not self._feed(crew, environment):
            crew.idle.append(environment)
            self._reap_later()

    def _release(self, name: str) -> None:
        self._concurrency.release(name)
        if self._starved:
            starved, self._starved = self._starved, set()
            for function in starved:
                asyncio.get_running_loop().call_soon(self.wake, function)

    # The end of an environment.

    def _lose(self, environment: Environment, outcome: Outcome) -> None:
        """Its process is gone: settle what it was running, give back what it had not begun."""
        if environment.id not in self._by_id:
            return
        key = environment.function.key
        if environment.in_flight:
            self._transcript.announce(environment)
        running = environment.in_flight.popleft() if environment.in_flight else None
        request_id = running.request_id if running else ""
        self._transcript.take_output(environment, None, request_id)
        crew = self._crews.get(key)
        starting = self._forget(environment)
        if crew is not None and not crew.is_stale(environment):
            crew.failed_inits += starting or environment.phase is not Phase.ENDING  # a process that dies again and again by itself is no better
            self._warming.keep(crew)
        if running is not None:
            if outcome.error_type == "Sandbox.Timedout":
                self._transcript.tell_timeout(environment, request_id)
            outcome = self._transcript.outcome_of_death(environment, running, outcome)
            self._transcript.end(environment, running, outcome)
            self._work.ended(running, outcome)
            environment.slots -= 1
            self._release(environment.function.name)
        elif starting and crew is not None and environment.function is crew.function:  # who waits for newer code gets that
            self._fail_waiting(crew, outcome)
        self._give_back(environment)
        faultpoint.reach("run.lost")
        self.wake(key)

    def _give_back(self, environment: Environment) -> None:
        """What was sent ahead and did not begin: events go back to their line, synchronous invocations wait for the next environment, with the
        slots that they hold."""
        crew = self._crews.get(environment.function.key)
        not_begun = list(environment.in_flight)
        environment.in_flight.clear()
        if not_begun and not_begun[0].event is None:  # an environment is sent events or synchronous invocations, never both at once
            environment.slots -= len(not_begun)
            if crew is not None and not self._closing:
                crew.urgent.extendleft(reversed(not_begun))
                return
            for _ in not_begun:
                self._release(environment.function.name)
        self._work.returned(not_begun)

    def _forget(self, environment: Environment) -> bool:
        """Remove every trace; whether it was still starting."""
        crew = self._crews.get(environment.function.key)
        starting = not environment.initialised
        if crew is not None and environment in crew.environments:
            crew.environments.discard(environment)
            if environment in crew.idle:
                crew.idle.remove(environment)
            crew.starting -= starting
        loop = asyncio.get_running_loop()
        loop.remove_reader(environment.connection)
        loop.remove_writer(environment.connection)
        self._by_id.pop(environment.id, None)
        self._starts.ended(environment)
        environment.release()
        if not self._by_id:
            self._all_gone.set()
        return starting

    def _retire(self, crew: Crew) -> None:
        """Let a crew's environments go: idle ones now, busy ones when they have finished."""
        for environment in crew.idle:
            environment.let_go()
        crew.idle.clear()

    # Time.

    def _reap_later(self) -> None:
        if self._reap_timer is None:
            self._reap_timer = self._clock.call_later(self._idle_seconds / 4, self._reap)

    def _reap(self) -> None:
        """End environments that have been idle for long: without events, nothing runs."""
        self._reap_timer = None
        oldest = self._clock.monotonic() - self._idle_seconds
        for crew in self._crews.values():
            spare = max(0, len(crew.current) - crew.function.provisioned_concurrency)
            for environment in [one for one in crew.idle if one.since < oldest][:spare]:
                crew.idle.remove(environment)
                environment.let_go()
        if any(crew.idle for crew in self._crews.values()):
            self._reap_later()
