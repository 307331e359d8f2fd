"""``make bench``: every figure beside its peer and its physical limit, measured in the same run. ``python -m benchmarks latency`` runs one.

What takes minutes runs only when it is named: ``services``, ``sizes``, ``backlog``, ``tree``, ``functions``, ``websockets`` and ``flood``.
"""

import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import show
from eventflow.daemon import tune_interpreter

NAMES = (
    "throughput",
    "client",
    "latency",
    "invoke",
    "gateway",
    "cold_start",
    "languages",
    "sleepers",
    "swap",
    "idle",
    "files",
    "thumbnails",
    "burst",
    "fairness",
)


def machine() -> str:
    """What the figures were measured on, and how busy it was before."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    return (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}\n"
        f"{os.cpu_count()} processors ({processor()}), {pages:.0f} GB of memory, {free:.0f} GB free in {tempfile.gettempdir()}\n"
        f"load before: {os.getloadavg()[0]:.2f} (the figures are of a quiet machine if this is near 0)"
    )


def processor() -> str:
    """The processors' name, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return names[0] if names else platform.processor() or "of unknown make"


def main(names: list[str]) -> None:
    print(machine(), flush=True)
    tune_interpreter()  # several run the dispatcher in this process: it is then tuned as the daemon is
    figures = []
    for name in names or NAMES:
        print(f"measuring {name} ...", flush=True)
        begin = time.monotonic()
        figures += importlib.import_module(f"benchmarks.{name}").figures()
        print(f"  {name} took {time.monotonic() - begin:.0f} s", flush=True)
    show(figures)


main(sys.argv[1:])
