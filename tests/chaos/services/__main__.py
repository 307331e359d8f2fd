"""``python -m tests.chaos.services [--kills N] [--seed N] [--keep DIR]``: kill the daemon in the middle of writes to its services, and count what was
lost. The exit status says so."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from eventflow.faultpoint import POINTS
from tests.chaos.checker import table
from tests.chaos.services.harness import OF_WRITES, ServicesChaos

COUNTS = ("acknowledged", "unanswered", "of which done", "checked")
MOST_SHOWN = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.services", description="Kill the daemon in the middle of writes to its services.")
    parser.add_argument("--kills", type=int, default=100, help="how often the daemon is killed (100)")
    parser.add_argument("--seed", type=int, help="makes the same choices again")
    parser.add_argument("--keep", help="work in this folder, and keep it")
    parser.add_argument("--point", action="append", choices=OF_WRITES, help="only at this fault point; may be given again")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that no daemon is left behind
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(arguments.keep or tempfile.mkdtemp(prefix="eventflow-chaos-services-"))
    folder.mkdir(exist_ok=True)
    again = f"make chaos-services KILLS={arguments.kills} SEED={seed}"
    print(f"{again}   (in {folder})", flush=True)
    chaos = ServicesChaos(folder, arguments.kills, seed, tuple(arguments.point or OF_WRITES))
    chaos.run()
    wrongs = [*chaos.wrongs, *(f"the daemon was never killed at {point}: it was not reached in time" for point in chaos.missed())]
    report(chaos, wrongs)
    if wrongs:
        print(f"FAILED. Everything is in {folder}; the same choices again: {again}")
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    print("Every acknowledged write is there, and of none that was not there is a half.")
    return 0


def report(chaos: ServicesChaos, wrongs: list[str]) -> None:
    others = [(step, number) for step, number in sorted(chaos.killed.items()) if step not in POINTS]
    print(table(("killed at", "times"), [*others, *((point, chaos.killed[point]) for point in chaos.points)]), "\n")
    counts = chaos.told()
    print(table(("writes", *COUNTS), [(kind, *(found[name] for name in COUNTS)) for kind, found in counts.items()]), "\n")
    print(f"{sum(chaos.killed.values())} kills in {chaos.seconds:.0f} s, {len(wrongs)} wrongs.")
    for wrong in wrongs[:MOST_SHOWN]:
        print(f"WRONG: {wrong}")
    if len(wrongs) > MOST_SHOWN:
        print(f"and {len(wrongs) - MOST_SHOWN} more")


if __name__ == "__main__":
    sys.exit(main())
