"""Many functions and many schedules: what 10,000 of each cost at the start, in memory, idle and at a tick. Runs only when it is named."""

import tempfile
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.idle import cpu_seconds, daemon_command, pss_mb, running
from benchmarks.measure import Figure
from tests.process.daemon_process import children_of

MANY, FEW = 10_000, 10
WATCH_SECONDS = 20.0
#: Far enough ahead that a loaded machine has started by then.
TICK_SECONDS = 60
INSTANT = "%Y-%m-%dT%H:%M:%S"
FUNCTIONS = """
from eventflow import App
app = App("many")
def make(number):
    def handler(event, context):
        return number
    handler.__name__ = handler.__qualname__ = f"function_{number}"
    globals()[handler.__name__] = app.function()(handler)
for number in range(COUNT):
    make(number)
"""
SCHEDULES = """
import time
from eventflow import App
from triggers import Schedule
app = App("many")
def make(number):
    def handler(event, context): ...
    handler.__name__ = handler.__qualname__ = f"function_{number}"
    minute, hour = number % 60, number // 60 % 24
    globals()[handler.__name__] = app.on(Schedule(f"cron({minute} {hour} 1 1 ? *)"))(handler)
for number in range(COUNT):
    make(number)
@app.on(Schedule("at(INSTANT)"))
@app.on(Schedule("at(LATER)"))
def tick(event, context):
    with open(LOG, "a") as log:
        log.write(f"{time.time()}\\n")
"""


def measured(source: str) -> tuple[float, float, float]:
    """Seconds from the start to ready, megabytes of PSS, and percent of a processor while idle."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.py"
        app.write_text(source)
        with running(daemon_command(folder, app), folder, (Path(folder) / "state" / "daemon.json").exists) as (pid, seconds):
            time.sleep(5)
            pids = [pid, *children_of(pid)]
            memory, before = pss_mb(pids), cpu_seconds(pids)
            time.sleep(WATCH_SECONDS)
            return seconds, memory, (cpu_seconds(pids) - before) / WATCH_SECONDS * 100


def lateness() -> tuple[float, float]:
    """Milliseconds from a schedule's instant, among 10,000 others, to the first line of its function: in a new environment, which imports the
    module of all of them, and in the same one five seconds later."""
    with tempfile.TemporaryDirectory() as folder:
        app, log = Path(folder) / "app.py", Path(folder) / "log"
        instant = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=TICK_SECONDS)
        instants = [instant, instant + timedelta(seconds=5)]
        app.write_text(textwrap.dedent(schedules(MANY, *instants, log)))
        with running(daemon_command(folder, app), folder, (Path(folder) / "state" / "daemon.json").exists):
            end = time.monotonic() + TICK_SECONDS + 60
            while not (log.exists() and len(log.read_text().splitlines()) == len(instants)) and time.monotonic() < end:
                time.sleep(0.05)
        new, warm = [(float(line) - due.timestamp()) * 1000 for line, due in zip(log.read_text().splitlines(), instants, strict=True)]
        return new, warm


def schedules(many: int, first: datetime, second: datetime, log: Path) -> str:
    source = SCHEDULES.replace("COUNT", str(many)).replace("LOG", repr(str(log)))
    return source.replace("INSTANT", first.strftime(INSTANT)).replace("LATER", second.strftime(INSTANT))


def figures() -> list[Figure]:
    found = []
    never = (datetime(2099, 1, 1), datetime(2099, 1, 2), Path("/dev/null"))
    sources = {
        "functions": (FUNCTIONS.replace("COUNT", str(MANY)), FUNCTIONS.replace("COUNT", str(FEW))),
        "schedules": (schedules(MANY, *never), schedules(FEW, *never)),
    }
    for what, (many, few) in sources.items():
        seconds, memory, cpu = measured(many)
        few_seconds, few_memory, few_cpu = measured(few)
        found += [
            Figure(f"{MANY:,} {what}, start to ready", "s", seconds, None, "", few_seconds, f"{FEW} {what}"),
            Figure(f"{MANY:,} {what}, PSS of all processes", "MB", memory, None, "", few_memory, f"{FEW} {what}"),
            Figure(f"{MANY:,} {what}, idle processor", "%", cpu, None, "", few_cpu, f"{FEW} {what}"),
        ]
    new, warm = lateness()
    found += [
        Figure(f"a tick among {MANY:,} schedules, new environment", "ms", new),
        Figure(f"a tick among {MANY:,} schedules, warm environment", "ms", warm),
    ]
    return found
