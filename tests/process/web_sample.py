"""A web sample that runs in a real daemon, from a copy of its folder."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WebSample:
    def __init__(self, process: DaemonProcess, folder: Path) -> None:
        self.process = process
        self.folder = folder
        process.app = folder / "app.py"
        process.start()

    @property
    def url(self) -> str:
        return str(self.process.facts["gateway"])

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def restart(self) -> None:
        """Kill the daemon and start it at the same address."""
        port = self.port
        self.process.kill()
        self.process.start("--gateway-port", str(port))

    def table(self, name: str) -> list[dict[str, Any]]:
        return list(self.process.client("dynamodb").scan(TableName=name, ConsistentRead=True)["Items"])

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        asked = urllib.request.Request(self.url + path, body, {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as response:
                return Response(response.status, {name.lower(): value for name, value in response.headers.items()}, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, {name.lower(): value for name, value in error.headers.items()}, error.read())

    def check_log(self) -> None:
        """Whatever was asked, no function failed."""
        failed = [
            line for line in self.process.log.read_text().splitlines() if "Traceback" in line or '"level": "error"' in line or "malformed" in line
        ]
        assert failed == []


S = TypeVar("S", bound=WebSample)


@contextmanager
def web_sample(kind: type[S], name: str, place: Path) -> Iterator[S]:
    folder = place / name
    shutil.copytree(SAMPLES / name, folder, ignore=shutil.ignore_patterns(".eventflow", "__pycache__"))
    with daemon(place, "") as process:
        running = kind(process, folder)
        yield running
        running.check_log()
