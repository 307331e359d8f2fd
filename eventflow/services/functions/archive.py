"""Unpacking of code that strangers send: within a limit of bytes that is counted as they are written, and never outside its folder."""

from __future__ import annotations

import errno
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, TypeVar

from eventflow.services.functions.names import wrong

T = TypeVar("T")
#: AWS: 250 MB unzipped, all layers included (Lambda quotas).
LARGEST_UNZIPPED = 262_144_000
#: Longer lists of files are not read into memory: 100,000 files' names are shorter.
LONGEST_DIRECTORY = 16 << 20
LONGEST_LINK = 4096
PIECE = 256 * 1024
NO_NAME = frozenset((errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL))
BROKEN = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"
TOO_LARGE = f"Unzipped size must be smaller than {LARGEST_UNZIPPED} bytes"


class Broken(Exception):
    """The archive is no archive, or asks for what no archive may."""


class Sparing(io.BufferedIOBase):
    """A file that is not read in large pieces: ``zipfile`` takes the list of files whole, as long as the archive says that it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        piece = self._file.read(LONGEST_DIRECTORY + 1 if whole else min(size or 0, LONGEST_DIRECTORY + 1))
        if len(piece) > LONGEST_DIRECTORY:
            raise Broken
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset < 0 and whence == os.SEEK_SET:
            raise Broken
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def unpack(file: IO[bytes], folder: Path, largest: int = LARGEST_UNZIPPED) -> int:
    """Unpack a zip archive into an empty folder, read-only; how many bytes its files have. Nothing is synced.

    Raises Lambda's InvalidParameterValueException for what is no archive, is empty or too large, or has a name that is absolute, leads out of
    the folder or is there twice, a link that does so, or a file that is encrypted or neither file, folder nor link; OSError for the disk's faults.
    """
    if not file.seek(0, os.SEEK_END):
        raise wrong(EMPTY)
    try:
        archive = zipfile.ZipFile(Sparing(file))
        entries = archive.infolist()
    except OSError:
        raise
    except Exception as error:  # zipfile raises whatever its arithmetic on a stranger's numbers comes to
        raise wrong(BROKEN) from error
    if not entries:
        raise wrong(EMPTY)
    with archive:
        try:
            return Unpacking(archive, folder, largest).run(entries)
        except Broken as error:
            raise wrong(BROKEN) from error


class Unpacking:
    def __init__(self, archive: zipfile.ZipFile, folder: Path, largest: int) -> None:
        self._archive = archive
        self._folder = folder
        self._largest = largest
        self._written = 0
        self._folders: set[tuple[str, ...]] = {()}
        self._names: set[tuple[str, ...]] = set()
        self._links: list[Path] = []

    def run(self, entries: Iterable[zipfile.ZipInfo]) -> int:
        for entry in entries:
            self._take(entry)
        root = os.path.realpath(self._folder)
        for link in self._links:  # once all are there: one may lead through another
            if os.path.commonpath((root, os.path.realpath(link))) != root:
                raise Broken
        for parts in self._folders:
            self._folder.joinpath(*parts).chmod(0o555)
        return self._written

    def _take(self, entry: zipfile.ZipInfo) -> None:
        parts = parts_of(entry.orig_filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.flag_bits & 1 or kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise Broken
        if entry.orig_filename.endswith("/") or kind == stat.S_IFDIR:
            self._make_folders(parts)
            return
        if not parts or parts in self._names or parts in self._folders:
            raise Broken
        self._make_folders(parts[:-1])
        self._names.add(parts)
        path = self._folder.joinpath(*parts)
        if kind == stat.S_IFLNK:
            self._link(entry, path)
        else:
            self._write(entry, path)

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for end in range(1, len(parts) + 1):
            if parts[:end] in self._folders:
                continue
            if parts[:end] in self._names:
                raise Broken
            make(os.mkdir, self._folder.joinpath(*parts[:end]), 0o700)
            self._folders.add(parts[:end])

    def _link(self, entry: zipfile.ZipInfo, path: Path) -> None:
        target = b"".join(self._pieces(entry, LONGEST_LINK))
        if not target or b"\0" in target or target.startswith(b"/"):
            raise Broken
        make(os.symlink, target, os.fsencode(path))
        self._links.append(path)

    def _write(self, entry: zipfile.ZipInfo, path: Path) -> None:
        mode = 0o555 if entry.external_attr >> 16 & 0o111 else 0o444
        descriptor: int = make(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with open(descriptor, "wb", buffering=0) as out:
            for piece in self._pieces(entry, self._largest):
                out.write(piece)
            os.fchmod(descriptor, mode)  # whatever the umask

    def _pieces(self, entry: zipfile.ZipInfo, most: int) -> Iterable[bytes]:
        """The bytes of one file; what its header says of their number is not believed."""
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Broken
        size = 0
        with understood(self._archive.open, entry) as content:
            while piece := understood(content.read, PIECE):
                size += len(piece)
                self._written += len(piece)
                if self._written > self._largest:
                    raise wrong(TOO_LARGE)
                if size > most:
                    raise Broken
                yield piece


def understood(read: Callable[..., T], *arguments: Any) -> T:
    """Read from the archive. Raises Broken for whatever is wrong with what it says, which comes as many kinds of errors; the disk's own pass."""
    try:
        return read(*arguments)
    except OSError:
        raise
    except Exception as error:
        raise Broken from error


def make(call: Any, *arguments: Any) -> Any:
    """Make a file, folder or link. A name that no file system takes is the archive's fault, everything else the disk's."""
    try:
        return call(*arguments)
    except (FileExistsError, NotADirectoryError, UnicodeEncodeError, ValueError) as error:  # also where two names are one to a file system
        raise Broken from error
    except OSError as error:
        if error.errno in NO_NAME:
            raise Broken from error
        raise


def parts_of(name: str) -> tuple[str, ...]:
    """The names on the way to a file. Raises Broken where it begins at the root, or leads upwards."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or "\0" in name or ".." in parts:
        raise Broken
    return parts
