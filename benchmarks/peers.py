"""The peers: task queues of the same shape, each at its best reasonable settings, with two worker processes and the same no-op task of 300 bytes."""

import importlib.util
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import RUNS, Value

EVENTS = 3_000
IDLE_EVENTS = 300
PAUSE = 0.01
PATIENCE = 120.0


@dataclass(frozen=True)
class Peer:
    """``tasks`` is the module ``tasks``; a task writes a line ``<sent> <handled>``, in nanoseconds of the monotonic clock, to ``PEER_LOG``.

    ``worker`` is the command of its two worker processes, after the Python interpreter; ``producer`` sends as many events as its first argument says,
    with as many seconds between them as its second: 0 is as fast as it can. ``fsync`` is Redis's ``appendfsync``, or None for a peer without Redis.
    """

    name: str
    package: str
    tasks: str
    worker: tuple[str, ...]
    producer: str
    fsync: str | None = None

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here, if so."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed (pip install 'eventflow[bench]')"
        if self.fsync is not None and shutil.which("redis-server") is None:
            return "redis-server is not installed (Debian: apt-get install redis-server)"
        return None


@contextmanager
def redis(folder: Path, fsync: str) -> Iterator[str]:
    """The address of a Redis of our own, whose append-only file is synced as ``fsync`` says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", fsync)
    server = subprocess.Popen(["redis-server", "--port", str(port), *options], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), "Redis answers")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as connection:
        if connection.connect_ex(("127.0.0.1", port)):
            return False
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in {PATIENCE:.0f} s it did not come to this: {what}")
        time.sleep(0.01)


def rows(log: Path) -> list[tuple[int, int]]:
    text = log.read_text() if log.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [(int(sent), int(handled)) for sent, handled in map(str.split, lines)]


class Running:
    """A peer's workers."""

    def __init__(self, peer: Peer, folder: Path, address: str) -> None:
        self._peer = peer
        self._log = folder / "log"
        (folder / "tasks.py").write_text(peer.tasks)
        self._variables = {"PEER_LOG": str(self._log), "PEER_URL": address, "PYTHONPATH": str(folder), "PATH": os.environ["PATH"]}
        self._workers = subprocess.Popen(
            [sys.executable, *peer.worker],
            cwd=folder,
            env=self._variables,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "workers.log").open("ab"),
            start_new_session=True,
        )

    def run(self, events: int, pause: float) -> list[tuple[int, int]]:
        """When each event was sent, and when its task's first line ran."""
        before = len(rows(self._log))
        command = [sys.executable, "-c", self._peer.producer, str(events), str(pause)]
        subprocess.run(command, env=self._variables, check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE)
        wait_until(lambda: len(rows(self._log)) >= before + events, f"{self._peer.name} has run its tasks")
        return rows(self._log)[before:]

    def stop(self) -> None:
        self._workers.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._workers.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self._workers.pid, signal.SIGKILL)  # whichever of them its master left behind
        self._workers.wait(10)


@contextmanager
def running(peer: Peer) -> Iterator[Running]:
    """The peer's workers, which have run their first tasks already."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with redis(folder, peer.fsync) if peer.fsync is not None else files(folder) as address:
            workers = Running(peer, folder, address)
            try:
                workers.run(100, PAUSE)
                yield workers
            finally:
                workers.stop()


@contextmanager
def files(folder: Path) -> Iterator[str]:
    yield str(folder / "peer.db")


def known() -> list[Peer]:
    from benchmarks import celery_peer, dramatiq_peer, huey_peer, taskiq_peer

    return [*taskiq_peer.PEERS, *dramatiq_peer.PEERS, *huey_peer.PEERS, *celery_peer.PEERS]


def installed() -> list[Peer]:
    found = []
    for peer in known():
        if peer.missing is None:
            found.append(peer)
        else:
            print(f"skipped: {peer.name}: {peer.missing}", flush=True)
    return found


def throughputs() -> tuple[Value, ...]:
    """Events a second of each peer, from the first one sent to the last one handled: the median of several runs."""
    return tuple(Value(name, statistics.median(rates)) for name, rates in measured(rates_of))


def latencies() -> list[tuple[str, list[float]]]:
    """Of each peer the milliseconds from the call to the task's first line, one event at a time."""
    return list(measured(lambda workers: [(handled - sent) / 1e6 for sent, handled in workers.run(IDLE_EVENTS, PAUSE)]))


def measured(measure: Callable[[Running], list[float]]) -> Iterator[tuple[str, list[float]]]:
    """What is measured of each peer; one that does not run here is skipped with its reason."""
    for peer in installed():
        try:
            with running(peer) as workers:
                yield peer.name, measure(workers)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            print(f"skipped: {peer.name}: {error}", flush=True)


def rates_of(workers: Running) -> list[float]:
    runs = [workers.run(EVENTS, 0) for _ in range(RUNS)]
    return [len(run) / ((max(handled for _, handled in run) - min(sent for sent, _ in run)) / 1e9) for run in runs]
