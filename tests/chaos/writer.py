"""``python -m tests.chaos.writer BUCKET LOG PREFIX SEED``: puts files into a bucket's folder as other programs do, until it is killed.

What it has finished it appends to the log. It is killed too: what it leaves half written was never finished, and nothing is promised of that.
"""

import os
import random
import sys
import time
from itertools import count
from pathlib import Path


def main(bucket: Path, log: Path, prefix: str, seed: int) -> None:
    chance = random.Random(seed)
    for number in count():
        name = f"{prefix}-{number}"
        content = name.encode() * chance.randint(1, 400)
        if chance.random() < 0.5:
            temporary = bucket / f"{name}.part"
            temporary.write_bytes(content)
            temporary.rename(bucket / name)
        else:
            with (bucket / name).open("wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                file.write(content[len(content) // 2 :])
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"file {name} {time.time()}\n".encode())
        os.close(descriptor)
        time.sleep(chance.uniform(0.01, 0.08))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
