"""Message attributes: MD5s as SQS computes them, sizes, filters, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.queues import message_attributes


def text(value: str, kind: str = "String") -> dict[str, Any]:
    return {"DataType": kind, "StringValue": value}


GREETING = {"General": text("Kenobi"), "Hello": text("There"), "Help.Me": text("Me")}


@pytest.mark.parametrize(
    ("attributes", "digest"),
    [
        (GREETING, "4c360f3fdafd970e05fae2f149d997f5"),
        ({"Hello": text("There")}, "a311262e065454b75da111d535b8dacd"),
        ({"Foo": text("Bar")}, "ae7155c6026991b6d54b11589678bf9c"),
        (
            {"attr1": {"DataType": "Binary", "BinaryValue": b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"}},
            "8cbe4db156db8a94db8b801b7addb984",
        ),
    ],
)
def test_md5s_are_those_that_aws_answers(attributes: dict[str, Any], digest: str) -> None:
    assert message_attributes.md5(attributes) == digest


def test_the_order_of_attributes_does_not_change_their_md5() -> None:
    assert message_attributes.md5(dict(reversed(GREETING.items()))) == message_attributes.md5(GREETING)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], set()),
        (["All"], set(GREETING)),
        ([".*"], set(GREETING)),
        (["Hello", "Missing"], {"Hello"}),
        (["Hel.*"], {"Hello", "Help.Me"}),
        (["Help.*"], {"Help.Me"}),
        (["*"], set(GREETING)),
        (["hello"], set()),
    ],
)
def test_attributes_are_selected_by_name_and_prefix(names: list[str], found: set[str]) -> None:
    assert set(message_attributes.selected(GREETING, names)) == found


@pytest.mark.parametrize(
    ("attributes", "fragment"),
    [
        ({f"a{number}": text("x") for number in range(11)}, r"\[11\] exceeds the allowed maximum \[10\]"),
        ({"": text("x")}, "1 to 256 characters"),
        ({"a" * 257: text("x")}, "1 to 256 characters"),
        ({"a b": text("x")}, "invalid characters"),
        ({".a": text("x")}, "period"),
        ({"a..b": text("x")}, "period"),
        ({"AWS.a": text("x")}, "reserved"),
        ({"amazon.a": text("x")}, "reserved"),
        ({"a": text("")}, "Message \\(user\\) attribute 'a' must contain a non-empty value of type 'String'"),
        ({"a": {"DataType": "Binary", "BinaryValue": b""}}, "non-empty value of type 'Binary'"),
        ({"a": {"DataType": "Binary", "StringValue": "x"}}, "non-empty value of type 'Binary'"),
        ({"a": text("x", "Boolean")}, "supported type prefixes: Binary, Number, String"),
        ({"a": text("x", "")}, "supported type prefixes"),
        ({"a": text("x", "String." + "y" * 250)}, "longer than 256"),
        ({"a": text("x", "Number")}, "Can't cast the value of message \\(user\\) attribute 'a' to a number"),
        ({"a": text("NaN", "Number.float")}, "to a number"),
        ({"a": text("\x00")}, "Invalid characters found"),
        ({"a": {"DataType": "String", "StringListValues": ["x"]}}, "list values"),
    ],
)
def test_bad_attributes_are_refused(attributes: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ServiceError, match=fragment):
        message_attributes.check(attributes)


def test_custom_types_are_taken() -> None:
    message_attributes.check(
        {"a": text("1e5", "Number.float"), "b": {"DataType": "Binary.gif", "BinaryValue": b"\x00"}, "c": text("x", "String.custom")}
    )


def test_the_size_counts_names_types_and_values_in_bytes() -> None:
    assert message_attributes.size({"name": text("é")}) == len("name") + len("String") + 2


@given(
    st.dictionaries(
        st.text("abc.", min_size=1),
        st.builds(text, st.text(min_size=1)) | st.builds(lambda value: {"DataType": "Binary.x", "BinaryValue": value}, st.binary(min_size=1)),
    )
)
def test_attributes_survive_being_kept(attributes: dict[str, Any]) -> None:
    assert message_attributes.from_json(message_attributes.to_json(attributes)) == attributes


@pytest.mark.parametrize("body", ["a\x00b", "\x0b", "\ufffe", "\ud800"])
def test_characters_that_xml_does_not_have_are_refused(body: str) -> None:
    with pytest.raises(ServiceError, match="Invalid characters found") as refused:
        message_attributes.check_text(body)
    assert refused.value.code == "InvalidMessageContents"


def test_all_other_characters_are_taken() -> None:
    message_attributes.check_text("\t\n\r ~\x7f é\ud7ff\ue000\ufffd\U00010000\U0010ffff")


def test_the_trace_header_is_the_one_system_attribute() -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    assert message_attributes.trace_of({"AWSTraceHeader": text(header)}) == header
    assert message_attributes.trace_of({}) is None
    for bad in ({"AWSTraceHeader": text("x")}, {"AWSTraceHeader": text(header, "Number")}, {"Colour": text("red")}):
        with pytest.raises(ServiceError):
            message_attributes.trace_of(bad)
