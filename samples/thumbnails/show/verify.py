"""Checks the work of the functions without their code: the original's bytes, the row, and the thumbnail that Pillow opens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from photos import Photo
from PIL import Image, ImageChops, ImageOps, ImageStat

EDGE = 320
#: A thumbnail and its original, both shrunk to this, differ by less than MOST_DIFFERENT grey levels; colour management accounts for most of it.
SMALL = (24, 24)
MOST_DIFFERENT = 24.0


def problems(photo: Photo, original: Path, row: Mapping[str, Any], thumbnail: bytes, stored: Mapping[str, bytes]) -> list[str]:
    """What is wrong with one photograph's row and thumbnail, as sentences. ``stored`` is the original as each way of reading gives it back."""
    found = [*wrong_original(original, row, stored), *wrong_facts(photo, row), *wrong_thumbnail(photo, original, row, thumbnail)]
    return [f"{photo.name}: {problem}" for problem in found]


def wrong_original(original: Path, row: Mapping[str, Any], stored: Mapping[str, bytes]) -> Iterator[str]:
    content = original.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    yield from differing("size_in", row["size_in"], len(content))
    yield from differing("sha256", row["sha256"], digest)
    for way, given in stored.items():
        if given != content:
            yield f"read through {way} it has {len(given)} bytes that are not the {len(content)} of the original."


def wrong_facts(photo: Photo, row: Mapping[str, Any]) -> Iterator[str]:
    yield from differing("width", row["width"], photo.width)
    yield from differing("height", row["height"], photo.height)
    yield from differing("format", row["format"], photo.format)
    yield from differing("orientation", row["orientation"], photo.orientation)
    yield from differing("captured_at", row["captured_at"], photo.taken.isoformat() if photo.taken else None)
    if not re.fullmatch(r"#[0-9a-f]{6}", str(row["dominant_colour"])):
        yield f"its dominant colour is {row['dominant_colour']!r}, which is no #rrggbb."


def wrong_thumbnail(photo: Photo, original: Path, row: Mapping[str, Any], thumbnail: bytes) -> Iterator[str]:
    yield from differing("size_out", row["size_out"], len(thumbnail))
    with Image.open(BytesIO(thumbnail)) as image:
        image.load()
        yield from differing("thumbnail size", image.size, expected_size(photo.width, photo.height))
        yield from differing("thumb_width and thumb_height", (row["thumb_width"], row["thumb_height"]), image.size)
        yield from differing("transparency", image.has_transparency_data, photo.mode == "RGBA")
        drawn = flat(image)
    yield from unlike(drawn, reference(original))


def expected_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, EDGE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def unlike(drawn: Image.Image, wanted: Image.Image) -> Iterator[str]:
    """Compare with the original in all eight orientations: the upright one must be the nearest, and near."""
    away = {turn: difference(drawn, wanted if turn is None else wanted.transpose(turn)) for turn in (None, *Image.Transpose)}
    nearest = min(away, key=away.__getitem__)
    if nearest is not None and away[nearest] < away[None]:
        yield f"its thumbnail is not upright: it looks like the original after {nearest.name}."
    if away[None] > MOST_DIFFERENT:
        yield f"its thumbnail does not look like it: {away[None]:.0f} grey levels apart, and the limit is {MOST_DIFFERENT:.0f}."


def reference(original: Path) -> Image.Image:
    """The original as Pillow alone turns and shrinks it."""
    with Image.open(original) as image:
        image.draft(None, (256, 256))
        image.load()
        return flat(ImageOps.exif_transpose(image))


def flat(image: Image.Image) -> Image.Image:
    """Small, opaque and in RGB."""
    seen = image.convert("RGBA") if image.has_transparency_data else image.convert("RGB")
    small = seen.resize(SMALL, Image.Resampling.BOX)
    page = Image.new("RGB", SMALL, "grey")
    page.paste(small, mask=small if small.mode == "RGBA" else None)
    return page


def difference(one: Image.Image, other: Image.Image) -> float:
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)


def differing(what: str, found: Any, wanted: Any) -> Iterator[str]:
    if found != wanted:
        yield f"{what} is {found!r}, and should be {wanted!r}."
