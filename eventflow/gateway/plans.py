"""API keys and usage plans as an application declares them: who may call which REST APIs, how fast and how often."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eventflow.api_ids import short_id
from eventflow.errors import SettingError
from eventflow.gateway.routes import RouteKey
from eventflow.gateway.throttle import Limit
from eventflow.trigger import Resource

PERIODS = ("DAY", "WEEK", "MONTH")
#: AWS: 20 to 128 characters (API Gateway developer guide, "API key source").
SHORTEST_VALUE, LONGEST_VALUE = 20, 128
MOST_QUOTA = 1_000_000_000_000
PLAN_OPTIONS = ("rate", "burst", "quota", "period", "keys", "apis", "methods")


@dataclass(frozen=True)
class ApiKey:
    """``value`` is what clients send; ``generated`` tells that it was made here."""

    name: str
    id: str
    value: str = field(repr=False)
    enabled: bool = True
    generated: bool = False


@dataclass(frozen=True)
class UsagePlan:
    """``limit`` is for each of ``keys`` over all of ``apis`` (names of REST APIs, or ``name/stage``; None: all), ``methods`` for each key of one
    route; ``quota`` is how many requests each key has in a ``period``."""

    name: str
    id: str
    keys: tuple[str, ...]
    apis: frozenset[str] | None = None
    limit: Limit | None = None
    quota: int | None = None
    period: str = "DAY"
    methods: Mapping[str, Limit] = field(default_factory=dict)

    def covers(self, api: str, stage: str) -> bool:
        return self.apis is None or api in self.apis or f"{api}/{stage}" in self.apis


def read_keys(resources: Iterable[Resource], scope: str, generated: Callable[[str], str], variable: Callable[[str], str | None]) -> dict[str, ApiKey]:
    """The keys by name. ``generated`` gives the value of a key that has none, ``variable`` looks into the environment. Raises SettingError, which
    never tells a value."""
    keys: dict[str, ApiKey] = {}
    owners: dict[str, str] = {}
    for resource in resources:
        if resource.kind != "api_key":
            continue
        name, options = resource.name, resource.options
        given = given_value(name, options, variable)
        value = generated(name) if given is None else given
        check_value(name, value)
        if value in owners:
            raise SettingError(f"The API keys {owners[value]!r} and {name!r} have one value; give one of them another.")
        owners[value] = name
        keys[name] = ApiKey(name, short_id(f"{scope}/api_key/{name}"), value, bool(options.get("enabled", True)), given is None)
    return keys


def given_value(name: str, options: Mapping[str, Any], variable: Callable[[str], str | None]) -> str | None:
    if "value" in options:
        return str(options["value"])
    if "variable" in options:
        found = variable(options["variable"])
        if not found:
            raise SettingError(f"API key {name!r}: the environment variable {options['variable']} is not set; it holds the key's value.")
        return found
    if "file" in options:
        try:
            return Path(options["file"]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"API key {name!r}: the file {options['file']} cannot be read: {error}. It holds the key's value.") from error
    return None


def check_value(name: str, value: str) -> None:
    if not SHORTEST_VALUE <= len(value) <= LONGEST_VALUE or not value.isascii() or not value.isprintable() or " " in value:
        raise SettingError(
            f"API key {name!r}: its value of {len(value)} characters is refused: it takes {SHORTEST_VALUE} to {LONGEST_VALUE} printable characters "
            "of ASCII without spaces."
        )


def read_plans(resources: Iterable[Resource], scope: str, keys: Mapping[str, ApiKey], apis: Sequence[tuple[str, str]]) -> dict[str, UsagePlan]:
    """The usage plans by name; ``apis`` are the names of the REST APIs that there are, with their stages. Raises SettingError."""
    known = {name for api, stage in apis for name in (api, f"{api}/{stage}")}
    plans: dict[str, UsagePlan] = {}
    for resource in resources:
        if resource.kind == "usage_plan":
            plans[resource.name] = read_plan(resource, scope, keys, known)
    for api, stage in apis:
        owners: dict[str, str] = {}
        for plan in plans.values():
            for key in plan.keys if plan.covers(api, stage) else ():
                other = owners.setdefault(key, plan.name)
                if other != plan.name:
                    raise SettingError(
                        f"The API key {key!r} is in the usage plans {other!r} and {plan.name!r} for the REST API {api!r} (stage {stage!r}); "
                        "keep it in one."
                    )
    return plans


def read_plan(resource: Resource, scope: str, keys: Mapping[str, ApiKey], apis: set[str]) -> UsagePlan:
    where, options = f"Usage plan {resource.name!r}", resource.options
    for option in options:
        if option not in PLAN_OPTIONS:
            raise SettingError(f"{where} has no option {option!r}; it has: {', '.join(PLAN_OPTIONS)}.")
    named = names(where, "keys", options.get("keys", ()), keys, "API key", "app.api_key")
    chosen = frozenset(names(where, "apis", options["apis"], apis, "REST API", "app.rest_api")) if "apis" in options else None
    limit = None
    if "rate" in options or "burst" in options:
        limit = Limit.read(where, {name: options[name] for name in ("rate", "burst") if name in options})
    quota, period = options.get("quota"), options.get("period", "DAY")
    if quota is not None and (isinstance(quota, bool) or not isinstance(quota, int) or not 1 <= quota <= MOST_QUOTA):
        raise SettingError(f"{where}: quota={quota!r} is refused: it takes a whole number from 1 to {MOST_QUOTA} (requests in a period).")
    if period not in PERIODS or ("period" in options and quota is None):
        raise SettingError(f"{where}: period={period!r} is refused: it takes {', '.join(PERIODS)}, beside a quota.")
    methods = options.get("methods", {})
    if not isinstance(methods, Mapping):
        raise SettingError(f"{where}: methods={methods!r} is refused: it takes a dict of routes, such as 'GET /items', to throttles.")
    limits = {route(where, key): Limit.read(f"{where}, {key!r}", value) for key, value in methods.items()}
    return UsagePlan(resource.name, short_id(f"{scope}/usage_plan/{resource.name}"), named, chosen, limit, quota, period, limits)


def names(where: str, option: str, value: Any, known: Iterable[str], noun: str, declare: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SettingError(f"{where}: {option}={value!r} is refused: it takes a list of names.")
    found = tuple(dict.fromkeys(value))
    for name in found:
        if name not in known:
            raise SettingError(f"{where}: there is no {noun} named {name!r}; declare it: {declare}({name!r}).")
    return found


def route(where: str, key: str) -> str:
    try:
        return str(RouteKey.parse(key))
    except SettingError as error:
        raise SettingError(f"{where}: methods: {error}") from error


def period_of(period: str, now: float) -> tuple[int, int]:
    """The first second of the period that an instant is in, and that of the next, in UTC; weeks begin on Sundays."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "WEEK":
        start = day - timedelta(days=(day.weekday() + 1) % 7)
        end = start + timedelta(days=7)
    elif period == "MONTH":
        start = day.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        start, end = day, day + timedelta(days=1)
    return int(start.timestamp()), int(end.timestamp())


def digest(value: str) -> bytes:
    """What keys are looked up by: how long that takes tells nothing of how much of a value was right."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
