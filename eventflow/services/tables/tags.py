"""Tags of tables: at most fifty names and values each, by the table's ARN."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.tables.constraints import Constraints, arn

MOST_TAGS = 50
LONGEST_KEY = 128
LONGEST_VALUE = 256
RESERVED = "aws:"

SET = "INSERT INTO table_tags (table_id, key, value) VALUES (?, ?, ?) ON CONFLICT (table_id, key) DO UPDATE SET value = excluded.value"
REMOVE = "DELETE FROM table_tags WHERE table_id = ? AND key = ?"
COUNT = "SELECT COUNT(*) FROM table_tags WHERE table_id = ?"
LIST = "SELECT key, value FROM table_tags WHERE table_id = ? ORDER BY key"


def checked_tags(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tags of a request by their keys."""
    constraints = Constraints({})
    for position, tag in enumerate(tags, 1):
        _check(constraints, tag.get("Key"), f"tags.{position}.member.key", 1, LONGEST_KEY)
        _check(constraints, tag.get("Value"), f"tags.{position}.member.value", 0, LONGEST_VALUE)
    constraints.refuse()
    found = {str(tag["Key"]): str(tag["Value"]) for tag in tags}
    if len(found) != len(tags):
        raise invalid("Duplicate tag key found: each key may be given once in a request.")
    refuse_reserved(found)
    return found


def refuse_reserved(keys: Sequence[str] | Mapping[str, str]) -> None:
    for key in keys:
        if key.lower().startswith(RESERVED):
            raise invalid(f"Tag keys that begin with {RESERVED} are reserved for the system: {key}")


def _check(constraints: Constraints, text: str | None, place: str, least: int, most: int) -> None:
    if text is None:
        constraints.problem(None, place, "not be null")
    elif len(text) < least:
        constraints.problem(text, place, f"have length greater than or equal to {least}")
    elif len(text) > most:
        constraints.problem(text, place, f"have length less than or equal to {most}")


def set_tags(connection: sqlite3.Connection, table_id: int, tags: Mapping[str, str]) -> None:
    connection.executemany(SET, [(table_id, key, value) for key, value in tags.items()])
    if connection.execute(COUNT, (table_id,)).fetchone()[0] > MOST_TAGS:
        raise ServiceError("LimitExceededException", f"Number of tags on this resource exceeds the limit of {MOST_TAGS}")


def remove_tags(connection: sqlite3.Connection, table_id: int, keys: Sequence[str]) -> None:
    connection.executemany(REMOVE, [(table_id, key) for key in keys])


def list_tags(connection: sqlite3.Connection, table_id: int) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in connection.execute(LIST, (table_id,))]


def table_of_arn(text: str | None, region: str, account: str) -> str:
    """The table that a ResourceArn names."""
    if not text:
        raise invalid("Invalid TableArn")
    prefix = arn(region, account, "")
    name = text.removeprefix(prefix)
    if name == text or not name or "/" in name:
        raise invalid(f"Invalid TableArn: Invalid ResourceArn provided as input {text}")
    return name
