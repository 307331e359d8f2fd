"""What a condition means: its tree, bound to a request's names and values, as a function from an item to yes or no."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from eventflow.services.attributes.values import ORDERED, SETS, TYPES, Item, Value, equal, order, type_of
from eventflow.services.expressions.conditions import (
    Between,
    Comparison,
    Condition,
    Junction,
    Leaf,
    Membership,
    Negation,
    Predicate,
    operands_of,
)
from eventflow.services.expressions.lexer import ExpressionError
from eventflow.services.expressions.operands import (
    Call,
    Evaluate,
    Operand,
    PathOperand,
    ValueOperand,
    bind_path,
    bind_value,
    literal_type,
    needs_path,
    paths_in,
    refuse_count,
    values_in,
    wrong_type,
)
from eventflow.services.expressions.paths import path_text
from eventflow.services.expressions.placeholders import Placeholders

Test = Callable[[Item], bool]

#: Values in the list of IN.
MOST_CHOICES = 100

INEQUALITIES: Mapping[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def bind(condition: Condition, placeholders: Placeholders) -> Test:
    if isinstance(condition, Negation):
        negated = bind(condition.condition, placeholders)
        return lambda item: not negated(item)
    if isinstance(condition, Junction):
        parts = [bind(part, placeholders) for part in condition.conditions]
        if condition.word == "AND":
            return lambda item: all(part(item) for part in parts)
        return lambda item: any(part(item) for part in parts)
    refuse_misfits(condition, placeholders)
    return bind_leaf(condition, placeholders)


def refuse_misfits(leaf: Leaf, placeholders: Placeholders) -> None:
    """Everything about a leaf that is wrong whatever the item, in the order in which DynamoDB looks."""
    operands = operands_of(leaf)
    for operand in operands:
        for path in paths_in(operand):
            placeholders.path(path)
        for name in values_in(operand):
            placeholders.value(name)
    for operand in operands:
        _refuse_counts(operand)
    if isinstance(leaf, Membership) and len(leaf.choices) > MOST_CHOICES:
        raise ExpressionError(f"The IN operator is provided with too many operands; number of operands: {len(leaf.choices)}")
    _refuse_same(leaf, placeholders)
    for operand in operands:
        _refuse_size(operand, placeholders)
    if isinstance(leaf, Predicate):
        _refuse_types(leaf.call, placeholders)
    elif isinstance(leaf, Comparison) and leaf.operator in INEQUALITIES:
        _refuse_unordered(leaf.operator, operands, placeholders)
    elif isinstance(leaf, Between):
        _refuse_unordered("BETWEEN", operands, placeholders)
        _refuse_range(leaf, placeholders)


def _refuse_counts(operand: Operand) -> None:
    if isinstance(operand, Call):
        refuse_count(operand.function, len(operand.arguments))
        for argument in operand.arguments:
            _refuse_counts(argument)


def _refuse_same(leaf: Leaf, placeholders: Placeholders) -> None:
    if isinstance(leaf, Comparison):
        name, pair = leaf.operator, (leaf.left, leaf.right)
    elif isinstance(leaf, Predicate) and len(leaf.call.arguments) == 2:
        name, pair = leaf.call.function, (leaf.call.arguments[0], leaf.call.arguments[1])
    else:
        return
    left, right = pair
    if isinstance(left, PathOperand) and isinstance(right, PathOperand) and placeholders.path(left.path) == placeholders.path(right.path):
        raise ExpressionError(
            "The first operand must be distinct from the remaining operands for this operator or function; "
            f"operator: {name}, first operand: {path_text(placeholders.path(left.path))}"
        )


def _refuse_size(operand: Operand, placeholders: Placeholders) -> None:
    if not isinstance(operand, Call):
        return
    for argument in operand.arguments:
        _refuse_size(argument, placeholders)
    if operand.function == "size":
        kind = _static_type(operand.arguments[0], placeholders)
        if kind in ("N", "BOOL", "NULL"):
            raise wrong_type("size", kind)


def _static_type(operand: Operand, placeholders: Placeholders) -> str | None:
    return "N" if isinstance(operand, Call) else literal_type(operand, placeholders)


def _refuse_types(call: Call, placeholders: Placeholders) -> None:
    first = call.arguments[0]
    if call.function in ("attribute_exists", "attribute_not_exists") and not isinstance(first, PathOperand):
        raise needs_path(call.function)
    if call.function == "begins_with":
        for argument in call.arguments:
            kind = _static_type(argument, placeholders)
            if kind not in (None, "S", "B"):
                raise wrong_type("begins_with", str(kind))
    if call.function == "attribute_type":
        _refuse_type_name(call.arguments[1], placeholders)


def _refuse_type_name(operand: Operand, placeholders: Placeholders) -> None:
    kind = _static_type(operand, placeholders)
    if not isinstance(operand, ValueOperand) or kind != "S":
        raise wrong_type("attribute_type", kind or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
    name = placeholders.value(operand.name)["S"]
    if name not in TYPES:
        raise ExpressionError(f"Invalid attribute type name found; type: {name}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}")


def _refuse_unordered(name: str, operands: tuple[Operand, ...], placeholders: Placeholders) -> None:
    for operand in operands:
        kind = literal_type(operand, placeholders)
        if kind is not None and kind not in ORDERED:
            raise wrong_type(name, kind)


def _refuse_range(leaf: Between, placeholders: Placeholders) -> None:
    if not (isinstance(leaf.low, ValueOperand) and isinstance(leaf.high, ValueOperand)):
        return
    low, high = placeholders.value(leaf.low.name), placeholders.value(leaf.high.name)
    bounds = f"lower bound operand: AttributeValue: {_shown(low)}, upper bound operand: AttributeValue: {_shown(high)}"
    if type_of(low) != type_of(high):
        raise ExpressionError(f"The BETWEEN operator requires same data type for lower and upper bounds; {bounds}")
    if order(low) > order(high):
        raise ExpressionError(f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {bounds}")


def _shown(value: Value) -> str:
    kind = type_of(value)
    return f"{{{kind}:{value[kind]}}}"


def bind_leaf(leaf: Leaf, placeholders: Placeholders) -> Test:
    operands = [bind_operand(operand, placeholders) for operand in operands_of(leaf)] if not isinstance(leaf, Predicate) else []
    if isinstance(leaf, Comparison):
        return bind_comparison(leaf.operator, *operands)
    if isinstance(leaf, Between):
        subject, low, high = operands
        at_least, at_most = bind_comparison(">=", subject, low), bind_comparison("<=", subject, high)
        return lambda item: at_least(item) and at_most(item)
    if isinstance(leaf, Membership):
        matches = [bind_comparison("=", operands[0], choice) for choice in operands[1:]]
        return lambda item: any(match(item) for match in matches)
    return bind_predicate(leaf.call, placeholders)


def bind_operand(operand: Operand, placeholders: Placeholders) -> Evaluate:
    if isinstance(operand, PathOperand):
        return bind_path(operand.path, placeholders)
    if isinstance(operand, ValueOperand):
        return bind_value(operand.name, placeholders)
    measured = bind_operand(operand.arguments[0], placeholders)
    return lambda item: size_of(measured(item))


def size_of(value: Value | None) -> Value | None:
    """What ``size`` gives: characters, bytes or elements; a number, boolean or null has none."""
    if value is None:
        return None
    kind = type_of(value)
    return None if kind in ("N", "BOOL", "NULL") else {"N": str(len(value[kind]))}


def bind_comparison(name: str, left: Evaluate, right: Evaluate) -> Test:
    if name == "=":
        return lambda item: same(left(item), right(item))
    if name == "<>":
        return lambda item: not same(left(item), right(item))
    compare = INEQUALITIES[name]
    return lambda item: compares(compare, left(item), right(item))


def same(left: Value | None, right: Value | None) -> bool:
    """What is absent equals nothing, not even something else that is absent."""
    return left is not None and right is not None and equal(left, right)


def compares(compare: Callable[[Any, Any], bool], left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return False
    kind = type_of(left)
    return kind in ORDERED and kind in right and compare(order(left), order(right))


def bind_predicate(call: Call, placeholders: Placeholders) -> Test:
    first = bind_operand(call.arguments[0], placeholders)
    if call.function == "attribute_exists":
        return lambda item: first(item) is not None
    if call.function == "attribute_not_exists":
        return lambda item: first(item) is None
    second = bind_operand(call.arguments[1], placeholders)
    relation = RELATIONS[call.function]

    def test(item: Item) -> bool:
        left, right = first(item), second(item)
        return left is not None and right is not None and relation(left, right)

    return test


def has_type(value: Value, name: Value) -> bool:
    return name["S"] in value


def begins_with(value: Value, prefix: Value) -> bool:
    kind = type_of(value)
    return kind in ("S", "B") and kind in prefix and value[kind].startswith(prefix[kind])


def contains(value: Value, part: Value) -> bool:
    """A substring of text or binary, a member of a set, an element of a list."""
    kind = type_of(value)
    if kind in ("S", "B"):
        return kind in part and part[kind] in value[kind]
    if kind in SETS:
        return kind[0] in part and part[kind[0]] in value[kind]
    return kind == "L" and any(equal(element, part) for element in value["L"])


RELATIONS: Mapping[str, Callable[[Value, Value], bool]] = {"attribute_type": has_type, "begins_with": begins_with, "contains": contains}
