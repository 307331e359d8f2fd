"""What clients send again and again is read once: the last answers are kept, of short texts alone, so that strangers cannot fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Protocol, TypeVar, cast

Sent = TypeVar("Sent", str, bytes)
Asked = TypeVar("Asked", str, bytes, contravariant=True)
T = TypeVar("T")
Read = TypeVar("Read", covariant=True)
#: How many texts are remembered, and the longest of them, where nothing else is said.
REMEMBERED = 256
LONGEST_REMEMBERED = 512


class Remembering(Protocol[Asked, Read]):
    """A function of a text that remembers, with what ``functools.lru_cache`` tells of that."""

    def __call__(self, text: Asked, /) -> Read: ...

    def cache_info(self) -> Any: ...

    def cache_clear(self) -> None: ...


def remembered(most: int = REMEMBERED, longest: int = LONGEST_REMEMBERED) -> Callable[[Callable[[Sent], T]], Remembering[Sent, T]]:
    """Decorate a function of a text: its answers to the last ``most`` texts of at most ``longest`` characters are kept. What it raises is not."""

    def decorate(read: Callable[[Sent], T]) -> Remembering[Sent, T]:
        known = lru_cache(most)(read)

        @wraps(read)
        def remembering(text: Sent) -> T:
            return known(text) if len(text) <= longest else read(text)

        found: Any = remembering
        found.cache_info, found.cache_clear = known.cache_info, known.cache_clear
        return cast("Remembering[Sent, T]", found)

    return decorate
