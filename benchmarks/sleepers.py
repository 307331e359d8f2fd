"""200 callers of a function that sleeps for 100 ms: whether any waits for more than the function, and what the daemon computes meanwhile."""

import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.idle import cpu_seconds
from benchmarks.languages import PYTHON, ROLE, archive, warm_target
from benchmarks.measure import RUNS, Figure
from benchmarks.wrk import Load, load, warm_up
from tests.process.daemon_process import daemon

CALLERS = 200
SECONDS = 5
SLEEP_MS = 100.0
CODE = f"import time\ndef handler(event, context):\n    time.sleep({SLEEP_MS / 1000})\n"


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    runs: list[tuple[Load, float]] = []
    with tempfile.TemporaryDirectory() as text, daemon(Path(text), "") as process:
        process.start()
        client = process.client("lambda")
        client.create_function(FunctionName="sleeper", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": archive({"app.py": CODE})})
        target = warm_target(process, "sleeper", Path(text))
        warm_up(target, CALLERS)
        for _ in range(RUNS):
            before = cpu_seconds([process.facts["pid"]])
            one = load(target, CALLERS, SECONDS)
            runs.append((one, (cpu_seconds([process.facts["pid"]]) - before) / SECONDS * 100))
        process.stop()
    p50, p99, share = (statistics.median(values) for values in ([one.p50 for one, _ in runs], [one.p99 for one, _ in runs], [cpu for _, cpu in runs]))
    rate = statistics.median(one.rate for one, _ in runs)
    return [
        Figure(f"{CALLERS} callers of a function that sleeps 100 ms, p50", "ms", p50, limit=SLEEP_MS, limit_name="the sleep"),
        Figure("the same, p99", "ms", p99, limit=SLEEP_MS, limit_name="the sleep"),
        Figure("the same, answers", "1/s", rate, limit=CALLERS * 1000 / SLEEP_MS, limit_name="callers by the sleep"),
        Figure("the same, what the daemon computes", "% of one processor", share),
    ]
