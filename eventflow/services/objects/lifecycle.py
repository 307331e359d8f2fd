"""Lifecycle rules: what a bucket's configuration says of an object, a version or an upload, and from when on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects a rule is for: all conditions hold. ``larger`` and ``smaller`` are bytes, and exclude themselves."""

    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    larger: int | None = None
    smaller: int | None = None

    def admits(self, key: str, size: int) -> bool:
        """Whether an object may match, as far as its name and size tell."""
        fits = (self.larger is None or size > self.larger) and (self.smaller is None or size < self.smaller)
        return fits and key.startswith(self.prefix)

    def matches(self, key: str, size: int, tags: Mapping[str, str]) -> bool:
        return self.admits(key, size) and self.tags.items() <= tags.items()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Numbers of days are those of the configuration, ``date`` is in Unix seconds; None is an action that it does not ask for."""

    id: str
    enabled: bool
    filter: Filter = field(default_factory=Filter)
    days: int | None = None
    date: float | None = None
    lonely_markers: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent: int = 0
    abort_days: int | None = None

    def expires_at(self, modified: float) -> float | None:
        """When this rule ends a current version that was made at ``modified``; None if it never does."""
        if self.date is not None:
            return self.date
        return None if self.days is None else midnight_after(modified, self.days)


def midnight_after(moment: float, days: int) -> float:
    """S3 adds the days to the moment, and goes on to the next midnight of UTC."""
    return math.ceil((moment + days * DAY) / DAY) * DAY


def expiration(rules: Iterable[Rule], key: str, size: int, tags: Mapping[str, str], modified: float) -> tuple[float, Rule] | None:
    """When an object expires, and by which rule: the earliest counts."""
    found: tuple[float, Rule] | None = None
    for rule in rules:
        at = rule.expires_at(modified) if rule.enabled and rule.filter.matches(key, size, tags) else None
        if at is not None and (found is None or at < found[0]):
            found = at, rule
    return found


def abortion(rules: Iterable[Rule], key: str, initiated: float) -> tuple[float, Rule] | None:
    """When an upload that is not completed is aborted, and by which rule."""
    found: tuple[float, Rule] | None = None
    for rule in rules:
        if rule.enabled and rule.abort_days is not None and key.startswith(rule.filter.prefix):
            at = midnight_after(initiated, rule.abort_days)
            if found is None or at < found[0]:
                found = at, rule
    return found


def to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [{**{name: getattr(rule, name) for name in RULE}, "filter": {name: getattr(rule.filter, name) for name in FILTER}} for rule in rules]


def from_json(values: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    return tuple(Rule(**{**value, "filter": Filter(**value["filter"])}) for value in values)


FILTER = ("prefix", "tags", "larger", "smaller")
RULE = ("id", "enabled", "days", "date", "lonely_markers", "noncurrent_days", "newer_noncurrent", "abort_days")
