"""Many events as one HTTP body: a line of JSON that says how long each payload is, then the payloads, back to back and byte for byte.

``{"keys": ["k1", null], "sizes": [7, 2], "trace": "Root=..."}`` and a line feed, then ``{"a":1}{}``. ``keys`` (an event that is sent again with its
key is ignored) and ``trace`` (the header of the invocation that emits) may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from eventflow import payload as payloads

MOST_EVENTS = 10_000
LONGEST_KEY = 256
LONGEST_TRACE = 8192
MEMBERS = {"keys", "sizes", "trace"}


@dataclass(frozen=True)
class Bulk:
    payloads: Sequence[bytes]
    keys: Sequence[str | None] | None = None
    trace: str | None = None

    def encode(self) -> bytes:
        head: dict[str, Any] = {"sizes": list(map(len, self.payloads)), "keys": self.keys, "trace": self.trace}
        stated = {name: value for name, value in head.items() if value is not None}
        return b"".join((json.dumps(stated, separators=(",", ":")).encode(), b"\n", *self.payloads))

    @classmethod
    def decode(cls, body: bytes) -> Bulk:
        """Raises ValueError, a sentence, for what is no such body, and for a payload that is no JSON, by its place."""
        begin = body.find(b"\n") + 1 or len(body)
        line = body[:begin]
        head = json.loads(line)
        if not isinstance(head, dict) or "sizes" not in head or not head.keys() <= MEMBERS:
            raise ValueError(f"the first line must be a JSON object with sizes, and may have keys and trace, not {line[:100]!r}")
        sizes, keys, trace = head["sizes"], head.get("keys"), head.get("trace")
        check_sizes(sizes, len(body) - begin)
        if keys is not None:
            check_keys(keys, len(sizes))
        if trace is not None and not (isinstance(trace, str) and trace.isascii() and len(trace) <= LONGEST_TRACE):
            raise ValueError(f"trace must be ASCII text of at most {LONGEST_TRACE} characters")
        places = accumulate(sizes, initial=begin)
        found = [body[place : place + size] for place, size in zip(places, sizes, strict=False)]
        for place, payload in enumerate(found):
            try:
                payloads.check(payload)
            except ValueError as error:
                raise ValueError(f"the payload of event {place + 1} of {len(found)} is not JSON: {error}") from error
        return cls(found, keys, trace)


def check_sizes(sizes: Any, total: int) -> None:
    if not isinstance(sizes, list) or not 1 <= len(sizes) <= MOST_EVENTS or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"sizes must be a list of 1 to {MOST_EVENTS} whole numbers from 1 on")
    if sum(sizes) != total:
        raise ValueError(f"sizes say {sum(sizes)} bytes, and {total} came")


def check_key(key: Any) -> None:
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
        raise ValueError(f"a key is a text of 1 to {LONGEST_KEY} characters, not {str(key)[:100]!r}")
    if not key.isascii():
        key.encode()  # half a surrogate pair is no text: the journal could not keep it, nor what shares its transaction


def check_keys(keys: Any, count: int) -> None:
    if not isinstance(keys, list) or len(keys) != count:
        raise ValueError(f"keys must be a list of {count}, one for each event")
    for key in keys:
        if key is not None:
            check_key(key)
