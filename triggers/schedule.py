"""The Schedule trigger: an EventBridge scheduled event at every instant that an AWS schedule expression names."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

from eventflow import (
    ExpressionError,
    Rate,
    SettingError,
    StorageError,
    Target,
    Timetable,
    Trigger,
    iso,
    parse_timetable,
    parse_zone,
    scheduled_event,
)

#: What may become of missed ticks, and how that is reported.
CATCH_UP = {"skip": "drops them", "once": "fires once, for the newest", "all": "fires for each"}
#: A tick that is delivered within this many seconds is on time (AWS promises a precision of 60 seconds); older ones were missed.
PUNCTUAL = 60.0
#: A clock that goes back further than this had been wrong: the ticks of its future are not waited for again.
LONGEST_STEP_BACK = 86_400.0
#: Counting missed ticks stops here, so that a daemon that slept for a year does not count for minutes.
MOST_COUNTED = 1_000
#: Seconds between attempts to fire while the state cannot be written.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LONGEST_WAIT = 3_600.0
LONGEST_RULE_NAME = 64
SCHEDULES = uuid.UUID("6b0e4c52-5f3c-4a52-9d4c-0f7f6c1f2a83")


@dataclass(frozen=True)
class Position:
    """Where a schedule is: ``anchor`` is when it was first started, ``last`` the instant up to which every tick has been dealt with."""

    anchor: float
    last: float


@dataclass(frozen=True)
class Schedule(Trigger):
    """Fires at ``rate(5 minutes)``, ``cron(0 3 * * ? *)`` or ``at(2026-01-31T09:05:00)``, in AWS's grammar.

    ``timezone`` is an IANA name. cron and at follow its wall clocks through daylight saving as EventBridge Scheduler does: a time that is left out in
    spring does not fire, one that is shown twice in autumn fires the first time. A rate counts elapsed time from the first start on and keeps its
    phase over restarts. ``catch_up`` says what becomes of ticks that were missed while nothing ran: ``skip`` drops them, ``once`` fires for the
    newest, ``all`` fires for each in order; each of the three is reported. ``input`` is a JSON value that the function gets in place of the event.
    """

    kind: ClassVar[str] = "schedule"
    clocked: ClassVar[bool] = True

    expression: str
    timezone: str = "UTC"
    catch_up: str = "skip"
    input: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str):
            raise SettingError(
                f"Schedule: expression={self.expression!r} is not text such as rate(5 minutes), cron(0 3 * * ? *) or at(2026-01-31T09:05:00)."
            )
        if self.catch_up not in CATCH_UP:
            raise SettingError(f"Schedule: catch_up={self.catch_up!r} is not one of {', '.join(CATCH_UP)}.")
        object.__setattr__(self, "input", json_value(self.input))
        if isinstance(self.timetable, Rate) and self.timezone != "UTC":
            raise SettingError(
                f"Schedule: timezone={self.timezone!r} does nothing to {self.expression}, which counts elapsed time; leave it out, or use cron(...)."
            )

    @cached_property
    def timetable(self) -> Timetable:
        try:
            return parse_timetable(self.expression, parse_zone(self.timezone))
        except ExpressionError as error:
            raise SettingError(
                f"Schedule: expression={self.expression!r} is not a schedule: {error.reason}; the mark shows where.\n"
                f"    {self.expression}\n    {' ' * error.position}^"
            ) from error
        except ValueError as error:
            raise SettingError(f"Schedule: timezone={self.timezone!r} cannot be used: {error}.") from error

    async def run(self, target: Target) -> None:
        position = await self._resume(target)
        target.ready()
        while True:
            reached = await self._deliver(target, position)
            if reached == position:
                await self._wait(target, position)
            position = reached

    async def sweep(self, target: Target) -> int:
        """Deliver every tick that is due, in order, whatever ``catch_up`` says: who looks from time to time has missed nothing in between."""
        position = await self._resume(target)
        ticks = list(self._ticks(position, target.clock.now()))
        for tick in ticks:
            await self._fire(target, tick)
        return len(ticks)

    async def _resume(self, target: Target) -> Position:
        """Go on where the cursor says; on the first start, and with another expression, begin now."""
        kept = await target.cursor.items()
        if kept.get("expression") == self.expression and kept.get("timezone") == self.timezone:
            return Position(kept["anchor"], kept["last"])
        return await self._begin(target)

    async def _begin(self, target: Target) -> Position:
        now = target.clock.now()
        owed = now if self.catch_up == "skip" else self.timetable.owed_from(now)
        position = Position(anchor=float(int(now)), last=owed)
        await target.cursor.update({"expression": self.expression, "timezone": self.timezone, "anchor": position.anchor, "last": position.last})
        if self.timetable.after(position.last, position.anchor) is None:
            target.report(f"Schedule {self.expression} of {target.function} names no instant after {seconds(now)}: it will not fire.")
        return position

    async def _deliver(self, target: Target, position: Position) -> Position:
        """Fire what is due by ``catch_up``; the position after that, the same one if nothing was due."""
        now = target.clock.now()
        if position.last > now + LONGEST_STEP_BACK:
            target.report(
                f"Schedule {self.expression} of {target.function} fired for {seconds(position.last)}, which is to come: it begins anew now."
            )
            return await self._begin(target)
        oldest = next(self._ticks(position, now), None)
        if oldest is None:
            return position
        reached, missed = oldest, oldest <= now - PUNCTUAL
        if missed:
            target.report(self._missed(target, position, now - PUNCTUAL))
        if missed and self.catch_up == "skip":
            reached = now - PUNCTUAL
            await target.cursor.update({"last": reached})
        elif missed and self.catch_up == "once":
            reached = self._newest(position, now)
            await self._fire_surely(target, reached)
        else:
            for reached in self._ticks(position, now):
                await self._fire_surely(target, reached)
        return replace(position, last=reached)

    def _missed(self, target: Target, position: Position, until: float) -> str:
        counted = list(islice(self._ticks(position, until), MOST_COUNTED + 1))
        number = f"more than {MOST_COUNTED} ticks" if len(counted) > MOST_COUNTED else "1 tick" if len(counted) == 1 else f"{len(counted)} ticks"
        since = f"since {seconds(counted[0])} while nothing ran" if len(counted) > 1 else f"at {seconds(counted[0])} while nothing ran"
        return f"Schedule {self.expression} of {target.function} missed {number} {since}; catch_up={self.catch_up!r} {CATCH_UP[self.catch_up]}."

    async def _wait(self, target: Target, position: Position) -> None:
        """Wait for the next tick, but not for so long that a clock which was set back meanwhile goes unnoticed."""
        following = self.timetable.after(position.last, position.anchor)
        if following is None:
            await asyncio.Event().wait()
            return
        waits = [asyncio.ensure_future(target.clock.sleep_until(following)), asyncio.ensure_future(target.clock.sleep(LONGEST_WAIT))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _ticks(self, position: Position, until: float) -> Iterator[float]:
        """The ticks after the position's last one, up to and including ``until``."""
        tick = self.timetable.after(position.last, position.anchor)
        while tick is not None and tick <= until:
            yield tick
            tick = self.timetable.after(tick, position.anchor)

    def _newest(self, position: Position, until: float) -> float:
        """The last of the ticks, of which there is one: looked for in ever longer windows that end at ``until``, for there may be very many."""
        window, newest = PUNCTUAL, None
        while newest is None:
            window *= 2
            begin = Position(position.anchor, max(position.last, until - window))
            newest = max(self._ticks(begin, until), default=None)
        return newest

    async def _fire_surely(self, target: Target, tick: float) -> None:
        """Fire, and while the state cannot be written try again: a tick has no other store to come back from."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._fire(target, tick)
            except StorageError as error:
                target.report(f"Schedule {self.expression} of {target.function} could not fire for {seconds(tick)} and goes on trying. {error}")
                await target.clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _fire(self, target: Target, tick: float) -> None:
        rule = self._rule(target)
        identity = str(uuid.uuid5(SCHEDULES, f"{rule} {seconds(tick)}"))
        event = scheduled_event(id=identity, time=tick, account=target.account, region=target.region, rule=rule)
        await target.emit(event if self.input is None else self.input, id=identity, cursor={"last": tick})

    def _rule(self, target: Target) -> str:
        """The name that this schedule's rule would have on AWS (at most 64 characters): the same for as long as the schedule says the same."""
        saying = json.dumps([target.function, self.expression, self.timezone, self.input], sort_keys=True)
        return f"{target.function[: LONGEST_RULE_NAME - 13]}-{hashlib.sha256(saying.encode()).hexdigest()[:12]}"


def json_value(value: Any) -> Any:
    """The value as JSON brings it back, so that a trigger made from stored parameters equals this one."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingError(f"Schedule: input={value!r} is not a JSON value: {error}.") from error


def seconds(instant: float) -> str:
    return iso(instant, milliseconds=False)
