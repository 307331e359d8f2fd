"""Schedules and their groups as rows, inside the caller's transaction. Every region has the group ``default``, which nobody made."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.services.schedules.definition import Definition
from eventflow.services.schedules.refusals import exists, invalid, no_group, no_schedule

DEFAULT = "default"
MOST_TAGS = 50
PAGE = 100
#: How long the ClientToken of a delete is remembered (seconds), and how many of those that are older one delete clears away.
REMEMBERED, SWEEP = 3600.0, 20

COLUMNS = "id, region, group_name, name, definition, created_at, modified_at, token, anchor"
SELECT = f"SELECT {COLUMNS} FROM schedules WHERE region = ? AND group_name = ? AND name = ?"
INSERT = """
INSERT INTO schedules (region, group_name, name, definition, created_at, modified_at, token, anchor, instant, due_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
UPDATE = "UPDATE schedules SET definition = ?, modified_at = ?, anchor = ?, instant = ?, due_at = ? WHERE id = ?"
DELETE = "DELETE FROM schedules WHERE id = ?"
DELETE_FIRES = "DELETE FROM schedule_fires WHERE schedule_id = ?"
LIST = f"""
SELECT {COLUMNS} FROM schedules
WHERE region = :region AND (group_name, name) > (:after_group, :after_name) AND group_name >= :low AND group_name <= :high
AND substr(name, 1, length(:prefix)) = :prefix
AND (:enabled IS NULL OR json_extract(definition, '$.enabled') = :enabled)
ORDER BY group_name, name LIMIT :limit
"""

SELECT_GROUP = "SELECT name, created_at, modified_at, tags, token FROM schedule_groups WHERE region = ? AND name = ?"
INSERT_GROUP = "INSERT INTO schedule_groups (region, name, created_at, modified_at, tags, token) VALUES (?, ?, ?, ?, ?, ?)"
TAG_GROUP = "UPDATE schedule_groups SET tags = ?, modified_at = ? WHERE region = ? AND name = ?"
DELETE_GROUP = "DELETE FROM schedule_groups WHERE region = ? AND name = ?"
FIRES_OF_GROUP = "DELETE FROM schedule_fires WHERE schedule_id IN (SELECT id FROM schedules WHERE region = ? AND group_name = ?)"
SCHEDULES_OF_GROUP = "DELETE FROM schedules WHERE region = ? AND group_name = ?"
LIST_GROUPS = """
SELECT name, created_at, modified_at, tags, token FROM schedule_groups WHERE region = :region AND name > :after
AND substr(name, 1, length(:prefix)) = :prefix ORDER BY name LIMIT :limit
"""

REMEMBER = "INSERT OR IGNORE INTO schedule_tokens (region, subject, token, created_at) VALUES (?, ?, ?, ?)"
RECALL = "SELECT 1 FROM schedule_tokens WHERE region = ? AND subject = ? AND token = ?"
FORGET = (
    "DELETE FROM schedule_tokens WHERE (region, subject, token) IN (SELECT region, subject, token FROM schedule_tokens WHERE created_at < ? LIMIT ?)"
)


@dataclass(frozen=True, slots=True)
class Schedule:
    id: int
    region: str
    group: str
    name: str
    definition: Definition
    created_at: float
    modified_at: float
    token: str | None
    anchor: float

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Schedule:
        id, region, group, name, definition, created_at, modified_at, token, anchor = row
        return cls(id, region, group, name, Definition.load(definition), created_at, modified_at, token, anchor)


@dataclass(frozen=True, slots=True)
class Group:
    """``created_at`` is None for ``default``."""

    name: str
    created_at: float | None = None
    modified_at: float | None = None
    tags: Mapping[str, str] | None = None
    token: str | None = None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Group:
        name, created_at, modified_at, tags, token = row
        return cls(name, created_at, modified_at, json.loads(tags), token)


def schedule_arn(region: str, account: str, group: str, name: str) -> str:
    return f"arn:aws:scheduler:{region}:{account}:schedule/{group}/{name}"


def group_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:scheduler:{region}:{account}:schedule-group/{name}"


# Schedules.


def find(connection: sqlite3.Connection, region: str, group: str, name: str) -> Schedule:
    row = connection.execute(SELECT, (region, group, name)).fetchone()
    if row is None:
        find_group(connection, region, group)
        raise no_schedule(name)
    return Schedule.of(row)


def create(
    connection: sqlite3.Connection, region: str, account: str, group: str, name: str, definition: Definition, token: str | None, now: float
) -> None:
    """Make a schedule. The same call with the same ClientToken again changes nothing, and is not refused."""
    find_group(connection, region, group)
    row = connection.execute(SELECT, (region, group, name)).fetchone()
    if row is not None:
        standing = Schedule.of(row)
        if token is not None and standing.token == token and standing.definition == definition:
            return
        raise exists("Schedule", name)
    anchor = definition.begin(now)
    planned = plan(definition, schedule_arn(region, account, group, name), definition.first(anchor, now), now)
    connection.execute(INSERT, (region, group, name, definition.text(), now, now, token, anchor, *planned))


def update(connection: sqlite3.Connection, account: str, standing: Schedule, definition: Definition, now: float) -> None:
    """Replace all that a schedule says. A rate that stays the same keeps its phase; no instant comes twice."""
    same = definition.same_phase(standing.definition)
    anchor = standing.anchor if same else definition.begin(now)
    arn = schedule_arn(standing.region, account, standing.group, standing.name)
    instant = definition.first(anchor, now)
    if same and definition.zone == standing.definition.zone and definition.enabled and standing.definition.enabled:
        (instant,) = connection.execute("SELECT instant FROM schedules WHERE id = ?", (standing.id,)).fetchone()
        if instant is not None and definition.end is not None and instant > definition.end:
            instant = None
    connection.execute(UPDATE, (definition.text(), now, anchor, *plan(definition, arn, instant, now), standing.id))


def plan(definition: Definition, arn: str, instant: float | None, now: float) -> tuple[float | None, float | None]:
    """The columns ``instant`` and ``due_at``: an instant that is past already is due now, and ages from now on."""
    if instant is None or not definition.enabled:
        return None, None
    return instant, max(definition.due(arn, instant), now)


def delete(connection: sqlite3.Connection, schedule: Schedule) -> None:
    connection.execute(DELETE, (schedule.id,))
    connection.execute(DELETE_FIRES, (schedule.id,))


def page(
    connection: sqlite3.Connection, region: str, group: str | None, prefix: str, enabled: bool | None, limit: int | None, token: str | None
) -> tuple[list[Schedule], str | None]:
    if group is not None:
        find_group(connection, region, group)
    after_group, after_name = start(token, 2) if token is not None else ("", "")
    rows = connection.execute(
        LIST,
        {
            "region": region,
            "after_group": after_group,
            "after_name": after_name,
            "low": group or "",
            "high": group or "\U0010ffff",
            "prefix": prefix,
            "enabled": enabled,
            "limit": (limit or PAGE) + 1,
        },
    ).fetchall()
    found = [Schedule.of(row) for row in rows[: limit or PAGE]]
    return found, end([found[-1].group, found[-1].name]) if len(rows) > len(found) else None


# Groups.


def find_group(connection: sqlite3.Connection, region: str, name: str) -> Group:
    row = connection.execute(SELECT_GROUP, (region, name)).fetchone()
    if row is not None:
        return Group.of(row)
    if name == DEFAULT:
        return Group(DEFAULT, tags={})
    raise no_group(name)


def create_group(connection: sqlite3.Connection, region: str, name: str, tags: Mapping[str, str], token: str | None, now: float) -> None:
    row = connection.execute(SELECT_GROUP, (region, name)).fetchone()
    if row is not None or name == DEFAULT:
        standing = Group.of(row) if row is not None else Group(DEFAULT)
        if token is not None and standing.token == token and standing.tags == tags:
            return
        raise exists("Schedule group", name)
    connection.execute(INSERT_GROUP, (region, name, now, now, json.dumps(checked_tags(tags)), token))


def delete_group(connection: sqlite3.Connection, region: str, name: str) -> None:
    """Delete a group and all its schedules."""
    if name == DEFAULT:
        raise invalid("The default schedule group cannot be deleted.")
    find_group(connection, region, name)
    connection.execute(FIRES_OF_GROUP, (region, name))
    connection.execute(SCHEDULES_OF_GROUP, (region, name))
    connection.execute(DELETE_GROUP, (region, name))


def groups(connection: sqlite3.Connection, region: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Group], str | None]:
    after = start(token, 1)[0] if token is not None else ""
    most = limit or PAGE
    rows = connection.execute(LIST_GROUPS, {"region": region, "after": after, "prefix": prefix, "limit": most + 1}).fetchall()
    found = [Group.of(row) for row in rows]
    if after < DEFAULT and DEFAULT.startswith(prefix) and all(group.name != DEFAULT for group in found):
        found = sorted([*found, Group(DEFAULT)], key=lambda group: group.name)
    return found[:most], end([found[most - 1].name]) if len(found) > most else None


def change_tags(connection: sqlite3.Connection, region: str, name: str, added: Mapping[str, str], removed: Iterable[str], now: float) -> None:
    group = find_group(connection, region, name)
    if group.created_at is None:
        raise invalid("The default schedule group cannot be tagged.")
    tags = {key: value for key, value in {**(group.tags or {}), **added}.items() if key not in set(removed)}
    connection.execute(TAG_GROUP, (json.dumps(checked_tags(tags)), now, region, name))


def checked_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > MOST_TAGS:
        raise invalid(f"A schedule group may have {MOST_TAGS} tags; these would be {len(tags)}.")
    for key in tags:
        if key.lower().startswith("aws:"):
            raise invalid(f"The tag key {key} begins with aws:, which is reserved.")
    return tags


# Tokens.


def recalled(connection: sqlite3.Connection, region: str, subject: str, token: str | None) -> bool:
    """Whether a delete with this token was done already."""
    return token is not None and connection.execute(RECALL, (region, subject, token)).fetchone() is not None


def remember(connection: sqlite3.Connection, region: str, subject: str, token: str | None, now: float) -> None:
    connection.execute(FORGET, (now - REMEMBERED, SWEEP))
    if token is not None:
        connection.execute(REMEMBER, (region, subject, token, now))


def end(words: list[str]) -> str:
    """The token of the page that follows."""
    return base64.urlsafe_b64encode(json.dumps(words).encode()).decode()


def start(token: str, length: int) -> list[str]:
    try:
        words = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, RecursionError):
        words = None
    if not isinstance(words, list) or len(words) != length or not all(isinstance(word, str) for word in words):
        raise invalid("Invalid NextToken: pass the one that the former page ended with.")
    return words
