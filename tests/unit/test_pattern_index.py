"""An index of patterns finds what each of them alone would match, and asks few of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.pattern import Pattern, compile_pattern
from eventflow.pattern_index import PatternIndex
from tests.unit.test_pattern import events, patterns, table_patterns, tables

texts = st.sampled_from(["x", "y", "::1", "0:0:0:0:0:0:0:1"])
text_fields = st.lists(texts, min_size=1, max_size=2) | st.lists(
    texts | st.sampled_from([1, {"exists": False}, {"prefix": "x"}]), min_size=1, max_size=2
)
text_names = st.sampled_from(["a", "b", "a.b"])
text_patterns = st.recursive(
    st.dictionaries(text_names, text_fields, min_size=1, max_size=3), lambda inner: st.dictionaries(text_names, inner, min_size=1, max_size=3)
)
either = st.lists(text_patterns, min_size=2, max_size=3).map(lambda members: {"$or": members})
text_values = st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_names, inner, max_size=3), max_leaves=6)
text_events = st.dictionaries(text_names, texts | text_values, min_size=1, max_size=3)


of_texts = st.tuples(st.lists(text_patterns | either, min_size=1, max_size=8), st.lists(text_events, min_size=1, max_size=4))
of_all = st.tuples(st.lists(patterns | table_patterns, max_size=8), st.lists(events | tables, min_size=1, max_size=3))


@given(of_texts | of_all)
def test_the_same_match_as_one_by_one(asked: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    written, arriving = asked
    compiled = [compile_pattern(pattern) for pattern in written]
    index = PatternIndex((pattern, number) for number, pattern in enumerate(compiled))
    for event in json.loads(json.dumps(arriving)):
        assert index.matching(event) == [number for number, pattern in enumerate(compiled) if pattern.matches(event)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The patterns that were held against events."""
    found: list[str] = []
    plainly = Pattern.matches

    def matches(self: Pattern, event: Any) -> bool:
        found.append(self.text)
        return plainly(self, event)

    monkeypatch.setattr(Pattern, "matches", matches)
    return found


def test_an_event_is_held_against_the_patterns_that_ask_for_what_it_has(asked: list[str]) -> None:
    """Though all ask for its source, and many for its type: what tells them apart is found in each pattern for itself."""
    index = PatternIndex(
        (compile_pattern({"source": ["app"], "detail-type": [f"type-{number % 10}"], "detail": {"tenant": [f"tenant-{number}"]}}), number)
        for number in range(2000)
    )
    assert index.matching({"source": "app", "detail-type": "type-7", "detail": {"tenant": "tenant-17"}}) == [17]
    assert len(asked) == 1
    assert index.matching({"source": "app", "detail-type": "type-7", "detail": [{"tenant": "tenant-17"}, {"tenant": ["tenant-27"]}]}) == [17, 27]
    assert index.matching({"source": "app", "detail-type": "type-7", "detail.tenant": "tenant-27"}) == [27]
    assert index.matching({"source": "app", "detail-type": "type-7", "detail": {"tenant": "another"}}) == []
    assert len(asked) == 4


def test_a_pattern_that_asks_for_no_text_is_asked_always(asked: list[str]) -> None:
    written: list[dict[str, Any]] = [
        {"a": ["x"]},
        {"a": [{"prefix": "x"}]},
        {"$or": [{"a": ["x"]}, {"b": [1]}]},
        {"$or": [{"a": ["x"]}, {"b": ["y"]}]},
        {"a": ["x", {"exists": False}]},
        {"a": ["::1"]},
    ]
    index = PatternIndex((compile_pattern(pattern), number) for number, pattern in enumerate(written))
    assert index.matching({"b": "y", "c": "x"}) == [3, 4]
    assert len(asked) == 5
    assert index.matching({"a": "0:0:0:0:0:0:0:1"}) == [5]
    assert index.matching({"a": "x", "b": 1}) == [0, 1, 2, 3, 4]
    assert PatternIndex([]).matching({"a": "x"}) == []
