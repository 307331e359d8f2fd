"""UpdateTimeToLive: which attribute of a table's items says when they expire."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from eventflow.services.attributes.refusals import invalid
from eventflow.services.tables.constraints import Constraints
from eventflow.services.tables.creation import check_name
from eventflow.services.tables.definition import not_built

FORGET = "DELETE FROM table_lifetimes WHERE table_id = ?"
BEGIN = "INSERT INTO table_lifetimes (table_id) VALUES (?)"


def specification(params: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether items shall expire, and by which attribute."""
    wanted = params.get("TimeToLiveSpecification")
    constraints = Constraints(params).required("TimeToLiveSpecification")
    if wanted is not None:
        if wanted.get("Enabled") is None:
            constraints.problem(None, "timeToLiveSpecification.enabled", "not be null")
        check_name(constraints, wanted.get("AttributeName"), "timeToLiveSpecification.attributeName")
    constraints.refuse()
    return bool(wanted and wanted["Enabled"]), str(wanted and wanted["AttributeName"])


def with_lifetime(connection: sqlite3.Connection, table_id: int, definition: Mapping[str, Any], enabled: bool, attribute: str) -> dict[str, Any]:
    """The definition with its time to live set or taken away; rows of one that is taken away are swept up later."""
    current = definition.get("TimeToLive")
    if current is not None and current["AttributeName"] != attribute:
        raise invalid(f"TimeToLive is active on a different AttributeName: current AttributeName is {current['AttributeName']}")
    if enabled and current is not None:
        raise invalid("TimeToLive is already enabled")
    if not enabled and current is None:
        raise invalid("TimeToLive is already disabled")
    connection.execute(FORGET, (table_id,))
    rest = {member: value for member, value in definition.items() if member != "TimeToLive"}
    if not enabled:
        return rest
    lifetime_id = connection.execute(BEGIN, (table_id,)).lastrowid
    return {**rest, "TimeToLive": {"AttributeName": attribute, "Id": lifetime_id, "Built": not_built()}}


def describe_lifetime(definition: Mapping[str, Any]) -> dict[str, Any]:
    """AWS's TimeToLiveDescription."""
    current = definition.get("TimeToLive")
    if current is None:
        return {"TimeToLiveStatus": "DISABLED"}
    return {"TimeToLiveStatus": "ENABLING" if "Built" in current else "ENABLED", "AttributeName": current["AttributeName"]}
