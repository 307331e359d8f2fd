"""A file renamed into a bucket, to the handler's first line, beside watchdog's own callback."""

import tempfile
import threading
import time
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from benchmarks.measure import Figure, percentile
from tests.process.daemon_process import daemon

FILES = 200
CODE = """
import os, time
log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.on(Bucket("inbox"))
def arrived(event, context):
    now = time.monotonic_ns()
    for record in event["Records"]:
        os.write(log, b"%d %d\\n" % (int(record["s3"]["object"]["key"]), now))
"""


def rename_in(folder: Path, bucket: Path, arrived: threading.Event | None = None) -> None:
    """One file at a time; its name is the instant of its renaming."""
    source = folder / "outside"
    for _ in range(FILES):
        source.write_bytes(b"x" * 1000)
        if arrived is not None:
            arrived.clear()
        source.rename(bucket / str(time.monotonic_ns()))
        if arrived is not None:
            arrived.wait(5)
        time.sleep(0.01)


def ours() -> list[float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with daemon(folder, f"HERE = {name!r}\n" + CODE) as process:
            process.start()
            bucket = process.bucket("inbox")
            (bucket / "0").write_bytes(b"")
            process.until(lambda: len(process.rows("log")) == 1, "there is an environment")  # what that costs is cold_start's to say
            rename_in(folder, bucket)
            process.until(lambda: len(process.rows("log")) == 1 + FILES, "all files were handled")
            lines = [line.split() for line in process.rows("log")[1:]]
    return [(int(handled) - int(renamed)) / 1e6 for renamed, handled in lines]


def bare_watchdog() -> list[float]:
    times: list[float] = []
    arrived = threading.Event()

    class Handler(FileSystemEventHandler):
        def on_moved(self, event: FileSystemEvent) -> None:
            self.on_created(event)

        def on_created(self, event: FileSystemEvent) -> None:
            now = time.monotonic_ns()
            times.append((now - int(Path(str(event.dest_path or event.src_path)).name)) / 1e6)
            arrived.set()

    with tempfile.TemporaryDirectory() as name:
        bucket = Path(name) / "bucket"
        bucket.mkdir()
        observer = Observer()
        observer.schedule(Handler(), str(bucket), recursive=True)
        observer.start()
        rename_in(Path(name), bucket, arrived)
        observer.stop()
        observer.join()
    return times


def figures() -> list[Figure]:
    mine, bare = ours(), bare_watchdog()
    return [
        Figure("file renamed in to first line, p50", "ms", percentile(mine, 50), percentile(bare, 50), "bare watchdog callback"),
        Figure("file renamed in to first line, p99", "ms", percentile(mine, 99), percentile(bare, 99), "bare watchdog callback"),
    ]
