"""The parameters from before expressions (``Expected``, ``QueryFilter``, ``KeyConditions``, ``AttributeUpdates``) as the trees of expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import ORDERED, SETS, TYPES, Item, Value, order, type_of, valid_name, valid_value
from eventflow.services.expressions.compiler import Filter
from eventflow.services.expressions.conditions import Between, Comparison, Condition, Junction, Membership, Negation, Predicate, paths_of
from eventflow.services.expressions.drafts import Assignment, Compute, Update, added, deleted
from eventflow.services.expressions.keyconditions import KeyTest
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.operands import Call, PathOperand, ValueOperand
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.predicates import bind
from eventflow.services.expressions.projections import Projection

#: How many values a ComparisonOperator takes; IN any number from one.
COUNTS = {"NULL": 0, "NOT_NULL": 0, "BETWEEN": 2, **dict.fromkeys(("EQ", "NE", "LE", "LT", "GE", "GT", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH"), 1)}
KINDS = {
    **dict.fromkeys(("EQ", "NE"), TYPES),
    **dict.fromkeys(("LE", "LT", "GE", "GT", "CONTAINS", "NOT_CONTAINS", "IN", "BETWEEN"), ORDERED),
    "BEGINS_WITH": frozenset(("S", "B")),
}
COMPARATORS = {"EQ": "=", "NE": "<>", "LE": "<=", "LT": "<", "GE": ">=", "GT": ">"}
INDEXABLE = {"EQ": "=", "LE": "<=", "LT": "<", "GE": ">=", "GT": ">", "BETWEEN": "BETWEEN", "BEGINS_WITH": "begins_with"}

MISMATCH = "Type mismatch for attribute to update"


def condition_from(conditions: Mapping[str, Mapping[str, Any]], conditional_operator: str | None) -> Filter | None:
    """QueryFilter, ScanFilter or, once ``expectations`` has rewritten it, Expected: bound to its own names and values. None where it is empty."""
    checked = {valid_name(name): (condition["ComparisonOperator"], _values(condition)) for name, condition in conditions.items()}
    if not checked:
        return None
    names: dict[str, str] = {}
    values: dict[str, Value] = {}
    parts = tuple(_condition(name, operator, operands, names, values) for name, (operator, operands) in checked.items())
    tree = parts[0] if len(parts) == 1 else Junction(conditional_operator or "AND", parts)
    placeholders = Placeholders(names, values or None)
    try:
        return Filter(bind(tree, placeholders), [placeholders.path(path) for path in paths_of(tree)])
    except ExpressionError as error:
        raise invalid_parameters(str(error)) from error


def _condition(name: str, operator: str, operands: Sequence[Value], names: dict[str, str], values: dict[str, Value]) -> Condition:
    """The leaf that says the same; the attribute and each value get a placeholder, so that no name can be mistaken for anything else."""
    alias = f"#{len(names)}"
    names[alias] = name
    path = PathOperand((alias,))
    literals = []
    for operand in operands:
        literals.append(ValueOperand(f":{len(values)}"))
        values[literals[-1].name] = operand
    if operator in COMPARATORS:
        return Comparison(COMPARATORS[operator], path, literals[0])
    if operator == "BETWEEN":
        return Between(path, literals[0], literals[1])
    if operator == "IN":
        return Membership(path, tuple(literals))
    if operator == "NULL":
        return Predicate(Call("attribute_not_exists", (path,)))
    if operator == "NOT_NULL":
        return Predicate(Call("attribute_exists", (path,)))
    if operator == "BEGINS_WITH":
        return Predicate(Call("begins_with", (path, literals[0])))
    found = Predicate(Call("contains", (path, literals[0])))
    return Negation(found) if operator == "NOT_CONTAINS" else found


def _values(condition: Mapping[str, Any]) -> list[Value]:
    """The values of a condition, checked against its operator in the order in which DynamoDB looks."""
    operator = condition["ComparisonOperator"]
    values = [valid_value(value) for value in condition.get("AttributeValueList") or ()]
    if len(values) != COUNTS.get(operator, len(values) or 1):
        raise invalid_parameters(f"Invalid number of argument(s) for the {operator} ComparisonOperator")
    if len({type_of(value) for value in values}) > 1:
        raise invalid_parameters("AttributeValues inside AttributeValueList must be of same type")
    for value in values:
        if type_of(value) not in KINDS[operator]:
            raise invalid_parameters(f"ComparisonOperator {operator} is not valid for {type_of(value)} AttributeValue type")
    if operator == "BETWEEN" and order(values[0]) > order(values[1]):
        raise invalid("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
    return values


def expectations(expected: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """``Expected`` with each of its older forms (Value, Exists) as a ComparisonOperator and its values."""
    return {name: _expectation(name, expectation) for name, expectation in expected.items()}


def _expectation(name: str, expectation: Mapping[str, Any]) -> dict[str, Any]:
    operator, value, values, exists = (expectation.get(member) for member in ("ComparisonOperator", "Value", "AttributeValueList", "Exists"))
    if values is not None and value is not None:
        raise invalid_parameters(f"Value and AttributeValueList cannot be used together for Attribute: {name}")
    if operator is not None:
        if exists is not None:
            raise invalid_parameters(f"Exists and ComparisonOperator cannot be used together for Attribute: {name}")
        if operator not in ("NULL", "NOT_NULL") and values is None and value is None:
            raise invalid_parameters(f"Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}")
        return {"ComparisonOperator": operator, "AttributeValueList": values if value is None else [value]}
    if values is not None:
        raise invalid_parameters(f"AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}")
    if exists is False:
        if value is not None:
            raise invalid_parameters(f"Value cannot be used when Exists is false for Attribute: {name}")
        return {"ComparisonOperator": "NULL"}
    if value is None:
        raise invalid_parameters(f"Value must be provided when Exists is {'null' if exists is None else 'true'} for Attribute: {name}")
    return {"ComparisonOperator": "EQ", "AttributeValueList": [value]}


def key_tests_from(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, KeyTest]:
    """KeyConditions as what a KeyConditionExpression is compiled to."""
    checked = {valid_name(name): (condition["ComparisonOperator"], _values(condition)) for name, condition in conditions.items()}
    if not 1 <= len(checked) <= 2:
        raise invalid("Conditions can be of length 1 or 2 only")
    for operator, _operands in checked.values():
        if operator not in INDEXABLE:
            raise invalid("Attempted conditional constraint is not an indexable operation")
    return {name: KeyTest(INDEXABLE[operator], tuple(operands)) for name, (operator, operands) in checked.items()}


def projection_from(attributes: Sequence[str]) -> Projection:
    """AttributesToGet: names, never paths."""
    seen: set[str] = set()
    for name in attributes:
        if valid_name(name) in seen:
            raise invalid_parameters(f"Duplicate value in attribute name: {name}")
        seen.add(name)
    return Projection([(name,) for name in attributes])


def update_from(updates: Mapping[str, Mapping[str, Any]]) -> Update:
    """AttributeUpdates as the assignments of an update expression."""
    return Update([_assignment(valid_name(name), update.get("Action") or "PUT", update.get("Value")) for name, update in updates.items()])


def _assignment(name: str, action: str, content: Mapping[str, Any] | None) -> Assignment:
    if content is None:
        if action != "DELETE":
            raise invalid_parameters("Only DELETE action is allowed when no attribute value is specified")
        return Assignment("REMOVE", (name,), lambda item, current, values: None)
    value = valid_value(content)
    kind = type_of(value)
    if action == "DELETE":
        if kind not in SETS:
            raise invalid_parameters(f"DELETE action with value is not supported for the type {kind}")
        return Assignment("DELETE", (name,), _alike(value, deleted))
    if action == "ADD":
        if kind not in SETS and kind not in ("N", "L"):
            raise invalid_parameters(f"ADD action is not supported for the type {kind}")
        return Assignment("ADD", (name,), _alike(value, _added), kind)
    return Assignment("SET", (name,), lambda item, current, values: value, kind)


def _alike(value: Value, change: Callable[[Value | None, Value], Value | None]) -> Compute:
    """The change of what is there, which must be of the value's type."""

    def compute(item: Item, current: Value | None, values: Mapping[str, Value]) -> Value | None:
        if current is not None and type_of(current) != type_of(value):
            raise invalid(MISMATCH)
        return change(current, value)

    return compute


def _added(current: Value | None, value: Value) -> Value:
    """As ADD in an expression, and lists besides: they are joined."""
    if current is not None and "L" in value:
        return {"L": [*current["L"], *value["L"]]}
    return added(current, value)
