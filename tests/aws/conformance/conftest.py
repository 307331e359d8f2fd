"""The two peers behind one fixture, and the list of their disagreements at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eventflow.clock import SystemClock
from tests.aws.builders import whole
from tests.aws.conftest import REGION, AwsServer, client_of

PEERS = ("eventflow", "moto")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peer", choices=PEERS, default="eventflow", help="the server that the conformance tests run against")


def peer_of(config: pytest.Config) -> str:
    peer: str = config.getoption("--peer", "eventflow")  # the option is not there where these tests run among others
    return peer


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if peer_of(config) == "moto":
        for item in items:
            if "server" not in getattr(item, "fixturenames", ()):
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


class MotoServer:
    """Moto's, as far as these tests use an ``AwsServer``."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self._make: Any = session.client
        self._url = url

    def client(self, service: str, **config: Any) -> Any:
        return self._make(
            service,
            region_name=REGION,
            endpoint_url=self._url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[AwsServer | MotoServer]:
    """The chosen peer."""
    if peer_of(request.config) == "moto":
        from moto.server import ThreadedMotoServer

        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        host, port = moto.get_host_and_port()
        yield MotoServer(boto_session, f"http://{host}:{port}")
        moto.stop()
        return
    server = AwsServer(whole, tmp_path_factory.mktemp("conformance"), boto_session, SystemClock())
    yield server
    server.close()


s3 = client_of("s3", "session")
dynamodb = client_of("dynamodb", "session")
dynamodbstreams = client_of("dynamodbstreams", "session")
sqs = client_of("sqs", "session")
events = client_of("events", "session")
scheduler = client_of("scheduler", "session")


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
