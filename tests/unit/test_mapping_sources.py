"""Event source mappings by API: places in streams, and the settings of queues and streams that are obeyed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mapping_bench import ACCOUNT, REGION, World, failure, queue_arn, world

from eventflow.function import Function
from triggers import Stream


def test_a_stream_s_place_outlives_pauses_changes_and_kills_and_ends_with_the_mapping(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.table()
        await at.put("old")
        uuid = await at.create(arn, StartingPosition="LATEST")
        told = await at.mappings.get(uuid)
        assert (told["LastProcessingResult"], told["StateTransitionReason"]) == ("No records processed", "User action")
        await at.put("a")
        await at.clock.settle()
        assert (await at.mappings.get(uuid))["LastProcessingResult"] == "OK"
        await at.mappings.update(uuid, {"Enabled": False})
        await at.clock.settle()
        await at.put("b")
        again = await at.restarted()
        await again.clock.settle()
        assert (at.changes(), again.changes()) == ([["a"]], [])
        await again.mappings.update(uuid, {"Enabled": True, "ParallelizationFactor": 3, "FunctionName": "g"})
        await again.clock.settle()
        assert again.changes("g") == [["b"]]
        assert (await again.mappings.get(uuid))["LastProcessingResult"] == "OK"
        await again.mappings.delete(uuid)
        await again.clock.settle()
        assert await again.core.journal.read_cursor(f"mapping/{uuid}") == {}
        await again.create(arn, StartingPosition="TRIM_HORIZON")
        await again.clock.settle()
        assert again.changes() == [["old", "a", "b"]]
        await again.close()

    world(scenario, tmp_path, on_disk=True)


def test_two_mappings_of_a_stream_have_a_place_each(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.table()
        await at.put("a")
        await at.create(arn, StartingPosition="TRIM_HORIZON")
        await at.create(arn, "g", StartingPosition="LATEST")
        await at.put("b")
        await at.clock.settle()
        assert (at.changes(), at.changes("g")) == ([["a"], ["b"]], [["b"]])

    world(scenario, tmp_path)


def test_a_stream_mapping_stays_with_its_own_stream(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.table(), StartingPosition="TRIM_HORIZON")
        stream = {"TableName": "items", "StreamSpecification": {"StreamEnabled": False}}
        await at.core.tables.administration.update_table(REGION, stream)
        await at.clock.advance("1s")
        await at.core.tables.ensure_stream(REGION, "items")
        await at.put("new")
        await at.clock.advance("2m")
        assert at.events == []
        assert "was disabled, and all of it was read" in (await at.mappings.get(uuid))["StateTransitionReason"]

    world(scenario, tmp_path)


def test_a_batch_that_runs_while_its_stream_s_mapping_changes_comes_once(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.table(), StartingPosition="TRIM_HORIZON")
        at.gate = asyncio.Event()
        await at.put("a")
        await at.clock.settle()
        await at.mappings.update(uuid, {"BatchSize": 5})
        await at.clock.advance("1m")
        assert (await at.state(uuid), at.changes()) == ("Updating", [["a"]])
        at.gate.set()
        await at.put("b")
        await at.clock.settle()
        assert (await at.state(uuid), at.changes()) == ("Enabled", [["a"], ["b"]])

    world(scenario, tmp_path)


def test_failures_are_the_last_processing_result_of_a_stream(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.table(), StartingPosition="TRIM_HORIZON")
        at.ends = [failure()]
        await at.put("a")
        await at.clock.settle()
        assert (await at.mappings.get(uuid))["LastProcessingResult"] == "PROBLEM: Function call failed"
        await at.clock.advance("2s")
        assert (await at.mappings.get(uuid))["LastProcessingResult"] == "OK"

    world(scenario, tmp_path)


def test_a_queue_s_settings_are_obeyed(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        await at.create(
            await at.queue(VisibilityTimeout="60"),
            BatchSize=20,
            MaximumBatchingWindowInSeconds=3,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": 2},
            FilterCriteria={"Filters": [{"Pattern": '{"body": {"n": [{"numeric": ["<", 30]}]}}'}]},
        )
        at.gate = asyncio.Event()
        await at.send(*(f'{{"n": {number}}}' for number in range(10)))
        await at.clock.advance("1s")
        assert at.events == []  # a window of three seconds is open
        await at.send(*(f'{{"n": {number}}}' for number in range(10, 70)))
        await at.clock.advance("30s")
        assert [len(bodies) for bodies in at.bodies()] == [20, 10]  # two run, and no more
        failed = at.events[0][1]["Records"][3]
        at.ends = [{"batchItemFailures": [{"itemIdentifier": failed["messageId"]}]}, {}]
        at.gate.set()
        await at.clock.settle()
        assert await at.counts() == (0, 1)
        await at.clock.advance("65s")
        assert at.bodies()[2:] == [[failed["body"]]]
        assert await at.counts() == (0, 0)

    world(scenario, tmp_path)


def test_a_stream_s_settings_are_obeyed(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.table()
        await at.queue("lost")
        await at.core.dispatcher.put(Function("f", "app:f", version="3"))
        uuid = await at.create(
            arn,
            "f:3",
            StartingPosition="TRIM_HORIZON",
            BatchSize=4,
            MaximumBatchingWindowInSeconds=5,
            BisectBatchOnFunctionError=True,
            MaximumRetryAttempts=1,
            DestinationConfig={"OnFailure": {"Destination": queue_arn("lost")}},
            FunctionResponseTypes=["ReportBatchItemFailures"],
            FilterCriteria={"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}]},
        )
        at.ends = [failure(), None, failure(), failure(), failure()]
        await at.put("a", "b", "c")
        await at.clock.advance("4s")
        assert at.events == []
        await at.put("a", "d")  # a change of "a" is no insert
        await at.clock.advance("2m")
        assert at.changes("f:3") == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["c"], ["d"]]
        (told,) = await at.received("lost")
        assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert told["requestContext"]["functionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:3"
        assert told["responseContext"]["executedVersion"] == "3"
        assert (told["DDBStreamBatchInfo"]["batchSize"], told["DDBStreamBatchInfo"]["streamArn"]) == (1, arn)
        assert (await at.mappings.get(uuid))["LastProcessingResult"] == "OK"

    world(scenario, tmp_path)


def test_tumbling_windows_and_lanes_of_a_mapping(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.table()
        uuid = await at.create(arn, StartingPosition="TRIM_HORIZON", TumblingWindowInSeconds=10)
        at.ends = [{"state": {"n": 1}}, None]
        await at.put("a")
        await at.clock.advance("12s")
        windows = [event for name, event in at.events if name == "f"]
        assert [(window["isFinalInvokeForWindow"], len(window["Records"])) for window in windows] == [(False, 1), (True, 0)]
        await at.mappings.delete(uuid)
        await at.create(arn, "g", StartingPosition="LATEST", ParallelizationFactor=10, BatchSize=1)
        at.gate = asyncio.Event()
        await at.put(*"abcdefghijklmnop")
        await at.clock.advance("1s")
        running = [changes[0] for changes in at.changes("g")]
        assert 5 < len(running) <= 10
        assert len(set(running)) == len(running)
        at.gate.set()
        await at.clock.settle()

    world(scenario, tmp_path)


def test_a_declared_stream_of_a_table_without_one_is_told(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        first, second = (await at.mappings.page({}))["EventSourceMappings"]
        assert first["EventSourceArn"] == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/items"
        assert first["StateTransitionReason"].startswith("PROBLEM: Requested resource not found: Table items has no stream; enable one. Declared")
        assert first["UUID"] != second["UUID"]

    world(scenario, tmp_path, triggers=[("f", Stream("items")), ("f", Stream("items", batch_size=3))])
