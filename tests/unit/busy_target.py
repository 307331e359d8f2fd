"""A function that takes its time, for tests of the triggers that wait for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventflow.testing.recording_target import RecordingTarget


class BusyTarget(RecordingTarget):
    """``duration`` is how many seconds the function takes, ``running`` how many of it run, ``most_running`` how many did at once."""

    duration = 0.0
    running = 0
    most_running = 0

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """One that runs, begun with its time."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.duration:
                await self.clock.sleep(self.duration)
            yield
        finally:
            self.running -= 1
