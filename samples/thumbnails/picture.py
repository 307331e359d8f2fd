"""Draws a thumbnail: the bytes of a photograph in; out come a small, upright WebP in sRGB, and what is known of the original."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import BytesIO

# The plugins of the formats below are named, or Pillow would look for them at the first WebP that it saves: in each new process, in all of its 40.
from PIL import (
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

#: Only these decoders run: each further one is another way in for whoever may upload.
FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
#: 64 megapixels with transparency are 256 MB when decoded: what 1,024 MB of memory hold three times.
MAX_PIXELS = 64_000_000
#: Colour below this much opacity is not seen.
VISIBLE = 128
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

Size = tuple[int, int]

#: What turns stored pixels upright, by EXIF orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(ValueError):
    """The bytes are no picture that can be drawn; the text says why."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A thumbnail and its original. ``width`` and ``height`` are the original's as a viewer shows it, turned by its ``orientation``;
    ``captured_at`` is the camera's local time, with an offset where the camera knew one."""

    content: bytes
    thumb_width: int
    thumb_height: int
    width: int
    height: int
    format: str
    orientation: int
    captured_at: str | None
    dominant_colour: str


def draw(original: bytes, width: int, height: int | None = None) -> Drawing:
    """The picture within a width (and a height), never enlarged. Raises PictureError."""
    with decoding():
        image = opened(original)
        notes = image.getexif()
        orientation = orientation_of(notes)
        captured_at = capture_time(notes)
        # Pillow turns a TIFF itself, and gives its size as turned.
        turn = None if image.format == "TIFF" else UPRIGHT.get(orientation)
        full = swapped(image.size, turn)
        wanted = fitted(full, width, height)
        # The JPEG decoder can leave detail out that nobody will see: at twice the size or more, it costs a quarter of the time.
        image.draft(None, (2 * max(wanted), 2 * max(wanted)))
        image.load()
        small = in_srgb(drawable(image).resize(swapped(wanted, turn), Image.Resampling.LANCZOS, reducing_gap=2.0), image.info.get("icc_profile"))
    upright = small if turn is None else small.transpose(turn)
    return Drawing(encoded(upright), *upright.size, *full, image.format or "", orientation, captured_at, dominant_colour(upright))


def opened(original: bytes) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    if not original:
        raise PictureError("it is empty: 0 bytes")
    image = Image.open(BytesIO(original), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"it would have {image.width} x {image.height} pixels when decoded, and the limit is {MAX_PIXELS // 1_000_000} million")
    return image


@contextmanager
def decoding() -> Iterator[None]:
    """Whatever Pillow raises over bad bytes, as an PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # what is wrong with a camera's notes is not wrong with its picture
            yield
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"it would take far more memory when decoded than its file says: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"it is none of {', '.join(FORMATS)}, whatever its name says") from error
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error, zlib.error) as error:
        raise PictureError(f"its pixels cannot be decoded: {error}") from error


def orientation_of(notes: Image.Exif) -> int:
    value = notes.get(ExifTags.Base.Orientation, 1)
    return value if value in UPRIGHT else 1


def capture_time(notes: Image.Exif) -> str | None:
    """When the shutter opened, in ISO 8601; None where the camera did not say, or said nonsense."""
    details = notes.get_ifd(ExifTags.IFD.Exif)
    taken = str(details.get(ExifTags.Base.DateTimeOriginal, "")).strip("\0 ")
    offset = str(details.get(ExifTags.Base.OffsetTimeOriginal, "")).strip("\0 ")
    try:
        return datetime.strptime(taken + offset, "%Y:%m:%d %H:%M:%S" + ("%z" if offset else "")).isoformat()
    except ValueError:
        return None


def swapped(size: Size, turn: Image.Transpose | None) -> Size:
    quarter = (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
    return (size[1], size[0]) if turn in quarter else size


def fitted(size: Size, width: int, height: int | None) -> Size:
    scale = min(1.0, width / size[0], height / size[1] if height else 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@cache
def sixteen_to_eight() -> list[int]:
    """Grey of 16 bits, which some scanners write, loses its lower eight. Made when such a picture comes: a cold start is too short for it."""
    return [value >> 8 for value in range(65536)]


def drawable(image: Image.Image) -> Image.Image:
    """The pixels in a mode that can be resized and has a colour profile: L, RGB, RGBA or CMYK."""
    if image.mode == "RGBA" or (image.mode in ("L", "RGB", "CMYK") and not image.has_transparency_data):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode.startswith("I"):
        return image.convert("I").point(sixteen_to_eight(), "L")
    return image.convert("L" if image.mode == "1" else "RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA as every screen understands it. A profile that does not fit the picture is left aside, and the log says so."""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        image = in_srgb(image.convert("RGB"), profile)
        image.putalpha(alpha)
        return image
    if profile:
        try:
            converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(BytesIO(profile)), SRGB, outputMode="RGB")
            return converted or image
        except (ImageCms.PyCMSError, OSError) as error:
            print(f"The colour profile in the picture is not used: {error}")
    return image.convert("RGB")


def encoded(image: Image.Image) -> bytes:
    """WebP: one format for opaque and transparent pictures, and two thirds of a JPEG's size. No metadata travels along."""
    content = BytesIO()
    image.info.clear()
    image.save(content, "WEBP", quality=80, method=2)
    return content.getvalue()


def dominant_colour(image: Image.Image) -> str:
    """The commonest of the eight colours that paint the picture best, as #rrggbb; what is transparent does not count."""
    tiny = image.resize((64, 64), Image.Resampling.BOX)
    palette = tiny.convert("RGB").quantize(8)
    seen = tiny.getchannel("A").point([255 if value >= VISIBLE else 0 for value in range(256)]) if tiny.mode == "RGBA" else None
    counts = palette.histogram(seen)
    most = max(range(len(counts)), key=counts.__getitem__)
    red, green, blue = (palette.getpalette() or [0, 0, 0])[3 * most : 3 * most + 3]
    return f"#{red:02x}{green:02x}{blue:02x}"
