"""HTTP byte ranges as S3 reads them: one range, or the whole object."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eventflow.errors import ServiceError

ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from ``start`` up to ``stop``, which is not among them, of an object of ``size`` bytes."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def resolve_range(header: str | None, size: int) -> ByteRange | None:
    """What a ``Range`` header means for an object of this size. None is the whole object: S3 ignores a header that it cannot read, and several ranges
    at once; a readable range of which no byte exists is refused."""
    found = ONE_RANGE.fullmatch(header.replace(" ", "")) if header else None
    if not header or found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise ServiceError("InvalidRange", "The requested range is not satisfiable", 416, ActualObjectSize=str(size), RangeRequested=header)
    return ByteRange(start, stop, size)
