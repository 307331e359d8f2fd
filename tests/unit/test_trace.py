"""Trace headers: a function's part in a chain of causes is counted whatever stands in the header."""

from hypothesis import given
from hypothesis import strategies as st

from eventflow.dispatch import trace

ARN, OTHER = "arn:aws:lambda:us-east-1:000000000000:function:f", "arn:aws:lambda:us-east-1:000000000000:function:g"
ID = "01a201a5-8ba9-7c66-ba9e-fce0ff40ea6a"


def test_a_first_invocation_gets_a_root_and_stands_once_in_the_chain() -> None:
    header, count = trace.extend(None, ARN, ID)
    assert header.startswith("Root=1-01a201a5-8ba97c66ba9efce0ff40ea6a;Parent=ba9efce0ff40ea6a;Sampled=0;Lineage=")
    assert (count, trace.depth(header)) == (1, 1)


def test_functions_are_counted_apart_and_the_root_is_kept() -> None:
    first, _ = trace.extend(None, ARN, ID)
    second, other = trace.extend(first, OTHER, ID)
    third, again = trace.extend(second, ARN, ID)
    assert (other, again, trace.depth(third)) == (1, 2, 3)
    assert {trace.parse(header)["Root"] for header in (first, second, third)} == {"1-01a201a5-8ba97c66ba9efce0ff40ea6a"}


def test_a_chain_of_sixteen_is_the_longest() -> None:
    header = None
    for _ in range(trace.RECURSION_LIMIT):
        header, count = trace.extend(header, ARN, ID)
    assert count == 16
    assert trace.extend(header, ARN, ID)[1] > trace.RECURSION_LIMIT


@given(st.text(alphabet="RootLineage=;:|0123456789abc- ²\0", max_size=60))
def test_any_header_from_outside_is_survived(header: str) -> None:
    extended, count = trace.extend(header, ARN, ID)
    assert count >= 1
    assert trace.extend(extended, ARN, ID)[1] == count + 1
