"""What the table of images holds, as columns for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from show.progress import kilobytes

HEADINGS = ("key", "size in", "size out", "dimensions", "format", "turn", "captured", "colour", "sha-256", "ms", "GB-s")
RIGHT = frozenset(("size in", "size out", "dimensions", "turn", "ms", "GB-s"))


def cells(row: Mapping[str, Any], gb_seconds: float) -> tuple[str, ...]:
    return (
        str(row["key"]),
        kilobytes(int(row["size_in"])),
        kilobytes(int(row["size_out"])),
        f"{row['width']} x {row['height']}",
        str(row["format"]),
        str(row["orientation"]),
        str(row["captured_at"] or "-").replace("T", " "),
        str(row["dominant_colour"]),
        str(row["sha256"])[:12],
        f"{int(row['milliseconds']):,}",
        f"{gb_seconds:.3f}",
    )


def table(rows: Iterable[tuple[Mapping[str, Any], float]], colour: bool) -> str:
    """Rows and their GB-seconds as aligned text; on a terminal each colour is shown beside its name."""
    lines = [cells(row, gb_seconds) for row, gb_seconds in rows]
    widths = [max(width(line[at]) for line in (HEADINGS, *lines)) for at in range(len(HEADINGS))]
    shown = [aligned(HEADINGS, widths), "  ".join("─" * each for each in widths)]
    for line in lines:
        text = aligned(line, widths)
        shown.append(text.replace(line[7], swatch(line[7]), 1) if colour else text)
    if colour:
        shown[0] = shown[0].replace("colour", "colour   ", 1)
        shown[1] = "  ".join("─" * (each + 3 * (at == 7)) for at, each in enumerate(widths))
    return "\n".join(shown)


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for heading, text, wide in zip(HEADINGS, line, widths, strict=True):
        space = " " * (wide - width(text))
        padded.append(space + text if heading in RIGHT else text + space)
    return "  ".join(padded).rstrip()


def width(text: str) -> int:
    """Columns on a terminal: accents that stand alone take none, wide letters two."""
    return sum(0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def swatch(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"\033[48;2;{red};{green};{blue}m  \033[0m {colour}"
