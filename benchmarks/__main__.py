"""``make bench``: every figure beside its peer and its physical limit, measured in the same run. ``python -m benchmarks latency`` runs one.

``tree`` takes minutes and runs only when it is named.
"""

import importlib
import os
import platform
import sys

from benchmarks.measure import show
from eventflow.daemon import tune_interpreter

NAMES = ("throughput", "client", "latency", "invoke", "gateway", "cold_start", "idle", "files", "thumbnails", "burst", "fairness")


def main(names: list[str]) -> None:
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors")
    tune_interpreter()  # several run the dispatcher in this process: it is then tuned as the daemon is
    figures = []
    for name in names or NAMES:
        print(f"measuring {name} ...", flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").figures()
    show(figures)


main(sys.argv[1:])
