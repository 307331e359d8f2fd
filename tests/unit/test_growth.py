"""Growth: when a backlog gets more environments, and when they would only get in each other's way."""

import os
from collections.abc import Callable

import pytest

from eventflow.runtime.growth import Growth
from eventflow.testing.virtual_clock import VirtualClock

GONE = 2**22 + 1  # no process has this number: it counts as running


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Growth:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return Growth(VirtualClock())


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """So many processes that all wait for something."""
    monkeypatch.setattr("eventflow.runtime.growth.on_processor", lambda _pids: 0)
    return lambda count: [GONE] * count


def test_each_processor_gets_one_at_once(growth: Growth) -> None:
    assert growth.step([], 0.0, crew=0, starting=0, quick=False) == 2
    assert growth.step([GONE], 1.0, crew=1, starting=0, quick=True) == 1


def test_a_function_without_any_gets_its_first_however_busy_the_machine_is(growth: Growth) -> None:
    assert growth.step([GONE] * 8, 8.0, crew=0, starting=0, quick=False) == 1


def test_what_computes_does_not_grow_beyond_the_processors(growth: Growth) -> None:
    assert growth.step([GONE] * 2, 0.0, crew=2, starting=0, quick=False) == 0


def test_what_waits_grows_by_half(growth: Growth, waiting: Callable[[int], list[int]]) -> None:
    assert growth.step(waiting(2), 0.1, crew=2, starting=0, quick=False) == 2
    assert growth.step(waiting(40), 0.1, crew=40, starting=0, quick=False) == 20


def test_what_waits_for_us_while_the_processors_are_used_up_does_not(growth: Growth, waiting: Callable[[int], list[int]]) -> None:
    assert growth.step(waiting(3), 2.0, crew=3, starting=0, quick=False) == 0


def test_quick_functions_and_crews_that_are_starting_wait(growth: Growth, waiting: Callable[[int], list[int]]) -> None:
    assert growth.step(waiting(2), 0.0, crew=2, starting=0, quick=True) == 0
    assert growth.step(waiting(2), 0.0, crew=2, starting=2, quick=False) == 0


def test_callers_that_wait_get_a_few_inits_a_processor_at_once(growth: Growth) -> None:
    assert growth.may_start([GONE] * 7)
    assert not growth.may_start([GONE] * 8)


def test_inits_that_wait_for_something_leave_room_for_others(growth: Growth, waiting: Callable[[int], list[int]]) -> None:
    assert growth.may_start(waiting(200))
