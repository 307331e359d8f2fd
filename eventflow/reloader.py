"""``eventflow dev``: notices that the application's files changed, and says so once they are at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from eventflow.clock import Clock

#: An editor writes several files, or one several times: wait until it was quiet for so long.
REST_SECONDS = 0.05
SUFFIXES = (".py", ".toml", ".json", ".yaml", ".yml", ".html", ".sql")
SKIPPED = {"__pycache__", ".venv", "node_modules", ".git", ".aws-sam"}
#: How names end of what is in a package and is no code.
NO_CODE = ("~", ".swp", ".pyc", ".log", ".tmp")
WRITES = {"modified", "created", "deleted", "moved", "closed"}


class Changes(FileSystemEventHandler):
    """``await next()`` returns when files under ``root`` were changed and have been at rest since."""

    def __init__(self, root: Path, ignored: Path, clock: Clock) -> None:
        self._root = root
        self._packages: set[Path] = set()
        self._watched = {root}
        self._ignored = ignored
        self._clock = clock
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._observer = Observer()

    def start(self) -> None:
        self._observer.schedule(self, str(self._root), recursive=True)
        self._observer.start()

    def packages(self, folders: Iterable[Path]) -> None:
        """From now on these are the packages: code of any language and in any place, so that all their files count, whatever their names end in."""
        self._packages = {folder for folder in folders if not folder.is_relative_to(self._ignored)}
        for folder in self._packages:
            if not any(folder.is_relative_to(known) for known in self._watched):
                self._watched.add(folder)
                self._observer.schedule(self, str(folder), recursive=True)

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()

    async def next(self) -> None:
        await self._changed.wait()
        while self._changed.is_set():
            self._changed.clear()
            await self._clock.wait(self._changed, REST_SECONDS)

    def on_any_event(self, event: FileSystemEvent) -> None:
        paths = [Path(str(path)) for path in (event.src_path, event.dest_path) if path]
        if event.event_type in WRITES and any(self._matters(path) for path in paths):
            self._loop.call_soon_threadsafe(self._changed.set)

    def _matters(self, path: Path) -> bool:
        if path.is_relative_to(self._ignored):
            return False
        if path.is_relative_to(self._root) and path.suffix in SUFFIXES and not SKIPPED.intersection(path.relative_to(self._root).parts):
            return True
        package = next((folder for folder in self._packages if path.is_relative_to(folder)), None)
        # A log that a shell writes beside the code would have it loaded again, which is logged.
        return (
            package is not None
            and not path.name.startswith(".")
            and not path.name.endswith(NO_CODE)
            and not SKIPPED.intersection(path.relative_to(package).parts)
        )
