"""The rows of buses, rules and targets, read and written inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eventflow.services.bus.errors import not_found
from eventflow.services.bus.names import DEFAULT

BUS = "SELECT id, region, name, description, tags, created_at, modified_at FROM bus_buses"
RULE = """
SELECT r.id, b.region, b.name, r.name, r.pattern, r.schedule, r.enabled, r.description, r.role, r.tags, r.anchor, r.next_at
FROM bus_rules r JOIN bus_buses b ON b.id = r.bus
"""
INSERT_BUS = "INSERT INTO bus_buses (region, name, description, tags, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_RULE = """
INSERT INTO bus_rules (bus, name, pattern, schedule, enabled, description, role, tags, anchor, next_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
UPDATE_RULE = """
UPDATE bus_rules SET pattern = ?, schedule = ?, enabled = ?, description = ?, role = ?, anchor = ?, next_at = ? WHERE id = ?
"""
PUT_TARGET = """
INSERT INTO bus_targets (rule, id, arn, settings) VALUES (?, ?, ?, ?)
ON CONFLICT (rule, id) DO UPDATE SET arn = excluded.arn, settings = excluded.settings
"""


@dataclass(frozen=True, slots=True)
class Bus:
    """``id`` is None for a default bus on which nothing was set yet."""

    id: int | None
    region: str
    name: str
    description: str | None = None
    tags: str = "{}"
    created_at: float | None = None
    modified_at: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    id: int
    region: str
    bus: str
    name: str
    pattern: str | None
    schedule: str | None
    enabled: bool
    description: str | None
    role: str | None
    tags: str
    anchor: float | None
    next_at: float | None


def look_up(connection: sqlite3.Connection, region: str, name: str) -> Bus | None:
    row = connection.execute(f"{BUS} WHERE region = ? AND name = ?", (region, name)).fetchone()
    if row is None:
        return Bus(None, region, name) if name == DEFAULT else None
    return Bus(*row)


def find_bus(connection: sqlite3.Connection, region: str, name: str) -> Bus:
    bus = look_up(connection, region, name)
    if bus is None:
        raise not_found(f"Event bus {name} does not exist.")
    return bus


def insert_bus(connection: sqlite3.Connection, region: str, name: str, description: str | None, tags: str, now: float) -> int:
    return connection.execute(INSERT_BUS, (region, name, description, tags, now, now)).lastrowid or 0


def bus_id(connection: sqlite3.Connection, bus: Bus, now: float) -> int:
    """The row of a bus, made for a default bus that has none."""
    return bus.id if bus.id is not None else insert_bus(connection, bus.region, bus.name, None, "{}", now)


def page(connection: sqlite3.Connection, query: str, arguments: tuple[Any, ...], limit: int) -> list[Any]:
    return connection.execute(f"{query} LIMIT ?", (*arguments, limit)).fetchall()


def buses(connection: sqlite3.Connection, region: str, prefix: str, after: str, limit: int) -> list[Bus]:
    rows = page(
        connection, f"{BUS} WHERE region = ? AND name > ? AND substr(name, 1, ?) = ? ORDER BY name", (region, after, len(prefix), prefix), limit
    )
    found = [Bus(*row) for row in rows]
    if after < DEFAULT and DEFAULT.startswith(prefix) and not any(bus.name == DEFAULT for bus in found):
        found = sorted([*found, Bus(None, region, DEFAULT)], key=lambda bus: bus.name)
    return found[:limit]


def rule_from(row: tuple[Any, ...]) -> Rule:
    id, region, bus, name, pattern, schedule, enabled, *others = row
    return Rule(id, region, bus, name, pattern, schedule, bool(enabled), *others)


def look_up_rule(connection: sqlite3.Connection, bus: Bus, name: str) -> Rule | None:
    row = connection.execute(f"{RULE} WHERE r.bus = ? AND r.name = ?", (bus.id, name)).fetchone()
    return None if row is None else rule_from(row)


def find_rule(connection: sqlite3.Connection, region: str, bus: str, name: str) -> Rule:
    rule = look_up_rule(connection, find_bus(connection, region, bus), name)
    if rule is None:
        raise not_found(f"Rule {name} does not exist on EventBus {bus}.")
    return rule


def rules(connection: sqlite3.Connection, bus: Bus, prefix: str, after: str, limit: int) -> list[Rule]:
    query = f"{RULE} WHERE r.bus = ? AND r.name > ? AND substr(r.name, 1, ?) = ? ORDER BY r.name"
    return [rule_from(row) for row in page(connection, query, (bus.id, after, len(prefix), prefix), limit)]


def enabled_rules(connection: sqlite3.Connection, region: str, bus: str) -> list[Rule]:
    query = f"{RULE} WHERE b.region = ? AND b.name = ? AND r.enabled AND r.pattern IS NOT NULL ORDER BY r.name"
    return [rule_from(row) for row in connection.execute(query, (region, bus))]


def due_rules(connection: sqlite3.Connection, now: float, limit: int) -> list[Rule]:
    return [rule_from(row) for row in page(connection, f"{RULE} WHERE r.next_at <= ? ORDER BY r.next_at", (now,), limit)]


def rule_names_by_target(connection: sqlite3.Connection, bus: Bus, arn: str, after: str, limit: int) -> list[str]:
    query = """
    SELECT DISTINCT r.name FROM bus_targets t JOIN bus_rules r ON r.id = t.rule WHERE t.arn = ? AND r.bus = ? AND r.name > ? ORDER BY r.name
    """
    return [row[0] for row in page(connection, query, (arn, bus.id, after), limit)]


def targets(connection: sqlite3.Connection, rule: int, after: str = "", limit: int = -1) -> Iterator[dict[str, Any]]:
    for (settings,) in page(connection, "SELECT settings FROM bus_targets WHERE rule = ? AND id > ? ORDER BY id", (rule, after), limit):
        yield json.loads(settings)


def target_count(connection: sqlite3.Connection, rule: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM bus_targets WHERE rule = ?", (rule,)).fetchone()
    return int(count)


def put_target(connection: sqlite3.Connection, rule: int, id: str, arn: str, settings: str) -> None:
    connection.execute(PUT_TARGET, (rule, id, arn, settings))


def remove_target(connection: sqlite3.Connection, rule: int, id: str) -> bool:
    return connection.execute("DELETE FROM bus_targets WHERE rule = ? AND id = ?", (rule, id)).rowcount > 0


def revise(connection: sqlite3.Connection, text: str) -> None:
    """Tell those who keep rules in memory that something changed."""
    connection.execute("UPDATE bus_revision SET text = ?", (text,))


def revision(connection: sqlite3.Connection) -> str:
    (text,) = connection.execute("SELECT text FROM bus_revision").fetchone()
    return str(text)
