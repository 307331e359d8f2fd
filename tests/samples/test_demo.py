"""The parts of the demo that need no daemon: the table, the contact sheet, the environment's lines, and checks that notice what is wrong."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, ImageOps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def row(**changes: Any) -> dict[str, Any]:
    facts = {
        "key": "forêt.jpg",
        "size_in": Decimal(4_771_125),
        "size_out": Decimal(7_328),
        "width": Decimal(6000),
        "height": Decimal(4000),
        "thumb_width": Decimal(320),
        "thumb_height": Decimal(213),
        "format": "JPEG",
        "orientation": Decimal(6),
        "captured_at": "2024-09-14T06:41:07",
        "dominant_colour": "#3b4262",
        "sha256": "a" * 64,
        "milliseconds": Decimal(208),
        "thumbnail": "forêt.jpg/320-aaaaaaaaaaaa.webp",
    }
    return facts | changes


def test_the_table_is_aligned_and_says_everything(load: Callable[[str], ModuleType]) -> None:
    table = load("show.table").table([(row(), 0.21), (row(key="b.png", captured_at=None), 1.5)], False)
    heading, line, first, second = table.splitlines()
    assert len(line) == max(map(len, (heading, first, second)))
    for part in ("forêt.jpg", "4,771 kB", "7 kB", "6000 x 4000", "JPEG", "2024-09-14 06:41:07", "#3b4262", "aaaaaaaaaaaa", "208", "0.210"):
        assert part in first
    assert heading.index("colour") == first.index("#3b4262") == second.index("#3b4262")


def test_on_a_terminal_the_table_shows_the_colours(load: Callable[[str], ModuleType]) -> None:
    module = load("show.table")
    first = module.table([(row(), 0.21)], True).splitlines()[2]
    assert "\033[48;2;59;66;98m" in first
    assert module.width("e\u0301日") == 3


def test_progress_moves_on_a_terminal_and_is_plain_elsewhere(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    module = load("show.progress")
    for stream, moving in ((Terminal(), True), (io.StringIO(), False)):
        progress = module.Progress(12, stream)
        progress.show(3, 5000, "thumbnails")
        progress.note("one is done")
        assert ("3/12 thumbnails, 5 kB" in stream.getvalue()) is moving
        assert ("\033" in stream.getvalue()) is moving
        assert stream.getvalue().endswith("one is done\n")


def test_the_contact_sheet_is_a_page_of_all_thumbnails(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (320, 200), "#ff8800").save(content, "WEBP")
    path = load("show.sheet").contact_sheet(tmp_path / "sheet.png", "photos", [(row(key="x" * 90), content.getvalue())] * 5)
    with Image.open(path) as page:
        assert page.format == "PNG"
        assert page.width > 4 * 320
        assert page.height > 2 * 320
        orange = page.quantize(16).convert("RGB").getcolors(16) or []
    most = sum(count for count, (red, _green, blue) in orange if red > 200 and blue < 60)  # type: ignore[misc]
    assert most > 4.9 * 320 * 200


def test_the_lines_of_eventflow_env_are_understood(load: Callable[[str], ModuleType]) -> None:
    text = "# for boto3\nexport AWS_ENDPOINT_URL=http://127.0.0.1:4566\nexport AWS_SECRET_ACCESS_KEY='a b=c'\n"
    assert load("show.daemon").assignments(text) == {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_SECRET_ACCESS_KEY": "a b=c"}


def test_a_daemon_that_ends_at_once_is_reported_with_its_last_words(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("show.daemon")
    command = tmp_path / "eventflow"
    command.write_text("#!/bin/sh\necho 'the app has no functions'\nexit 3\n")
    command.chmod(0o755)
    monkeypatch.setattr(module, "eventflow", lambda: str(command))
    with pytest.raises(module.DemoError, match=r"status 3(.|\n)*the app has no functions"):
        module.Daemon(tmp_path / "app.py", tmp_path / "state").start(0)


# The checks must be able to fail.


@pytest.fixture(scope="module")
def good(load: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A photograph, and a row and thumbnail of it as they should be, made by hand."""
    photos = load("photos")
    photo = replace(next(each for each in photos.PHOTOS if each.name == "holiday/lake.jpg"), width=1152, height=768)
    original = photos.write(photo, tmp_path_factory.mktemp("verify"))
    thumbnail = thumbnail_of(original, (320, 213))
    content = original.read_bytes()
    facts = row(
        key=photo.name,
        size_in=len(content),
        size_out=len(thumbnail),
        width=photo.width,
        height=photo.height,
        format="JPEG",
        orientation=photo.orientation,
        captured_at=photo.taken.isoformat(),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return {"photo": photo, "original": original, "row": facts, "thumbnail": thumbnail, "stored": {"the folder": content}}


def thumbnail_of(original: Path, size: tuple[int, int], turn: Image.Transpose | None = None) -> bytes:
    with Image.open(original) as image:
        image.draft(None, (400, 400))
        upright = ImageOps.exif_transpose(image)
    small = (upright if turn is None else upright.transpose(turn)).resize(size)
    content = io.BytesIO()
    small.save(content, "WEBP")
    return content.getvalue()


def test_what_is_right_passes(load: Callable[[str], ModuleType], good: dict[str, Any]) -> None:
    assert load("show.verify").problems(**good) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("size_in", 1),
        ("size_out", 1),
        ("sha256", "0" * 64),
        ("width", 768),
        ("height", 1),
        ("thumb_width", 100),
        ("format", "PNG"),
        ("orientation", 1),
        ("captured_at", None),
        ("dominant_colour", "blue"),
    ],
)
def test_a_wrong_column_is_noticed(load: Callable[[str], ModuleType], good: dict[str, Any], column: str, value: Any) -> None:
    changed = good | {"row": good["row"] | {column: value}}
    (problem,) = load("show.verify").problems(**changed)
    assert problem.startswith("holiday/lake.jpg: ")


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM])
def test_a_thumbnail_that_is_not_upright_is_noticed(load: Callable[[str], ModuleType], good: dict[str, Any], turn: Image.Transpose) -> None:
    wrong = thumbnail_of(good["original"], (320, 213), turn)
    changed = good | {"thumbnail": wrong, "row": good["row"] | {"size_out": len(wrong)}}
    assert any("not upright" in problem for problem in load("show.verify").problems(**changed))


def test_another_picture_is_noticed(load: Callable[[str], ModuleType], good: dict[str, Any]) -> None:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((320, 213)).save(content, "WEBP")
    changed = good | {"thumbnail": content.getvalue(), "row": good["row"] | {"size_out": len(content.getvalue())}}
    assert any("does not look like it" in problem for problem in load("show.verify").problems(**changed))


def test_a_file_that_came_out_otherwise_is_noticed(load: Callable[[str], ModuleType], good: dict[str, Any]) -> None:
    (problem,) = load("show.verify").problems(**good | {"stored": {"the S3 API": b"other"}})
    assert "the S3 API" in problem
