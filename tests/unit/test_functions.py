"""Functions made by API: what is kept of them, what runs, and what a kill leaves, with a fake in place of what runs them."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import zipfile
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import EventflowError, ServiceError, SettingError, StorageError
from eventflow.function import Function
from eventflow.services.functions import Functions, Place, records
from eventflow.services.functions.code import GRACE
from eventflow.services.functions.records import EventSettings
from eventflow.services.functions.sources import archive_of
from eventflow.testing.virtual_clock import VirtualClock

PLACE = Place("us-east-1", "000000000000")
PARAMETERS = {"Runtime": "python3.11", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "main.handler"}


class Running:
    """What runs functions: those that run now, by key."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.aliases: dict[str, Any] = {}
        self.refuses = ""
        self.hold: asyncio.Event | None = None

    async def deploy(self, function: Function) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.refuses:
            raise EventflowError(self.refuses)
        assert function.package is not None
        assert (Path(function.package.folder) / "main.py").exists()
        self.functions[function.key] = function

    async def remove(self, key: str) -> None:
        self.functions.pop(key, None)

    def configure_aliases(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.aliases[name] = dict(settings)

    def warm(self, key: str) -> tuple[int, bool]:
        return self.functions[key].provisioned_concurrency, False

    def text(self, key: str) -> str:
        """What the code of a function says."""
        function = self.functions[key]
        assert function.package is not None
        return (Path(function.package.folder) / "main.py").read_text()


class World:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.dropped: list[str] = []
        self.heirs: dict[str, dict[str, str]] = {}
        self.there = {("queue", "dead"), ("function", "other"), ("bus", "b"), ("bucket", "bin")}

    async def exists(self, kind: str, name: str) -> bool:
        return (kind, name) in self.there

    async def content(self, bucket: str, key: str, version: str | None) -> AsyncIterable[bytes]:
        if (bucket, key) not in self.objects:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        return once(self.objects[bucket, key])

    async def drop_events(self, key: str, heirs: Mapping[str, str]) -> int:
        self.dropped.append(key)
        self.heirs[key] = dict(heirs)
        return 0

    def check_runtime(self, runtime: str) -> None:
        if runtime != "python3.11":
            raise SettingError(f"the runtime {runtime!r} is not supported.")


async def once(data: bytes) -> AsyncIterable[bytes]:
    yield data


class Here:
    """A state directory with functions on it, as one run of a daemon has them."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.database = Database(folder / "state.db")
        self.running = Running()
        self.world = World()
        self.application: dict[str, Function] = {}
        self.functions = Functions(self.database, clock, PLACE, folder / "functions", self.world, self.loaded)

    def loaded(self) -> dict[str, Function]:
        return {**self.application, **self.running.functions}

    async def create(self, name: str, text: str = "one", **params: Any) -> Any:
        publish = params.pop("publish", False)
        return await self.functions.create(name, {**PARAMETERS, **params}, {}, zipped(text), publish=publish)

    def contents(self) -> set[str]:
        """What code is there, with its archives."""
        names = {entry.name for entry in (self.folder / "functions").iterdir()} if (self.folder / "functions").exists() else set()
        folders = {name for name in names if not name.endswith(".zip")}
        assert names - folders == {f"{name}.zip" for name in folders}
        return folders


def zipped(text: str = "one") -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), text)
    return out


def here(folder: Path, work: Callable[[Here], Awaitable[None]], clock: VirtualClock | None = None) -> None:
    """Do ``work`` as a daemon that starts on a folder would; called again, it finds what is on disk."""

    async def run() -> None:
        world = Here(folder, clock or VirtualClock())
        try:
            await world.functions.open()
            world.functions.attach(world.running)
            await world.functions.deploy_all()
            await work(world)
        finally:
            await world.functions.close()
            world.database.close()

    asyncio.run(run())


def code_of(caught: pytest.ExceptionInfo[ServiceError]) -> tuple[str, int]:
    return caught.value.code, caught.value.status


def test_what_was_made_runs_again_at_the_next_start_and_what_was_deleted_does_not(tmp_path: Path) -> None:
    async def first(world: Here) -> None:
        await world.create("f", "one", publish=True)
        await world.functions.update_code("f", zipped("two"))
        await world.create("gone")
        await world.functions.delete("gone")
        assert {key: world.running.text(key) for key in world.running.functions} == {"f": "two", "f:1": "one"}

    async def second(world: Here) -> None:
        assert {key: world.running.text(key) for key in world.running.functions} == {"f": "two", "f:1": "one"}
        assert world.functions.route("f", "1") == ("f:1", "1")

    here(tmp_path, first)
    here(tmp_path, second)


def test_the_events_of_what_was_deleted_are_dropped_at_the_next_start_where_they_were_not(tmp_path: Path) -> None:
    async def full(_key: str, _heirs: Mapping[str, str]) -> int:
        raise StorageError("the disk is full")

    async def first(world: Here) -> None:
        await world.create("f", publish=True)
        await world.create("g", publish=True)
        await world.functions.aliases.create("g", "live", "$LATEST", "", {})
        await world.functions.versions.delete("g", 1)
        assert (world.world.dropped, world.world.heirs) == (["g:1"], {"g:1": {"live": "g"}})
        world.world.drop_events = full  # type: ignore[assignment, method-assign]
        await world.functions.delete("f")
        with pytest.raises(StorageError):
            await world.create("f")

    async def second(world: Here) -> None:
        assert sorted(world.world.dropped) == ["f", "f:1"]
        assert world.world.heirs == {"f": {}, "f:1": {}}
        await world.create("f")

    async def third(world: Here) -> None:
        assert world.world.dropped == []

    here(tmp_path, first)
    here(tmp_path, second)
    here(tmp_path, third)


def test_code_lies_there_once_for_its_content_and_goes_when_nothing_names_it_and_nobody_reads_it(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def work(world: Here) -> None:
        clock.also_settle(lambda: settle(world))
        first = await world.create("f", "one")
        same = await world.create("g", "one")
        assert first.code == same.code
        two = (await world.functions.update_code("f", zipped("two"))).code
        assert world.contents() == {first.code.sha, two.sha}
        await world.functions.delete("g")
        await clock.advance(GRACE - 1)
        assert world.contents() == {first.code.sha, two.sha}
        await clock.advance(2)
        assert world.contents() == {two.sha}

    async def settle(world: Here) -> bool:
        tasks = list(world.functions.ledger.code._tasks)
        await asyncio.gather(*tasks)
        return bool(tasks)

    here(tmp_path, work, clock)


def test_a_start_removes_what_a_kill_left(tmp_path: Path) -> None:
    left = tmp_path / "functions"
    for name in ("a" * 64, ".incoming-xyz", ".incoming-" + "b" * 64):
        (left / name / "d").mkdir(parents=True)
        (left / name / "d" / "f").write_text("x")
        (left / name / "d").chmod(0o555)
        (left / name).chmod(0o555)

    async def work(world: Here) -> None:
        assert world.contents() == set()
        version = await world.create("f")
        assert world.contents() == {version.code.sha}

    here(tmp_path, work)


def test_code_that_is_gone_from_the_disk_is_told_and_only_that_function_does_not_run(tmp_path: Path) -> None:
    async def first(world: Here) -> None:
        version = await world.create("f", "one")
        await world.create("g", "two")
        gone = tmp_path / "functions" / version.code.sha
        gone.chmod(0o700)
        gone.rename(tmp_path / "elsewhere")

    async def second(world: Here) -> None:
        assert set(world.running.functions) == {"g"}
        version = await world.functions.version("f", None)
        state = world.functions.state(version)
        assert (state.state, state.update) == ("Failed", "Failed")
        assert "Send it again with UpdateFunctionCode" in state.reason
        with pytest.raises(ServiceError, match="following state: Failed") as caught:
            world.functions.route("f", None)
        assert code_of(caught) == ("ResourceConflictException", 409)
        await world.functions.update_code("f", zipped("three"))
        assert world.running.text("f") == "three"
        assert world.functions.state(await world.functions.version("f", None)).state == "Active"

    here(tmp_path, first)
    here(tmp_path, second)


def test_an_update_that_cannot_run_leaves_the_former_code_running_and_says_so(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        await world.create("f", "one")
        world.running.refuses = "no room"
        version = await world.functions.update_code("f", zipped("two"))
        assert world.running.text("f") == "one"
        state = world.functions.state(version)
        assert (state.state, state.update, state.reason) == ("Active", "Failed", "no room")
        assert world.functions.route("f", None) == ("f", "$LATEST")

    here(tmp_path, work)


def test_one_change_of_a_function_at_a_time_and_one_whose_caller_left_is_finished(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        await world.create("f", "one")
        world.running.hold = asyncio.Event()
        update = asyncio.ensure_future(world.functions.update_code("f", zipped("two")))
        await asyncio.sleep(0)  # so that it begins
        for call in (world.functions.update_code("f", zipped("three")), world.functions.delete("f"), world.functions.versions.publish("f")):
            with pytest.raises(
                ServiceError, match="An update is in progress for resource: arn:aws:lambda:us-east-1:000000000000:function:f"
            ) as caught:
                await call
            assert code_of(caught) == ("ResourceConflictException", 409)
        update.cancel()
        await asyncio.gather(update, return_exceptions=True)
        world.running.hold.set()
        await asyncio.gather(*world.functions.ledger._tasks)
        assert world.running.text("f") == "two"

    here(tmp_path, work)


def test_functions_of_the_application_are_changed_there(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        world.application["app"] = Function("app", "shop.orders:order")
        calls = [
            world.create("app"),
            world.functions.update_code("app", zipped()),
            world.functions.delete("app"),
            world.functions.versions.publish("app"),
            world.functions.aliases.create("app", "a", "1", "", {}),
            world.functions.shared.reserve("app", 1),
            world.functions.events.put("app", "$LATEST", EventSettings(retries=1), merge=False),
        ]
        for call in calls:
            with pytest.raises(ServiceError, match=r"declared by the application \(order in the module shop.orders\)") as caught:
                await call
            assert code_of(caught) == ("ResourceConflictException", 409)

    here(tmp_path, work)


def test_an_alias_sends_each_invocation_to_one_of_its_versions(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        await world.create("f", "one", publish=True)
        await world.functions.update_code("f", zipped("two"), publish=True)
        chances = iter((0.0, 0.24, 0.25, 0.99))
        world.functions.aliases._chance = lambda: next(chances)
        await world.functions.aliases.create("f", "live", "1", "", {"2": 0.25})
        assert [world.functions.route("f", "live")[0] for _ in range(4)] == ["f:2", "f:2", "f:1", "f:1"]

    here(tmp_path, work)


def test_version_numbers_are_never_given_twice(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        assert (await world.create("f", publish=True)).number == 1
        assert (await world.functions.versions.publish("f")).number == 1  # nothing has changed
        await world.functions.update_settings("f", {"Timeout": 9})
        assert (await world.functions.versions.publish("f")).number == 2
        await world.functions.delete("f")
        assert (await world.create("f", publish=True)).number == 3

    here(tmp_path, work)


def test_settings_of_events_are_those_of_a_version_and_reserved_concurrency_of_all(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        await world.create("f", publish=True)
        queue, bus = "arn:aws:sqs:us-east-1:000000000000:dead", "arn:aws:events:us-east-1:000000000000:event-bus/b"
        await world.functions.events.put("f", "1", EventSettings(retries=0, on_failure=queue), merge=False)
        await world.functions.events.put("f", "1", EventSettings(maximum_age=60, on_success=bus), merge=True)
        await world.functions.shared.reserve("f", 7)
        latest, first = world.running.functions["f"], world.running.functions["f:1"]
        assert (latest.retries, latest.maximum_event_age, latest.on_failure, latest.reserved_concurrency) == (2, 21_600, None, 7)
        assert (first.retries, first.maximum_event_age, str(first.on_failure), str(first.on_success)) == (0, 60, "queue dead", "bus b")
        assert first.reserved_concurrency == 7
        await world.functions.events.put("f", "1", EventSettings(retries=1), merge=False)
        assert (world.running.functions["f:1"].on_failure, world.running.functions["f:1"].maximum_event_age) == (None, 21_600)

    here(tmp_path, work)


def test_settings_of_events_of_an_earlier_release_are_there_by_their_qualifiers(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.execute("CREATE TABLE schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        for number in (1, 2):
            connection.executescript((Path(records.__file__).parents[1] / "schema" / f"functions_{number:03}.sql").read_text())
        connection.execute("INSERT INTO schema_versions VALUES ('functions', 2)")
        connection.execute("INSERT INTO functions VALUES ('f', NULL, 'Terminate', '{}')")
        settings = records.Settings("python3.11", "main.handler", PARAMETERS["Role"]).to_json()
        for number in (0, 3):
            connection.execute("INSERT INTO function_versions VALUES ('f', ?, ?, 'sha', 1, 1, 'r', 0.0, NULL)", (number, settings))
            connection.execute("INSERT INTO function_event_settings VALUES ('f', ?, ?, NULL, NULL, NULL, 5.0)", (number, number % 2))
        connection.commit()

    async def work(world: Here) -> None:
        found = await world.functions.events.all("f", "", 9)
        assert found == [("$LATEST", EventSettings(0, modified_at=5.0)), ("3", EventSettings(1, modified_at=5.0))]
        await world.functions.versions.delete("f", 3)
        assert [qualifier for qualifier, _ in await world.functions.events.all("f", "", 9)] == ["$LATEST"]

    here(tmp_path, work)


def test_an_alias_has_settings_of_events_of_its_own_as_long_as_it_is_there(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        await world.create("f", publish=True)
        events, aliases, queue = world.functions.events, world.functions.aliases, "arn:aws:sqs:us-east-1:000000000000:dead"
        with pytest.raises(ServiceError) as caught:
            await events.put("f", "live", EventSettings(retries=0), merge=False)
        assert code_of(caught) == ("ResourceNotFoundException", 404)
        await aliases.create("f", "live", "1", "", {})
        await events.put("f", "live", EventSettings(retries=0, on_failure=queue), merge=False)
        await events.put("f", "$LATEST", EventSettings(retries=1), merge=False)
        assert (world.running.functions["f"].retries, world.running.functions["f:1"].retries) == (1, 2)
        assert [qualifier for qualifier, _ in await events.all("f", "", 9)] == ["$LATEST", "live"]

    async def again(world: Here) -> None:
        [(alias, settings)] = world.running.aliases["f"].items()
        assert (alias, settings["retries"], str(settings["on_failure"]), "on_success" in settings) == ("live", 0, "queue dead", False)
        await world.functions.aliases.delete("f", "live")
        assert world.running.aliases["f"] == {}
        await world.functions.aliases.create("f", "live", "1", "", {})
        assert [qualifier for qualifier, _ in await world.functions.events.all("f", "", 9)] == ["$LATEST"]

    here(tmp_path, work)
    here(tmp_path, again)


def test_code_comes_from_objects_too_and_what_is_not_there_is_told_in_lambda_s_words(tmp_path: Path) -> None:
    async def work(world: Here) -> None:
        world.world.objects["code", "f.zip"] = zipped("from a bucket").getvalue()
        async with archive_of({"S3Bucket": "code", "S3Key": "f.zip"}, world.world, "CreateFunction") as archive:
            await world.functions.create("f", PARAMETERS, {}, archive, publish=False)
        assert world.running.text("f") == "from a bucket"
        with pytest.raises(ServiceError, match=r"Error occurred while GetObject\. S3 Error Code: NoSuchKey\. S3 Error Message: The specified key"):
            async with archive_of({"S3Bucket": "code", "S3Key": "other"}, world.world, "CreateFunction"):
                pass

    here(tmp_path, work)


# Against a model: whatever is done, in whatever order, with starts in between, what runs is what a plain list of versions says.

NAMES = st.sampled_from(["f", "g"])
STEPS = st.one_of(
    st.tuples(st.just("create"), NAMES, st.sampled_from("ab"), st.booleans()),
    st.tuples(st.just("code"), NAMES, st.sampled_from("abc"), st.booleans()),
    st.tuples(st.just("timeout"), NAMES, st.integers(1, 3), st.just(False)),
    st.tuples(st.just("publish"), NAMES, st.none(), st.just(False)),
    st.tuples(st.just("delete"), NAMES, st.none(), st.just(False)),
    st.tuples(st.just("delete version"), NAMES, st.integers(1, 3), st.just(False)),
    st.tuples(st.just("restart"), st.just(""), st.none(), st.just(False)),
)
State = tuple[str, int]


class Model:
    def __init__(self) -> None:
        self.latest: dict[str, State] = {}
        self.versions: dict[str, dict[int, State]] = {}
        self.numbers: dict[str, int] = {}

    def publish(self, name: str) -> None:
        versions = self.versions[name]
        if versions and versions[max(versions)] == self.latest[name]:
            return
        self.numbers[name] = self.numbers.get(name, 0) + 1
        versions[self.numbers[name]] = self.latest[name]

    def apply(self, kind: str, name: str, value: Any, publish: bool) -> str | None:
        """Do a step; the code of its refusal."""
        if kind == "create":
            if name in self.latest:
                return "ResourceConflictException"
            self.latest[name], self.versions[name] = (value, 3), {}
        elif name not in self.latest:
            return "ResourceNotFoundException"
        elif kind == "code":
            self.latest[name] = (value, self.latest[name][1])
        elif kind == "timeout":
            self.latest[name] = (self.latest[name][0], value)
        elif kind == "publish":
            publish = True
        elif kind == "delete":
            del self.latest[name], self.versions[name]
        elif self.versions[name].pop(value, None) is None:
            return "ResourceNotFoundException"
        if publish:
            self.publish(name)
        return None

    def running(self) -> dict[str, State]:
        return self.latest | {f"{name}:{number}": state for name, versions in self.versions.items() for number, state in versions.items()}


async def do(world: Here, kind: str, name: str, value: Any, publish: bool) -> None:
    functions = world.functions
    match kind:
        case "create":
            await world.create(name, value, publish=publish)
        case "code":
            await functions.update_code(name, zipped(value), publish=publish)
        case "timeout":
            await functions.update_settings(name, {"Timeout": value})
        case "publish":
            await functions.versions.publish(name)
        case "delete":
            await functions.delete(name)
        case _:
            await functions.versions.delete(name, value)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_what_runs_is_what_was_made_whatever_was_done_and_started_again(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("model")
    model = Model()

    async def work(world: Here) -> None:
        while steps:
            step = steps.pop(0)
            if step[0] == "restart":
                return
            code = None
            try:
                await do(world, *step)
            except ServiceError as error:
                code = error.code
            assert code == model.apply(*step), step
        found = {key: (world.running.text(key), function.timeout) for key, function in world.running.functions.items()}
        assert found == model.running()

    steps = [*steps, ("restart", "", None, False)]
    while steps:
        here(folder, work)
    here(folder, work)
