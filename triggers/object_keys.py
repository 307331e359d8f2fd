"""Which paths below a bucket's directory are those of objects that a trigger is asked for."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

#: How programs call a file that they have not finished; a dot in front, of the file or of a directory above it, says the same.
TEMPORARY_ENDINGS = (".part", ".tmp", "~")
HIDDEN = "."
#: Where the object store keeps the objects whose keys no directory can hold, each under an encoded name.
ENCODED = ".eventflow-keys"


def no_key(_path: str) -> str | None:
    """For buckets in which nothing is encoded."""
    return None


@dataclass(frozen=True, slots=True)
class ObjectKeys:
    """Keys that begin with one of ``prefixes`` and end with one of ``suffixes``; an empty tuple asks for nothing in particular. ``decode`` is
    ``BucketSource.key_at``.

    Paths are relative POSIX paths, and keys but for those below ``ENCODED``: what lies there came through S3, so it is whole whatever it is called.
    """

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    decode: Callable[[str], str | None] = no_key

    def wants(self, path: str) -> bool:
        """Whether the file at this path is one to tell of."""
        if is_encoded(path):
            key = self.decode(path)
            return key is not None and self._asked_for(key)
        return not path.endswith(TEMPORARY_ENDINGS) and not path.startswith(HIDDEN) and "/." not in path and self._asked_for(path)

    def _asked_for(self, key: str) -> bool:
        return (not self.suffixes or key.endswith(self.suffixes)) and (not self.prefixes or key.startswith(self.prefixes))

    def enters(self, directory: str) -> bool:
        """Whether there can be such a file below this directory (a relative path without a slash at its end, empty for the bucket's own)."""
        if not directory:
            return True
        if directory == ENCODED or is_encoded(directory):
            inside = self.decode(directory)
            return inside is not None and self._leads_to(inside)
        if directory.startswith(HIDDEN) or "/." in directory:
            return False
        return self._leads_to(directory + "/")

    def _leads_to(self, inside: str) -> bool:
        """Whether keys that begin so can have one of the prefixes."""
        return not self.prefixes or any(inside.startswith(prefix) or prefix.startswith(inside) for prefix in self.prefixes)


def is_encoded(path: str) -> bool:
    return path.startswith(ENCODED + "/")


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
