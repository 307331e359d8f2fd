"""next_step: what follows from an attempt, in the numbers of Lambda's asynchronous invocation."""

import pytest

from eventflow.outcome import Attempts, Dead, Done, Outcome, Retry, RetryPolicy, Status, next_step

ERROR, SYSTEM = Outcome(Status.FUNCTION_ERROR), Outcome(Status.SYSTEM_ERROR)


def test_success_is_done() -> None:
    assert next_step(Outcome(Status.SUCCESS), Attempts(0, 0, 0.0), RetryPolicy(), 10.0) == Done()


@pytest.mark.parametrize(("errors", "delay"), [(1, 60.0), (2, 120.0)])
def test_function_errors_are_retried_after_one_and_two_minutes(errors: int, delay: float) -> None:
    assert next_step(ERROR, Attempts(errors, 0, 0.0), RetryPolicy(), 10.0) == Retry(10.0 + delay)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_the_last_function_error_exhausts_the_retries(retries: int) -> None:
    assert next_step(ERROR, Attempts(retries + 1, 0, 0.0), RetryPolicy(retries), 10.0) == Dead("RetriesExhausted")


def test_system_errors_back_off_from_one_second_to_five_minutes() -> None:
    delays = [
        step.at - 10.0 for errors in range(1, 12) if isinstance(step := next_step(SYSTEM, Attempts(0, errors, 10.0), RetryPolicy(), 10.0), Retry)
    ]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_system_errors_do_not_use_up_the_function_s_retries() -> None:
    assert next_step(ERROR, Attempts(1, 50, 0.0), RetryPolicy(), 10.0) == Retry(70.0)


def test_an_event_that_would_be_too_old_at_its_next_attempt_ends_now() -> None:
    policy = RetryPolicy(maximum_age=100.0)
    assert next_step(ERROR, Attempts(1, 0, 0.0), policy, 40.0) == Retry(100.0)
    assert next_step(ERROR, Attempts(1, 0, 0.0), policy, 40.1) == Dead("EventAgeExceeded")
    assert next_step(SYSTEM, Attempts(0, 9, 0.0), policy, 40.0) == Dead("EventAgeExceeded")


def test_a_recursive_loop_is_not_retried() -> None:
    assert next_step(Outcome(Status.RECURSION), Attempts(0, 0, 0.0), RetryPolicy(), 1.0) == Dead("RecursiveLoop")
