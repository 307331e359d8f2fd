"""One mapping at work: its trigger runs while it is enabled, and its states follow one another."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from eventflow.clock import Clock, Timer
from eventflow.database import Database
from eventflow.errors import EventflowError, StorageError
from eventflow.function import Function
from eventflow.services.mappings import records
from eventflow.services.mappings.names import FunctionName
from eventflow.services.mappings.records import AT_REST, Record, State
from eventflow.services.mappings.settings import trigger_of
from eventflow.services.mappings.target import Hooks, MappingTarget
from eventflow.trigger import Trigger

log = logging.getLogger("eventflow.mappings")

#: Seconds before a mapping that could not go on, mostly for want of disk, is tried again; they double.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds after which a function that was not there is looked for again.
LOOK_AGAIN = 30.0


class Runner(Protocol):
    """What keeps the one trigger of a mapping running (``eventflow.supervisor``): ``run`` makes these the ones that run, ``stop`` ends them for good.
    ``status`` says ``ready`` and ``failure`` of each."""

    async def run(self, wanted: Sequence[tuple[Trigger, MappingTarget]]) -> None: ...
    async def stop(self) -> None: ...
    def status(self) -> list[dict[str, Any]]: ...


class Makings(Protocol):
    """What a poller is made with. ``function`` gives the function that a mapping names, None where there is none; ``target`` one function as the
    mapping's trigger sees it."""

    def function(self, name: FunctionName) -> Function | None: ...
    def target(self, function: Function, trigger: Trigger, record: Record, hooks: Hooks) -> MappingTarget: ...


class Poller:
    """``record`` is what is on disk. ``poke`` has it looked at again: after it changed, or after the functions did. ``gone`` is called once a deleted
    mapping is deleted."""

    def __init__(
        self,
        record: Record,
        runner: Runner,
        makings: Makings,
        database: Database,
        clock: Clock,
        region: str,
        account: str,
        gone: Callable[[str], None],
    ) -> None:
        self.record = record
        self._runner = runner
        self._makings = makings
        self._database = database
        self._clock = clock
        self._region, self._account = region, account
        self._gone = gone
        self._problem = ""
        self._target: MappingTarget | None = None
        self._task: asyncio.Task[None] | None = None
        self._poked = self._closed = False
        self._looking: Timer | None = None

    @property
    def problem(self) -> str:
        """Why nothing is polled although it should be; '' where all is well."""
        if self._problem or not self.record.runs:
            return self._problem
        return next((str(one["failure"]) for one in self._runner.status() if one["failure"]), "")

    def status(self) -> list[dict[str, Any]]:
        return self._runner.status()

    def poke(self) -> None:
        if self._closed:
            return
        self._poked = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"mapping {self.record.uuid}")

    async def settled(self) -> None:
        """Return once it is at rest, or as good as."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def sweep(self) -> int:
        return await self._runner.sweep() if isinstance(self._runner, Swept) else 0

    async def close(self) -> None:
        """Poll no more; what was on its way goes on from its state on disk at the next start."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._look_no_more()
        await self._runner.stop()

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    # The task.

    async def _work(self) -> None:
        pause = FIRST_PAUSE
        while self._poked:
            self._poked = False
            self._look_no_more()
            try:
                await (self._run() if self.record.runs else self._rest())
                await self._settle()
            except Exception as error:
                if isinstance(error, StorageError):
                    log.error("the event source mapping %s goes on in %.0f s: %s", self.record.uuid, pause, error)
                else:
                    log.exception("the event source mapping %s failed; it is tried again in %.0f s", self.record.uuid, pause)
                self._problem = str(error)
                self._poked = True
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self) -> None:
        """Have the trigger run as the record says; one that does already goes on undisturbed."""
        record = self.record
        function = self._makings.function(record.function)
        if function is None:
            await self._rest()
            self._problem = f"Function not found: {record.function.arn(self._region, self._account)}"
            self._looking = self._clock.call_later(LOOK_AGAIN, self.poke)  # an alias comes without a word
            return
        trigger = trigger_of(record.function, record.source, record.settings)
        if self._target is not None and (self._target.trigger, self._target.named) != (trigger, record.function):
            await self._rest()
        target = self._makings.target(function, trigger, record, Hooks(partial(self._makings.function, record.function), self._note, self.poke))
        self._target = self._target or target  # the runner keeps the former, and gives it what is new of its function
        self._problem = ""
        await self._runner.run([(trigger, target)])

    async def _rest(self) -> None:
        """Poll no more, and wait until the batches that run have ended and what follows from them is done."""
        await self._runner.run([])
        if self._target is not None:
            await self._target.finished()
        self._target, self._problem = None, ""

    async def _settle(self) -> None:
        """Write down the state that the present one leads to."""
        record = self.record
        if record.state is State.DELETING:
            await self._database.write(partial(apply, records.delete, record))
            self._gone(record.uuid)
        elif record.state not in AT_REST:
            after = record.after(State.ENABLED if record.runs else State.DISABLED, self._clock.now())
            await self._database.write(partial(apply, records.settle, after))
            self.record = self.record.after(after.state, after.modified_at)

    def _note(self, result: str) -> None:
        """Remember how the last batch ended. Nobody waits for that to be on disk."""
        if self.record.source.kind == "stream" and self.record.result != result:
            self.record = dataclasses.replace(self.record, result=result)
            written = self._database.write_along(lambda connection: connection.execute(records.NOTE, (result, self.record.uuid)))
            written.add_done_callback(self._noted)

    def _noted(self, written: asyncio.Future[Any]) -> None:
        if not written.cancelled() and (error := written.exception()) is not None:
            log.warning("the last result of the event source mapping %s is not written down: %s", self.record.uuid, error)


def apply(step: Callable[[Any, Record], None], record: Record, connection: Any) -> None:
    step(connection, record)


class Swept:
    """A Runner for tests that move the clock: the trigger does not run, it is swept."""

    def __init__(self) -> None:
        self._wanted: Sequence[tuple[Trigger, MappingTarget]] = ()
        self._failure: str | None = None

    async def run(self, wanted: Sequence[tuple[Trigger, MappingTarget]]) -> None:
        self._wanted = wanted
        await self.sweep()

    async def sweep(self) -> int:
        swept = 0
        for trigger, target in self._wanted:
            try:
                swept += await trigger.sweep(target)
                self._failure = None
            except EventflowError as error:
                self._failure = f"{type(error).__name__}: {error}"
            finally:
                target.swept()
        return swept

    async def stop(self) -> None:
        self._wanted = ()

    def status(self) -> list[dict[str, Any]]:
        return [
            {
                "function": target.function,
                "trigger": str(trigger),
                "kind": trigger.kind,
                "ready": True,
                "failure": self._failure,
                "reports": target.reports,
            }
            for trigger, target in self._wanted
        ]
