"""A trigger's target: it waits while the dispatcher is overloaded, so that no trigger has to."""

import asyncio
from typing import Any

from eventflow.errors import Overloaded
from eventflow.function import Function
from eventflow.target import FunctionTarget
from eventflow.testing.virtual_clock import VirtualClock
from triggers import Schedule


class BusyDispatcher:
    """Refuses until the clock says so."""

    def __init__(self, clock: VirtualClock, until: float) -> None:
        self.clock = clock
        self.until = until
        self.refused = 0
        self.accepted: list[tuple[str, bytes, Any, Any]] = []

    async def emit(self, function: str, payload: bytes, *, key: Any = None, trace: Any = None, source: str = "", cursor: Any = None) -> str:
        if self.clock.monotonic() < self.until:
            self.refused += 1
            raise Overloaded("too much waits for the disk")
        self.accepted.append((function, payload, key, cursor.changes))
        return "id"


def test_an_event_waits_while_the_dispatcher_is_overloaded_and_is_emitted_once() -> None:
    async def main() -> None:
        clock = VirtualClock()
        dispatcher: Any = BusyDispatcher(clock, 10.0)
        nothing: Any = None
        target = FunctionTarget(
            Function("f", "m:f"), Schedule("rate(1 hour)"), dispatcher, nothing, clock, nothing, account="0", region="r", concurrency=1
        )
        emitting = asyncio.create_task(target.emit({"a": 1}, id="k", cursor={"last": 7}))
        await clock.advance(9.9)
        assert not emitting.done()
        assert 10 < dispatcher.refused < 20  # pauses grow: a slow disk is not asked a thousand times a second
        await clock.advance(2.0)
        assert await emitting == "id"
        assert dispatcher.accepted == [("f", b'{"a":1}', "k", {"last": 7})]

    asyncio.run(main())
