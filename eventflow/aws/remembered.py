"""What clients send again and again is read once: the last answers are kept, of short texts alone, so that strangers cannot fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
#: How many texts are remembered, and the longest of them.
REMEMBERED = 256
LONGEST_REMEMBERED = 512


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """The same function of a text; what it raises is not remembered."""
    known = lru_cache(REMEMBERED)(read)

    @wraps(read)
    def remembering(text: str) -> T:
        return known(text) if len(text) <= LONGEST_REMEMBERED else read(text)

    return remembering
