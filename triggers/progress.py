"""How far a trigger has come with a table's stream: the place of each lane and the open window, in memory and written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from eventflow import ServiceError, StreamSource, Target
from triggers.lane import Lane
from triggers.tumbling import Window


@dataclass(frozen=True)
class Limits:
    """What the trigger's settings say; ``retries`` and ``age`` are -1 for no end. With ``tumbling`` seconds there is one lane."""

    batch_size: int
    window: float
    lanes: int
    bisect: bool
    retries: int
    age: int
    partial_failures: bool
    on_failure: str | None
    tumbling: int = 0


class Progress:
    """``read`` is the sequence up to which ``source`` was read and dealt out to ``lanes``; ``ended`` says that it has no more. ``room`` is set
    whenever an attempt is over."""

    source: StreamSource

    def __init__(self, table: str, target: Target, limits: Limits, stream: str | None = None) -> None:
        self.table = table
        self._bound = stream
        self.lanes: list[Lane] = []
        self.room = asyncio.Event()
        self.read = 0
        self.ended = False
        self.window: Window | None = None
        self._target = target
        self._limits = limits
        self._written = 0

    @classmethod
    async def open(cls, table: str, target: Target, limits: Limits, latest: bool, stream: str | None = None) -> Progress:
        """At the place that was written down. Where none is, at the stream's end or beginning, and that is written down before this returns.
        With ``stream`` it is bound to that one."""
        progress = cls(table, target, limits, stream)
        memory = await target.cursor.items()
        kept = memory.get("place")
        await progress._resume_window(memory.get("window"))
        if kept is None or not await progress._resume(kept):
            await progress._begin(await target.stream(table, stream), latest and kept is None)
        return progress

    async def _resume(self, kept: Any) -> bool:
        try:
            self.source = await self._target.stream(self.table, kept["stream"])
        except ServiceError as error:
            if error.code != "ResourceNotFoundException" or self._bound is not None:
                raise
            self._target.report(f"The stream {kept['stream']} is gone; reading the table's newest stream from its beginning.")
            return False
        if len(kept["lanes"]) == self._limits.lanes:
            self.lanes = [Lane(*state) for state in kept["lanes"]]
        else:  # dealt out anew, from the place up to which all lanes were done
            self.lanes = [Lane(min(state[0] for state in kept["lanes"])) for _ in range(self._limits.lanes)]
        self.read = self._written = min(lane.done for lane in self.lanes)
        return True

    async def _resume_window(self, kept: Any) -> None:
        if kept is None:
            return
        if self._limits.tumbling:
            self.window = Window(**kept)
        else:
            self._target.report(f"The window of {kept['arn']} that began at {kept['start']} is forgotten: its trigger has tumbling windows no more.")
            await self._target.cursor.update({"window": None})

    async def _begin(self, source: StreamSource, latest: bool) -> None:
        self.source, self.ended = source, False
        self.read = int(await source.edge(latest))
        self.lanes = [Lane(self.read) for _ in range(self._limits.lanes)]
        await self.write_down()

    async def followed(self) -> bool:
        """The stream is closed and read to its end: go on with the one that came after it, if there is one and all of this is done."""
        if self.busy or self._bound is not None:
            return False
        newest = await self._target.stream(self.table)
        if newest.arn == self.source.arn:
            return False
        await self._begin(newest, latest=False)
        return True

    def ending(self) -> str:
        """What to tell of a stream that has ended with none to follow."""
        if self._bound is not None:
            return f"The stream {self._bound} was disabled, and all of it was read."
        return f"The stream of table {self.table} was disabled. Enable one, and it is read from its beginning."

    @property
    def waits(self) -> bool:
        return any(lane.waiting for lane in self.lanes)

    @property
    def busy(self) -> bool:
        return self.window is not None or self.waits

    @property
    def unwritten(self) -> int:
        """How many records were read since the place was written down."""
        return self.read - self._written

    def closes(self, lane: Lane) -> bool:
        """Whether the window is over, and the function is to be told so next."""
        return self.window is not None and self.window.closes(lane, self.source.arn, self.ended, self._target.clock.now())

    async def behind(self) -> bool:
        """Whether the stream has records that were not read yet, which may be of the window that is open."""
        if self.window is None or self.window.early or self.ended or self.window.arn != self.source.arn:
            return False
        records, _ended = await self.source.read(str(self.read), 1, 0)
        return bool(records)

    async def write_down(self) -> None:
        """Where each lane is. One that has nothing to do is where the reading is."""
        for lane in self.lanes:
            if not lane.waiting:
                lane.done = max(lane.done, self.read)
        self._written = self.read
        memory: dict[str, Any] = {"place": {"stream": self.source.arn, "lanes": [lane.state() for lane in self.lanes]}}
        if self._limits.tumbling:
            memory["window"] = self.window.kept() if self.window is not None else None
        await self._target.cursor.update(memory)
