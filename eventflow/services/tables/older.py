"""The parameters from before expressions in a request: their shapes, and which of them it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.services.attributes.refusals import invalid
from eventflow.services.expressions.compiler import Filter
from eventflow.services.expressions.drafts import Update
from eventflow.services.expressions.keyconditions import KeyTest
from eventflow.services.expressions.legacy import condition_from, expectations, key_tests_from, projection_from, update_from
from eventflow.services.expressions.projections import Projection
from eventflow.services.tables.constraints import Constraints, lower_first

OPERATORS = ("IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE", "BEGINS_WITH", "GE", "CONTAINS")
ACTIONS = ("ADD", "PUT", "DELETE")
CONDITIONS = ("KeyConditions", "QueryFilter", "ScanFilter")
FILTERS = ("Expected", "QueryFilter", "ScanFilter")
MOST_ATTRIBUTES = 255


def check_older(constraints: Constraints, params: Mapping[str, Any]) -> Constraints:
    """What the shapes of these parameters say against a request."""
    constraints.choices("ConditionalOperator")
    for member in (*CONDITIONS, "Expected"):
        for name, condition in (params.get(member) or {}).items():
            place = f"{lower_first(member)}.{name}.member.comparisonOperator"
            if condition.get("ComparisonOperator") is None and member != "Expected":
                constraints.problem(None, place, "not be null")
            constraints.choice(condition.get("ComparisonOperator"), place, OPERATORS)
    for name, update in (params.get("AttributeUpdates") or {}).items():
        constraints.choice(update.get("Action"), f"attributeUpdates.{name}.member.action", ACTIONS)
    attributes = params.get("AttributesToGet")
    if attributes is not None and not 1 <= len(attributes) <= MOST_ATTRIBUTES:
        rule = f"less than or equal to {MOST_ATTRIBUTES}" if attributes else "greater than or equal to 1"
        constraints.problem(f"[{', '.join(attributes)}]", "attributesToGet", f"have length {rule}")
    return constraints


def refuse_idle_operator(params: Mapping[str, Any]) -> None:
    """A ConditionalOperator joins two conditions or more."""
    if params.get("ConditionalOperator") is None:
        return
    conditions = [params[member] for member in FILTERS if params.get(member) is not None]
    if not conditions:
        raise invalid("ConditionalOperator cannot be used without Filter or Expected")
    if len(conditions[0]) < 2:
        raise invalid("ConditionalOperator can only be used when Filter or Expected has two or more elements")


def older_filter(params: Mapping[str, Any]) -> Filter | None:
    """The QueryFilter or the ScanFilter."""
    conditions = params.get("QueryFilter") or params.get("ScanFilter")
    return condition_from(conditions, params.get("ConditionalOperator")) if conditions else None


def older_condition(params: Mapping[str, Any]) -> Filter | None:
    expected = params.get("Expected")
    return condition_from(expectations(expected), params.get("ConditionalOperator")) if expected else None


def older_projection(params: Mapping[str, Any]) -> Projection | None:
    attributes = params.get("AttributesToGet")
    return None if attributes is None else projection_from(attributes)


def older_key_tests(params: Mapping[str, Any]) -> dict[str, KeyTest] | None:
    conditions = params.get("KeyConditions")
    return None if conditions is None else key_tests_from(conditions)


def older_update(params: Mapping[str, Any]) -> Update | None:
    updates = params.get("AttributeUpdates")
    return None if updates is None else update_from(updates)
