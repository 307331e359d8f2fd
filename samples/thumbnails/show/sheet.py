"""The contact sheet: all thumbnails on one dark page, each with its name and what the table says of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from show.progress import kilobytes

COLUMNS, CELL, GAP, MARGIN = 4, 320, 36, 56
HEAD, CAPTION = 96, 64
PAPER, CARD, INK, FAINT = "#121317", "#1b1d23", "#f2f2f0", "#8c919c"


def contact_sheet(path: Path, title: str, pictures: Sequence[tuple[Mapping[str, Any], bytes]]) -> Path:
    """Write the page of rows and their thumbnails as a PNG."""
    lines = -(-len(pictures) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * CELL + (COLUMNS - 1) * GAP
    page = Image.new("RGB", (width, HEAD + 2 * MARGIN + lines * (CELL + CAPTION) + (lines - 1) * GAP), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font(34))
    draw.text((MARGIN, MARGIN + 46), f"{len(pictures)} photographs, drawn by one function on one machine", fill=FAINT, font=font(18))
    for at, (row, content) in enumerate(pictures):
        left = MARGIN + at % COLUMNS * (CELL + GAP)
        top = HEAD + MARGIN + at // COLUMNS * (CELL + CAPTION + GAP)
        card(page, draw, (left, top), row, content)
    page.save(path, "PNG")
    return path


def card(page: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], row: Mapping[str, Any], content: bytes) -> None:
    left, top = place
    draw.rounded_rectangle((left - 10, top - 10, left + CELL + 10, top + CELL + CAPTION + 6), 12, fill=CARD)
    with Image.open(BytesIO(content)) as image:
        thumbnail = image.convert("RGBA")
    page.paste(thumbnail, (left + (CELL - thumbnail.width) // 2, top + (CELL - thumbnail.height) // 2), thumbnail)
    draw.rounded_rectangle((left, top + CELL + 14, left + 12, top + CELL + 48), 4, fill=str(row["dominant_colour"]))
    draw.text((left + 24, top + CELL + 10), clipped(draw, plain(str(row["key"])), CELL - 24), fill=INK, font=font(17))
    facts = f"{row['width']} x {row['height']} {row['format']}, {kilobytes(int(row['size_in']))}, {row['milliseconds']} ms"
    draw.text((left + 24, top + CELL + 34), facts, fill=FAINT, font=font(14))


def plain(text: str) -> str:
    """Letters without their accents: the face that Pillow brings along has none."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def clipped(draw: ImageDraw.ImageDraw, text: str, room: int) -> str:
    while draw.textlength(text, font(17)) > room:
        text = text.removesuffix("...")[:-1] + "..."
    return text


def font(size: int) -> Any:
    return ImageFont.load_default(size)
