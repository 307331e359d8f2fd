"""Lifecycle rules carried out on a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from objects_world import BUCKET, World, in_world

from eventflow.clock import SystemClock
from eventflow.services.objects.lifecycle import DAY, Filter, Rule, expiration, from_json, midnight_after, to_json
from eventflow.services.objects.settings import ENABLED, LIFECYCLE
from eventflow.services.objects.stored import Attributes
from eventflow.services.objects.version_listing import VersionQuery
from eventflow.services.objects.writer import Writing

NOON = 20_000 * DAY + DAY / 2


class OwnTime(SystemClock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = NOON

    def now(self) -> float:
        return self.moment


def with_rules(folder: Path, work: Callable[[World, OwnTime], Awaitable[None]], *rules: Rule, versions: bool = False) -> None:
    clock = OwnTime()

    async def run(world: World) -> None:
        if versions:
            await world.objects.set_versioning(BUCKET, ENABLED)
        await world.objects.settings.put(BUCKET, LIFECYCLE, to_json(rules))
        await work(world, clock)

    in_world(folder, run, clock)


async def tagged(world: World, key: str, tags: Mapping[str, str]) -> None:
    await world.put(key, b"x", Writing(Attributes(tags=tags)))


async def history(world: World) -> list[tuple[str, bool]]:
    """Every version and marker: its key, and whether it is a marker."""
    page = await world.objects.list_versions(BUCKET, VersionQuery())
    return [(entry.key, entry.marker is not None) for entry in page.entries]


def test_days_end_at_the_next_midnight() -> None:
    assert midnight_after(NOON, 1) == 20_002 * DAY
    assert midnight_after(20_000 * DAY, 1) == 20_001 * DAY


def test_the_earliest_rule_counts() -> None:
    slow, quick, other = Rule("slow", True, days=9), Rule("quick", True, days=2), Rule("other", True, Filter("z"), days=1)
    found = expiration([slow, quick, other, Rule("off", False, days=1)], "k", 1, {}, NOON)
    assert found == (midnight_after(NOON, 2), quick)
    assert from_json(to_json([slow, other])) == (slow, other)


def test_objects_go_at_midnight_and_not_before(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("old/1", b"1")
        clock.moment += DAY
        await world.put("old/2", b"2")
        await world.put("new", b"3")
        clock.moment = 20_002 * DAY - 1
        assert await world.objects.lifecycle.sweep() == 0
        clock.moment += 1
        assert await world.objects.lifecycle.sweep() == 1
        assert await world.keys() == ["new", "old/2"]
        removal = await (await world.objects.source(BUCKET)).removed("old/1")
        assert removal is not None
        assert removal.action == "LifecycleExpiration:Delete"

    with_rules(tmp_path, work, Rule("r", True, Filter("old/"), days=1))


def test_filters_choose_by_size_and_tags(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("small", b"1")
        await world.put("large", b"1" * 100)
        await tagged(world, "both", {"a": "1", "b": "2"})
        await tagged(world, "one", {"a": "1"})
        clock.moment += 9 * DAY
        assert await world.objects.lifecycle.sweep() == 2
        assert await world.keys() == ["one", "small"]

    with_rules(tmp_path, work, Rule("s", True, Filter(larger=50), days=1), Rule("t", True, Filter(tags={"a": "1", "b": "2"}), days=1))


def test_a_date_ends_everything(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        world.by_hand("by/hand")
        await world.put("k")
        assert await world.objects.lifecycle.sweep() == 0
        clock.moment = 20_003 * DAY
        assert await world.objects.lifecycle.sweep() == 2
        assert await world.keys() == []

    with_rules(tmp_path, work, Rule("r", True, date=20_003 * DAY))


def test_an_object_that_was_written_again_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("k", b"1")
        clock.moment += 3 * DAY
        expire = world.objects.lifecycle._writer.expire

        async def written_meanwhile(*args: Any) -> bool:
            await world.put("k", b"2")
            return bool(await expire(*args))

        monkeypatch.setattr(world.objects.lifecycle._writer, "expire", written_meanwhile)
        assert await world.objects.lifecycle.sweep() == 0
        assert await world.read("k") == b"2"

    with_rules(tmp_path, work, Rule("r", True, days=1))


def test_in_a_bucket_with_versions_objects_are_hidden_and_then_go(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("k", b"1")
        clock.moment += 3 * DAY
        assert await world.objects.lifecycle.sweep() == 1
        assert await history(world) == [("k", True), ("k", False)]
        assert await world.objects.lifecycle.sweep() == 0
        clock.moment += 6 * DAY
        assert await world.objects.lifecycle.sweep() == 1
        assert await history(world) == [("k", True)]
        assert await world.objects.lifecycle.sweep() == 1  # the marker hides nothing, and is as old as a rule with days asks for
        assert await history(world) == []

    with_rules(tmp_path, work, Rule("r", True, days=2, noncurrent_days=5), versions=True)


def test_the_newest_of_those_that_are_not_current_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.services.objects.lifecycle_sweep.PAGE", 3)

    async def work(world: World, clock: OwnTime) -> None:
        for key in ("a", "b"):
            for number in range(7):
                await world.put(key, str(number).encode())
        assert await world.objects.lifecycle.sweep() == 0
        clock.moment += 2 * DAY
        assert await world.objects.lifecycle.sweep() == 8
        assert await history(world) == [("a", False)] * 3 + [("b", False)] * 3
        assert await world.read("a") == b"6"
        assert await world.objects.lifecycle.sweep() == 0

    with_rules(tmp_path, work, Rule("r", True, noncurrent_days=1, newer_noncurrent=2), versions=True)


def test_markers_that_hide_nothing_go(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.objects.delete(BUCKET, "lonely")
        await world.put("k")
        await world.objects.delete(BUCKET, "k")
        assert await world.objects.lifecycle.sweep() == 1
        assert await history(world) == [("k", True), ("k", False)]

    with_rules(tmp_path, work, Rule("r", True, lonely_markers=True), versions=True)


def test_uploads_that_nobody_completes_are_aborted(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        uploads = world.objects.uploads
        old = await uploads.begin(world.bucket, "logs/a", Attributes(), None, None)
        await uploads.begin(world.bucket, "other", Attributes(), None, None)
        clock.moment += 3 * DAY
        await uploads.begin(world.bucket, "logs/b", Attributes(), None, None)
        assert await world.objects.lifecycle.sweep() == 1
        assert [upload.key for upload in await uploads.list(world.bucket, "")] == ["logs/b", "other"]
        assert old.id not in {upload.id for upload in await uploads.list(world.bucket, "")}

    with_rules(tmp_path, work, Rule("r", True, Filter("logs/"), abort_days=2))


def test_a_rule_that_is_disabled_does_nothing(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("k")
        clock.moment += 90 * DAY
        assert await world.objects.lifecycle.sweep() == 0

    with_rules(tmp_path, work, Rule("r", False, days=1))


def test_rules_are_carried_out_at_the_start_and_when_they_are_put(tmp_path: Path) -> None:
    async def work(world: World, clock: OwnTime) -> None:
        await world.put("k")
        clock.moment += 3 * DAY
        world.objects.lifecycle.start()
        for _ in range(1000):
            if not await world.keys():
                break
            await asyncio.sleep(0)
        assert await world.keys() == []

    with_rules(tmp_path, work, Rule("r", True, days=1))
