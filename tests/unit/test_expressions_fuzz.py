"""Expressions that are nested, huge or nonsense: whatever a request says, it is compiled or refused with a ValidationException, and what was compiled
runs on any item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.attributes.values import refuse_deep, valid_item
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders

WORDS = """
a b c #a #b :n :s :l :m :ss . [0] [1] [99999999999] ( ) , = <> < <= > >= + - AND OR NOT BETWEEN IN and oR SET REMOVE ADD DELETE set add size
attribute_exists attribute_not_exists attribute_type begins_with contains if_not_exists list_append unknown _ @ \u00e9 0 -1 1.5
"""
PIECES = [*WORDS.split(), "\u2028", "\x00", "\\", "'", '"', ""]
VALUES: dict[str, dict[str, Any]] = {
    ":n": {"N": "1"},
    ":s": {"S": "S"},
    ":l": {"L": [{"N": "1"}]},
    ":m": {"M": {"a": {"S": ""}}},
    ":ss": {"SS": ["x"]},
}
NAMES = {"#a": "a", "#b": "x.y"}

tokens = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
texts = tokens | st.text(max_size=60)

paths = st.sampled_from(["a", "b.c", "#a[0]", "a[1].b", "#b"])
names = st.sampled_from(sorted(VALUES))
operands = st.recursive(paths | names, lambda inner: inner.map("size({})".format) | inner.map("({})".format), max_leaves=2)
leaves = st.one_of(
    st.tuples(operands, st.sampled_from(["=", "<>", "<", ">="]), operands).map(" ".join),
    st.tuples(operands, operands, operands).map(lambda three: "{} BETWEEN {} AND {}".format(*three)),
    st.tuples(operands, st.lists(operands, min_size=1, max_size=3)).map(lambda found: f"{found[0]} IN ({', '.join(found[1])})"),
    st.tuples(st.sampled_from(["begins_with", "contains", "attribute_type"]), operands, operands).map(lambda three: "{}({}, {})".format(*three)),
    paths.map("attribute_exists({})".format),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map("NOT {}".format), inner.map("({})".format), st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map("".join)
    ),
)
sources = st.recursive(
    paths | names,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: "list_append({}, {})".format(*two)),
        st.tuples(paths, inner).map(lambda two: "if_not_exists({}, {})".format(*two)),
        st.tuples(inner, st.sampled_from(["+", "-"]), inner).map(" ".join),
    ),
    max_leaves=4,
)
updates = st.lists(
    st.one_of(
        st.tuples(paths, sources).map(lambda two: "SET {} = {}".format(*two)),
        paths.map("REMOVE {}".format),
        st.tuples(st.sampled_from(["ADD", "DELETE"]), paths, names).map(" ".join),
    ),
    min_size=1,
    max_size=3,
).map(" ".join)

attribute_values = st.recursive(
    st.one_of(
        st.text(max_size=3).map(lambda text: {"S": text}),
        st.sampled_from(["0", "1", "-2.5", "9E125"]).map(lambda text: {"N": text}),
        st.binary(max_size=2).map(lambda data: {"B": data}),
        st.just({"NULL": True}),
        st.booleans().map(lambda truth: {"BOOL": truth}),
        st.just({"SS": ["S", "x"]}),
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: {"L": found})
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda found: {"M": found})
    ),
    max_leaves=6,
)
items = st.dictionaries(st.sampled_from(["a", "b", "x.y"]), attribute_values, max_size=3).map(valid_item)

compiler = Compiler()


def placeholders() -> Placeholders:
    return Placeholders(NAMES, VALUES)


def judged(work: Callable[[], Any]) -> None:
    """It is done, or refused as a request that can never succeed."""
    code = "ValidationException"
    try:
        work()
    except ServiceError as error:
        code = error.code
    assert code == "ValidationException"


@settings(deadline=None)
@given(texts | conditions, items)
@example("size(size(a)) = :n", {})
@example("a IN (:n, size(:l))", {"a": {"N": "1"}})
def test_any_condition_tests_or_is_refused(text: str, item: dict[str, Any]) -> None:
    judged(lambda: compiler.condition("FilterExpression", text, placeholders()).test(item))


@settings(deadline=None)
@given(texts | conditions)
def test_any_key_condition_is_read_or_refused(text: str) -> None:
    judged(lambda: compiler.key_condition(text, placeholders())())


@settings(deadline=None)
@given(texts | updates, items)
def test_any_update_applies_or_is_refused(text: str, item: dict[str, Any]) -> None:
    before = repr(item)

    def work() -> None:
        after = compiler.update(text, placeholders()).apply(item)
        for value in after.values():
            refuse_deep(value)

    judged(work)
    assert repr(item) == before


@settings(deadline=None)
@given(texts | st.lists(paths, min_size=1, max_size=4).map(", ".join), items)
def test_any_projection_is_taken_or_refused(text: str, item: dict[str, Any]) -> None:
    judged(lambda: compiler.projection(text, placeholders()).of(item))


NESTED = [
    "(" * 1900 + "a = :n" + ")" * 1900,
    "(" * 4000,
    "NOT " * 1000 + "a = :n",
    "NOT (" * 600 + "a = :n" + ")" * 600,
    "size(" * 700 + "a" + ")" * 700 + " = :n",
    "a" + "[0]" * 1300 + " = :n",
    "a" + ".a" * 2000 + " = :n",
    "a = :n AND (" * 300 + "a = :n" + ")" * 300,
    " OR ".join(["a = :n"] * 340),
    "a IN (" + ",".join([":n"] * 1000) + ")",
    "SET a = " + "if_not_exists(a, " * 220 + ":n" + ")" * 220,
    "SET a = " + "(" * 1900 + ":n" + ")" * 1900,
    "SET a = " + "list_append(" * 300 + ":l",
    "REMOVE " + ",".join(f"a[{number}]" for number in range(600)),
    "a" + "." * 4000,
    "a" * 5000,
    "é" * 4096,
]


@pytest.mark.parametrize("text", NESTED, ids=range(len(NESTED)))
def test_deep_and_long_expressions_are_refused_and_never_end_the_stack(text: str) -> None:
    for compile_ in (
        lambda: compiler.condition("FilterExpression", text, placeholders()).test({}),
        lambda: compiler.update(text, placeholders()).apply({}),
        lambda: compiler.projection(text, placeholders()).of({}),
        lambda: compiler.key_condition(text, placeholders())(),
    ):
        judged(compile_)


@pytest.mark.parametrize("kind", ["L", "M"])
def test_deep_values_are_refused_and_never_end_the_stack(kind: str) -> None:
    value: dict[str, Any] = {"S": "x"}
    for _level in range(20_000):
        value = {kind: [value]} if kind == "L" else {kind: {"a": value}}
    with pytest.raises(ServiceError, match="Nesting Levels have exceeded supported limits"):
        valid_item({"a": value})
    while value.get("L") or value.get("M"):  # a value so deep cannot be thrown away at once either
        value = value["L"].pop() if kind == "L" else value["M"].pop("a")


def test_the_limits_are_those_of_dynamodb() -> None:
    def refusal(text: str) -> str:
        with pytest.raises(ServiceError) as caught:
            compiler.condition("FilterExpression", text, placeholders())
        return caught.value.message

    size = "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097"
    assert refusal("a = :n" + " " * (4097 - 6)) == size
    assert compiler.condition("FilterExpression", "a = :n" + " " * (4096 - 6), placeholders()).test({"a": {"N": "1"}})
    many = "Invalid FilterExpression: The expression contains too many operators; operator count: 301"
    assert refusal(" OR ".join(["a=:n"] * 151)) == many
    assert compiler.condition("FilterExpression", " OR ".join(["a=:n"] * 150), placeholders()).test({"a": {"N": "1"}})
    values = {f":{number}": {"N": str(number)} for number in range(101)}

    def member(count: int) -> bool:
        wanted = Placeholders(None, values)
        text = f"a IN ({', '.join(list(values)[:count])})"
        return compiler.condition("FilterExpression", text, wanted).test({"a": {"N": "99"}})

    assert member(100)
    with pytest.raises(ServiceError, match="The IN operator is provided with too many operands; number of operands: 101"):
        member(101)
