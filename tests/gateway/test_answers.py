"""What functions return, as answers: "Lambda proxy integrations" for HTTP APIs (format 2.0) and for REST APIs (format 1.0)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.gateway.answers import FIELD_NAME, Malformed, answer_1, answer_2

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "value, status, headers, body",
    [
        ("Hello from Lambda!", 200, [JSON], b"Hello from Lambda!"),
        ({"message": "Hello"}, 200, [JSON], b'{"message": "Hello"}'),
        ([1, 2], 200, [JSON], b"[1, 2]"),
        (None, 200, [JSON], b"null"),
        (7.5, 200, [JSON], b"7.5"),
        ({"body": "no status"}, 200, [JSON], b'{"body": "no status"}'),
        ({"statusCode": 204}, 204, [TEXT], b""),
        ({"statusCode": "404", "body": "x"}, 404, [TEXT], b"x"),
        ({"statusCode": 200, "body": "<p>", "headers": {"Content-Type": "text/html"}}, 200, [(b"content-type", b"text/html")], b"<p>"),
        ({"statusCode": 200, "body": "AAH/", "isBase64Encoded": True}, 200, [TEXT], b"\0\1\xff"),
        ({"statusCode": 200, "body": {"a": [1]}}, 200, [TEXT], b'{"a":[1]}'),
        ({"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]}, 200, [(b"set-cookie", b"a=1; Secure"), (b"set-cookie", b"b=2"), TEXT], b""),
        ({"statusCode": 200, "headers": {"x-count": 3, "x-yes": True}}, 200, [(b"x-count", b"3"), (b"x-yes", b"true"), TEXT], b""),
        ({"statusCode": 200, "headers": {"Content-Length": "5", "Transfer-Encoding": "chunked", "Connection": "close"}}, 200, [TEXT], b""),
        ({"statusCode": 200, "headers": {"x-name": "Zo\u00eb \u2713"}}, 200, [(b"x-name", "Zo\u00eb \u2713".encode()), TEXT], b""),
        ({"statusCode": 200, "extra": "members are passed over"}, 200, [TEXT], b""),
        # Half of a surrogate pair, which a function may repeat of what a client sent: no text in UTF-8.
        ({"statusCode": 200, "body": "\ud800"}, 200, [TEXT], b"?"),
        ({"statusCode": 200, "body": {"a": "\ud800"}}, 200, [TEXT], b'{"a":"?"}'),
        ({"statusCode": 200, "headers": {"x-name": "a\ud800"}}, 200, [(b"x-name", b"a?"), TEXT], b""),
    ],
)
def test_format_2(value: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    answer = answer_2(json.dumps(value).encode())
    assert (answer.status, list(answer.headers), answer.body) == (status, headers, body)


@pytest.mark.parametrize(
    "value, status, headers, body",
    [
        ({"statusCode": 200, "body": "x", "headers": {"X-A": "1"}}, 200, [(b"x-a", b"1"), JSON], b"x"),
        (
            {"statusCode": "201", "headers": {"a": "1"}, "multiValueHeaders": {"set-cookie": ["x=1", "y=2"]}},
            201,
            [(b"a", b"1"), (b"set-cookie", b"x=1"), (b"set-cookie", b"y=2"), JSON],
            b"",
        ),
        ({"statusCode": 200, "headers": None, "body": None}, 200, [JSON], b""),
        (
            {"statusCode": 200, "headers": {"a": "1", "b": "2"}, "multiValueHeaders": {"A": ["0", "1"], "b": ["3"]}},
            200,
            [(b"b", b"2"), (b"a", b"0"), (b"a", b"1"), (b"b", b"3"), JSON],
            b"",
        ),
    ],
)
def test_format_1(value: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    answer = answer_1(json.dumps(value).encode())
    assert (answer.status, list(answer.headers), answer.body) == (status, headers, body)


BOTH = [
    {"statusCode": "ok"},
    {"statusCode": 99},
    {"statusCode": 600},
    {"statusCode": 100},
    {"statusCode": 101},
    {"statusCode": 103},
    {"statusCode": "9" * 5000},
    {"statusCode": True},
    {"statusCode": None},
    {"statusCode": 200, "headers": ["a"]},
    {"statusCode": 200, "headers": {"a": ["b"]}},
    {"statusCode": 200, "headers": {"a": "1\r\nset-cookie: b=2"}},
    {"statusCode": 200, "headers": {"a": "1\n"}},
    {"statusCode": 200, "headers": {"a": "nul\0"}},
    {"statusCode": 200, "headers": {"a: b\r\nc": "1"}},
    {"statusCode": 200, "headers": {"": "1"}},
    {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
]


@pytest.mark.parametrize("value", [*BOTH, {"statusCode": 200, "cookies": "a=1"}, {"statusCode": 200, "cookies": ["a=1\r\nx: y"]}])
def test_what_format_2_does_not_allow(value: Any) -> None:
    with pytest.raises(Malformed):
        answer_2(json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        *BOTH,
        "text",
        None,
        {"body": "no status"},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "cookies": ["a=1"]},
        {"statusCode": 200, "extra": 1},
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        {"statusCode": 200, "multiValueHeaders": {"a": ["b\r\nc: d"]}},
    ],
)
def test_what_format_1_does_not_allow(value: Any) -> None:
    with pytest.raises(Malformed):
        answer_1(json.dumps(value).encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RESPONSES = VALUES | st.fixed_dictionaries(
    {"statusCode": st.sampled_from([200, "200", 404]) | VALUES},
    optional={
        "headers": VALUES | st.dictionaries(st.text(max_size=8), st.text(max_size=8)),
        "multiValueHeaders": VALUES | st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8))),
        "cookies": VALUES | st.lists(st.text(max_size=8)),
        "body": VALUES,
        "isBase64Encoded": VALUES,
    },
)


@given(RESPONSES, st.sampled_from([answer_1, answer_2]))
def test_no_response_makes_a_header_that_is_none(value: Any, read: Any) -> None:
    try:
        answer = read(json.dumps(value).encode())
    except Malformed:
        return
    assert 100 <= answer.status <= 599
    for name, content in answer.headers:
        assert FIELD_NAME.fullmatch(name.decode())
        assert not set(content) & {0, 10, 13}


def test_a_header_whose_name_is_no_text_is_malformed() -> None:
    for answer in (answer_1, answer_2):
        with pytest.raises(Malformed, match="no name of a header"):
            answer(json.dumps({"statusCode": 200, "headers": {"x-\ud800": "a"}}).encode())
