"""Rules with schedules: when each is due, and its event."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC

from eventflow.clock import iso
from eventflow.cron import ExpressionError
from eventflow.event import scheduled_event
from eventflow.services.bus.entries import PutEvent, as_json
from eventflow.services.bus.errors import invalid
from eventflow.services.bus.names import DEFAULT
from eventflow.services.bus.records import Rule
from eventflow.timetable import Timetable, parse_timetable

log = logging.getLogger("eventflow.bus")

#: A tick that is older was missed while nothing ran: it is left out, and that is said. AWS promises a precision of 60 seconds.
PUNCTUAL = 60.0


@dataclass(frozen=True, slots=True)
class Tick:
    """The instant at which a rule fires, None if it does not; and the instant after that, None if there is none."""

    at: float | None
    following: float | None


def timetable_of(expression: str) -> Timetable:
    """The timetable of a rule, in UTC. ``at(...)`` is Scheduler's alone."""
    try:
        if expression.startswith("at("):
            raise ExpressionError("rules take rate(...) and cron(...) alone", 0)
        return parse_timetable(expression, UTC)
    except ExpressionError as error:
        raise invalid(f"Parameter ScheduleExpression is not valid. ({error.reason}, at character {error.position + 1})") from error


def first_tick(expression: str, now: float) -> tuple[float, float | None]:
    """From when on a rate counts, and the first instant."""
    anchor = float(int(now))
    return anchor, timetable_of(expression).after(now, anchor)


def due_tick(rule: Rule, now: float) -> Tick:
    """The tick of a rule whose instant has come."""
    timetable, anchor = timetable_of(rule.schedule or ""), rule.anchor or 0.0
    at = rule.next_at or now
    if at > now - PUNCTUAL:
        return Tick(at, timetable.after(at, anchor))
    log.warning("rule %s missed its instants since %s while nothing ran; it goes on with the next", rule.name, iso(at, milliseconds=False))
    return Tick(None, timetable.after(now - PUNCTUAL, anchor))


def tick_event(rule: Rule, at: float, *, id: str, account: str) -> PutEvent:
    event = scheduled_event(id=id, time=at, account=account, region=rule.region, rule=rule.name)
    return PutEvent(DEFAULT, dict(event), as_json(event), at, None)
