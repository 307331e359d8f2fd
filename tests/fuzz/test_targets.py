"""The fuzzing targets on what they begin with, on changes of it, and on any bytes: a little of what ``make fuzz`` does at length."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

#: What parsers tend to stumble over, to be put in anywhere.
AWKWARD = [
    b"\0",
    b"\xff",
    b"%ff",
    b"%",
    b"..",
    b"\r\n",
    b"\n",
    b'"',
    b"{",
    b"[" * 40,
    b"-1",
    b"9" * 30,
    b"1e999",
    b"\xed\xa0\x80",
    b";",
    b"=",
    b"<",
    b"&",
    b" ",
]


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few pieces taken out, doubled, or awkward ones put in."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        piece = draw(st.one_of(st.just(b""), st.just(data[start:end] * 2), st.sampled_from(AWKWARD), st.binary(max_size=4)))
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_begun_with_is_fine(name: str) -> None:
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_changes_of_it_are_read_or_refused(name: str, data: st.DataObject) -> None:
    target, seeds = TARGETS[name]
    target(data.draw(changed(seeds).filter(bool)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, deadline=None)
@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    TARGETS[name][0](data)
