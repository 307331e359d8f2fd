"""Which paths below a bucket's directory are keys that a trigger is asked for."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

#: How programs call a file that they have not finished; a dot in front, of the file or of a directory above it, says the same.
TEMPORARY_ENDINGS = (".part", ".tmp", "~")
HIDDEN = "."


@dataclass(frozen=True, slots=True)
class ObjectKeys:
    """Keys that begin with one of ``prefixes`` and end with one of ``suffixes``; an empty tuple asks for nothing in particular."""

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    def wants(self, key: str) -> bool:
        """Whether the file with this key is one to tell of. Keys are relative POSIX paths."""
        return (
            not key.endswith(TEMPORARY_ENDINGS)
            and not key.startswith(HIDDEN)
            and "/." not in key
            and (not self.suffixes or key.endswith(self.suffixes))
            and (not self.prefixes or key.startswith(self.prefixes))
        )

    def enters(self, directory: str) -> bool:
        """Whether there can be such a file below this directory (a relative path without a slash at its end, empty for the bucket's own)."""
        if not directory:
            return True
        if directory.startswith(HIDDEN) or "/." in directory:
            return False
        inside = directory + "/"
        return not self.prefixes or any(inside.startswith(prefix) or prefix.startswith(inside) for prefix in self.prefixes)


def child(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def is_below(path: str, directories: Container[str]) -> bool:
    """Whether a relative path is one of the directories or lies in one; everything lies in the empty one."""
    while path not in directories:
        if not path:
            return False
        path = path.rpartition("/")[0]
    return True


def is_text(name: str) -> bool:
    """Whether a name from the file system is UTF-8: other bytes come as lone surrogates."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
