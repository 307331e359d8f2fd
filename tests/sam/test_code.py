"""Code of templates: archives are unpacked whole, once, and never beside their folder."""

import contextlib
import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.sam import code
from eventflow.sam.code import inline_code, local_code
from eventflow.sam.problems import TemplateError
from eventflow.sam.translating import LOCAL_BUCKET
from tests.sam.reading import resources


def archive(path: Path, entries: dict[str, bytes], mode: int = 0o644) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            opened.writestr(entry, content)
    return path


def unpacked(tmp_path: Path, file: Path) -> Path:
    return local_code(tmp_path / "own", LOCAL_BUCKET, str(file))


def test_an_archive_is_unpacked_into_the_state_directory_once(tmp_path: Path) -> None:
    file = archive(tmp_path / "code.zip", {"app.py": b"x = 1", "inner/bootstrap": b"#!/bin/sh"}, 0o755)
    folder = unpacked(tmp_path, file)
    assert folder.is_relative_to(tmp_path / "own")
    assert (folder / "app.py").read_bytes() == b"x = 1"
    assert stat.S_IMODE((folder / "inner/bootstrap").stat().st_mode) == 0o755
    assert unpacked(tmp_path, file) == folder
    archive(file, {"app.py": b"x = 2"})
    assert (unpacked(tmp_path, file) / "app.py").read_bytes() == b"x = 2"
    assert (folder / "app.py").read_bytes() == b"x = 1"


@pytest.mark.parametrize("name", ["../out.py", "/tmp/out.py", "a/../../out.py", "..\\out.py"])
def test_an_archive_that_would_write_elsewhere_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(TemplateError, match="outside its folder"):
        unpacked(tmp_path, archive(tmp_path / "code.zip", {"fine.py": b"", name: b"x"}))
    assert list((tmp_path / "own/code").iterdir()) == []
    assert not (tmp_path / "out.py").exists()


def test_a_symbolic_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="symbolic link"):
        unpacked(tmp_path, archive(tmp_path / "code.zip", {"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777))


def test_an_archive_that_grows_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "LARGEST_UNPACKED", 1_000)
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(100_000))
    with pytest.raises(TemplateError, match="more than 1000 bytes"):
        unpacked(tmp_path, file)


@settings(max_examples=40)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_archive_is_refused_or_unpacked(tmp_path_factory: pytest.TempPathFactory, position: int, byte: int) -> None:
    folder = tmp_path_factory.mktemp("zip")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("app.py", b"def handler(event, context): return 1\n" * 5)
    data = bytearray(whole.getvalue())
    data[position % len(data)] = byte
    (folder / "code.zip").write_bytes(data)
    with contextlib.suppress(TemplateError):
        assert unpacked(folder, folder / "code.zip").is_dir()
    assert {one.name for one in folder.iterdir()} <= {"own", "code.zip"}


@pytest.mark.parametrize(("key", "said"), [("nowhere", "no folder and no file"), ("text.txt", "neither a folder nor a .zip")])
def test_code_that_is_not_there_is_refused(tmp_path: Path, key: str, said: str) -> None:
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(TemplateError, match=said):
        local_code(tmp_path / "own", LOCAL_BUCKET, str(tmp_path / key))


def test_code_in_s3_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="in S3"):
        local_code(tmp_path / "own", "their-bucket", "key")


def test_code_in_the_template_is_a_file_of_its_language(tmp_path: Path) -> None:
    text = """
    Py: {Type: AWS::Serverless::Function, Properties: {InlineCode: "x = 1", Handler: index.handler, Runtime: python3.11}}
    Js: {Type: AWS::Serverless::Function, Properties: {InlineCode: "let x = 1", Handler: index.handler, Runtime: nodejs20.x}}
    """
    manifest = resources(tmp_path, text)
    folders = {function.name: Path(function.package.folder) for function in manifest.functions if function.package is not None}
    assert (folders["shop-Py"] / "index.py").read_text() == "x = 1"
    assert (folders["shop-Js"] / "index.js").read_text() == "let x = 1"


def test_what_a_kill_left_by_halves_is_not_taken(tmp_path: Path) -> None:
    own = tmp_path / "own"
    folder = inline_code(own, "text", "index.py")
    (own / "code/.new-left").mkdir()
    assert inline_code(own, "text", "index.py") == folder
    assert (folder / "index.py").read_text() == "text"
