"""What a schedule says: its expression, zone, dates, window and target, checked once, and the instants that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from eventflow.cron import ExpressionError
from eventflow.services.schedules.destination import Place, checked
from eventflow.services.schedules.refusals import invalid
from eventflow.timetable import At, Rate, Timetable, parse_timetable, parse_zone

#: AWS: "The StartDate you specify cannot be earlier than 5 minutes ago."
OLDEST_START = 300.0
INSTANT = 0.001


@dataclass(frozen=True)
class Definition:
    """``start`` and ``end`` are Unix seconds, ``window`` minutes (0: no flexible window), ``after`` the ActionAfterCompletion."""

    expression: str
    zone: str
    start: float | None
    end: float | None
    enabled: bool
    window: int
    description: str | None
    after: str
    target: Mapping[str, Any]

    @classmethod
    def of(cls, params: Mapping[str, Any], now: float, place: Place) -> Definition:
        """What CreateSchedule and UpdateSchedule are given, once nothing speaks against it."""
        if params.get("KmsKeyArn") is not None:
            raise invalid("KmsKeyArn is not supported: what schedules say is not encrypted here; leave it out.")
        definition = cls(
            expression=params["ScheduleExpression"],
            zone=params.get("ScheduleExpressionTimezone") or "UTC",
            start=seconds(params.get("StartDate")),
            end=seconds(params.get("EndDate")),
            enabled=params.get("State") != "DISABLED",
            window=window_of(params["FlexibleTimeWindow"]),
            description=params.get("Description"),
            after=params.get("ActionAfterCompletion") or "NONE",
            target=checked(params["Target"], place),
        )
        definition._check(now)
        return definition

    @classmethod
    def load(cls, text: str) -> Definition:
        return cls(**json.loads(text))

    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @cached_property
    def timetable(self) -> Timetable:
        try:
            zone = parse_zone(self.zone)
        except ValueError as error:
            raise invalid(f"The ScheduleExpressionTimezone {self.zone} is not valid: {error}.") from error
        try:
            return parse_timetable(self.expression, zone)
        except ExpressionError as error:
            raise invalid(f"Invalid Schedule Expression {self.expression}: {error.reason}.") from error

    def _check(self, now: float) -> None:
        if isinstance(self.timetable, At):
            return  # AWS: StartDate and EndDate are ignored for one-time schedules
        if self.start is not None and self.start < now - OLDEST_START:
            raise invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
        if self.end is not None and self.end <= (now if self.start is None else self.start):
            raise invalid(f"The EndDate you specify must come after {'now' if self.start is None else 'the StartDate'}.")

    def same_phase(self, other: Definition) -> bool:
        """Whether a rate goes on counting from where the other began."""
        return (self.expression, self.start) == (other.expression, other.start)

    def begin(self, now: float) -> float:
        """From where a schedule that is made now counts: a rate fires at its StartDate, or at once (AWS: "Rate-based schedules")."""
        return float(int(self.start if self.start is not None else now))

    def first(self, anchor: float, now: float) -> float | None:
        """The first instant of a schedule that begins, or goes on, now."""
        if isinstance(self.timetable, At):
            return self.timetable.instant
        earliest = now if anchor < int(now) else anchor - INSTANT
        return self.following(anchor, earliest if self.start is None else max(earliest, self.start - INSTANT))

    def following(self, anchor: float, instant: float) -> float | None:
        """The first instant after ``instant``, or None if none is left."""
        timetable = self.timetable
        if isinstance(timetable, At):
            return timetable.after(instant, anchor)
        found = timetable.after(instant, anchor - timetable.seconds if isinstance(timetable, Rate) else anchor)
        return None if found is None or (self.end is not None and found > self.end) else found

    def due(self, arn: str, instant: float) -> float:
        """When an instant is delivered: at once, or at a moment within the flexible window that chance chose and every restart chooses again."""
        if not self.window:
            return instant
        digest = hashlib.sha256(f"{arn} {instant}".encode()).digest()
        return instant + self.window * 60 * (int.from_bytes(digest[:6], "big") / 2**48)

    def told(self) -> dict[str, Any]:
        """As GetSchedule answers it."""
        found: dict[str, Any] = {
            "ScheduleExpression": self.expression,
            "ScheduleExpressionTimezone": self.zone,
            "State": "ENABLED" if self.enabled else "DISABLED",
            "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": self.window} if self.window else {"Mode": "OFF"},
            "ActionAfterCompletion": self.after,
            "Target": self.target,
        }
        optional = {"StartDate": self.start, "EndDate": self.end, "Description": self.description}
        return found | {name: value for name, value in optional.items() if value is not None}


def window_of(window: Mapping[str, Any]) -> int:
    minutes = window.get("MaximumWindowInMinutes")
    if window["Mode"] == "OFF":
        if minutes is not None:
            raise invalid("FlexibleTimeWindow.MaximumWindowInMinutes must not be set when the Mode is OFF.")
        return 0
    if minutes is None:
        raise invalid("FlexibleTimeWindow.MaximumWindowInMinutes must be set when the Mode is FLEXIBLE.")
    return int(minutes)


def seconds(instant: datetime | float | None) -> float | None:
    return instant.timestamp() if isinstance(instant, datetime) else instant
