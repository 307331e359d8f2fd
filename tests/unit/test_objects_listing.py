"""Listings against their definition: sort all keys, roll them up, cut pages."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects_world import BUCKET, World, in_world

from eventflow.services.objects.directory import BucketDirectory, FileState
from eventflow.services.objects.listing import Query, scan
from eventflow.services.objects.walk import Found

NAMES = st.text(st.sampled_from("ab-.0_~üz\U0001f600"), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TEXTS = st.text(st.sampled_from("ab-./0ü"), max_size=4)


def expected(keys: list[str], query: Query) -> tuple[list[str], bool]:
    """S3's documentation, word for word: keys behind ``after`` by their UTF-8 bytes, rolled up between the prefix and the delimiter."""
    names: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(query.prefix) or key.encode() <= query.after.encode():
            continue
        end = key.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        name = key if end < 0 else key[: end + len(query.delimiter)]
        if name.encode() > query.after.encode() and name not in names[-1:]:
            names.append(name)
    return names[: query.limit], len(names) > query.limit


def names_of(items: list[Found | str]) -> list[str]:
    return [item if isinstance(item, str) else item.key for item in items]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(KEYS, max_size=14), TEXTS, st.sampled_from(["", "/", "-", "a", "b/", "ü"]), TEXTS, st.integers(1, 6), st.data())
def test_any_page_of_any_tree(wanted: list[str], prefix: str, delimiter: str, after: str, limit: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, keys, folders = Path(folder), [], {}
        for key in wanted:
            try:
                (root / key).parent.mkdir(parents=True, exist_ok=True)
                (root / key).touch(exist_ok=False)
            except OSError:
                continue  # there already, or a file where a directory would be
            keys.append(key)
        directories = [path for path in root.rglob("*") if path.is_dir()]
        for path in data.draw(st.lists(st.sampled_from(directories), unique=True)) if directories else ():
            key = path.relative_to(root).as_posix() + "/"
            folders[key] = FileState(0, 0, path.stat().st_ino)
            keys.append(key)
        query = Query(prefix, delimiter, after, limit)
        items, more = scan(BucketDirectory(root), query, folders)
        assert (names_of(items), more) == expected(keys, query)
        assert len(list(Path("/dev/fd").iterdir())) < 200  # the walk gives its descriptors back


def test_pages_end_where_the_next_begin(tmp_path: Path) -> None:
    keys = [f"{directory}/{number}" for directory in "abc" for number in range(5)] + ["a-b", "a0", "z"]

    async def work(world: World) -> None:
        await asyncio.gather(*(world.put(key) for key in keys))
        for delimiter in ("", "/"):
            for limit in (1, 2, 7):
                seen, after = [], ""
                while True:
                    page = await world.objects.list(BUCKET, Query(delimiter=delimiter, after=after, limit=limit))
                    seen += sorted([stored.version.key for stored in page.objects] + list(page.prefixes))
                    if page.last is None:
                        break
                    after = page.last
                assert seen == expected(keys, Query(delimiter=delimiter, limit=99))[0]
        assert (await world.objects.list(BUCKET, Query(limit=0))).last is None

    in_world(tmp_path, work)


def test_a_listing_knows_each_object(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        stored = await world.put("put", b"content")
        world.by_hand("hand", b"content")
        page = await world.objects.list(BUCKET, Query())
        assert page.objects[1] == stored
        assert page.objects[0] == await world.objects.head(BUCKET, "hand")

    in_world(tmp_path, work)


def test_what_vanishes_during_a_listing_is_left_out(tmp_path: Path, monkeypatch: object) -> None:
    async def work(world: World) -> None:
        for name in "abc":
            world.by_hand(name)
        find_all = world.objects._index.find_all

        async def late(*args: object) -> object:
            (world.path / "b").unlink(missing_ok=True)
            return await find_all(*args)  # type: ignore[arg-type]

        world.objects._index.find_all = late  # type: ignore[method-assign, assignment]
        assert await world.keys() == ["a", "c"]

    in_world(tmp_path, work)
