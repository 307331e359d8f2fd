"""``python -m tests.chaos [--kills N] [--seed N] [--keep DIR]``: kill everything at every step, and count what was lost. The exit status says so."""

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from eventflow.faultpoint import POINTS
from tests.chaos.checker import Verdict
from tests.chaos.harness import Chaos, Failure

COUNTS = ("accepted", "handled", "dead", "duplicated", "lost")
MOST_SHOWN = 40


def main() -> int:
    arguments = read_arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(arguments.keep or tempfile.mkdtemp(prefix="eventflow-chaos-"))
    chaos = Chaos(folder, arguments.kills, seed, tuple(arguments.point or POINTS))
    try:
        verdict = chaos.run()
    except Failure:
        return 1
    missed = [point for point in chaos.points if not chaos.killed[point]]
    report(chaos, verdict, missed)
    if verdict.wrongs or missed:
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill everything at every step, and count what was lost.")
    parser.add_argument("--kills", type=int, default=100, help="how many processes are killed (100)")
    parser.add_argument("--seed", type=int, help="makes the same choices again")
    parser.add_argument("--keep", help="work in this new folder, and keep it")
    parser.add_argument("--point", action="append", choices=list(POINTS), help="only at this fault point; may be given again")
    return parser.parse_args()


def report(chaos: Chaos, verdict: Verdict, missed: list[str]) -> None:
    {point: chaos.killed[point] for point in chaos.points}
    {victim: number for victim, number in sorted(chaos.killed.items()) if victim not in POINTS}
    [(source, *(counts[name] for name in COUNTS)) for source, counts in verdict.counts.items()]
    sum(verdict.counts.values(), Counter())
    for _wrong in verdict.wrongs[:MOST_SHOWN]:
        pass
    if len(verdict.wrongs) > MOST_SHOWN:
        pass
    for _point in missed:
        pass


if __name__ == "__main__":
    sys.exit(main())
