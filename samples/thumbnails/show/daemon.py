"""The daemon of the demo: started as a process of its own, asked over HTTP, stopped with a signal."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PORT = 4566
START_SECONDS = 120.0
STOP_SECONDS = 60.0
#: Between two looks at the daemon.
POLL_SECONDS = 0.1

#: Calls to this machine never go through a proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoError(Exception):
    """The demo cannot go on; the text says why, and where to look."""


def eventflow() -> str:
    """The command that was installed beside this interpreter."""
    return str(Path(sys.executable).with_name("eventflow"))


def port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Daemon:
    """``eventflow run APP --state STATE --port PORT`` and what it knows. ``start`` returns when it is ready."""

    def __init__(self, app: Path, state: Path) -> None:
        self.state = state
        self.log = state / "daemon.log"
        self._app = app
        self._process: subprocess.Popen[bytes] | None = None
        self._facts: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def url(self) -> str:
        return str(self._facts["url"])

    def start(self, port: int) -> None:
        """Start it in a session of its own: a Ctrl-C on the terminal reaches the demo alone, which then stops the daemon in order."""
        self.state.mkdir(parents=True, exist_ok=True)
        command = [eventflow(), "run", str(self._app), "--state", str(self.state), "--port", str(port)]
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            raise DemoError(f"{command[0]} cannot be started: {error}. Install the project into this Python first: make demo does.") from error
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            facts = self._announced()
            if facts is not None and self._is_healthy(facts["url"]):
                self._facts = facts
                return
            time.sleep(POLL_SECONDS)
        raise DemoError(f"The daemon was not ready after {START_SECONDS:.0f} s. {self.last_words()}")

    def _announced(self) -> dict[str, Any] | None:
        """What this daemon has written about itself; one that was killed earlier may have left its own."""
        try:
            facts: dict[str, Any] = json.loads((self.state / "daemon.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return facts if facts.get("pid") == self.pid else None

    def _is_healthy(self, url: str) -> bool:
        try:
            with opener.open(f"{url}/_eventflow/health", timeout=5) as answer:
                return bool(json.load(answer).get("status") == "ok")
        except (OSError, ValueError):
            return False

    def check(self) -> None:
        """Raise DemoError if the daemon has ended."""
        status = self._running().poll()
        if status is not None:
            raise DemoError(f"The daemon ended with status {status}. {self.last_words()}")

    def last_words(self, count: int = 15) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-count:] if self.log.exists() else []
        if not lines:
            return f"It wrote nothing into {self.log}."
        return f"The last lines of {self.log}:\n" + "\n".join(f"    {line}" for line in lines)

    def ask(self, path: str) -> Any:
        """GET something of the control API."""
        request = urllib.request.Request(f"{self.url}/_eventflow/{path}", headers={"Authorization": f"Bearer {self._facts['token']}"})
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise DemoError(f"The daemon answered {error.code} to {path}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            self.check()
            raise DemoError(f"The daemon did not answer to {path}: {error}. {self.last_words()}") from error

    def variables(self) -> dict[str, str]:
        """The variables that point boto3, the AWS command line and every SDK at this daemon, as ``eventflow env`` prints them."""
        shown = subprocess.run([eventflow(), "env", "--state", str(self.state)], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            raise DemoError(f"`eventflow env` ended with status {shown.returncode}: {shown.stderr.strip()}")
        return assignments(shown.stdout)

    def wait(self) -> int:
        """Block until it ends."""
        return self._running().wait()

    def stop(self) -> None:
        """Let running functions finish, then end. Interrupted once more it gives them no time, and after that it is killed."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        for _attempt in range(2):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
                return
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                continue
        process.kill()
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise DemoError("The daemon has not been started.")
        return self._process


def assignments(text: str) -> dict[str, str]:
    """The variables of lines like ``export NAME='value'``."""
    words = [word for line in text.splitlines() for word in shlex.split(line, comments=True) if word != "export"]
    return dict(word.split("=", 1) for word in words if "=" in word)


def use(variables: Mapping[str, str]) -> None:
    """Let this process talk to the daemon, whatever profile or proxy its user has for AWS."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost")))
    os.environ.update(variables)
