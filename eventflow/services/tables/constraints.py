"""What a request must look like before its meaning is considered, and the texts in which DynamoDB's front end says that it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.services.attributes.refusals import invalid

NAME = re.compile(r"[a-zA-Z0-9_.-]+")
LONGEST_NAME = 255

CHOICES = {
    "ReturnConsumedCapacity": ("INDEXES", "TOTAL", "NONE"),
    "ReturnItemCollectionMetrics": ("SIZE", "NONE"),
    "ReturnValues": ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"),
    "ReturnValuesOnConditionCheckFailure": ("ALL_OLD", "NONE"),
    "Select": ("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
    "BillingMode": ("PROVISIONED", "PAY_PER_REQUEST"),
    "TableClass": ("STANDARD", "STANDARD_INFREQUENT_ACCESS"),
    "ConditionalOperator": ("OR", "AND"),
}

#: Parameters from before expressions, which ``eventflow.services.tables.older`` reads.
LEGACY = ("AttributesToGet", "AttributeUpdates", "QueryFilter", "ScanFilter", "Expected", "ConditionalOperator", "KeyConditions")
EXPRESSIONS = ("ProjectionExpression", "FilterExpression", "UpdateExpression", "ConditionExpression", "KeyConditionExpression")


class Constraints:
    """Collects what is wrong with a request's members; DynamoDB reports all of it at once."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params
        self._problems: list[str] = []

    def problem(self, value: object, place: str, rule: str) -> None:
        shown = "null" if value is None else f"'{value}'"
        self._problems.append(f"Value {shown} at '{place}' failed to satisfy constraint: Member must {rule}")

    def required(self, *members: str) -> Constraints:
        for member in members:
            if self._params.get(member) is None:
                self.problem(None, lower_first(member), "not be null")
        return self

    def choices(self, *members: str) -> Constraints:
        for member in members:
            value = self._params.get(member)
            if value is not None:
                self.choice(value, lower_first(member), CHOICES[member])
        return self

    def choice(self, value: object, place: str, allowed: Sequence[object]) -> None:
        if value is not None and value not in allowed:
            self.problem(value, place, f"satisfy enum value set: [{', '.join(map(str, allowed))}]")

    def name(self, value: str, place: str, shortest: int) -> None:
        if len(value) < shortest:
            self.problem(value, place, f"have length greater than or equal to {shortest}")
        elif len(value) > LONGEST_NAME:
            self.problem(value, place, f"have length less than or equal to {LONGEST_NAME}")
        elif not NAME.fullmatch(value):
            self.problem(value, place, f"satisfy regular expression pattern: {NAME.pattern}")

    def between(self, member: str, least: int, most: int | None = None) -> Constraints:
        value = self._params.get(member)
        if value is not None and value < least:
            self.problem(value, lower_first(member), f"have value greater than or equal to {least}")
        if value is not None and most is not None and value > most:
            self.problem(value, lower_first(member), f"have value less than or equal to {most}")
        return self

    def refuse(self) -> None:
        if self._problems:
            count = len(self._problems)
            raise invalid(f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(self._problems)}")


def lower_first(member: str) -> str:
    return member[0].lower() + member[1:]


def table_name(text: str | None, region: str, account: str, *, place: str = "tableName", shortest: int = 1) -> str:
    """The name in a request's TableName, which may also be the ARN of a table of this account and region."""
    constraints = Constraints({})
    if text is None:
        constraints.problem(None, place, "not be null")
        constraints.refuse()
        return ""
    prefix = arn(region, account, "")
    name = text.removeprefix(prefix)
    if name.startswith("arn:"):
        raise invalid(f"Invalid table ARN: {text} is no table of account {account} in {region}; its tables' ARNs begin with {prefix}")
    constraints.name(name, place, shortest)
    constraints.refuse()
    return name


def arn(region: str, account: str, table: str) -> str:
    return f"arn:aws:dynamodb:{region}:{account}:table/{table}"


def refuse_mixed(params: Mapping[str, Any]) -> None:
    """A request says what it wants in expressions or in the parameters from before them; KeyConditions alone go with other expressions."""
    modern = [member for member in EXPRESSIONS if params.get(member) is not None]
    if not modern:
        return
    legacy = [member for member in LEGACY if params.get(member) is not None]
    if "KeyConditions" in legacy and "KeyConditionExpression" not in modern:
        legacy.remove("KeyConditions")
    if legacy:
        raise invalid(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(legacy)}}} Expression parameters: {{{', '.join(modern)}}}"
        )


def refuse_stray_placeholders(params: Mapping[str, Any], expressions: tuple[str, ...]) -> None:
    """Names need an expression that could use them, values one that is not a projection. ``expressions`` are those of the operation."""
    present = [member for member in expressions if params.get(member) is not None]
    if params.get("ExpressionAttributeNames") is not None and not present:
        raise invalid("ExpressionAttributeNames can only be specified when using expressions")
    with_values = [member for member in expressions if member != "ProjectionExpression"]
    if params.get("ExpressionAttributeValues") is not None and with_values and not set(with_values) & set(present):
        verb = "are" if len(with_values) > 1 else "is"
        raise invalid(f"ExpressionAttributeValues can only be specified when using expressions: {' and '.join(with_values)} {verb} null")
