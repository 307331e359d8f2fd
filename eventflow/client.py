"""A client of a running daemon for programs: durable events, one by one or in bulk, and synchronous invocations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from eventflow import payload as payloads
from eventflow.bulk import Bulk, check_key
from eventflow.clock import BlockingClock
from eventflow.connection import ANSWER_SECONDS, INVOKE_SECONDS, Address, Connection, DaemonError, Refused, Unreachable, segment
from eventflow.errors import EventflowError, SettingError
from eventflow.settings import current_trace, read_settings

__all__ = ["Client", "DaemonError", "FunctionError", "NotAccepted"]

#: A request of ``emit_many`` ends at so many events or bytes: enough to share a fsync among many, little enough to leave the daemon's loop soon.
MOST_EVENTS = 1_000
MOST_BYTES = 1 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
BUSY = (429, 503)
STALE_TOKEN = 401


class NotAccepted(DaemonError):
    """Not all events were acknowledged. ``request_ids`` are those of the first ones, which are on disk; of the others some may be. ``keys`` are the
    keys of all: ``emit_many`` with the same payloads and these keys accepts each event once, whatever became of it here."""

    def __init__(self, message: str, request_ids: Sequence[str], keys: Sequence[str]) -> None:
        super().__init__(message)
        self.request_ids = list(request_ids)
        self.keys = list(keys)


class FunctionError(EventflowError):
    """The function failed. ``error`` is what Lambda answers: ``errorType``, ``errorMessage``, ``stackTrace``."""

    def __init__(self, function: str, request_id: str, error: Any) -> None:
        said = error if isinstance(error, dict) else {}
        super().__init__(f"Function {function!r} failed: {said.get('errorType', 'Unhandled')}: {said.get('errorMessage', '')}")
        self.request_id = request_id
        self.error = error


class Channel(Protocol):
    """What a client needs of a connection; see ``eventflow.connection.Connection``."""

    def ask(self, method: str, path: str, body: bytes = b"", *, seconds: float = ANSWER_SECONDS) -> Any: ...
    def close(self) -> None: ...


class Waiting(Protocol):
    """What a client needs of a clock; see ``eventflow.clock.BlockingClock``."""

    def monotonic(self) -> float: ...
    def pause(self, seconds: float) -> None: ...
    def chance(self) -> float: ...
    def new_id(self) -> str: ...


class Client:
    """The daemon of this folder, or of the state directory ``state``, found as the command line finds it; ``url`` and ``token`` (both stand in the
    state directory's daemon.json) say it directly. Raises DaemonError if none runs.

    A payload is a JSON value, or bytes that are JSON already, which events keep as they are. One connection stays open; threads that share a client
    take turns on it. Nothing is emitted in the background: what a method returned for is on disk.

    **Retries are safe.** Every event has a key, given by you or made up by the client for the call, and the daemon ignores a key that it has seen for
    the function, as long as it keeps the event, and gives the earlier request id. So whatever happens to daemon and connection, the client sends
    again, with growing pauses, for up to ``patience`` seconds (also after 429 and 503, when it waits as long as the daemon asks); after a restart it
    finds the daemon anew. A synchronous invocation has no key: it is repeated only if it surely did not begin.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        state: Path | str | None = None,
        patience: float = 60.0,
        clock: Waiting | None = None,
        connect: Callable[[Address], Channel] = Connection,
    ) -> None:
        if token is not None and url is None:
            raise SettingError("Client: token is refused without url; both stand in the state directory's daemon.json.")
        self._url = url
        self._token = token
        self._state = None if url is not None and token is not None else read_settings(Path.cwd(), {"state": state}).state
        self._patience = patience
        self._clock = clock or BlockingClock()
        self._connect = connect
        self._turn = threading.Lock()
        self._channel: Channel | None = connect(self._address())

    def emit(self, function: str, payload: Any, *, key: str | None = None) -> str:
        """Emit one event (at most 1 MB); its request id, once it is on disk. ``key`` has 1 to 256 characters.

        Raises NotAccepted, ValueError and TypeError (what JSON cannot say)."""
        return self.emit_many(function, [payload], keys=None if key is None else [key])[0]

    def emit_many(self, function: str, payloads: Iterable[Any], *, keys: Iterable[str] | None = None) -> list[str]:
        """Emit an event for each payload; their request ids, in order, once all are on disk. ``keys`` has one for each.

        Requests of up to 1,000 events or 1 MB carry them, each accepted whole or not at all; the events have nothing else in common. Raises
        NotAccepted, which tells how to go on, and before anything is sent ValueError and TypeError (what JSON cannot say).
        """
        bodies = encoded(payloads)
        names = self._made_up(len(bodies)) if keys is None else checked(keys, len(bodies))
        path = f"functions/{segment(function)}/events"
        trace = current_trace()
        ids: list[str] = []
        for part in parts(bodies):
            request = Bulk(bodies[part], names[part], trace).encode()
            try:
                ids += self._ask(path, request, ANSWER_SECONDS, repeatable=True)["request_ids"]
            except DaemonError as error:
                raise NotAccepted(f"{len(ids)} of {len(bodies)} events for {function!r} were acknowledged: {error}", ids, names) from error
        return ids

    def invoke(self, function: str, payload: Any = None) -> Any:
        """Run the function now and return what it returns. Raises FunctionError if it fails, and DaemonError, after which it may have run."""
        body = payloads.encode(payload)
        payloads.check(body)
        answer = self._ask(f"functions/{segment(function)}/invoke", b'{"payload":' + body + b"}", INVOKE_SECONDS, repeatable=False)
        if answer["function_error"]:
            raise FunctionError(function, answer["request_id"], answer["payload"])
        return answer["payload"]

    def close(self) -> None:
        with self._turn:
            self._hang_up()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, path: str, body: bytes, seconds: float, *, repeatable: bool) -> Any:
        """The answer to a request, which is sent again while that may help and does no harm."""
        give_up: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                return self._try(path, body, seconds)
            except DaemonError as error:
                if not self._may_repeat(error, repeatable):
                    raise
                asked = error.retry_after if isinstance(error, Refused) else 0.0
                wait = asked + pause * (0.5 + self._clock.chance() / 2)
                now = self._clock.monotonic()
                give_up = now + self._patience if give_up is None else give_up
                if now + wait > give_up:
                    raise
            self._clock.pause(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _try(self, path: str, body: bytes, seconds: float) -> Any:
        with self._turn:
            if self._channel is None:
                self._channel = self._connect(self._address())
            try:
                return self._channel.ask("POST", path, body, seconds=seconds)
            except Refused as error:
                if error.status == STALE_TOKEN:
                    self._hang_up()
                raise
            except Unreachable:
                self._hang_up()  # a daemon that was started again may be elsewhere, and has another token
                raise

    def _may_repeat(self, error: DaemonError, repeatable: bool) -> bool:
        if isinstance(error, Refused):  # nothing of the request was done
            return error.status in BUSY or (error.status == STALE_TOKEN and self._token is None)
        return isinstance(error, Unreachable) and (repeatable or not error.sent)

    def _address(self) -> Address:
        if self._state is None:
            return Address(self._url or "", self._token or "")
        found = Address.of(self._state)
        return found if self._url is None else replace(found, url=self._url)

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _made_up(self, count: int) -> list[str]:
        """Keys that nobody has: made anew for each call, so that a process and its fork never have the same."""
        call = self._clock.new_id()
        return [f"{call}/{place}" for place in range(count)]


def encoded(values: Iterable[Any]) -> list[bytes]:
    found: list[bytes] = []
    for value in values:
        try:
            found.append(payloads.encode(value))
        except (TypeError, ValueError) as error:
            raise type(error)(f"The payload of event {len(found) + 1} is not JSON: {error}") from error
    return found


def checked(keys: Iterable[str], count: int) -> list[str]:
    found = list(keys)
    if len(found) != count:
        raise ValueError(f"There are {len(found)} keys for {count} payloads; give one for each, or none at all.")
    for key in found:
        check_key(key)
    return found


def parts(bodies: Sequence[bytes]) -> Iterator[slice]:
    """The events in requests of bounded size; one that is larger by itself goes alone."""
    begin = size = 0
    for place, body in enumerate(bodies):
        if place > begin and (place - begin == MOST_EVENTS or size + len(body) > MOST_BYTES):
            yield slice(begin, place)
            begin, size = place, 0
        size += len(body)
    if begin < len(bodies):
        yield slice(begin, len(bodies))
