"""``eventflow dev``: from the last byte of an edit until a caller is answered by the new code, while events come in all the time."""

import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, process_ms
from tests.process.daemon_process import DaemonProcess, daemon

EDITS = 7
#: So long after an edit the zygote for the next one is ready on a machine that is not ten times slower than usual; a person is not quicker.
PAUSE_SECONDS = 3.0
LIBRARIES = "import boto3\nfrom PIL import Image\nclient = boto3.client('s3')\n"
CODE = """
EDITION = {edition}
@app.function()
def f(event, context):
    return EDITION
@app.function()
def count(event, context): ...
"""
#: What Python does without eventflow: a new interpreter that imports the same.
FRESH = "import boto3\nfrom PIL import Image\nboto3.client('s3', region_name='us-east-1')\n"


def answer(client: Any) -> int:
    return int(json.loads(client.invoke(FunctionName="f")["Payload"].read()))


def swapped(process: DaemonProcess, client: Any, before: str, edition: int) -> float:
    """Milliseconds from the edit to the first answer of the new code."""
    text = before.replace("EDITION = 0", f"EDITION = {edition}")
    begin = time.perf_counter()
    process.app.write_text(text)
    while answer(client) != edition:
        time.sleep(0.002)
    return (time.perf_counter() - begin) * 1000


def measured(libraries: str) -> tuple[float, int, int]:
    """The median of several edits, and how many events were emitted meanwhile and handled."""
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), libraries + CODE.format(edition=0)) as process:
        process.start(verb="dev")
        client, emitter = process.client("lambda"), process.client("lambda")
        text, over, emitted = process.app.read_text(), threading.Event(), [0]
        answer(client)

        def emit() -> None:
            while not over.is_set():
                emitter.invoke(FunctionName="count", InvocationType="Event")
                emitted[0] += 1
                over.wait(0.02)

        thread = threading.Thread(target=emit)
        thread.start()
        took = []
        for edition in range(1, EDITS + 1):
            time.sleep(PAUSE_SECONDS)
            took.append(swapped(process, client, text, edition))
        over.set()
        thread.join()
        done = process.until(lambda: handled(process, emitted[0]), "all events are handled")
        process.stop()
    return statistics.median(took), emitted[0], done


def handled(process: DaemonProcess, expected: int) -> int:
    done = int(process.control("status")["events"].get("count", {}).get("done", 0))
    return done if done >= expected else 0


def figures() -> list[Figure]:
    found = []
    for what, libraries, again in (("an application without libraries", "", "pass"), ("one with boto3 and Pillow", LIBRARIES, FRESH)):
        took, emitted, done = measured(libraries)
        print(f"  {what}: {emitted} events came during {EDITS} edits, {done} were handled", flush=True)
        found.append(
            Figure(
                f"dev: an edit of {what} answers",
                "ms",
                took,
                limit=process_ms([sys.executable, "-c", again]),
                limit_name="a new interpreter with its imports",
            )
        )
    return found
