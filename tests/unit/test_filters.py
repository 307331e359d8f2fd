"""The filters of event source mappings, by the tables of the Lambda developer guide."""

from __future__ import annotations

from typing import Any

import pytest

from eventflow import SettingError
from eventflow.filters import Filters

JSON_BODY, PLAIN_BODY = {"body": {"kind": ["order"]}}, {"body": ["order"]}


@pytest.mark.parametrize(
    ("pattern", "body", "passes"),
    [
        (PLAIN_BODY, "order", True),
        (PLAIN_BODY, "other", False),
        (PLAIN_BODY, '{"kind": "order"}', False),
        (JSON_BODY, '{"kind": "order"}', True),
        (JSON_BODY, ' {"kind": "other"}', False),
        (JSON_BODY, "order", False),
        (JSON_BODY, '{"kind": "order"', False),
        (JSON_BODY, "[" * 100_000, False),
        ({"attributes": {"group": ["a"]}}, "order", True),
        ({"attributes": {"group": ["a"]}}, '{"kind": "order"}', True),
    ],
)
def test_bodies_of_messages(pattern: Any, body: str, passes: bool) -> None:
    assert Filters([pattern], "body").matches({"body": body, "attributes": {"group": "a"}}) is passes


def test_any_pattern_lets_a_record_pass() -> None:
    filters = Filters([{"eventName": ["INSERT"]}, '{"dynamodb": {"NewImage": {"n": {"N": ["1"]}}}}'])
    assert filters.matches({"eventName": "INSERT"})
    assert filters.matches({"eventName": "MODIFY", "dynamodb": {"NewImage": {"n": {"N": "1"}}}})
    assert not filters.matches({"eventName": "MODIFY", "dynamodb": {"NewImage": {"n": {"N": "2"}}}})
    assert Filters([]).matches({"eventName": "REMOVE"})


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"body": ["x"]}, "is not a list of patterns"),
        ([{"body": "x"}], r'filters\[0\] is refused. .*"body" must be an object or an array'),
        ([{"a": [1]}, 5], r"filters\[1\]=5 is neither"),
        ([{"a": [1]}] * 11, "filters has 11 patterns, outside 0-10"),
    ],
)
def test_what_cannot_be_enforced_is_refused(filters: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Filters(filters)
