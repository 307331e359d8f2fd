"""HTTP byte ranges as S3 reads them: one range, or the whole object."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def part_range(number: int | None, sizes: Sequence[int], size: int) -> ByteRange | None:
    """The bytes of one part of an object that was uploaded in parts; one that came whole is its own first part."""
    if number is None:
        return None
    sizes = sizes or (size,)
    if not 1 <= number <= len(sizes):
        raise ServiceError(
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
            416,
            PartNumberRequested=str(number),
            ActualPartCount=str(len(sizes)),
        )
    start = sum(sizes[: number - 1])
    return ByteRange(start, start + sizes[number - 1], size) if size else None


def exact_range(header: str | None, size: int) -> ByteRange | None:
    """The range of a copy's source: both ends, and inside the object, or it is refused."""
    if header is None:
        return None
    found = ONE_RANGE.fullmatch(header)
    if found is None or "" in found.groups():
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and "
        )
        raise ServiceError("InvalidArgument", f"{message}last bytes to copy", ArgumentName="x-amz-copy-source-range", ArgumentValue=header)
    start, stop = int(found[1]), int(found[2]) + 1
    if not start < stop <= size:
        raise ServiceError(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    return ByteRange(start, stop, size)


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
