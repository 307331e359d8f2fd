"""Functions made by Lambda's API in several languages: a warm invocation over HTTP, and the start of an environment, beside a function of the
application in the same daemon, the same server's bare echo, a new interpreter of the language, MiniStack's warm Lambda, and awslambdaric on a socket
that answers at once."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from importlib.metadata import files as files_of
from pathlib import Path
from typing import Any

from benchmarks import ministack_peer, runtime_stub
from benchmarks.echo import echo_server
from benchmarks.invoke import target
from benchmarks.measure import Figure, Value, process_ms
from benchmarks.throughput import CODE
from benchmarks.wrk import Target, load, medians
from tests.process.daemon_process import DaemonProcess, daemon

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
STARTS = 11
#: Within it the daemon has heard of the end of a process, and the zygote has forked the one to come.
PAUSE_SECONDS = 0.5
#: The distributions in the package of a function with libraries, which imports them at once.
LIBRARIES = ("aws-lambda-powertools", "jmespath", "typing-extensions")
IMPORTS = "from aws_lambda_powertools.event_handler import APIGatewayRestResolver\nfrom aws_lambda_powertools.utilities.batch import BatchProcessor\n"
RIC = f"#!/bin/sh\nexec {sys.executable} -m awslambdaric app.handler\n"
#: Each answers with the number of its process, so that it can be ended.
HANDLER = "import os\ndef handler(event, context): return os.getpid()\n"


def vendored() -> dict[str, bytes]:
    """What ``pip install -t`` would have written."""
    found = [file for name in LIBRARIES for file in files_of(name) or () if file.suffix in (".py", ".so") or file.name == "RECORD"]
    return {str(file): file.locate().read_bytes() for file in found if ".." not in file.parts}


#: Runtime, handler and files of each function; those whose programs are not here are left out.
FUNCTIONS: dict[str, tuple[str, str, Mapping[str, str | bytes]]] = {
    "Python": (PYTHON, "app.handler", {"app.py": HANDLER}),
    "Python-with-Powertools": (PYTHON, "app.handler", {"app.py": IMPORTS + HANDLER, **vendored()}),
    "Node": ("nodejs20.x", "index.handler", {"index.js": "exports.handler = async () => process.pid\n"}),
    "awslambdaric": ("provided.al2023", "app.handler", {"bootstrap": RIC, "app.py": HANDLER}),
}
#: A new interpreter of the language that loads the same.
FRESH = {
    "Python": [sys.executable, "-c", "0"],
    "Python-with-Powertools": [sys.executable, "-c", IMPORTS],
    "Node": ["node", "-e", "0"],
    "awslambdaric": [sys.executable, "-c", "import awslambdaric.bootstrap"],
}


def available(name: str) -> bool:
    if name == "Node":
        return shutil.which("node") is not None
    if name == "awslambdaric":
        return subprocess.run(FRESH[name], capture_output=True, check=False).returncode == 0
    return True


def archive(files: Mapping[str, str | bytes]) -> bytes:
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


def timed(client: Any, name: str) -> tuple[int, float]:
    """What an invocation answers, which is its process, and its milliseconds."""
    begin = time.perf_counter()
    pid = int(client.invoke(FunctionName=name)["Payload"].read())
    return pid, (time.perf_counter() - begin) * 1000


def start_of(client: Any, name: str) -> float:
    """The median in milliseconds of what a first invocation takes longer than a second one. Before it the function's process is ended."""
    pid, _ = timed(client, name)
    runs = []
    for _ in range(STARTS + 2):
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.001)
        time.sleep(PAUSE_SECONDS)
        (pid, first), (_, second) = timed(client, name), timed(client, name)
        runs.append(first - second)
    return statistics.median(runs[2:])  # libraries are loaded in advance from the second start on


def ministack() -> tuple[Value, ...]:
    """The same through MiniStack, at one client."""
    program = ministack_peer.command()
    if program is None:
        print("skipped: MiniStack is not installed (make setup-bench)", flush=True)
        return ()
    with ministack_peer.ministack(program) as url, tempfile.TemporaryDirectory() as folder:
        address = f"{url}/2015-03-31/functions/noop/invocations"
        return (Value(ministack_peer.NAME, load(target(address, Path(folder) / "peer.lua", "test", "test"), 1).p50),)


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
        begun, new = {}, {}
        for name in names:
            begun[name], new[name] = start_of(client, name), process_ms(FRESH[name], STARTS)
        process.stop()
    echoed, application = loads[0].p50, loads[1].p50
    limits = {"Python": "python -c 0", "Python-with-Powertools": "python -c 'from aws_lambda_powertools ...'", "Node": "node -e 0"}
    limits["awslambdaric"] = "python -c 'import awslambdaric.bootstrap'"
    peers: dict[str, tuple[Value, ...]] = dict.fromkeys(names, ()) | {"Python": ministack()}
    if "awslambdaric" in names:
        peers["awslambdaric"] = (Value("awslambdaric on a socket that answers at once", runtime_stub.round_trip()),)
    found = [
        Figure(
            f"warm invocation, {name}, one client, p50",
            "ms",
            one.p50,
            limit=echoed,
            limit_name="bare echo on the same server",
            peers=(Value("a function of the application", application), *peers[name]),
        )
        for name, one in zip(names, loads[2:], strict=True)
    ]
    found += [
        Figure(f"start of an environment, {name}, beyond a warm one", "ms", begun[name], limit=new[name], limit_name=limits[name]) for name in names
    ]
    return found
