"""AWS's cron grammar, against a second reading of it that tries every minute."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.cron import ExpressionError, parse_cron
from tests.examples import examples

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MINUTE = timedelta(minutes=1)


def first(expression: str, since: str, count: int = 3) -> list[str]:
    wall, found = datetime.fromisoformat(since), []
    cron = parse_cron(expression)
    while len(found) < count and (following := cron.after(wall)) is not None:
        wall = following
        found.append(f"{wall:%a %Y-%m-%d %H:%M}")
    return found


# The examples of AWS's documentation and of its users, worked out by hand with a calendar.


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 10 * * ? *", ["Thu 2026-01-01 10:00", "Fri 2026-01-02 10:00", "Sat 2026-01-03 10:00"]),
        ("15 12 * * ? *", ["Thu 2026-01-01 12:15", "Fri 2026-01-02 12:15", "Sat 2026-01-03 12:15"]),
        ("0 18 ? * MON-FRI *", ["Thu 2026-01-01 18:00", "Fri 2026-01-02 18:00", "Mon 2026-01-05 18:00"]),
        ("0 8 1 * ? *", ["Thu 2026-01-01 08:00", "Sun 2026-02-01 08:00", "Sun 2026-03-01 08:00"]),
        ("0/15 * * * ? *", ["Thu 2026-01-01 00:15", "Thu 2026-01-01 00:30", "Thu 2026-01-01 00:45"]),
        ("0/5 8-17 ? * MON-FRI *", ["Thu 2026-01-01 08:00", "Thu 2026-01-01 08:05", "Thu 2026-01-01 08:10"]),
        ("0 9 ? * 2#1 *", ["Mon 2026-01-05 09:00", "Mon 2026-02-02 09:00", "Mon 2026-03-02 09:00"]),
        ("0 9 ? * FRI#5 *", ["Fri 2026-01-30 09:00", "Fri 2026-05-29 09:00", "Fri 2026-07-31 09:00"]),
        ("15 10 ? * 6L 2026-2027", ["Fri 2026-01-30 10:15", "Fri 2026-02-27 10:15", "Fri 2026-03-27 10:15"]),
        ("0 0 ? * SUNL *", ["Sun 2026-01-25 00:00", "Sun 2026-02-22 00:00", "Sun 2026-03-29 00:00"]),
        ("0 0 ? * L *", ["Sat 2026-01-03 00:00", "Sat 2026-01-10 00:00", "Sat 2026-01-17 00:00"]),
        ("0 0 ? * 1 *", ["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00", "Sun 2026-01-18 00:00"]),
        ("0 0 ? * 7 *", ["Sat 2026-01-03 00:00", "Sat 2026-01-10 00:00", "Sat 2026-01-17 00:00"]),
        ("0 5 L * ? *", ["Sat 2026-01-31 05:00", "Sat 2026-02-28 05:00", "Tue 2026-03-31 05:00"]),
        ("0 5 L-2 2 ? *", ["Thu 2026-02-26 05:00", "Fri 2027-02-26 05:00", "Sun 2028-02-27 05:00"]),
        ("0 5 LW * ? *", ["Fri 2026-01-30 05:00", "Fri 2026-02-27 05:00", "Tue 2026-03-31 05:00"]),
        ("0 5 1W * ? *", ["Thu 2026-01-01 05:00", "Mon 2026-02-02 05:00", "Mon 2026-03-02 05:00"]),
        ("0 5 15W * ? *", ["Thu 2026-01-15 05:00", "Mon 2026-02-16 05:00", "Mon 2026-03-16 05:00"]),
        ("0 5 31W 1-5 ? 2026", ["Fri 2026-01-30 05:00", "Tue 2026-03-31 05:00", "Fri 2026-05-29 05:00"]),
        ("30 0 29 FEB ? *", ["Tue 2028-02-29 00:30", "Sun 2032-02-29 00:30", "Fri 2036-02-29 00:30"]),
        ("0 0 1 jan,jul ? *", ["Wed 2026-07-01 00:00", "Fri 2027-01-01 00:00", "Thu 2027-07-01 00:00"]),
        ("0 0 ? * FRI-MON *", ["Fri 2026-01-02 00:00", "Sat 2026-01-03 00:00", "Sun 2026-01-04 00:00"]),
        ("0 22-1 * * ? *", ["Thu 2026-01-01 01:00", "Thu 2026-01-01 22:00", "Thu 2026-01-01 23:00"]),
        ("5  4   *  *  ?  *", ["Thu 2026-01-01 04:05", "Fri 2026-01-02 04:05", "Sat 2026-01-03 04:05"]),
        ("59 23 31 12 ? 2199", ["Tue 2199-12-31 23:59"]),
        ("0 0 30 2 ? *", []),
        ("0 0 1 1 ? 2005", []),
        ("0 0 L-30 2 ? *", []),
    ],
)
def test_expressions_name_their_minutes(expression: str, expected: list[str]) -> None:
    assert first(expression, "2026-01-01T00:00:00") == expected


def test_after_is_strictly_after_and_keeps_whole_minutes() -> None:
    assert first("0/1 * * * ? *", "2026-01-01T00:00:00", 1) == ["Thu 2026-01-01 00:01"]
    assert first("0/1 * * * ? *", "2026-01-01T00:00:59.999999", 1) == ["Thu 2026-01-01 00:01"]


@pytest.mark.parametrize(
    ("expression", "mark", "reason"),
    [
        ("60 0 * * ? *", "60", "minute 60 is outside 0-59"),
        ("0 24 * * ? *", "24", "hour 24 is outside 0-23"),
        ("0 0 0 * ? *", "0 * ?", "day-of-month 0 is outside 1-31"),
        ("0 0 32 * ? *", "32", "day-of-month 32 is outside 1-31"),
        ("0 0 1 13 ? *", "13", "month 13 is outside 1-12 or JAN-DEC"),
        ("0 0 1 MON ? *", "MON", "month MON is outside"),
        ("0 0 ? * 0 *", "0 *", "day-of-week 0 is outside 1-7 or SUN-SAT"),
        ("0 0 ? * 8 *", "8", "day-of-week 8 is outside"),
        ("0 0 * * ? 1969", "1969", "year 1969 is outside 1970-2199"),
        ("0 0 * * ? 2200", "2200", "year 2200 is outside"),
        ("0 0 * * ? 2030-2029", "2030", "ends before it begins"),
        ("0 0 * * * *", "* *", "cannot both be given"),
        ("0 0 1 * MON *", "MON", "cannot both be given"),
        ("0 0 ? * ? *", "? *", "cannot both be ?"),
        ("0 0 * * ?", "", "takes six fields"),
        ("0 0 * * ? * *", "*", "takes six fields"),
        ("0/0 * * * ? *", "0 *", "the step after / is 0, outside 1-59"),
        ("* */24 * * ? *", "24", "the step after / is 24, outside 1-23"),
        ("1-2-3 * * * ? *", "1-2-3", "is not a value, a range or a step"),
        ("*-5 * * * ? *", "*-5", "is not a value, a range or a step"),
        ("1,,2 * * * ? *", ",2", "is not a value, a range or a step"),
        ("? * * * ? *", "? * *", "minute '?' is not"),
        ("L * * * ? *", "L", "minute L is outside"),
        ("0 0 1,15W * ? *", "W", "takes one expression when it uses W"),
        ("0 0 L,1 * ? *", "L", "takes one expression when it uses L"),
        ("0 0 L-31 * ? *", "31", "is 31, outside 1-30"),
        ("0 0 32W * ? *", "32", "day-of-month is 32, outside 1-31"),
        ("0 0 ? * 3#1,6#3 *", "#1", "takes one expression when it uses #"),
        ("0 0 ? * 3#6 *", "6", "is 6, outside 1-5"),
        ("0 0 ? * XYZ#1 *", "XYZ", "day-of-week XYZ is outside"),
        ("0 0 ? * 5W *", "5W", "is not a value"),
        ("١ 0 * * ? *", "١", "is not a value"),
        ("9" * 5000 + " 0 * * ? *", "9", "is not a value"),
    ],
)
def test_what_aws_refuses_is_refused_with_place_and_reason(expression: str, mark: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_cron(expression, 5)
    assert reason in str(refused.value)
    at = refused.value.position - 5
    assert expression[at:].startswith(mark), f"the mark stands before {expression[at:]!r}"


# An independent reading: does this minute match? Written from AWS's tables, without a line of the implementation.


def matches(expression: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday, year = expression.split()
    return (
        in_field(minute, wall.minute, 0, 59)
        and in_field(hour, wall.hour, 0, 23)
        and in_field(month, wall.month, 1, 12, MONTHS)
        and in_field(year, wall.year, 1970, 2199)
        and (matches_weekday(weekday, wall) if day == "?" else matches_day(day, wall))
    )


def in_field(field: str, actual: int, low: int, high: int, names: list[str] | None = None) -> bool:
    def read(word: str) -> int:
        return names.index(word) + low if names and word in names else int(word)

    for item in field.split(","):
        body, _, step = item.partition("/")
        begin, _, end = body.partition("-")
        if begin == "*":
            allowed = list(range(low, high + 1))
        elif end and read(end) < read(begin):
            allowed = [*range(read(begin), high + 1), *range(low, read(end) + 1)]
        else:
            allowed = list(range(read(begin), (read(end) if end else high if step else read(begin)) + 1))
        if actual in allowed[:: int(step or 1)]:
            return True
    return False


def matches_day(field: str, wall: datetime) -> bool:
    last = monthrange(wall.year, wall.month)[1]
    if field == "LW":
        return wall.day == max(day for day in range(1, last + 1) if wall.replace(day=day).weekday() < 5)
    if field.startswith("L"):
        return wall.day == last - int(field[2:] or 0)
    if field.endswith("W"):
        wanted = int(field[:-1])
        if wanted > last:
            return False
        weekdays = [day for day in range(1, last + 1) if wall.replace(day=day).weekday() < 5]
        return wall.day == min(weekdays, key=lambda day: abs(day - wanted))
    return in_field(field, wall.day, 1, 31)


def matches_weekday(field: str, wall: datetime) -> bool:
    number = wall.isoweekday() % 7 + 1
    if field == "L":
        return number == 7
    if "#" in field:
        weekday, nth = field.split("#")
        return in_field(weekday, number, 1, 7, DAYS) and (wall.day - 1) // 7 + 1 == int(nth)
    if field.endswith("L"):
        return in_field(field[:-1], number, 1, 7, DAYS) and wall.day + 7 > monthrange(wall.year, wall.month)[1]
    return in_field(field, number, 1, 7, DAYS)


def brute_force(expression: str, wall: datetime, end: datetime) -> list[datetime]:
    found = []
    while wall < end:
        wall += MINUTE
        if matches(expression, wall):
            found.append(wall)
    return found


def numbers(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    values = st.integers(low, high).map(str)
    return values | st.sampled_from(names) if names else values


def field(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    value = numbers(low, high, names)
    span = st.builds("{}-{}".format, value, value)
    step = st.builds("{}/{}".format, st.just("*") | value | span, st.integers(1, high - low))
    return st.just("*") | st.lists(value | span | step, min_size=1, max_size=3).map(",".join)


day_fields = field(1, 31) | st.sampled_from(["L", "LW"]) | st.integers(1, 30).map("L-{}".format) | st.integers(1, 31).map("{}W".format)
weekday_fields = (
    field(1, 7, DAYS)
    | st.just("L")
    | st.builds("{}L".format, numbers(1, 7, DAYS))
    | st.builds("{}#{}".format, numbers(1, 7, DAYS), st.integers(1, 5))
)
days = st.tuples(day_fields, st.just("?")) | st.tuples(st.just("?"), weekday_fields)
years = st.sampled_from(["*", "2026", "2025-2027", "2024/2", "2026,2028"])
expressions = st.builds(
    lambda minute, hour, month, day, year: f"{minute} {hour} {day[0]} {month} {day[1]} {year}",
    field(0, 59),
    field(0, 23),
    field(1, 12, MONTHS),
    days,
    years,
)
# Month ends, leap days and year ends are where calendars go wrong; half of the windows lie there.
window_starts = st.datetimes(datetime(2025, 12, 1), datetime(2028, 3, 10)) | st.sampled_from(
    [datetime(2025, 12, 30, 23, 50), datetime(2026, 1, 30, 23), datetime(2026, 2, 27, 22), datetime(2028, 2, 28, 12), datetime(2026, 4, 30, 20)]
)


@settings(max_examples=examples(80), deadline=None)
@given(expressions, window_starts)
def test_every_minute_of_a_window_agrees_with_the_second_reading(expression: str, start: datetime) -> None:
    start = start.replace(second=0, microsecond=0)
    end = start + timedelta(days=1)
    cron, wall, found = parse_cron(expression), start, []
    while (following := cron.after(wall)) is not None and following <= end:
        wall = following
        found.append(wall)
    assert found == brute_force(expression, start, end)


@settings(max_examples=examples(60), deadline=None)
@given(days, st.integers(2024, 2029))
def test_every_day_of_a_year_agrees_with_the_second_reading(day: tuple[str, str], year: int) -> None:
    expression = f"0 12 {day[0]} * {day[1]} *"
    noon = [datetime(year, 1, 1, 12) + timedelta(days=number) for number in range(366)]
    cron, wall, found = parse_cron(expression), datetime(year, 1, 1), []
    while (following := cron.after(wall)) is not None and following <= noon[-1]:
        wall = following
        found.append(wall)
    assert found == [wall for wall in noon if matches(expression, wall)]
