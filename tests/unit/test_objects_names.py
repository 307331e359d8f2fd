"""The names of large directories, kept while nothing changes: a listing must never show what they were."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects_world import BUCKET, World, in_world

from eventflow.services.objects import names as names_module
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.index import SELECT_STATES
from eventflow.services.objects.listing import Query, scan
from eventflow.services.objects.names import NameCache, PackedNames, is_settled, read_names
from eventflow.services.objects.upload_index import SELECT_BEGUN
from eventflow.services.objects.version_index import SELECT_BEHIND, SELECT_REST
from eventflow.services.objects.walk import Found


@pytest.fixture(autouse=True, scope="module")
def _all_are_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names_module, "FEWEST_KEPT", 0)
        yield


def keys(root: Path, cache: NameCache, **query: object) -> list[str]:
    items, _more = scan(BucketDirectory(root), Query(**query), {}, cache)  # type: ignore[arg-type]
    return [item.key if isinstance(item, Found) else item for item in items]


def settle(root: Path) -> None:
    """Wait until the directory's last change can be told from the next."""
    while not is_settled((root.stat().st_mtime_ns, root.stat().st_ctime_ns)):
        time.sleep(0.005)  # the kernel's clock, which cannot be moved


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"x")), max_size=20))
def test_packed_names_are_those_names(names: list[bytes]) -> None:
    packed = PackedNames(names)
    assert list(packed) == names
    assert packed[:2] == names[:2]


def test_names_are_read_once_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    for number in range(20):
        (tmp_path / f"k{number:02}").touch()
    settle(tmp_path)
    cache = NameCache()

    def counted(descriptor: int) -> list[bytes]:
        reads.append(descriptor)
        return read_names(descriptor)

    monkeypatch.setattr(names_module, "read_names", counted)
    assert keys(tmp_path, cache, limit=3) == ["k00", "k01", "k02"]
    assert keys(tmp_path, cache, after="k02", limit=2) == ["k03", "k04"]
    assert keys(tmp_path, cache, prefix="k1", limit=2) == ["k10", "k11"]
    assert len(reads) == 1
    (tmp_path / "k025").touch()
    assert keys(tmp_path, cache, after="k02", limit=2) == ["k025", "k03"]
    (tmp_path / "k025").unlink()
    assert keys(tmp_path, cache, after="k02", limit=2) == ["k03", "k04"]


def test_what_changed_just_now_is_not_kept(tmp_path: Path) -> None:
    cache = NameCache()
    for number in range(200):
        (tmp_path / f"k{number:03}").touch()
        assert len(keys(tmp_path, cache)) == number + 1


@pytest.mark.parametrize(
    "statement, values",
    [
        (SELECT_STATES, ("[]", BUCKET)),
        (SELECT_BEHIND, (BUCKET, "a", "b", 10)),
        (SELECT_REST, (BUCKET, "a", "f", 10)),
        (SELECT_BEGUN, (BUCKET, "", "", 9)),
    ],
)
def test_a_page_is_found_by_keys_alone(tmp_path: Path, statement: str, values: tuple[object, ...]) -> None:
    async def work(world: World) -> None:
        plan = await world.database.read(lambda connection: connection.execute("EXPLAIN QUERY PLAN " + statement, values).fetchall())
        steps = [step[3] for step in plan]
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN o") for step in steps), steps
        assert "key" in steps[-1], steps

    in_world(tmp_path, work)


def test_the_least_recently_used_is_dropped_when_there_is_no_room(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(50):
            (tmp_path / folder / f"{number:010}").touch()
        settle(tmp_path / folder)
    cache = NameCache(most_bytes=1000)
    for folder in ("a", "b", "a"):
        assert len(keys(tmp_path, cache, prefix=f"{folder}/")) == 50
    assert 0 < cache._bytes <= 1000


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c-d", "d/x", "d/y", "d-", "ü", "e/f/g"])), max_size=12), st.data())
def test_whatever_changes_is_listed(changes: list[tuple[bool, str]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, cache, there = Path(folder), NameCache(), set[str]()
        for comes, key in changes:
            path = root / key
            if comes:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                there.add(key)
            else:
                path.unlink(missing_ok=True)
                there.discard(key)
            if data.draw(st.booleans()):
                settle(root)
            after = data.draw(st.sampled_from(["", "a", "d/", "d/x"]))
            assert keys(root, cache, after=after) == sorted((name for name in there if name > after), key=str.encode)
