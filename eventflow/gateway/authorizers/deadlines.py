"""Work that is called off when its time on the Clock is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from eventflow.clock import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Raises TimeoutError, and cancels the work then; also when the caller itself is cancelled."""
    task = asyncio.ensure_future(work)

    def give_up() -> None:
        task.cancel()

    timer = clock.call_later(seconds, give_up)
    try:
        await asyncio.wait({task})
    finally:
        timer.cancel()
        task.cancel()
    if task.cancelled():
        raise TimeoutError
    return task.result()
