"""How one attempt at an event ends, and what follows from that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: Lambda waits one minute before the first retry of a function error and two before the second (AWS: "Error handling for asynchronous invocation").
FUNCTION_ERROR_DELAYS = (60.0, 120.0)
SYSTEM_ERROR_FIRST_DELAY = 1.0
SYSTEM_ERROR_LONGEST_DELAY = 300.0


class Status(StrEnum):
    """What ended an attempt."""

    SUCCESS = "success"
    FUNCTION_ERROR = "function_error"  # the function's own doing: exception, timeout, exit, memory
    SYSTEM_ERROR = "system_error"  # ours: an environment could not be made or was lost
    RECURSION = "recursion"  # stopped before it ran: the function was caused by itself too many times


@dataclass(slots=True)
class Outcome:
    """The end of one attempt; nobody changes it. (Not ``frozen``, which would make it six times as slow to create, once an event.)

    ``payload`` is the response as JSON bytes (a custom runtime may answer other bytes): the handler's value, or Lambda's error object
    (``errorMessage``, ``errorType``, ...).
    ``duration_ms`` is the handler's time, ``init_ms`` that of the import if this attempt paid for it, ``billed_ms`` both, rounded up to whole
    milliseconds; ``max_memory_mb`` the peak of the environment so far; ``log_tail`` the last 4 KB of its log.
    """

    status: Status
    payload: bytes = b"null"
    error_type: str | None = None
    error_message: str | None = None
    duration_ms: float = 0.0
    init_ms: float | None = None
    billed_ms: int = 0
    max_memory_mb: int = 0
    started_at: float = 0.0
    log_tail: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status is Status.SUCCESS

    def value(self) -> Any:
        """The response as a Python value; as text where a runtime has answered something else than JSON, as it may."""
        try:
            return json.loads(self.payload)
        except ValueError:
            return self.payload.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What a function's settings say of retries: how often after a function error (0 to 2), and the event's greatest age in seconds."""

    retries: int = 2
    maximum_age: float = 21_600.0
    delays: tuple[float, ...] = FUNCTION_ERROR_DELAYS


@dataclass(frozen=True, slots=True)
class Attempts:
    """What an event has been through, the attempt that just ended included; ``accepted_at`` in Unix seconds."""

    function_errors: int
    system_errors: int
    accepted_at: float


@dataclass(frozen=True, slots=True)
class Done:
    """The event succeeded."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The event runs again at ``at`` (Unix seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class Dead:
    """The event will not run again; ``condition`` is AWS's word for the destination's record."""

    condition: str


Step = Done | Retry | Dead


def next_step(outcome: Outcome, attempts: Attempts, policy: RetryPolicy, now: float) -> Step:
    """What follows from an attempt's end. Function errors and system errors have separate budgets, as on Lambda; an event that would be
    too old by the time of its next attempt ends now."""
    if outcome.status is Status.SUCCESS:
        return Done()
    if outcome.status is Status.RECURSION:
        return Dead("RecursiveLoop")
    if outcome.status is Status.SYSTEM_ERROR:
        delay = min(SYSTEM_ERROR_FIRST_DELAY * 2 ** min(attempts.system_errors - 1, 20), SYSTEM_ERROR_LONGEST_DELAY)
    elif attempts.function_errors > policy.retries:
        return Dead("RetriesExhausted")
    else:
        delay = policy.delays[min(attempts.function_errors, len(policy.delays)) - 1]
    if now + delay - attempts.accepted_at > policy.maximum_age:
        return Dead("EventAgeExceeded")
    return Retry(now + delay)
