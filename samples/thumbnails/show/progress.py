"""Progress for people: a line that is redrawn on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

WIDTH = 28


def kilobytes(size: int) -> str:
    return f"{max(1, round(size / 1000)):,} kB" if size else "0 kB"


def has_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """``note`` prints a line that stays; ``show`` says how far things are, and is only seen on a terminal."""

    def __init__(self, total: int, stream: TextIO = sys.stdout) -> None:
        self._total = total
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()
        self._drawn = False

    def note(self, text: str) -> None:
        self._wipe()
        print(text, file=self._stream, flush=True)

    def show(self, done: int, size: int, what: str) -> None:
        if not self._live:
            return
        self._wipe()
        full = WIDTH * done // self._total
        line = f"  {'━' * full}{'·' * (WIDTH - full)}  {done}/{self._total} {what}, {kilobytes(size)}, {time.monotonic() - self._started:.1f} s"
        self._stream.write(line[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
        self._drawn = True

    def end(self) -> float:
        """Take the moving line away; the seconds since the beginning."""
        self._wipe()
        return time.monotonic() - self._started

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write("\r\033[K")
            self._drawn = False
