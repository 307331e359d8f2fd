"""The dispatcher: accept durably, give work to whoever runs it, decide what follows from each outcome, settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.dispatch import trace as traces
from eventflow.dispatch.alarm import Alarm
from eventflow.dispatch.batch import Batcher
from eventflow.dispatch.destinations import Consequences, consequences
from eventflow.dispatch.invocation import Invocation, ResponseStream, Runner
from eventflow.dispatch.journal import CLAIM_BYTES, Attempt, CursorMove, Event, Journal, Settlement
from eventflow.dispatch.lane import CLAIM_LIMIT, SHARED_CLAIM_LIMIT, SHARING_SECONDS, Lane
from eventflow.errors import EventflowError, Overloaded, PayloadTooLarge, StorageError
from eventflow.function import ALLOW, Function, names_version
from eventflow.outcome import Attempts, Dead, Done, Outcome, Retry, Status, Step, next_step

log = logging.getLogger("eventflow.dispatch")

#: AWS: an asynchronous invocation takes 1 MB (Lambda quotas).
LARGEST_EVENT = 1024 * 1024
WAKE_LIMIT = 512
STORE_AGAIN_AFTER = 1.0
#: So much may be on its way to disk at once; whoever emits more is told to wait.
MOST_ARRIVING = 65_536
MOST_ARRIVING_BYTES = 64 * 1024 * 1024
DONE = Done()
#: What becomes of events that came by an alias which has no settings of its own (AWS: those of the function are for unqualified ones).
USUAL = {name: getattr(Function, name) for name in ("retries", "maximum_event_age", "on_success", "on_failure", "retry_delays")}


class UnknownFunction(EventflowError):
    """No function of that name is loaded."""


@dataclass(slots=True, eq=False)
class Acceptance:
    """Events that are handed in together, and accepted together."""

    events: list[Event]
    bytes: int
    cursor: CursorMove | None
    accepted: asyncio.Future[list[str]]


class Dispatcher:
    """Runs every accepted event of every function to its end.

    ``runner`` pulls work through ``take`` and reports through ``ended``. Call ``start`` once the functions are known, and ``stop`` to take no more
    work; what was accepted stays in the journal.
    """

    def __init__(self, journal: Journal, clock: Clock, arn: Callable[[str], str], largest_event: int = LARGEST_EVENT) -> None:
        self._journal = journal
        self._clock = clock
        self._arn = arn
        self._largest_event = largest_event
        self._runner: Runner | None = None
        self._lanes: dict[str, Lane] = {}
        self._left: dict[str, frozenset[str]] = {}
        self._aliases: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self._accepting = Batcher(self._accept, self._tell_progress)
        self._arriving = self._arriving_bytes = 0
        self._emitted: dict[str, float] = {}  # when each function was last emitted to, in monotonic seconds
        self._settling = Batcher(self._settle, self._tell_progress)
        self._recording = Batcher(self._record, self._tell_progress)
        self._wakes: dict[str, float] = {}
        self._crowded: set[str] = set()
        self._alarm = Alarm(clock, clock.now, self._ring)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answers: set[Invocation] = set()
        self._stopping = False
        self._progress = asyncio.Event()
        #: Called whenever functions came, changed or went.
        self.functions_changed: Callable[[], None] = do_nothing

    # Life.

    def attach(self, runner: Runner) -> None:
        self._runner = runner

    async def start(self, functions: Mapping[str, Function]) -> None:
        """Take up the events that the journal holds for these functions. Call it again with a new set to change functions while running."""
        for name in set(self._lanes) - set(functions):
            del self._lanes[name]
        await self._take_up(functions.values())
        await self.look_anew()

    async def put(self, function: Function) -> None:
        """Add a function to those there are, or change it, and take up what the journal holds for it."""
        if await self._take_up([function]):
            await self.look_anew()
        self._wake(function.key)

    async def look_anew(self) -> None:
        """Ask the journal when what waits for a retry is due: it was not us who set these times."""
        for key, at in (await self._journal.next_wake()).items():
            self._wakes[key] = min(at, self._wakes.get(key, at))  # another may have been settled meanwhile
        self._arm()

    async def _take_up(self, functions: Iterable[Function]) -> bool:
        """Whether there are new ones among them."""
        fresh = []
        for function in functions:
            lane = self._lanes.get(function.key)
            if lane is None:
                # Spilled until it is known what the journal holds: what comes meanwhile must not pass over it.
                lane = self._lanes[function.key] = Lane(function, spilled=True)
                fresh.append(lane)
            lane.change(function)
        self.functions_changed()
        if not fresh:
            return False
        backlog = await self._journal.backlog()
        for lane in fresh:
            if lane.function.key in backlog or lane.refused:
                self._refill(lane)
            else:
                lane.spilled = False
        return True

    def configure_aliases(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """What becomes of events that a function gets by its aliases: for those that have settings of their own, these, by the names of
        ``Function``'s."""
        if self._aliases.get(name, {}) == settings:
            return
        self._aliases[name] = settings
        for lane in self._lanes.values():
            if lane.function.name == name:
                lane.asked.clear()

    def remove(self, key: str) -> None:
        """Take a function away; what was accepted for it stays in the journal."""
        lane = self._lanes.pop(key, None)
        if lane is not None and lane.running:
            self._left[key] = frozenset(lane.running)
        self.functions_changed()

    async def stop(self, grace: float) -> int:
        """Give out no more work, wait up to ``grace`` seconds for what runs, settle it; returns how many invocations were still running."""
        self._stopping = True
        self._alarm.cancel()
        limit = self._clock.monotonic() + grace
        while self.running and (left := limit - self._clock.monotonic()) > 0:
            self._progress.clear()
            await self._clock.wait(self._progress, left)
        await self.flush()
        return self.running

    async def flush(self) -> None:
        """Wait until all that has ended is settled on disk."""
        await self._settling.drained()
        await self._recording.drained()
        await self._accepting.drained()

    def left_running(self, key: str) -> frozenset[str]:
        """The ids of the events that ran when a function was taken away; it is told once."""
        return self._left.pop(key, frozenset())

    async def handed_in(self) -> None:
        """Return when all that was handed in before is on disk, or refused."""
        accepted: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._accepting.add(Acceptance([], 0, None, accepted))
        await accepted

    @property
    def running(self) -> int:
        return sum(len(lane.running) for lane in self._lanes.values()) + len(self._answers)

    @property
    def idle(self) -> bool:
        """Nothing is ready, running, or on its way to disk; events that wait for a retry may exist."""
        busy = any(lane.ready or lane.running or lane.spilled for lane in self._lanes.values())
        return not (busy or self._answers or self._tasks) and self._accepting.idle and self._settling.idle and self._recording.idle

    async def quiesce(self) -> None:
        """Return when ``idle``. For tests: whoever waits here must know that nothing new keeps coming."""
        while not self.idle:
            self._progress.clear()
            await self._progress.wait()

    def functions(self) -> dict[str, Function]:
        return {name: lane.function for name, lane in self._lanes.items()}

    def knows(self, function: str) -> bool:
        """Whether a function of that name is loaded; may be asked from any thread."""
        return function in self._lanes

    def counts(self) -> dict[str, tuple[int, int]]:
        """For each function how many events are ready in memory and how many run."""
        return {name: (len(lane.ready), len(lane.running)) for name, lane in self._lanes.items()}

    # Accept.

    async def emit(
        self,
        function: str,
        payload: bytes,
        *,
        key: str | None = None,
        trace: str | None = None,
        source: str = "",
        cursor: CursorMove | None = None,
        qualifier: str | None = None,
    ) -> str:
        """Accept an event; returns its request id once it is on disk. A cancelled caller does not undo what was handed in. ``qualifier`` is the
        version or alias that was asked for, where ``function`` is the key of the version that it led to.

        Raises ``UnknownFunction``, ``PayloadTooLarge`` (over 1 MB), ``Overloaded`` or ``StorageError``: nothing was accepted then.
        """
        self._check(function, len(payload))
        event = Event(self._clock.new_id(), function, payload, self._clock.now(), key, trace, source, qualifier=qualifier)
        return (await self._hand_in([event], len(payload), cursor))[0]

    async def emit_many(
        self, function: str, payloads: Sequence[bytes], *, keys: Sequence[str | None] | None = None, trace: str | None = None, source: str = ""
    ) -> list[str]:
        """Accept many events for one function, all or none; returns their request ids in order once all are on disk. Raises as ``emit`` does."""
        self._check(function, max(map(len, payloads), default=0))
        now, new_id = self._clock.now(), self._clock.new_id
        names = [None] * len(payloads) if keys is None else keys
        events = [Event(new_id(), function, payload, now, key, trace, source) for payload, key in zip(payloads, names, strict=True)]
        return await self._hand_in(events, sum(map(len, payloads)), None) if events else []

    def _check(self, function: str, size: int) -> None:
        self.lane(function)
        if size > self._largest_event:
            raise PayloadTooLarge(
                f"The event for {function} has {size} bytes; an asynchronous event may have {self._largest_event}. Send a reference to it instead."
            )

    def _hand_in(self, events: list[Event], size: int, cursor: CursorMove | None) -> asyncio.Future[list[str]]:
        # What is alone is let in whatever its size; else the largest events could never be sent.
        if self._arriving and (self._arriving + len(events) > MOST_ARRIVING or self._arriving_bytes + size > MOST_ARRIVING_BYTES):
            raise Overloaded(
                f"{self._arriving} events ({self._arriving_bytes} bytes) wait to be written to disk, which is as much as this daemon holds. "
                "Nothing of this was accepted: send it again in a moment, or fewer at once."
            )
        self._emitted[events[0].function] = self._clock.monotonic()
        self._arriving += len(events)
        self._arriving_bytes += size
        accepted: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._accepting.add(Acceptance(events, size, cursor, accepted))
        return accepted

    async def _accept(self, batch: list[Acceptance]) -> None:
        events = [event for one in batch for event in one.events]
        faultpoint.reach("events.arrived")
        try:
            results = await self._journal.append(events, [one.cursor for one in batch if one.cursor is not None])
        except Exception as error:
            for one in batch:
                if not one.accepted.done():
                    one.accepted.set_exception(error)
            return
        finally:
            self._arriving -= len(events)
            self._arriving_bytes -= sum(one.bytes for one in batch)
        faultpoint.reach("events.accepted")
        start = 0
        for one in batch:
            end = start + len(one.events)
            if not one.accepted.done():
                one.accepted.set_result([request_id for request_id, _fresh in results[start:end]])
            start = end
        self.offer([event for event, (_request_id, fresh) in zip(events, results, strict=True) if fresh])
        faultpoint.reach("events.offered")

    def offer(self, events: Sequence[Event]) -> None:
        """Hand events that are READY in the journal, and were accepted just now, to their lanes."""
        woken = set()
        for event in events:
            lane = self._lanes.get(event.function)
            if lane is not None and event.id not in lane.running and lane.offer(event):
                woken.add(event.function)
        for function in woken:
            self._wake(function)

    def resume(self, events: Sequence[Event]) -> None:
        """Take in events that were accepted earlier and are READY again: those whose place in the journal is behind what was claimed are not
        claimed any more."""
        for event in events:
            lane = self._lanes.get(event.function)
            if lane is not None and event.id not in lane.running and not (lane.spilled and event.sequence > lane.loaded):
                lane.push(event)  # what is beyond what was claimed is claimed in its turn: to take it now would pass over those before it
        for function in {event.function for event in events}:
            self._wake(function)

    # Claim.

    def take(self, function: str, limit: int) -> list[Invocation]:
        lane = self._lanes.get(function)
        taken: list[Invocation] = []
        if lane is None or self._stopping:
            return taken
        arn, now = self._arn(function), self._clock.now()
        while lane.ready and len(taken) < limit:
            event = lane.pop()
            asked, named = (lane.function, "") if event.qualifier is None else self._asked(lane, event.qualifier)
            if event.accepted_at < now - asked.longest_wait or asked.reserved_concurrency == 0:
                self._end(event, asked, *self._refusal(asked, event, now), None)
                continue
            trace, count = traces.extend(event.trace, arn, event.id)
            if count > traces.RECURSION_LIMIT and asked.recursive_loop != ALLOW:
                self._refuse_recursion(asked, event, count)
                continue
            lane.running[event.id] = event
            taken.append(Invocation(event.id, asked, event.payload, trace, event, arn=named))
        if taken:
            faultpoint.reach("run.taken")
        if lane.hungry:
            self._refill(lane)
        if function in self._crowded and not lane.full:
            self._crowded.discard(function)
            self._schedule(function, now)
        return taken

    def _asked(self, lane: Lane, qualifier: str) -> tuple[Function, str]:
        """A lane's function as those have it who asked for a version or an alias, and the ARN that they named it by."""
        function, arn = lane.function, self._arn(f"{lane.function.name}:{qualifier}")
        if names_version(qualifier):
            return function, arn
        if qualifier not in lane.asked:
            lane.asked[qualifier] = replace(function, **{**USUAL, **self._aliases.get(function.name, {}).get(qualifier, {})})
        return lane.asked[qualifier], arn

    def backlog(self, function: str) -> int:
        lane = self._lanes.get(function)
        return 0 if lane is None or self._stopping else len(lane.ready)

    def returned(self, invocations: list[Invocation]) -> None:
        """Take back what never started: it runs later and is not charged."""
        for invocation in reversed(invocations):
            lane = self._lanes.get(invocation.function.key)
            if invocation.event is None:
                self._answer(
                    invocation,
                    Outcome(
                        Status.SYSTEM_ERROR,
                        b'{"errorType":"ServiceException","errorMessage":"The environment was lost."}',
                        "ServiceException",
                        "The environment was lost.",
                    ),
                )
            elif lane is not None and lane.running.pop(invocation.request_id, None) is not None:
                lane.restore(invocation.event)
        for function in {invocation.function.key for invocation in invocations}:
            self._wake(function)

    def _refusal(self, function: Function, event: Event, now: float) -> tuple[Dead, str]:
        """Why an event must not run any more."""
        if function.reserved_concurrency == 0:
            return Dead("ZeroReservedConcurrency"), f"{function.name} has reserved_concurrency=0, which turns it off."
        age = now - event.accepted_at
        return Dead("EventAgeExceeded"), f"The event waited {age:.0f} s; it may wait {function.longest_wait:.0f} s (maximum_event_age)."

    def _refuse_recursion(self, function: Function, event: Event, count: int) -> None:
        message = (
            f"{function.name} stands {count - 1} times in the chain of events that led to this one: a recursive loop was stopped. "
            "Let it write somewhere that does not trigger it (another bucket or prefix)."
        )
        log.warning("event %s of %s: %s", event.id, function.name, message)
        outcome = Outcome(Status.RECURSION, error_type="RecursiveLoop", error_message=message, started_at=self._clock.now())
        self._end(event, function, Dead("RecursiveLoop"), message, outcome)

    def _refill(self, lane: Lane) -> None:
        if lane.refilling or self._stopping:
            return
        lane.refilling = True
        self._spawn(self._claim(lane))

    async def _claim(self, lane: Lane) -> None:
        faultpoint.reach("claim.asked")
        limit = SHARED_CLAIM_LIMIT if self._others_emit(lane.function.key) else CLAIM_LIMIT
        try:
            events = await self._journal.claim(lane.function.key, lane.loaded, limit, CLAIM_BYTES)
        except StorageError as error:
            log.error("cannot claim events of %s: %s", lane.function.key, error)
            await self._clock.sleep(STORE_AGAIN_AFTER)
            events = None
        lane.refilling = False
        if events is None:
            self._refill(lane)
            return
        if events:
            faultpoint.reach("claim.answered")
        lane.spilled = len(events) == limit or sum(len(event.payload) for event in events) >= CLAIM_BYTES
        for event in events:
            if event.id not in lane.running:
                lane.push(event)
        self._wake(lane.function.key)

    def _others_emit(self, function: str) -> bool:
        now = self._clock.monotonic()
        self._emitted = {name: at for name, at in self._emitted.items() if at > now - SHARING_SECONDS}
        return len(self._emitted) > (function in self._emitted)

    # Run.

    async def invoke(
        self,
        function: str,
        payload: bytes,
        *,
        trace: str | None = None,
        client_context: str = "",
        request_id: str | None = None,
        stream: ResponseStream | None = None,
        arn: str = "",
    ) -> Outcome:
        """Run a function now and return how it ended; ``stream`` gets what it yields before that; ``arn`` is how the function is to see itself
        named, by an alias perhaps. Raises ``UnknownFunction`` or ``Throttled``."""
        lane = self.lane(function)
        runner = self._runner
        if runner is None or self._stopping:
            raise StorageError("The daemon is stopping; invoke again when it runs.")
        request_id = request_id or self._clock.new_id()
        extended, count = traces.extend(trace, self._arn(function), request_id)
        if count > traces.RECURSION_LIMIT and lane.function.recursive_loop != ALLOW:
            raise RecursionStopped(f"{function} stands {count - 1} times in the chain of calls that led to this one: a recursive loop was stopped.")
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        invocation = Invocation(request_id, lane.function, payload, extended, None, partial(resolve, done), client_context, stream, arn)
        self._answers.add(invocation)  # first, for it may be answered before ``submit`` returns: no environment could be asked for
        try:
            runner.submit(invocation)
        except BaseException:
            self._answers.discard(invocation)
            raise
        return await done

    # Decide and settle.

    def ended(self, invocation: Invocation, outcome: Outcome) -> None:
        event, function = invocation.event, invocation.function
        if event is None:
            self._recording.add(Attempt(invocation.request_id, function.name, outcome, function.memory, synchronous=True))
            self._answer(invocation, outcome)
            return
        if outcome.status is Status.SUCCESS and function.on_success is None:  # what nearly every event comes to, in the fewest steps
            self._settling.add(Settlement(event, DONE, Attempt(event.id, function.name, outcome, function.memory)))
            return
        event.function_errors += outcome.status is Status.FUNCTION_ERROR
        event.system_errors += outcome.status is Status.SYSTEM_ERROR
        now = self._clock.now()
        step = next_step(outcome, Attempts(event.function_errors, event.system_errors, event.accepted_at), function.policy, now)
        self._end(event, function, step, outcome.error_message or "", outcome)

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self._answers.discard(invocation)
        if invocation.answer is not None:
            invocation.answer(outcome)

    def _end(self, event: Event, function: Function, step: Step, reason: str, outcome: Outcome | None) -> None:
        attempt = None if outcome is None else Attempt(event.id, function.name, outcome, function.memory)
        follow = Consequences() if isinstance(step, Retry) else consequences(event, function, step, outcome, self._arn, self._clock)
        if isinstance(step, Dead):
            log.warning("event %s of %s is dead: %s: %s", event.id, function.name, step.condition, reason)
        self._settling.add(Settlement(event, step, attempt, "" if isinstance(step, Done) else reason, follow.messages, follow.events))

    async def _record(self, attempts: list[Attempt]) -> None:
        await self._write(attempts, partial(self._journal.settle, [], attempts))

    async def _settle(self, settlements: list[Settlement]) -> None:
        faultpoint.reach("settle.asked")
        if not await self._write(settlements, partial(self._journal.settle, settlements)):
            return
        faultpoint.reach("settle.written")
        for settlement in settlements:
            event = settlement.event
            lane = self._lanes.get(event.function)
            if lane is not None:
                lane.running.pop(event.id, None)
        for settlement in settlements:
            if settlement.step is not DONE:
                self._follow(settlement)
        faultpoint.reach("settle.followed")

    async def _write(self, outcomes: Sequence[object], write: Callable[[], Awaitable[None]]) -> bool:
        """What has run must not run again for want of disk: hold the outcomes until they can be written. False where the daemon stops first."""
        while True:
            try:
                await write()
                return True
            except StorageError as error:
                log.error("%d outcomes wait to be written: %s", len(outcomes), error)
            except Exception:
                log.exception("%d outcomes wait to be written", len(outcomes))
            if self._stopping:
                return False  # a daemon must be able to stop on a full disk too: these events are READY, and run again at the next start
            await self._clock.sleep(STORE_AGAIN_AFTER)

    def _follow(self, settlement: Settlement) -> None:
        if isinstance(settlement.step, Retry):
            self._schedule(settlement.event.function, settlement.step.at)
        self.offer(settlement.events)

    # Wake what waits for its retry.

    def _schedule(self, function: str, at: float) -> None:
        if at < self._wakes.get(function, float("inf")):
            self._wakes[function] = at
            self._arm()

    def _arm(self) -> None:
        known = [at for function, at in self._wakes.items() if function in self._lanes]
        if not known or self._stopping:
            return
        self._alarm.ask(min(known))

    def _ring(self) -> None:
        now = self._clock.now()
        due = [function for function, at in self._wakes.items() if at <= now and function in self._lanes]
        for function in due:
            del self._wakes[function]
            self._spawn(self._wake_waiting(function))
        self._arm()

    async def _wake_waiting(self, function: str) -> None:
        faultpoint.reach("retry.due")
        lane = self._lanes.get(function)
        if lane is not None and lane.full:
            self._crowded.add(function)  # what waits stays on disk until there is room
            return
        events: list[Event] = []
        try:
            events = await self._journal.wake(function, self._clock.now(), WAKE_LIMIT)
            faultpoint.reach("retry.woken")
            if len(events) == WAKE_LIMIT:
                self._schedule(function, self._clock.now())
            else:
                self._wakes.update({name: at for name, at in (await self._journal.next_wake()).items() if name == function})
        except StorageError as error:
            log.error("cannot wake events of %s: %s", function, error)
            self._schedule(function, self._clock.now() + STORE_AGAIN_AFTER)
        self.resume(events)  # those that woke before the disk failed too: they are READY, and nobody else takes them up
        self._arm()

    # Small things.

    def new_id(self) -> str:
        return self._clock.new_id()

    def lane(self, function: str) -> Lane:
        lane = self._lanes.get(function)
        if lane is None:
            known = ", ".join(sorted(self._lanes)) or "none"
            raise UnknownFunction(f"There is no function named {function!r}; there are: {known}.")
        return lane

    def _wake(self, function: str) -> None:
        lane = self._lanes.get(function)
        if lane is not None and lane.function.reserved_concurrency == 0:
            self.take(function, len(lane.ready))  # nobody will ever ask for these: they end here
        if self._runner is not None and not self._stopping:
            self._runner.wake(function)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _tell_progress(self) -> None:
        self._progress.set()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._progress.set()


class RecursionStopped(EventflowError):
    """A synchronous invocation would have continued a recursive loop."""


def do_nothing() -> None:
    """For whoever need not be told."""


def resolve(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
