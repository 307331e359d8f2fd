"""Versions against a model of S3's rules: a list for each key, newest first."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects_world import BUCKET, World, in_world

from eventflow.errors import ServiceError
from eventflow.services.objects.settings import ENABLED, SUSPENDED
from eventflow.services.objects.stored import NULL
from eventflow.services.objects.version_listing import VersionQuery

KEYS = ("a", "d/b", "d/c/", "é")
Entry = tuple[str, bytes | None]
ACTIONS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 99)),
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 99)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.just("delete version"), st.sampled_from(KEYS), st.integers(0, 4)),
    st.tuples(st.just("status"), st.sampled_from((ENABLED, SUSPENDED)), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


@dataclass
class Model:
    """What there should be: for each key the ids with their bytes, None for a marker, newest first."""

    status: str | None = None
    keys: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, key: str, id: str, content: bytes | None) -> None:
        assert (id == NULL) == (self.status != ENABLED)
        entries = [entry for entry in self.keys.get(key, []) if entry[0] != id]
        self.keys[key] = [(id, content), *entries]

    def remove(self, key: str, id: str) -> None:
        self.keys[key] = [entry for entry in self.keys.get(key, []) if entry[0] != id]

    def listed(self) -> list[tuple[str, str, bool, bool]]:
        """Key, id, whether it is the latest, whether it is a marker."""
        ordered = sorted((key for key in self.keys), key=str.encode)
        return [(key, id, place == 0, content is None) for key in ordered for place, (id, content) in enumerate(self.keys[key])]


async def apply(world: World, model: Model, action: tuple[str, str, int]) -> None:
    what, key, number = action
    if what == "status":
        model.status = key
        await world.objects.set_versioning(BUCKET, key)
    elif what == "put":
        content = b"" if key.endswith("/") else str(number).encode()
        model.add(key, (await world.put(key, content)).version_id, content)
    elif what == "delete":
        deletion = await world.objects.delete(BUCKET, key)
        if model.status is None:
            model.remove(key, NULL)
        else:
            assert deletion.marker
            model.add(key, deletion.version_id or "", None)
    elif what == "delete version" and number < len(model.keys.get(key, [])):
        id, content = model.keys[key][number]
        deletion = await world.objects.delete(BUCKET, key, version_id=id)
        assert (deletion.version_id, deletion.marker) == (id, content is None)
        model.remove(key, id)


async def compare(world: World, model: Model, limit: int) -> None:
    assert await pages(world, limit) == model.listed()
    current = [key for key in sorted(model.keys, key=str.encode) if model.keys[key] and model.keys[key][0][1] is not None]
    assert await world.keys() == current
    for key, entries in model.keys.items():
        for id, content in entries:
            assert await read(world, key, id) == content
    files = {path.name for path in (world.path / ".eventflow-versions").glob("*")}
    assert len(files) <= sum(content is not None for entries in model.keys.values() for _id, content in entries)


async def pages(world: World, limit: int) -> list[tuple[str, str, bool, bool]]:
    found: list[tuple[str, str, bool, bool]] = []
    query = VersionQuery(limit=limit)
    while True:
        page = await world.objects.list_versions(BUCKET, query)
        found += [(entry.key, entry.id, entry.latest, entry.marker is not None) for entry in page.entries]
        if page.last is None:
            return found
        query = VersionQuery(key_marker=page.last[0], version_marker=page.last[1], limit=limit)


async def read(world: World, key: str, id: str) -> bytes | None:
    try:
        opened = await world.objects.get(BUCKET, key, version_id=id)
    except ServiceError as error:
        if error.code == "MethodNotAllowed":
            return None
        raise
    return b"".join([piece async for piece in opened.content])


def stages(actions: Sequence[tuple[str, str, int]]) -> list[list[tuple[str, str, int]]]:
    """The actions between one restart and the next."""
    found: list[list[tuple[str, str, int]]] = [[]]
    for action in actions:
        if action[0] == "restart":
            found.append([])
        else:
            found[-1].append(action)
    return found


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=6, max_size=24), st.integers(1, 5))
def test_any_history_of_any_keys(actions: list[tuple[str, str, int]], limit: int) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages(actions):

            async def work(world: World, stage: list[tuple[str, str, int]] = stage) -> None:
                for action in stage:
                    await apply(world, model, action)
                await compare(world, model, limit)

            in_world(Path(folder), work)
