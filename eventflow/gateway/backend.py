"""The HTTP proxy integration: a request is passed on to an HTTP server, and its answer streams through."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import httptools

from eventflow.errors import SettingError
from eventflow.gateway.answers import Malformed, fields, status_of
from eventflow.gateway.routes import VARIABLE
from eventflow.gateway.seams import Answer, Findings, Refusal

if TYPE_CHECKING:
    from eventflow.gateway.apis import Route
    from eventflow.gateway.request import Request

#: What is between two parties of a connection alone (RFC 9110, 7.6.1), and what the gateway sets itself.
HOP_BY_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"content-length", b"host", b"expect"),
        *(b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-amzn-trace-id"),
    )
)
PIECE = 64 * 1024
LARGEST_HEAD = 64 * 1024


class Broken(Exception):
    """The server's answer cannot be understood, or ended too early."""


@dataclass
class Head:
    """An answer's head while it is read, and the pieces of its body that came with it; the methods are those that httptools calls."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    begun: bool = False
    whole: bool = False

    def on_message_begin(self) -> None:
        self.headers.clear()  # an interim answer may have come before
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.whole = True


class HttpIntegration:
    """Passes requests on to ``uri``, in which ``{name}`` stands for a variable of the route's path. One connection for each request."""

    def __init__(self, where: str, uri: object, names: frozenset[str]) -> None:
        parts = urlsplit(uri) if isinstance(uri, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "{" in parts.netloc:
            raise SettingError(f"{where}: to={uri!r} is refused: it takes the address of an HTTP server, such as http://127.0.0.1:9000/{{proxy}}.")
        if parts.username is not None:
            raise SettingError(f"{where}: to={uri!r} is refused: nothing would send its user and password; name the server alone.")
        for name, _greedy in VARIABLE.findall(parts.path):
            if name not in names:
                raise SettingError(f"{where}: to={uri!r} is refused: {{{name}}} is no variable of the route.")
        self._host = parts.hostname
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._query = parts.query
        self._tls: ssl.SSLContext | None = None

    async def _context(self) -> ssl.SSLContext | None:
        """Made once: it reads the certificates of all authorities."""
        if self._secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        if any(climbs(value) for value in request.parameters.values()):
            return Refusal("BAD_REQUEST")
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(route.timeout):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=await self._context())
                writer.write(self._head(request, route) + request.body)
                await writer.drain()
                head = Head()
                parser = httptools.HttpResponseParser(head)
                await read_head(reader, parser, head)
        except TimeoutError:
            close(writer)
            return Refusal("INTEGRATION_TIMEOUT")
        except (OSError, Broken, httptools.HttpParserError):
            close(writer)
            return Refusal("INTEGRATION_UNREACHABLE")
        except BaseException:
            close(writer)
            raise
        status = parser.get_status_code()
        headers = passed_on(head.headers)
        if request.method == "HEAD" or status in (204, 304):
            close(writer)
            return Answer(status, [*headers, *lengths(head.headers)], b"", bodyless())
        return Answer(status, [*headers, *lengths(head.headers)], b"", body_of(reader, writer, parser, head))

    def _head(self, request: Request, route: Route) -> bytes:
        safe = "/~!$&'()*+,;=:@" if route.api.protocol == "HTTP" else "/~!$&'()*+,;=:@%"  # the variables of REST APIs are encoded already
        path = VARIABLE.sub(lambda match: quote(request.parameters.get(match[1], ""), safe=safe), self._path)
        query = "&".join(filter(None, (self._query, request.query)))
        lines = [f"{request.method} {path}{'?' if query else ''}{query} HTTP/1.1".encode("latin-1"), b"host: " + self._authority.encode()]
        named = connection_names(request.headers)
        lines += [name + b": " + value for name, value in request.headers if name not in HOP_BY_HOP and name not in named]
        before = request.header("x-forwarded-for")
        forwarded = f"{before}, {request.peer}" if before else request.peer
        lines += [
            f"x-forwarded-for: {forwarded}".encode("latin-1"),
            f"x-forwarded-proto: {request.scheme}".encode(),
            f"x-forwarded-port: {request.port}".encode(),
            f"x-forwarded-host: {request.host}".encode("latin-1"),
            f"x-amzn-trace-id: {request.trace}".encode(),
            b"connection: close",
        ]
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            lines.append(b"content-length: %d" % len(request.body))
        return b"\r\n".join([*lines, b"", b""])


def climbs(variable: str) -> bool:
    """Whether a part of a path is ``.`` or ``..``: a server that resolves them would answer from above the path that the route leads to."""
    return "." in unquote(variable) and any(part.partition(";")[0] in (".", "..") for part in unquote(variable).replace("\\", "/").split("/"))


async def read_head(reader: asyncio.StreamReader, parser: httptools.HttpResponseParser, head: Head) -> None:
    size = 0
    while not (head.begun and parser.get_status_code() >= 200):
        piece = await reader.read(PIECE)
        size += len(piece)
        if not piece or (size > LARGEST_HEAD and not head.begun):
            raise Broken
        head.begun = head.begun and parser.get_status_code() >= 200
        parser.feed_data(piece)


async def body_of(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parser: httptools.HttpResponseParser, head: Head
) -> AsyncIterator[bytes]:
    """The pieces of the body as they come. Raises Broken where the server ends before its answer."""
    bounded = any(name == b"content-length" or name == b"transfer-encoding" for name, _value in head.headers)
    try:
        while True:
            pieces, head.pieces = head.pieces, []
            for piece in pieces:
                yield piece
            if head.whole:
                return
            data = await reader.read(PIECE)
            if not data:
                if bounded:
                    raise Broken
                return
            parser.feed_data(data)
    finally:
        writer.close()


async def bodyless() -> AsyncIterator[bytes]:
    return
    yield b""


def passed_on(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    named = connection_names(headers)
    return [one for one in headers if one[0] not in HOP_BY_HOP and one[0] not in named and one[0] != b"date"]


def lengths(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The length that the server told; where it told none, the answer goes on in chunks."""
    if any(name == b"transfer-encoding" for name, _value in headers):
        return []
    return [one for one in headers if one[0] == b"content-length"][:1]


def connection_names(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What the header Connection names belongs to that connection alone."""
    return frozenset(token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b","))


def close(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.close()


class MockIntegration:
    """Answers by itself, always the same."""

    def __init__(self, where: str, given: Mapping[str, object]) -> None:
        try:
            headers = fields(given.get("headers"))
            status = status_of(given.get("status", 200))
        except Malformed as error:
            raise SettingError(f"{where}: {error}.") from error
        body = given.get("body", "")
        if not isinstance(body, str):
            raise SettingError(f"{where}: body={body!r} is refused: it takes a text.")
        if not any(name == b"content-type" for name, _value in headers):
            headers.append((b"content-type", b"application/json"))
        self._answer = Answer(status, headers, body.encode())

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        return self._answer
