"""``python -m tests.fuzz SECONDS [TARGET ...]``: atheris feeds the targets what it finds by coverage, for so many seconds altogether."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST_INPUT = 4096


def main() -> int:
    if importlib.util.find_spec("atheris") is None:
        print("Fuzzing is skipped: atheris is not installed. It has wheels for Linux and few versions of Python; try `pip install atheris`.")
        return 0
    seconds, *names = sys.argv[1:] or ["60"]
    if names[:1] == ["--one"]:
        fuzz(names[1], int(seconds), Path(names[2]))
    from tests.fuzz.targets import TARGETS

    failed = 0
    chosen = names or list(TARGETS)
    for name in chosen:
        failed += not one(name, max(1, int(seconds) // len(chosen)))
    return 1 if failed else 0


def one(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether nothing was found."""
    from tests.fuzz.targets import TARGETS

    folder = Path(tempfile.mkdtemp(prefix=f"eventflow-fuzz-{name}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(TARGETS[name][1]):
        (corpus / str(number)).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz", str(seconds), "--one", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    runs = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    print(f"{name}: {runs[-1] if runs else 'broke off'}, {len(list(corpus.iterdir()))} inputs of interest", flush=True)
    if done.returncode == 0:
        return True
    print(done.stdout[-3000:], done.stderr[-3000:], f"What broke it is in {folder}.", sep="\n")
    return False


def fuzz(name: str, seconds: int, folder: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["eventflow"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name][0]
    flags = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-timeout=10", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *flags, str(folder / "corpus")], lambda data: target(data) if data else None)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
