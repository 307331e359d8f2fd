"""Documents from an issuer's server: one GET over TLS, of bounded size, that can be called off at any moment."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import httptools

from eventflow.clock import Clock
from eventflow.gateway.authorizers.threads import Threads
from eventflow.gateway.deadlines import within

LARGEST_DOCUMENT = 1024 * 1024
LARGEST_HEAD = 64 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PIECE = 65_536
#: A host may have addresses that lead nowhere, IPv6 ones above all.
MOST_ADDRESSES = 4
CONNECT_SECONDS = 1.2


class FetchFailed(Exception):
    """A document could not be had; the text says why."""


def checked_url(text: str) -> SplitResult:
    """Raises ValueError for an address that nobody should get keys from: over plain HTTP, anyone in between could put in their own."""
    url = urlsplit(text)
    if url.scheme not in ("https", "http") or not url.hostname or url.username is not None or url.fragment or not text.isascii():
        raise ValueError(f"{text!r} is no address such as https://login.example.com/keys")
    if any(octet <= " " or octet == "\x7f" for octet in text):
        raise ValueError(f"{text!r} has white space in it")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        raise ValueError(f"{text!r} is not https, and of another machine")
    if url.port == 0:
        raise ValueError(f"{text!r} has no port")
    return url


@dataclass
class Reading:
    """What httptools tells of a response."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    complete: bool = False

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


class Fetcher:
    """``get`` follows no redirect and uses no proxy, so that the keys come from where they were said to be. It has no time limit of its own."""

    def __init__(self, clock: Clock) -> None:
        self.threads = Threads()
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def get(self, address: str) -> bytes:
        """Raises FetchFailed."""
        try:
            return await self._get(checked_url(address))
        except (OSError, ValueError, httptools.HttpParserError, asyncio.LimitOverrunError) as error:  # TLS errors are OSErrors
            raise FetchFailed(f"{address}: {error or type(error).__name__}") from error

    async def _get(self, url: SplitResult) -> bytes:
        secure = url.scheme == "https"
        if secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads the certificates of all authorities
        reader, writer = await self._connect(str(url.hostname), url.port or (443 if secure else 80), self._tls if secure else None)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            head = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/json\r\nUser-Agent: eventflow\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            return await read_response(reader, url.geturl())
        finally:
            writer.transport.abort()  # to end TLS in good order would mean to wait for the other side

    async def _connect(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The first of the host's addresses that answers; none of them takes the time of all."""
        resolved = await self.threads.run(f"resolve {host}", lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        failure: OSError = OSError(f"{host} has no address")
        for _family, _type, _protocol, _name, address in resolved[:MOST_ADDRESSES]:
            opening = asyncio.open_connection(str(address[0]), port, ssl=tls, server_hostname=None if tls is None else host)
            try:
                return await within(self._clock, CONNECT_SECONDS, opening)
            except TimeoutError:
                failure = OSError(f"{address[0]} has not answered within {CONNECT_SECONDS:g} s")
            except OSError as error:
                failure = error
        raise failure


async def read_response(reader: asyncio.StreamReader, address: str) -> bytes:
    reading = Reading()
    parser = httptools.HttpResponseParser(reading)
    received = 0
    while not reading.complete and (piece := await reader.read(PIECE)):
        received += len(piece)
        parser.feed_data(piece)
        if reading.size > LARGEST_DOCUMENT or received - reading.size > LARGEST_HEAD:
            raise FetchFailed(f"{address} answers with more than {LARGEST_DOCUMENT} bytes")
    if not received:
        raise FetchFailed(f"{address} closed the connection without an answer")
    status = parser.get_status_code()
    if status != 200:
        raise FetchFailed(f"{address} answers with status {status}")
    return b"".join(reading.chunks)
