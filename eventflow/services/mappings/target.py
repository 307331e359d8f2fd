"""What a mapping's trigger is handed: a target that remembers by the mapping, and knows which batches are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventflow.dispatch.dispatcher import UnknownFunction
from eventflow.function import Function
from eventflow.outcome import Outcome, Status
from eventflow.services.mappings.names import FunctionName
from eventflow.target import FunctionTarget
from eventflow.trigger import Cursor, Trigger

#: What Lambda says in LastProcessingResult.
NOTHING_YET = "No records processed"
OK = "OK"
FAILED = "PROBLEM: Function call failed"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a target asks and tells: ``find`` gives the function as it is now, ``note`` gets each batch's result, ``lost`` is called when there is no
    function."""

    find: Callable[[], Function | None]
    note: Callable[[str], None]
    lost: Callable[[], None]


class MappingTarget(FunctionTarget):
    """Call ``adopt`` before anything else."""

    def adopt(self, named: FunctionName, trigger: Trigger, mapping: str, owner: str, cursor: Cursor, hooks: Hooks) -> None:
        """``mapping`` is the mapping's UUID, ``owner`` and ``cursor`` are its own."""
        self.named, self.trigger = named, trigger
        self.mapping, self.owner, self.cursor = mapping, owner, cursor
        self.function = str(named)
        self._hooks = hooks
        self._attempts: set[asyncio.Task[Any]] = set()

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        # The trigger has a task for each batch, which goes on when the trigger is stopped: it deletes what succeeded, or writes down its place.
        attempt = asyncio.current_task()
        if attempt is not None:
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        function = self._hooks.find()  # anew for each batch: an alias may lead to another version
        if function is None:
            self._hooks.lost()
            raise UnknownFunction(f"There is no function {self.named}, or it does not run.")
        self.version = function.version
        outcome = await self._invoke(function.key, payload, trace)
        if outcome.status is not Status.SYSTEM_ERROR:
            self._hooks.note(OK if outcome.ok else FAILED)
        return outcome

    async def finished(self) -> None:
        """Return when no batch is under way."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    def swept(self) -> None:
        """The batches of a sweep are done, whatever else its task does."""
        self._attempts.clear()
