"""Every trigger that ships keeps the contract of triggers, and so does a stranger's that is installed beside them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import pytest

from eventflow.database import Database
from eventflow.services.bus import Buses, Doors
from eventflow.services.objects import Objects
from eventflow.services.queues import Queues
from eventflow.services.queues.sends import Outgoing
from eventflow.services.tables import Tables
from eventflow.testing.trigger_contract import GROUP, TriggerContract
from triggers.bucket import Bucket
from triggers.bus import Bus
from triggers.http import Http, Rest
from triggers.queue import Queue
from triggers.schedule import Schedule
from triggers.stream import Stream
from triggers.websocket import WebSocket

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "tail-trigger"
REGION = "us-east-1"


class TestSchedule(TriggerContract):
    """Its source is time itself: to cause an event is to let half a day pass, and the looks in between must stay far below that."""

    pace = 5.0
    bad_settings = ({"expression": "rate(5 minute)"}, {"expression": "cron(0 3 * * * *)"}, {"expression": "rate(1 hour)", "catch_up": "maybe"})

    def make(self) -> Schedule:
        return Schedule("rate(12 hours)", catch_up="all")

    async def cause(self, n: int) -> None:
        await self.pass_time(f"{n * 12}h")


class TestQueue(TriggerContract):
    """On the embedded queue with its real rules. A message comes again when its visibility timeout ends, 30 seconds by default."""

    pace = 1.0
    bad_settings = ({"name": ""}, {"name": "orders", "batch_size": 0}, {"name": "orders", "batch_size": 11}, {"name": "orders.fifo", "window": 5})

    def make(self) -> Queue:
        return Queue("orders", batch_size=2)

    async def prepare(self) -> None:
        self.sent = 0
        self.database = Database(":memory:")
        self.queues = Queues(self.database, self.clock, self.target.account)
        await self.queues.open()
        await self.queues.ensure(REGION, "orders")
        self.target.queues["orders"] = await self.queues.source(REGION, "orders")

    async def dispose(self) -> None:
        self.database.close()

    async def cause(self, n: int) -> None:
        for _ in range(n):
            self.sent += 1
            await self.queues.send(REGION, "orders", [Outgoing(f"order {self.sent}")])

    async def acknowledged(self) -> int:
        counts = await self.queues.attributes(REGION, "orders", ["All"])
        return self.sent - sum(int(counts[name]) for name in counts if name.startswith("ApproximateNumberOfMessages"))

    def events(self, payload: Any) -> list[str]:
        return [record["body"] for record in payload["Records"]]


class TestBus(TriggerContract):
    """On a real bus: what matches waits for the trigger, whether it runs or not."""

    bad_settings = ({"pattern": {"source": "shop"}}, {"pattern": "{"}, {"pattern": 5}, {"pattern": {"source": ["shop"]}, "bus": "no bus"})

    def make(self) -> Bus:
        return Bus({"source": ["shop"], "detail": {"n": [{"numeric": [">", 0]}]}}, bus="orders")

    async def prepare(self) -> None:
        self.put = 0
        self.database = Database(":memory:")
        doors = Doors(
            append=lambda connection, events: [], known=lambda name: False, send=lambda *arguments, **options: None, log=lambda *arguments: None
        )
        self.buses = Buses(self.database, self.clock, self.target.account, doors, lambda events: None, lambda region, queue: None)
        await self.buses.open()
        await self.buses.catalog.ensure(REGION, "orders")
        self.target.buses["orders"] = await self.buses.source(REGION, "orders", "function/bus/1")

    async def dispose(self) -> None:
        self.buses.close()
        self.database.close()

    async def cause(self, n: int) -> None:
        for _ in range(n):
            self.put += 1
            await self.buses.put(REGION, "shop", "order", {"n": self.put}, bus="orders")
            await self.buses.put(REGION, "shop", "order", {"n": -self.put}, bus="orders")

    async def acknowledged(self) -> int:
        (left,) = await self.database.read(lambda connection: connection.execute("SELECT count(*) FROM bus_waiting").fetchone())
        return self.put - int(left)

    def events(self, payload: Any) -> list[int]:
        return [payload["detail"]["n"]]


class TestStream(TriggerContract):
    """On the stream of a real table. The first run writes down where it begins; a batch that failed comes again after seconds."""

    pace = 1.0
    bad_settings = (
        {"table": "x"},
        {"table": "orders", "batch_size": 0},
        {"table": "orders", "window": 301},
        {"table": "orders", "starting_position": "AT_TIMESTAMP"},
        {"table": "orders", "parallelization_factor": 11},
        {"table": "orders", "maximum_record_age": 5},
        {"table": "orders", "maximum_retry_attempts": -2},
        {"table": "orders", "on_failure": "no.queue"},
        {"table": "orders", "filters": [{"eventName": "INSERT"}]},
    )

    def make(self) -> Stream:
        return Stream("orders", batch_size=2)

    async def prepare(self) -> None:
        self.written = 0
        self.database = Database(":memory:")
        self.tables = Tables(self.database, self.clock, self.target.account)
        await self.tables.prepare()
        await self.tables.ensure(REGION, "orders", key="id")
        await self.tables.ensure_stream(REGION, "orders")
        source = await self.tables.streams.source(REGION, "orders")
        self.target.streams["orders"] = self.target.streams[source.arn] = source

    async def dispose(self) -> None:
        self.database.close()

    async def cause(self, n: int) -> None:
        for _ in range(n):
            self.written += 1
            await self.tables.put_item(REGION, {"TableName": "orders", "Item": {"id": {"S": f"order {self.written}"}}})

    def events(self, payload: Any) -> list[str]:
        return [record["dynamodb"]["NewImage"]["id"]["S"] for record in payload["Records"]]


class TestParallelStream(TestStream):
    def make(self) -> Stream:
        return Stream("orders", batch_size=2, parallelization_factor=3)


class BucketContract(TriggerContract):
    """On a real directory, whose changes the system tells in a thread of its own: time is the machine's."""

    virtual = False
    patience = 15.0
    quiet_looks = 80
    bad_settings = (
        {"name": "Uploads!"},
        {"name": "uploads", "watch": "closely"},
        {"name": "uploads", "settle": 0},
        {"name": "uploads", "events": "Moved"},
    )
    watch: str

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make(self) -> Bucket:
        return Bucket("uploads", watch=self.watch, settle=0.1)

    async def prepare(self) -> None:
        self.written = 0
        self.database = Database(self.path / "state.db")
        self.objects = Objects(self.database, self.clock, self.path / "buckets")
        await self.objects.open()
        await self.objects.ensure_bucket("uploads")
        self.target.buckets["uploads"] = source = await self.objects.source("uploads")
        self.bucket = source.path

    async def dispose(self) -> None:
        self.objects.close()
        self.database.close()

    async def cause(self, n: int) -> None:
        for _ in range(n):
            self.written += 1
            (self.bucket / f"photo-{self.written}.jpg").write_bytes(b"not really" * self.written)

    def events(self, payload: Any) -> list[str]:
        return [record["s3"]["object"]["key"] for record in payload["Records"]]


class TestBucket(BucketContract):
    watch = "auto"


class TestPolledBucket(BucketContract):
    watch = "poll"


class RouteContract(TriggerContract):
    """A route: the gateway brings its requests to the function, so that there is nothing to deliver (tests/gateway)."""

    bad_settings = ({"route": "/items"}, {"route": "FETCH /items"}, {"route": "GET items"}, {"route": "GET /", "timeout": 31})

    async def cause(self, n: int) -> None:
        """Nothing that the trigger would have to tell."""


DELIVERS = re.compile("test_(?!it_is_published|it_is_made_again|its_text|its_bad_settings|it_becomes_ready)")
for name in filter(DELIVERS.match, dir(TriggerContract)):
    setattr(RouteContract, name, None)


class TestHttp(RouteContract):
    def make(self) -> Http:
        return Http("GET /items/{id}")


class TestRest(RouteContract):
    def make(self) -> Rest:
        return Rest("ANY /items/{proxy+}", api="shop", timeout=2.5)


class TestWebSocket(RouteContract):
    bad_settings = ({"route": ""}, {"route": "$other"}, {"route": "say", "timeout": 30}, {"route": "say", "authorizer": "guard"})

    def make(self) -> WebSocket:
        return WebSocket("say", api="chat", route_response_selection_expression="$default")


def test_every_trigger_that_ships_is_put_through_the_contract() -> None:
    ours = {entry.name for entry in entry_points(group=GROUP) if entry.module.startswith("triggers.")}
    cases = {Schedule.kind, Queue.kind, Bucket.kind, Stream.kind, Bus.kind, Http.kind, Rest.kind, WebSocket.kind}
    assert ours - cases == set(), "write a contract case for each"


# A stranger's trigger.


def wheels_can_be_built_here() -> bool:
    """Whether setuptools is new enough to build the sample without fetching another one."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def strangers_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the sample is installed, as a package that knows nothing of this repository."""
    source, place = tmp_path_factory.mktemp("source") / "tail-trigger", tmp_path_factory.mktemp("installed")
    shutil.copytree(SAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    offline = ["--no-build-isolation", "--no-index"] if wheels_can_be_built_here() else []
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", *offline, "--target", str(place), str(source)]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return place


@pytest.mark.slow
def test_a_strangers_trigger_is_found_and_keeps_the_contract(strangers_place: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(strangers_place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SAMPLE / "tests")]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


# The trigger that the guide builds.


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the examples of docs/triggers.md define, run one after the other."""
    names: dict[str, Any] = {"__name__": "guide"}
    for example in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "triggers.md").read_text(), re.DOTALL):
        exec(compile(example, "docs/triggers.md", "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize(
    "name", [name for name in dir(TriggerContract) if name.startswith("test_") and name != "test_it_is_published_under_its_kind"]
)
def test_the_trigger_of_the_guide_keeps_the_contract(guide: dict[str, Any], name: str, tmp_path: Path) -> None:
    contract = guide["LinesContract"]()
    contract.path, contract.written = tmp_path / "app.log", 0
    getattr(contract, name)()
