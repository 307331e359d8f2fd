"""Makes a dozen photographs for the demo: other sizes, formats, orientations and colour spaces in each, and the same bytes every time."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from PIL import ExifTags, Image, ImageChops, ImageCms
from PIL.TiffImagePlugin import IFDRational
from show import scenes

#: Scenes are painted with a longer side of this many pixels at most, and enlarged: 24 megapixels of brush strokes would take a minute.
CANVAS = 1000

#: What must be done to an upright picture so that a camera held in this EXIF orientation would have stored it.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Photo:
    """One photograph: ``width`` and ``height`` as a viewer shows it, ``format`` as Pillow names it, ``taken`` the camera's local time."""

    name: str
    width: int
    height: int
    format: str
    scene: scenes.Scene
    taken: datetime | None = None
    orientation: int = 1
    camera: tuple[str, str] = ("Alder", "Fieldview 7")
    profile: str | None = None
    mode: str = "RGB"
    save: Mapping[str, Any] = field(default_factory=dict)


BASELINE = {"quality": 88}
PROGRESSIVE = {"quality": 88, "progressive": True}
PHOTOS = (
    Photo("alps-at-dawn.jpg", 6000, 4000, "JPEG", scenes.alps, datetime(2024, 9, 14, 6, 41, 7), save=BASELINE),
    Photo("harbour-at-night.jpg", 4000, 6000, "JPEG", scenes.harbour, datetime(2023, 11, 2, 17, 58, 30), 6, ("Birch", "Pocket 3"), save=PROGRESSIVE),
    Photo("dunes.jpg", 4032, 3024, "JPEG", scenes.dunes, datetime(2022, 4, 19, 8, 12, 55), 3, save=BASELINE),
    Photo("northern-lights.jpg", 5472, 3648, "JPEG", scenes.aurora, datetime(2025, 2, 8, 22, 4, 11), profile="wide gamut", save=BASELINE),
    Photo("holiday/lake.jpg", 4608, 3072, "JPEG", scenes.lake, datetime(2024, 7, 3, 10, 30), 8, ("Birch", "Pocket 3"), "sRGB", save=PROGRESSIVE),
    Photo("holiday/lights out of focus.jpg", 3000, 2000, "JPEG", scenes.bokeh, datetime(2023, 12, 24, 19, 45, 2), 2, save=BASELINE),
    Photo("nebula.jpg", 3600, 2400, "JPEG", scenes.nebula, datetime(2021, 8, 12, 1, 17, 44), 5, ("Cedar", "Skywatch"), save=PROGRESSIVE),
    Photo("lavender for print.jpg", 3600, 2400, "JPEG", scenes.lavender, datetime(2024, 6, 28, 21, 3, 19), 4, mode="CMYK", save=BASELINE),
    Photo("balloon.png", 1600, 2000, "PNG", scenes.balloon, mode="RGBA", save={"compress_level": 1}),
    Photo("forêt.webp", 3000, 2000, "WEBP", scenes.forest, datetime(2025, 10, 5, 7, 26, 38), 1, save={"quality": 84, "method": 0}),
    Photo("fireflies.gif", 640, 480, "GIF", scenes.meadow),
    Photo("moonrise.tif", 2400, 1600, "TIFF", scenes.moonrise, datetime(2022, 1, 17, 18, 9, 50), 7),
)


def generate(folder: Path, photos: Iterable[Photo] = PHOTOS, scale: float = 1.0) -> list[Path]:
    """Write the photographs under a folder, two at a time (Pillow works outside the interpreter's lock); ``scale`` shrinks them."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda photo: write(photo, folder, scale), photos))


def write(photo: Photo, folder: Path, scale: float = 1.0) -> Path:
    path = folder / photo.name
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (round(photo.width * scale), round(photo.height * scale))
    random = Random(photo.name)
    options = dict(photo.save)
    if photo.format == "GIF":
        first, *rest = scenes.fireflies(photo.scene(size, random), random)
        first.save(path, "GIF", save_all=True, append_images=rest, duration=120, loop=0)
        return path
    picture = stored(photo, size, random)
    if photo.taken is not None:
        options["exif"] = exif(photo).tobytes()
    if photo.profile is not None:
        options["icc_profile"] = wide_gamut() if photo.profile == "wide gamut" else standard()
    picture.save(path, photo.format, **options)
    return path


def stored(photo: Photo, size: tuple[int, int], random: Random) -> Image.Image:
    """The pixels as the camera keeps them: painted small, turned, enlarged, with the grain of a sensor."""
    share = min(1.0, CANVAS / max(size))
    picture = photo.scene((round(size[0] * share), round(size[1] * share)), random)
    if photo.orientation in STORED:
        picture = picture.transpose(STORED[photo.orientation])
    if photo.orientation >= 5:
        size = (size[1], size[0])
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    if picture.mode == "RGB":
        picture = grain(picture, random)
    return picture if picture.mode == photo.mode else picture.convert(photo.mode)


def grain(picture: Image.Image, random: Random) -> Image.Image:
    side = 512
    tile = Image.frombytes("L", (side, side), random.randbytes(side * side)).point([120 + value // 16 for value in range(256)])
    speckle = Image.new("L", picture.size)
    for top in range(0, picture.height, side):
        for left in range(0, picture.width, side):
            speckle.paste(tile, (left, top))
    return ImageChops.add(picture, Image.merge("RGB", [speckle] * 3), offset=-128)


def exif(photo: Photo) -> Image.Exif:
    """What a camera notes about a photograph."""
    notes = Image.Exif()
    base, inner = ExifTags.Base, notes.get_ifd(ExifTags.IFD.Exif)
    notes[base.Make], notes[base.Model] = photo.camera
    notes[base.Orientation] = photo.orientation
    notes[base.Software] = "eventflow sample"
    if photo.taken is not None:
        inner[base.DateTimeOriginal] = notes[base.DateTime] = photo.taken.strftime("%Y:%m:%d %H:%M:%S")
    inner[base.ExposureTime], inner[base.FNumber], inner[base.ISOSpeedRatings] = IFDRational(1, 250), IFDRational(8), 200
    return notes


def standard() -> bytes:
    """An sRGB profile, its date of creation (bytes 24 to 35) left out: it would be another one every time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


def wide_gamut() -> bytes:
    """An ICC display profile (version 2.1) whose primaries lie well outside sRGB: what looks muted without it glows with it."""
    white = (0.9642, 1.0, 0.8249)
    columns = {b"rXYZ": (0.6097, 0.3111, 0.0195), b"gXYZ": (0.2053, 0.6257, 0.0609), b"bXYZ": (0.1492, 0.0632, 0.7446)}
    tags = {name: b"XYZ \0\0\0\0" + fixed(*values) for name, values in {b"wtpt": white, **columns}.items()}
    tags |= {name: b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0" for name in (b"rTRC", b"gTRC", b"bTRC")}
    title = b"Wide gamut\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(title)) + title + bytes(4 + 4 + 2 + 1 + 67)
    tags[b"cprt"] = b"text\0\0\0\0" + b"No rights reserved\0"
    return icc(tags, white)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def icc(tags: Mapping[bytes, bytes], white: tuple[float, float, float]) -> bytes:
    """A profile file: the header of 128 bytes, the table of tags, the tags at multiples of four."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + fixed(*white)
    return head.ljust(128, b"\0") + table + body
