"""JSON documents with a large blob in them, read so that other threads get their turns.

The decoder takes a text of 70 MB in one step, in which nothing else in the process runs. The blob is therefore left out of what the decoder sees, and
decoded from Base64 in pieces.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

#: What is smaller is read in about a millisecond.
LARGE = 1 << 20
#: A text without a quotation mark over such a stretch is looked at.
STRIDE = 64 * 1024
#: So many characters are decoded in one step; a multiple of four.
PIECE = 256 * 1024
BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
ENDING = re.compile(rb"[A-Za-z0-9+/]{2}|[A-Za-z0-9+/]=|==")
STANDS_FOR = "-- a large text is left out here --"


class LargeText:
    """A text of a document, of the characters of Base64 alone, as it lies in the body."""

    __slots__ = ("_octets",)

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets

    def __str__(self) -> str:
        return str(self._octets, "ascii")

    def decoded(self) -> bytes:
        """Raises binascii.Error, a ValueError, where it is not Base64."""
        pieces = [binascii.a2b_base64(self._octets[at : at + PIECE]) for at in range(0, len(self._octets), PIECE)]
        return b"".join(pieces)


def load(body: bytes, decode: Callable[[str], Any]) -> Any:
    """What ``decode`` makes of a document, with LargeText in the places of large texts. Raises what ``decode`` raises, and ValueError."""
    rest, larges = hollowed(body)
    names = {f"{STANDS_FOR}{number}": large for number, large in enumerate(larges)}
    return filled(decode(rest.decode("utf-8")), names) if names else decode(body.decode("utf-8"))


def hollowed(body: bytes) -> tuple[bytes, list[LargeText]]:
    """A document without its large texts, in whose places there are names, and these texts; the document itself where there are none."""
    parts: list[bytes] = []
    larges: list[LargeText] = []
    view, done, at = memoryview(body), 0, 0
    while at < len(body):
        if body.find(b'"', at, at + STRIDE) >= 0:
            at += STRIDE
            continue
        start, end = body.rfind(b'"', done, at) + 1, body.find(b'"', at)
        if end < 0:
            break
        # After a quotation mark that is escaped, or that ends a text, this is no text of its own.
        if start > 0 and body[start - 2 : start - 1] != b"\\" and is_base64(view[start:end]):
            parts += [body[done:start], f"{STANDS_FOR}{len(larges)}".encode()]
            larges.append(LargeText(view[start:end]))
            done = end
        at = end + 1
    rest = b"".join([*parts, body[done:]]) if larges else body
    unclear = rest.count(STANDS_FOR.encode()) != len(larges)
    return (body, []) if unclear else (rest, larges)


def is_base64(octets: memoryview) -> bool:
    plain, ending = octets[:-2], octets[-2:]
    pieces = (plain[at : at + PIECE] for at in range(0, len(plain), PIECE))
    return len(ending) == 2 and ENDING.fullmatch(ending) is not None and all(BASE64.fullmatch(piece) for piece in pieces)


def filled(value: Any, names: Mapping[str, LargeText]) -> Any:
    """A document's value with the texts that were left out; a large key is an ordinary text again."""
    if type(value) is dict:
        return {str(names.get(key, key)): filled(item, names) for key, item in value.items()}
    if type(value) is list:
        return [filled(item, names) for item in value]
    return names.get(value, value) if type(value) is str else value
