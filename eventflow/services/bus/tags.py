"""Tags of buses and rules."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from eventflow.errors import ServiceError
from eventflow.services.bus import records
from eventflow.services.bus.errors import invalid, not_found, too_many
from eventflow.services.bus.names import DEFAULT, parse_arn

MOST_TAGS = 50


def checked_tags(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    named = {tag["Key"]: tag["Value"] for tag in tags or ()}
    if len(named) < len(tags or ()):
        raise invalid("Duplicate tag keys in the request.")
    for key, value in named.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(f"The tag {key!r} is not valid: a key has 1 to 128 characters, a value up to 256.")
        if key.lower().startswith("aws:"):
            raise invalid(f"The tag {key!r} is not valid: keys that begin with aws: are AWS's own.")
    if len(named) > MOST_TAGS:
        raise too_many(f"A resource has up to {MOST_TAGS} tags.")
    return named


def read(connection: sqlite3.Connection, region: str, arn: str) -> dict[str, str]:
    _table, _id, tags = tagged(connection, region, arn)
    found: dict[str, str] = json.loads(tags)
    return found


def change(connection: sqlite3.Connection, region: str, arn: str, added: Mapping[str, str], removed: Sequence[str], now: float) -> None:
    table, id, text = tagged(connection, region, arn)
    tags = {key: value for key, value in {**json.loads(text), **added}.items() if key not in removed}
    if len(tags) > MOST_TAGS:
        raise too_many(f"A resource has up to {MOST_TAGS} tags.")
    if id is None:
        id = records.insert_bus(connection, region, DEFAULT, None, "{}", now)
    connection.execute(f"UPDATE {table} SET tags = ? WHERE id = ?", (json.dumps(tags), id))


def tagged(connection: sqlite3.Connection, region: str, arn: str) -> tuple[str, int | None, str]:
    """The table, row and tags of what an ARN names."""
    parsed = parse_arn(arn)
    kind, _, name = (parsed.resource if parsed is not None and parsed.service == "events" else "").partition("/")
    try:
        if kind == "event-bus":
            bus = records.find_bus(connection, region, name)
            return "bus_buses", bus.id, bus.tags
        if kind == "rule":
            of, _, rule_name = name.rpartition("/")
            rule = records.find_rule(connection, region, of or DEFAULT, rule_name)
            return "bus_rules", rule.id, rule.tags
    except ServiceError as error:
        raise not_found(f"Resource {arn} does not exist: {error.message}") from error
    raise invalid(f"Parameter ResourceARN {arn} is not valid. Reason: tags are on event buses and rules.")
