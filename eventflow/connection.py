"""The way to a running daemon: where it says that it is, and a connection to its control API."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httptools

from eventflow.errors import EventflowError

ANNOUNCEMENT = "daemon.json"
ANSWER_SECONDS = 30.0
#: A function may run for 900 seconds; the daemon gets some more to end it and to answer.
INVOKE_SECONDS = 960.0
PIECE = 256 * 1024


class DaemonError(EventflowError):
    """The daemon is not there, does not answer, or refused what was asked."""


class Unreachable(DaemonError):
    """No answer came. ``sent`` says that the daemon may have got the request all the same, and may have done what it asks."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(DaemonError):
    """The daemon answered with an error: ``status`` is HTTP's, ``retry_after`` how many seconds it asks to wait."""

    def __init__(self, message: str, status: int, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True)
class Address:
    """Where a daemon is. ``pid`` is known of one on this machine."""

    url: str
    token: str
    pid: int | None = None

    @classmethod
    def of(cls, state: Path) -> Address:
        """The daemon that runs on a state directory; Unreachable says what to do when there is none."""
        file = state / ANNOUNCEMENT
        try:
            said = json.loads(file.read_text())
            address = cls(said["url"], said["token"], int(said["pid"]))
        except FileNotFoundError:
            raise Unreachable(
                f"No daemon runs on the state directory {state}. Start one with `eventflow run APP`, or name its directory with --state DIR.",
                sent=False,
            ) from None
        except PermissionError as error:
            raise DaemonError(f"{file} belongs to another user, who runs that daemon; work as that user.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaemonError(f"{file} cannot be read ({type(error).__name__}: {error}); start the daemon again with `eventflow run APP`.") from error
        if not is_alive(int(said["pid"])):
            raise Unreachable(
                f"The daemon on {state} (pid {address.pid}) has ended without cleaning up, as after a crash or kill -9. "
                "Start it again with `eventflow run APP`; what it had accepted is still there.",
                sent=False,
            )
        return address

    def __str__(self) -> str:
        return "The daemon" if self.pid is None else f"The daemon (pid {self.pid})"


@dataclass
class Answer:
    """An HTTP answer while it is read; the methods are those that httptools calls."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Connection:
    """A connection to the control API of the daemon at ``address`` that stays open from one request to the next. For one thread at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        parts = urlsplit(address.url)
        if parts.scheme != "http" or not parts.hostname:
            raise DaemonError(f"{address.url!r} is no address of a daemon; it takes one such as http://127.0.0.1:4566.")
        self._place = (parts.hostname, parts.port or 80)
        self._head = f"HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {address.token}\r\n"
        self._socket: socket.socket | None = None
        self._owner = 0

    def ask(self, method: str, path: str, body: bytes = b"", *, seconds: float = ANSWER_SECONDS) -> Any:
        """The daemon's answer, decoded. Raises Unreachable (also when it says nothing for so many ``seconds``), Refused and DaemonError."""
        request = f"{method} /_eventflow/{path} {self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        answer = self._exchange(request, seconds)
        try:
            said = json.loads(answer.body)
        except ValueError as error:
            if answer.status >= 500:
                raise Refused(f"{self.address} failed on this with status {answer.status}; its own log tells why.", answer.status) from error
            text = f"{self.address.url} answered {answer.status} with something that is no JSON; is it an eventflow daemon?"
            raise DaemonError(text) from error
        if answer.status >= 400:
            raise Refused(refusal(said, answer.status), answer.status, seconds_of(answer.headers.get(b"retry-after", b"")))
        return said

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes, seconds: float) -> Answer:
        connected = self._connected(seconds)
        try:
            connected.settimeout(seconds)
            connected.sendall(request)
            answer = received(connected)
        except TimeoutError as error:
            self.close()
            raise Unreachable(f"{self.address} did not answer at {self.address.url} within {seconds:.0f} seconds.", sent=True) from error
        except (OSError, httptools.HttpParserError) as error:
            self.close()
            raise Unreachable(self._silence(error), sent=True) from error
        except BaseException:
            self.close()  # an answer that nobody waits for any more must not be taken for that of the next request
            raise
        if answer.headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return answer

    def _connected(self, seconds: float) -> socket.socket:
        """The open connection, or a new one: a daemon closes one that was idle for some seconds, and a fork must not share its parent's."""
        if self._socket is not None and (self._owner != os.getpid() or is_readable(self._socket)):
            self.close()
        if self._socket is None:
            try:
                self._socket = socket.create_connection(self._place, seconds)
            except OSError as error:
                raise Unreachable(self._silence(error), sent=False) from error
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._owner = os.getpid()
        return self._socket

    def _silence(self, error: Exception) -> str:
        return f"{self.address} does not answer at {self.address.url}: {str(error) or type(error).__name__}. It may be stopping; try again."


def received(connected: socket.socket) -> Answer:
    answer = Answer()
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        piece = connected.recv(PIECE)
        if not piece:
            raise ConnectionError("the connection was closed before the answer")
        parser.feed_data(piece)
    answer.status = parser.get_status_code()
    return answer


def is_readable(idle: socket.socket) -> bool:
    """Whether something came on a connection that awaits nothing: its end."""
    poll = select.poll()
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))


def refusal(answer: Any, status: int) -> str:
    text = answer.get("error") if isinstance(answer, Mapping) else None
    return str(text or f"The daemon refused this with status {status}.")


def seconds_of(header: bytes) -> float:
    return float(header) if header.isdigit() else 0.0


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
