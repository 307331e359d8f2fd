"""The supervisor: triggers start, go on undisturbed, begin anew after a failure or a change, and stop."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from eventflow.supervisor import Supervisor
from eventflow.target import owner_of
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.trigger import Target, Trigger
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Sample(Trigger):
    kind: ClassVar[str] = "sample"
    name: str = "a"
    tuning: int = 1

    def identity(self) -> dict[str, Any]:
        return {"name": self.name}

    async def run(self, target: Target) -> None:
        history: list[str] = target.history  # type: ignore[attr-defined]
        history.append(f"start {self.name}{self.tuning}")
        target.ready()
        try:
            if self.name == "fails":
                raise LookupError("no source")
            await asyncio.Event().wait()
        finally:
            history.append(f"end {self.name}{self.tuning}")


class FakeTarget:
    def __init__(self, trigger: Trigger, history: list[str], timeout: float = 3.0) -> None:
        self.function, self.timeout, self.concurrency = "f", timeout, 1
        self.owner = owner_of("f", trigger)
        self.history, self.reports, self.is_ready = history, [], asyncio.Event()

    def ready(self) -> None:
        self.is_ready.set()


def wanted(history: list[str], *triggers: Trigger, timeout: float = 3.0) -> Any:
    return [(trigger, FakeTarget(trigger, history, timeout)) for trigger in triggers]


def test_a_trigger_goes_on_unless_it_changed_or_is_no_longer_wanted() -> None:
    async def main() -> None:
        supervisor, history = Supervisor(VirtualClock()), []
        await supervisor.run(wanted(history, Sample("a"), Sample("b")))
        await supervisor.run(wanted(history, Sample("a"), Sample("b", tuning=2), timeout=9.0))
        assert history == ["start a1", "start b1", "end b1", "start b2"]
        assert [running.target.timeout for running in supervisor._running.values()] == [9.0, 9.0]
        await supervisor.run(wanted(history, Sample("b", tuning=2)))
        assert history[4:] == ["end a1"]
        await supervisor.stop()
        assert history[5:] == ["end b2"]
        assert supervisor.status() == []

    asyncio.run(main())


def test_a_trigger_that_fails_begins_again_after_ever_longer_pauses() -> None:
    async def main() -> None:
        clock = VirtualClock()
        supervisor, history = Supervisor(clock), []
        await supervisor.run(wanted(history, Sample("fails")))
        await clock.advance("1s")
        await clock.advance("1.9s")
        assert history.count("start fails1") == 2
        await clock.advance("0.2s")
        assert history.count("start fails1") == 3
        assert supervisor.status()[0]["failure"] == "LookupError: no source"
        await supervisor.stop()

    asyncio.run(main())


@dataclass(frozen=True)
class FailsWhileItStops(Sample):
    async def run(self, target: Target) -> None:
        try:
            await super().run(target)
        except asyncio.CancelledError:
            raise LookupError("the source is gone") from None  # as a task group does, one of whose tasks fails


def test_a_trigger_that_fails_while_it_stops_is_not_started_again() -> None:
    async def main() -> None:
        clock = VirtualClock()
        supervisor, history = Supervisor(clock), []
        await supervisor.run(wanted(history, FailsWhileItStops("a")))
        await asyncio.wait_for(supervisor.stop(), PATIENCE)
        assert history == ["start a1", "end a1"]
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(main())


def test_none_is_started_any_more_once_all_were_stopped() -> None:
    async def main() -> None:
        supervisor, history = Supervisor(VirtualClock()), []
        await supervisor.run(wanted(history, Sample("a")))
        loading = asyncio.create_task(supervisor.run(wanted(history, Sample("b"))))
        await asyncio.sleep(0)
        await supervisor.stop()
        await loading
        assert history == ["start a1", "end a1"]

    asyncio.run(main())
