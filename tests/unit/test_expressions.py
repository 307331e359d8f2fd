"""The expression language: what it means, checked against plain Python, and what it refuses, in DynamoDB's own words."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.reserved import WORDS

Values = Mapping[str, Any]
compiler = Compiler()

ITEM: dict[str, Any] = {
    "a": {"N": "5"},
    "s": {"S": "hello"},
    "b": {"B": b"hi there"},
    "t": {"BOOL": True},
    "z": {"NULL": True},
    "ns": {"NS": ["1", "2"]},
    "ss": {"SS": ["x", "y"]},
    "l": {"L": [{"N": "1"}, {"S": "two"}, {"SS": ["y", "x"]}]},
    "m": {"M": {"k": {"N": "7"}, "deep": {"L": [{"M": {"x": {"S": "in"}}}]}}},
}


def holds(text: str, values: Values | None = None, names: Mapping[str, str] | None = None, item: Any = ITEM) -> bool:
    placeholders = Placeholders(names, values)
    found = compiler.condition("ConditionExpression", text, placeholders).test(item)
    placeholders.refuse_unused()
    return found


def updated(text: str, values: Values | None = None, names: Mapping[str, str] | None = None, item: Any = ITEM) -> dict[str, Any]:
    return compiler.update(text, Placeholders(names, values)).apply(item)


def projected(text: str, names: Mapping[str, str] | None = None, item: Any = ITEM) -> dict[str, Any]:
    return compiler.projection(text, Placeholders(names, None)).of(item)


def refused(action: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        action(*arguments, **named)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def outcome(action: Any, *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except ServiceError as error:
        return error.code


def n(number: object) -> dict[str, str]:
    return {"N": str(number)}


V = {":n": n(5), ":s": {"S": "hello"}, ":l": {"L": [n(1)]}}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a = :v", {":v": n("5")}),
        ("a <> :v", {":v": {"S": "5"}}),
        ("absent <> :v", {":v": n(1)}),
        ("absent <> elsewhere", None),
        ("a BETWEEN :x AND :y", {":x": n(-10), ":y": n(5)}),
        ("a IN (:x, absent, :y)", {":x": {"S": "5"}, ":y": n(5)}),
        ("s < :v", {":v": {"S": "hellp"}}),
        ("b >= :v", {":v": {"B": b"hi"}}),
        ("ss = :v", {":v": {"SS": ["y", "x"]}}),
        ("attribute_exists(m.deep[0].x) AND attribute_not_exists(m.deep[1])", None),
        ("attribute_type(z, :v)", {":v": {"S": "NULL"}}),
        ("attribute_type(:n, :v)", {":n": n(1), ":v": {"S": "N"}}),
        ("begins_with(s, :v)", {":v": {"S": "he"}}),
        ("begins_with(:v, s)", {":v": {"S": "hello you"}}),
        ("begins_with(b, :v)", {":v": {"B": b"hi"}}),
        ("contains(s, :v)", {":v": {"S": "ell"}}),
        ("contains(b, :v)", {":v": {"B": b"the"}}),
        ("contains(ns, :v)", {":v": n("2")}),
        ("contains(ss, :v)", {":v": {"S": "y"}}),
        ("contains(l, :v)", {":v": {"SS": ["x", "y"]}}),
        ("size(s) = a", None),
        ("size(l) = :v AND size(ss) < :v AND size(m) < :v AND size(b) > :v", {":v": n(3)}),
        ("NOT a = :v", {":v": n(6)}),
        ("NOT NOT a = :v", {":v": n(5)}),
        ("a = :v OR a = :w AND a = :w", {":v": n(5), ":w": n(6)}),
        ("(a) = :v", {":v": n(5)}),
        ("(m.deep)[0].x = :v", {":v": {"S": "in"}}),
        ("((a = :v) OR (a = :w)) AND t = t2 OR (NOT a = :w)", {":v": n(5), ":w": n(6)}),
        ("a between :x and :y aNd s = :v", {":x": n(1), ":y": n(9), ":v": {"S": "hello"}}),
    ],
)
def test_conditions_that_hold(text: str, values: Values | None) -> None:
    assert holds(text, values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a = :v", {":v": {"S": "5"}}),
        ("absent = elsewhere", None),
        ("absent < elsewhere", None),
        ("a < :v", {":v": {"S": "9"}}),
        ("l < :v", {":v": n(1)}),
        ("a BETWEEN absent AND :v", {":v": n(9)}),
        ("a BETWEEN l AND m", None),
        ("size(a) = :v", {":v": n(1)}),
        ("size(s) = :v", {":v": {"S": "5"}}),
        ("contains(s, :v)", {":v": n(1)}),
        ("contains(a, :v)", {":v": n(5)}),
        ("begins_with(a, s)", None),
        ("m.k.x = :v", {":v": n(7)}),
        ("l.k = :v OR m[0] = :v OR l[9] = :v", {":v": n(7)}),
        ("attribute_exists(absent.k)", None),
    ],
)
def test_conditions_that_do_not_hold(text: str, values: Values | None) -> None:
    assert not holds(text, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("foo", 'Syntax error; token: "<EOF>", near: "foo"'),
        ("a = ", 'Syntax error; token: "<EOF>", near: "="'),
        ("a == :n", 'Syntax error; token: "=", near: "== :n"'),
        ("!!! INVALID !!!", 'Syntax error; token: "!", near: "!!"'),
        (":n a", 'Syntax error; token: "a", near: ":n a"'),
        ("a IN ()", 'Syntax error; token: ")", near: "()"'),
        ("a > 4", 'Syntax error; token: "4", near: "> 4"'),
        ("(size(a))[0] > a", 'Syntax error; token: "[", near: ")[0"'),
        ("a[:n] = :n", 'Syntax error; token: ":n", near: "[:n]"'),
        ("_a = :n", 'Syntax error; token: "_", near: "_a"'),
        ("a.and = :n", 'Syntax error; token: "and", near: ".and ="'),
        ("((a = :n))", "The expression has redundant parentheses;"),
        ("a = ((:n))", "The expression has redundant parentheses;"),
        ("dog(a)", "Invalid function name; function: dog"),
        ("Size(a) = :n", "Invalid function name; function: Size"),
        ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
        ("attribute_exists(a) < :n", "The function is not allowed to be used this way in an expression; function: attribute_exists"),
        ("if_not_exists(a, a) = :n", "The function is not allowed to be used this way in an expression; function: if_not_exists"),
        ("name = :n", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("a.Status = :n", "Attribute name is a reserved keyword; reserved keyword: Status"),
        ("#q = :n", "An expression attribute name used in the document path is not defined; attribute name: #q"),
        ("a = :q", "An expression attribute value used in expression is not defined; attribute value: :q"),
        ("size(a, a) = :n", "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2"),
        ("begins_with(a)", "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1"),
        (
            f"a IN ({', '.join([':n'] * 101)})",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
        ("attribute_exists(:n)", "Operator or function requires a document path; operator or function: attribute_exists"),
        ("begins_with(a, :n)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"),
        (
            "attribute_type(a, s)",
            ("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}"),
        ),
        ("attribute_type(a, :s)", "Invalid attribute type name found; type: hello, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"),
        ("size(:n) = a", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
        ("a < :l", "Incorrect operand type for operator or function; operator or function: <, operand type: L"),
        (
            "contains(a, a)",
            ("The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [a]"),
        ),
        (
            "l[0].x = l[0].x",
            ("The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [l, [0], x]"),
        ),
        (
            "a BETWEEN :s AND :n",
            (
                "The BETWEEN operator requires same data type for lower and upper bounds; "
                "lower bound operand: AttributeValue: {S:hello}, upper bound operand: AttributeValue: {N:5}"
            ),
        ),
    ],
)
def test_conditions_that_are_refused(text: str, message: str) -> None:
    assert refused(holds, text, V) == f"Invalid ConditionExpression: {message}"


def test_limits_keep_the_parser_from_harm() -> None:
    long = " AND ".join(["attribute_exists(a)"] * 210)
    assert "Expression size has exceeded the maximum allowed size; expression size: 5035" in refused(holds, long)
    assert "too many operators" in refused(holds, " OR ".join(["a=b"] * 290))
    for deep in ("(" * 4000, "NOT " * 1000, "(a=b AND " * 400, "size(" * 800):
        refused(holds, deep)
    assert "The expression is nested too deeply" in refused(holds, "NOT " * 200 + "a = b")
    assert "too many nesting elements; nesting level: 33" in refused(holds, "a = " + ".".join(["b"] * 33))
    assert len(WORDS) == 573


def test_placeholders_must_be_well_formed_and_used() -> None:
    assert refused(holds, "a = :n", {":n": n(1), ":o": n(2)}) == "Value provided in ExpressionAttributeValues unused in expressions: keys: {:o}"
    assert refused(holds, "#a = a2", None, {"#a": "a", "#b": "b"}) == "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"
    assert refused(Placeholders, {}, None) == "ExpressionAttributeNames must not be empty"
    assert refused(Placeholders, None, {}) == "ExpressionAttributeValues must not be empty"
    assert refused(Placeholders, {"a": "b"}, None) == 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'
    assert refused(Placeholders, None, {":a b": n(1)}) == 'ExpressionAttributeValues contains invalid key: Syntax error; key: ":a b"'
    assert (
        refused(Placeholders, None, {":a": {"SS": []}})
        == "ExpressionAttributeValues contains invalid value: One or more parameter values were invalid: An string set  may not be empty for key :a"
    )
    assert holds("#1 = :2", {":2": n(5)}, {"#1": "a"})
    assert holds("#d = :v", {":v": n(1)}, {"#d": "a.b"}, item={"a.b": n(1)})


# What conditions mean, against Python

comparators = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
attributes = st.sampled_from("pqr")
leaves = st.tuples(st.sampled_from(sorted(comparators)), attributes, st.integers(0, 3))
trees = st.recursive(leaves, lambda inner: st.one_of(st.tuples(st.just("NOT"), inner), st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)))


def as_text(tree: Any) -> str:
    match tree:
        case ("NOT", inner):
            return f"NOT ({as_text(inner)})"
        case ("AND" | "OR" as word, left, right):
            return f"({as_text(left)}) {word} ({as_text(right)})"
        case (comparator, attribute, number):
            return f"{attribute} {comparator} :v{number}"
    raise AssertionError(tree)


def in_python(tree: Any, item: Mapping[str, int]) -> bool:
    match tree:
        case ("NOT", inner):
            return not in_python(inner, item)
        case ("AND", left, right):
            return in_python(left, item) and in_python(right, item)
        case ("OR", left, right):
            return in_python(left, item) or in_python(right, item)
        case (comparator, attribute, number):
            return bool(comparators[comparator](item[attribute], number)) if attribute in item else comparator == "<>"
    raise AssertionError(tree)


@given(trees, st.dictionaries(attributes, st.integers(0, 3)))
def test_conditions_mean_what_python_means(tree: Any, item: dict[str, int]) -> None:
    placeholders = Placeholders(None, {f":v{number}": n(number) for number in range(4)})
    test = compiler.condition("FilterExpression", as_text(tree), placeholders).test
    assert test({name: n(value) for name, value in item.items()}) == in_python(tree, item)


@given(st.text("ab=<>()[]., :#n0AND NOTORIBEWsizcota_", max_size=40))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    assert outcome(holds, text, V) in (True, False, "ValidationException")


# Updates


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("SET a = a + :v", {":v": n("0.5")}, {"a": n("5.5")}),
        ("SET a = :v - a, x = a", {":v": n(1)}, {"a": n(-4), "x": n(5)}),
        ("SET x = if_not_exists(absent, :v) + :v", {":v": n(2)}, {"x": n(4)}),
        ("SET x = if_not_exists(a, :v)", {":v": n(2)}, {"x": n(5)}),
        ("SET x = (a + :v)", {":v": n(2)}, {"x": n(7)}),
        ("SET x = ((a)+(:v))", {":v": n(2)}, {"x": n(7)}),
        ("SET l = list_append(:v, l)", {":v": {"L": [n(0)]}}, {"l": {"L": [n(0), *ITEM["l"]["L"]]}}),
        ("SET x = list_append(if_not_exists(x, :e), :v)", {":e": {"L": []}, ":v": {"L": [n(0)]}}, {"x": {"L": [n(0)]}}),
        ("SET m.k = :v, m.fresh = :v", {":v": n(1)}, {"m": {"M": {"k": n(1), "deep": ITEM["m"]["M"]["deep"], "fresh": n(1)}}}),
        ("SET m.deep[0].x = m.k", None, {"m": {"M": {"k": n(7), "deep": {"L": [{"M": {"x": n(7)}}]}}}}),
        ("SET l[1] = :v REMOVE l[0]", {":v": n(9)}, {"l": {"L": [n(9), ITEM["l"]["L"][2]]}}),
        ("REMOVE l[0], l[2], l[17] SET l[84] = :x, l[37] = :y", {":x": n(8), ":y": n(3)}, {"l": {"L": [{"S": "two"}, n(3), n(8)]}}),
        ("REMOVE m.deep[0].x, a2, m.nothing", None, {"m": {"M": {"k": n(7), "deep": {"L": [{"M": {}}]}}}}),
        (
            "ADD a :v, x :v, ns :s, xs :s",
            {":v": n(2), ":s": {"NS": ["2", "3"]}},
            {"a": n(7), "x": n(2), "ns": {"NS": ["1", "2", "3"]}, "xs": {"NS": ["2", "3"]}},
        ),
        ("ADD m.k :v", {":v": n(1)}, {"m": {"M": {"k": n(8), "deep": ITEM["m"]["M"]["deep"]}}}),
        ("DELETE ss :v, absent :v", {":v": {"SS": ["x", "q"]}}, {"ss": {"SS": ["y"]}}),
        (
            "set s = :v remove t add a :n delete ns :d",
            {":v": {"S": ""}, ":n": n(-5), ":d": {"NS": ["1"]}},
            {"s": {"S": ""}, "a": n(0), "ns": {"NS": ["2"]}, "t": None},
        ),
        ("DELETE ss :v SET x = ss", {":v": {"SS": ["x", "y"]}}, {"ss": None, "x": {"SS": ["x", "y"]}}),
    ],
)
def test_updates_that_apply(text: str, values: Values | None, expected: dict[str, Any]) -> None:
    before = repr(ITEM)
    assert updated(text, values) == {name: value for name, value in {**ITEM, **expected}.items() if value is not None}
    assert repr(ITEM) == before, "the old image must stay as it was"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("INVALID SYNTAX HERE", 'Syntax error; token: "INVALID", near: "INVALID SYNTAX"'),
        ("ADD hits : incr", 'Syntax error; token: ":", near: "hits : incr"'),
        ("SET _123 = :n", 'Syntax error; token: "_", near: "SET _123"'),
        ("SET a = VALUE 1", 'Syntax error; token: "1", near: "VALUE 1"'),
        ("SET a = a + :n + :n", 'Syntax error; token: "+", near: ":n + :n"'),
        ("SET a = if_not_exists(a, :n + :n)", 'Syntax error; token: "+", near: ":n + :n"'),
        ("SET a", 'Syntax error; token: "<EOF>", near: "a"'),
        ("REMOVE a = b", 'Syntax error; token: "=", near: "a = b"'),
        ("ADD a b", 'Syntax error; token: "b", near: "a b"'),
        ("SET :a = b", 'Syntax error; token: ":a", near: "SET :a ="'),
        ("SET (a = (b + c))", 'Syntax error; token: "(", near: "SET (a"'),
        ("SET a = (b.c).d + e", 'Syntax error; token: ".", near: ").d"'),
        ("SET a = ((b + c))", "The expression has redundant parentheses;"),
        (" set #c = :n set abOrt = true ", "Attribute name is a reserved keyword; reserved keyword: abOrt"),
        ("SET #c = if_not_exist(:n) SET c = d", "Invalid function name; function: if_not_exist"),
        ("SET a = LIST_APPEND(:l, :l)", "Invalid function name; function: LIST_APPEND"),
        ("SET a = :n REMOVE a SET b = :n", 'The "SET" section can only be used once in an update expression;'),
        ("SET a = list_append(list_append(:l, :l), :l)", "The function is not allowed to be used this way in an expression; function: list_append"),
        ("SET a = size(b)", "The function is not allowed to be used this way in an expression; function: size"),
        ("SET #c = :q", "An expression attribute name used in the document path is not defined; attribute name: #c"),
        ("SET a = :q", "An expression attribute value used in expression is not defined; attribute value: :q"),
        (
            "SET a = :n, a.b = :n",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]",
        ),
        (
            "SET a[1].b = :n REMOVE a[1]",
            ("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, [1], b], path two: [a, [1]]"),
        ),
        (
            "REMOVE a.c SET a[1] = d",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, c], path two: [a, [1]]",
        ),
        ("ADD a :s", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING"),
        ("DELETE a :n", "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER"),
        (
            "SET a = list_append(:l)",
            "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1",
        ),
        ("SET a = if_not_exists(:n, a)", "Operator or function requires a document path; operator or function: if_not_exists"),
        ("SET a = list_append(a, :n)", "Incorrect operand type for operator or function; operator or function: list_append, operand type: N"),
        ("SET a = a - :s", "Incorrect operand type for operator or function; operator or function: -, operand type: S"),
    ],
)
def test_updates_that_are_refused(text: str, message: str) -> None:
    assert refused(updated, text, V) == f"Invalid UpdateExpression: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET x = absent", "The provided expression refers to an attribute that does not exist in the item"),
        ("SET x = list_append(absent, :l)", "The provided expression refers to an attribute that does not exist in the item"),
        ("SET x = s + :n", "An operand in the update expression has an incorrect data type"),
        ("SET x = list_append(s, :l)", "An operand in the update expression has an incorrect data type"),
        ("ADD s :n", "An operand in the update expression has an incorrect data type"),
        ("SET absent.x = :n", "The document path provided in the update expression is invalid for update"),
        ("SET s.x = :n", "The document path provided in the update expression is invalid for update"),
        ("SET m[0] = :n", "The document path provided in the update expression is invalid for update"),
        ("SET l.x = :n", "The document path provided in the update expression is invalid for update"),
        ("REMOVE absent.x", "The document path provided in the update expression is invalid for update"),
        ("ADD absent.x :n", "The document path provided in the update expression is invalid for update"),
    ],
)
def test_updates_that_the_item_refuses(text: str, message: str) -> None:
    assert refused(updated, text, {name: value for name, value in V.items() if name in text} or None) == message


@given(st.text("ab=+-()[]., :#nlSETADREMOVfixs_", max_size=40).map(lambda text: "SET a" + text))
def test_any_text_is_an_update_or_refused(text: str) -> None:
    assert outcome(updated, text, V) == "ValidationException" or isinstance(updated(text, V), dict)


@st.composite
def list_changes(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    length = draw(st.integers(0, 6))
    positions = draw(st.lists(st.integers(0, 9), unique=True, max_size=6))
    cut = draw(st.integers(0, len(positions)))
    return list(range(length)), positions[:cut], positions[cut:]


@given(list_changes())
def test_list_positions_are_those_of_the_list_as_it_was(change: tuple[list[int], list[int], list[int]]) -> None:
    elements, removed, assigned = change
    sections = []
    if assigned:
        sections.append("SET " + ", ".join(f"xs[{position}] = :v{position}" for position in assigned))
    if removed:
        sections.append("REMOVE " + ", ".join(f"xs[{position}]" for position in removed))
    if not sections:
        return
    values = {f":v{position}": n(100 + position) for position in assigned}
    kept = [100 + at if at in assigned else value for at, value in enumerate(elements) if at not in removed]
    expected = kept + [100 + at for at in sorted(assigned) if at >= len(elements)]
    found = updated(" ".join(sections), values or None, item={"xs": {"L": [n(value) for value in elements]}})
    assert found == {"xs": {"L": [n(value) for value in expected]}}


# Projections


def test_projections_keep_the_shape_of_the_item() -> None:
    assert projected("a, absent, m.deep[0].x") == {"a": n(5), "m": {"M": {"deep": {"L": [{"M": {"x": {"S": "in"}}}]}}}}
    assert projected("l[2], l[0]") == {"l": {"L": [n(1), {"SS": ["y", "x"]}]}}
    assert projected("a.x, l.x, m.k.x, s[0]") == projected("l[9], m[0]") == {}
    assert projected("#m.#k", {"#m": "m", "#k": "k"}) == {"m": {"M": {"k": n(7)}}}
    overlap = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"
    assert refused(projected, "a, a.b") == f"Invalid ProjectionExpression: {overlap}"
    assert "conflict" in refused(projected, "a.b, a[1]")
    assert refused(projected, "!!! INVALID !!!") == 'Invalid ProjectionExpression: Syntax error; token: "!", near: "!!"'
    assert refused(projected, "a, ") == 'Invalid ProjectionExpression: Syntax error; token: "<EOF>", near: ","'


# Key conditions


def test_key_conditions_give_tests_by_attribute() -> None:
    found = compiler.key_condition("(p = :n AND :n <= q)", Placeholders(None, {":n": n(1)}))()
    assert (found["p"].operator, found["q"].operator) == ("=", ">=")
    found = compiler.key_condition("q BETWEEN :n AND :m and p=:n", Placeholders(None, {":n": n(1), ":m": n(2)}))()
    assert found["q"].values == (n(1), n(2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p = :n OR q = :n", "Invalid operator used in KeyConditionExpression: OR"),
        ("NOT p = :n", "Invalid operator used in KeyConditionExpression: NOT"),
        ("p <> :n", "Invalid operator used in KeyConditionExpression: <>"),
        ("p IN (:n)", "Invalid operator used in KeyConditionExpression: IN"),
        ("attribute_exists(p)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("p = q", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
        ("p.x = :n", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("size(p) = :n", "KeyConditionExpressions cannot contain nested operations"),
        (":n = :n", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (":n BETWEEN p AND q", "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand"),
        ("p = :n AND p = :n", "KeyConditionExpressions must only contain one condition per key"),
        ("p = :n AND q = :n AND r = :n", "Conditions can be of length 1 or 2 only"),
        ("", "Invalid KeyConditionExpression: The expression can not be empty;"),
    ],
)
def test_key_conditions_that_are_refused(text: str, message: str) -> None:
    assert refused(lambda: compiler.key_condition(text, Placeholders(None, {":n": n(1)}))()) == message


def test_texts_are_parsed_once() -> None:
    fresh = Compiler()
    for number in range(3):
        fresh.condition("ConditionExpression", "a = :n", Placeholders(None, {":n": n(number)}))
    info = fresh._condition.cache_info()  # type: ignore[attr-defined]
    assert (info.hits, info.misses) == (2, 1)
    assert info.maxsize is not None


def test_an_update_that_is_known_by_its_text_takes_the_values_of_each_request() -> None:
    text = "SET #c = #c + :v, tags = if_not_exists(tags, :t) ADD added :v DELETE gone :g"
    names, item = {"#c": "count"}, {"count": n(1), "gone": {"NS": ["1", "2"]}}
    for number in (1, 5, 7):
        values = {":v": n(number), ":t": {"S": f"tag {number}"}, ":g": {"NS": ["2", str(number)]}}
        left = [one for one in ("1", "2") if one not in values[":g"]["NS"]]
        expected = {"count": n(1 + number), "tags": values[":t"], "added": n(number), **({"gone": {"NS": left}} if left else {})}
        assert updated(text, values, names, item) == expected
    assert updated(text, values, {"#c": "other"}, {"other": n(1)})["other"] == n(8)
    refusal = refused(updated, text, values | {":v": {"S": "1"}}, names, item)
    assert refusal.startswith("Invalid UpdateExpression: Incorrect operand type")
    assert refused(updated, text, {**values, ":g": n(1)}, names, item).startswith("Invalid UpdateExpression: Incorrect operand type")
    for more in ({":w": n(1)}, {}):
        placeholders = Placeholders(names | ({} if more else {"#d": "unused"}), values | more)
        for _ in range(2):
            compiler.update(text, placeholders)
        assert "unused in expressions: keys: {" in refused(placeholders.refuse_unused)


def test_a_key_condition_that_is_known_by_its_text_takes_the_values_of_each_request() -> None:
    names = {"#p": "p"}
    for text, kinds in (("#p = :n AND q >= :m", 1), ("#p = :n AND begins_with(q, :m)", 1), ("#p = :n AND q BETWEEN :l AND :m", 0)):
        own = Compiler()
        for word in ("b", "c"):
            values = {":n": n(1), ":m": {"S": word}, **({":l": {"S": "a"}} if ":l" in text else {})}
            placeholders = Placeholders(names, values)
            tests = own.key_condition(text, placeholders)()
            placeholders.refuse_unused()
            assert tests["p"].values == (n(1),)
            assert tests["q"].values[-1] == {"S": word}
        assert len(own._terms) == kinds
        unused = Placeholders(names, values | {":z": n(1)})
        for _ in range(2):
            own.key_condition(text, unused)()
        assert "unused in expressions: keys: {:z}" in refused(unused.refuse_unused)
    wrong = {":n": n(1), ":l": {"S": "x"}, ":m": {"S": "b"}}
    assert "BETWEEN" in refused(own.key_condition, text, Placeholders(names, wrong))
    with pytest.raises(ServiceError, match="one condition per key"):
        own.key_condition("#p = :n AND #p = :m", Placeholders(names, {":n": n(1), ":m": n(2)}))()


def test_known_updates_are_bounded() -> None:
    own = Compiler()
    for number in range(600):
        own.update(f"SET a{number} = :v", Placeholders(None, {":v": n(1)}))
    own.update("SET #a = :v", Placeholders({"#a": "x" * 5000}, {":v": n(1)}))
    assert 0 < len(own._bound) <= 256
    assert all("x" * 5000 not in str(shape) for shape in own._bound)
