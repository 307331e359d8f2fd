"""Time limits: of many short things at once, with one timer for all that share a limit, where asyncio would set and cancel one for each; and of one
thing on the Clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import TypeVar

from eventflow.clock import Clock

T = TypeVar("T")


class Deadlines:
    """``with deadlines.begin(): await ...`` raises TimeoutError if that takes longer than ``seconds``. It costs a place in a dict."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        #: What runs, the eldest first.
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        deadline = Deadline(self, task, loop.time() + self.seconds)
        self._running[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._look, loop)
        return deadline

    def end(self, deadline: Deadline) -> None:
        self._running.pop(deadline, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Interrupt those that are late, and look again when the next may be. While nothing runs there is no timer."""
        self._timer = None
        now = loop.time()
        for deadline in list(self._running):
            if deadline.at > now:
                self._timer = loop.call_at(deadline.at, self._look, loop)
                return
            self.end(deadline)
            deadline.passed = True
            deadline.task.cancel()


class Deadline:
    """The limit of one thing, in the task that began it."""

    __slots__ = ("_deadlines", "at", "passed", "task")

    def __init__(self, deadlines: Deadlines, task: asyncio.Task[object], at: float) -> None:
        self._deadlines = deadlines
        self.task = task
        self.at = at
        self.passed = False

    def __enter__(self) -> None:
        """``begin`` did it."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._deadlines.end(self)
        if self.passed and self.task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Raises TimeoutError, and cancels the work then; also when the caller itself is cancelled."""
    task = asyncio.ensure_future(work)

    def give_up() -> None:
        task.cancel()

    timer = clock.call_later(seconds, give_up)
    try:
        await asyncio.wait({task})
    finally:
        timer.cancel()
        task.cancel()
    if task.cancelled():
        raise TimeoutError
    return task.result()
