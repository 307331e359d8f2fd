"""An ASGI application as a function: events of HTTP APIs and function URLs become its requests, and what it answers the function's response."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from eventflow.errors import EventflowError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
VERSIONS = {"version": "3.0", "spec_version": "2.4"}
TEXT = re.compile(r"text/|application/(json|javascript|xml|[^;]+\+(json|xml))", re.IGNORECASE)


class AsgiFailed(EventflowError):
    """The application did not start, or did not answer."""


class AsgiHandler:
    """A handler for payload 2.0. The application's lifespan begins with the first invocation, and ends with its environment."""

    def __init__(self, application: Application, name: str, module: str, path: str) -> None:
        self.__name__ = name
        self.__qualname__ = path
        self.__module__ = module
        self._application = application
        self._state: dict[str, Any] = {}
        self._started = False
        self._lifespan: asyncio.Task[None] | None = None

    async def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        if not self._started:
            await self._start()
            self._started = True
        exchange = Exchange(body_of(event))
        await self._application(scope_of(event, context, self._state), exchange.receive, exchange.send)
        return exchange.response()

    async def _start(self) -> None:
        """Let the application start up, if it knows of that. Raises AsgiFailed where it says that it could not."""
        answered: asyncio.Queue[Message] = asyncio.Queue()
        asked: asyncio.Queue[Message] = asyncio.Queue()
        asked.put_nowait({"type": "lifespan.startup"})
        scope = {"type": "lifespan", "asgi": VERSIONS, "state": self._state}

        async def live() -> None:
            await self._application(scope, asked.get, answered.put)

        self._lifespan = asyncio.ensure_future(live())
        first = asyncio.ensure_future(answered.get())
        await asyncio.wait({self._lifespan, first}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            self._lifespan.exception()  # it knows of no lifespan: that is what an exception means here, by ASGI's rules
            return
        message = first.result()
        if message["type"] != "lifespan.startup.complete":
            raise AsgiFailed(f"The ASGI application {self.__name__!r} did not start: {message.get('message') or message['type']}")


class Exchange:
    """One request and what is answered to it."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._complete = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            self._pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                self._complete.set()

    def response(self) -> dict[str, Any]:
        if self._status is None:
            raise AsgiFailed("The ASGI application returned without an answer.")
        headers: dict[str, str] = {}
        cookies = []
        for raw_name, raw_value in self._headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name == "set-cookie":
                cookies.append(value)
            else:
                headers[name] = f"{headers[name]},{value}" if name in headers else value
        body, encoded = text_of(b"".join(self._pieces), headers)
        response: dict[str, Any] = {"statusCode": self._status, "headers": headers, "body": body, "isBase64Encoded": encoded}
        return {**response, "cookies": cookies} if cookies else response


def scope_of(event: Mapping[str, Any], context: Any, state: dict[str, Any]) -> Scope:
    """The ASGI scope of an event; ``root_path`` is what of the path led to the application, and ``aws.event`` the event itself."""
    request = event["requestContext"]["http"]
    path: str = event["rawPath"]
    rest = (event.get("pathParameters") or {}).get("proxy")
    root = "" if event["routeKey"] == "$default" else path.rstrip("/") if rest is None else path[: len(path) - len(rest)].rstrip("/")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in event["headers"].items()]
    if event.get("cookies"):
        headers.append((b"cookie", "; ".join(event["cookies"]).encode("latin-1")))
    forwarded = event["headers"]
    port = forwarded.get("x-forwarded-port", "")
    return {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": request["protocol"].partition("/")[2],
        "method": request["method"],
        "scheme": forwarded.get("x-forwarded-proto", "http"),
        "path": path,
        "raw_path": quote(path, safe="/~!$&'()*+,;=:@-._").encode(),
        "query_string": event["rawQueryString"].encode("latin-1"),
        "root_path": root,
        "headers": headers,
        "client": (request["sourceIp"], 0),
        "server": (event["requestContext"]["domainName"], int(port) if port.isdigit() else None),
        "state": dict(state),
        "aws.event": event,
        "aws.context": context,
    }


def body_of(event: Mapping[str, Any]) -> bytes:
    body: str = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def text_of(body: bytes, headers: Mapping[str, str]) -> tuple[str, bool]:
    """The body as a response has it, and whether it is in Base64."""
    if TEXT.match(headers.get("content-type", "")) and "content-encoding" not in headers:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
