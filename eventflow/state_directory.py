"""The state directory: where everything durable lives, owned by one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventflow.directories import make_directory
from eventflow.errors import StateInUse, StorageError


class StateDirectory:
    """``acquire`` makes it and takes the lock; the kernel gives the lock back when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "eventflow.db"
        self.credentials = path / "credentials.json"
        self.logs = path / "logs"
        self.run = path / "run"
        self.announcement = path / "daemon.json"
        self._lock_path = path / "daemon.lock"
        self._lock: int | None = None

    def acquire(self, app: str) -> None:
        """Raises ``StateInUse``, naming the owner, and ``StorageError`` where the directory cannot be written."""
        try:
            make_directory(self.path)
            self._ignore_in_git()
            self.hold(f"pid {os.getpid()}, app {app}")
            self.announcement.unlink(missing_ok=True)
            # What a killed daemon left of its environments is nobody's now.
            shutil.rmtree(self.run, ignore_errors=True)
            self.run.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The state directory {self.path} cannot be used: {error}. Make room, check its owner, or choose another with --state."
            ) from error

    def hold(self, holder: str) -> None:
        """Take the lock alone, so that no daemon can start meanwhile. Raises ``StateInUse``, and OSError where it cannot be taken."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 4096, 0).decode(errors="replace").strip() or "another process"
            os.close(lock)
            raise StateInUse(
                f"The state directory {self.path} belongs to a running daemon ({owner}). Stop that one, or choose another directory with --state."
            ) from error
        self._lock = lock
        os.ftruncate(lock, 0)
        os.pwrite(lock, holder.encode(), 0)

    def owner(self) -> str | None:
        """Who holds the lock, as text for people; None if nobody does, or there is no such directory."""
        try:
            lock = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(lock, 4096, 0).decode(errors="replace").strip() or "another process"
        finally:
            os.close(lock)
        return None

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Tell the command line where the daemon is; the file holds a token, so only its owner may read it."""
        temporary = self.announcement.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as text:
            json.dump(facts, text)
        temporary.replace(self.announcement)

    def release(self) -> None:
        self.announcement.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _ignore_in_git(self) -> None:
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
