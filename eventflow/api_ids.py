"""The ids of APIs: AWS's ten characters, the same whenever they are asked for."""

from __future__ import annotations

import hashlib


def api_id(account: str, app: str, protocol: str, name: str) -> str:
    return short_id(f"{account}/{app}/{protocol}/{name}")


def short_id(text: str) -> str:
    """AWS's ten characters, for a thing that a text names: the same whenever it is asked for."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    found = letters[digest % 26]  # a host name may begin with a digit, and some resolvers do not know it
    for _ in range(9):
        digest //= 36
        found += letters[digest % 36]
    return found
