"""wrk, the load generator: requests that were made and signed before, sent by one or many clients that wait for each answer."""

import json
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import RUNS

SECONDS = 2
WARM_UP_SECONDS, MOST_WARM_UPS = 5, 12
LATENCY = re.compile(r"^\s+50%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
SLOWEST = re.compile(r"^\s+99%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
BAD = re.compile(r"^\s*(Non-2xx or 3xx responses|Socket errors):.*$", re.MULTILINE)
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
CYCLE = """
local made, number = {}, 0
init = function(args)
  for i, one in ipairs(requests) do made[i] = wrk.format(one[1], one[2], one[3], bodies[one[4]]) end
end
request = function()
  number = number % #made + 1
  return made[number]
end
"""


class Load(NamedTuple):
    """The median latency in ms, requests a second, and the latency in ms that one in a hundred goes beyond."""

    p50: float
    rate: float
    p99: float


class Target(NamedTuple):
    """An address and the file that tells wrk what to send there."""

    url: str
    script: Path


class Raw(NamedTuple):
    """One request as it goes over the wire; ``path`` with its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def load(target: Target, connections: int, seconds: int = SECONDS) -> Load:
    """One run of wrk. Raises AssertionError when an answer was no success: a refusal is quick."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(target.script), target.url]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 20).stdout
    bad, latency, slowest, rate = BAD.search(text), LATENCY.search(text), SLOWEST.search(text), RATE.search(text)
    if bad is not None or latency is None or slowest is None or rate is None:
        raise AssertionError(text)
    return Load(milliseconds(latency), float(rate[1]), milliseconds(slowest))


def warm_up(target: Target, connections: int) -> None:
    """Requests that count for nothing, until more of them make it no quicker: some servers start a process for each of their first simultaneous ones,
    and answer late or not at all meanwhile."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{WARM_UP_SECONDS}s", "--timeout", "30s", "-s", str(target.script), target.url]
    before = 0.0
    for _ in range(MOST_WARM_UPS):
        found = RATE.search(subprocess.run(command, capture_output=True, text=True, check=True, timeout=WARM_UP_SECONDS + 60).stdout)
        rate = float(found[1]) if found else 0.0
        if 0 < rate < before * 1.2:
            return
        before = rate


def medians(targets: Sequence[Target], connections: int, seconds: int = SECONDS) -> list[Load]:
    """The medians of several runs of each, taken in turn: what the machine does beside this then falls on all of them."""
    for target in targets:
        load(target, connections, 1)
    runs = [[load(target, connections, seconds) for target in targets] for _ in range(RUNS)]
    return [Load(*map(statistics.median, zip(*each, strict=True))) for each in zip(*runs, strict=True)]


def milliseconds(latency: re.Match[str]) -> float:
    return float(latency[1]) * MILLISECONDS[latency[2]]


def script(path: Path, requests: Sequence[Raw]) -> Path:
    """Write the script that sends these requests one after another, again and again."""
    bodies = list(dict.fromkeys(request.body for request in requests))
    numbers = {body: number for number, body in enumerate(bodies, 1)}
    with path.open("w") as file:
        file.write("bodies = {\n" + "".join(f"{lua(body)},\n" for body in bodies) + "}\nrequests = {\n")
        for request in requests:
            headers = ", ".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in request.headers.items())
            file.write(f"{{{json.dumps(request.method)}, {json.dumps(request.path)}, {{{headers}}}, {numbers[request.body]}}},\n")
        file.write("}\n" + CYCLE)
    return path


def lua(body: bytes) -> str:
    return '"' + "".join(chr(octet) if 32 <= octet < 127 and octet not in b'"\\' else f"\\{octet:03}" for octet in body) + '"'
