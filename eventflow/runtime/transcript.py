"""What is written of each invocation: its lines in the function's log, and its outcome from what its process told or from how that ended."""

from __future__ import annotations

import json
from typing import Protocol

from eventflow.clock import Clock, iso
from eventflow.dispatch.invocation import Invocation
from eventflow.outcome import Outcome, Status
from eventflow.runtime import frames, platform_events
from eventflow.runtime.crew import QUICK_MS
from eventflow.runtime.environment import TAIL, Environment, failed, initialization_type
from eventflow.runtime.report import billed_ms, end_lines, quick_lines, start_line


class LogSink(Protocol):
    """Where the lines of functions go: text of an invocation, or whole lines that have their prefix already."""

    def write(self, function: str, request_id: str, data: bytes, at: float | None = None) -> None: ...
    def prefix(self, request_id: str, at: float) -> str: ...
    def append(self, function: str, lines: bytes) -> None: ...


class Transcript:
    def __init__(self, clock: Clock, logs: LogSink) -> None:
        self._clock = clock
        self._logs = logs

    def announce(self, environment: Environment) -> None:
        """Write the START line of what runs: before its first output, and when it has been running for a while. Quick ones get all at the end."""
        if not environment.announced:
            environment.announced = True
            invocation = environment.in_flight[0]
            self._tell_init(environment)
            self._write_start(environment, invocation, self._wall(environment.since))

    def _write_start(self, environment: Environment, invocation: Invocation, at: float) -> None:
        environment.tail = start_line(invocation, at)
        if environment.tail:
            self._logs.write(environment.function.name, invocation.request_id, environment.tail, at)

    def _tell_init(self, environment: Environment) -> None:
        """Where the log is JSON: that there was an init, before all that comes of it."""
        function = environment.function
        if function.logs_json and not environment.init_told:
            environment.init_told = True
            at = self._wall(environment.launched)
            line = platform_events.init_start(function, initialization_type(environment), at)
            if line:
                self._logs.write(function.name, "", line, at)

    def take_output(self, environment: Environment, end: int | None, request_id: str) -> None:
        """Write what the process has put out, up to an offset in its log file (None: all of it), as this invocation's ("" for the init's)."""
        self._tell_init(environment)
        environment.drain(end, lambda data: self._logs.write(environment.function.name, request_id, data))

    def outcome(self, environment: Environment, answer: frames.Answer) -> Outcome:
        """What a frame tells of an invocation's end."""
        content, duration = answer.content, answer.duration
        init_ms, environment.init_ms = environment.init_ms, None
        billed, peak_mb, started_at = billed_ms(duration, init_ms), answer.peak_kib // 1024 or 1, self._wall(answer.started)
        if answer.kind == frames.RESULT:
            return Outcome(Status.SUCCESS, content, None, None, duration, init_ms, billed, peak_mb, started_at)
        return error_outcome(content, duration_ms=duration, init_ms=init_ms, billed=billed, started_at=started_at, peak_mb=peak_mb)

    def outcome_of_init(self, duration: float, content: bytes) -> Outcome:
        return error_outcome(content, duration_ms=0.0, init_ms=duration, billed=billed_ms(0.0, duration), started_at=self._clock.now())

    def outcome_of_death(self, environment: Environment, running: Invocation, outcome: Outcome) -> Outcome:
        """What becomes of the invocation that a process was running when it died for the reason that ``outcome`` gives."""
        duration = (self._clock.monotonic() - environment.since) * 1000
        named = outcome.error_message or ""
        if not named.startswith("RequestId:") and outcome.status is Status.FUNCTION_ERROR:
            named = f"RequestId: {running.request_id} Error: {named}"
        body = json.dumps({"errorType": outcome.error_type, "errorMessage": named}).encode()
        billed, started_at = billed_ms(duration, environment.init_ms), self._wall(environment.since)
        peak_mb = outcome.max_memory_mb
        return Outcome(outcome.status, body, outcome.error_type, named, duration, environment.init_ms, billed, peak_mb, started_at)

    def tell_timeout(self, environment: Environment, request_id: str) -> None:
        if environment.function.logs_json:
            return  # the report says so
        line = f"{iso(self._clock.now())} {request_id} Task timed out after {environment.function.timeout:.2f} seconds\n"
        self._logs.write(environment.function.name, request_id, line.encode())

    def end(self, environment: Environment, invocation: Invocation, outcome: Outcome) -> None:
        """Write the lines that end an invocation, and keep the tail of its log in the outcome where a caller may ask for it."""
        function, request_id = invocation.function.name, invocation.request_id
        is_plain = outcome.status is Status.SUCCESS and outcome.init_ms is None and not invocation.function.logs_json
        if is_plain and outcome.duration_ms < QUICK_MS and not environment.announced:
            prefix = self._logs.prefix(request_id, outcome.started_at)
            text = quick_lines(prefix, invocation, outcome)
            self._logs.append(function, text.encode())
            if invocation.answer is not None:
                outcome.log_tail = text.replace(prefix, "").encode()
            return
        if not environment.announced:
            self._tell_init(environment)
            self._write_start(environment, invocation, outcome.started_at)
        lines = end_lines(invocation, outcome, self._clock.now())
        if lines:
            self._logs.write(function, request_id, lines)
        if invocation.answer is not None:
            outcome.log_tail = (environment.tail + lines)[-TAIL:]

    def never_began(self, invocation: Invocation, outcome: Outcome) -> None:
        """Write the lines of an invocation for which no environment could be made."""
        now = self._clock.now()
        lines = start_line(invocation, now) + end_lines(invocation, outcome, now)
        if lines:
            self._logs.write(invocation.function.name, invocation.request_id, lines)

    def _wall(self, monotonic: float) -> float:
        """A monotonic instant as Unix time."""
        return self._clock.now() - (self._clock.monotonic() - monotonic)


def error_outcome(content: bytes, *, duration_ms: float, init_ms: float | None, billed: int, started_at: float, peak_mb: int = 0) -> Outcome:
    error = json.loads(content)
    error_type, message = str(error.get("errorType")), str(error.get("errorMessage"))
    return Outcome(Status.FUNCTION_ERROR, content, error_type, message, duration_ms, init_ms, billed, peak_mb, started_at)


def out_of_memory(environment: Environment) -> Outcome:
    message = f"Runtime exited with error: signal: killed (out of memory: the limit is {environment.function.memory} MB)"
    outcome = failed("Runtime.OutOfMemory", message)
    return Outcome(outcome.status, outcome.payload, outcome.error_type, message, max_memory_mb=environment.function.memory)
