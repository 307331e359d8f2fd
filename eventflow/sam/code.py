"""Code that a template names: a folder as it is, a .zip unpacked and inline code written into the state directory, by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from eventflow.sam.problems import TemplateError
from eventflow.sam.translating import LOCAL_BUCKET

#: Lambda's limit of unpacked code, layers included ("Lambda quotas"), in bytes.
LARGEST_UNPACKED = 262_144_000
MOST_FILES = 100_000


def local_code(own: Path, bucket: Any, key: Any) -> Path:
    """The folder that a translated template's code is in. Raises TemplateError."""
    if bucket != LOCAL_BUCKET or not isinstance(key, str):
        raise TemplateError("the code lies in S3 on AWS; name a folder or a .zip on this machine.")
    path = Path(key)
    if path.is_dir():
        return path
    if not path.exists():
        raise TemplateError(f"there is no folder and no file {path}.")
    if not zipfile.is_zipfile(path):
        raise TemplateError(f"{path} is neither a folder nor a .zip.")
    return unpacked(own, path)


def inline_code(own: Path, text: str, file: str) -> Path:
    """A folder with one file of this content."""
    return kept(
        own, hashlib.sha256(f"{file}\0{text}".encode()).hexdigest(), "code of the template", lambda folder: write(folder / file, text.encode())
    )


def unpacked(own: Path, archive: Path) -> Path:
    """A folder with what is in the .zip. Raises TemplateError for one that is broken, too large, or would write beside its folder."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return kept(own, digest, str(archive), lambda folder: unpack(archive, folder))


def kept(own: Path, digest: str, source: str, fill: Callable[[Path], None]) -> Path:
    """The folder of this content of ``source``, filled if it is not there yet. It gets its name when it is whole: a kill leaves nothing by halves."""
    folder = own / "code" / digest
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # another process was quicker
            raise TemplateError(f"{source} cannot be unpacked into {folder}: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            left, entries = LARGEST_UNPACKED, opened.infolist()
            if len(entries) > MOST_FILES:
                raise TemplateError(f"{archive} has more than {MOST_FILES} files.")
            for entry in entries:
                left = unpack_one(opened, entry, folder, archive, left)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise TemplateError(f"{archive} is no .zip that can be unpacked: {error}.") from error


def unpack_one(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, archive: Path, left: int) -> int:
    """Unpack an entry; how many bytes may follow. What an entry says of its size is not believed: the bytes are counted."""
    path, mode = PurePosixPath(entry.filename.replace("\\", "/")), entry.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\0" in entry.filename:
        raise TemplateError(f"{archive} is refused: its entry {entry.filename!r} would be written outside its folder.")
    if stat.S_ISLNK(mode):
        raise TemplateError(f"{archive} is refused: its entry {entry.filename!r} is a symbolic link.")
    target = folder / path
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return left
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, target.open("wb") as file:
        while chunk := source.read(1_048_576):
            left -= len(chunk)
            if left < 0:
                raise TemplateError(f"{archive} is refused: unpacked it has more than {LARGEST_UNPACKED} bytes, Lambda's limit.")
            file.write(chunk)
    os.chmod(target, 0o755 if mode & 0o111 else 0o644)  # noqa: PTH101
    return left


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
