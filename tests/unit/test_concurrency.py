"""Slots of concurrency: reserved, shared, and what of them may be reserved."""

import pytest

from eventflow.dispatch.concurrency import Concurrency
from eventflow.errors import SettingError
from eventflow.function import Function


def test_reservations_must_leave_a_hundred_to_the_others() -> None:
    concurrency = Concurrency()
    concurrency.configure([Function("f", "m:f", reserved_concurrency=900)])
    with pytest.raises(SettingError, match="reserve 901"):
        concurrency.configure([Function("f", "m:f", reserved_concurrency=900), Function("g", "m:g", reserved_concurrency=1)])


def test_what_is_reserved_counts_together_whoever_configures_it() -> None:
    concurrency = Concurrency()
    concurrency.configure([Function("f", "m:f", reserved_concurrency=500)])
    concurrency.configure([Function("g", "m:g", reserved_concurrency=400)], "deployed")
    with pytest.raises(SettingError, match="reserve 901"):
        concurrency.configure([Function("f", "m:f", reserved_concurrency=501)])
    assert (concurrency.allowed("f"), concurrency.allowed("g"), concurrency.allowed("h")) == (500, 400, 100)
    concurrency.configure([], "deployed")
    assert (concurrency.allowed("f"), concurrency.allowed("g")) == (500, 500)


def test_slots_are_counted_for_reserved_and_shared_functions_apart() -> None:
    concurrency = Concurrency(limit=103)
    concurrency.configure([Function("f", "m:f", reserved_concurrency=2), Function("g", "m:g")])
    assert [concurrency.acquire("f") for _ in range(3)] == [None, None, "ReservedFunctionConcurrentInvocationLimitExceeded"]
    assert [concurrency.acquire("g") for _ in range(102)] == [None] * 101 + ["ConcurrentInvocationLimitExceeded"]
    concurrency.release("f")
    assert concurrency.acquire("f") is None
    assert (concurrency.allowed("f"), concurrency.allowed("g")) == (2, 101)
