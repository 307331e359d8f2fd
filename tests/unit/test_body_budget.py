import contextlib

import pytest

from eventflow.body_budget import BodyBudget
from eventflow.errors import Overloaded


def test_what_requests_hold_together_is_bounded_and_comes_back() -> None:
    budget = BodyBudget(100)
    with budget.share() as one, budget.share() as other:
        one.take(60)
        other.take(40)
        with pytest.raises(Overloaded, match="100 bytes of other requests"):
            one.take(1)
        assert budget.held == 100
    assert budget.held == 0


def test_a_request_that_fails_gives_back_what_it_held() -> None:
    budget = BodyBudget(100)
    with contextlib.suppress(RuntimeError), budget.share() as share:
        share.take(100)
        raise RuntimeError("the request failed")
    assert budget.held == 0


def test_what_is_announced_is_refused_before_it_comes_and_holds_nothing_until_then() -> None:
    budget = BodyBudget(100)
    with budget.share() as share:
        share.foresee(100)
        assert budget.held == 0
        with pytest.raises(Overloaded):
            share.foresee(101)
