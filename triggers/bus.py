"""The Bus trigger: the events of an event bus that match a pattern, as a rule of EventBridge delivers them to a function."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from eventflow import BusSource, Pattern, PayloadTooLarge, Resource, ServiceError, SettingError, Target, Trigger, compile_pattern

NAME = re.compile(r"[.\-_A-Za-z0-9]{1,256}")
#: Events that are taken from a bus at once; their acceptance shares a write to disk.
MOST_AT_ONCE = 100
LONGEST_WAIT = 3600.0


@dataclass(frozen=True)
class Bus(Trigger):
    """Fires for each event on ``bus`` (a name, or what ``app.bus`` returned) that matches ``pattern``, an event pattern of EventBridge: a mapping, or
    its JSON. The function gets the event.

    A retry is the function's own, as for all asynchronous events. What is put while the application is loaded again waits for it.
    """

    kind: ClassVar[str] = "bus"

    pattern: Mapping[str, Any] | str
    bus: Any = "default"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bus", str(self.bus))
        if not NAME.fullmatch(self.bus):
            raise SettingError(f"Bus: bus={self.bus!r} is refused: it takes a bus's name, 1 to 256 of A-Z, a-z, 0-9, '.', '-' and '_'.")
        if not isinstance(self.pattern, str | Mapping):
            raise SettingError(f'Bus: pattern={self.pattern!r} is refused: it takes an event pattern, such as {{"source": ["shop"]}}.')
        object.__setattr__(self, "pattern", json.loads(self.compiled.text))

    @cached_property
    def compiled(self) -> Pattern:
        try:
            return compile_pattern(self.pattern)
        except ServiceError as error:
            raise SettingError(f"Bus: pattern={self.pattern!r} is refused. {error.message}.") from error

    def resources(self) -> Iterable[Resource]:
        return (Resource("bus", self.bus),)

    async def run(self, target: Target) -> None:
        source = await self._source(target)
        target.ready()
        while True:
            await deliver(target, source, LONGEST_WAIT)

    async def sweep(self, target: Target) -> int:
        source = await self._source(target)
        delivered = 0
        while found := await deliver(target, source, 0.0):
            delivered += found
        return delivered

    async def _source(self, target: Target) -> BusSource:
        source = await target.bus(self.bus)
        await source.subscribe(self.compiled.text)
        return source


async def deliver(target: Target, source: BusSource, wait: float) -> int:
    """Emit what waits, and let the bus forget it once all of it is on disk; how many events that were."""
    waiting = await source.receive(MOST_AT_ONCE, wait)
    if not waiting:
        return 0
    outcomes = await asyncio.gather(*(emit(target, one.event, one.trace) for one in waiting), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome  # nothing is forgotten: all come again, and those that are on disk are known by their ids
    await source.forget(waiting[-1].position)
    return len(waiting)


async def emit(target: Target, event: Mapping[str, Any], trace: str | None) -> None:
    identity = "/".join(filter(None, (event["id"], event.get("replay-name"))))  # a replay sends an event with its former id
    try:
        await target.emit(event, id=identity, trace=trace)
    except PayloadTooLarge as error:
        target.report(f"Bus: the event {event['id']} cannot be delivered to {target.function} and is left out. {error}")
