"""Route selection expressions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import SettingError
from eventflow.gateway.websocket.selection import Selection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def model(value: Any, path: list[str]) -> str | None:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    if value is None or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else json.dumps(value)


@given(JSON, st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.booleans())
def test_a_key_is_what_stands_at_the_path(value: Any, path: list[str], braces: bool) -> None:
    inner = ".".join(["request.body", *path])
    selection = Selection.parse("here", f"${{{inner}}}" if braces else f"${inner}")
    assert selection.key(json.dumps(value)) == model(value, path)


@given(st.text())
def test_any_text_has_a_key_or_none(text: str) -> None:
    assert Selection.parse("here", "$request.body.a").key(text) is None or text.lstrip()[:1] == "{"


@pytest.mark.parametrize(
    "text", ['{"a": "$connect"}', '{"a": "$disconnect"}', '{"a": NaN}', "[" * 100_000, '{"a": ' * 100_000, '{"a": 1' + "0" * 5000 + "}"]
)
def test_some_name_no_route(text: str) -> None:
    assert Selection.parse("here", "$request.body.a").key(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$request.body",
        "$request.body.",
        "$request.body..a",
        "$request.header.a",
        "${request.body.a",
        "request.body.a",
        "$request.body.a[0]",
        None,
        5,
    ],
)
def test_what_is_no_expression_is_refused(text: Any) -> None:
    with pytest.raises(SettingError, match=r"here: route_selection_expression=.* is refused"):
        Selection.parse("here", text)
