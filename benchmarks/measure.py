"""Medians of several runs, and a table that puts each figure beside its peer and its physical limit."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUNS = 3


@dataclass(frozen=True)
class Value:
    """What was measured of somebody else, in the figure's unit."""

    name: str
    value: float


@dataclass(frozen=True)
class Figure:
    """``ours``, ``peer`` and ``limit`` in ``unit``; ``peers`` are more of them, a line for each."""

    what: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    limit: float | None = None
    limit_name: str = ""
    peers: tuple[Value, ...] = ()


def median_of(run: Callable[[], float], runs: int = RUNS) -> float:
    return statistics.median(run() for _ in range(runs))


def process_ms(command: Sequence[str], runs: int = RUNS) -> float:
    """The median of a whole process, from nothing to its end, in milliseconds."""

    def run() -> float:
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return (time.perf_counter() - begin) * 1000

    return median_of(run, runs)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def show(figures: Sequence[Figure]) -> None:
    print(f"\n{'what':52} {'eventflow':>12} {'peer':>12} {'ratio':>7} {'limit':>12} {'ratio':>7}  unit, peer, limit")
    for figure in figures:
        peer = "-" if figure.peer is None else f"{figure.peer:,.2f}"
        limit = "-" if figure.limit is None else f"{figure.limit:,.2f}"
        to_peer = "-" if not figure.peer else f"{figure.ours / figure.peer:.2f}"
        to_limit = "-" if not figure.limit else f"{figure.ours / figure.limit:.2f}"
        names = "; ".join(name for name in (figure.peer_name, figure.limit_name) if name)
        print(f"{figure.what:52} {figure.ours:12,.2f} {peer:>12} {to_peer:>7} {limit:>12} {to_limit:>7}  {figure.unit}; {names}")
        for other in figure.peers:
            ratio = f"{figure.ours / other.value:.2f}" if other.value else "-"
            print(f"{'':52} {'':12} {other.value:12,.2f} {ratio:>7} {'':12} {'':7}  {figure.unit}; {other.name}")
