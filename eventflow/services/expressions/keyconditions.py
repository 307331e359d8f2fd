"""Key conditions: the part of the condition language that says which key attributes a Query reads, and between which bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Value
from eventflow.services.expressions.conditions import Between, Comparison, Condition, Junction, Leaf, Membership, Negation, Predicate, operands_of
from eventflow.services.expressions.operands import Call, Operand, PathOperand, ValueOperand
from eventflow.services.expressions.placeholders import Placeholders

#: What a comparison becomes when its sides are exchanged.
MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class KeyTest:
    """One key attribute's condition: ``=``, an inequality, ``BETWEEN`` (two values) or ``begins_with``."""

    operator: str
    values: tuple[Value, ...]


#: The operator and the names of the values of each key attribute's condition.
KeyTerms = dict[str, tuple[str, tuple[str, ...]]]


def key_tests(terms: KeyTerms, values: Mapping[str, Value]) -> dict[str, KeyTest]:
    """The tests by attribute name."""
    return {attribute: KeyTest(operator, tuple([values[name] for name in names])) for attribute, (operator, names) in terms.items()}


def key_terms(condition: Condition, placeholders: Placeholders) -> KeyTerms:
    """The terms by attribute name; the condition has been bound before, so its names and values are known to be there."""
    found: KeyTerms = {}
    for leaf in _joined(condition):
        attribute, term = _key_term(leaf, placeholders)
        if attribute in found:
            raise invalid("KeyConditionExpressions must only contain one condition per key")
        found[attribute] = term
    if len(found) > 2:
        raise invalid("Conditions can be of length 1 or 2 only")
    return found


def _joined(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, Negation):
        raise _unusable("NOT")
    if not isinstance(condition, Junction):
        yield condition
        return
    if condition.word == "OR":
        raise _unusable("OR")
    for part in condition.conditions:
        yield from _joined(part)


def _unusable(operator: str) -> Exception:
    return invalid(f"Invalid operator used in KeyConditionExpression: {operator}")


def _key_term(leaf: Leaf, placeholders: Placeholders) -> tuple[str, tuple[str, tuple[str, ...]]]:
    operator, operands = _parts(leaf)
    paths = [placeholders.path(operand.path) for operand in operands if isinstance(operand, PathOperand)]
    if len(paths) > 1:
        raise invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
    if paths and len(paths[0]) > 1:
        raise invalid("KeyConditionExpressions cannot have conditions on nested attributes")
    if any(isinstance(operand, Call) for operand in operands):
        raise invalid("KeyConditionExpressions cannot contain nested operations")
    if not paths:
        raise invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
    if isinstance(operands[1], PathOperand):
        operator = MIRRORED[operator]
    return str(paths[0][0]), (operator, tuple(operand.name for operand in operands if isinstance(operand, ValueOperand)))


def _parts(leaf: Leaf) -> tuple[str, tuple[Operand, ...]]:
    if isinstance(leaf, Membership):
        raise _unusable("IN")
    if isinstance(leaf, Comparison):
        if leaf.operator == "<>":
            raise _unusable("<>")
        return leaf.operator, operands_of(leaf)
    if isinstance(leaf, Between):
        return "BETWEEN", _key_first("BETWEEN", operands_of(leaf))
    if isinstance(leaf, Predicate) and leaf.call.function == "begins_with":
        return "begins_with", _key_first("begins_with", leaf.call.arguments)
    raise _unusable(leaf.call.function)


def _key_first(operator: str, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    if not isinstance(operands[0], PathOperand):
        raise invalid(f"Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand")
    return operands
