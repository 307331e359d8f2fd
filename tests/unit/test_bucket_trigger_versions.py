"""What a bucket's trigger tells of a bucket with versions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from objects_world import BUCKET, World, in_world

from eventflow.clock import SystemClock
from eventflow.services.objects.lifecycle import Rule, to_json
from eventflow.services.objects.settings import ENABLED, LIFECYCLE
from eventflow.testing.recording_target import RecordingTarget
from triggers.bucket import Bucket

ALL = ("ObjectCreated:*", "ObjectRemoved:*")


class Told:
    """The events of a trigger on a world's bucket, sweep by sweep: name, key and version id."""

    def __init__(self, target: RecordingTarget, events: tuple[str, ...]) -> None:
        self._trigger = Bucket(BUCKET, events=events)
        self._target = target

    async def news(self) -> list[tuple[str, str, str | None]]:
        before = len(self._target.payloads)
        await self._trigger.sweep(self._target)
        records = [payload["Records"][0] for payload in self._target.payloads[before:]]
        return [(record["eventName"], record["s3"]["object"]["key"], record["s3"]["object"].get("versionId")) for record in records]


def watched(folder: Path, work: Callable[[World, Told], Awaitable[None]], events: tuple[str, ...] = ALL) -> None:
    async def run(world: World) -> None:
        await world.objects.set_versioning(BUCKET, ENABLED)
        told = Told(RecordingTarget(SystemClock(), buckets={BUCKET: await world.objects.source(BUCKET)}), events)
        await told.news()
        await work(world, told)

    in_world(folder, run)


def test_events_have_the_id_of_the_version(tmp_path: Path) -> None:
    async def work(world: World, told: Told) -> None:
        for content in (b"1", b"22"):
            stored = await world.put("k", content)
            assert await told.news() == [("ObjectCreated:Put", "k", stored.version_id)]
        deletion = await world.objects.delete(BUCKET, "k")
        assert await told.news() == [("ObjectRemoved:DeleteMarkerCreated", "k", deletion.version_id)]
        world.by_hand("k", b"by hand")
        by_hand = await world.objects.head(BUCKET, "k")
        assert await told.news() == [("ObjectCreated:Put", "k", by_hand.version_id)]
        await world.put("k", b"4444")
        await told.news()
        world.path.joinpath("k").unlink()
        [(name, _key, id)] = await told.news()
        assert (name, id is not None) == ("ObjectRemoved:DeleteMarkerCreated", True)

    watched(tmp_path, work)


def test_a_trigger_for_deletes_alone_is_not_told_of_markers(tmp_path: Path) -> None:
    async def work(world: World, told: Told) -> None:
        stored = await world.put("k", b"1")
        await told.news()
        await world.objects.delete(BUCKET, "k")
        assert await told.news() == []
        again = await world.put("k", b"2")
        await told.news()
        await world.objects.delete(BUCKET, "k", version_id=stored.version_id)
        assert await told.news() == []  # not the current one
        assert await world.read("k") == b"2"
        assert again.version_id != stored.version_id

    watched(tmp_path, work, ("ObjectCreated:*", "ObjectRemoved:Delete"))


def test_the_end_of_the_only_version_is_a_delete(tmp_path: Path) -> None:
    async def work(world: World, told: Told) -> None:
        stored = await world.put("k", b"1")
        await told.news()
        await world.objects.delete(BUCKET, "k", version_id=stored.version_id)
        assert await told.news() == [("ObjectRemoved:Delete", "k", stored.version_id)]

    watched(tmp_path, work)


def test_a_version_that_is_the_current_one_again_is_not_new(tmp_path: Path) -> None:
    async def work(world: World, told: Told) -> None:
        await world.put("k", b"1")
        second = await world.put("k", b"22")
        await told.news()
        await world.objects.delete(BUCKET, "k", version_id=second.version_id)
        assert await world.read("k") == b"1"
        assert await told.news() == []
        third = await world.put("k", b"333")
        assert await told.news() == [("ObjectCreated:Put", "k", third.version_id)]

    watched(tmp_path, work)


def test_the_lifecycle_has_events_of_its_own(tmp_path: Path) -> None:
    async def work(world: World, told: Told) -> None:
        await world.objects.settings.put(BUCKET, LIFECYCLE, to_json([Rule("r", True, date=86_400.0)]))
        await world.put("k", b"1")
        await told.news()
        assert await world.objects.lifecycle.sweep() == 1
        [(name, _key, id)] = await told.news()
        assert (name, id is not None) == ("LifecycleExpiration:DeleteMarkerCreated", True)

    watched(tmp_path, work, ("ObjectCreated:*", "LifecycleExpiration:*"))
