"""Functions made by Lambda's API in several languages: a warm invocation over HTTP, and the start of an environment, beside a function of the
application in the same daemon, the same server's bare echo, and a new interpreter of the language."""

from __future__ import annotations

import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.echo import echo_server
from benchmarks.invoke import target
from benchmarks.measure import Figure, Value
from benchmarks.throughput import CODE
from benchmarks.wrk import Target, medians
from tests.process.daemon_process import DaemonProcess, daemon

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
STARTS = 11
#: Runtime, handler and files of each function; those whose programs are not here are left out.
RIC = f"#!/bin/sh\nexec {sys.executable} -m awslambdaric app.handler\n"
FUNCTIONS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "Python": (PYTHON, "app.handler", {"app.py": "def handler(event, context): return None\n"}),
    "Node": ("nodejs20.x", "index.handler", {"index.js": "exports.handler = async () => null\n"}),
    "awslambdaric": ("provided.al2023", "app.handler", {"bootstrap": RIC, "app.py": "def handler(event, context): return None\n"}),
}
FRESH = {"Python": [sys.executable, "-c", "0"], "Node": ["node", "-e", "0"], "awslambdaric": [sys.executable, "-c", "import awslambdaric.bootstrap"]}


def available(name: str) -> bool:
    if name == "Node":
        return shutil.which("node") is not None
    if name == "awslambdaric":
        return subprocess.run(FRESH[name], capture_output=True, check=False).returncode == 0
    return True


def archive(files: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            out.writestr(entry, text)
    return made.getvalue()


def create(client: Any, name: str) -> None:
    runtime, handler, files = FUNCTIONS[name]
    client.create_function(FunctionName=name, Runtime=runtime, Role=ROLE, Handler=handler, Timeout=30, Code={"ZipFile": archive(files)})


def warm_target(process: DaemonProcess, name: str, folder: Path) -> Target:
    credentials = json.loads((process.state / "credentials.json").read_text())
    url = f"{process.facts['url']}/2015-03-31/functions/{name}/invocations"
    return target(url, folder / f"{name}.lua", credentials["access_key_id"], credentials["secret_access_key"])


def first_and_second(client: Any, name: str) -> tuple[float, float]:
    """Milliseconds of the first invocation after a change of the settings, which ends all environments, and of the next one."""
    client.update_function_configuration(FunctionName=name, Description=f"{time.monotonic_ns()}")
    took = []
    for _ in range(2):
        begin = time.perf_counter()
        client.invoke(FunctionName=name)["Payload"].read()
        took.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.05)
    return took[0], took[1]


def start_of(client: Any, name: str) -> float:
    """The median of what a first invocation takes longer than a second one."""
    runs = [first_and_second(client, name) for _ in range(STARTS)]
    return statistics.median(first - second for first, second in runs)


def fresh(name: str) -> float:
    """The median of a new interpreter of the language, from nothing to its end, in milliseconds."""
    took = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        subprocess.run(FRESH[name], check=True, capture_output=True)
        took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    names = [name for name in FUNCTIONS if available(name)]
    with tempfile.TemporaryDirectory() as text, daemon(Path(text), CODE) as process, echo_server() as echo:
        folder = Path(text)
        process.start()
        client = process.client("lambda")
        for name in names:
            create(client, name)
            client.invoke(FunctionName=name)["Payload"].read()
        bare = Target(f"{echo}/2015-03-31/functions/noop/invocations", warm_target(process, "noop", folder).script)
        loads = medians([bare, warm_target(process, "noop", folder), *(warm_target(process, name, folder) for name in names)], 1)
        begun = {name: start_of(client, name) for name in names}
        process.stop()
    echoed, application = loads[0].p50, loads[1].p50
    found = [
        Figure(
            f"warm invocation, {name}, one client, p50",
            "ms",
            one.p50,
            limit=echoed,
            limit_name="bare echo on the same server",
            peers=(Value("a function of the application", application),),
        )
        for name, one in zip(names, loads[2:], strict=True)
    ]
    found += [
        Figure(f"start of an environment, {name}, beyond a warm one", "ms", begun[name], limit=fresh(name), limit_name=" ".join(FRESH[name][-2:]))
        for name in names
    ]
    return found
