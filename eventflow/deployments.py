"""Functions that are no part of the application: they come, change and go by API, and run from a zygote of their own."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from eventflow.clock import Clock
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.errors import EventflowError, LoadError
from eventflow.function import Function
from eventflow.runtime.nursery import Nursery
from eventflow.runtime.pool import Pool

log = logging.getLogger("eventflow.daemon")

#: A zygote that died is started again after so many seconds, the first time at once.
ZYGOTE_PAUSES = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)


class Deployments:
    """What runs besides the application. ``nursery`` makes a zygote that is not started yet, ``retire`` ends one when nothing runs in it any more.

    Invocations that come before the zygote has started wait for it.
    """

    def __init__(
        self,
        pool: Pool,
        dispatcher: Dispatcher,
        concurrency: Concurrency,
        clock: Clock,
        nursery: Callable[[], Nursery],
        retire: Callable[[Nursery], None],
    ) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._concurrency = concurrency
        self._clock = clock
        self._make = nursery
        self._retire = retire
        self._functions: dict[str, Function] = {}
        self._nursery: Nursery | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def functions(self) -> Mapping[str, Function]:
        """By the keys that the dispatcher has them under."""
        return self._functions

    def check(self, application: Iterable[Function]) -> None:
        """Raise LoadError where an application declares a function whose name is taken."""
        taken = {function.name for function in self._functions.values()} & {function.name for function in application}
        if taken:
            names = ", ".join(sorted(taken))
            raise LoadError(f"The application declares {names}, which was created through Lambda's API. Delete that function there, or rename yours.")

    async def deploy(self, function: Function) -> None:
        """Run a function from now on, or run it otherwise than before; what runs ends as it began. Raises SettingError where all functions together
        would reserve too much concurrency: nothing is changed then."""
        functions = {**self._functions, function.key: function}
        self._concurrency.configure(functions.values(), "deployed")
        self._functions = functions
        await self._dispatcher.put(function)
        self._pool.put(function, self._nursery)
        if self._nursery is None and self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def remove(self, key: str) -> None:
        """Run a function no more. What runs ends as it began, and callers that wait are told."""
        self._functions.pop(key, None)
        self._concurrency.configure(self._functions.values(), "deployed")
        self._dispatcher.remove(key)
        self._pool.remove(key)
        if not self._functions and self._nursery is not None:
            former, self._nursery = self._nursery, None
            self._retire(former)

    def configure_aliases(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """What becomes of asynchronous events that come by a function's aliases."""
        self._dispatcher.configure_aliases(name, settings)

    def warm(self, key: str) -> tuple[int, bool]:
        """How many environments of a function have done their init, and whether the last init failed."""
        return self._pool.warm(key)

    def lost(self, nursery: Nursery) -> None:
        """The zygote died."""
        if nursery is not self._nursery:
            return
        self._nursery = None
        if self._functions:
            log.error("the zygote of the functions made by API (pid %d) died; starting another", nursery.pid)
            self._starting = asyncio.create_task(self._start())

    async def close(self) -> None:
        """Start no zygote any more; the pool ends the one that runs."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    async def _start(self) -> None:
        for attempt in itertools.count():
            await self._clock.sleep(ZYGOTE_PAUSES[min(attempt, len(ZYGOTE_PAUSES) - 1)])
            nursery = self._make()
            try:
                await nursery.start()
                break
            except EventflowError as error:
                log.error("no zygote for the functions made by API: %s", error)
            except BaseException:
                await nursery.close()
                raise
        self._starting = None
        if not self._functions:
            self._retire(nursery)
            return
        self._nursery = nursery
        for function in self._functions.values():
            self._pool.put(function, nursery)
