"""Event source mappings by API: their states, what they poll, and what outlives a kill."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_bench import ACCOUNT, REGION, World, queue_arn, refusal, world

from eventflow.errors import StorageError
from eventflow.function import Function
from triggers import Queue, Stream


def test_a_mapping_polls_from_its_creation_to_its_deletion(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        made = await at.mappings.create({"EventSourceArn": await at.queue(), "FunctionName": "f"})
        assert (made["State"], made["BatchSize"], made["StateTransitionReason"]) == ("Creating", 10, "USER_INITIATED")
        await at.clock.settle()
        uuid = made["UUID"]
        assert await at.state(uuid) == "Enabled"
        await at.send("a", "b")
        await at.clock.settle()
        assert at.bodies() == [["a", "b"]]
        assert (await at.mappings.delete(uuid))["State"] == "Deleting"
        await at.clock.settle()
        await at.send("c")
        await at.clock.advance("1m")
        assert at.bodies() == [["a", "b"]]
        assert await at.counts() == (1, 0)
        assert await refusal(at.mappings.get(uuid)) == ("ResourceNotFoundException", "The resource you requested does not exist.")

    world(scenario, tmp_path)


def test_a_disabled_mapping_never_fires_not_after_a_kill_either(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue())
        assert (await at.mappings.update(uuid, {"Enabled": False}))["State"] == "Disabling"
        await at.clock.settle()
        assert await at.state(uuid) == "Disabled"
        await at.send("a")
        await at.clock.advance("2m")
        again = await at.restarted()
        await again.clock.advance("2m")
        assert await again.state(uuid) == "Disabled"
        assert (at.events, again.events, await again.counts()) == ([], [], (1, 0))
        assert (await again.mappings.update(uuid, {"Enabled": True}))["State"] == "Enabling"
        await again.clock.settle()
        assert (await again.state(uuid), again.bodies()) == ("Enabled", [["a"]])
        await again.close()

    world(scenario, tmp_path, on_disk=True)


def test_one_made_disabled_never_begins(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.queue()
        await at.send("a")
        uuid = await at.create(arn, Enabled=False)
        await at.mappings.update(uuid, {"BatchSize": 3})
        await at.clock.advance("1m")
        assert (await at.state(uuid), at.events) == ("Disabled", [])

    world(scenario, tmp_path)


@pytest.mark.parametrize("state", ["Deleting", "Disabling"])
def test_what_runs_when_a_mapping_ends_finishes_and_is_deleted_from_the_queue(tmp_path: Path, state: str) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue(), BatchSize=1)
        at.gate = asyncio.Event()
        await at.send("a")
        await at.clock.settle()
        ending = at.mappings.delete(uuid) if state == "Deleting" else at.mappings.update(uuid, {"Enabled": False})
        assert (await ending)["State"] == state
        await at.send("b")
        await at.clock.settle()
        assert await at.state(uuid) == state  # until the batch has ended
        assert await refusal(at.mappings.update(uuid, {"BatchSize": 2})) == (
            "ResourceInUseException",
            "Cannot update the event source mapping because it is in use.",
        )
        assert (await refusal(at.mappings.delete(uuid)))[1] == "Cannot delete the event source mapping because it is in use."
        at.gate.set()
        await at.clock.settle()
        assert (at.bodies(), await at.counts()) == ([["a"]], (1, 0))
        if state == "Disabling":
            assert await at.state(uuid) == "Disabled"
        else:
            assert (await refusal(at.mappings.get(uuid)))[0] == "ResourceNotFoundException"

    world(scenario, tmp_path)


@pytest.mark.parametrize("update", [{"Enabled": False}, {"BatchSize": 7}, None])
def test_a_state_that_a_kill_interrupted_is_reached_after_it(tmp_path: Path, update: dict[str, Any] | None) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue())
        at.gate = asyncio.Event()  # what runs holds the transition up until the kill
        await at.send("a")
        await at.clock.settle()
        await (at.mappings.delete(uuid) if update is None else at.mappings.update(uuid, update))
        again = await at.restarted()
        found = await again.mappings.page({})
        assert [(one["State"], one["BatchSize"]) for one in found["EventSourceMappings"]] == (
            [] if update is None else [("Disabled", 10)] if "Enabled" in update else [("Enabled", 7)]
        )
        await again.clock.advance("1m")
        assert len(again.events) == (1 if update == {"BatchSize": 7} else 0)
        await again.close()

    world(scenario, tmp_path, on_disk=True)


def test_an_update_takes_effect_and_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue(), BatchSize=2, FunctionResponseTypes=["ReportBatchItemFailures"])
        assert (await at.mappings.update(uuid, {"BatchSize": 1, "FunctionName": "g"}))["State"] == "Updating"
        await at.clock.settle()
        told = await at.mappings.get(uuid)
        assert (told["State"], told["BatchSize"], told["FunctionResponseTypes"]) == ("Enabled", 1, ["ReportBatchItemFailures"])
        assert told["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"
        await at.send("a", "b")
        await at.clock.settle()
        assert (at.bodies(), sorted(at.bodies("g"))) == ([], [["a"], ["b"]])

    world(scenario, tmp_path)


def test_a_function_that_is_removed_is_told_and_its_messages_wait(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue())
        gone = at.functions.pop("f")
        await at.load()
        await at.send("a")
        await at.clock.advance("5m")
        told = await at.mappings.get(uuid)
        assert told["StateTransitionReason"] == f"PROBLEM: Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        assert await at.counts() == (1, 0)
        at.functions["f"] = gone
        await at.load()
        assert at.bodies() == [["a"]]
        assert at.events[0][1]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
        assert (await at.mappings.get(uuid))["StateTransitionReason"] == "USER_INITIATED"

    world(scenario, tmp_path)


def test_a_version_of_a_function_is_invoked_under_its_number(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        await at.core.dispatcher.put(Function("f", "app:f", version="7"))
        uuid = await at.create(await at.queue(), "f:7")
        assert (await at.mappings.get(uuid))["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:7"
        await at.send("a")
        await at.clock.settle()
        assert (at.bodies("f:7"), at.bodies()) == ([["a"]], [])
        at.core.dispatcher.remove("f:7")
        await at.send("b")
        await at.clock.settle()
        assert "Function not found" in (await at.mappings.get(uuid))["StateTransitionReason"]
        assert await at.counts() == (1, 0)

    world(scenario, tmp_path)


def test_a_queue_that_is_removed_is_told_and_polled_again_when_there_is_one(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue())
        await at.core.queues.delete(REGION, "orders")
        await at.clock.advance("2m")
        told = await at.mappings.get(uuid)
        assert told["State"] == "Enabled"
        assert told["StateTransitionReason"] == "PROBLEM: ServiceError: QueueDoesNotExist: The specified queue does not exist."
        await at.queue()
        await at.send("a")
        await at.clock.advance("2m")
        assert at.bodies() == [["a"]]
        assert (await at.mappings.get(uuid))["StateTransitionReason"] == "USER_INITIATED"

    world(scenario, tmp_path)


def test_the_application_s_own_are_listed_and_changed_where_they_are_declared(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn, stream = await at.queue(), await at.table()
        listed = (await at.mappings.page({}))["EventSourceMappings"]
        found = {one["EventSourceArn"]: one for one in listed}
        assert found.keys() == {arn, stream}
        assert (found[arn]["BatchSize"], found[arn]["ScalingConfig"], found[arn]["State"]) == (7, {"MaximumConcurrency": 3}, "Enabled")
        assert found[arn]["StateTransitionReason"] == "Declared by the application: Queue('orders', batch_size=7, maximum_concurrency=3)"
        assert found[stream]["DestinationConfig"] == {"OnFailure": {"Destination": queue_arn("lost")}}
        uuid = found[arn]["UUID"]
        assert (await at.mappings.get(uuid))["EventSourceArn"] == arn
        for change in (at.mappings.update(uuid, {"Enabled": False}), at.mappings.delete(uuid), at.mappings.change_tags(uuid, {"a": "b"})):
            code, message = await refusal(change)
            assert code == "ResourceConflictException"
            assert "declared by the application, as the trigger Queue('orders', " in message
            assert "of its function f: change it there." in message
        code, message = await refusal(at.mappings.create({"EventSourceArn": arn, "FunctionName": "f"}))
        assert (code, uuid in message) == ("ResourceConflictException", True)
        await at.create(arn, "g")

    world(
        scenario,
        tmp_path,
        triggers=[("f", Queue("orders", batch_size=7, maximum_concurrency=3)), ("g", Stream("items", on_failure="lost"))],
    )


def test_pages_filters_and_markers(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        for number in range(5):
            await at.create(await at.queue(f"q{number}"), "fg"[number % 2])
        pages, marker = [], None
        while True:
            page = await at.mappings.page({"MaxItems": 2, "Marker": marker})
            pages.append([one["EventSourceArn"][-2:] for one in page["EventSourceMappings"]])
            if (marker := page.get("NextMarker")) is None:
                break
        assert pages == [["q0", "q1"], ["q2", "q3"], ["q4"]]

        async def of(**params: str) -> list[str]:
            return [one["EventSourceArn"][-2:] for one in (await at.mappings.page(params))["EventSourceMappings"]]

        assert await of(FunctionName="g") == ["q1", "q3"]
        assert await of(FunctionName=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g") == ["q1", "q3"]
        assert await of(FunctionName="nobody") == []
        assert await of(EventSourceArn=queue_arn("q2")) == ["q2"]
        assert await of(EventSourceArn=queue_arn("q2"), FunctionName="g") == []
        assert (await refusal(at.mappings.page({"Marker": "###"})))[0] == "InvalidParameterValueException"

    world(scenario, tmp_path)


def test_a_function_s_time_limit_stays_below_the_visibility_timeouts_of_its_queues(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = await at.queue(VisibilityTimeout="30")
        text = "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
        assert await refusal(at.create(arn, "long")) == ("InvalidParameterValueException", text)
        uuid = await at.create(arn, "f")
        assert await refusal(at.mappings.update(uuid, {"FunctionName": "long"})) == ("InvalidParameterValueException", text)
        assert await refusal(at.mappings.check_timeout("f", 60)) == ("InvalidParameterValueException", text)
        await at.mappings.check_timeout("f", 30)
        await at.mappings.check_timeout("g", 60)

    world(scenario, tmp_path, Function("f", "app:f", timeout=5), Function("long", "app:long", timeout=60))


def test_tags_are_kept(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue(), Tags={"team": "a", "cost": "1"})
        await at.mappings.change_tags(uuid, {"team": "b"}, ["cost"])
        await at.mappings.update(uuid, {"BatchSize": 2})
        again = await at.restarted()
        assert again.mappings.tags(uuid) == {"team": "b"}
        assert (await refusal(again.mappings.change_tags(uuid, {"aws:x": "b"})))[0] == "InvalidParameterValueException"
        await again.close()

    world(scenario, tmp_path, on_disk=True)


def test_a_clock_that_tests_move_sweeps(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        uuid = await at.create(await at.queue())
        await at.send("a", "b")
        assert at.events == []
        assert (await at.mappings.sweep(), await at.mappings.sweep()) == (2, 0)
        assert at.bodies() == [["a", "b"]]
        await at.core.queues.delete(REGION, "orders")
        assert await at.mappings.sweep() == 0
        assert "PROBLEM: ServiceError: QueueDoesNotExist" in (await at.mappings.get(uuid))["StateTransitionReason"]
        await at.mappings.delete(uuid)
        await at.clock.settle()
        assert (await at.mappings.page({}))["EventSourceMappings"] == []

    world(scenario, tmp_path, sweeping=True)


def test_a_state_is_reached_when_the_disk_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(at: World) -> None:
        arn, write = await at.queue(), at.database.write
        refused = 0

        async def full(change: Any) -> Any:
            nonlocal refused
            if "settle" in str(getattr(change, "args", "")):
                refused += 1
                raise StorageError("The disk is full.")
            return await write(change)

        monkeypatch.setattr(at.database, "write", full)
        uuid = await at.create(arn)
        await at.clock.advance("10s")
        told = await at.mappings.get(uuid)
        assert (told["State"], told["StateTransitionReason"], 2 < refused < 6) == ("Creating", "PROBLEM: The disk is full.", True)
        monkeypatch.undo()
        await at.clock.advance("20s")
        told = await at.mappings.get(uuid)
        assert (told["State"], told["StateTransitionReason"]) == ("Enabled", "USER_INITIATED")

    world(scenario, tmp_path)


def test_what_is_made_while_the_daemon_stops_is_polled_after_the_next_start(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn, first = await at.queue(), await at.create(await at.queue("q"))
        await at.mappings.stop()
        made = await at.mappings.create({"EventSourceArn": arn, "FunctionName": "f"})
        await at.mappings.update(first, {"Enabled": False})
        await at.send("a")
        await at.clock.advance("1m")
        assert (await at.state(made["UUID"]), await at.state(first), at.events) == ("Creating", "Disabling", [])
        again = await at.restarted()
        assert (await again.state(made["UUID"]), await again.state(first), again.bodies()) == ("Enabled", "Disabled", [["a"]])
        await again.close()

    world(scenario, tmp_path, on_disk=True)


STEPS = ("send", "send", "enable", "disable", "resize", "rename", "delete", "create", "kill", "wait", "lose", "find")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=14))
def test_every_message_comes_once_while_there_is_an_enabled_mapping_and_never_else(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    async def scenario(first: World) -> None:
        at, arn = first, await first.queue()
        uuid, enabled, lost = "", False, False
        sent, seen = 0, 0
        for number, step in enumerate(["create", *steps]):
            if step == "create" and not uuid and not lost:
                uuid, enabled = await at.create(arn, "f"), True
            elif step == "delete" and uuid:
                await at.mappings.delete(uuid)
                uuid = ""
            elif step in ("enable", "disable") and uuid and not lost:
                enabled = step == "enable"
                await at.mappings.update(uuid, {"Enabled": enabled})
            elif step == "resize" and uuid and not lost:
                await at.mappings.update(uuid, {"BatchSize": 1 + number % 10})
            elif step == "rename" and uuid and not lost:
                await at.mappings.update(uuid, {"FunctionName": "fg"[number % 2]})
            elif step == "send":
                await at.send(str(sent := sent + 1))
            elif step == "kill":
                at = await at.restarted()
                seen = 0
            elif step == "wait":
                await at.clock.advance("2m")
            elif step in ("lose", "find"):
                lost = step == "lose"
                await at.core.dispatcher.start({} if lost else at.functions)
            await at.clock.settle()
            lost = lost and step != "kill"
            waiting, in_flight = await at.counts()
            polled = bool(uuid) and enabled and not lost
            assert in_flight == 0
            assert waiting == 0 if polled else len(at.events) == seen
            seen = len(at.events)
            if uuid:
                assert await at.state(uuid) == ("Enabled" if enabled else "Disabled")
        if at is not first:
            await at.close()

    world(scenario, tmp_path_factory.mktemp("steps"), on_disk=True)
