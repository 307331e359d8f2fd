"""CloudFormation's functions, each as the reference has it."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.sam.intrinsics import REMOVED, Resolver
from eventflow.sam.problems import TemplateError

VARIABLES = {"Stage": "dev", "Zones": ["a", "b"], "AWS::Region": "eu-west-1", "Count": "3"}
CONDITIONS = {
    "IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
    "IsProd": {"Fn::Not": [{"Condition": "IsDev"}]},
    "Both": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
    "Either": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
    "Three": {"Fn::Equals": [{"Ref": "Count"}, 3]},
    "Loop": {"Fn::Not": [{"Condition": "Pool"}]},
    "Pool": {"Fn::Not": [{"Condition": "Loop"}]},
}
MAPPINGS = {"Sizes": {"dev": {"Memory": 128, "Names": ["x", "y"]}}}


def early() -> Resolver:
    return Resolver(VARIABLES, MAPPINGS, CONDITIONS)


def late() -> Resolver:
    return Resolver(VARIABLES, MAPPINGS, CONDITIONS, ref=lambda one: f"ref-{one}", attribute=lambda one, name: f"{one}/{name}")


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "Queue"}, "ref-Queue"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "Queue/Arn"),
        ({"Fn::GetAtt": "Stack.Outputs.Url"}, "Stack/Outputs.Url"),
        ({"Fn::Sub": "${Stage}-${Queue}-${Queue.Arn}-${!Literal}-${AWS::Region}"}, "dev-ref-Queue-Queue/Arn-${Literal}-eu-west-1"),
        ({"Fn::Sub": ["${A}${Stage}", {"A": {"Ref": "Queue"}, "Stage": "own"}]}, "ref-Queueown"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}, 1]]}, "a-dev-1"),
        ({"Fn::Join": [",", {"Ref": "Zones"}]}, "a,b"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", "a/b/c"]}]}, "b"),
        ({"Fn::Select": ["0", {"Ref": "Zones"}]}, "a"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Memory"]}, 128),
        ({"Fn::FindInMap": ["Sizes", "none", "Memory", {"DefaultValue": 7}]}, 7),
        ({"Fn::Base64": {"Ref": "Stage"}}, base64.b64encode(b"dev").decode()),
        ({"Fn::If": ["IsDev", "yes", {"Ref": "Nowhere"}]}, "yes"),
        ({"a": {"Fn::If": ["IsProd", 1, {"Ref": "AWS::NoValue"}]}, "b": 2}, {"b": 2}),
        ([1, {"Ref": "AWS::NoValue"}, 2], [1, 2]),
        ({"Fn::If": ["Both", 1, 2]}, 2),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"Fn::If": ["Three", 1, 2]}, 1),
        ({"Fn::Length": {"Ref": "Zones"}}, 2),
        ({"Fn::ToJsonString": {"a": {"Ref": "Stage"}}}, '{"a":"dev"}'),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"Condition": {"StringEquals": {"aws:x": "y"}}}, {"Condition": {"StringEquals": {"aws:x": "y"}}}),
    ],
)
def test_a_function_gives_what_cloudformation_gives(value: Any, result: Any) -> None:
    assert late().resolve(value) == result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"Ref": "AWS::Nothing"}, "no pseudo parameter"),
        ({"Fn::Select": [5, ["a"]]}, "no element 5"),
        ({"Fn::FindInMap": ["Sizes", "none", "Memory"]}, "Sizes.none.Memory"),
        ({"Fn::If": ["Nothing", 1, 2]}, "no condition 'Nothing'"),
        ({"Fn::If": ["Loop", 1, 2]}, "Loop -> Pool -> Loop"),
        ({"Fn::ImportValue": "x"}, "exports of others"),
        ({"Fn::Transform": {"Name": "Mine"}}, "no macros"),
        ({"Fn::Whatever": 1}, "Fn::Whatever"),
        ({"Fn::Join": "x"}, "Fn::Join"),
        ({"Fn::And": [{"Condition": "IsDev"}]}, "2 to 10"),
    ],
)
def test_what_means_nothing_is_refused_with_what_it_is(value: Any, text: str) -> None:
    with pytest.raises(TemplateError, match=text.replace(".", r"\.")):
        late().resolve(value)


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Queue"},
        {"Fn::GetAtt": ["Queue", "Arn"]},
        {"Fn::Sub": "${Stage}-${Queue}"},
        {"Fn::Join": ["-", [{"Ref": "Stage"}, {"Ref": "Queue"}]]},
        {"Fn::Select": [0, {"Fn::Split": [":", {"Fn::GetAtt": ["Queue", "Arn"]}]}]},
        {"Fn::Sub": ["${A}", {"A": {"Ref": "Queue"}}]},
    ],
)
def test_what_means_a_resource_waits_and_then_gives_the_same(value: Any) -> None:
    waiting = early().resolve({"x": value})
    assert waiting["x"] == early().resolve(waiting)["x"]
    assert late().resolve(waiting) == late().resolve({"x": value})


def test_a_value_of_a_parameter_is_not_a_template() -> None:
    """A variable in a parameter's value stays as it is, though the text that holds it is looked at twice."""
    variables = {**VARIABLES, "Price": "${Stage} $"}
    first = Resolver(variables).resolve({"Fn::Sub": "${Price} ${Queue}"})
    second = Resolver(variables, ref=lambda one: one, attribute=lambda one, name: name)
    assert second.resolve(first) == "${Stage} $ Queue"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=40)
@given(plain)
def test_what_has_no_functions_stays_as_it_is(value: Any) -> None:
    assert early().resolve(value) == value
    assert late().resolve(value) == value


functions = st.recursive(
    st.sampled_from([{"Ref": "Stage"}, {"Ref": "Queue"}, {"Fn::GetAtt": ["Queue", "Arn"]}, "text", {"Fn::Sub": "${Stage}/${Queue}"}]),
    lambda inner: (
        st.builds(lambda parts: {"Fn::Join": ["-", parts]}, st.lists(inner, max_size=3))
        | st.builds(lambda name, left, right: {"Fn::If": [name, left, right]}, st.sampled_from(["IsDev", "IsProd", "Both"]), inner, inner)
        | st.builds(lambda one: {"Fn::Select": [0, {"Fn::Split": ["-", one]}]}, inner)
        | st.builds(lambda one: {"Fn::Sub": ["${V}!", {"V": one}]}, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(functions)
def test_two_steps_come_to_the_same_as_one(value: Any) -> None:
    assert late().resolve(early().resolve(value)) == late().resolve(value)


NAMES = ["Ref", "Fn::Sub", "Fn::Join", "Fn::If", "Fn::Select", "Fn::Split", "Fn::GetAtt", "Fn::FindInMap", "Fn::And", "x"]
nonsense = st.recursive(
    st.text(max_size=4) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=10,
)


@settings(max_examples=40)
@given(nonsense)
def test_nonsense_is_refused_in_a_sentence_or_means_something(value: Any) -> None:
    try:
        found = late().resolve(value)
    except TemplateError:
        return
    assert found is REMOVED or isinstance(found, str | int | list | dict)
