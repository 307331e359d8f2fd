"""What is left of versions when a daemon dies between any two steps: what was acknowledged, and nothing that is half there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world

from eventflow.errors import ServiceError
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.settings import ENABLED, SUSPENDED
from eventflow.services.objects.version_files import VersionFiles
from eventflow.services.objects.version_index import VersionIndex
from eventflow.services.objects.version_listing import VersionQuery

HERE = "eventflow.services.objects"
#: What is done in each step, and whether the step's work was done when the daemon died.
SEAL, KEEP = f"{HERE}.incoming.Incoming.seal", f"{HERE}.version_files.VersionFiles.keep_temporary"
PLACE, REMOVE = f"{HERE}.directory.BucketDirectory.place", f"{HERE}.directory.BucketDirectory.remove"
DISCARD = f"{HERE}.version_files.VersionFiles.discard"
CHANGES = {"put": (SEAL, KEEP, PLACE, DISCARD), "delete": (REMOVE, DISCARD), "delete current": (PLACE, DISCARD), "delete marker": (PLACE, DISCARD)}
STEPS = [(change, where, done) for change, steps in CHANGES.items() for where in steps for done in (False, True)]


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is run."""


def dies(*args: object) -> None:
    raise Killed


async def versions(world: World) -> list[tuple[str, bytes]]:
    """Ids and bytes of a key's versions, newest first; a marker has none."""
    found = []
    for entry in (await world.objects.list_versions(BUCKET, VersionQuery())).entries:
        content = b"marker"
        if entry.stored:
            opened = await world.objects.get(BUCKET, entry.key, version_id=entry.id)
            content = b"".join([piece async for piece in opened.content])
        found.append((entry.id, content))
    return found


def killed_at(where: str, done: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[World], Awaitable[object]]) -> bool:
    """Do something and die in a step of it; whether it came to that step."""
    died = False

    async def run(world: World) -> None:
        nonlocal died
        module, _, name = where.rpartition(".")
        owner = {"Incoming": "incoming", "VersionFiles": "version_files", "BucketDirectory": "directory"}[module.rpartition(".")[2]]
        real = getattr(getattr(__import__(f"{HERE}.{owner}", fromlist=["x"]), module.rpartition(".")[2]), name)

        def step(*args: object) -> None:
            if done:
                real(*args)
            raise Killed

        for tidying in ("index.ObjectIndex.forget", "incoming.Incoming.discard", "history.History.collect", "version_index.VersionIndex.doom_one"):
            if not where.endswith("discard") or "collect" not in tidying:
                monkeypatch.setattr(f"{HERE}.{tidying}", dies)
        monkeypatch.setattr(f"{HERE}.version_index.VersionIndex.spare", dies)
        monkeypatch.setattr(f"{HERE}.version_index.VersionIndex.confirm_along", lambda *args: None)
        monkeypatch.setattr(where, step)
        try:
            await work(world)
        except Killed:
            died = True

    in_world(tmp_path, run)
    monkeypatch.undo()
    return died


def left(tmp_path: Path) -> list[tuple[str, bytes]]:
    """What a daemon finds that starts afterwards; no version file is there without its row, and no row without its file."""

    async def look(world: World) -> list[tuple[str, bytes]]:
        assert world.temporaries() == []
        found = await versions(world)
        files = {file.name for file in (world.path / ".eventflow-versions").glob("*")}
        rows = await world.database.read(lambda connection: connection.execute("SELECT file, pending, going FROM versions").fetchall())
        assert files == {file for file, _pending, _going in rows if file}
        assert all((pending, going) == (0, 0) for _file, pending, going in rows)
        assert [id for id, _content in found] == list(dict.fromkeys(id for id, _content in found))
        return found

    return in_world(tmp_path, look)


@pytest.mark.parametrize("change, where, done", STEPS)
@pytest.mark.parametrize("status", [ENABLED, SUSPENDED])
def test_a_change_that_dies_has_happened_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, done: bool, status: str, change: str
) -> None:
    ids: dict[str, str] = {}

    async def begin(world: World) -> list[tuple[str, bytes]]:
        await world.objects.set_versioning(BUCKET, ENABLED)
        for content in (b"one", b"two"):
            ids[content.decode()] = (await world.put("d/k", content)).version_id
        if status == SUSPENDED:
            await world.objects.set_versioning(BUCKET, SUSPENDED)
            ids["two"] = (await world.put("d/k", b"null")).version_id
        if change == "delete marker":
            ids["marker"] = (await world.objects.delete(BUCKET, "d/k")).version_id or ""
        return await versions(world)

    async def work(world: World) -> None:
        if change == "put":
            await world.put("d/k", b"new")
        elif change == "delete":
            await world.objects.delete(BUCKET, "d/k")
        else:
            await world.objects.delete(BUCKET, "d/k", version_id=ids["two" if change == "delete current" else "marker"])

    before = in_world(tmp_path, begin)
    died = killed_at(where, done, tmp_path, monkeypatch, work)
    after = left(tmp_path)
    contents_before, contents = [content for _id, content in before], [content for _id, content in after]
    happened = {
        "put": [b"new", *(contents_before if status == ENABLED else contents_before[1:])],
        "delete": [b"marker", *(contents_before if status == ENABLED else contents_before[1:])],
        "delete current": contents_before[1:],
        "delete marker": contents_before[1:],
    }[change]
    if died and where != SEAL:
        assert contents in (contents_before, happened)
    else:
        assert contents == (contents_before if died else happened)


def test_a_version_whose_put_was_answered_is_there_although_its_row_was_not_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.objects.set_versioning(BUCKET, ENABLED)
        monkeypatch.setattr(VersionIndex, "confirm_along", lambda *args: None)
        await world.put("k", b"1")

    in_world(tmp_path, work)
    monkeypatch.undo()
    [(id, content)] = left(tmp_path)
    assert content == b"1"

    async def hidden(world: World) -> None:
        world.path.joinpath("k").unlink()
        opened = await world.objects.get(BUCKET, "k", version_id=id)
        assert b"".join([piece async for piece in opened.content]) == b"1"

    in_world(tmp_path, hidden)


def test_a_full_disk_keeps_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.objects.set_versioning(BUCKET, ENABLED)
        await world.put("k", b"1")
        before = await versions(world)

        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        for owner, name in ((VersionFiles, "keep_temporary"), (BucketDirectory, "place"), (BucketDirectory, "remove")):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, full)
                with pytest.raises(ServiceError, match="disk of this bucket is full"):
                    await (world.objects.delete(BUCKET, "k") if name == "remove" else world.put("k", b"2"))
            assert await versions(world) == before
        assert world.temporaries() == []

    in_world(tmp_path, work)
    assert len(left(tmp_path)) == 1


def test_a_file_system_without_links_keeps_versions_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: object, **options: object) -> None:
        raise OSError(1, "Operation not permitted")

    async def work(world: World) -> None:
        world.by_hand("by/hand", b"0")
        await world.objects.set_versioning(BUCKET, ENABLED)
        monkeypatch.setattr("os.link", refuses)
        for content in (b"1", b"2"):
            await world.put("by/hand", content)
        assert [content for _id, content in await versions(world)] == [b"2", b"1", b"0"]
        current = (await world.objects.head(BUCKET, "by/hand")).version_id
        await world.objects.delete(BUCKET, "by/hand", version_id=current)
        assert await world.read("by/hand") == b"1"

    in_world(tmp_path, work)
