"""The photographs of the demo: the same bytes every time, and in each format and orientation what they say they are."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pytest
from PIL import ExifTags, Image, ImageCms

SCALE = 0.05


@pytest.fixture(scope="module")
def folder(photos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    photos.generate(folder, scale=SCALE)
    return folder


def test_there_are_a_dozen_and_all_that_the_sample_must_handle_is_among_them(photos: ModuleType) -> None:
    made = photos.PHOTOS
    assert len({photo.name for photo in made}) == len(made) == 12
    assert {photo.format for photo in made} == {"JPEG", "PNG", "WEBP", "GIF", "TIFF"}
    assert {photo.orientation for photo in made} == set(range(1, 9))
    assert {photo.mode for photo in made} == {"RGB", "RGBA", "CMYK"}
    assert {bool(photo.save.get("progressive")) for photo in made if photo.format == "JPEG"} == {True, False}
    assert max(photo.width * photo.height for photo in made) == 24_000_000


def test_each_file_is_what_its_description_says(photos: ModuleType, folder: Path) -> None:
    for photo in photos.PHOTOS:
        with Image.open(folder / photo.name) as image:
            assert image.format == photo.format, photo.name
            notes = image.getexif()
            assert notes.get(ExifTags.Base.Orientation, 1) == photo.orientation, photo.name
            taken = notes.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            assert taken == (photo.taken.strftime("%Y:%m:%d %H:%M:%S") if photo.taken else None), photo.name
            assert ("icc_profile" in image.info) == (photo.profile is not None), photo.name
            if photo.format != "GIF":
                assert image.mode == photo.mode, photo.name
                upright = (image.height, image.width) if photo.orientation >= 5 and photo.format != "TIFF" else image.size
                assert upright == (round(photo.width * SCALE), round(photo.height * SCALE)), photo.name


def test_the_animation_moves(photos: ModuleType, folder: Path) -> None:
    with Image.open(folder / "fireflies.gif") as image:
        assert image.n_frames > 5  # type: ignore[attr-defined]
        first = image.convert("RGB").tobytes()
        image.seek(4)
        assert image.convert("RGB").tobytes() != first


def test_the_same_bytes_come_out_every_time(photos: ModuleType, folder: Path, tmp_path: Path) -> None:
    for again in photos.generate(tmp_path, scale=SCALE):
        first = folder / again.relative_to(tmp_path)
        assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest(), again.name


def test_the_pictures_differ_and_none_is_flat(photos: ModuleType, folder: Path) -> None:
    seen = set()
    for photo in photos.PHOTOS:
        with Image.open(folder / photo.name) as image:
            small = image.convert("RGB").resize((16, 16))
        assert len(small.getcolors(256) or []) > 60, photo.name
        seen.add(small.tobytes())
    assert len(seen) == len(photos.PHOTOS)


def test_the_profiles_are_ones_that_a_colour_engine_accepts(photos: ModuleType, tmp_path: Path) -> None:
    for name, profile in (("wide", photos.wide_gamut()), ("standard", photos.standard())):
        (tmp_path / name).write_bytes(profile)
        assert ImageCms.getProfileDescription(str(tmp_path / name)).strip()
        assert ImageCms.getDefaultIntent(str(tmp_path / name)) == 0


def test_a_photo_without_a_time_carries_no_notes(photos: ModuleType, folder: Path) -> None:
    with Image.open(folder / "balloon.png") as image:
        assert not dict(image.getexif())
    assert photos.PHOTOS[0].taken == datetime(2024, 9, 14, 6, 41, 7)
