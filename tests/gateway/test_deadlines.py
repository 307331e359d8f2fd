"""Time limits of many things at once."""

from __future__ import annotations

import asyncio

import pytest

from eventflow.gateway.deadlines import Deadlines
from tests.patience import PATIENCE


async def taking(deadlines: Deadlines, seconds: float) -> str:
    try:
        with deadlines.begin():
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "late"
    return "done"


def test_only_what_is_late_is_interrupted() -> None:
    async def scenario() -> None:
        deadlines = Deadlines(0.5)
        assert await asyncio.gather(*(taking(deadlines, seconds) for seconds in (0.0, 60.0, 0.02, 60.0))) == ["done", "late", "done", "late"]
        assert await taking(deadlines, 60.0) == "late"
        assert await taking(deadlines, 0.01) == "done"
        async with asyncio.timeout(PATIENCE):  # while nothing runs there is no timer
            while deadlines._timer is not None:  # noqa: ASYNC110 - it goes by itself
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def scenario() -> None:
        deadlines = Deadlines(60.0)
        task = asyncio.create_task(taking(deadlines, 60.0))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not deadlines._running

    asyncio.run(scenario())


def test_another_error_is_not_hidden() -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match="mine"), Deadlines(1.0).begin():
            raise ValueError("mine")

    asyncio.run(scenario())
