"""Many clients on a slow disk: what waits in memory is bounded, who comes too much is told so, and all is accepted once in the end."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eventflow.aws.endpoint import Endpoint
from eventflow.aws.lambda_ import LambdaService
from eventflow.body_budget import BodyBudget
from eventflow.client import Client
from eventflow.clock import BlockingClock, SystemClock
from eventflow.connection import Connection, Refused
from eventflow.control import Control
from eventflow.database import Database
from eventflow.dispatch import dispatcher
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.journal import CursorMove, Event
from eventflow.errors import ServiceError, SettingError
from eventflow.function import Function
from eventflow.http_server import HttpServer
from eventflow.journals.sqlite import SqliteJournal
from eventflow.services.functions import Functions, Place
from eventflow.services.logs import LogStore
from eventflow.target import FunctionTarget
from tests.patience import PATIENCE
from triggers import Schedule

TOKEN = "t"
SECRET = "secret"
BIG = 1 << 30
FUNCTION = Function("f", "m:f")


class SlowJournal(SqliteJournal):
    """A journal whose disk takes ``seconds`` for each write, and for the first one as long as it takes until ``is_too_much``; ``most`` is the
    greatest number of events that one write had to take."""

    seconds = 0.0
    most = 0
    is_too_much: Callable[[], bool] = staticmethod(lambda: True)

    async def append(self, events: Sequence[Event], cursors: Sequence[CursorMove] = ()) -> list[tuple[str, bool]]:
        self.most = max(self.most, len(events))
        async with asyncio.timeout(PATIENCE):
            while not self.is_too_much():  # noqa: ASYNC110 - another thread's doing
                await asyncio.sleep(0.005)
        await asyncio.sleep(self.seconds)
        return await super().append(events, cursors)


class CountedBudget(BodyBudget):
    """``peak`` is the most that was ever held."""

    def __init__(self, most: int) -> None:
        self.peak = self._held = 0
        super().__init__(most)

    @property
    def held(self) -> int:
        return self._held

    @held.setter
    def held(self, value: int) -> None:
        self._held = value
        self.peak = max(self.peak, value)


class CountingConnection(Connection):
    """A client's connection; ``refused`` counts, over all of them, what was answered 429."""

    refused = 0

    def ask(self, method: str, path: str, body: bytes = b"", *, seconds: float = 30.0) -> Any:
        try:
            return super().ask(method, path, body, seconds=seconds)
        except Refused as error:
            CountingConnection.refused += error.status == 429
            raise


class ImpatientClock(BlockingClock):
    """Waits a twentieth of what the daemon asks."""

    def pause(self, seconds: float) -> None:
        time.sleep(seconds / 20)


class Nothing:
    """What functions made by API could name things of: there are none here."""

    async def exists(self, kind: str, name: str) -> bool:
        return False

    async def content(self, bucket: str, key: str, version: str | None) -> AsyncIterable[bytes]:
        raise ServiceError("NoSuchBucket", f"There is no bucket {bucket}.", 404)

    def check_runtime(self, runtime: str) -> None:
        raise SettingError(f"{runtime} is not here.")


class SmallDaemon:
    """Endpoint, control API, dispatcher and journal without functions' processes: what is accepted stays in the journal."""

    def __init__(self, folder: Path, budget: int) -> None:
        clock = SystemClock()
        self.database = Database(folder / "d.db")
        self.journal = SlowJournal(self.database, clock, lambda _connection, _message: None)
        self.dispatcher = Dispatcher(self.journal, clock, lambda name: f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
        self.bodies = CountedBudget(budget)
        self.logs = LogStore(folder / "logs", clock)
        control = Control(TOKEN, self.dispatcher, self.journal, self.database, self.logs, dict, self.bodies)
        place = Place("us-east-1", "000000000000")
        functions = Functions(self.database, clock, place, folder / "functions", Nothing(), self.dispatcher.functions)
        service = LambdaService(functions, self.dispatcher, Concurrency(), "2026-01-31T09:05:00Z")
        self.server = HttpServer("127.0.0.1", 0)
        self.endpoint = Endpoint([service], {"key": SECRET}, clock, "000000000000", "us-east-1", control=control, bodies=self.bodies)

    async def serve(self, work: Callable[[], None]) -> None:
        try:
            await self.journal.open()
            await self.dispatcher.start({"f": FUNCTION})
            self.server.serve(self.endpoint)
            await asyncio.to_thread(work)
        finally:
            await self.server.close()
            self.logs.close()
            self.database.close()

    def client(self) -> Client:
        return Client(self.server.url, token=TOKEN, clock=ImpatientClock(), connect=CountingConnection)

    def lambda_client(self) -> Any:
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=32)
        return boto3.client(
            "lambda", endpoint_url=self.server.url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key=SECRET, config=config
        )

    def payloads(self) -> list[bytes]:
        return sorted(row[0] for row in self.database._writer.execute("SELECT payload FROM events").fetchall())


def many(number: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(work, range(number)))


def test_bodies_in_flight_are_bounded_and_all_are_accepted_once_in_the_end(tmp_path: Path) -> None:
    clients, events, size, budget = 12, 40, 10_000, 1_500_000
    daemon = SmallDaemon(tmp_path, budget)
    daemon.journal.seconds = 0.05
    CountingConnection.refused = 0
    daemon.journal.is_too_much = lambda: CountingConnection.refused > 0

    def emit(client_number: int) -> list[str]:
        with daemon.client() as client:
            return client.emit_many("f", [f'"{client_number}.{number:04}{"x" * size}"'.encode() for number in range(events)])

    def work() -> None:
        ids = [id for found in many(clients, emit) for id in found]
        assert CountingConnection.refused > 0
        assert daemon.bodies.peak <= budget
        assert daemon.bodies.held == 0
        assert len(set(ids)) == clients * events
        assert len(daemon.payloads()) == len(set(daemon.payloads())) == clients * events

    asyncio.run(daemon.serve(work))


def test_what_waits_for_the_disk_is_bounded_and_all_is_accepted_once_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clients, events, most = 12, 100, 450
    monkeypatch.setattr(dispatcher, "MOST_ARRIVING", most)
    daemon = SmallDaemon(tmp_path, BIG)
    daemon.journal.seconds = 0.05
    CountingConnection.refused = 0
    daemon.journal.is_too_much = lambda: CountingConnection.refused > 0

    def emit(number: int) -> list[str]:
        with daemon.client() as client:
            if number % 2:
                return client.emit_many("f", [number * events + place for place in range(events)])
            return [client.emit("f", number * events + place) for place in range(events // 10)]

    def work() -> None:
        ids = [id for found in many(clients, emit) for id in found]
        expected = clients // 2 * (events + events // 10)
        assert CountingConnection.refused > 0
        assert daemon.journal.most <= most
        assert len(set(ids)) == len(daemon.payloads()) == expected

    asyncio.run(daemon.serve(work))


def test_a_trigger_waits_for_the_disk_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MOST_ARRIVING", 5)

    async def main() -> None:
        daemon = SmallDaemon(tmp_path, BIG)
        daemon.journal.seconds = 0.01
        nothing: Any = None
        try:
            await daemon.journal.open()
            await daemon.dispatcher.start({"f": FUNCTION})
            trigger = Schedule("rate(1 hour)")
            target = FunctionTarget(
                FUNCTION, trigger, daemon.dispatcher, daemon.journal, SystemClock(), nothing, account="0", region="r", concurrency=1
            )
            ids = await asyncio.gather(*(target.emit(number, id=f"k{number}", cursor={f"k{number}": True}) for number in range(40)))
            assert daemon.journal.most <= 5
            assert len(set(ids)) == len(daemon.payloads()) == 40
            assert len(await target.cursor.items()) == 40
        finally:
            await daemon.server.close()
            daemon.logs.close()
            daemon.database.close()

    asyncio.run(main())


def test_aws_s_sdks_are_told_by_the_names_that_they_retry(tmp_path: Path) -> None:
    daemon = SmallDaemon(tmp_path, 10_000)

    def work() -> None:
        with pytest.raises(ClientError) as caught:
            daemon.lambda_client().invoke(FunctionName="f", InvocationType="Event", Payload=b'"' + b"x" * 20_000 + b'"')
        response: Any = caught.value.response
        assert (response["Error"]["Code"], response["Reason"]) == ("TooManyRequestsException", "CallerRateLimitExceeded")
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"

    asyncio.run(daemon.serve(work))
