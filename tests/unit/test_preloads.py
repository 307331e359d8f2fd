"""For how long a function's libraries stay loaded, and for how many functions."""

import asyncio
import os
from pathlib import Path
from typing import Any

from eventflow.function import Function, Package
from eventflow.runtime import preloads
from eventflow.runtime.limits import WatchLimiter
from eventflow.runtime.preloads import Preloads
from eventflow.testing.virtual_clock import VirtualClock


class Zygote:
    """Keeps what it is told, as ``Nursery`` would pass it on."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.unloaded: dict[str, Any] = {}

    def tell(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    @property
    def retired(self) -> list[str]:
        return [message["retire"] for message in self.told if "retire" in message]


REQUEST = {"function": {}, "environment": {}}
LEARNED = {"libraries": ["slowly"], "own": {}}


def function(name: str) -> Function:
    return Function(name=name, handler="app.handler", package=Package("python3.11", "/nowhere", ()))


def made(folder: Path) -> tuple[VirtualClock, Preloads, Any]:
    clock = VirtualClock()
    return clock, Preloads(clock, WatchLimiter(), folder), Zygote()


def test_one_that_nothing_is_forked_from_ends(tmp_path: Path) -> None:
    async def work() -> None:
        clock, loads, zygote = made(tmp_path)
        used, unused = function("used"), function("unused")
        for one in (used, unused):
            loads.learn(one, zygote, REQUEST, LEARNED)
        names = {one.name: loads.name_of(one, zygote) for one in (used, unused)}
        for _ in range(8):
            await clock.advance(preloads.IDLE_SECONDS / 4)
            assert loads.name_of(used, zygote) == names["used"]
        assert zygote.retired == [names["unused"]]
        assert loads.name_of(unused, zygote) is None

    asyncio.run(work())


def test_the_one_used_longest_ago_makes_room_for_another(tmp_path: Path) -> None:
    async def work() -> None:
        clock, loads, zygote = made(tmp_path)
        functions = [function(f"f{number}") for number in range(preloads.MOST + 1)]
        for one in functions[:-1]:
            loads.learn(one, zygote, REQUEST, LEARNED)
            await clock.advance(1)
        assert loads.name_of(functions[0], zygote) is not None
        second = loads._by_key["f1"].name
        loads.learn(functions[-1], zygote, REQUEST, LEARNED)
        assert zygote.retired == [second]
        assert [loads.name_of(functions[number], zygote) is None for number in (0, 1, -1)] == [False, True, False]

    asyncio.run(work())


def test_it_is_of_one_state_of_a_function_in_one_zygote(tmp_path: Path) -> None:
    async def work() -> None:
        _clock, loads, zygote = made(tmp_path)
        before, after = function("f"), function("f")
        loads.learn(before, zygote, REQUEST, LEARNED)
        name = loads.name_of(before, zygote)
        assert loads.name_of(after, zygote) is None
        assert loads.name_of(before, Zygote()) is None  # type: ignore[arg-type]
        loads.learn(after, zygote, REQUEST, LEARNED)
        assert zygote.retired == [name]
        zygote.unloaded[name](True)  # the end of the former is not that of the new one
        assert loads.name_of(after, zygote) not in (None, name)

    asyncio.run(work())


def test_what_was_refused_is_not_tried_again_and_what_died_is(tmp_path: Path) -> None:
    async def work() -> None:
        _clock, loads, zygote = made(tmp_path)
        refused, died = function("refused"), function("died")
        for one, was_ready in ((refused, False), (died, True)):
            loads.learn(one, zygote, REQUEST, LEARNED)
            zygote.unloaded[loads.name_of(one, zygote)](was_ready)
        assert not os.listdir(tmp_path)  # noqa: PTH208
        for one in (refused, died):
            loads.learn(one, zygote, REQUEST, LEARNED)
        assert [message["function"] for message in zygote.told if "preload" in message] == [{}] * 3

    asyncio.run(work())


def test_what_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        _clock, loads, zygote = made(tmp_path)
        dying = function("dying")
        for _ in range(preloads.MOST_DEATHS + 2):
            loads.learn(dying, zygote, REQUEST, LEARNED)
            name = loads.name_of(dying, zygote)
            if name in zygote.unloaded:
                zygote.unloaded.pop(name)(True)
        assert len([message for message in zygote.told if "preload" in message]) == preloads.MOST_DEATHS
        loads.forget("dying")  # it has changed
        loads.learn(dying, zygote, REQUEST, LEARNED)
        assert loads.name_of(dying, zygote) in zygote.unloaded

    asyncio.run(work())


def test_without_memory_all_are_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        _clock, loads, zygote = made(tmp_path)
        for name in ("a", "b"):
            loads.learn(function(name), zygote, REQUEST, LEARNED)
        loads.forget_all()
        assert len(zygote.retired) == 2
        loads.forget("a")
        assert len(zygote.retired) == 2

    asyncio.run(work())
