"""Every trigger that ships keeps the contract of triggers, and so does a stranger's that is installed beside them."""

from __future__ import annotations

from eventflow.testing.trigger_contract import TriggerContract
from triggers.schedule import Schedule

HALF_A_DAY = 43_200


class TestSchedule(TriggerContract):
    """Its source is time itself: to cause an event is to let half a day pass, and the looks in between must stay far below that."""

    pace = 5.0
    bad_settings = ({"expression": "rate(5 minute)"}, {"expression": "cron(0 3 * * * *)"}, {"expression": "rate(1 hour)", "catch_up": "maybe"})

    def make(self) -> Schedule:
        return Schedule("rate(12 hours)", catch_up="all")

    async def cause(self, n: int) -> None:
        await self.pass_time(n * HALF_A_DAY)
