"""State machines as test cases: the same machine with few examples at every run, and with many where there is time."""

import unittest

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def run_of(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> type[unittest.TestCase]:
    case = type(machine.__name__, (machine,), {}).TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=QUIET)
    return case
