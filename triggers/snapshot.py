"""A look at a bucket's directory tree: which files differ from what the index knows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

from triggers.object_index import ObjectIndex, shows, sight_of
from triggers.object_keys import ObjectKeys, child, is_below, is_text

#: So many files are looked at, or found different, before a batch is handed over: between two the trigger can stop.
LOOKS_IN_BATCH = 20_000
KEYS_IN_BATCH = 2_000
Difference = dict[str, str | None]
SAME: Difference = {}
KINDS = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


@dataclass
class Oddities:
    """What was seen that is no object, by kind, in one sentence about the first of each; told to ``reported`` once."""

    texts: dict[str, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def name(self, path: str) -> None:
        self.texts.setdefault(
            "name", f"{path!r} is skipped: its name is not UTF-8 and so cannot be a key. Rename it. (Others like it are skipped silently.)"
        )

    def kind(self, path: str, mode: int) -> None:
        kind = KINDS.get(stat.S_IFMT(mode), "special file")
        self.texts.setdefault(kind, f"{path!r} is skipped: it is a {kind}, and an object is a regular file. (Others like it are skipped silently.)")

    def link(self, path: str) -> None:
        text = f"{path!r} is skipped: it is a symbolic link, and leads to no file of this bucket. Copy or hard-link the file instead."
        self.texts.setdefault("link", f"{text} (Others like it are skipped silently.)")

    def unreadable(self, path: str, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self.texts.setdefault(
            f"unreadable {reason}", f"{path!r} cannot be read: {reason}. Its files fire when it can be; give the daemon's user the right to read it."
        )

    def untold(self) -> list[str]:
        new = [kind for kind in list(self.texts) if kind not in self._told]
        self._told.update(new)
        return [self.texts[kind] for kind in new]


@dataclass
class Snapshot:
    """One walk through a tree, in batches: each has the keys that look different from what the index knows with their sight, None if they are gone.

    A directory that cannot be read says nothing about the keys in it. A walk compares what it sees at one moment with what the index knows a
    little later, so a key can be reported that is handled already: look again before acting.
    """

    root: str
    keys: ObjectKeys
    index: ObjectIndex
    oddities: Oddities
    _visited: set[str] = field(default_factory=set)
    _unread: set[str] = field(default_factory=set)

    def batches(self, tops: Set[str]) -> Iterator[dict[str, str | None]]:
        """Walk from these directories (relative paths, none in another) downward."""
        batch: dict[str, str | None] = {}
        looks = 0
        for difference in self._walk(tops):
            looks += 1
            batch |= difference
            if looks >= LOOKS_IN_BATCH or len(batch) >= KEYS_IN_BATCH:
                yield batch
                batch, looks = {}, 0
        yield batch

    def _walk(self, tops: Set[str]) -> Iterator[Difference]:
        """For every wanted file below the directories how it differs from the index, and every key that the index knows and the tree has not."""
        waiting = [top for top in tops if self.keys.enters(top)]
        while waiting:
            directory = waiting.pop()
            yield from self._directory(directory, waiting)
        for directory in self.index.directories(tops):
            if directory not in self._visited and not is_below(directory, self._unread):
                yield from (gone(child(directory, name)) for name in self.index.entries_in(directory))

    def _directory(self, directory: str, waiting: list[str]) -> Iterator[Difference]:
        known = self.index.entries_in(directory)
        before = f"{directory}/" if directory else ""
        try:
            with os.scandir(f"{self.root}/{directory}") as entries:
                for entry in entries:
                    key = before + entry.name
                    sight = self._entry(key, entry, waiting)
                    if sight is not None:
                        yield SAME if shows(known.pop(entry.name, None), sight) else {key: sight}
        except (FileNotFoundError, NotADirectoryError):
            if not directory:
                raise
            return
        except OSError as error:
            self._unread.add(directory)
            self.oddities.unreadable(f"{self.root}/{directory}", error)
            return
        self._visited.add(directory)
        yield from (gone(before + name) for name in known)

    def _entry(self, path: str, entry: os.DirEntry[str], waiting: list[str]) -> str | None:
        """The sight of a wanted file. A directory is put on the list of those to visit, anything else is passed over."""
        if entry.is_dir(follow_symlinks=False):
            if self.keys.enters(path) and self._named(path, entry):
                waiting.append(path)
            return None
        if not self.keys.wants(path) or not self._named(path, entry):
            return None
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        return sight_if_file(status, entry.path, self.root, self.oddities)

    def _named(self, path: str, entry: os.DirEntry[str]) -> bool:
        if is_text(entry.name):
            return True
        self.oddities.name(entry.path)
        return False


def gone(key: str) -> Difference:
    return {key: None}


def sight_if_file(status: os.stat_result, path: str, root: str, oddities: Oddities) -> str | None:
    """The sight of a regular file, or of a link to one in the bucket: that of the link itself, so that the key changes when the link is made anew
    and not with the file behind it, which has a key of its own. Anything else is noted as an oddity."""
    if stat.S_ISREG(status.st_mode):
        return sight_of(status)
    if not stat.S_ISLNK(status.st_mode):
        oddities.kind(path, status.st_mode)
    elif leads_to_file(path, root):
        return sight_of(status)
    else:
        oddities.link(path)
    return None


def leads_to_file(link: str, root: str) -> bool:
    end = Path(link).resolve()
    return str(end).startswith(root + os.sep) and end.is_file()
