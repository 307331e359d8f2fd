"""One run of one function that is about to happen, and the seam between who has work and who runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eventflow.dispatch.journal import Event
from eventflow.function import Function
from eventflow.outcome import Outcome


@dataclass(slots=True, eq=False)
class Invocation:
    """What an environment needs to run a function once. ``event`` is set for an asynchronous one, ``answer`` (called with the outcome) for a
    synchronous one. ``trace`` is the trace header that the function sees.
    """

    request_id: str
    function: Function
    payload: bytes
    trace: str
    event: Event | None = None
    answer: Callable[[Outcome], None] | None = None
    client_context: str = ""


class Work(Protocol):
    """Who has invocations to run. ``take`` gives up to ``limit`` now; ``ended`` takes the outcome of one; ``returned`` takes back those
    that never started, uncharged. ``backlog`` is how many ``take`` could give at least."""

    def take(self, function: str, limit: int) -> list[Invocation]: ...
    def backlog(self, function: str) -> int: ...
    def ended(self, invocation: Invocation, outcome: Outcome) -> None: ...
    def returned(self, invocations: list[Invocation]) -> None: ...


class Runner(Protocol):
    """Who runs them. ``wake`` says that a function has work to take; ``submit`` runs one at once, ahead of the backlog, or raises ``Throttled``."""

    def wake(self, function: str) -> None: ...
    def submit(self, invocation: Invocation) -> None: ...
