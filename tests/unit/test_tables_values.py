"""Attribute values: numbers against decimal arithmetic, key encodings against the order of what they encode, sizes and refusals."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.attributes import numbers
from eventflow.services.attributes.numbers import OVERFLOW, TOO_PRECISE, UNDERFLOW
from eventflow.services.attributes.values import equal, item_size, valid_item, valid_value
from eventflow.services.tables.items import dump, load
from eventflow.services.tables.keys import ABOVE_ALL, encode, end_of_prefix, following

WIDE = Context(prec=400)


def refusal(action: Any, *arguments: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        action(*arguments)
    assert caught.value.code == "ValidationException"
    return caught.value.message


@st.composite
def number_texts(draw: st.DrawFn) -> str:
    """Numbers within DynamoDB's limits, written in many ways."""
    digits = draw(st.text("0123456789", min_size=1, max_size=38))
    point = draw(st.integers(0, len(digits)))
    exponent = draw(st.integers(-130 + len(digits) - point, 126 - point))
    sign = draw(st.sampled_from(("", "-", "+")))
    letter = draw(st.sampled_from("eE"))
    return f"{sign}{digits[:point]}.{digits[point:]}{letter}{exponent}" if draw(st.booleans()) else f"{sign}{digits}"


@given(number_texts())
def test_canonical_numbers_keep_the_value_and_have_one_form(text: str) -> None:
    canonical = numbers.canonical(text)
    assert Decimal(canonical) == Decimal(text)
    assert numbers.canonical(canonical) == canonical
    assert set(canonical) <= set("-.0123456789")
    assert canonical.lstrip("-").split(".")[0].lstrip("0") or canonical.lstrip("-").startswith("0")
    assert "." not in canonical or canonical[-1] not in "0."
    assert numbers.canonical(text + "e0" if "e" not in text.lower() else text) == canonical


@given(number_texts(), number_texts())
def test_encoded_numbers_sort_as_numbers(left: str, right: str) -> None:
    one, two = numbers.sortable(numbers.canonical(left)), numbers.sortable(numbers.canonical(right))
    assert (one < two) == (Decimal(left) < Decimal(right))
    assert (one == two) == (Decimal(left) == Decimal(right))
    assert len(one) <= 22


@given(st.text("0123456789", min_size=1, max_size=8), st.text("0123456789", max_size=8), st.sampled_from(("", "-")), st.integers(-5, 5))
def test_numbers_that_begin_alike_sort_too(digits: str, more: str, sign: str, exponent: int) -> None:
    texts = [f"{sign}{whole}.{fraction}e{exponent}" for whole in (digits, "0") for fraction in (digits, digits + more, more)]
    canonical = [numbers.canonical(text) for text in texts]
    assert sorted(canonical, key=numbers.sortable) == sorted(canonical, key=Decimal)


@given(st.lists(st.integers(-1000, 1000).map(lambda cents: str(Decimal(cents) / 100)), min_size=2))
def test_close_numbers_sort_too(texts: list[str]) -> None:
    canonical = [numbers.canonical(text) for text in texts]
    assert sorted(canonical, key=numbers.sortable) == sorted(canonical, key=Decimal)


@given(number_texts(), number_texts())
def test_sums_and_differences_are_exact_or_refused(left: str, right: str) -> None:
    one, two = numbers.canonical(left), numbers.canonical(right)
    for operation, exact in ((numbers.add, WIDE.add), (numbers.subtract, WIDE.subtract)):
        expected = exact(Decimal(one), Decimal(two))
        digits = len(expected.normalize(WIDE).as_tuple().digits)
        if digits <= 38 and (expected == 0 or -130 <= expected.adjusted() <= 125):
            assert Decimal(operation(one, two)) == expected
        else:
            assert refusal(operation, one, two) in (OVERFLOW, UNDERFLOW)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("00042", "42"),
        ("1.5E2", "150"),
        ("-0", "0"),
        ("0e1000", "0"),
        ("+3", "3"),
        (".123", "0.123"),
        ("1.", "1"),
        ("3.1400", "3.14"),
        ("1e-3", "0.001"),
    ],
)
def test_numbers_come_back_in_canonical_form(text: str, canonical: str) -> None:
    assert numbers.canonical(text) == canonical


def test_numbers_out_of_range_are_refused_in_dynamodbs_words() -> None:
    assert refusal(numbers.canonical, "1e126") == OVERFLOW
    assert refusal(numbers.canonical, "-1e" + "9" * 5000) == OVERFLOW
    assert refusal(numbers.canonical, "1e-131") == UNDERFLOW
    assert refusal(numbers.canonical, "1" * 39) == TOO_PRECISE
    assert numbers.canonical("9." + "9" * 37 + "e125").startswith("9" * 38)
    assert numbers.canonical("1e00000000000000000005") == "100000"
    for text in ("NaN", "Infinity", "dog", " 1", "1 ", "1e", ".", "1_000", "٣"):
        assert refusal(numbers.canonical, text) == f"The parameter cannot be converted to a numeric value: {text}"
    assert refusal(numbers.canonical, "") == "The parameter cannot be converted to a numeric value"
    assert refusal(numbers.add, "1" + "0" * 50, "1") == OVERFLOW


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_text_keys_sort_as_utf8(left: str, right: str) -> None:
    assert (encode({"S": left}) < encode({"S": right})) == (left.encode() < right.encode()) == (left < right)


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_bounds_of_byte_strings(prefix: bytes, other: bytes) -> None:
    assert (prefix <= other < end_of_prefix(prefix)) == other.startswith(prefix)
    assert (other < following(prefix)) == (other <= prefix)
    assert other < ABOVE_ALL


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "leaf"}
    for _ in range(levels):
        value = {"M": {"n": value}}
    return value


def test_values_that_dynamodb_refuses() -> None:
    invalid = "One or more parameter values were invalid: "
    cases: list[tuple[Any, str]] = [
        ({"SS": []}, f"{invalid}An string set  may not be empty"),
        ({"NS": []}, f"{invalid}An number set  may not be empty"),
        ({"BS": []}, f"{invalid}Binary sets should not be empty"),
        ({"SS": ["a", "a"]}, f"{invalid}Input collection [a, a] contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        ({"BS": [b"1", b"1"]}, f"{invalid}Input collection of type BS contains duplicates."),
        ({"NULL": False}, f"{invalid}Null attribute value types must have the value of true"),
        ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"S": "a", "N": "1"}, "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"),
        ({"L": [{"M": {"a": {"SS": []}}}]}, f"{invalid}An string set  may not be empty"),
        (nested(32), "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"),
        ({"S": "\ud800"}, f"{invalid}A string is not valid Unicode: it has an unpaired surrogate at position 0"),
    ]
    for value, message in cases:
        assert refusal(valid_value, value) == message
    assert valid_value(nested(31)) == nested(31)
    assert valid_item({"e": {"S": ""}, "b": {"B": b""}, "l": {"L": []}, "m": {"M": {}}, "n": {"N": "1.0"}})["n"] == {"N": "1"}


def test_sizes_follow_the_published_rules() -> None:
    assert item_size({"key": {"S": "é"}}) == 5
    assert item_size({"n": {"NULL": True}, "t": {"BOOL": False}}) == 4
    assert item_size({"l": {"L": [{"S": "ab"}, {"L": []}]}}) == 1 + 3 + (1 + 2) + (1 + 3)
    assert item_size({"m": {"M": {"ab": {"S": "c"}}}}) == 1 + 3 + 1 + 3
    assert item_size({"s": {"SS": ["a", "bcd"]}, "b": {"B": b"12345"}}) == 5 + 6
    for text, size in (("0", 1), ("7", 2), ("12", 2), ("123", 3), ("1234", 3), ("100", 2), ("-7", 3), ("1.5", 3), ("0.01", 2)):
        assert numbers.size(text) == size, text


scalars = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    st.builds(lambda number: {"N": str(number)}, st.integers(-(10**20), 10**20)),
    st.builds(lambda data: {"B": data}, st.binary(max_size=4)),
    st.builds(lambda answer: {"BOOL": answer}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda found: {"BS": found}, st.lists(st.binary(max_size=2), min_size=1, max_size=3, unique=True)),
    st.builds(lambda found: {"SS": found}, st.lists(st.text("ab", max_size=2), min_size=1, max_size=3, unique=True)),
)
#: Names that could be mistaken for types, as the stored form must not.
names = st.sampled_from(["a", "B", "BS", "S", "L", "M", "é\0"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(lambda found: {"L": found}, st.lists(inner, max_size=3)),
        st.builds(lambda found: {"M": found}, st.dictionaries(names, inner, max_size=3)),
    ),
    max_leaves=6,
)


@given(st.dictionaries(names, values, max_size=4))
def test_what_is_stored_comes_back(item: dict[str, Any]) -> None:
    body, binary = dump(valid_item(item))
    assert load(body, binary) == item


@given(values, values)
def test_equality_is_of_type_and_content_with_sets_in_any_order(left: dict[str, Any], right: dict[str, Any]) -> None:
    def frozen(value: dict[str, Any]) -> Any:
        ((kind, content),) = value.items()
        if kind in ("SS", "NS", "BS"):
            return kind, frozenset(content)
        if kind == "L":
            return kind, tuple(map(frozen, content))
        if kind == "M":
            return kind, frozenset((name, frozen(inner)) for name, inner in content.items())
        return kind, content

    assert equal(left, right) == (frozen(left) == frozen(right))
    assert equal(left, left)
