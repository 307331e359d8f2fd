"""AWS's cron expressions: six fields, read into the wall-clock minutes that they name."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from apscheduler.triggers.cron import CronTrigger

FORM = "minute hour day-of-month month day-of-week year"
SMALLEST = timedelta(microseconds=1)


class ExpressionError(ValueError):
    """What is wrong with a schedule's expression, and where: ``position`` counts characters from its start."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


@dataclass(frozen=True)
class Field:
    """One of the six fields: its range, the names of its values from ``low`` on, and whether a range may run over the end (FRI-MON)."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    wraps: bool = True

    @property
    def range(self) -> str:
        return f"{self.low}-{self.high}" + (f" or {self.names[0]}-{self.names[-1]}" if self.names else "")


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day-of-month", 1, 31)
MONTH = Field("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
DAY_OF_WEEK = Field("day-of-week", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
YEAR = Field("year", 1970, 2199, wraps=False)
FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR)

#: APScheduler's words for AWS's day-of-week numbers: ours begin with 1 = SUN, its own with 0 = Monday.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th")
SATURDAY = 5

#: What a number is called in an error, by the group of the pattern that found it.
SAYINGS = {
    "back": "the number of days before the last",
    "day": "day-of-month",
    "nth": "the occurrence after #",
    "step": "the step after /",
}

ITEM = re.compile(r"(?P<first>\*|\d{1,4}|[A-Z]+)(?:-(?P<last>\d{1,4}|[A-Z]+))?(?:/(?P<step>\d{1,4}))?", re.ASCII)
LAST_DAY = re.compile(r"L(?:-(?P<back>\d{1,4}))?", re.ASCII)
NEAREST = re.compile(r"(?P<day>\d{1,4})W", re.ASCII)
LAST_WEEKDAY = re.compile(r"(?P<weekday>\d{1,4}|[A-Z]+)L", re.ASCII)
NTH_WEEKDAY = re.compile(r"(?P<weekday>\d{1,4}|[A-Z]+)#(?P<nth>\d{1,4})", re.ASCII)


@dataclass(frozen=True)
class Days:
    """Which days, in APScheduler's words (``day``, ``day_of_week``), and what APScheduler cannot say: so many days ``back``,
    then to the ``nearest`` weekday without leaving the month."""

    day: str = "*"
    day_of_week: str = "*"
    back: int = 0
    nearest: bool = False

    @property
    def moved(self) -> bool:
        return self.nearest or self.back > 0

    def move(self, day: datetime) -> datetime | None:
        """The day that is meant by the candidate ``day``, or None if this month has none."""
        if day.day <= self.back:
            return None
        day -= timedelta(days=self.back)
        return nearest_weekday(day) if self.nearest else day


@dataclass(frozen=True)
class Cron:
    """A parsed expression; all its times are wall-clock times without a zone."""

    minutes: str
    hours: str
    months: str
    years: str
    days: Days
    calendar: CronTrigger = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        times = {} if self.days.moved else {"hour": self.hours, "minute": self.minutes}
        object.__setattr__(
            self, "calendar", trigger(year=self.years, month=self.months, day=self.days.day, day_of_week=self.days.day_of_week, **times)
        )

    def after(self, wall: datetime) -> datetime | None:
        """The first minute after ``wall``, or None if there is none left."""
        if not self.days.moved:
            return following(self.calendar, wall)
        return next((found for day in self._days(wall) if (found := self._on(day, wall)) is not None), None)

    def _days(self, wall: datetime) -> Iterator[datetime]:
        """The moved days from the month of ``wall`` on. A day never moves out of its month, so they come in order."""
        candidate = wall.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - SMALLEST
        while (found := following(self.calendar, candidate)) is not None:
            candidate = found
            day = self.days.move(found)
            if day is not None:
                yield day

    def _on(self, day: datetime, wall: datetime) -> datetime | None:
        times = trigger(year=day.year, month=day.month, day=day.day, hour=self.hours, minute=self.minutes)
        return following(times, max(wall, day - SMALLEST))


def trigger(**fields: Any) -> CronTrigger:
    # UTC stands for "no zone" here: the wall clock's gaps and overlaps are the timetable's business.
    return CronTrigger(timezone=UTC, **fields)


def following(calendar: CronTrigger, wall: datetime) -> datetime | None:
    """The calendar's first time after ``wall``, both without a zone."""
    found: datetime | None = calendar.get_next_fire_time(None, (wall + SMALLEST).replace(tzinfo=UTC))
    return found.replace(tzinfo=None) if found is not None else None


def nearest_weekday(day: datetime) -> datetime:
    """The weekday closest to ``day`` in the same month: Saturday goes to Friday and Sunday to Monday, unless that is another month."""
    beyond = day.weekday() - SATURDAY
    if beyond < 0:
        return day
    last = monthrange(day.year, day.month)[1]
    if beyond == 0:
        return day + timedelta(days=-1 if day.day > 1 else 2)
    return day + timedelta(days=1 if day.day < last else -2)


def parse_cron(text: str, start: int = 0) -> Cron:
    """Read the six fields in ``text``, which begins at position ``start`` of the whole expression."""
    words = [(found.group().upper(), start + found.start()) for found in re.finditer(r"\S+", text)]
    if len(words) != len(FIELDS):
        position = words[len(FIELDS)][1] if len(words) > len(FIELDS) else start + len(text)
        raise ExpressionError(f"cron takes six fields ({FORM}), here are {len(words)}", position)
    minute, hour, day, month, weekday, year = words
    return Cron(
        minutes=ranges(values(MINUTE, *minute)),
        hours=ranges(values(HOUR, *hour)),
        months=ranges(values(MONTH, *month)),
        years=ranges(values(YEAR, *year)),
        days=parse_days(day, weekday),
    )


def parse_days(day: tuple[str, int], weekday: tuple[str, int]) -> Days:
    unspecified = [word for word, _position in (day, weekday)].count("?")
    if unspecified == 2:
        raise ExpressionError("day-of-month and day-of-week cannot both be ?, write * in one of them", weekday[1])
    if unspecified == 0:
        raise ExpressionError("day-of-month and day-of-week cannot both be given, write ? in one of them", weekday[1])
    return days_of_week(*weekday) if day[0] == "?" else days_of_month(*day)


def days_of_month(word: str, position: int) -> Days:
    if word == "LW":
        return Days(day="last", nearest=True)
    if found := LAST_DAY.fullmatch(word):
        return Days(day="last", back=number(found, "back", position, 1, 30) if found["back"] else 0)
    if found := NEAREST.fullmatch(word):
        return Days(day=str(number(found, "day", position, 1, 31)), nearest=True)
    refuse_list_with(("L", "W"), DAY_OF_MONTH, word, position)
    return Days(day=ranges(values(DAY_OF_MONTH, word, position)))


def days_of_week(word: str, position: int) -> Days:
    if word == "L":
        return Days(day_of_week=WEEKDAYS[-1])
    if found := LAST_WEEKDAY.fullmatch(word):
        return Days(day=f"last {WEEKDAYS[value(DAY_OF_WEEK, found['weekday'], position) - 1]}")
    if found := NTH_WEEKDAY.fullmatch(word):
        nth = number(found, "nth", position, 1, 5)
        return Days(day=f"{ORDINALS[nth - 1]} {WEEKDAYS[value(DAY_OF_WEEK, found['weekday'], position) - 1]}")
    refuse_list_with(("#", "L"), DAY_OF_WEEK, word, position)
    return Days(day_of_week=",".join(WEEKDAYS[day - 1] for day in sorted(values(DAY_OF_WEEK, word, position))))


def refuse_list_with(signs: tuple[str, ...], which: Field, word: str, position: int) -> None:
    for sign in signs:
        at = word.find(sign)
        if at >= 0 and "," in word:
            raise ExpressionError(f"{which.name} takes one expression when it uses {sign}, not a list", position + at)


def values(which: Field, word: str, position: int) -> frozenset[int]:
    """All that a comma-separated list names."""
    found: set[int] = set()
    for item in word.split(","):
        found |= item_values(which, item, position)
        position += len(item) + 1
    return frozenset(found)


def item_values(which: Field, item: str, position: int) -> set[int]:
    parts = ITEM.fullmatch(item)
    if parts is None or (parts["first"] == "*" and parts["last"]):
        raise ExpressionError(f"{which.name} {item!r} is not a value, a range or a step; it takes {which.range}", position)
    step = parts["step"]
    if parts["first"] == "*":
        first, last = which.low, which.high
    else:
        first = value(which, parts["first"], position)
        last = value(which, parts["last"], position + parts.start("last")) if parts["last"] else which.high if step else first
    size = which.high - which.low + 1
    if last < first:
        if not which.wraps:
            raise ExpressionError(f"{which.name} range {item} ends before it begins", position)
        last += size
    stride = number(parts, "step", position, 1, size - 1) if step else 1
    return {which.low + (reached - which.low) % size for reached in range(first, last + 1, stride)}


def value(which: Field, word: str, position: int) -> int:
    if word in which.names:
        return which.low + which.names.index(word)
    if not word.isdecimal() or not which.low <= int(word) <= which.high:
        raise ExpressionError(f"{which.name} {word} is outside {which.range}", position)
    return int(word)


def number(found: re.Match[str], group: str, position: int, low: int, high: int) -> int:
    reading = int(found[group])
    if not low <= reading <= high:
        raise ExpressionError(f"{SAYINGS[group]} is {reading}, outside {low}-{high}", position + found.start(group))
    return reading


def ranges(numbers: frozenset[int]) -> str:
    """Numbers as APScheduler reads them, runs written short: ``1-5,9``."""
    ordered = sorted(numbers)
    breaks = [0, *(index for index, (left, right) in enumerate(pairwise(ordered), 1) if right != left + 1), len(ordered)]
    runs = [(ordered[begin], ordered[end - 1]) for begin, end in pairwise(breaks)]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
