"""Event patterns, against AWS's documented examples, a naive model, and nonsense."""

from __future__ import annotations

import json
import sys
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.pattern import InvalidEventPattern, compile_pattern


def matches(member: Any, value: Any) -> bool:
    return compile_pattern({"a": [member]}).matches({"a": value})


@pytest.mark.parametrize(
    ("member", "fitting", "others"),
    [
        ("x", ["x"], ["X", "xy", 1, None, True]),
        (1, [1, 1.0, 1.0000000001], ["1", 2, True, None]),
        (12345678901234, [12345678901234], [12345678901235, "12345678901234"]),
        (True, [True], [1, "true", False]),
        (None, [None], ["", 0, False, "null"]),
        ({"prefix": "ab"}, ["ab", "abc"], ["a", "Ab", 12, None]),
        ({"prefix": {"equals-ignore-case": "aB"}}, ["Abc", "ab"], ["a", "ba"]),
        ({"suffix": ".png"}, [".png", "a.png"], ["png", "a.PNG"]),
        ({"suffix": {"equals-ignore-case": ".png"}}, ["a.PNG", ".png"], ["a.pngx"]),
        ({"equals-ignore-case": "alice"}, ["ALICE", "alice", "aLiCe"], ["alic", 5]),
        ({"equals-ignore-case": "ΑΣ"}, ["ασ", "Ασ"], ["ας"]),
        ({"wildcard": "*.txt"}, [".txt", "a.txt"], ["a.txt2", "txt"]),
        ({"wildcard": "a*b*c"}, ["abc", "aXbYc", "abbcc"], ["ac", "acb", "xabc"]),
        ({"wildcard": "ab*ba"}, ["abba", "abxba"], ["aba"]),
        ({"wildcard": "a\\*b\\\\*"}, ["a*b\\", "a*b\\x"], ["axb\\", "a*b"]),
        ({"wildcard": "abc"}, ["abc"], ["abcd"]),
        ({"anything-but": "x"}, ["y", 1, None, True], ["x"]),
        ({"anything-but": ["x", "y"]}, ["z", 1], ["x", "y"]),
        ({"anything-but": 5}, [6, "5", None], [5, 5.0]),
        ({"anything-but": [100, 200]}, [300, "100"], [100, 200.0]),
        ({"anything-but": {"prefix": "in"}}, ["out", 1], ["in", "init"]),
        ({"anything-but": {"prefix": ["in", "up"]}}, ["out"], ["init", "upon"]),
        ({"anything-but": {"suffix": ".tmp"}}, ["a.txt"], ["a.tmp"]),
        ({"anything-but": {"suffix": [".tmp", ".bak"]}}, ["a.txt"], ["a.tmp", "b.bak"]),
        ({"anything-but": {"equals-ignore-case": "init"}}, ["x"], ["INIT", "init"]),
        ({"anything-but": {"equals-ignore-case": ["a", "b"]}}, ["c"], ["A", "B"]),
        ({"anything-but": {"wildcard": "*/lib/*"}}, ["/usr/bin/x"], ["/usr/lib/x"]),
        ({"anything-but": {"wildcard": ["*/lib/*", "*/bin/*"]}}, ["/etc/x"], ["/usr/lib/x", "/usr/bin/x"]),
        ({"numeric": ["=", 3.018e2]}, [301.8], [301.9, "301.8"]),
        ({"numeric": ["<", 10]}, [9.999, -5], [10, 11, "5", None, True]),
        ({"numeric": ["<=", 10]}, [10, 9], [10.1]),
        ({"numeric": [">", 0]}, [0.000001], [0, -1]),
        ({"numeric": [">=", 0]}, [0, 5e9], [-0.1, 5e9 + 1]),
        ({"numeric": [">", 0, "<=", 5]}, [1, 5], [0, 5.1]),
        ({"numeric": [">=", 0, "<", 5]}, [0, 4.9], [5]),
        ({"cidr": "10.0.0.0/24"}, ["10.0.0.0", "10.0.0.255"], ["10.0.1.0", "x", 1, "::1"]),
        ({"cidr": "2001:db8::/32"}, ["2001:db8::1", "2001:0DB8:0::ffff"], ["2001:db9::", "10.0.0.1"]),
        ("2001:db8::1", ["2001:db8::1", "2001:0db8:0:0::1"], ["2001:db8::2"]),
        ({"exists": True}, [1, None, "", [1]], [[], {}, {"b": 1}]),
        ({"exists": False}, [[], {}, {"b": 1}], [1, None, ""]),
    ],
)
def test_operators(member: Any, fitting: list[Any], others: list[Any]) -> None:
    assert [value for value in fitting if not matches(member, value)] == []
    assert [value for value in others if matches(member, value)] == []


def test_the_example_of_the_user_guide() -> None:
    event = {
        "version": "0",
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "time": "2017-10-02T16:24:49Z",
        "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],
        "detail": {"c-count": 5, "d-count": 3, "x-limit": 301.8, "source-ip": "10.0.0.33", "state": "running"},
    }
    pattern = {
        "time": [{"prefix": "2017-10-02"}],
        "detail": {
            "state": [{"anything-but": "initializing"}],
            "c-count": [{"numeric": [">", 0, "<=", 5]}],
            "d-count": [{"numeric": ["<", 10]}],
            "x-limit": [{"anything-but": [100, 200, 300]}],
            "source-ip": [{"cidr": "10.0.0.0/8"}],
            "c": [{"exists": False}],
        },
    }
    assert compile_pattern(pattern).matches(event)
    assert compile_pattern(json.dumps(pattern)).matches(event)
    assert not compile_pattern(pattern).matches({**event, "detail": {**event["detail"], "c-count": 6}})  # type: ignore[dict-item]


def test_fields_of_one_array_match_in_one_of_its_elements() -> None:
    pattern = compile_pattern({"employees": {"firstName": ["Anna"], "lastName": ["Jones"]}})
    assert pattern.matches({"employees": [{"firstName": "Anna", "lastName": "Jones"}]})
    assert not pattern.matches({"employees": [{"firstName": "John", "lastName": "Jones"}, {"firstName": "Anna", "lastName": "Smith"}]})
    two = compile_pattern({"a": {"b": {"x": [1], "y": [2]}, "c": [3]}})
    assert two.matches({"a": [{"b": [{"x": 1}, {"x": 1, "y": 2}], "c": 3}, {"c": 4}]})
    assert not two.matches({"a": [{"b": [{"x": 1, "y": 2}], "c": 4}, {"b": {"x": 0}, "c": 3}]})
    absent = compile_pattern({"a": {"x": [1], "y": [{"exists": False}]}})
    assert absent.matches({"a": [{"x": 1}, {"x": 2, "y": 1}]})
    assert not absent.matches({"a": [{"x": 1, "y": 1}, {"x": 2}]})


def test_names_with_dots_are_paths() -> None:
    assert compile_pattern({"a.b": [1]}).matches({"a": {"b": 1}})
    assert compile_pattern({"a": {"b": [1]}}).matches({"a.b": 1})


def test_or() -> None:
    pattern = compile_pattern({"s": ["x"], "$or": [{"m": ["CPU"]}, {"t": ["T"], "$or": [{"i": [1]}, {"k": [2]}]}]})
    assert pattern.matches({"s": "x", "m": "CPU"})
    assert pattern.matches({"s": "x", "t": "T", "k": 2})
    assert not pattern.matches({"s": "x", "t": "T"})
    assert not pattern.matches({"s": "y", "m": "CPU"})
    parallel = compile_pattern({"$or": [{"a": [1]}, {"b": [1]}], "d": {"$or": [{"a": [1]}, {"b": [1]}]}})
    assert parallel.matches({"b": 1, "d": {"a": 1}})
    assert not parallel.matches({"b": 1})
    field = compile_pattern({"$or": {"a": [1]}})  # no operator: AWS's event-ruler takes it for a name
    assert field.matches({"$or": {"a": 1}})


@pytest.mark.parametrize(
    ("pattern", "reason", "path"),
    [
        ("[]", "Filter is not an object", ""),
        ('{"a": [1]', "Invalid JSON: Expecting ',' delimiter", "line 1, column 10"),
        ({}, "Empty objects are not allowed", ""),
        ({"a": {}}, "Empty objects are not allowed", "a"),
        ({"a": []}, "Empty arrays are not allowed", "a"),
        ({"a": {"b": "x"}}, '"b" must be an object or an array', "a.b"),
        ({"a": [["x"]]}, "Match value must be String, number, true, false, or null", "a[0]"),
        ({"a": ["x", {"prefx": "y"}]}, "Unrecognized match type prefx", "a[1]"),
        ({"a": [{}]}, "Match expression name not found", "a[0]"),
        ({"a": [{"prefix": "a", "suffix": "b"}]}, "Only one key allowed in match expression", "a[0]"),
        ({"a": [{"prefix": 1}]}, "prefix match pattern must be a string", "a[0]"),
        ({"a": [{"suffix": {"prefix": "x"}}]}, "Unsupported suffix pattern: prefix", "a[0]"),
        ({"a": [{"exists": "yes"}]}, "exists match pattern must be either true or false.", "a[0]"),
        ({"a": [{"exists": True, "x": 1}]}, "Only one key allowed in match expression", "a[0]"),
        ({"a": [{"numeric": 5}]}, "Value of numeric must be an array.", "a[0]"),
        ({"a": [{"numeric": []}]}, "Invalid member in numeric match: ]", "a[0]"),
        ({"a": [{"numeric": ["~", 5]}]}, "Unrecognized numeric range operator: ~", "a[0]"),
        ({"a": [{"numeric": ["=", "5"]}]}, "Value of equals must be numeric", "a[0]"),
        ({"a": [{"numeric": ["<"]}]}, "Value of < must be numeric", "a[0]"),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, "Too many elements in numeric expression", "a[0]"),
        ({"a": [{"numeric": [">", 5, "=", 1]}]}, "Bad numeric range operator: =", "a[0]"),
        ({"a": [{"numeric": [">", 5, 1]}]}, "Bad value in numeric range: 1", "a[0]"),
        ({"a": [{"numeric": [">", 5, "<", 1]}]}, "Bottom must be less than top", "a[0]"),
        ({"a": [{"numeric": [">", 5, "<", 6, "<"]}]}, "Too many terms in numeric range expression", "a[0]"),
        ({"a": [{"numeric": ["=", 6e9]}]}, "Value must be between -5.0E9 and 5.0E9, inclusive", "a[0]"),
        (
            {"a": [{"anything-but": ["x", 1]}]},
            "Inside anything but list, either all values are number or string, mixed type is not supported",
            "a[0]",
        ),
        ({"a": [{"anything-but": []}]}, "Inside anything but list, either all values are number or string, mixed type is not supported", "a[0]"),
        ({"a": [{"anything-but": [None]}]}, "Inside anything but list, start|null|boolean is not supported.", "a[0]"),
        ({"a": [{"anything-but": None}]}, "Value of anything-but must be an array or single string/number value.", "a[0]"),
        ({"a": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}, "Unsupported anything-but pattern: cidr", "a[0]"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "Null prefix/suffix not allowed", "a[0]"),
        ({"a": [{"wildcard": "a**"}]}, "Consecutive wildcard characters at pos 2", "a[0]"),
        ({"a": [{"wildcard": "a\\b"}]}, "Invalid escape character at pos 2", "a[0]"),
        ({"a": [{"cidr": "10.0.0.0"}]}, "Malformed CIDR, one '/' required", "a[0]"),
        ({"$or": [{"a": [1]}, {"b": {"prefix": [1]}}]}, "prefix is Ruler reserved fieldName which cannot be used inside $or.", "b.prefix"),
        ('{"a": [1], "a": [2]}', "Path `a` cannot be allowed multiple times", ""),
        ('{"a": [NaN]}', "Invalid JSON: NaN is not a value of JSON", ""),
        ({"a": ["x" * 5000]}, "The pattern has 5010 characters, it may have 4096", ""),
    ],
)
def test_what_is_refused_is_told_with_its_place(pattern: Any, reason: str, path: str) -> None:
    with pytest.raises(InvalidEventPattern) as caught:
        compile_pattern(pattern)
    assert (caught.value.reason, caught.value.path) == (reason, path)
    assert caught.value.code == "InvalidEventPatternException"
    assert caught.value.message.startswith("Event pattern is not valid. Reason: " + reason)


def test_combinations_are_limited() -> None:
    ten = [{"a": [n]} for n in range(10)]
    assert compile_pattern({"x": {"$or": ten}, "y": {"$or": ten}, "z": {"$or": ten}}).matches({"x": {"a": 1}, "y": {"a": 2}, "z": {"a": 3}})
    with pytest.raises(ServiceError) as caught:
        compile_pattern({"w": {"$or": ten[:2]}, "x": {"$or": ten}, "y": {"$or": ten}, "z": {"$or": ten}})
    assert caught.value.code == "LimitExceededException"


@pytest.mark.parametrize("text", ['{"a":' * 500 + "[1]" + "}" * 500, "[" * 4000, '{"a":[' + "[" * 2000])
def test_deep_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidEventPattern):
        compile_pattern(text)


def test_arrays_that_have_nothing_to_do_with_each_other_do_not_multiply() -> None:
    event = {name: [{"x": 1, "y": 1} for _ in range(300)] for name in "abcdefgh"}
    asked = {name: {"x": [1], "y": [1]} for name in "abcdefgh"}
    assert compile_pattern(asked).matches(event)
    assert not compile_pattern({**asked, "z": ["never"]}).matches(event)


def test_a_deep_event_is_looked_into() -> None:
    value: Any = 1
    for _ in range(2000):
        value = [value, 0]
    assert compile_pattern({"a": [1]}).matches({"a": value})


# The model: every way to take one value for each field, tried out.

scalars = st.sampled_from(["x", "y", "", 0, 1, 2.5, True, False, None])
names = st.sampled_from(["a", "b", "c"])
event_names = names | st.sampled_from(["a.b", "b.a.c", "a.", "c.c"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(event_names, inner, max_size=3), max_leaves=12)
events = st.dictionaries(event_names, values, max_size=3)
members = st.one_of(scalars, st.just({"exists": True}), st.just({"exists": False}), st.just({"anything-but": "x"}), st.just({"numeric": [">", 0]}))
patterns = st.recursive(
    st.lists(members, min_size=1, max_size=2), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=5
).filter(lambda pattern: isinstance(pattern, dict))


# Tables: arrays of objects, where what matters is which element a value is in.
bits = st.sampled_from([0, 1])
inner_rows = st.fixed_dictionaries({}, optional={"b": bits, "c": bits})
elements = st.fixed_dictionaries({}, optional={"a": bits, "b": bits, "c": st.lists(inner_rows, min_size=1, max_size=2)})
tables = st.fixed_dictionaries({"a": st.lists(elements, min_size=2, max_size=3)}, optional={"b": st.lists(elements, min_size=2, max_size=2)})
bit_tests = bits.map(lambda bit: [bit]) | st.just([{"exists": False}])
rows = st.fixed_dictionaries({"a": bit_tests, "b": bit_tests}, optional={"c": st.fixed_dictionaries({"b": bit_tests, "c": bit_tests})})
table_patterns = st.fixed_dictionaries({"a": rows}, optional={"b": rows})


def model(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    fields, leaves = list(pattern_fields(pattern, "")), list(event_leaves(event, "", ()))
    choices = [[*(leaf for leaf in leaves if leaf[0] == name), None] for name, _ in fields]
    return any(
        agree(choice) and all(fits(asked, leaf, choice, leaves, name) for (name, asked), leaf in zip(fields, choice, strict=True))
        for choice in product(*choices)
    )


def pattern_fields(pattern: Any, path: str) -> Any:
    for name, inner in sorted(pattern.items()):
        yield from [(path + name, inner)] if isinstance(inner, list) else pattern_fields(inner, path + name + ".")


def event_leaves(value: Any, path: str, place: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from event_leaves(inner, f"{path}.{name}".lstrip("."), place)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from event_leaves(inner, path, (*place, (id(value), index)) if isinstance(inner, dict | list) else place)
    else:
        yield path, value, place


def agree(choice: Any) -> bool:
    known: dict[int, int] = {}
    return all(known.setdefault(array, index) == index for leaf in choice if leaf for array, index in leaf[2])


def fits(asked: Any, leaf: Any, choice: Any, leaves: Any, name: str) -> bool:
    if leaf is not None:
        return any(equal(member, leaf[1]) for member in asked)
    before = [other for other in choice if other and other[0] < name]
    return {"exists": False} in asked and not any(other[0] == name and agree([*before, other]) for other in leaves)


def equal(member: Any, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(member, dict):
        operator, operand = next(iter(member.items()))
        return bool({"exists": operand is True, "anything-but": value != "x", "numeric": number and value > 0}[operator])
    return type(member) is type(value) and bool(member == value)


@given(st.one_of(st.tuples(patterns, events), st.tuples(table_patterns, tables)))
def test_the_model_agrees(asked: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pattern, event = asked
    event = json.loads(json.dumps(event))  # every list once: the model knows arrays by their identity
    assert compile_pattern(pattern).matches(event) == model(pattern, event)


@given(st.one_of(st.tuples(patterns, patterns, patterns, events), st.tuples(table_patterns, table_patterns, table_patterns, tables)))
def test_alternatives_are_asked_together_and_each_for_itself(asked: tuple[dict[str, Any], ...]) -> None:
    *alternatives, event = asked
    event = json.loads(json.dumps(event))
    assert compile_pattern({"$or": alternatives}).matches(event) == any(model(pattern, event) for pattern in alternatives)


def test_a_field_may_be_both_asked_for_and_on_the_way_to_another() -> None:
    pattern = compile_pattern({"a": [1], "a.b": [2]})
    assert pattern.matches({"a": [1, {"b": 2}]})
    assert pattern.matches({"a": 1, "a.b": 2})
    assert not pattern.matches({"a": {"b": 2}})


def test_names_with_dots_come_together_with_objects() -> None:
    pattern = compile_pattern({"a": {"b": [1], "c": [2]}})
    assert pattern.matches({"a": {"b": 1}, "a.c": 2})
    assert pattern.matches({"a": [{"b": 1}, {"b": 0}], "a.c": 2})
    assert pattern.matches({"a": {"b": 0, "c": 2}, "a.b": 1})
    assert not pattern.matches({"a": [{"b": 1, "c": 0}, {"b": 0, "c": 2}]})
    deep = compile_pattern({".".join(["a"] * 150): [1]})
    value: Any = 1
    for _ in range(150):
        value = {"a": value}
    assert deep.matches(value)


def test_the_work_grows_with_the_event_and_not_with_what_is_asked_of_it() -> None:
    """Counted in calls, as no machine's speed is known: some for each element, however many alternatives ask for it."""

    event = {"rows": [{"a": f"{number}", "b": "y"} for number in range(3000)]}
    pattern = compile_pattern({"$or": [{"rows": {"a": [f"x{number}"], "b": ["y"]}} for number in range(60)]})
    calls = 0

    def count(frame: Any, kind: str, _argument: Any) -> None:
        nonlocal calls
        calls += kind == "call"

    sys.setprofile(count)
    try:
        assert not pattern.matches(event)
    finally:
        sys.setprofile(None)
    assert calls < 5 * 3000


@given(
    st.text(max_size=60)
    | st.recursive(
        scalars | st.sampled_from(["*", "<", 1e308, -1]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["a", "$or", "prefix", "numeric", "exists", "anything-but", "cidr", "wildcard"]), inner)
        ),
    ),
    events,
)
def test_nonsense_is_compiled_or_refused(pattern: Any, event: dict[str, Any]) -> None:
    try:
        compiled = compile_pattern(pattern if isinstance(pattern, str) else json.dumps(pattern))
    except ServiceError:
        return
    assert compiled.matches(event) in (True, False)


@given(st.text("ab*\\", max_size=8), st.text("ab*\\", max_size=8))
def test_wildcards_against_a_model(wildcard: str, value: str) -> None:
    try:
        pattern = compile_pattern({"a": [{"wildcard": wildcard}]})
    except InvalidEventPattern:
        return
    assert pattern.matches({"a": value}) == spells(wildcard, value)


def spells(wildcard: str, value: str) -> bool:
    if not wildcard:
        return not value
    if wildcard[0] == "*":
        return any(spells(wildcard[1:], value[skipped:]) for skipped in range(len(value) + 1))
    begin = 1 if wildcard[0] == "\\" else 0
    return value[:1] == wildcard[begin] and spells(wildcard[begin + 1 :], value[1:])
