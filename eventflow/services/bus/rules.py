"""Rules: made, changed and deleted, inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.pattern import compile_pattern
from eventflow.services.bus import records
from eventflow.services.bus.errors import invalid, not_found, not_there, too_many, unlike
from eventflow.services.bus.names import DEFAULT, NAME, check_name
from eventflow.services.bus.records import Rule
from eventflow.services.bus.tags import checked_tags
from eventflow.services.bus.targets import Target
from eventflow.services.bus.ticks import first_tick

STATES = ("ENABLED", "DISABLED")
CLOUDTRAIL = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
LONGEST_EXPRESSION = 256
LONGEST_DESCRIPTION = 512
MOST_TARGETS = 5


def check_rule(params: Mapping[str, Any], bus: str) -> None:
    """Refuse what EventBridge refuses of a rule, before anything is written."""
    check_name("name", params["Name"], 64, NAME)
    pattern, schedule = params.get("EventPattern"), params.get("ScheduleExpression")
    if not pattern and not schedule:
        raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    if schedule and bus != DEFAULT:
        raise invalid("ScheduleExpression is supported only on the default event bus.")
    if len(schedule or "") > LONGEST_EXPRESSION:
        raise unlike("scheduleExpression", "...", f"have length less than or equal to {LONGEST_EXPRESSION}")
    if params.get("State") == CLOUDTRAIL:
        raise not_there(f"the State {CLOUDTRAIL}")
    if params.get("State") not in (None, *STATES):
        raise unlike("state", params["State"], f"satisfy enum value set: [{', '.join((*STATES, CLOUDTRAIL))}]")
    check_description(params.get("Description"))
    if pattern:
        compile_pattern(pattern)


def check_description(text: str | None) -> None:
    if len(text or "") > LONGEST_DESCRIPTION:
        raise unlike("description", "...", f"have length less than or equal to {LONGEST_DESCRIPTION}")


def put(connection: sqlite3.Connection, region: str, bus_name: str, params: Mapping[str, Any], now: float) -> None:
    """Make a rule, or make the one that is there into this: what is not given it has no more, except its tags and targets."""
    bus = records.find_bus(connection, region, bus_name)
    former = records.look_up_rule(connection, bus, params["Name"])
    schedule, enabled = params.get("ScheduleExpression") or None, params.get("State") != "DISABLED"
    anchor, next_at = tick_of(former, schedule, enabled, now)
    settings = (params.get("EventPattern") or None, schedule, enabled, params.get("Description"), params.get("RoleArn"))
    if former is not None:
        connection.execute(records.UPDATE_RULE, (*settings, anchor, next_at, former.id))
        return
    tags = json.dumps(checked_tags(params.get("Tags")))
    connection.execute(records.INSERT_RULE, (records.bus_id(connection, bus, now), params["Name"], *settings, tags, anchor, next_at))


def tick_of(former: Rule | None, schedule: str | None, enabled: bool, now: float) -> tuple[float | None, float | None]:
    """A rule that stays as it was keeps its ticks; another schedule, or one that is enabled again, counts from now."""
    if schedule is None:
        return None, None
    anchor, next_at = first_tick(schedule, now)
    if former is not None and former.enabled and former.schedule == schedule and former.next_at is not None:
        anchor, next_at = former.anchor or anchor, former.next_at
    return anchor, next_at if enabled else None


def set_enabled(connection: sqlite3.Connection, rule: Rule, enabled: bool, now: float) -> None:
    if rule.enabled != enabled:
        anchor, next_at = tick_of(rule, rule.schedule, enabled, now)
        settings = (rule.pattern, rule.schedule, enabled, rule.description, rule.role)
        connection.execute(records.UPDATE_RULE, (*settings, anchor, next_at, rule.id))


def delete(connection: sqlite3.Connection, region: str, bus_name: str, name: str) -> None:
    """Delete a rule that has no targets; one that is not there is deleted already."""
    rule = records.look_up_rule(connection, records.find_bus(connection, region, bus_name), name)
    if rule is None:
        return
    if records.target_count(connection, rule.id):
        raise invalid("Rule can't be deleted since it has targets.")
    connection.execute("DELETE FROM bus_rules WHERE id = ?", (rule.id,))


def put_targets(connection: sqlite3.Connection, rule: Rule, targets: Sequence[Target]) -> None:
    for target in targets:
        records.put_target(connection, rule.id, target.id, target.arn, target.settings)
    if records.target_count(connection, rule.id) > MOST_TARGETS:
        raise too_many()
    for target in targets:
        if target.kind == "bus" and records.look_up(connection, target.region, target.name) is None:
            raise not_found(f"Event bus {target.name} does not exist.")


def remove_targets(connection: sqlite3.Connection, rule: Rule, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Remove them; what was not there is told as a failed entry."""
    gone = {id: records.remove_target(connection, rule.id, id) for id in ids}
    failed = [id for id, removed in gone.items() if not removed]
    text = "Rule {rule} does not have a target with the Id {id}."
    return [{"TargetId": id, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": text.format(rule=rule.name, id=id)} for id in failed]
