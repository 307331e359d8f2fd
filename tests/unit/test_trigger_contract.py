"""The contract of triggers catches what it is there to catch: each fault here fails the test that is about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from eventflow import SettingError, Target, Trigger
from eventflow.clock import SystemClock
from eventflow.testing import trigger_contract
from eventflow.testing.recording_target import RecordingTarget
from eventflow.testing.trigger_contract import TriggerContract


@dataclass(frozen=True)
class Letters(Trigger):
    """One event for each line of a file; ``fault`` is what its author got wrong."""

    kind: ClassVar[str] = "letters"

    path: str
    fault: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise SettingError(f"Letters: path={self.path!r} is empty; name the file of the letters.")

    async def run(self, target: Target) -> None:
        if self.fault == "leaves a task":
            self.__dict__["left"] = asyncio.create_task(asyncio.sleep(3600))
        if self.fault == "leaves a thread":
            threading.Thread(target=threading.Event().wait, args=(3,), name="left", daemon=True).start()
        if self.fault == "starts at the end":
            await target.cursor.update({"read": len(self._lines())})
        if self.fault != "is never ready":
            target.ready()
        if self.fault == "returns":
            return
        while True:
            try:
                await self.sweep(target)
                await target.clock.sleep(1)
            except asyncio.CancelledError:
                if self.fault != "does not stop" or "asked" in self.__dict__:
                    raise
                self.__dict__["asked"] = True

    def _lines(self) -> list[str]:
        path = Path(self.path)
        return path.read_text().splitlines() if path.exists() else []

    async def sweep(self, target: Target) -> int:
        lines = self._lines()
        read = (await target.cursor.items()).get("read", 0)
        if self.fault in ("forgets", "swallows"):
            read = self.__dict__.get("read", 0)
        for number, line in enumerate(lines[read:], read + 1):
            await self._deliver(target, line, number)
        return len(lines) - read + (self.fault == "miscounts")

    async def _deliver(self, target: Target, line: str, number: int) -> None:
        place = {"read": number}
        self.__dict__["read"] = number
        if self.fault == "acknowledges first":
            await target.cursor.update(place)
            await target.emit(line)
        elif self.fault == "swallows":
            try:
                await target.emit(line, cursor=place)
            except Exception:
                return
        elif self.fault == "acknowledges later":
            await target.emit(line)
            await target.cursor.update(place)
        elif self.fault == "emits objects":
            await target.emit(object(), cursor=place)
        else:
            await target.emit(line, cursor=place)
            if self.fault == "emits twice":
                await target.emit(line)


@dataclass(frozen=True)
class Unequal(Letters):
    def parameters(self) -> dict[str, Any]:
        return {"path": self.path + "?"}


@dataclass(frozen=True)
class Mute(Letters):
    def __str__(self) -> str:
        return "a trigger"


@dataclass(frozen=True)
class Credulous(Letters):
    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class Curt(Letters):
    def __post_init__(self) -> None:
        if not self.path:
            raise SettingError("No.")


class Contract(TriggerContract):
    patience = 0.3
    stop_within = 0.3
    quiet_looks = 4
    bad_settings = ({"path": ""},)
    make: Callable[[], Trigger]

    def __init__(self, folder: Path, make: Callable[[str], Trigger]) -> None:
        self.path = folder / "letters.txt"
        self.make = lambda: make(str(self.path))

    async def cause(self, n: int) -> None:
        written = len(self.path.read_text().splitlines()) if self.path.exists() else 0
        with self.path.open("a") as file:
            file.writelines(f"letter {written + number}\n" for number in range(n))


class Published:
    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> type:
        return Letters


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"letters": [Published("letters")]}
    monkeypatch.setattr(
        trigger_contract, "entry_points", lambda group, name: found.get(name, importlib.metadata.entry_points(group=group, name=name))
    )


NAMES = [name for name in dir(TriggerContract) if name.startswith("test_")]


@pytest.mark.parametrize("name", NAMES)
def test_a_good_trigger_passes(name: str, tmp_path: Path) -> None:
    getattr(Contract(tmp_path, Letters), name)()


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("test_it_is_published_under_its_kind", Mute, "no installed distribution publishes Mute as 'letters'"),
        ("test_it_is_made_again_from_its_parameters", Unequal, "came back from the JSON of"),
        ("test_its_text_tells_what_it_is", Mute, "does not name the trigger"),
        ("test_its_bad_settings_are_refused_in_a_sentence", Credulous, "was accepted"),
        ("test_its_bad_settings_are_refused_in_a_sentence", Curt, "without naming the setting"),
        ("test_it_becomes_ready", "is never ready", "never called target.ready"),
        ("test_it_becomes_ready", "returns", "must go on until it is cancelled"),
        ("test_it_delivers_each_event_once", "emits twice", "delivered twice"),
        ("test_it_delivers_each_event_once", "emits objects", "not JSON serializable"),
        ("test_a_restart_delivers_nothing_twice", "forgets", "delivered twice"),
        ("test_what_happened_while_it_was_stopped_is_delivered_after_the_restart", "starts at the end", "3 events were caused"),
        ("test_what_could_not_be_stored_is_delivered_when_it_can_be", "swallows", "3 events were caused"),
        ("test_a_kill_at_its_first_write_loses_and_repeats_nothing", "acknowledges first", "some were lost"),
        ("test_a_kill_at_its_first_write_loses_and_repeats_nothing", "acknowledges later", "stored twice"),
        ("test_a_kill_at_its_second_write_loses_and_repeats_nothing", "forgets", "stored twice"),
        ("test_a_sweep_delivers_what_is_due_at_once", "miscounts", "said 4"),
        ("test_it_stops_when_it_is_told_to_and_leaves_nothing_behind", "does not stop", "did not end within"),
        ("test_it_stops_when_it_is_told_to_and_leaves_nothing_behind", "leaves a task", "left behind"),
        ("test_it_stops_when_it_is_told_to_and_leaves_nothing_behind", "leaves a thread", "left behind"),
    ],
)
def test_each_fault_fails_the_test_that_is_about_it(name: str, make: str | type[Letters], words: str, tmp_path: Path) -> None:
    contract = Contract(tmp_path, make if isinstance(make, type) else lambda path: Letters(path, make))
    with pytest.raises((AssertionError, TypeError)) as failed:
        getattr(contract, name)()
    assert words in str(failed.value)


def test_what_is_sent_to_other_functions_is_kept_once_for_each_id() -> None:
    async def scenario() -> None:
        target = RecordingTarget(SystemClock())
        first = await target.emit_to("late", {"n": 1}, id="a")
        assert await target.emit_to("late", {"n": 2}, id="a") == first
        assert len({first, await target.emit_to("other", 3, id="a"), await target.emit_to("late", 4), await target.emit_to("late", 4)}) == 4
        assert target.sent == [("function:late", '{"n": 1}'), ("function:other", "3"), ("function:late", "4"), ("function:late", "4")]

    asyncio.run(scenario())
