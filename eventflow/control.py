"""The control API of a running daemon: what the command line asks for, as JSON over HTTP under ``/_eventflow/``."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from eventflow.body_budget import BodyBudget, Share
from eventflow.bulk import Bulk
from eventflow.database import Database
from eventflow.debugging import Debugging, DebuggingRefused
from eventflow.dispatch.dispatcher import Dispatcher, RecursionStopped, UnknownFunction
from eventflow.errors import EventflowError, Overloaded, PayloadTooLarge, StorageError, Throttled
from eventflow.journals import history
from eventflow.journals.sqlite import SqliteJournal
from eventflow.outcome import Outcome, Status
from eventflow.services.logs import LogStore

PREFIX = "/_eventflow/"
MOST_LISTED = 1000
LARGEST_BODY = 8 * 1024 * 1024
SOURCE = "eventflow.client"
#: What a client that came at a busy moment is asked to wait, in seconds.
RETRY_AFTER = 1


class GatewayDesk(Protocol):
    """What the API gateway tells: its keys, and the access log of an API by name (None where there is none in a file)."""

    async def keys(self) -> Sequence[Mapping[str, Any]]: ...
    async def access_lines(self, api: str, since: str, limit: int) -> tuple[list[str], str] | None: ...


Asgi = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Asgi]]
Send = Callable[[Asgi], Awaitable[None]]


class ControlError(EventflowError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """An ASGI application. ``describe`` gives what ``status`` and ``functions`` show; ``health`` needs no token, all else does."""

    def __init__(
        self,
        token: str,
        dispatcher: Dispatcher,
        journal: SqliteJournal,
        database: Database,
        logs: LogStore,
        describe: Callable[[], Mapping[str, Any]],
        bodies: BodyBudget | None = None,
        gateway: GatewayDesk | None = None,
        debugging: Debugging | None = None,
    ) -> None:
        self._token = token
        self._dispatcher = dispatcher
        self._journal = journal
        self._database = database
        self._logs = logs
        self._describe = describe
        self._bodies = bodies or BodyBudget()
        self._gateway = gateway
        self._debugging = debugging
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Awaitable[Any]]]] = [
            ("GET", re.compile("status"), self._status),
            ("GET", re.compile("functions"), self._functions),
            ("POST", re.compile("functions/([^/]+)/invoke"), self._invoke),
            ("POST", re.compile("functions/([^/]+)/events"), self._emit),
            ("GET", re.compile("events"), self._list_events),
            ("GET", re.compile("events/([^/]+)"), self._show_event),
            ("POST", re.compile("events/([^/]+)/replay"), self._replay),
            ("GET", re.compile("dlq"), self._list_dead),
            ("POST", re.compile("dlq/redrive"), self._redrive),
            ("GET", re.compile("logs/([^/]+)"), self._read_logs),
            ("GET", re.compile("keys"), self._list_keys),
            ("GET", re.compile("access/([^/]+)"), self._read_access_log),
        ]

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        try:
            with self._bodies.share() as share:
                status, body = 200, await self._answer(scope, receive, share)
        except ControlError as error:
            status, body = error.status, {"error": str(error)}
        except UnknownFunction as error:
            status, body = 404, {"error": str(error)}
        except (PayloadTooLarge, RecursionStopped) as error:
            status, body = 400, {"error": str(error)}
        except Throttled as error:
            status, body = 429, {"error": f"{error} ({error.reason})"}
        except Overloaded as error:
            status, body = 429, {"error": str(error)}
            headers.append((b"retry-after", str(RETRY_AFTER).encode()))
        except StorageError as error:
            status, body = 503, {"error": str(error)}
        text = json.dumps(body).encode()
        headers.append((b"content-length", str(len(text)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def _answer(self, scope: Asgi, receive: Receive, share: Share) -> Any:
        path = scope["path"].removeprefix(PREFIX)
        if path == "health":
            return {"status": "ok"}
        self._check_token(scope)
        body: Any = await read(scope, receive, share)
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
        for method, pattern, action in self._routes:
            match = pattern.fullmatch(path)
            if match and method == scope["method"]:
                # The bytes are not kept beside what they say: a request may be large, and wait for its function or the disk.
                body = bulk(body) if action == self._emit else parsed(body)
                if action == self._invoke and (body or {}).get("debug_port") is not None:
                    return await self._debug(unquote(match[1]), body, receive)
                return await action(*map(unquote, match.groups()), query=query, body=body)
        raise ControlError(
            404, f"There is no {scope['method']} {scope['path']} in the control API; this daemon and the command line may be of different versions."
        )

    def _check_token(self, scope: Asgi) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise ControlError(401, "The control API needs the token from daemon.json in the state directory.")

    async def _status(self, query: Mapping[str, str], body: Any) -> Any:
        events = await self._database.read(history.count_events)
        return {**self._describe(), "events": events}

    async def _functions(self, query: Mapping[str, str], body: Any) -> Any:
        description = self._describe()
        return {"functions": description["functions"]}

    def _named(self, function: str) -> str:
        """The function's name, where it is a logical id of a template: there it is what the name ends in."""
        if self._dispatcher.knows(function):
            return function
        full = f"{self._describe()['app']}-{function}"
        return full if self._dispatcher.knows(full) else function

    async def _invoke(self, function: str, query: Mapping[str, str], body: Any) -> Any:
        function = self._named(function)
        payload = json.dumps((body or {}).get("payload")).encode()
        if (body or {}).get("async"):
            request_id = await self._dispatcher.emit(function, payload, source="eventflow invoke")
            return {"status_code": 202, "request_id": request_id}
        request_id = self._dispatcher.new_id()
        return answer(await self._dispatcher.invoke(function, payload, request_id=request_id), request_id)

    async def _debug(self, function: str, body: Mapping[str, Any], receive: Receive) -> Any:
        """Invoke with a debugger, for as long as the caller waits: there is no time limit that would end it for nobody."""
        port, request_id = body["debug_port"], self._dispatcher.new_id()
        if self._debugging is None or not isinstance(port, int):
            raise ControlError(400, "debug_port takes the number of a port.")
        payload = json.dumps(body.get("payload")).encode()
        invoking = asyncio.ensure_future(self._debugging.invoke(self._named(function), payload, port, request_id))
        leaving = asyncio.ensure_future(left(receive))
        try:
            await asyncio.wait({invoking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not invoking.done():
                invoking.cancel()
        try:
            return answer(await invoking, request_id)
        except asyncio.CancelledError:
            raise ControlError(499, f"The caller left; the invocation of {function} that it had debugged was ended.") from None
        except DebuggingRefused as error:
            raise ControlError(400, str(error)) from error

    async def _emit(self, function: str, query: Mapping[str, str], body: Bulk) -> Any:
        return {"request_ids": await self._dispatcher.emit_many(function, body.payloads, keys=body.keys, trace=body.trace, source=SOURCE)}

    async def _list_events(self, query: Mapping[str, str], body: Any) -> Any:
        state, before = query.get("state"), query.get("before")
        if state is not None and state not in history.STATES:
            raise ControlError(400, f"There is no state {state!r}; events are {', '.join(history.STATES)}.")
        if before is not None and not (before.isascii() and before.isdigit()):
            raise ControlError(400, f"before is {before!r}; it takes the next of an earlier page.")
        limit = number(query.get("limit", "100"), "limit")
        events, following = await self._database.read(
            lambda connection: history.list_events(
                connection, state=state, function=query.get("function"), limit=limit, before=None if before is None else int(before)
            )
        )
        return {"events": events, "next": following}

    async def _show_event(self, id: str, query: Mapping[str, str], body: Any) -> Any:
        event = await self._database.read(lambda connection: history.show_event(connection, id))
        if event is None:
            raise ControlError(404, f"There is no event {id}; `eventflow events list` shows those that are kept.")
        return event

    async def _replay(self, id: str, query: Mapping[str, str], body: Any) -> Any:
        event = await self._show_event(id, query, body)
        self._dispatcher.lane(event["function"])
        revived = await self._revive([id])
        if not revived:
            raise ControlError(409, f"Event {id} is {event['state']}: only a done or dead event can be replayed.")
        return {"replayed": revived}

    async def _list_dead(self, query: Mapping[str, str], body: Any) -> Any:
        return await self._list_events({**query, "state": "dead"}, body)

    async def _redrive(self, query: Mapping[str, str], body: Any) -> Any:
        ids: list[str] | None = (body or {}).get("ids")
        if ids is None:
            function = (body or {}).get("function")
            if function is not None:
                self._dispatcher.lane(function)
            ids = await self._database.read(lambda connection: history.dead_events(connection, function))
        revived = await self._revive(ids)
        return {"redriven": revived, "left": len(ids) - len(revived)}

    async def _revive(self, ids: list[str]) -> list[str]:
        events = await self._journal.revive(ids, self._dispatcher.knows)
        self._dispatcher.resume(events)
        return [event.id for event in events]

    async def _read_logs(self, function: str, query: Mapping[str, str], body: Any) -> Any:
        function = self._named(function)
        self._dispatcher.lane(function)
        self._logs.flush()
        lines, following = self._logs.read(function, query.get("since", ""), number(query.get("limit", "200"), "limit"))
        return {"lines": [{"time": line.time, "request_id": line.request_id, "text": line.text} for line in lines], "next": following}

    async def _list_keys(self, query: Mapping[str, str], body: Any) -> Any:
        return {"keys": [] if self._gateway is None else await self._gateway.keys()}

    async def _read_access_log(self, api: str, query: Mapping[str, str], body: Any) -> Any:
        limit = number(query.get("limit", "200"), "limit")
        found = None if self._gateway is None else await self._gateway.access_lines(api, query.get("since", ""), limit)
        if found is None:
            raise ControlError(404, f'There is no API named {api!r} with an access log in a file; declare it with access_log="common".')
        return {"lines": [{"time": None, "text": line} for line in found[0]], "next": found[1]}


async def read(scope: Asgi, receive: Receive, share: Share) -> bytes:
    """The request's body. Of one that is refused the rest is not asked for: the server throws it away."""
    body = bytearray()
    share.foresee(int(next((value for name, value in scope["headers"] if name == b"content-length"), 0)))
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ControlError(400, "The client went away before the end of its request.")
        piece, more = message.get("body", b""), message.get("more_body", False)
        if len(body) + len(piece) > LARGEST_BODY:
            raise ControlError(413, f"The request is larger than {LARGEST_BODY} bytes.")
        share.take(len(piece))
        body += piece
    return bytes(body)


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError as error:
        raise ControlError(400, f"The request is not JSON: {error}.") from error


def bulk(body: bytes) -> Bulk:
    try:
        return Bulk.decode(body)
    except ValueError as error:
        raise ControlError(400, f"These are no events: {error}.") from error


def number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MOST_LISTED:
        raise ControlError(400, f"{name} is {text!r}; it takes a whole number from 1 to {MOST_LISTED}.")
    return int(text)


async def left(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def answer(outcome: Outcome, request_id: str) -> dict[str, Any]:
    if outcome.status is Status.SYSTEM_ERROR:
        raise ControlError(500, outcome.error_message or "The function could not be run.")
    return {
        "status_code": 200,
        "request_id": request_id,
        "function_error": "Unhandled" if outcome.status is Status.FUNCTION_ERROR else None,
        "payload": outcome.value(),
        "duration_ms": outcome.duration_ms,
        "init_ms": outcome.init_ms,
        "billed_ms": outcome.billed_ms,
        "max_memory_mb": outcome.max_memory_mb,
        "log_tail": outcome.log_tail.decode(errors="replace"),
    }
