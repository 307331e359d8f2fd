"""The two peers behind one fixture, and the list of their disagreements at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eventflow.aws.operation import Service
from eventflow.clock import Clock, SystemClock
from eventflow.composition import Core
from eventflow.database import Database
from tests.aws.conftest import REGION, AwsServer

PEERS = ("eventflow", "moto")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peer", choices=PEERS, default="eventflow", help="the server that the conformance tests run against")


def peer_of(config: pytest.Config) -> str:
    peer: str = config.getoption("--peer", "eventflow")  # the option is not there where these tests run among others
    return peer


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if peer_of(config) == "moto":
        for item in items:
            if "clients" not in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="asks no server"))
            for mark in item.iter_markers("moto_differs"):
                item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if peer_of(config) != "moto":
        return
    known, new = terminalreporter.stats.get("xfailed", []), terminalreporter.stats.get("failed", [])
    agreed = len(terminalreporter.stats.get("passed", []))
    terminalreporter.section(f"moto agrees in {agreed} tests, is known to differ in {len(known)}, and differs in {len(new)} more")
    for report in known:
        terminalreporter.write_line(f"known  {report.nodeid.partition('::')[2]}: {report.wasxfail}")
    for report in new:
        terminalreporter.write_line(f"new    {report.nodeid.partition('::')[2]}")


async def whole(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    """All services, as the daemon puts them together."""
    core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
    await core.open()
    return core.aws_services("python3.11")


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[Callable[..., Any]]:
    """A function from a service's name to a boto3 client of the chosen peer."""
    if peer_of(request.config) == "moto":
        from moto.server import ThreadedMotoServer

        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        host, port = moto.get_host_and_port()
        yield moto_clients(boto_session, f"http://{host}:{port}")
        moto.stop()
        return
    server = AwsServer(whole, tmp_path_factory.mktemp("conformance"), boto_session, SystemClock())
    yield server.client
    server.close()


def moto_clients(session: boto3.Session, url: str) -> Callable[..., Any]:
    make: Any = session.client
    config = Config(retries={"total_max_attempts": 1})
    return lambda service: make(
        service, region_name=REGION, endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing", config=config
    )


class Aws:
    """Boto3 clients of the server under test, one a service."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._made: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = self._make(service)
        return self._made[service]


@pytest.fixture(scope="session")
def aws(clients: Callable[..., Any]) -> Aws:
    return Aws(clients)


@pytest.fixture
def s3(aws: Aws) -> Any:
    return aws.client("s3")


@pytest.fixture
def dynamodb(aws: Aws) -> Any:
    return aws.client("dynamodb")


@pytest.fixture
def sqs(aws: Aws) -> Any:
    return aws.client("sqs")


@pytest.fixture
def events(aws: Aws) -> Any:
    return aws.client("events")


@pytest.fixture
def scheduler(aws: Aws) -> Any:
    return aws.client("scheduler")


@pytest.fixture
def name() -> str:
    """A name that no other test has: the server is shared."""
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def refused() -> Callable[..., tuple[str, int]]:
    """``refused(call, **params)`` is the code and the status of a call that must be refused."""

    def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
        with pytest.raises(ClientError) as caught:
            call(**params)
        response: Any = caught.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]

    return refused
