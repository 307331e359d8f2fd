"""``python -m tests.chaos [--kills N] [--seed N] [--keep DIR]``: kill everything at every step, and count what was lost. The exit status says so."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from eventflow.faultpoint import POINTS
from tests.chaos.checker import Verdict, table
from tests.chaos.harness import OF_EVENTS, Chaos, Failure

COUNTS = ("accepted", "handled", "dead", "duplicated", "lost")
MOST_SHOWN = 40


def main() -> int:
    arguments = read_arguments()
    if not Path("/proc/self").exists():
        print("make chaos finds the processes that it kills in /proc, which this system does not have: run it on Linux.")
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that no daemon is left behind
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(arguments.keep or tempfile.mkdtemp(prefix="eventflow-chaos-"))
    print(f"make chaos KILLS={arguments.kills} SEED={seed}   (in {folder})", flush=True)
    chaos = Chaos(folder, arguments.kills, seed, tuple(arguments.point or OF_EVENTS))
    try:
        verdict = chaos.run()
    except Failure as failure:
        print(f"FAILED: {failure}\nEverything is in {folder}; the same choices again: make chaos KILLS={arguments.kills} SEED={seed}")
        return 1
    missed = [point for point in chaos.points if not chaos.killed[point] and (chaos.not_reached[point] or chaos.is_complete)]
    report(chaos, verdict, missed)
    if verdict.wrongs or missed:
        print(f"FAILED. Everything is in {folder}; the same choices again: make chaos KILLS={arguments.kills} SEED={seed}")
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    print("Nothing was lost.")
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill everything at every step, and count what was lost.")
    parser.add_argument("--kills", type=int, default=100, help="how many processes are killed (100)")
    parser.add_argument("--seed", type=int, help="makes the same choices again")
    parser.add_argument("--keep", help="work in this new folder, and keep it")
    parser.add_argument("--point", action="append", choices=list(POINTS), help="only at this fault point; may be given again")
    return parser.parse_args()


def report(chaos: Chaos, verdict: Verdict, missed: list[str]) -> None:
    others = {victim: number for victim, number in sorted(chaos.killed.items()) if victim not in POINTS}
    print(table(("killed at a random moment", "times"), others.items()), "\n")
    print(table(("killed at a fault point", "times"), [(point, chaos.killed[point]) for point in chaos.points]), "\n")
    rows = [(source, *(counts[name] for name in COUNTS)) for source, counts in verdict.counts.items()]
    total = sum(verdict.counts.values(), Counter())
    print(table(("", *COUNTS), [*rows, ("together", *(total[name] for name in COUNTS))]), "\n")
    print(f"{sum(chaos.killed.values())} kills in {chaos.seconds:.0f} s. What was handled again had ended at most", end=" ")
    print(f"{verdict.longest_unsettled * 1000:.0f} ms before the kill.")
    for wrong in verdict.wrongs[:MOST_SHOWN]:
        print(f"WRONG: {wrong}")
    if len(verdict.wrongs) > MOST_SHOWN:
        print(f"and {len(verdict.wrongs) - MOST_SHOWN} more")
    for point in missed:
        print(f"WRONG: no process was killed at {point}: it was never reached in time")


if __name__ == "__main__":
    sys.exit(main())
