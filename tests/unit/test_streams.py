"""Streams over time: what is kept for a day, what is trimmed, when iterators expire, and what waits for a change."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_bench import steps_of

from eventflow.database import MEMORY, Database, migrations, statements
from eventflow.errors import ServiceError, StorageError
from eventflow.services.tables import Tables, trimming
from eventflow.services.tables.streamreads import RETENTION, Stream
from eventflow.services.tables.streamwriter import SPAN
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE

REGION = "us-east-1"
DAY = 24 * 3600
BOTH = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


class Bench:
    """A table with a stream, on a clock that the test moves."""

    def __init__(self, path: Path | str) -> None:
        self.clock = VirtualClock()
        self.database = Database(path)
        self.tables = Tables(self.database, self.clock, "000000000000")
        self.streams = self.tables.streams

    async def create(self, name: str = "orders", **more: Any) -> str:
        created = await self.tables.create_table(
            REGION,
            {
                "TableName": name,
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": BOTH,
                **more,
            },
        )
        return str(created["TableDescription"].get("LatestStreamArn"))

    async def put(self, *keys: str, table: str = "orders", **more: Any) -> None:
        for key in keys:
            await self.tables.put_item(REGION, {"TableName": table, "Item": {"id": {"S": key}, **more}})

    async def update(self, **members: Any) -> dict[str, Any]:
        return await self.tables.administration.update_table(REGION, {"TableName": "orders", **members})

    async def shard(self, arn: str) -> dict[str, Any]:
        (shard,) = (await self.streams.describe_stream(REGION, {"StreamArn": arn}))["StreamDescription"]["Shards"]
        return dict(shard)

    async def iterator(self, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
        shard = (await self.shard(arn))["ShardId"]
        found = await self.streams.get_shard_iterator(REGION, {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind, **more})
        return str(found["ShardIterator"])

    async def get(self, iterator: str) -> dict[str, Any]:
        return await self.streams.get_records(REGION, {"ShardIterator": iterator})

    async def keys(self, arn: str, **more: Any) -> list[str]:
        records = (await self.get(await self.iterator(arn, **more)))["Records"]
        return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]

    async def rows(self) -> int:
        query = "SELECT COUNT(*) FROM table_stream_records"
        return int(await self.database.read(lambda connection: connection.execute(query).fetchone()[0]))


def run(scenario: Callable[[Bench], Awaitable[None]], path: Path | str = MEMORY) -> None:
    async def whole() -> None:
        bench = Bench(path)
        try:
            await bench.tables.prepare()
            await scenario(bench)
        finally:
            bench.streams.trimming.close()
            bench.database.close()

    asyncio.run(whole())


async def code(call: Awaitable[Any]) -> str:
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.code


def test_records_can_be_read_for_a_day_and_are_deleted_afterwards() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        await bench.put("a", "b")
        bench.clock.jump(DAY - 1)
        await bench.put("c")
        assert await bench.keys(arn) == ["a", "b", "c"]
        bench.clock.jump(1)
        assert await bench.keys(arn) == ["c"]
        assert (await bench.shard(arn))["SequenceNumberRange"]["StartingSequenceNumber"] == "100000000000000000003"
        assert await bench.rows() == 3
        await bench.streams.trimming.trim()
        assert await bench.rows() == 1
        assert await bench.keys(arn) == ["c"]

    run(scenario)


def test_sequence_numbers_go_on_when_everything_was_trimmed() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        await bench.put("a", "b")
        bench.clock.jump(DAY)
        await bench.streams.trimming.trim()
        assert await bench.rows() == 0
        await bench.put("c")
        (record,) = (await bench.get(await bench.iterator(arn)))["Records"]
        assert record["dynamodb"]["SequenceNumber"] == "100000000000000000003"

    run(scenario)


def test_a_daemon_trims_by_itself_and_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "SLICE", 2)

    async def scenario(bench: Bench) -> None:
        bench.clock.also_settle(bench.streams.trimming.settle)
        bench.streams.trimming.start()
        await bench.create()
        await bench.put(*"abcde")
        await bench.clock.advance(DAY - 10)
        assert await bench.rows() == 5
        await bench.clock.advance(600)
        assert await bench.rows() == 0

    run(scenario)


def test_what_grew_old_while_no_daemon_ran_is_trimmed_as_one_starts(tmp_path: Path) -> None:
    async def before(bench: Bench) -> None:
        await bench.create()
        await bench.put("a")

    async def after(bench: Bench) -> None:
        bench.clock.jump(DAY)
        bench.streams.trimming.start()
        await bench.streams.trimming.settle()
        assert await bench.rows() == 0

    run(before, tmp_path / "state.db")
    run(after, tmp_path / "state.db")


def test_no_timer_runs_where_there_is_no_stream() -> None:
    async def scenario(bench: Bench) -> None:
        def waiting() -> int:
            return sum(not timer.cancelled for timer in bench.clock._timers)

        bench.clock.also_settle(bench.streams.trimming.settle)
        bench.streams.trimming.start()
        await bench.create("plain", StreamSpecification={"StreamEnabled": False})
        await bench.clock.settle()
        assert waiting() == 0
        await bench.create()
        assert waiting() == 1
        await bench.update(StreamSpecification={"StreamEnabled": False})
        await bench.clock.advance(DAY + 600)
        assert waiting() == 0  # it was closed more than a day ago, and is forgotten
        await bench.tables.ensure_stream(REGION, "plain")
        await bench.tables.ensure_stream(REGION, "plain")
        assert waiting() == 1
        bench.streams.trimming.close()
        assert waiting() == 0

    run(scenario)


def test_a_place_that_was_trimmed_is_refused_and_the_horizon_is_not() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        await bench.put("a", "b")
        second = "100000000000000000002"
        bench.clock.jump(DAY - 600)
        named = await bench.iterator(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=second)
        horizon = await bench.iterator(arn)
        bench.clock.jump(700)
        for trimmed in (False, True):
            assert await code(bench.get(named)) == "TrimmedDataAccessException"
            assert await code(bench.iterator(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=second)) == "TrimmedDataAccessException"
            assert await bench.keys(arn, kind="AFTER_SEQUENCE_NUMBER", SequenceNumber=second) == []
            assert (await bench.get(horizon))["Records"] == []
            if not trimmed:
                await bench.streams.trimming.trim()

    run(scenario)


def test_an_iterator_lives_for_a_quarter_of_an_hour() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        iterator = await bench.iterator(arn)
        bench.clock.jump(900)
        following = (await bench.get(iterator))["NextShardIterator"]
        bench.clock.jump(1)
        assert await code(bench.get(iterator)) == "ExpiredIteratorException"
        assert (await bench.get(following))["Records"] == []

    run(scenario)


def test_a_stream_is_disabled_and_enabled_again_as_another_one() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.create()
        await bench.put("a")
        assert "StreamSpecification" not in (await bench.update(StreamSpecification={"StreamEnabled": False}))["TableDescription"]
        await bench.put("unseen")
        described = (await bench.update(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}))["TableDescription"]
        second = described["LatestStreamArn"]
        await bench.put("b")
        assert second != first
        assert await bench.keys(first) == ["a"]
        assert await bench.keys(second) == ["b"]
        assert await code(bench.update(StreamSpecification=BOTH)) == "ValidationException"
        bench.clock.jump(DAY)
        assert await code(bench.shard(first)) == "ResourceNotFoundException"
        await bench.streams.trimming.trim()
        await bench.streams.trimming.trim()
        listed = (await bench.streams.list_streams(REGION, {}))["Streams"]
        assert [stream["StreamArn"] for stream in listed] == [second]

    run(scenario)


def test_a_time_to_live_says_who_deleted_the_item() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        setting = {"TableName": "orders", "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "until"}}
        await bench.tables.administration.update_time_to_live(REGION, setting)
        await bench.put("a", until={"N": str(int(bench.clock.now()) + 10)})
        await bench.clock.advance(120)
        for _look in range(200):
            records = (await bench.get(await bench.iterator(arn)))["Records"]
            if len(records) == 2:
                break
            await bench.clock.advance(1)
            await asyncio.sleep(0.005)
        insert, remove = records
        assert "userIdentity" not in insert
        assert remove["eventName"] == "REMOVE"
        assert remove["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        assert remove["dynamodb"]["OldImage"]["id"] == {"S": "a"}

    run(scenario)


def test_a_change_that_is_rolled_back_leaves_no_record() -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        put = {"TableName": "orders", "Item": {"id": {"S": "a"}}}
        check = {"TableName": "orders", "Key": {"id": {"S": "b"}}, "ConditionExpression": "attribute_exists(id)"}
        assert await code(bench.tables.transactions.write_items(REGION, {"TransactItems": [{"Put": put}, {"ConditionCheck": check}]})) == (
            "TransactionCanceledException"
        )
        assert await bench.keys(arn) == []
        await bench.tables.transactions.write_items(REGION, {"TransactItems": [{"Put": put}]})
        await bench.tables.statements.execute(REGION, {"Statement": "UPDATE orders SET x = 1 WHERE id = 'a'"})
        await bench.tables.statements.execute(REGION, {"Statement": "UPDATE orders SET x = 1.0 WHERE id = 'a'"})
        assert await bench.keys(arn) == ["a", "a"]

    run(scenario)


def test_who_waits_is_woken_by_the_commit_and_by_nothing_else(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.create("others")
        source = await bench.streams.source(REGION, "orders")
        edge = await source.edge(latest=True)
        reading = asyncio.create_task(source.read(edge, 10, 60.0))
        await bench.put("x", table="others")
        await asyncio.sleep(0.02)
        assert not reading.done()
        await bench.put("a")
        records, closed = await asyncio.wait_for(reading, PATIENCE)
        assert [record["dynamodb"]["Keys"]["id"]["S"] for record in records] == ["a"]
        assert not closed
        reading = asyncio.create_task(source.read(records[-1]["dynamodb"]["SequenceNumber"], 10, 60.0))
        await asyncio.sleep(0.02)
        await bench.tables.delete_table(REGION, {"TableName": "orders"})
        assert await asyncio.wait_for(reading, PATIENCE) == ([], True)

    run(scenario, tmp_path / "state.db")


def test_no_change_is_missed_between_a_look_and_the_wait(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        source = await bench.streams.source(REGION, "orders")
        writing = asyncio.create_task(bench.put(*map(str, range(200))))
        seen: list[str] = []
        place = await source.edge(latest=False)
        while len(seen) < 200:
            records, _closed = await asyncio.wait_for(source.read(place, 7, 1e9), PATIENCE)
            seen += [record["dynamodb"]["Keys"]["id"]["S"] for record in records]
            place = records[-1]["dynamodb"]["SequenceNumber"]
        await writing
        assert seen == [str(number) for number in range(200)]

    run(scenario, tmp_path / "state.db")


def test_a_reader_that_stops_leaves_no_bell_behind(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        source = await bench.streams.source(REGION, "orders")
        reading = asyncio.create_task(source.read(await source.edge(latest=True), 1, 60.0))
        await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert bench.streams.writer._bells == {}

    run(scenario, tmp_path / "state.db")


def test_a_database_that_is_closed_is_told(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        source = await bench.streams.source(REGION, "orders")
        bench.database.close()
        with pytest.raises(StorageError):
            await source.read("100000000000000000000", 1, 0)

    run(scenario, tmp_path / "state.db")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 2)),
        st.tuples(st.just("delete"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("pass"), st.just(""), st.integers(1, DAY)),
        st.tuples(st.just("trim"), st.just(""), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_stream_is_the_list_of_the_changes_of_the_last_day(steps: list[tuple[str, str, int]]) -> None:
    async def scenario(bench: Bench) -> None:
        arn = await bench.create()
        items: dict[str, int] = {}
        changes: list[tuple[float, str, str, int | None, int | None]] = []
        for verb, key, number in steps:
            now = bench.clock.now()
            old = items.get(key)
            if verb == "put":
                await bench.put(key, n={"N": str(number)})
                if old != number:
                    changes.append((now, "INSERT" if old is None else "MODIFY", key, old, number))
                items[key] = number
            elif verb == "delete":
                await bench.tables.delete_item(REGION, {"TableName": "orders", "Key": {"id": {"S": key}}})
                if items.pop(key, None) is not None:
                    changes.append((now, "REMOVE", key, old, None))
            elif verb == "pass":
                bench.clock.jump(number)
            else:
                await bench.streams.trimming.trim()
        found = [
            (record["eventName"], record["dynamodb"]["Keys"]["id"]["S"], image(record, "OldImage"), image(record, "NewImage"))
            for record in (await bench.get(await bench.iterator(arn)))["Records"]
        ]
        assert found == [change[1:] for change in changes if change[0] > bench.clock.now() - DAY]

    run(scenario)


def image(record: dict[str, Any], member: str) -> int | None:
    found = record["dynamodb"].get(member)
    return None if found is None else int(found["n"]["N"])


def migrate(connection: sqlite3.Connection) -> None:
    for _version, script in migrations("streams", "eventflow.services"):
        for statement in statements(script):
            connection.execute(statement)


@pytest.fixture
def records() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def write(connection: sqlite3.Connection, stream: Stream, times: Iterable[tuple[int, int]]) -> None:
    """Records by sequence and time in milliseconds."""
    rows = [(stream.id * SPAN + sequence, at) for sequence, at in times]
    connection.execute("DELETE FROM table_stream_records")
    connection.executemany("INSERT INTO table_stream_records VALUES (?, ?, 'INSERT', 0, 1, 0, '{}', NULL, NULL)", rows)


STREAM = Stream(3, REGION, "orders", "label", "KEYS_ONLY", "[]", 0, None, 0)


def test_a_day_of_records_is_walked_by_nobody(records: sqlite3.Connection) -> None:
    taken = {}
    now = 2 * RETENTION
    for count in (1000, 30_000):
        times = [(number + 1, now - RETENTION - 300 + number) for number in range(count)]  # the first 301 are too old
        write(records, STREAM, times)
        asked = steps_of(records, lambda: STREAM.horizon(records, now))
        asked += steps_of(records, partial(STREAM.before, records, times[-2][1]))
        assert STREAM.horizon(records, now) == 301
        trimmed = steps_of(records, lambda: STREAM.trim(records, now, 500))
        assert STREAM.horizon(records, now) == 301
        assert records.execute("SELECT COUNT(*) FROM table_stream_records").fetchone() == (count - 301,)
        taken[count] = asked, trimmed
    assert taken[30_000][0] <= 2 * taken[1000][0]  # the logarithm of their number
    assert taken[30_000][1] <= 1.2 * taken[1000][1]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=40), st.integers(0, 90))
def test_the_first_record_since_an_instant_is_found_also_among_gaps(gaps: list[tuple[int, int]], instant: int) -> None:
    sequences, instants = accumulate(step for step, _ in gaps), accumulate(step for _, step in gaps)
    times = list(zip(sequences, instants, strict=True))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        write(connection, STREAM, times)
        expected = next((sequence - 1 for sequence, at in times if at >= instant), times[-1][0] if times else 0)
        assert STREAM.before(connection, instant) == expected
