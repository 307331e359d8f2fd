"""One HTTP request as the endpoint sees it: the head decoded once, the body not yet read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes


class NotText(ValueError):
    """A percent-encoded part of the request is not UTF-8."""


class Request:
    """``path`` and ``query_string`` are as received, still percent-encoded. ``headers`` have lower-case names and latin-1 values (so that encoding
    them again gives the received bytes); a header sent twice is joined by a comma, as HTTP allows and as signatures are made."""

    __slots__ = ("_query", "headers", "method", "path", "query_string", "scheme")

    def __init__(self, method: str, path: str, query_string: str, headers: dict[str, str], scheme: str = "http") -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers
        self.scheme = scheme
        self._query: dict[str, list[str]] | None = None

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> Request:
        return cls(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            joined(scope["headers"]),
            scope.get("scheme", "http"),
        )

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's names and values, decoded. Raises NotText."""
        if self._query is None:
            self._query = decode_pairs(self.query_string)
        return self._query

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def has_body(self) -> bool:
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers


def joined(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    if len(headers) < len(pairs):  # some were sent twice
        headers = {}
        for name_bytes, value_bytes in pairs:
            name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def decode_pairs(text: str) -> dict[str, list[str]]:
    """The names and values of a query string or a form."""
    found: dict[str, list[str]] = {}
    for pair in text.split("&") if text else ():
        if pair:
            name, _, value = pair.partition("=")
            found.setdefault(decode(name.replace("+", " ")), []).append(decode(value.replace("+", " ")))
    return found


def decode(text: str) -> str:
    """Percent-encoded text as text; it must be UTF-8."""
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise NotText(f"{text!r} is not percent-encoded UTF-8.") from error
