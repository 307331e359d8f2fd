"""The services under kills: writers at work, a daemon that is killed again and again, at chosen steps and at random moments, and the verdict."""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from eventflow.faultpoint import POINTS
from tests.chaos.harness import free_port
from tests.chaos.services import changes, notices
from tests.chaos.services.changes import ChangeWriter
from tests.chaos.services.events import EventWriter
from tests.chaos.services.items import ItemWriter, count_of, create_table, has_transactions
from tests.chaos.services.messages import HIDDEN, MessageWriter
from tests.chaos.services.notices import NoticeWriter
from tests.chaos.services.objects import ObjectWriter, stray_files
from tests.chaos.services.register import Unanswered
from tests.chaos.services.schedules import ScheduleWriter
from tests.chaos.steps import TRIES, Strikes
from tests.patience import DAEMON
from tests.process.daemon_process import DaemonProcess

#: The points that these writers pass.
OF_WRITES = tuple(
    point
    for point in POINTS
    if point.startswith(
        ("transaction.", "object.", "version.", "part.", "upload.", "item.", "message.", "event.", "fire.", "notification.", "stream.")
    )
)
RANDOM = {"random moment": 3, "start-up": 1}
#: How long the writers are given to bring the daemon to a fault point.
REACHING = 90.0
PAUSE = 0.02
TABLE, BUCKET, VERSIONED, TELLING = "things", "things", "versioned", "telling"
APPLICATION = """
@app.function(timeout=30)
def note(event, context):
    with open({noted!r}, "a") as file:
        file.write(event["name"] + " " + context.aws_request_id + "\\n")
"""


class Writer(Protocol):
    """One client's writes of one kind: ``step`` does one, ``settle`` finds out about one that was not answered, ``finish`` checks everything."""

    kind: str

    def step(self) -> None: ...
    def settle(self) -> None: ...
    def finish(self) -> None: ...
    @property
    def counts(self) -> Counter[str]: ...
    @property
    def wrongs(self) -> list[str]: ...


class OfRegisters:
    """An object or item writer as a Writer: what it must hold is in its registers."""

    def __init__(self, writer: ObjectWriter | ItemWriter) -> None:
        self.kind = writer.kind
        self.step, self.settle, self.finish = writer.step, writer.registers.settle, writer.finish
        self.counts, self.wrongs = writer.registers.counts, writer.registers.wrongs


class ServicesChaos(Strikes):
    """``run`` kills ``kills`` times and fills ``wrongs``."""

    def __init__(self, folder: Path, kills: int, seed: int, points: tuple[str, ...] = OF_WRITES) -> None:
        super().__init__(kills, seed, points, RANDOM)
        self.writers: list[Writer] = []
        self.wrongs: list[str] = []
        self.seconds = 0.0
        self._folder = folder
        self._port = str(free_port())
        self._noted = {name: folder / name for name in ("noted", "noticed", "followed")}
        application = "".join((APPLICATION, notices.APPLICATION, changes.APPLICATION))
        self._daemon = DaemonProcess(folder, application.format(**{name: str(path) for name, path in self._noted.items()}))
        self._stopping = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self._start()
            self._make_writers()
            threads = [threading.Thread(target=self._work, args=(writer,)) for writer in self.writers]
            for thread in threads:
                thread.start()
            try:
                for step in self.steps():
                    self._strike(step)
            finally:
                self._stopping.set()
                for thread in threads:
                    thread.join(DAEMON)
            self.seconds = time.monotonic() - began
            self._judge()
        finally:
            self._daemon.end()

    def missed(self) -> list[str]:
        return [point for point in self.points if not self.killed[point] and (self.not_reached[point] >= TRIES or self.is_complete)]

    def _make_writers(self) -> None:
        s3, dynamodb, sqs = (self._client(service) for service in ("s3", "dynamodb", "sqs"))
        for bucket in (BUCKET, VERSIONED, TELLING):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
        create_table(dynamodb, TABLE)
        transactions = has_transactions(dynamodb, TABLE)
        self._items = [ItemWriter(dynamodb, TABLE, f"items-{n}", f"{self.seed} items {n}", transactions=transactions) for n in range(2)]
        self.writers += map(OfRegisters, self._items)
        buckets = (BUCKET, BUCKET, VERSIONED, VERSIONED)
        self.writers += [OfRegisters(ObjectWriter(s3, bucket, f"objects-{n}", f"{self.seed} objects {n}")) for n, bucket in enumerate(buckets)]
        for name, attributes in (("standard", {}), ("ordered.fifo", {"FifoQueue": "true"})):
            url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
            self.writers.append(MessageWriter(sqs, url, name.partition(".")[0], f"{self.seed} {name}"))
        self.writers.append(EventWriter(self._client("events"), sqs, f"{self.seed} events"))
        self.writers.append(ScheduleWriter(self._client("scheduler"), sqs, self._noted["noted"], f"{self.seed} schedules"))
        streams = self._client("dynamodbstreams")
        self.writers.append(OfRegisters(ChangeWriter(dynamodb, streams, self._noted["followed"], f"{self.seed} changes")))
        self.writers.append(NoticeWriter(s3, sqs, TELLING, self._noted["noticed"], f"{self.seed} notices"))

    def _client(self, service: str) -> Any:
        return self._daemon.client(service)

    def _work(self, writer: Writer) -> None:
        chance = random.Random(f"{self.seed} pauses")
        unsettled = False
        while not self._stopping.is_set() or unsettled:
            try:
                if unsettled:
                    writer.settle()
                    unsettled = False
                writer.step()
                self._stopping.wait(chance.uniform(0, PAUSE))
            except Unanswered:
                unsettled = True
                if self._stopping.wait(0.05) and not self._is_up():
                    return  # what is unsettled is settled before the verdict
            except Exception as surprise:
                writer.wrongs.append(f"a writer was told what no kill explains: {surprise!r}")
                return

    # Kills.

    def _strike(self, step: str) -> None:
        if step in POINTS:
            self._kill()
            self._strike_at(step)
        elif step == "start-up":
            self._kill()
            self._start(ready=False)
            time.sleep(self._chance.uniform(0, 1.0))
            self._kill()
            self.killed[step] += 1
        else:
            if not self._is_up():
                self._start()
            time.sleep(self._chance.uniform(0.05, 1.0))
            self._kill()
            self.killed[step] += 1

    def _strike_at(self, point: str) -> None:
        mark = self._folder / f"{sum(self.killed.values())}-{sum(self.not_reached.values())}-{point}"
        self._start(f"{point} {self._chance.randint(1, 4)} {mark}", ready=False)
        process = self._daemon.process
        assert process is not None
        end = time.monotonic() + REACHING
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        if mark.exists():
            process.wait(DAEMON)
            self.killed[point] += 1
        elif process.poll() is not None:
            self.wrongs.append(f"the daemon ended by itself: {self._daemon.log.read_text(errors='replace')[-2000:]}")
        else:
            self.not_reached[point] += 1

    def _is_up(self) -> bool:
        return self._daemon.process is not None and self._daemon.process.poll() is None

    def _kill(self) -> None:
        if self._is_up():
            self._daemon.kill()

    def _start(self, fault: str = "", *, ready: bool = True) -> None:
        self._daemon.variables = {"EVENTFLOW_TEST_KILL_AT": fault} if fault else {}
        self._daemon.start("--port", self._port, ready=ready)

    # The verdict.

    def _judge(self) -> None:
        """A last start: what it finds is what every start would have found."""
        self._kill()
        self._start()
        time.sleep(HIDDEN + 0.5)
        for writer in self.writers:
            writer.settle()
            writer.finish()
            self.wrongs += [f"{writer.kind}: {wrong}" for wrong in writer.wrongs]
        counted, perhaps = (sum(getattr(writer, name) for writer in self._items) for name in ("counted", "perhaps"))
        found = count_of(self._client("dynamodb"), TABLE)
        if not counted <= found <= counted + perhaps:
            self.wrongs.append(f"DynamoDB: the counter is {found}, counted up were {counted}, and perhaps {perhaps} more")
        strays = stray_files(self._client("s3"), BUCKET, self._daemon.bucket(BUCKET))
        self.wrongs += [f"S3: {file} lies in the bucket's directory and is no object" for file in strays]
        status = self._daemon.stop()
        if status:
            self.wrongs.append(f"the daemon ended with status {status} after a SIGTERM")

    def told(self) -> dict[str, Counter[str]]:
        """The counts by service."""
        counts: dict[str, Counter[str]] = {}
        for writer in self.writers:
            counts.setdefault(writer.kind, Counter()).update(writer.counts)
        return counts
