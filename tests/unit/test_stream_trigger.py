"""The Stream trigger on the stream of a real table: Lambda's event source mapping for DynamoDB, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from busy_target import BusyTarget

from eventflow import App, EventflowError, Outcome, SettingError, Status, Throttled, iso
from eventflow.database import Database
from eventflow.services.tables import Tables
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE
from triggers.lane import LARGEST_PAYLOAD, Entry, Lane, reported
from triggers.stream import Stream

REGION = "us-east-1"


class FunctionTarget(BusyTarget):
    """A function that fails for keys in ``poison``, or answers what ``answer`` makes of a batch."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.poison: set[str] = set()
        self.throttled = 0
        self.answer: Callable[[list[str]], Any] = lambda keys: None

    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome:
        if self.throttled:
            self.throttled -= 1
            raise Throttled("no room", "ConcurrentInvocationLimitExceeded")
        async with self.busy():
            outcome = await super().invoke(payload, trace=trace)
            keys = keys_of(payload)
            if self.poison & set(keys):
                return Outcome(Status.FUNCTION_ERROR, b'{"errorMessage": "poison"}', "ValueError", "poison")
            return Outcome(outcome.status, json.dumps(self.answer(keys)).encode())


def keys_of(payload: Any) -> list[str]:
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in payload["Records"]]


class Place:
    """A table with a stream, a function, and the trigger between them."""

    def __init__(self, database: Database, clock: VirtualClock, trigger: Stream) -> None:
        self.clock, self.trigger = clock, trigger
        self.target = FunctionTarget(clock, region=REGION)
        self.tables = Tables(database, clock, self.target.account)

    async def open(self) -> None:
        await self.tables.prepare()
        await self.tables.ensure(REGION, "orders", key="id")
        await self.renew()

    async def renew(self) -> None:
        await self.tables.ensure_stream(REGION, "orders")
        source = await self.tables.streams.source(REGION, "orders")
        self.target.streams["orders"] = self.target.streams[source.arn] = source

    async def put(self, *keys: str, **more: Any) -> None:
        for key in keys:
            await self.tables.put_item(REGION, {"TableName": "orders", "Item": {"id": {"S": key}, **more}})

    @property
    def batches(self) -> list[list[str]]:
        return [keys_of(payload) for payload in self.target.payloads]

    @property
    def given_up(self) -> list[Any]:
        return [json.loads(body) for _queue, body in self.target.sent]

    @asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.create_task(self.trigger.run(self.target))
        await self.settle()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=PATIENCE)
            if not task.cancelled():
                task.result()

    async def settle(self) -> None:
        """Until the writer's thread and the loop have nothing left to do at this instant."""
        for _look in range(12):
            await self.clock.settle()
            await asyncio.sleep(0.002)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()


def place(scenario: Callable[[Place], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        database = Database(":memory:")
        try:
            found = Place(database, VirtualClock(), Stream("orders", **settings))
            await found.open()
            await scenario(found)
        finally:
            database.close()

    asyncio.run(whole())


def test_the_event_is_that_of_lambda() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a", blob={"B": b"\xff\x00"}, many={"BS": [b"1"]})
        await place.trigger.sweep(place.target)
        ((record,),) = [payload["Records"] for payload in place.target.payloads]
        assert record == {
            "eventID": record["eventID"],
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": {
                "ApproximateCreationDateTime": int(place.clock.now()),
                "Keys": {"id": {"S": "a"}},
                "NewImage": {"id": {"S": "a"}, "blob": {"B": "/wA="}, "many": {"BS": ["MQ=="]}},
                "SequenceNumber": "100000000000000000001",
                "SizeBytes": 3 + 3 + 6 + 5,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": place.target.streams["orders"].arn,
        }

    place(scenario)


def test_a_change_wakes_the_function_without_any_time_passing() -> None:
    async def scenario(place: Place) -> None:
        async with place.running():
            await place.put("a")
            await place.settle()
            assert place.batches == [["a"]]

    place(scenario)


def test_latest_begins_with_what_comes_and_goes_on_after_a_restart() -> None:
    async def scenario(place: Place) -> None:
        await place.put("old")
        async with place.running():
            pass
        await place.put("a")
        async with place.running():
            await place.put("b")
            await place.settle()
        assert [key for batch in place.batches for key in batch] == ["a", "b"]

    place(scenario, starting_position="LATEST")


def test_batches_are_as_large_as_the_settings_say() -> None:
    async def scenario(place: Place) -> None:
        await place.put(*"abcde")
        async with place.running():
            assert place.batches == [["a", "b"], ["c", "d"], ["e"]]

    place(scenario, batch_size=2)


def test_a_window_collects_until_it_ends_or_the_batch_is_full() -> None:
    async def scenario(place: Place) -> None:
        async with place.running():
            await place.put("a")
            await place.settle()
            await place.advance(5)
            await place.put("b")
            await place.advance(4)
            assert place.batches == []
            await place.advance(1)
            assert place.batches == [["a", "b"]]
            await place.put("c", "d", "e")
            await place.settle()
            assert place.batches == [["a", "b"], ["c", "d", "e"]]

    place(scenario, batch_size=3, window=10)


def test_a_batch_that_fails_holds_up_what_is_behind_it_until_it_succeeds() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"a"}
        await place.put("a", "b", "c")
        async with place.running():
            await place.advance(1 + 2 + 4 + 0.5)
            assert place.batches == [["a", "b"]] * 4
            place.target.poison = set()
            await place.advance(8)
            assert place.batches == [["a", "b"]] * 5 + [["c"]]

    place(scenario, batch_size=2)


def test_a_restart_in_the_middle_of_a_backlog_goes_on_behind_what_is_done() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"c"}
        await place.put(*"abcde")
        async with place.running():
            await place.advance(2)
        assert place.batches[:2] == [["a", "b"], ["c", "d"]]
        place.target.poison = set()
        place.target.deliveries.clear()
        async with place.running():
            await place.advance(10)
        assert place.batches == [["c", "d"], ["e"]]

    place(scenario, batch_size=2)


def test_what_a_stopped_trigger_was_running_is_written_down_when_it_ends() -> None:
    async def scenario(place: Place) -> None:
        place.target.duration = 5.0
        await place.put("a")
        async with place.running():
            await place.advance(1)
        await place.advance(5)
        async with place.running():
            await place.advance(10)
        assert place.batches == [["a"]]

    place(scenario)


def test_a_batch_is_given_up_after_its_retries_and_the_queue_is_told_where_it_was() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"a"}
        await place.put("a", "b", "c")
        first = place.clock.now()
        async with place.running():
            await place.advance(10)
        assert place.batches == [["a", "b"]] * 3 + [["c"]]
        (found,) = place.given_up
        source = place.target.streams["orders"]
        assert found["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert found["requestContext"]["approximateInvokeCount"] == 3
        assert found["requestContext"]["functionArn"] == f"arn:aws:lambda:{REGION}:000000000000:function:function"
        assert found["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        arrival = found["DDBStreamBatchInfo"].pop("approximateArrivalOfFirstRecord")
        assert arrival == found["DDBStreamBatchInfo"].pop("approximateArrivalOfLastRecord")
        assert arrival == iso(first, milliseconds=False)
        assert found["DDBStreamBatchInfo"] == {
            "shardId": source.shard,
            "startSequenceNumber": "100000000000000000001",
            "endSequenceNumber": "100000000000000000002",
            "batchSize": 2,
            "streamArn": source.arn,
        }
        assert place.target.sent[0][0] == "lost"

    place(scenario, batch_size=2, maximum_retry_attempts=2, on_failure="lost")


def test_halving_finds_the_poison_and_everything_else_succeeds() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"c"}
        await place.put(*"abcdef")
        async with place.running():
            await place.advance(60)
        assert [len(batch) for batch in place.batches] == [6, 3, 2, 1, 3]
        assert place.batches[1:] == [["a", "b", "c"], ["a", "b"], ["c"], ["d", "e", "f"]]
        assert [found["DDBStreamBatchInfo"]["batchSize"] for found in place.given_up] == [1]

    place(scenario, bisect_on_error=True, maximum_retry_attempts=0, on_failure="lost")


def test_a_partial_response_says_from_where_the_batch_comes_again() -> None:
    async def scenario(place: Place) -> None:
        answers = [{"batchItemFailures": [{"itemIdentifier": f"10000000000000000000{number}"} for number in (4, 2)]}, None]
        place.target.answer = lambda keys: answers.pop(0) if answers else None
        await place.put(*"abcde")
        async with place.running():
            await place.advance(5)
        assert place.batches == [list("abcde"), list("bcde")]

    place(scenario, partial_failures=True)


@pytest.mark.parametrize(
    ("response", "done"),
    [
        (b"null", 3),
        (b"{}", 3),
        (b'{"batchItemFailures": null}', 3),
        (b'{"batchItemFailures": []}', 3),
        (b'{"batchItemFailures": [{"itemIdentifier": "12"}, {"itemIdentifier": "13"}]}', 1),
        (b'{"batchItemFailures": [{"itemIdentifier": "11"}]}', 0),
        (b'{"batchItemFailures": [{"itemIdentifier": "99"}]}', None),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', None),
        (b'{"batchItemFailures": [{"itemIdentifier": 12}]}', None),
        (b'{"batchItemFailures": [{}]}', None),
        (b'{"batchItemFailures": {}}', None),
        (b'"fine"', None),
        (b"nonsense", None),
    ],
)
def test_responses_are_read_as_lambda_reads_them(response: bytes, done: int | None) -> None:
    entries = [Entry(number, {"dynamodb": {"SequenceNumber": str(number)}}, 10, 0) for number in (11, 12, 13)]
    assert reported(response, entries) == done


def test_records_that_are_too_old_are_given_up_without_a_call() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a", "b")
        await place.advance(61)
        await place.put("c")
        async with place.running():
            pass
        assert place.batches == [["c"]]
        (found,) = place.given_up
        assert found["requestContext"]["condition"] == "RecordAgeExceeded"
        assert found["DDBStreamBatchInfo"]["batchSize"] == 2
        assert "responseContext" not in found

    place(scenario, maximum_record_age=60, on_failure="lost")


def test_keys_run_side_by_side_and_each_keeps_its_order() -> None:
    async def scenario(place: Place) -> None:
        place.target.duration = 1.0
        for round in range(4):
            await place.put(*"abcdefgh", round={"N": str(round)})
        async with place.running():
            await place.advance(60)
        assert place.target.most_running == 4
        seen: dict[str, list[str]] = {}
        for payload in place.target.payloads:
            for record in payload["Records"]:
                change = record["dynamodb"]
                seen.setdefault(change["Keys"]["id"]["S"], []).append(change["NewImage"]["round"]["N"])
        assert seen == {key: list("0123") for key in "abcdefgh"}

    place(scenario, batch_size=1, parallelization_factor=4)


def test_a_poisoned_key_holds_up_its_own_lane_alone_also_over_a_restart() -> None:
    async def scenario(place: Place) -> None:
        place.target.poison = {"a"}
        await place.put(*"abcdefgh")
        async with place.running():
            await place.advance(3)
        others = {key for batch in place.batches for key in batch} - {"a"}
        assert others
        place.target.deliveries.clear()
        async with place.running():
            await place.advance(30)
        again = {key for batch in place.batches for key in batch}
        assert "a" in again
        assert not again & others

    place(scenario, batch_size=1, parallelization_factor=10)


def test_filters_pass_over_what_nobody_wants() -> None:
    async def scenario(place: Place) -> None:
        async with place.running():
            await place.put("a", kind={"S": "x"})
            await place.put("b", kind={"S": "y"})
            await place.tables.delete_item(REGION, {"TableName": "orders", "Key": {"id": {"S": "b"}}})
            await place.put("c", kind={"S": "y"})
            await place.settle()
        assert [key for batch in place.batches for key in batch] == ["b", "c"]

    place(scenario, filters=[{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": ["y"]}}}}])


def test_a_throttled_function_gets_its_batch_later_and_no_attempt_is_charged() -> None:
    async def scenario(place: Place) -> None:
        place.target.throttled = 3
        await place.put("a")
        async with place.running():
            await place.advance(5)
        assert place.batches == [["a"]]
        assert place.given_up == []

    place(scenario, maximum_retry_attempts=0, on_failure="lost")


def test_a_stream_that_was_closed_is_read_to_its_end_before_the_next_one() -> None:
    async def scenario(place: Place) -> None:
        async with place.running():
            await place.put("a")
            await place.settle()
        await place.put("b")
        await place.tables.delete_table(REGION, {"TableName": "orders"})
        await place.tables.ensure(REGION, "orders", key="id")
        await place.renew()
        await place.put("c")
        async with place.running():
            await place.put("d")
            await place.settle()
        assert [key for batch in place.batches for key in batch] == ["a", "b", "c", "d"]

    place(scenario, batch_size=1)


def test_a_closed_stream_without_a_next_one_is_told() -> None:
    async def scenario(place: Place) -> None:
        await place.put("a")
        await place.tables.delete_table(REGION, {"TableName": "orders"})
        with pytest.raises(EventflowError, match="was disabled"):
            await place.trigger.run(place.target)
        assert place.batches == [["a"]]
        assert await place.trigger.sweep(place.target) == 0

    place(scenario)


def test_what_was_not_read_for_a_day_is_gone_and_said_to_be() -> None:
    async def scenario(place: Place) -> None:
        async with place.running():
            pass
        await place.put("a", "b")
        await place.advance(24 * 3600 + 1)
        await place.put("c")
        await place.tables.streams.trimming.trim()
        async with place.running():
            pass
        assert place.batches == [["c"]]
        assert "2 records" in place.target.reports[0]

    place(scenario)


def test_an_invocation_has_six_megabytes() -> None:
    lane = Lane(0)
    for number in range(1, 5):
        lane.add(Entry(number, None, LARGEST_PAYLOAD // 2 - 100, 0))
    assert [entry.sequence for entry in lane.batch(100)] == [1, 2]


def test_pieces_that_a_change_of_filters_left_empty_are_forgotten() -> None:
    lane = Lane(0, ends=[2, 4])
    lane.add(Entry(7, None, 10, 0))
    assert [entry.sequence for entry in lane.batch(100)] == [7]


def test_the_setting_of_a_destination_may_be_a_reference() -> None:
    class Reference:
        def __str__(self) -> str:
            return "lost"

    assert Stream("orders", on_failure=Reference()).on_failure == "lost"  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"lost\.fifo"):
        Stream("orders", on_failure="lost.fifo")


def test_a_function_reads_a_stream_in_one_place() -> None:
    app = App("t")
    with pytest.raises(SettingError, match="twice"):

        @app.on(Stream("orders", batch_size=5))
        @app.on(Stream("orders", batch_size=7))
        def changed(event: Any, context: Any) -> None: ...


def test_a_function_without_concurrency_of_its_own_still_has_a_place() -> None:
    async def scenario(place: Place) -> None:
        place.target.concurrency = 0
        await place.put("a")
        async with place.running():
            pass
        assert place.batches == [["a"]]

    place(scenario, parallelization_factor=4)
