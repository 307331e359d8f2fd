"""The machine's clock: waits for instants of the wall clock, however it jumps."""

import asyncio

from eventflow import clock as clocks
from eventflow.clock import SystemClock
from tests.patience import PATIENCE


class Jumping(SystemClock):
    """The machine's clock, put forward by ``ahead`` seconds; counts its timers."""

    ahead = 0.0
    timers = 0

    def now(self) -> float:
        return super().now() + self.ahead

    def call_later(self, seconds, callback):
        self.timers += 1
        return super().call_later(seconds, callback)


def test_many_wait_behind_one_timer_and_each_wakes_at_its_instant():
    clock = Jumping()
    woken = []

    async def wait(after: float) -> None:
        await clock.sleep_until(begin + after)
        woken.append((after, clock.now() >= begin + after))

    async def main() -> None:
        tasks = [asyncio.create_task(wait(after)) for after in (0.9, 0.7, 0.8, *[1000.0] * 1000)]  # all wait long before the first is due
        await asyncio.sleep(0)
        assert clock.timers <= 3
        await asyncio.wait(tasks[:3])
        for task in tasks[3:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(clock._waits[1]._heap) <= 1

    begin = clock.now()
    asyncio.run(main())
    assert woken == [(0.7, True), (0.8, True), (0.9, True)]
    assert clock.timers <= 8


def test_a_clock_that_jumps_forward_is_noticed_at_the_next_nap(monkeypatch):
    monkeypatch.setattr(clocks, "LONGEST_NAP", 0.01)
    clock = Jumping()

    async def main() -> None:
        waiting = asyncio.create_task(clock.sleep_until(clock.now() + 3600))
        await asyncio.sleep(0.03)
        assert not waiting.done()
        clock.ahead = 3600.0
        await asyncio.wait_for(waiting, PATIENCE)

    asyncio.run(main())
    asyncio.run(clock.sleep_until(clock.now() + 0.01))  # on another event loop
