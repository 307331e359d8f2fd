"""What a server that anybody can reach takes: heads of a bounded size, clients of some speed, and TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from eventflow.errors import EventflowError
from eventflow.gateway.authorizers.client_certificates import STATE, client_certificate
from eventflow.http_protocol import Protocol


@dataclass(frozen=True)
class Limits:
    """What a server takes from clients that it does not know: ``head_bytes`` of a request's line and headers, ``head_seconds`` until they are whole,
    ``idle_seconds`` between two requests, or in which nothing of an answer is read."""

    head_bytes: int
    head_seconds: float
    idle_seconds: float


#: What clients do wrong is told to them: a log that anybody can fill helps nobody.
FAILURES = logging.getLogger("eventflow.http")
FAILURES.setLevel(logging.ERROR)


#: So many bytes may come one after another that belong to a request and are none of its body: chunks' extensions, fields after the last one.
MOST_FRAMING = 64 * 1024


class HeadTooLarge(Exception):
    """A request's line and headers have more bytes than they may."""


class GuardedProtocol(Protocol):
    """Refuses heads that are too large and clients that are too slow. A request whose head comes in one piece pays nothing for it."""

    limits = Limits(10_240, 30.0, 60.0)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = FAILURES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and (certificate := client_certificate(tls)) is not None:
            self.app_state = {**self.app_state, STATE: certificate}
        self._heading = True
        self._last_words: bytes | None = None
        self._earlier = self._piece = 0
        self._unread = 0
        self._framing = 0
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        super().data_received(data)
        if self._heading and not self.transport.is_closing():
            self._earlier += self._piece
            if self._earlier > self.limits.head_bytes:
                self.refused_with = 431
                self.send_400_response("")
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)
        elif self.cycle is not None and self.cycle.more_body:
            self._framing += self._piece
            if self._framing > MOST_FRAMING and not self.transport.is_closing():
                self.send_400_response("")

    def on_body(self, body: bytes) -> None:
        self._framing = -self._piece  # the piece that is being read counts for nothing
        super().on_body(body)

    def on_message_begin(self) -> None:
        self._heading, self._earlier, self._framing = True, 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        most = self.limits.head_bytes
        if self._earlier + self._piece > most and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > most:
            self.refused_with = 431
            raise HeadTooLarge
        self._heading = False
        if self._head_timer is not None:
            self._cancel_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """End the connection with an answer to the request that is refused, once those before it have theirs."""
        self._cancel_head_timer()
        self._heading = False
        if self._last_words is not None:
            return  # the parser complains of all that comes behind the first mistake
        self._last_words = last_words(self.refused_with)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._end()
        elif cycle.more_body:  # what is refused is the body of the latest of them
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline:
                self.pipeline.popleft()  # it has not had its turn
            elif cycle.response_started:
                self.transport.close()
            else:
                self._end()

    def _end(self) -> None:
        if self._last_words is not None and not self.transport.is_closing():
            self.transport.write(self._last_words)
            self.transport.close()

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if was_last:
            self._end()

    def idled(self) -> None:
        """Close an idle connection; one whose client reads nothing is idle too."""
        unread = self.transport.get_write_buffer_size()
        if unread and unread != self._unread:
            self._unread = unread
            self.wait_idle()
        elif unread:
            self.transport.abort()
        else:
            super().idled()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._heading:
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def last_words(status: int) -> bytes:
    """An answer with which a connection ends."""
    text = HTTPStatus(status).phrase
    body = f'{{"message":"{text}"}}'
    head = f"HTTP/1.1 {status} {text}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return f"{head}{body}".encode()


def guarded(limits: Limits) -> type[GuardedProtocol]:
    """The protocol with these limits."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})


def check_certificate(certificate: Path, key: Path) -> None:
    """Raises EventflowError, which names the file, for what no server can start with."""
    for file in (certificate, key):
        if not file.is_file():
            raise EventflowError(f"{file} is no file; --tls-cert takes the server's certificate and --tls-key its key, both as PEM.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise EventflowError(f"{certificate} and {key} are no certificate and its key in PEM: {error}.") from error


def check_authorities(file: Path) -> None:
    """Raises EventflowError, which names the file, for what no client can be checked with."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(file)
    except (ssl.SSLError, OSError) as error:
        raise EventflowError(f"{file} has no certificates of authorities in PEM, which --tls-client-ca takes: {error}.") from error
    if not context.cert_store_stats()["x509_ca"]:
        raise EventflowError(f"{file} has no certificate of an authority in it, which --tls-client-ca takes; it would let nobody in.")
