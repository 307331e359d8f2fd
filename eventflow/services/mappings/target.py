"""What a mapping's trigger is handed: a target that remembers by the mapping, and knows which batches are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.outcome import Outcome, Status
from eventflow.services.mappings.names import FunctionName
from eventflow.target import FunctionTarget
from eventflow.trigger import Cursor, Trigger

#: What Lambda says in LastProcessingResult.
NOTHING_YET = "No records processed"
OK = "OK"
FAILED = "PROBLEM: Function call failed"


class MappingTarget(FunctionTarget):
    """Call ``adopt`` before anything else."""

    def adopt(self, named: FunctionName, trigger: Trigger, owner: str, cursor: Cursor, note: Callable[[str], None], lost: Callable[[], None]) -> None:
        """``owner`` and ``cursor`` are the mapping's own; ``note`` gets each batch's result, ``lost`` is called when the function is not there."""
        self.named = named
        self.trigger = trigger
        self.owner, self.cursor = owner, cursor
        self._note, self._lost = note, lost
        self._attempts: set[asyncio.Task[Any]] = set()

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        # The trigger has a task for each batch, which goes on when the trigger is stopped: it deletes what succeeded, or writes down its place.
        attempt = asyncio.current_task()
        if attempt is not None:
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        try:
            outcome = await super().invoke(payload, trace=trace)
        except UnknownFunction:
            self._lost()
            raise
        if outcome.status is not Status.SYSTEM_ERROR:
            self._note(OK if outcome.ok else FAILED)
        return outcome

    async def finished(self) -> None:
        """Return when no batch is under way."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    def swept(self) -> None:
        """The batches of a sweep are done, whatever else its task does."""
        self._attempts.clear()
