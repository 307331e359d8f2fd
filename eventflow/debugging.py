"""Invocations with a debugger: each in an environment of its own, which waits for the debugger, has no time limit and is ended after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.errors import EventflowError
from eventflow.function import Function
from eventflow.outcome import Outcome
from eventflow.runtime import runtimes
from eventflow.runtime.pool import Pool

#: No time limit: a day, in seconds.
NO_LIMIT = 86_400
#: The debugger is a part of the process that it debugs, in MB.
ROOM = 1_024
PORTS = range(1_024, 65_536)


class DebuggingRefused(EventflowError):
    """This function cannot be debugged, or not so."""


class Debugging:
    """Lets single invocations of a pool's functions wait for a debugger. ``arn`` names functions."""

    def __init__(self, dispatcher: Dispatcher, pool: Pool, arn: Callable[[str], str]) -> None:
        self._dispatcher = dispatcher
        self._pool = pool
        self._arn = arn

    async def invoke(self, name: str, payload: bytes, port: int, request_id: str) -> Outcome:
        """The outcome of one invocation, in whose process debugpy listens on this port of loopback. Raises DebuggingRefused where that cannot be,
        UnknownFunction and Throttled. Cancelled, it ends the process."""
        function = self._dispatcher.lane(name).function
        self._check(function, port)
        debugged = replace(
            function,
            debug_port=port,
            timeout=NO_LIMIT,
            memory=max(function.memory, ROOM),
            snap_start=False,
            reserved_concurrency=None,
            provisioned_concurrency=0,
        )
        if self._dispatcher.knows(debugged.key):
            raise DebuggingRefused(f"An invocation of {name} waits for a debugger on port {port} already; choose another with --debug-port.")
        await self._dispatcher.put(debugged)
        try:
            self._pool.put(debugged, self._pool.nursery_of(function.key))
            return await self._dispatcher.invoke(debugged.key, payload, request_id=request_id, arn=self._arn(function.name))
        except asyncio.CancelledError:
            self._pool.kill(debugged.key)
            raise
        finally:
            self._dispatcher.remove(debugged.key)
            self._pool.remove(debugged.key)

    def _check(self, function: Function, port: int) -> None:
        if port not in PORTS:
            raise DebuggingRefused(f"The port {port} is refused: a debugger takes one from {PORTS.start} to {PORTS.stop - 1}.")
        runtime = runtimes.OURSELVES if function.package is None else function.package.runtime
        if runtime != runtimes.OURSELVES:
            raise DebuggingRefused(
                f"Function {function.name} runs on {runtime}: eventflow debugs functions that run on the daemon's own {runtimes.OURSELVES}. "
                "Start another runtime's debugger from its code."
            )
        if find_spec("debugpy") is None:
            raise DebuggingRefused("Debugging takes debugpy in the daemon's environment: pip install 'eventflow[debug]', and start the daemon again.")
