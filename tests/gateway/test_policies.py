"""Policies of Lambda authorizers against a small model, and patterns that would keep a careless matcher busy."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.gateway.apis import Api, Stage
from eventflow.gateway.authorizers.policies import Decision, Malformed, Pattern, compiled, method_arn, read_policy

TEXTS = st.text(alphabet="ab/.", max_size=8)
PATTERNS = st.text(alphabet="ab/.*?", max_size=8)


def model(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return model(pattern[1:], text) or (bool(text) and model(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and model(pattern[1:], text[1:])


@given(PATTERNS, TEXTS)
def test_wildcards(pattern: str, text: str) -> None:
    assert (compiled(pattern).fullmatch(text) is not None) is model(pattern, text)


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    for pattern, text in (
        ("*" + "a*" * 2000 + "b", "a" * 10_000),
        ("*" + "?*" * 2000 + "b", "a" * 10_000),
        ("*" + "a" * 4000 + "b*", "a" * 10_000),
        ("*" * 8000 + "b", "a" * 10_000),
    ):
        assert compiled(pattern).fullmatch(text) is None
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", True),
        ("arn:aws:execute-api:*:*:*", True),
        ("arn:aws:execute-api:us-east-1:1:abc/prod/GET/a:b", True),
        ("arn:aws:execute-api:us-east-1:1:abc/*/b", False),
        ("arn:*:abc/prod/GET/a:b", True),  # three parts: compared as a whole
        ("arn:aws:execute-api:*:abc/prod/GET/a:b", False),  # six parts, of which the fifth is no account
        ("arn:aws:s3:*:*:*", False),
        ("ARN:aws:execute-api:*:*:*", False),
        ("", False),
    ],
)
def test_arns_are_compared_part_by_part(pattern: str, matches: bool) -> None:
    assert Pattern(pattern).matches("arn:aws:execute-api:us-east-1:1:abc/prod/GET/a:b") is matches


STATEMENTS = st.lists(st.tuples(st.booleans(), PATTERNS.filter(bool)), min_size=1, max_size=4)


@given(STATEMENTS, TEXTS)
def test_a_deny_goes_before_any_allow(statements: list[tuple[bool, str]], text: str) -> None:
    document = {"Statement": [{"Effect": "Allow" if allows else "Deny", "Action": "*", "Resource": pattern} for allows, pattern in statements]}
    fitting = [allows for allows, pattern in statements if model(pattern, text)]
    expected = Decision.DENY if False in fitting else Decision.ALLOW if fitting else Decision.NOT_ALLOWED
    assert read_policy(document).decide(text) is expected


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["Allow", "Deny", "*", "2012-10-17", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Statement", "Effect", "Action", "Resource", "Version", "Condition"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_what_is_no_policy_is_malformed_and_nothing_else(value: Any) -> None:
    with contextlib.suppress(Malformed):
        read_policy(value)


@given(st.text(max_size=20))
def test_the_arn_of_a_path_matches_itself_and_no_other(path: str) -> None:
    api = Api("REST", "a", "abc", Stage("prod"))
    try:
        arn = method_arn("us-east-1", "1", api, "GET", f"/{path}")
    except UnicodeEncodeError:
        return  # half a pair of surrogates, which no server decodes a path to
    assert Pattern(arn).matches(arn)
    assert not {"*", "?", "$"} & set(arn)
