"""The harness: a daemon under load, killed again and again, at chosen steps and at random moments."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from eventflow.faultpoint import POINTS
from tests.chaos.checker import Evidence, Verdict, judge, read_acknowledged, read_attempts, read_kills, read_state
from tests.chaos.load import Load
from tests.chaos.steps import Strikes
from tests.patience import DAEMON
from tests.process.daemon_process import children_of

ROOT = Path(__file__).parents[2]
#: How long the load is given to bring a process to its fault point.
REACHING = 60.0
#: How long everything may take to come to rest after the last kill.
REST = 300.0
#: A kill takes at most about so many seconds, restart included, on a slow machine; instants of schedules are laid out over a whole run.
SECONDS_A_KILL = 8.0
MOST_INSTANTS = 400
#: What schedules start, among what handlers write down.
SCHEDULED = ("tick", "minute")
ATTEMPT_FIELDS = 6
#: Points that this load does not pass; tests/chaos/services and tests/process do.
OF_SERVICES = ("version.", "part.", "upload.", "item.", "event.", "fire.", "notification.", "stream.", "code.")
OF_EVENTS = tuple(point for point in POINTS if not point.startswith(OF_SERVICES))
#: The point that is passed only when an environment is lost.
LOSING = "run.lost"
STOPPING = ("daemon.stopping", "daemon.drained", "daemon.ended")
#: What is passed once in a process's life, or hardly more often; everything else is passed again and again.
ONCE = (*STOPPING, "claim.asked", "claim.answered", "daemon.opened", "daemon.loaded", "daemon.announced", "zygote.loaded", "environment.begun")
#: Random victims, and how often each is chosen among them.
VICTIMS = {"daemon": 6, "zygote": 4, "environment": 6, "writer": 2, "start-up": 2, "everything": 1, "SIGTERM": 1}


class Failure(AssertionError):
    """The daemon did something that no kill explains."""


class Chaos(Strikes):
    """``run`` kills ``kills`` times and gives the verdict."""

    def __init__(self, folder: Path, kills: int, seed: int, points: tuple[str, ...] = OF_EVENTS) -> None:
        super().__init__(kills, seed, points, VICTIMS)
        self.folder = folder
        self._state = folder / "state"
        self._port = free_port()
        self._daemon: subprocess.Popen[bytes] | None = None
        self._writer: subprocess.Popen[bytes] | None = None
        self._writers = 0
        self._clients: dict[str, Any] = {}
        self._kill_log = folder / "kills"

    def run(self) -> Verdict:
        self._prepare()
        began = time.monotonic()
        try:
            self._start()
            self._ready_at = time.time()
            load = Load(self._client, self.folder / "acknowledged", self.seed)
            load.start()
            self._start_writer()
            try:
                for step in self.steps():
                    self._strike(step)
            finally:
                load.stop()
                self._end_writer()
            self.seconds = time.monotonic() - began
            return judge(self._evidence())
        finally:
            for process in (self._daemon, self._writer):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()

    # What is done.

    def _strike(self, step: str) -> None:
        if step in POINTS:
            self._strike_at(step)
        elif step == "start-up":
            self._down()
            self._start(ready=False)
            time.sleep(self._chance.uniform(0, 1.0))
            self._kill_daemon(step)
        else:
            self._up()
            time.sleep(self._chance.uniform(0.05, 0.6))
            self._strike_now(step)

    def _strike_now(self, victim: str) -> None:
        if victim == "SIGTERM":
            self._stop()
        elif victim == "writer":
            self._end_writer()
            self._note(victim, time.time())
            self._start_writer()
        elif victim == "daemon":
            self._kill_daemon(victim)
        else:
            start = time.time()
            for pid in self._pids(victim):
                end_process(pid)
            self._note(victim, start)
            if victim == "everything":
                self._kill_daemon("daemon")

    def _pids(self, victim: str) -> list[int]:
        assert self._daemon is not None
        below = children_of(self._daemon.pid)
        zygotes = [pid for pid in below if parent_of(pid) == self._daemon.pid]
        environments = sorted(set(below) - set(zygotes))
        if victim == "zygote":
            return zygotes
        if victim == "everything":
            return below
        return self._chance.sample(environments, 1) if environments else []

    def _strike_at(self, point: str) -> None:
        """Start a daemon that is killed when it (or a process of it) comes to this point under load."""
        if point.startswith("claim."):
            self._leave_a_backlog()
        self._down()
        mark = self.folder / "marks" / f"{sum(self.killed.values())}-{point}"
        nth = 1 if point in ONCE else self._chance.randint(1, 4)
        self._start(f"{point} {nth} {mark}", ready=False)
        if point in STOPPING or point == LOSING:
            self._until(self._is_announced, "the daemon is ready")
        if point in STOPPING:
            time.sleep(self._chance.uniform(0.05, 0.5))
            self._signal(signal.SIGTERM)
        end = time.monotonic() + REACHING
        while not mark.exists() and time.monotonic() < end:
            self._check_alive(mark)
            if point == LOSING:
                self._lose_an_environment()
            time.sleep(0.005)
        if not mark.exists():
            self.not_reached[point] += 1
            self._kill_daemon("daemon")
        elif point.startswith(("zygote.", "environment.")):
            time.sleep(self._chance.uniform(0.3, 1.0))
            self._note(point, mark.stat().st_mtime - 0.02)
        else:
            self._wait(-signal.SIGKILL)
            self._note(point, mark.stat().st_mtime - 0.02)

    def _leave_a_backlog(self) -> None:
        """Kill a daemon that has more events than it can have run: the next one claims them when it starts."""
        self._up()
        for number in range(20):
            payload = json.dumps({"name": f"slow-left-{sum(self.killed.values())}-{number}"}).encode()
            self._client("lambda").invoke(FunctionName="slow", InvocationType="Event", Payload=payload)
        self._kill_daemon("daemon")

    def _lose_an_environment(self) -> None:
        start = time.time()
        for pid in self._pids("environment"):
            end_process(pid)
            self._note("environment", start)
        time.sleep(0.2)

    # The daemon.

    def _up(self) -> None:
        if self._daemon is None:
            self._start()

    def _down(self) -> None:
        if self._daemon is None:
            return
        if self._chance.random() < 0.15:
            self._stop()
        else:
            self._kill_daemon("daemon")

    def _start(self, fault: str = "", *, ready: bool = True) -> None:
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.chaos.quick_retries", "run", str(self.folder / "app.py")]
        flags = ["--state", str(self._state), "--port", str(self._port), "--log-format", "text"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **({"EVENTFLOW_TEST_KILL_AT": fault} if fault else {})}
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen([*command, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, env=environment)
        if ready:
            self._until(self._is_announced, "the daemon is ready")

    def _is_announced(self) -> bool:
        assert self._daemon is not None
        try:
            return bool(json.loads((self._state / "daemon.json").read_text())["pid"] == self._daemon.pid)
        except FileNotFoundError:
            return False

    def _signal(self, number: int) -> None:
        assert self._daemon is not None
        self._check_alive()
        self._daemon.send_signal(number)

    def _kill_daemon(self, victim: str) -> None:
        start = time.time()
        self._signal(signal.SIGKILL)
        self._wait(-signal.SIGKILL)
        self._note(victim, start)

    def _stop(self) -> None:
        """A graceful stop is no kill: what it interrupts must be none of what is counted."""
        self._signal(signal.SIGTERM)
        self._wait(0)
        self.killed["SIGTERM"] += 1

    def _wait(self, status: int) -> None:
        assert self._daemon is not None
        try:
            found = self._daemon.wait(DAEMON)
        except subprocess.TimeoutExpired:
            self._daemon.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
            self._daemon.wait(DAEMON)
            raise Failure(f"the daemon did not end within {DAEMON:.0f} s:\n{self._last_words()}") from None
        self._daemon = None
        if found != status:
            raise Failure(f"the daemon ended with status {found} and not with {status}:\n{self._last_words()}")

    def _check_alive(self, mark: Path | None = None) -> None:
        assert self._daemon is not None
        status = self._daemon.poll()
        if status is not None and (mark is None or not mark.exists()):
            raise Failure(f"the daemon ended by itself with status {status}:\n{self._last_words()}")

    def _until(self, condition: Callable[[], object], what: str, seconds: float = DAEMON) -> None:
        end = time.monotonic() + seconds
        while not condition():
            self._check_alive()
            if time.monotonic() > end:
                raise Failure(f"in {seconds:.0f} s it did not come to this: {what}\n{self._last_words()}")
            time.sleep(0.01)

    def _last_words(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")[-4000:]

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            key = json.loads((self._state / "credentials.json").read_text())
            self._clients[service] = boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{self._port}",
                region_name="us-east-1",
                aws_access_key_id=key["access_key_id"],
                aws_secret_access_key=key["secret_access_key"],
                config=Config(retries={"max_attempts": 0}),
            )
        return self._clients[service]

    # The writer of plain files.

    def _start_writer(self) -> None:
        self._writers += 1
        arguments = [str(self._state / "buckets" / "inbox"), str(self.folder / "written"), f"file-{self._writers}", str(self.seed + self._writers)]
        self._writer = subprocess.Popen([sys.executable, "-m", "tests.chaos.writer", *arguments], cwd=ROOT)

    def _end_writer(self) -> None:
        assert self._writer is not None
        self._writer.kill()
        self._writer.wait()

    # What is written down.

    def _prepare(self) -> None:
        for name in ("marks", "failed"):
            (self.folder / name).mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("application.py"), self.folder / "app.py")
        seconds = max(20.0, self.kills * SECONDS_A_KILL)
        number = int(min(MOST_INSTANTS, seconds))
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=10)
        self._instants = [(begin + timedelta(seconds=int(step * seconds / number))).strftime("%Y-%m-%dT%H:%M:%S") for step in range(number)]
        (self.folder / "instants").write_text("\n".join(self._instants))
        self._kill_log.touch()
        (self.folder / "attempts").touch()

    def _note(self, victim: str, start: float) -> None:
        self.killed[victim] += 1
        with self._kill_log.open("a") as log:
            log.write(f"{victim} {start} {time.time()}\n")

    def _evidence(self) -> Evidence:
        """Let everything come to rest, take the dead letters out of their queues, stop the daemon, and read."""
        stopped_at = time.time()
        self._up()
        self._until(self._at_rest, "everything that was accepted has come to its end", REST)
        left = self._client("sqs").get_queue_attributes(QueueUrl=self._queue("jobs"), AttributeNames=["All"])["Attributes"]
        failures = Counter(json.loads(message["Body"])["requestContext"]["requestId"] for message in self._drain("failures"))
        letters = Counter(message["MessageAttributes"]["RequestID"]["StringValue"] for message in self._drain("letters"))
        self._stop()
        self.killed["SIGTERM"] -= 1
        events, ledger = read_state(self._state / "eventflow.db")
        return Evidence(
            acknowledged=read_acknowledged(self.folder / "acknowledged", self.folder / "written"),
            attempts=read_attempts(self.folder / "attempts"),
            kills=read_kills(self._kill_log),
            events=events,
            ledger=ledger,
            failures=failures,
            letters=letters,
            instants={"tick": self._past(self._instants, stopped_at), "minute": minutes(self._ready_at, stopped_at)},
            messages_left=sum(int(count) for name, count in left.items() if name.startswith("ApproximateNumberOfMessages")),
        )

    def _past(self, instants: list[str], until: float) -> list[str]:
        last = datetime.fromtimestamp(until - 1, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return [f"{instant}Z" for instant in instants if instant <= last]

    def _at_rest(self) -> bool:
        time.sleep(0.2)
        connection = sqlite3.connect(f"file:{self._state / 'eventflow.db'}?mode=ro", uri=True)
        try:
            (events,) = connection.execute("SELECT count(*) FROM events WHERE state < 2").fetchone()
        finally:
            connection.close()
        left = self._client("sqs").get_queue_attributes(QueueUrl=self._queue("jobs"), AttributeNames=["All"])["Attributes"]
        waiting = sum(int(count) for name, count in left.items() if name.startswith("ApproximateNumberOfMessages"))
        return events + waiting == 0 and time.time() - self._last_attempt() > 2.0

    def _last_attempt(self) -> float:
        """When a handler last wrote something down, but for those of schedules, which go on for longer than a quick machine's run."""
        lines = [line.split() for line in (self.folder / "attempts").read_text().splitlines()]
        return max((float(line[4]) for line in lines if len(line) == ATTEMPT_FIELDS and line[1] not in SCHEDULED), default=0.0)

    def _queue(self, name: str) -> str:
        return str(self._client("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def _drain(self, queue: str) -> Iterator[dict[str, Any]]:
        sqs, url = self._client("sqs"), self._queue(queue)
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages"):
            yield from messages


def minutes(start: float, end: float) -> list[str]:
    """The whole minutes that a schedule which began at ``start`` had to fire for by ``end``."""
    first = int(start // 60 + 1) * 60
    return [datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for instant in range(first, int(end), 60)]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def end_process(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
