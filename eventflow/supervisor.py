"""Runs triggers: starts each, waits until it watches, starts it again after a failure, stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eventflow.clock import Clock
from eventflow.trigger import Target, Trigger

log = logging.getLogger("eventflow.trigger")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
READY_SECONDS = 15.0


class Supervised(Target, Protocol):
    """A target as it is supervised: ``owner`` tells it from all others, ``is_ready`` and ``reports`` are what the trigger said."""

    owner: str
    is_ready: asyncio.Event
    reports: list[str]


@dataclass(eq=False)
class Running:
    trigger: Trigger
    target: Supervised
    task: asyncio.Task[None]
    failure: str | None = None
    pausing: bool = False

    @property
    def lasting_failure(self) -> str | None:
        """The last failure, until it watches again."""
        return self.failure if self.pausing or not self.target.is_ready.is_set() else None


class Supervisor:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, Running] = {}
        self._stopped = False

    async def run(self, wanted: Sequence[tuple[Trigger, Supervised]]) -> None:
        """Make these the triggers that run: those that already do go on undisturbed, others stop, new ones start. Returns when they watch."""
        kept = {target.owner for trigger, target in wanted if self._goes_on(trigger, target)}
        await self._stop([self._running.pop(owner) for owner in set(self._running) - kept])
        if self._stopped:
            return
        started = [self._start(trigger, target) for trigger, target in wanted if target.owner not in kept]
        await asyncio.gather(*(self._until_ready(one) for one in started))

    def _goes_on(self, trigger: Trigger, target: Supervised) -> bool:
        """Whether this trigger runs already; its function's settings may have changed meanwhile."""
        running = self._running.get(target.owner)
        if running is None or running.trigger != trigger:
            return False
        running.target.timeout, running.target.concurrency = target.timeout, target.concurrency
        return True

    async def stop(self) -> None:
        """Stop all, for good: whoever is still loading the application starts none of them any more."""
        self._stopped = True
        running, self._running = list(self._running.values()), {}
        await self._stop(running)

    def status(self) -> list[dict[str, object]]:
        """What ``eventflow status`` shows of each trigger."""
        return [
            {
                "function": one.target.function,
                "trigger": str(one.trigger),
                "kind": one.trigger.kind,
                "ready": one.target.is_ready.is_set(),
                "failure": one.lasting_failure,
                "reports": list(one.target.reports),
            }
            for one in self._running.values()
        ]

    def _start(self, trigger: Trigger, target: Supervised) -> Running:
        running = Running(trigger, target, task=None)  # type: ignore[arg-type]  # set on the next line, which needs the object
        running.task = asyncio.get_running_loop().create_task(self._keep_running(running), name=f"trigger {target.owner}")
        self._running[target.owner] = running
        return running

    async def _keep_running(self, running: Running) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await running.trigger.run(running.target)
                running.failure = "it ended by itself"
            except Exception as error:
                if running.task.cancelling():
                    raise  # it failed while it stopped, and a task group then raises that instead of the cancellation
                running.failure = f"{type(error).__name__}: {error}"
                log.exception("%s of %s failed; it starts again in %.0f s", running.trigger, running.target.function, pause)
            running.pausing = True
            await self._clock.sleep(pause)
            running.pausing = False
            running.target.is_ready.clear()
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _until_ready(self, running: Running) -> None:
        if not await self._clock.wait(running.target.is_ready, READY_SECONDS):
            log.warning(
                "%s of %s is not ready after %.0f s: %s",
                running.trigger,
                running.target.function,
                READY_SECONDS,
                running.failure or "it has not said why",
            )

    async def _stop(self, running: Sequence[Running]) -> None:
        for one in running:
            one.task.cancel()
        results = await asyncio.gather(*(one.task for one in running), return_exceptions=True)
        for one, result in zip(running, results, strict=True):
            if isinstance(result, Exception):
                log.error("%s of %s failed while it stopped: %s", one.trigger, one.target.function, result)
