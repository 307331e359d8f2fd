"""Record a daemon at work: every system call by which it changes files, and every answer that it gives."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.chaos.power import trace
from tests.process.daemon_process import alive, children_of

ROOT = Path(__file__).parents[3]
#: Messages that nobody takes, together more than SQLite's log holds before it is written back while others go on writing: 4,000 pages of 4 KiB.
LARGE, LARGE_MESSAGES = 250_000, 80
#: How long to wait for what happens under strace, where everything takes several times as long.
SLOWLY = 300.0


def missing() -> str:
    """Why nothing can be recorded here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", *trace.OPTIONS, "-o", os.devnull, "true"], capture_output=True, text=True, timeout=SLOWLY, check=False)
    return f"strace cannot trace here: {probe.stderr.strip()}" if probe.returncode else ""


@dataclass(frozen=True)
class Answer:
    """What a client was told: ``kind`` and ``name`` of what it asked for, and the content of an object."""

    kind: str
    name: str
    digest: str = ""


class Recording:
    """A daemon in ``folder`` under strace. ``answers`` are by the request id that is in the answer's header."""

    def __init__(self, folder: Path, application: Path) -> None:
        self.folder = folder.resolve()
        self.answers: dict[str, Answer] = {}
        #: What was put under keys that are put again and again, in order, answered or not.
        self.replacements: dict[str, list[str]] = {}
        self._state = self.folder / "state"
        self._clients: dict[str, Any] = {}
        self._processes: list[Path] = []
        shutil.copy(application, self.folder / "app.py")
        (self.folder / "failed").mkdir()
        (self.folder / "instants").touch()

    def run(self, seed: int, operations: int, *, gracefully: bool) -> None:
        """Start the daemon, have it do so many operations of each kind, and stop it, or send it what is large as well and kill it."""
        output = self.folder / f"trace-{len(self._processes)}"
        self._processes.append(output)
        command = [sys.executable, "-m", "tests.chaos.quick_retries", "run", str(self.folder / "app.py"), "--state", str(self._state), "--port", "0"]
        with (self.folder / "daemon.log").open("ab") as log:
            tracer = subprocess.Popen(
                ["strace", *trace.OPTIONS, "-o", str(output), *command],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        daemon = 0
        try:
            daemon = self._until_ready(tracer)
            self._work(seed, operations, large=not gracefully)
            time.sleep(0.5)  # what follows from the last answers is recorded too
        finally:
            os.kill(daemon or tracer.pid, signal.SIGTERM if gracefully and daemon else signal.SIGKILL)
            tracer.wait(SLOWLY)

    def _until_ready(self, tracer: subprocess.Popen[bytes]) -> int:
        end = time.monotonic() + SLOWLY
        while time.monotonic() < end:
            assert tracer.poll() is None, (self.folder / "daemon.log").read_text()[-4000:]
            try:
                facts = json.loads((self._state / "daemon.json").read_text())
            except FileNotFoundError:
                facts = {}
            if facts.get("pid") in children_of(tracer.pid) and alive(facts["pid"]):
                self._url = facts["url"]
                self._clients.clear()
                return int(facts["pid"])
            time.sleep(0.02)
        raise AssertionError(f"the daemon did not become ready:\n{(self.folder / 'daemon.log').read_text()[-4000:]}")

    def calls(self) -> Iterator[trace.Call]:
        for output in self._processes:
            with output.open(encoding="ascii", errors="replace") as lines:
                yield from trace.read(lines)

    # What the daemon is asked.

    def _work(self, seed: int, operations: int, *, large: bool) -> None:
        kinds = [self._events, self._objects, self._messages, self._endings, *([self._large_messages] if large else [])]
        senders = [threading.Thread(target=send, args=(seed, operations)) for send in kinds]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def _note(self, response: Any, kind: str, name: str, digest: str = "") -> None:
        self.answers[response["ResponseMetadata"]["RequestId"]] = Answer(kind, name, digest)

    def _emit(self, function: str, name: str, **more: Any) -> None:
        payload = json.dumps({"name": name, "seconds": 0, **more}).encode()
        self._note(self._client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload), "event", name)

    def _events(self, seed: int, operations: int) -> None:
        for number in range(operations):
            self._emit("work", f"work-{seed}-{number}")

    def _endings(self, seed: int, operations: int) -> None:
        for number in range(operations):
            function = ("doomed", "flaky", "relay")[number % 3]
            self._emit(function, f"{function}-{seed}-{number}")

    def _objects(self, seed: int, operations: int) -> None:
        s3, chance = self._client("s3"), random.Random(seed)
        for number in range(operations):
            name, body = f"deep/er-{number % 7}/object-{seed}-{number}", chance.randbytes(chance.choice((10, 5_000, 300_000)))
            self._note(s3.put_object(Bucket="inbox", Key=name, Body=body), "put", name, hashlib.md5(body).hexdigest())
            again, body = f"again-{number % 3}", chance.randbytes(chance.choice((10, 5_000, 5_000, 300_000)))
            digest = hashlib.md5(body).hexdigest()
            self.replacements.setdefault(again, []).append(digest)
            self._note(s3.put_object(Bucket="inbox", Key=again, Body=body), "replaced", again, digest)
            if number % 5 == 0:
                passing = f"passing-{seed}-{number}"
                s3.put_object(Bucket="inbox", Key=passing, Body=b"x")
                self._note(s3.delete_object(Bucket="inbox", Key=passing), "deleted", passing)

    def _messages(self, seed: int, operations: int) -> None:
        sqs = self._client("sqs")
        url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
        for number in range(operations):
            name = f"message-{seed}-{number}"
            self._note(sqs.send_message(QueueUrl=url, MessageBody=name), "message", name)

    def _large_messages(self, seed: int, operations: int) -> None:
        sqs = self._client("sqs")
        url = sqs.create_queue(QueueName="large")["QueueUrl"]
        for number in range(LARGE_MESSAGES):
            name = f"large-{seed}-{number} ".ljust(LARGE, "x")
            self._note(sqs.send_message(QueueUrl=url, MessageBody=name), "message", name)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            key = json.loads((self._state / "credentials.json").read_text())
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self._url,
                region_name="us-east-1",
                aws_access_key_id=key["access_key_id"],
                aws_secret_access_key=key["secret_access_key"],
                config=Config(retries={"max_attempts": 0}, read_timeout=SLOWLY),
            )
        return self._clients[service]
