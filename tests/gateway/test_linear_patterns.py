"""Patterns in linear time: what they match is what ``re`` matches, and no text takes long."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.gateway import linear_patterns
from eventflow.gateway.linear_patterns import LinearPattern, NotLinear, TooCostly
from tests.examples import examples

ATOMS = st.sampled_from(["a", "b", ".", r"\w", r"\s", r"\d", "[ab]", "[^a]", "A", "^", "$", r"\b", r"\A", r"\Z", "-", r"\n", "é", "ß", "[A-Z]"])


def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{2,}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    joined = st.lists(inner, min_size=1, max_size=3).map("".join)
    either = st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})")
    flagged = st.tuples(st.sampled_from("ism"), inner).map(lambda pair: f"(?{pair[0]}:{pair[1]})")
    return joined | repeated | either | flagged


@settings(max_examples=examples(200), deadline=None)
@given(st.recursive(ATOMS, wider, max_leaves=8), st.text("abAB-1 \né", max_size=8), st.booleans())
def test_the_same_matches_as_with_re(pattern: str, text: str, whole: bool) -> None:
    wanted = (re.fullmatch if whole else re.search)(pattern, text) is not None
    assert LinearPattern(pattern, whole=whole).matches(text) is wanted


@pytest.mark.parametrize("pattern", [r"^(?=.*[A-Z])(?=.*\d)(?!.*\s).{3,}$", r"^(?!admin$)\w+$", r"\A(?=a)a"])
@pytest.mark.parametrize("text", ["", "a", "A1b", "A1 b", "1A", "AAA", "admin", "admins", "administrator", "ab"])
def test_conditions_at_the_start(pattern: str, text: str) -> None:
    assert LinearPattern(pattern).matches(text) is (re.search(pattern, text) is not None)
    assert LinearPattern(pattern, whole=True).matches(text) is (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize("pattern", [r"(a)\1", "a(?=b)", "(?<=a)b", "(?:a(?!b))+", "(?>a)b", "a++b", "(a)?(?(1)b|c)", "(?a)\\ba", "(?:a{100}){101}"])
def test_what_is_not_linear_is_refused(pattern: str) -> None:
    re.compile(pattern)
    with pytest.raises(NotLinear):
        LinearPattern(pattern)


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(x|xx)+y", "(.*)*y", r"^(\w+\s?)*$", "x*x*x*x*x*y"])
def test_what_keeps_re_busy_for_years(pattern: str) -> None:
    begin = time.process_time()
    LinearPattern(pattern).matches("x" * 100_000 + "!")
    assert time.process_time() - begin < 5


def test_a_text_that_takes_too_many_steps_is_left() -> None:
    pattern = LinearPattern("[ab]*a[ab]{60}$")
    text = "".join(random.Random(1).choices("ab", k=100_000))
    begin = time.process_time()
    with pytest.raises(TooCostly):
        pattern.matches(text)
    assert time.process_time() - begin < 10
    assert pattern.matches("a" + "b" * 60)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_patterns, "MOST_STATES", 5)
    monkeypatch.setattr(linear_patterns, "MOST_CHARACTERS", 5)
    pattern = LinearPattern(r"[ab]*a[ab]{4}\w")
    for number in range(64):
        text = f"{number:07b}".replace("0", "a").replace("1", "b") + chr(0x100 + number)
        assert pattern.matches(text) is (re.search(r"[ab]*a[ab]{4}\w", text) is not None)
        assert len(pattern._automaton._states) <= 5
        assert len(pattern._automaton._characters) <= 5
