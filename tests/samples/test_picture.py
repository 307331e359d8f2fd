"""The thumbnail sample's drawing: every format and orientation comes out upright and in the right colours, and bad bytes say what is wrong."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

CORNERS = {"red": (0.15, 0.15), "lime": (0.85, 0.15), "blue": (0.15, 0.85), "yellow": (0.85, 0.85)}
PIXEL = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
SIZE = (800, 600)


def quarters(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Upright: red and lime above, blue and yellow below."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for colour, (x, y) in CORNERS.items():
        left, top = round(x) * size[0] // 2, round(y) * size[1] // 2
        draw.rectangle((left, top, left + size[0] // 2, top + size[1] // 2), fill=colour)
    return image.convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    content = BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def thumbnail_of(drawing: Any) -> Image.Image:
    image = Image.open(BytesIO(drawing.content))
    assert image.format == "WEBP"
    assert image.size == (drawing.thumb_width, drawing.thumb_height)
    return image


def is_upright(image: Image.Image, tolerance: int = 60) -> bool:
    plain = image.convert("RGB")
    return all(
        max(abs(a - b) for a, b in zip(plain.getpixel((round(x * plain.width), round(y * plain.height))), PIXEL[colour], strict=True)) <= tolerance  # type: ignore[arg-type]
        for colour, (x, y) in CORNERS.items()
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(picture: ModuleType, photos: ModuleType, format: str, orientation: int) -> None:
    image = quarters()
    notes = Image.Exif()
    notes[0x0112] = orientation
    turned = image.transpose(photos.STORED[orientation]) if orientation > 1 else image
    drawing = picture.draw(saved(turned, format, exif=notes), 320, 320)
    assert (drawing.width, drawing.height) == SIZE
    assert (drawing.thumb_width, drawing.thumb_height) == (320, 240)
    assert (drawing.orientation, drawing.format) == (orientation, format)
    assert is_upright(thumbnail_of(drawing))


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
    ],
)
def test_every_format_and_colour_space_keeps_its_colours(picture: ModuleType, format: str, mode: str, options: dict[str, Any]) -> None:
    drawing = picture.draw(saved(quarters(mode), format, **options), 320, 320)
    assert drawing.format == format
    assert is_upright(thumbnail_of(drawing))


@pytest.mark.parametrize(("mode", "format"), [("1", "PNG"), ("L", "JPEG"), ("L", "TIFF"), ("LA", "PNG"), ("I;16", "PNG"), ("I;16", "TIFF")])
def test_grey_stays_grey(picture: ModuleType, mode: str, format: str) -> None:
    white = {"I;16": 65535, "LA": (255, 255), "1": 1}.get(mode, 255)
    image = Image.new(mode, (400, 200), 0 if mode != "LA" else (0, 255))
    image.paste(white, (200, 0, 400, 200))  # type: ignore[arg-type]
    thumbnail = thumbnail_of(picture.draw(saved(image, format), 320, 320)).convert("RGB")
    assert max(thumbnail.getpixel((40, 80))) < 20  # type: ignore[arg-type]
    assert min(thumbnail.getpixel((280, 80))) > 235  # type: ignore[arg-type]


def test_the_first_frame_of_an_animation_is_drawn(picture: ModuleType) -> None:
    animation = saved(quarters(), "GIF", save_all=True, append_images=[Image.new("RGB", SIZE, "black")] * 2)
    assert is_upright(thumbnail_of(picture.draw(animation, 320, 320)))


def test_transparency_survives_and_does_not_count_as_colour(picture: ModuleType) -> None:
    image = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    image.paste((250, 120, 10, 255), (250, 250, 350, 350))
    drawing = picture.draw(saved(image, "PNG"), 300, 300)
    thumbnail = thumbnail_of(drawing).convert("RGBA")
    assert thumbnail.getpixel((10, 10))[3] == 0  # type: ignore[index]
    assert thumbnail.getpixel((150, 150))[3] == 255  # type: ignore[index]
    red, green, blue = (int(drawing.dominant_colour[at : at + 2], 16) for at in (1, 3, 5))
    assert abs(red - 250) < 25
    assert abs(green - 120) < 25
    assert abs(blue - 10) < 25


def test_a_palette_with_a_transparent_colour_becomes_transparent(picture: ModuleType) -> None:
    image = Image.new("P", (100, 100), 0)
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(1, (50, 0, 100, 100))
    thumbnail = thumbnail_of(picture.draw(saved(image, "GIF", transparency=0), 320, 320)).convert("RGBA")
    assert thumbnail.getpixel((10, 50))[3] == 0  # type: ignore[index]
    assert thumbnail.getpixel((90, 50))[3] == 255  # type: ignore[index]


def test_a_wide_gamut_profile_is_turned_into_srgb(picture: ModuleType, photos: ModuleType) -> None:
    image = Image.new("RGB", (200, 200), (60, 180, 60))
    plain = picture.draw(saved(image, "JPEG", quality=95), 100)
    wide = picture.draw(saved(image, "JPEG", quality=95, icc_profile=photos.wide_gamut()), 100)
    expected = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(BytesIO(photos.wide_gamut())), picture.SRGB)
    assert expected is not None
    shown, right = thumbnail_of(wide).convert("RGB").getpixel((50, 50)), expected.getpixel((50, 50))
    assert max(abs(a - b) for a, b in zip(shown, right, strict=True)) < 12  # type: ignore[arg-type]
    assert wide.dominant_colour != plain.dominant_colour


def test_a_profile_that_does_not_fit_is_left_aside(picture: ModuleType, photos: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for profile in (b"no profile at all", photos.wide_gamut()[:200]):
        assert is_upright(thumbnail_of(picture.draw(saved(quarters(), "JPEG", icc_profile=profile), 320)))
    assert "colour profile" in capsys.readouterr().out


def test_small_pictures_are_not_enlarged_and_thin_ones_keep_a_pixel(picture: ModuleType) -> None:
    assert picture.draw(saved(Image.new("RGB", (20, 10)), "PNG"), 320, 320).thumb_width == 20
    thin = picture.draw(saved(Image.new("RGB", (5000, 2)), "PNG"), 320, 320)
    assert (thin.thumb_width, thin.thumb_height) == (320, 1)


def test_a_width_alone_leaves_the_height_free(picture: ModuleType) -> None:
    drawing = picture.draw(saved(quarters(size=(600, 1800)), "JPEG"), 300)
    assert (drawing.thumb_width, drawing.thumb_height) == (300, 900)


@pytest.mark.parametrize(
    ("taken", "offset", "expected"),
    [
        ("2024:09:14 06:41:07", None, "2024-09-14T06:41:07"),
        ("2024:09:14 06:41:07", "+02:00", "2024-09-14T06:41:07+02:00"),
        ("0000:00:00 00:00:00", None, None),
        ("yesterday", None, None),
        ("", None, None),
    ],
)
def test_the_capture_time_is_iso_or_nothing(picture: ModuleType, taken: str, offset: str | None, expected: str | None) -> None:
    notes = Image.Exif()
    details = notes.get_ifd(0x8769)
    details[0x9003] = taken
    if offset:
        details[0x9011] = offset
    assert picture.draw(saved(quarters(), "JPEG", exif=notes), 320).captured_at == expected


def test_an_orientation_that_does_not_exist_is_upright(picture: ModuleType) -> None:
    notes = Image.Exif()
    notes[0x0112] = 77
    drawing = picture.draw(saved(quarters(), "JPEG", exif=notes), 320)
    assert drawing.orientation == 1
    assert is_upright(thumbnail_of(drawing))


@pytest.mark.parametrize("good", [True, False])
def test_metadata_does_not_travel_into_the_thumbnail(picture: ModuleType, photos: ModuleType, good: bool) -> None:
    notes = Image.Exif()
    notes[0x010F] = "a camera that somebody owns"
    profile = photos.wide_gamut() if good else b"no profile"
    content = picture.draw(saved(quarters(), "JPEG", exif=notes, icc_profile=profile, comment=b"private"), 320).content
    assert b"somebody" not in content
    assert b"private" not in content
    assert Image.open(BytesIO(content)).info.get("icc_profile") is None


# Bad input.


@pytest.mark.parametrize("content", [b"", b"hello, I am a text file\n" * 100, b"\xff\xd8\xff", b"%PDF-1.7\n", b"\0" * 4096])
def test_what_is_no_picture_is_refused_in_a_sentence(picture: ModuleType, content: bytes) -> None:
    with pytest.raises(picture.PictureError, match=r"empty: 0 bytes|none of JPEG, PNG, WEBP, GIF, TIFF"):
        picture.draw(content, 320)


def test_only_the_formats_of_the_sample_are_decoded(picture: ModuleType) -> None:
    with pytest.raises(picture.PictureError, match="none of JPEG"):
        picture.draw(saved(quarters(), "BMP"), 320)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_picture_is_refused(picture: ModuleType, format: str, share: float) -> None:
    image = Image.effect_mandelbrot((400, 300), (-2, -1.5, 1, 1.5), 100).convert("RGB")
    content = saved(image, format)
    with pytest.raises(picture.PictureError):
        picture.draw(content[: round(len(content) * share)], 320)


@pytest.mark.parametrize("side", [8_500, 11_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(picture: ModuleType, side: int) -> None:
    with pytest.raises(picture.PictureError, match=r"pixels when decoded|memory when decoded"):
        picture.draw(bomb(side), 320)


def bomb(side: int) -> bytes:
    """A PNG of a kilobyte that unfolds into side x side pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def test_a_gif_whose_frame_outgrows_its_screen_is_refused(picture: ModuleType) -> None:
    content = bytearray(saved(quarters("P"), "GIF"))
    at = content.index(b"\x2c\0\0\0\0", 13)
    content[at + 5 : at + 9] = struct.pack("<HH", 65_000, 65_000)
    with pytest.raises(picture.PictureError):
        picture.draw(bytes(content), 320)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.tif"])
def test_the_name_does_not_matter_when_the_content_is_a_picture(picture: ModuleType, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(saved(quarters(), "PNG"))
    assert picture.draw((tmp_path / name).read_bytes(), 320).format == "PNG"


FORMS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("JPEG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("WEBP", "RGB", {}),
    ("GIF", "P", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
)
SMALL = {form: saved(quarters(mode, (64, 48)), form, **options) for form, mode, options in FORMS}


@settings(max_examples=200, deadline=None)
@given(
    format=st.sampled_from(sorted(SMALL)),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    head=st.booleans(),
)
def test_damaged_bytes_end_in_a_drawing_or_a_picture_error(picture: ModuleType, format: str, damage: list[tuple[float, int]], head: bool) -> None:
    content = bytearray(SMALL[format])
    reach = min(len(content), 120) if head else len(content)
    for place, value in damage:
        content[int(place * reach)] = value
    with suppress(picture.PictureError):
        drawing = picture.draw(bytes(content), 32, 32)
        assert max(drawing.thumb_width, drawing.thumb_height) <= 32
