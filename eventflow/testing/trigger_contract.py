"""The contract of triggers: tests that ours pass and that every other trigger's author inherits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import Any, ClassVar

from eventflow.clock import Clock, SystemClock
from eventflow.errors import SettingError, StorageError
from eventflow.testing.recording_target import RecordingTarget
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.trigger import Trigger

GROUP = "eventflow.triggers"
#: How long a loop under test is left alone between two looks, in real seconds.
GLANCE = 0.002
#: Seconds between an exception that leaves ``run`` and the next ``run``, as in the daemon.
PAUSE = 1.0


class TriggerContract:
    """Subclass it in a test module under a name that begins with ``Test``, say what is asked for below, and pytest runs the contract.

    ``make`` gives a fresh trigger, equal each time within one test. ``cause`` makes its source produce ``n`` events, distinct from all before; it is
    called both while the trigger runs and while it does not. ``prepare`` and ``dispose`` set up and take down what the source needs, in the event
    loop of each test, with ``self.clock`` and ``self.target`` at hand. For files use a fixture: ``@pytest.fixture(autouse=True)``.

    A trigger that waits on its Clock alone is tested on a virtual one. Where threads or other processes tell it that something happened
    (a file system's watcher), say ``virtual = False``: the machine's clock runs, and ``patience`` is how many real seconds a delivery may take.
    """

    #: Keyword arguments of the trigger's class, each of which it must refuse.
    bad_settings: ClassVar[Sequence[Mapping[str, Any]]] = ()
    virtual: ClassVar[bool] = True
    patience: ClassVar[float] = 10.0
    #: Seconds of virtual time that pass between two looks at what was delivered.
    pace: ClassVar[float] = 0.25
    #: So many looks without a further delivery mean that there will be none.
    quiet_looks: ClassVar[int] = 20
    #: Real seconds within which ``run`` must end when it is cancelled.
    stop_within: ClassVar[float] = 2.0

    clock: Clock
    target: RecordingTarget
    _run: asyncio.Task[None] | None = None

    def make(self) -> Trigger:
        raise NotImplementedError(f"{type(self).__name__} must say how its trigger is made: def make(self) -> Trigger")

    async def cause(self, n: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} must say how its source makes n events: async def cause(self, n)")

    async def prepare(self) -> None:
        """Set up what the source needs, for example a queue, and tell ``self.target`` of it."""

    async def dispose(self) -> None:
        """Take down what ``prepare`` set up."""

    async def acknowledged(self) -> int | None:
        """How many events the source holds for acknowledged; None where a source has no such notion."""
        return None

    def events(self, payload: Any) -> Sequence[Any]:
        """The source's events in one payload, each as something that tells it from the others. Override it for payloads that are batches."""
        return [json.dumps(payload, sort_keys=True)]

    # The value

    def test_it_is_published_under_its_kind(self) -> None:
        kind = type(self.make()).kind
        found = [entry.load() for entry in entry_points(group=GROUP, name=kind)]
        assert type(self.make()) in found, (
            f"no installed distribution publishes {type(self.make()).__name__} as {kind!r} in the entry-point group {GROUP}"
        )

    def test_it_is_made_again_from_its_parameters(self) -> None:
        trigger = self.make()
        again = type(trigger)(**json.loads(json.dumps(trigger.parameters(), allow_nan=False)))
        assert again == trigger, f"{again} came back from the JSON of {trigger}"
        assert again.parameters() == trigger.parameters()

    def test_its_text_tells_what_it_is(self) -> None:
        trigger = self.make()
        text = str(trigger)
        shown = [value for value in trigger.parameters().values() if value not in (None, "", [], {}) and str(value) in text]
        assert type(trigger).__name__ in text, f"{text!r} does not name the trigger"
        assert shown or not trigger.parameters(), f"{text!r} shows none of the settings {trigger.parameters()}"

    def test_its_bad_settings_are_refused_in_a_sentence(self) -> None:
        assert self.bad_settings or not self.make().parameters(), "give bad_settings: a trigger with settings has some that it must refuse"
        for settings in self.bad_settings:
            message = self._refusal(settings)
            assert message.partition("\n")[0].endswith("."), f"{settings} was refused without a sentence: {message!r}"
            named = [name for name, value in settings.items() if name in message or (value and str(value) in message)]
            assert named, f"{settings} was refused without naming the setting: {message!r}"

    def _refusal(self, settings: Mapping[str, Any]) -> str:
        try:
            made = type(self.make())(**settings)
        except SettingError as error:
            return str(error)
        raise AssertionError(f"{settings} was accepted: {made}")

    # Delivery

    def test_it_becomes_ready(self) -> None:
        async def scenario() -> None:
            async with self.running():
                assert self.target.is_ready
                assert self.delivered() == [], "something was delivered that nobody caused"

        self.drive(scenario)

    def test_it_delivers_each_event_once(self) -> None:
        async def scenario() -> None:
            async with self.running():
                await self.cause(3)
                await self.expect(3)
                await self.cause(2)
                await self.expect(5)

        self.drive(scenario)

    def test_a_restart_delivers_nothing_twice(self) -> None:
        async def scenario() -> None:
            async with self.running():
                await self.cause(3)
                await self.expect(3)
            async with self.running():
                await self.expect(3)
                await self.cause(2)
                await self.expect(5)

        self.drive(scenario)

    def test_what_happened_while_it_was_stopped_is_delivered_after_the_restart(self) -> None:
        async def scenario() -> None:
            async with self.running():
                pass
            await self.cause(3)
            async with self.running():
                await self.expect(3)

        self.drive(scenario)

    def test_what_could_not_be_stored_is_delivered_when_it_can_be(self) -> None:
        async def scenario() -> None:
            async with self.running():
                self.target.refuse(StorageError("The disk is full. Nothing of this was kept."))
                await self.cause(3)
                await self.quiet()
                assert self.delivered() == []
                assert await self.acknowledged() in (None, 0), "the source was told that events are safe which are not"
                self.target.accept()
                await self.expect(3)

        self.drive(scenario)

    def test_a_kill_at_its_first_write_loses_and_repeats_nothing(self) -> None:
        self.drive(lambda: self._killed_at_write(1))

    def test_a_kill_at_its_second_write_loses_and_repeats_nothing(self) -> None:
        self.drive(lambda: self._killed_at_write(2))

    async def _killed_at_write(self, number: int) -> None:
        async with self.running():
            self.target.crash_after(number)
            await self.cause(3)
            await self.until(lambda: self.target.crashed or len(self.delivered()) >= 3, "3 events were caused")
        async with self.running():
            await self.until(lambda: len(set(self.delivered())) >= 3, "3 events were caused, some were lost")
            await self.quiet()
        assert len(set(self.delivered())) == 3
        # Who invokes has no id to be known by: its source hands out again what was not deleted in time, at least once is its promise.
        emitted = [event for delivery in self.target.deliveries if delivery.emitted for event in self.events(delivery.payload)]
        assert len(emitted) == len(set(emitted)), f"stored twice: {emitted}; give emit an id that the source decides, or the cursor"

    def test_a_sweep_delivers_what_is_due_at_once(self) -> None:
        async def scenario() -> None:
            async with self.running():
                pass
            await self.cause(3)
            swept = await self.make().sweep(self.target)
            if type(self.make()).sweep is Trigger.sweep:
                assert swept == 0
                return
            assert len(self.delivered()) == 3, f"a sweep delivered {self.delivered()}"
            assert swept == 3, f"a sweep that delivered 3 events said {swept}"
            assert await self.make().sweep(self.target) == 0
            async with self.running():
                await self.expect(3)

        self.drive(scenario)

    # Stopping

    def test_it_stops_when_it_is_told_to_and_leaves_nothing_behind(self) -> None:
        async def scenario() -> None:
            threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
            running = asyncio.create_task(self.make().run(self.target))
            await self.until(lambda: self.target.is_ready, "run never called target.ready()")
            await self.cause(1)
            await self.expect(1)
            await self._stop(running)
            left = await self._left(threads, tasks)
            assert not left, f"run ended and left behind: {left}"

        self.drive(scenario)

    async def _left(self, threads: set[threading.Thread], tasks: set[asyncio.Task[Any]]) -> list[Any]:
        """What is still there when it had a moment to end; the loop's own pool of threads is the loop's."""
        left: list[Any] = []
        for _look in range(100):
            left = [task for task in asyncio.all_tasks() - tasks if not task.done()]
            left += [thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith(("asyncio_", "eventflow-"))]
            if not left:
                break
            await asyncio.sleep(GLANCE)
        return left

    # How the tests go about it; for use in further tests of a subclass too.

    def drive(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run one test in an event loop of its own, between ``prepare`` and ``dispose``."""

        async def whole() -> None:
            self.clock = VirtualClock() if self.virtual else SystemClock()
            self.target = RecordingTarget(self.clock)
            try:
                await self.prepare()
                await scenario()
            finally:
                await self.dispose()

        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(whole())
        finally:
            # Unlike asyncio.run this ends even if a task refuses to, so that the test fails instead of hanging.
            loop.run_until_complete(self._end_tasks())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _end_tasks(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=self.stop_within)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A trigger as the daemon runs it, started again after a pause when it could not store something. The end of the block stops it, which
        is a kill if the target crashed."""
        self.target.restart()
        self._run = asyncio.create_task(self._keep_running(self.make()))
        try:
            await self.until(lambda: self.target.is_ready, "run never called target.ready()")
            yield
        finally:
            await self._stop(self._run)

    async def _keep_running(self, trigger: Trigger) -> None:
        while True:
            try:
                await trigger.run(self.target)
            except StorageError as error:
                self.target.report(f"{trigger} stopped and is started again: {error}")
            else:
                raise AssertionError(f"{trigger}.run returned; it must go on until it is cancelled")
            await self.clock.sleep(PAUSE)

    async def _stop(self, running: asyncio.Task[None]) -> None:
        self._run = None
        running.cancel()
        _done, pending = await asyncio.wait({running}, timeout=self.stop_within)
        assert not pending, f"run did not end within {self.stop_within} seconds of being cancelled"
        if not running.cancelled():
            running.result()

    def delivered(self) -> list[Any]:
        """All events so far, batches taken apart."""
        return [event for payload in self.target.payloads for event in self.events(payload)]

    async def expect(self, count: int) -> None:
        """Wait for so many events, all distinct, and for no more to come."""
        await self.until(lambda: len(self.delivered()) >= count, f"{count} events were caused")
        await self.quiet()
        delivered = self.delivered()
        assert len(set(delivered)) == len(delivered), f"delivered twice: {delivered}"
        assert len(delivered) == count, f"{count} events were caused and {len(delivered)} delivered: {delivered}"

    async def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        end = asyncio.get_running_loop().time() + self.patience
        while not condition():
            assert asyncio.get_running_loop().time() < end, f"{otherwise}; after {self.patience} seconds there were {self.delivered()}"
            await self.look()

    async def quiet(self) -> None:
        """Until nothing has been delivered for a while."""
        seen, looks = len(self.target.deliveries), 0
        while looks < self.quiet_looks:
            await self.look()
            looks = looks + 1 if len(self.target.deliveries) == seen else 0
            seen = len(self.target.deliveries)

    async def look(self) -> None:
        """Let a little time pass, virtual and real. What ended the trigger ends the test."""
        if self._run is not None and self._run.done():
            self._run.result()
        if isinstance(self.clock, VirtualClock):
            await self.clock.advance(self.pace)
        await asyncio.sleep(GLANCE)

    async def pass_time(self, duration: float | str) -> None:
        """For a source that makes events as time passes; takes what ``VirtualClock.advance`` takes."""
        assert isinstance(self.clock, VirtualClock), "time can be passed on a virtual clock alone: leave virtual = True"
        await self.clock.advance(duration)
