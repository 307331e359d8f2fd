"""A real daemon in a process of its own, started and killed by tests."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.patience import DAEMON, PATIENCE

HEADER = "from eventflow import App\nfrom triggers import Bucket, Queue, Schedule\napp = App('t')\n"


class DaemonProcess:
    """``start`` returns when the daemon is ready; ``kill`` is SIGKILL, ``stop`` SIGTERM and its exit status. ``module`` is what Python runs,
    ``variables`` what its environment has besides this process's own."""

    module = "eventflow"

    def __init__(self, folder: Path, code: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.app = folder / "app.py"
        self.app.write_text(HEADER + textwrap.dedent(code))
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "daemon.log"
        self.variables: dict[str, str] = {}
        self._clients: list[Any] = []

    def start(self, *flags: str, verb: str = "run", ready: bool = True) -> "DaemonProcess":
        ports = ["--port", "0", "--gateway-port", "0"]  # tests run side by side
        command = [sys.executable, "-X", "faulthandler", "-m", self.module, verb, str(self.app), "--state", str(self.state), *ports, *flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, env={**os.environ, **self.variables}
            )
        if ready:
            self.until(self._is_announced, "the daemon is ready")
        return self

    def _is_announced(self) -> bool:
        """Whether the announcement is this process's own: a killed daemon leaves its behind."""
        assert self.process is not None
        try:
            return bool(self.facts["pid"] == self.process.pid)
        except FileNotFoundError:
            return False

    @property
    def facts_path(self) -> Path:
        return self.state / "daemon.json"

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.facts_path.read_text()))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DAEMON)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DAEMON)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not stop:\n{self._last_words()[-8000:]}") from None

    def _last_words(self) -> str:
        """The log of a daemon that hangs, ended so that faulthandler tells where."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(DAEMON)
        return self.log.read_text()

    def end(self) -> None:
        for client in self._clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def until(self, condition: Callable[[], Any], what: str, seconds: float = DAEMON) -> Any:
        """Wait for something that another process does."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert self.process is None or self.process.poll() is None, f"the daemon ended while a test waited until {what}:\n{self.log.read_text()}"
            if time.monotonic() > end:
                raise AssertionError(f"in {seconds:.0f} s it did not come to this: {what}\n{self._last_words()[-8000:]}")
            time.sleep(0.01)
        return found

    def client(self, service: str, **options: Any) -> Any:
        """A client of boto3, closed when the daemon ends for good."""
        credentials = json.loads((self.state / "credentials.json").read_text())
        client = boto3.client(
            service,
            endpoint_url=self.facts["url"],
            region_name="us-east-1",
            aws_access_key_id=credentials["access_key_id"],
            aws_secret_access_key=credentials["secret_access_key"],
            config=Config(retries={"max_attempts": 0}, **options),
        )
        self._clients.append(client)
        return client

    def control(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(f"{self.facts['url']}/_eventflow/{path}", headers={"Authorization": f"Bearer {self.facts['token']}"})
        if body is not None:
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def events(self, **query: str) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={value}" for name, value in {"limit": "1000", **query}.items())
        return list(self.control(f"events?{text}")["events"])

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eventflow", *arguments, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DAEMON, cwd=self.folder, check=False)

    def bucket(self, name: str) -> Path:
        return self.state / "buckets" / name

    def rows(self, name: str) -> list[str]:
        """The lines that handlers appended to a file of this folder."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@contextmanager
def daemon(folder: Path, code: str) -> Iterator[DaemonProcess]:
    """A daemon that is not started yet, and is ended whatever happens."""
    process = DaemonProcess(folder, code)
    try:
        yield process
    finally:
        process.end()


def children_of(pid: int) -> list[int]:
    """The processes below a process, itself left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return not Path("/proc/self").exists()
