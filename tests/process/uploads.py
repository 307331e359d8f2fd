"""A bucket of real files with a trigger on it, and the programs that write them."""

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote_plus

from eventflow.clock import SystemClock
from eventflow.database import Database
from eventflow.services.objects import Objects
from eventflow.testing.recording_target import RecordingTarget
from eventflow.trigger import BucketSource
from tests.patience import PATIENCE
from triggers.bucket import Bucket

BOTH = ("ObjectCreated:*", "ObjectRemoved:*")
CREATED, REMOVED = "Created", "Removed"


class Uploads:
    """A bucket, and a target whose memory outlives the runs of a trigger on it."""

    def __init__(self, path: Path, source: BucketSource) -> None:
        self.path = path
        self.target = RecordingTarget(SystemClock(), buckets={"uploads": source})

    @asynccontextmanager
    async def running(self, **options):
        self.target.is_ready = False
        run = asyncio.create_task(Bucket("uploads", **{"events": BOTH, **options}).run(self.target))
        try:
            await self.until(lambda: self.target.is_ready or run.done())
            if run.done():
                run.result()
            yield run
            if run.done():
                run.result()
        finally:
            run.cancel()
            await asyncio.wait({run})

    @property
    def told(self):
        return [short(payload) for payload in self.target.payloads]

    async def until(self, condition):
        end = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            assert asyncio.get_running_loop().time() < end, f"it never came; there were {self.told[-10:]}, {self.target.reports}"
            await asyncio.sleep(0.002)

    async def expect(self, *news):
        """Exactly these events, in any order, since the last call. A marker that is put afterwards shows that no more come."""
        marker = f"marker{len(self.target.payloads)}"
        await self.until(lambda: len(self.target.deliveries) >= len(news))
        (self.path / marker).write_text("")
        await self.until(lambda: (CREATED, marker) in self.told)
        told = Counter(self.told) - Counter([(CREATED, marker)])
        assert told == Counter(news), f"{told - Counter(news)} too many, {Counter(news) - told} missing"
        self.target.deliveries.clear()
        (self.path / marker).unlink()
        await self.until(lambda: (REMOVED, marker) in self.told)
        assert self.told == [(REMOVED, marker)]
        self.target.deliveries.clear()


def short(payload):
    [record] = payload["Records"]
    return record["eventName"].partition(":")[0].removeprefix("Object"), unquote_plus(record["s3"]["object"]["key"])


def drive(folder, scenario):
    async def whole():
        database = Database(":memory:")
        objects = Objects(database, SystemClock(), folder)
        try:
            await objects.open()
            bucket = await objects.ensure_bucket("uploads")
            uploads = Uploads(bucket.path, await objects.source("uploads"))
            uploads.objects = objects
            await scenario(uploads)
        finally:
            objects.close()
            database.close()

    asyncio.run(whole())


def write(path, text="content"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Writer:
    """Another process that runs Python statements one by one; ``do`` returns when the statement was executed."""

    LOOP = "import os, sys\nfor line in sys.stdin:\n    exec(line)\n    print(flush=True)\n"

    def __init__(self, folder):
        self.process = subprocess.Popen([sys.executable, "-c", self.LOOP], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, statement):
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "\n"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.communicate()
