"""What a payload is: one JSON value in UTF-8, kept byte for byte as it came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


DECODER = json.JSONDecoder(parse_constant=refuse_constant)
#: The value that begins at a place of a text, and where it ends.
SCAN: Callable[[str, int], tuple[Any, int]] = DECODER.scan_once  # type: ignore[attr-defined]


def check(payload: bytes) -> None:
    """Raises ValueError, which says where, for bytes that are no JSON value."""
    text = payload.decode()
    try:
        # Nearly every payload has no white space around it: this is a third of what decode() costs for a small one.
        if SCAN(text, 0)[1] == len(text):
            return
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (StopIteration, ValueError):
        pass  # decode() finds the same again, and says where
    DECODER.decode(text)


def encode(value: object) -> bytes:
    """A value as payload: bytes are JSON already and stay as they are. Raises ValueError and TypeError for what JSON cannot say."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
