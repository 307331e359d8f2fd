"""Tumbling windows of the Stream trigger, and whom it tells of what it gives up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from test_stream_trigger import Place, keys_of, place

from eventflow import App, SettingError
from triggers import stream_reader
from triggers.lane import LARGEST_PAYLOAD
from triggers.stream import Stream
from triggers.tumbling import GRACE, LARGEST_STATE

MINUTE = 60


def counting(place: Place) -> None:
    """The function counts the changes of each window."""

    def answer(keys: list[str]) -> Any:
        return {"state": {"count": place.target.payloads[-1].get("state", {}).get("count", 0) + len(keys)}}

    place.target.answer = answer


def told(place: Place) -> list[tuple[str, list[str], Any, bool]]:
    """Of each invocation the window's beginning, the keys, the state that it got, and whether it was the last of its window."""
    return [
        (payload["window"]["start"][11:19], keys_of(payload), payload["state"].get("count"), payload["isFinalInvokeForWindow"])
        for payload in place.target.payloads
    ]


def test_a_state_goes_from_batch_to_batch_and_is_told_at_the_end_of_its_window() -> None:
    async def scenario(place: Place) -> None:
        counting(place)
        await place.put("a", "b", "c")
        await place.advance(30)
        await place.put("d")
        await place.advance(40)
        await place.put("e")
        async with place.running():
            assert told(place) == [
                ("00:00:00", ["a", "b"], None, False),
                ("00:00:00", ["c", "d"], 2, False),
                ("00:00:00", [], 4, True),
                ("00:01:00", ["e"], None, False),
            ]
            await place.advance(50 + GRACE - 0.5)
            assert len(told(place)) == 4
            await place.advance(0.5)
            assert told(place)[4:] == [("00:01:00", [], 1, True)]
            await place.advance(600)
            assert len(told(place)) == 5
        last = place.target.payloads[-1]
        source = place.target.streams["orders"]
        assert {name: value for name, value in last.items() if name != "state"} == {
            "Records": [],
            "window": {"start": "2026-01-01T00:01:00Z", "end": "2026-01-01T00:02:00Z"},
            "shardId": source.shard,
            "eventSourceARN": source.arn,
            "isFinalInvokeForWindow": True,
            "isWindowTerminatedEarly": False,
        }

    place(scenario, batch_size=2, tumbling_window=MINUTE)


@pytest.mark.parametrize("sweeps", [False, True])
def test_a_window_outlives_a_restart(sweeps: bool) -> None:
    async def scenario(place: Place) -> None:
        counting(place)

        async def work() -> None:
            if sweeps:
                await place.trigger.sweep(place.target)
            else:
                async with place.running():
                    pass

        for key in "ab":
            await place.put(key)
            await work()
            place.target.restart()
        await place.advance(61)
        await work()
        await work()
        assert told(place) == [("00:00:00", ["a"], None, False), ("00:00:00", ["b"], 1, False), ("00:00:00", [], 2, True)]

    place(scenario, tumbling_window=MINUTE)


@pytest.mark.parametrize("sweeps", [False, True])
@pytest.mark.parametrize("page", [1, 1000])
def test_what_was_unread_at_a_stop_is_in_its_window_however_late_the_next_start(sweeps: bool, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader, "PAGE", page)

    async def scenario(place: Place) -> None:
        counting(place)
        await place.put("a")
        if sweeps:
            await place.trigger.sweep(place.target)
        else:
            async with place.running():
                pass
        await place.put("b", "c")
        await place.advance(3600)
        if sweeps:
            await place.trigger.sweep(place.target)
        else:
            async with place.running():
                await place.advance(0)
        found = told(place)
        assert [start for start, _keys, _state, _last in found] == ["00:00:00"] * len(found)
        assert [key for _start, keys, _state, _last in found for key in keys] == ["a", "b", "c"]
        assert [(state, last) for _start, _keys, state, last in found][-1] == (3, True)
        assert [last for *_others, last in found].count(True) == 1

    place(scenario, tumbling_window=MINUTE)


def test_a_kill_before_the_state_is_kept_has_the_batch_come_again_with_the_state_before_it() -> None:
    async def scenario(place: Place) -> None:
        counting(place)
        await place.put("a")
        await place.trigger.sweep(place.target)
        await place.put("b")
        place.target.crash_after(1)  # the invocation is told, and nothing more is written
        async with place.running():
            pass
        assert place.target.crashed
        place.target.restart()
        await place.trigger.sweep(place.target)
        assert told(place)[1:] == [("00:00:00", ["b"], 1, False)] * 2

    place(scenario, tumbling_window=MINUTE)


def test_an_answer_without_a_state_is_a_failure() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a", "b")
        answers: list[Any] = [None, {}, {"batchItemFailures": []}, []]
        place.target.answer = lambda keys: answers.pop()
        for _answer in list(answers):
            await place.trigger.sweep(place.target)
            await place.advance(60)
        assert [keys for _window, keys, _state, _final in told(place)] == [["a", "b"]] * 4

    place(scenario, tumbling_window=900)


def test_the_state_of_a_batch_that_partly_failed_is_that_of_what_succeeded() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a", "b")
        second = "100000000000000000002"
        place.target.answer = lambda keys: {"state": {"count": 1}, "batchItemFailures": [{"itemIdentifier": second}] if "a" in keys else []}
        await place.trigger.sweep(place.target)
        await place.advance(5)
        await place.trigger.sweep(place.target)
        assert told(place) == [("00:00:00", ["a", "b"], None, False), ("00:00:00", ["b"], 1, False)]

    place(scenario, tumbling_window=900, partial_failures=True)


def test_a_state_that_is_too_large_ends_its_window_early() -> None:
    async def scenario(place: Place) -> None:
        large = "x" * LARGEST_STATE
        place.target.answer = lambda keys: {"state": {"text": large if "a" in keys else ""}}
        await place.put("a")
        await place.put("b")
        await place.trigger.sweep(place.target)
        seen = [(keys_of(each), len(each["state"].get("text", "")), each["isWindowTerminatedEarly"]) for each in place.target.payloads]
        assert seen == [(["a"], 0, False), ([], LARGEST_STATE, True), (["b"], 0, False)]
        assert place.target.payloads[1]["isFinalInvokeForWindow"]

    place(scenario, batch_size=1, tumbling_window=900)


def test_a_state_that_no_event_has_room_for_is_a_failure() -> None:
    async def scenario(place: Place) -> None:
        place.target.answer = lambda keys: {"state": "x" * LARGEST_PAYLOAD}
        await place.put("a")
        await place.trigger.sweep(place.target)
        assert len(place.given_up) == 1
        assert (await place.target.cursor.items())["window"]["state"] == {}

    place(scenario, maximum_retry_attempts=0, tumbling_window=900, on_failure="lost")


def test_the_end_of_a_window_is_tried_again_and_given_up_as_batches_are() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a")
        place.target.answer = lambda keys: {"state": {}}
        await place.trigger.sweep(place.target)
        await place.advance(61)
        calls = 0

        async def fails(payload: Any, *, trace: str | None = None, real: Any = place.target.invoke) -> Any:
            nonlocal calls
            calls += 1
            place.target.poison = {"a"} if payload["Records"] else set()
            outcome = await real(payload, trace=trace)
            return type(outcome)(type(outcome.status).FUNCTION_ERROR, b"{}", "ValueError", "no")

        place.target.invoke = fails  # type: ignore[method-assign]
        for _try in range(4):
            await place.trigger.sweep(place.target)
            await place.advance(60)
        assert calls == 3
        (record,) = place.given_up
        assert record["DDBStreamBatchInfo"]["batchSize"] == 0
        assert record["requestContext"] | {"requestId": ""} == {
            "requestId": "",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:function",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        }

    place(scenario, tumbling_window=MINUTE, maximum_retry_attempts=2, on_failure="lost")


@pytest.mark.parametrize("sweeps", [False, True])
def test_a_stream_that_ends_ends_its_window(sweeps: bool) -> None:
    async def scenario(place: Place) -> None:
        counting(place)
        await place.put("a")
        await place.trigger.sweep(place.target)
        await place.tables.administration.update_table(REGION, {"TableName": "orders", "StreamSpecification": {"StreamEnabled": False}})
        await place.renew()
        await place.put("b")
        if sweeps:
            await place.trigger.sweep(place.target)
        else:
            async with place.running():
                await place.settle()
        assert told(place) == [("00:00:00", ["a"], None, False), ("00:00:00", [], 1, True), ("00:00:00", ["b"], None, False)]
        assert len({payload["eventSourceARN"] for payload in place.target.payloads}) == 2

    place(scenario, tumbling_window=900)


def test_a_window_is_forgotten_where_there_are_none_any_more() -> None:
    async def scenario(place: Place) -> None:
        counting(place)
        await place.put("a")
        await place.trigger.sweep(place.target)
        await place.put("b")
        await Stream("orders").sweep(place.target)
        assert list(place.target.payloads[-1]) == ["Records"]
        assert "window" not in await place.target.cursor.items()
        assert "is forgotten" in " ".join(place.target.reports)

    place(scenario, tumbling_window=900)


REGION = "us-east-1"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"tumbling_window": 901}, "0 to 900 seconds"),
        ({"tumbling_window": True}, "0 to 900 seconds"),
        ({"tumbling_window": 10, "parallelization_factor": 2}, "parallelization_factor=2 is refused beside tumbling_window"),
        ({"on_failure": "function:"}, "a standard queue"),
        ({"on_failure": "function:a.b"}, "a standard queue"),
    ],
)
def test_settings_that_cannot_be_enforced_are_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(SettingError, match=what):
        Stream("orders", **settings)


# Whom it tells.


def test_a_function_is_told_of_what_is_given_up() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"a"}
        await place.put("a")
        await place.trigger.sweep(place.target)
        ((destination, body),) = place.target.sent
        assert destination == "function:audit"
        record = json.loads(body)
        assert record["DDBStreamBatchInfo"]["batchSize"] == 1
        assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"

    place(scenario, maximum_retry_attempts=0, on_failure="function:audit")


def test_a_handler_stands_for_its_function() -> None:
    own = App("own")
    own.table("orders", key="id")

    @own.function(name="auditor")
    def audit(event: Any, context: Any) -> None: ...

    @own.on(Stream("orders", on_failure=audit))
    def follow(event: Any, context: Any) -> None: ...

    ((_function, trigger),) = own.triggers
    assert trigger == Stream("orders", on_failure="function:auditor")
    assert [(each.kind, each.name) for each in trigger.resources()] == [("stream", "orders"), ("function", "auditor")]


def test_a_function_that_is_not_there_is_refused() -> None:
    own = App("own")
    own.table("orders", key="id")

    def stranger(event: Any, context: Any) -> None: ...

    with pytest.raises(SettingError, match="is no function of app 'other'"):
        App("other").on(Stream("orders", on_failure=stranger))(lambda event, context: None)

    @own.on(Stream("orders", on_failure="function:nobody"))
    def follow(event: Any, context: Any) -> None: ...

    with pytest.raises(SettingError, match="names the function nobody, which app 'own' does not have"):
        own.manifest()


GIVEN_UP = """
import json
from eventflow import App
from triggers import Stream

app = App("orders")
app.table("orders", key="id")


@app.function()
def audit(event, context):
    with open({told!r}, "a") as file:
        file.write(json.dumps(event))


@app.on(Stream("orders", maximum_retry_attempts=0, on_failure=audit))
def follow(event, context):
    raise ValueError("no")
"""


def test_the_function_runs_with_the_record(tmp_path: Path, eventflow_harness: Callable[[str], Any]) -> None:
    told = tmp_path / "told"
    (tmp_path / "app.py").write_text(GIVEN_UP.format(told=str(told)))
    app = eventflow_harness(str(tmp_path / "app.py"))
    boto3.resource("dynamodb").Table("orders").put_item(Item={"id": "a"})
    app.drain()
    record = json.loads(told.read_text())
    assert record["requestContext"]["functionArn"].endswith(":function:follow")
    assert record["DDBStreamBatchInfo"]["batchSize"] == 1
