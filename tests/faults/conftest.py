"""Faults that are produced for real: a disk that answers with EIO, and file systems that are mounted for a test."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class BadDisk:
    """``sync``, ``read`` and ``write`` fail with EIO, in processes that have ``variables``, between ``breaks`` and ``mends``."""

    def __init__(self, library: Path, flag: Path) -> None:
        self.variables = {"LD_PRELOAD": str(library), "FAULT_FLAG": f"{flag}-"}
        self._flag = flag

    def breaks(self, what: str) -> None:
        Path(f"{self._flag}-{what}").touch()

    def mends(self) -> None:
        for what in ("sync", "read", "write"):
            Path(f"{self._flag}-{what}").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def faulty_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("EIO is made by a small library that is preloaded; that takes Linux and a C compiler (cc)")
    library = tmp_path_factory.mktemp("faulty") / "faulty.so"
    source = Path(__file__).with_name("faulty_sync.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def bad_disk(faulty_library: Path, tmp_path: Path) -> BadDisk:
    return BadDisk(faulty_library, tmp_path / "fault")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 24 MB."""
    need_root()
    disk = tmp_path / "disk"
    disk.mkdir()
    run_or_skip("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk))
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


class Ext4:
    """An ext4 file system in a file, which the kernel makes read-only at its first error."""

    def __init__(self, image: Path, path: Path, device: str) -> None:
        self.path = path
        self._image = image
        self._device = device

    def fails(self) -> None:
        """The kernel notices an error, and mounts it read-only, open files or not. What was there before is on the disk."""
        os.sync()
        Path(f"/sys/fs/ext4/{self._device}/trigger_fs_error").write_text("1")

    def mends(self) -> None:
        """Mounted anew, as after a check of the disk: newer kernels do not write again to one that failed before that."""
        subprocess.run(["umount", str(self.path)], check=True)
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.path)], check=True)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Ext4]:
    need_root()
    image, path = tmp_path / "image", tmp_path / "ext4"
    path.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 64 * 1024 * 1024)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    # Without a journal of its own: that would have to be replayed before the file system may be written again.
    run_or_skip("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    run_or_skip("mount", "-o", "loop,errors=remount-ro", str(image), str(path))
    device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", str(path)], capture_output=True, text=True, check=True).stdout.strip()
    try:
        found = Ext4(image, path, Path(device).name)
        if not Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").exists():
            pytest.skip("this kernel cannot be told that an ext4 file system has an error")
        yield found
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


def need_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("file systems are mounted by root on Linux alone")


def run_or_skip(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{command[0]} does not work here: {done.stderr.strip()}")
