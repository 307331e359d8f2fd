"""The parameters from before expressions: they mean what they always meant, are never mixed with expressions, and refuse in DynamoDB's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_bench import Bench, definition, index, item, run, value

from eventflow.errors import ServiceError
from eventflow.services.expressions.legacy import condition_from, update_from

INVALID = "One or more parameter values were invalid: "


def condition(operator: str, *operands: Any) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": [value(each) for each in operands]}


async def people(bench: Bench) -> None:
    await bench("CreateTable", **definition("ttt", "p:S", "q:N", attributes=["g:S"], GlobalSecondaryIndexes=[index("gsi", "g")]))
    for number, name in enumerate(["ann", "bob", "cy", "dee"]):
        await bench.put("ttt", p="1", q=number, name=name, even=number % 2 == 0, g="x")


def test_reads_by_conditions_filters_and_attributes() -> None:
    async def scenario(bench: Bench) -> None:
        await people(bench)

        async def names(operation: str, **params: Any) -> list[str]:
            return sorted(each["name"]["S"] for each in (await bench(operation, TableName="ttt", **params))["Items"])

        on_hash = {"p": condition("EQ", "1")}
        assert await names("Query", KeyConditions=on_hash) == ["ann", "bob", "cy", "dee"]
        assert await names("Query", KeyConditions=on_hash | {"q": condition("BETWEEN", 1, 2)}) == ["bob", "cy"]
        assert await names("Query", KeyConditions=on_hash | {"q": condition("GT", 2)}) == ["dee"]
        assert await names("Query", KeyConditions={"g": condition("EQ", "x")}, IndexName="gsi", QueryFilter={"name": condition("NE", "ann")}) == [
            "bob",
            "cy",
            "dee",
        ]
        assert await names("Query", KeyConditions=on_hash, FilterExpression="even = :t", ExpressionAttributeValues={":t": value(True)}) == [
            "ann",
            "cy",
        ]
        both = {"name": condition("BEGINS_WITH", "a"), "even": condition("EQ", False)}
        assert await names("Scan", ScanFilter=both) == []
        assert await names("Scan", ScanFilter=both, ConditionalOperator="OR") == ["ann", "bob", "dee"]
        assert await names("Scan", ScanFilter={"name": condition("IN", "cy", "dee")}) == ["cy", "dee"]
        assert await names("Scan", ScanFilter={"none": condition("NULL"), "name": condition("CONTAINS", "e")}) == ["dee"]
        assert (await bench("Scan", TableName="ttt", AttributesToGet=["name", "absent"], Limit=1))["Items"] == [item(name="ann")]
        got = await bench("GetItem", TableName="ttt", Key=item(p="1", q=1), AttributesToGet=["even"])
        assert got["Item"] == item(even=False)
        batch = await bench("BatchGetItem", RequestItems={"ttt": {"Keys": [item(p="1", q=1)], "AttributesToGet": ["name"]}})
        assert batch["Responses"] == {"ttt": [item(name="bob")]}

    run(scenario)


def test_writes_by_expectations_and_attribute_updates() -> None:
    async def scenario(bench: Bench) -> None:
        await people(bench)

        async def update(number: int, **params: Any) -> Any:
            return (await bench("UpdateItem", TableName="ttt", Key=item(p="1", q=number), ReturnValues="ALL_NEW", **params)).get("Attributes")

        found = await update(
            0,
            AttributeUpdates={
                "name": {"Value": value("anna"), "Action": "PUT"},
                "even": {"Action": "DELETE"},
                "hits": {"Value": value(3), "Action": "ADD"},
                "tags": {"Value": {"SS": ["a", "b"]}, "Action": "ADD"},
                "list": {"Value": value([1]), "Action": "ADD"},
            },
            Expected={"name": {"Value": value("ann")}, "none": {"Exists": False}},
        )
        assert found == {**item(p="1", q=0, name="anna", g="x", hits=3, list=[1]), "tags": {"SS": ["a", "b"]}}
        found = await update(
            0,
            AttributeUpdates={
                "hits": {"Value": value(-1), "Action": "ADD"},
                "tags": {"Value": {"SS": ["a"]}, "Action": "DELETE"},
                "list": {"Value": value([2]), "Action": "ADD"},
            },
        )
        assert (found["hits"], found["tags"], found["list"]) == (value(2), {"SS": ["b"]}, value([1, 2]))
        assert await update(9, AttributeUpdates={"name": {"Action": "DELETE"}}) is None
        assert await bench.get("ttt", p="1", q=9) is None
        for expected in ({"name": {"Value": value("x")}}, {"name": {"Exists": False}}, {"name": condition("LT", "ann")}):
            error = await bench.error("PutItem", TableName="ttt", Item=item(p="1", q=1), Expected=expected)
            assert error.code == "ConditionalCheckFailedException"
        either = {"name": condition("LT", "a"), "even": condition("EQ", False)}
        await bench("DeleteItem", TableName="ttt", Key=item(p="1", q=1), Expected=either, ConditionalOperator="OR")
        assert await bench.get("ttt", p="1", q=1) is None
        mismatch = "Type mismatch for attribute to update"
        assert await bench.refusal("UpdateItem", TableName="ttt", Key=item(p="1", q=0), AttributeUpdates={"name": add(1)}) == mismatch
        part = f"{INVALID}Cannot update attribute q. This attribute is part of the key"
        assert await bench.refusal("UpdateItem", TableName="ttt", Key=item(p="1", q=0), AttributeUpdates={"q": add(1)}) == part

    run(scenario)


def add(number: int) -> dict[str, Any]:
    return {"Value": value(number), "Action": "ADD"}


MIXED = "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {%s} Expression parameters: {%s}"
ENUM = "Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]"


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("Scan", {"ScanFilter": {}, "FilterExpression": "a = b"}, MIXED % ("ScanFilter", "FilterExpression")),
        ("Scan", {"AttributesToGet": ["a"], "FilterExpression": "a = b"}, MIXED % ("AttributesToGet", "FilterExpression")),
        (
            "UpdateItem",
            {"Key": item(p="1", q=1), "AttributeUpdates": {}, "ConditionExpression": "a = b"},
            MIXED % ("AttributeUpdates", "ConditionExpression"),
        ),
        ("Scan", {"ConditionalOperator": "OR"}, "ConditionalOperator cannot be used without Filter or Expected"),
        (
            "Scan",
            {"ConditionalOperator": "OR", "ScanFilter": {"a": condition("NULL")}},
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        ),
        (
            "Scan",
            {"ScanFilter": {"a": condition("LIKE", "x")}},
            f"1 validation error detected: Value 'LIKE' at 'scanFilter.a.member.comparisonOperator' failed to satisfy constraint: {ENUM}",
        ),
        (
            "Scan",
            {"AttributesToGet": []},
            (
                "1 validation error detected: Value '[]' at 'attributesToGet' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            ),
        ),
        ("Scan", {"AttributesToGet": ["a", "b", "a"]}, f"{INVALID}Duplicate value in attribute name: a"),
        ("Scan", {"ScanFilter": {"a": condition("EQ")}}, f"{INVALID}Invalid number of argument(s) for the EQ ComparisonOperator"),
        ("Scan", {"ScanFilter": {"a": condition("IN")}}, f"{INVALID}Invalid number of argument(s) for the IN ComparisonOperator"),
        ("Scan", {"ScanFilter": {"a": condition("IN", 1, "x")}}, f"{INVALID}AttributeValues inside AttributeValueList must be of same type"),
        ("Scan", {"ScanFilter": {"a": condition("LT", [1])}}, f"{INVALID}ComparisonOperator LT is not valid for L AttributeValue type"),
        (
            "Scan",
            {"ScanFilter": {"a": condition("BETWEEN", 2, 1)}},
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ),
        (
            "Query",
            {"KeyConditions": {"p": condition("EQ", "1"), "q": condition("NE", 1)}},
            "Attempted conditional constraint is not an indexable operation",
        ),
        ("Query", {"KeyConditions": {"p": condition("GT", "1")}}, "Query key condition not supported"),
        (
            "Query",
            {"KeyConditions": {"p": condition("EQ", "1")}, "QueryFilter": {"q": condition("EQ", 1)}},
            "QueryFilter can only contain non-primary key attributes: Primary key attribute: q",
        ),
        (
            "PutItem",
            {"Item": item(p="1", q=1), "Expected": {"a": {"Value": value(1), "AttributeValueList": []}}},
            f"{INVALID}Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            "PutItem",
            {"Item": item(p="1", q=1), "Expected": {"a": {"Exists": True, **condition("EQ", 1)}}},
            f"{INVALID}Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            "PutItem",
            {"Item": item(p="1", q=1), "Expected": {"a": {"Exists": False, "Value": value(1)}}},
            f"{INVALID}Value cannot be used when Exists is false for Attribute: a",
        ),
        (
            "PutItem",
            {"Item": item(p="1", q=1), "Expected": {"a": {"ComparisonOperator": "GT"}}},
            f"{INVALID}Value or AttributeValueList must be used with ComparisonOperator: GT for Attribute: a",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1", q=1), "AttributeUpdates": {"a": {"Action": "ADD"}}},
            f"{INVALID}Only DELETE action is allowed when no attribute value is specified",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1", q=1), "AttributeUpdates": {"a": {"Action": "ADD", "Value": value("x")}}},
            f"{INVALID}ADD action is not supported for the type S",
        ),
        (
            "UpdateItem",
            {"Key": item(p="1", q=1), "AttributeUpdates": {"a": {"Action": "DELETE", "Value": value("x")}}},
            f"{INVALID}DELETE action with value is not supported for the type S",
        ),
    ],
)
def test_refusals_have_dynamodbs_words(operation: str, params: dict[str, Any], message: str) -> None:
    async def scenario(bench: Bench) -> None:
        await people(bench)
        assert await bench.refusal(operation, TableName="ttt", **params) == message

    run(scenario)


MEANINGS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "EQ": lambda found, given: found == given[0],
    "NE": lambda found, given: found != given[0],
    "LT": lambda found, given: found is not None and found < given[0],
    "LE": lambda found, given: found is not None and found <= given[0],
    "GT": lambda found, given: found is not None and found > given[0],
    "GE": lambda found, given: found is not None and found >= given[0],
    "IN": lambda found, given: found in given,
    "BETWEEN": lambda found, given: found is not None and given[0] <= found <= given[1],
    "NULL": lambda found, given: found is None,
    "NOT_NULL": lambda found, given: found is not None,
}
numbers = st.integers(0, 4)
names = st.sampled_from(["a", "#0", "a.b", ":0", "size", "x[0]"])


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, list[int]]:
    operator = draw(st.sampled_from(sorted(MEANINGS)))
    count = {"BETWEEN": 2, "NULL": 0, "NOT_NULL": 0, "IN": 3}.get(operator, 1)
    return operator, sorted(draw(st.lists(numbers, min_size=count, max_size=count)))


@given(st.dictionaries(names, conditions(), min_size=1), st.sampled_from(["AND", "OR"]), st.dictionaries(names, numbers))
def test_filters_mean_what_python_means(wanted: dict[str, tuple[str, list[int]]], joined: str, plain: dict[str, int]) -> None:
    test = condition_from({name: condition(operator, *given_) for name, (operator, given_) in wanted.items()}, joined)
    assert test is not None
    join = all if joined == "AND" else any
    assert test.test(item(**plain)) == join(MEANINGS[operator](plain.get(name), given_) for name, (operator, given_) in wanted.items())


values = st.recursive(
    st.one_of(
        st.integers(-5, 5).map(value), st.text(max_size=3).map(value), st.just({"SS": ["a"]}), st.just({"NS": ["1", "2"]}), st.just({"NULL": True})
    ),
    lambda inner: st.lists(inner, max_size=2).map(lambda found: {"L": found}),
    max_leaves=3,
)


@given(
    st.dictionaries(st.text(max_size=2), st.fixed_dictionaries({"Action": st.sampled_from(["PUT", "ADD", "DELETE"])}, optional={"Value": values})),
    st.dictionaries(st.text(min_size=1, max_size=2), values),
)
def test_any_update_of_attributes_applies_or_is_refused(updates: dict[str, Any], before: dict[str, Any]) -> None:
    outcome: Any
    try:
        outcome = update_from(updates).apply(before).keys()
    except ServiceError as error:
        outcome = error.code
    assert outcome == "ValidationException" or outcome <= before.keys() | updates.keys()
