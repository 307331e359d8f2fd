"""A Runner that calls handlers in the test's own process: a debugger stops in them, coverage sees them, and nothing isolates or limits them."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eventflow.clock import Clock
from eventflow.context import Context
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.invocation import Invocation, Work
from eventflow.errors import Throttled
from eventflow.outcome import Outcome, Status
from eventflow.runtime import streamed
from eventflow.runtime.bootstrap import FunctionFailed, describe, exited, marshal
from eventflow.runtime.report import billed_ms

Handler = Callable[[Any, Any], Any]
MOST_THREADS = 16


class InlineRunner:
    """Runs a function's events one after the other in a worker thread, and synchronous invocations beside them. ``exceptions`` keeps what
    handlers raised, newest last."""

    def __init__(self, work: Work, clock: Clock, concurrency: Concurrency, arn: Callable[[str], str], handlers: Callable[[str], Handler]) -> None:
        self._work = work
        self._clock = clock
        self._concurrency = concurrency
        self._arn = arn
        self._handlers = handlers
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="eventflow-handler")
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._single: set[asyncio.Task[None]] = set()
        self.exceptions: list[Exception] = []

    def wake(self, function: str) -> None:
        if function not in self._draining:
            self._draining[function] = asyncio.get_running_loop().create_task(self._drain(function))

    def submit(self, invocation: Invocation) -> None:
        reason = self._concurrency.acquire(invocation.function.name)
        if reason is not None:
            raise Throttled(f"Rate Exceeded: {invocation.function.name} is at its limit.", reason)
        task = asyncio.get_running_loop().create_task(self._run_single(invocation))
        self._single.add(task)
        task.add_done_callback(self._single.discard)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _drain(self, function: str) -> None:
        try:
            while self._work.backlog(function):
                for invocation in self._work.take(function, 1):
                    await self._run(invocation)
        finally:
            del self._draining[function]

    async def _run_single(self, invocation: Invocation) -> None:
        try:
            await self._run(invocation)
        finally:
            self._concurrency.release(invocation.function.name)

    async def _run(self, invocation: Invocation) -> None:
        started_at = self._clock.now()
        outcome = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, invocation, started_at)
        self._work.ended(invocation, outcome)

    def _call(self, invocation: Invocation, started_at: float) -> Outcome:
        context = self._context(invocation, started_at)
        begin = self._clock.monotonic()
        try:
            value = self._handlers(invocation.function.name)(json.loads(invocation.payload), context)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            if isinstance(value, streamed.GENERATORS):
                with asyncio.Runner() as runner:
                    value = streamed.drawn(value, runner.get_loop, None)
            payload = marshal(value)
        except FunctionFailed as failure:
            return failed(failure.error, invocation, started_at)
        except Exception as error:
            self.exceptions.append(error)
            return failed(describe(error), invocation, started_at)
        except SystemExit as error:
            return failed(exited(error, invocation.request_id)[0], invocation, started_at)
        duration = (self._clock.monotonic() - begin) * 1000
        return Outcome(Status.SUCCESS, payload, duration_ms=duration, billed_ms=billed_ms(duration, None), started_at=started_at)

    def _context(self, invocation: Invocation, started_at: float) -> Context:
        function = invocation.function
        return Context(
            function.name,
            aws_request_id=invocation.request_id,
            invoked_function_arn=self._arn(function.name),
            memory_limit_in_mb=function.memory,
            deadline=started_at + function.timeout,
            now=self._clock.now,
            client_context=json.loads(invocation.client_context) if invocation.client_context else None,
        )


def failed(error: dict[str, Any], invocation: Invocation, started_at: float) -> Outcome:
    body = json.dumps({**error, "requestId": invocation.request_id}).encode()
    return Outcome(Status.FUNCTION_ERROR, body, error["errorType"], error["errorMessage"], billed_ms=billed_ms(0.0, None), started_at=started_at)
