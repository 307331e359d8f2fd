"""What the daemon tells systemd: a fake service manager listens on NOTIFY_SOCKET while a real daemon starts, hangs and stops."""

import os
import queue
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import alive, children_of, daemon

CODE = """
import os
@app.function()
def variables(event, context):
    return sorted(os.environ)
"""
BEAT = 0.1


class Manager:
    """Keeps what the daemon says, as (monotonic seconds, lines). It listens all the time, as a real one does: the kernel keeps eleven messages, and
    those beyond are lost."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.heard: list[tuple[float, list[str]]] = []
        self._unread: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._hear, daemon=True)
        self._listener.start()

    def _hear(self) -> None:
        while lines := self.socket.recv(4096).decode():
            self.heard.append((time.monotonic(), lines.split("\n")))
            self._unread.put(lines.split("\n"))

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RD)
        self._listener.join()
        self.socket.close()

    def say(self, text: str) -> None:
        """Be heard after all that was said before."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(text.encode(), self.socket.getsockname())

    def listen(self, seconds: float) -> list[str]:
        """All lines of so many seconds, and those since it was asked last."""
        end, found = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            try:
                found += self._unread.get(timeout=left)
            except queue.Empty:
                break
        return found

    def until(self, condition: Callable[[list[str]], bool], seconds: float = DAEMON) -> list[str]:
        end, found = time.monotonic() + seconds, []
        while not condition(found):
            assert time.monotonic() < end, f"it said only {found}"
            found += self.listen(0.05)
        return found


def state_of(pid: int) -> str:
    """A process's state as /proc has it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(params=["path", pytest.param("abstract", marks=pytest.mark.slow)])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    address = f"@eventflow-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(2 * BEAT * 1e6)))
    listening = Manager(address)
    yield listening
    listening.close()


def test_the_service_manager_hears_how_the_daemon_is(manager: Manager, tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start(ready=False)
        said = manager.until(lambda lines: "READY=1" in lines)
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in said), "a slow start asks for patience"
        assert any(line.startswith("STATUS=1 functions") for line in said)
        with urllib.request.urlopen(f"{process.facts['url']}/_eventflow/health", timeout=PATIENCE) as response:
            assert response.status == 200, "ready means that it answers"

        manager.until(lambda lines: lines.count("WATCHDOG=1") >= 5)
        assert process.process is not None
        process.process.send_signal(signal.SIGSTOP)
        process.until(lambda: state_of(process.process.pid) == "T", "it is stopped")
        manager.say("stopped")
        manager.until(lambda lines: lines[-1:] == ["stopped"])  # and before it what was under way
        assert manager.listen(5 * BEAT) == [], "a daemon that hangs gives no sign of life"
        process.process.send_signal(signal.SIGCONT)
        manager.until(lambda lines: "WATCHDOG=1" in lines)

        seen = process.client("lambda").invoke(FunctionName="variables")["Payload"].read().decode()
        assert "PATH" in seen
        assert "NOTIFY_SOCKET" not in seen
        assert "WATCHDOG" not in seen

        process.process.send_signal(signal.SIGTERM)
        said = manager.until(lambda lines: "STOPPING=1" in lines)
        assert "EXTEND_TIMEOUT_USEC=45000000" in said, "the grace time and what ending takes"
        assert process.process.wait(DAEMON) == 0


def test_a_daemon_that_is_stopped_while_it_imports_the_application_stops_at_once(manager: Manager, tmp_path: Path) -> None:
    with daemon(tmp_path, "import time\nopen('importing', 'w').close()\ntime.sleep(600)\n") as process:
        process.start(ready=False)
        process.until(lambda: (tmp_path / "importing").exists(), "it imports")
        assert process.process is not None
        children = children_of(process.process.pid)
        begin = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begin < 50, "the grace time and what ending takes are 45 s; the import takes 600 s"
        assert children
        end = time.monotonic() + PATIENCE
        while any(alive(pid) for pid in children):
            assert time.monotonic() < end, "the import went on without its daemon"
            time.sleep(0.02)
        said = manager.until(lambda lines: "STOPPING=1" in lines)
        assert "READY=1" not in said


def test_a_service_manager_that_does_not_listen_does_not_stop_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with daemon(tmp_path, CODE) as process:
        process.start()
        assert process.log.read_text().count("the service manager cannot be told") == 1
        assert process.stop() == 0


def test_a_watchdog_of_another_process_is_not_meant(tmp_path: Path) -> None:
    from eventflow.settings import service_manager

    mine = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}
    assert service_manager(mine).watchdog_seconds == 3.0
    assert service_manager({**mine, "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 3.0
    assert service_manager({**mine, "WATCHDOG_PID": "1"}).watchdog_seconds == 0.0
    assert service_manager({"WATCHDOG_USEC": "soon"}).watchdog_seconds == 0.0


def test_a_daemon_that_the_watchdog_ends_says_where_it_hung(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start()
        assert process.process is not None
        process.process.send_signal(signal.SIGABRT)
        process.process.wait(DAEMON)
        assert "Fatal Python error: Aborted" in process.log.read_text()
