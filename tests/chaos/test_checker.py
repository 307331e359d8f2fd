"""The checker finds each broken promise, and lets pass what a kill excuses."""

import dataclasses
from typing import Any

import pytest

from tests.chaos.checker import DEAD, DONE, READY, Attempt, Entry, Event, Evidence, Kill, judge

FINE = Evidence(
    acknowledged={"work": ["w1"], "doomed": ["d1"], "relay": ["r1"], "message": ["m1"]},
    attempts=[
        Attempt("work", "w1", "id-w1", 10.0, 1, 10.1),
        Attempt("doomed", "d1", "id-d1", 10.0, 2),
        Attempt("doomed", "d1", "id-d1", 11.0, 2),
        Attempt("relay", "r1", "id-r1", 10.0, 3, 10.1),
        Attempt("after", "r1", "id-a1", 10.2, 4, 10.3),
        Attempt("job", "m1", "batch-1", 10.0, 5, 10.1),
        Attempt("tick", "12:00", "id-t1", 12.0, 6, 12.1),
    ],
    kills=[],
    events=[
        Event("id-w1", "work", "w1", DONE, ""),
        Event("id-d1", "doomed", "d1", DEAD, "RetriesExhausted: no"),
        Event("id-r1", "relay", "r1", DONE, ""),
        Event("id-a1", "after", "r1", DONE, ""),
        Event("id-t1", "tick", "12:00", DONE, ""),
    ],
    ledger={
        "id-w1": [Entry("success", 9.9, 10.1)],
        "id-d1": [Entry("function_error", 9.9, 10.1), Entry("function_error", 10.9, 11.1)],
        "id-r1": [Entry("success", 9.9, 10.1)],
        "id-a1": [Entry("success", 10.1, 10.3)],
        "id-t1": [Entry("success", 11.9, 12.1)],
    },
    failures={"id-d1": 1},
    letters={"id-d1": 1},
    instants={"tick": ["12:00"]},
)


def wrongs(**changes: Any) -> list[str]:
    return judge(dataclasses.replace(FINE, **changes)).wrongs


def without(name: str) -> dict[str, Any]:
    """As if nothing was known of this name but that it was acknowledged."""
    return {
        "events": [event for event in FINE.events if event.name != name],
        "attempts": [attempt for attempt in FINE.attempts if attempt.name != name],
    }


def test_what_is_as_it_should_be_is_counted() -> None:
    verdict = judge(FINE)
    assert verdict.wrongs == []
    assert verdict.counts["work"] == {"accepted": 1, "handled": 1}
    assert verdict.counts["doomed"] == {"accepted": 1, "dead": 1}
    assert verdict.counts["queue letters"] == {"accepted": 1, "handled": 1}


@pytest.mark.parametrize("name", ["w1", "d1", "m1", "12:00"])
def test_what_is_not_there_is_lost(name: str) -> None:
    verdict = judge(dataclasses.replace(FINE, **without(name)))
    assert verdict.lost >= 1
    assert [wrong for wrong in verdict.wrongs if wrong.startswith("LOST")]


@pytest.mark.parametrize(("state", "what"), [(READY, "is still ready at the end"), (DEAD, "is dead, though its environment was killed only 0 times")])
def test_a_wrong_end_is_found(state: int, what: str) -> None:
    events = [dataclasses.replace(event, state=state) if event.name == "w1" else event for event in FINE.events]
    assert any(what in wrong for wrong in wrongs(events=events))


def test_done_without_an_attempt_is_found() -> None:
    attempts = [dataclasses.replace(attempt, ended=None) if attempt.name == "w1" else attempt for attempt in FINE.attempts]
    assert any("is done, and no attempt at it ever ended" in wrong for wrong in wrongs(attempts=attempts))


def test_accepted_twice_is_found() -> None:
    again = [*FINE.events, Event("id-t2", "tick", "12:00", DONE, "")]
    attempts = [*FINE.attempts, Attempt("tick", "12:00", "id-t2", 12.5, 6, 12.6)]
    assert any("tick 12:00 was accepted 2 times" in wrong for wrong in wrongs(events=again, attempts=attempts))


def repeated(begun: float = 20.0) -> list[Attempt]:
    return [*FINE.attempts, Attempt("job", "m1", "batch-2", begun, 7, begun + 0.1)]


def test_a_repetition_needs_a_kill_in_between() -> None:
    assert any("nothing was killed in between" in wrong for wrong in wrongs(attempts=repeated()))
    assert any("nothing was killed in between" in wrong for wrong in wrongs(attempts=repeated(), kills=[Kill("daemon", 30.0, 30.1)]))
    verdict = judge(dataclasses.replace(FINE, attempts=repeated(), kills=[Kill("daemon", 10.2, 10.3)]))
    assert verdict.wrongs == []
    assert verdict.counts["message"]["duplicated"] == 1
    assert verdict.longest_unsettled == pytest.approx(0.1)


def test_a_failure_is_that_of_the_attempt_which_it_is_nearest_to() -> None:
    """The first attempt was killed unsettled; the second failed by itself, and the third needs no kill."""
    begun = (10.0, 45.0, 45.6)
    attempts = [Attempt("work", "w1", "id-w1", at, 1, at + 0.1 if at == begun[-1] else None) for at in begun]
    others = [attempt for attempt in FINE.attempts if attempt.function != "work"]
    ledger = {**FINE.ledger, "id-w1": [Entry("function_error", 44.9999, 45.05, "LookupError"), Entry("success", 45.5999, 45.7)]}
    assert wrongs(attempts=[*others, *attempts], ledger=ledger, kills=[Kill("daemon", 20.0, 20.1)]) == []
    (wrong,) = wrongs(attempts=[*others, *attempts], ledger=ledger)
    assert "ran at 10.000" in wrong


def test_a_kill_long_after_the_end_excuses_nothing() -> None:
    assert any("before the first kill" in wrong for wrong in wrongs(attempts=repeated(60.0), kills=[Kill("daemon", 50.0, 50.1)]))


def test_running_again_after_a_success_was_settled_is_found() -> None:
    attempts = [*FINE.attempts, Attempt("work", "w1", "id-w1", 20.0, 7, 20.1)]
    kills = [Kill("daemon", 10.2, 10.3)]
    assert any("had been a success" in wrong for wrong in wrongs(attempts=attempts, kills=kills))
    # Where the first attempt was not settled before the kill, the success is the second one's.
    ledger = {**FINE.ledger, "id-w1": [Entry("success", 19.9, 20.1)]}
    assert wrongs(attempts=attempts, kills=kills, ledger=ledger) == []
    ledger["id-w1"] = [Entry("success", 9.9, 10.1), Entry("success", 19.9, 20.1)]
    assert any("settled as a success 2 times" in wrong for wrong in wrongs(attempts=attempts, kills=kills, ledger=ledger))


def test_letters_are_there_once() -> None:
    assert any("is dead and not in the queue letters" in wrong for wrong in wrongs(letters={}))
    assert any("is in the queue failures 2 times" in wrong for wrong in wrongs(failures={"id-d1": 2}))
    assert any("is in the queue failures and not dead" in wrong for wrong in wrongs(failures={"id-d1": 1, "id-w1": 1}))


def test_a_success_is_at_its_destination_once() -> None:
    assert any("relay r1 is done and has 0 events" in wrong for wrong in wrongs(events=[event for event in FINE.events if event.function != "after"]))


def test_messages_that_are_left_are_told() -> None:
    assert wrongs(messages_left=2) == ["2 messages are still in the queue of jobs"]


def test_an_event_whose_environment_was_killed_every_time_may_be_dead() -> None:
    events = [Event("id-w1", "work", "w1", DEAD, "RetriesExhausted: killed") if event.name == "w1" else event for event in FINE.events]
    attempts = [attempt for attempt in FINE.attempts if attempt.name != "w1"]
    attempts += [Attempt("work", "w1", "id-w1", 20.0 + number, 8) for number in range(3)]
    ledger = {**FINE.ledger, "id-w1": [Entry("function_error", 20.0 + number, 20.2 + number) for number in range(3)]}
    kills = [Kill("environment", 20.1 + number, 20.15 + number) for number in range(3)]
    failures = {"id-d1": 1, "id-w1": 1}
    assert wrongs(events=events, attempts=attempts, ledger=ledger, kills=kills, failures=failures) == []
    assert wrongs(events=events, attempts=attempts, ledger=ledger, kills=kills[:2], failures=failures) != []
