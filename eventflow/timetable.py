"""A schedule expression and its time zone, read into the instants at which it fires."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from eventflow.cron import SMALLEST, YEAR, Cron, ExpressionError, parse_cron

UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}
#: Longer rates than a century leave the calendar; AWS has no use for them either.
LONGEST_RATE = 36_525 * 86_400
#: An application's schedules are made several times while it is loaded and checked. A timetable never changes, and takes some kilobytes.
MOST_REMEMBERED = 16_384

EXPRESSION = re.compile(r"(?P<form>rate|cron|at)\((?P<body>[^()]*)\)")
RATE = re.compile(r"\s*(?P<value>[^\s]+)\s+(?P<unit>[^\s]+)\s*")
POSITIVE = re.compile(r"0*[1-9]\d{0,9}", re.ASCII)
AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)


class Timetable(Protocol):
    """Instants in Unix seconds. ``anchor`` is when the schedule was first started."""

    def owed_from(self, now: float) -> float:
        """The instant after which a schedule that is first started ``now`` owes its ticks."""
        ...

    def after(self, instant: float, anchor: float) -> float | None:
        """The first instant later than ``instant``, or None if there is none left."""
        ...


@dataclass(frozen=True)
class Rate:
    """Every so many seconds from the anchor on: elapsed time, whatever the clocks on the wall do."""

    seconds: int

    def owed_from(self, now: float) -> float:
        return now

    def after(self, instant: float, anchor: float) -> float | None:
        begin = datetime.fromtimestamp(anchor, UTC) + timedelta(seconds=self.seconds)
        every = IntervalTrigger(seconds=self.seconds, start_date=begin, timezone=UTC)
        found: datetime | None = every.get_next_fire_time(None, datetime.fromtimestamp(instant, UTC) + SMALLEST)
        return found.timestamp() if found is not None else None


@dataclass(frozen=True)
class At:
    """One instant. It is owed even when the schedule is first started after it."""

    instant: float

    def owed_from(self, now: float) -> float:
        return min(now, self.instant - 1)

    def after(self, instant: float, anchor: float) -> float | None:
        return self.instant if self.instant > instant else None


@dataclass(frozen=True)
class WallClock:
    """A cron expression on the wall clocks of a zone. Where they go forward, the times that they leave out do not fire; where they go
    back, the times that they show twice fire the first time only (EventBridge Scheduler: "Daylight savings time")."""

    cron: Cron
    zone: tzinfo

    def owed_from(self, now: float) -> float:
        return now

    def after(self, instant: float, anchor: float) -> float | None:
        wall: datetime | None = datetime.fromtimestamp(instant, self.zone).replace(tzinfo=None)
        while wall is not None and (wall := self.cron.after(wall)) is not None:
            found = instant_of(wall, self.zone)
            if found is not None and found > instant:
                return found
        return None


def instant_of(wall: datetime, zone: tzinfo) -> float | None:
    """When the zone's clocks first show ``wall``, or None if they never do."""
    moment = wall.replace(tzinfo=zone)
    shown = moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    return moment.timestamp() if shown == wall else None


def parse_zone(name: str) -> tzinfo:
    """A zone of the IANA database; ``ValueError`` if there is none of this name."""
    if name == "UTC":
        return UTC  # needs no database, which a small system may not have
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name!r} here; take an IANA name such as Europe/Berlin (or install tzdata)") from error


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def parse_timetable(expression: str, zone: tzinfo) -> Timetable:
    found = EXPRESSION.fullmatch(expression)
    if found is None:
        raise ExpressionError("it is none of rate(5 minutes), cron(0 3 * * ? *) and at(2026-01-31T09:05:00)", misfit(expression))
    body, start = found["body"], found.start("body")
    if found["form"] == "cron":
        return WallClock(parse_cron(body, start), zone)
    return parse_rate(body, start) if found["form"] == "rate" else parse_at(body, start, zone)


def misfit(expression: str) -> int:
    """Where an expression stops to look like ``form(...)``."""
    begun = re.match(r"(?:rate|cron|at)(?:\([^()]*\)?)?", expression)
    return begun.end() if begun else 0


def parse_rate(body: str, start: int) -> Rate:
    found = RATE.fullmatch(body)
    if found is None:
        raise ExpressionError("rate takes a number and a unit, as in rate(5 minutes)", start)
    word, unit = found["value"], found["unit"]
    if not POSITIVE.fullmatch(word):
        raise ExpressionError(f"rate {word} is not a positive whole number", start + found.start("value"))
    length = int(word)
    name = unit if length == 1 else unit.removesuffix("s")
    if name not in UNITS or (length > 1 and not unit.endswith("s")):
        wanted = "minute, hour or day" if length == 1 else "minutes, hours or days"
        raise ExpressionError(f"a rate of {length} takes {wanted}, not {unit!r}", start + found.start("unit"))
    if length * UNITS[name] > LONGEST_RATE:
        raise ExpressionError("a rate longer than 36525 days never comes round", start + found.start("value"))
    return Rate(length * UNITS[name])


def parse_at(body: str, start: int, zone: tzinfo) -> At:
    if not AT.fullmatch(body):
        raise ExpressionError("at takes a local time as yyyy-mm-ddThh:mm:ss, without a zone (that is the setting timezone)", start)
    try:
        wall = datetime.fromisoformat(body)
    except ValueError as error:
        raise ExpressionError(f"{body} is not in the calendar ({error})", start) from error
    if not YEAR.low <= wall.year <= YEAR.high:
        raise ExpressionError(f"year {wall.year} is outside {YEAR.range}", start)
    moment: datetime = DateTrigger(wall, timezone=UTC).get_next_fire_time(None, None)
    instant = instant_of(moment.replace(tzinfo=None), zone)
    if instant is None:
        raise ExpressionError(f"{body} is not shown by any clock in {zone}: clocks there go forward over it", start)
    return At(instant)
