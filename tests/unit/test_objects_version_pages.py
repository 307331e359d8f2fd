"""Pages of versions while versions come and go between one page and the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world

from eventflow.services.objects.settings import ENABLED
from eventflow.services.objects.version_listing import VersionPage, VersionQuery


async def page(world: World, limit: int, last: tuple[str, str | None] | None = None) -> VersionPage:
    key, id = last or ("", None)
    return await world.objects.list_versions(BUCKET, VersionQuery(key_marker=key, version_marker=id, limit=limit))


async def versions(world: World, key: str, many: int) -> list[str]:
    """The ids of new versions, newest first."""
    await world.objects.set_versioning(BUCKET, ENABLED)
    return [(await world.put(key, str(number).encode())).version_id for number in range(many)][::-1]


@pytest.mark.parametrize("end", range(1, 5))
def test_no_version_is_told_twice_when_the_one_that_ended_a_page_is_deleted(tmp_path: Path, end: int) -> None:
    async def work(world: World) -> None:
        ids = await versions(world, "k", 5)
        first = await page(world, end)
        await world.objects.delete(BUCKET, "k", version_id=ids[end - 1])
        second = await page(world, 10, first.last)
        assert [entry.id for entry in (*first.entries, *second.entries)] == ids
        assert second.last is None

    in_world(tmp_path, work)


def test_what_is_the_newest_now_is_told_where_all_before_it_were_deleted(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        ids = await versions(world, "k", 4)
        first = await page(world, 2)
        for id in ids[:2]:
            await world.objects.delete(BUCKET, "k", version_id=id)
        second = await page(world, 10, first.last)
        assert [(entry.id, entry.latest) for entry in second.entries] == [(ids[2], True), (ids[3], False)]

    in_world(tmp_path, work)


def test_a_newer_version_does_not_bring_back_what_was_told(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        ids = await versions(world, "k", 4)
        first = await page(world, 2)
        await world.objects.delete(BUCKET, "k", version_id=ids[1])
        await world.put("k", b"new")
        await world.objects.delete(BUCKET, "k")  # and a delete marker before it
        assert [entry.id for entry in (await page(world, 10, first.last)).entries] == ids[2:]

    in_world(tmp_path, work)


def test_a_marker_that_nobody_remembers_has_its_key_begin_anew(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        ids = await versions(world, "k", 3)
        assert [entry.id for entry in (await page(world, 10, ("k", "0" * 32))).entries] == ids

    in_world(tmp_path, work)
