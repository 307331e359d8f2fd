"""One HTTP/1.1 connection: uvicorn's protocol, which parses, keeps order and flow, with an exchange and a keep-alive that cost less per request."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

#: Names of headers that are known to be sound; others are looked at.
SOUND = frozenset(
    (
        *(b"accept-ranges", b"cache-control", b"connection", b"content-length", b"content-type", b"etag", b"last-modified", b"location"),
        *(b"x-amz-executed-version", b"x-amz-id-2", b"x-amz-request-id", b"x-amz-version-id", b"x-amzn-requestid", b"x-amzn-trace-id"),
    )
)
CRLF = b"\r\n"


class Exchange(RequestResponseCycle):
    """A request and its answer. The head of the answer waits for the end of the turn of the event loop, so that a body which is there already leaves
    with it: one call of the kernel, which costs more than making an answer does, and one packet."""

    def __init__(self, protocol: Protocol, keep_alive: bool) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._loop = protocol.loop
        self._head = b""

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
        elif not self.response_complete:
            self._go_on(message)
        else:
            raise RuntimeError(f"The answer is complete, and a message {message['type']!r} came after it.")

    def _begin(self, message: Any) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"An answer begins with 'http.response.start', not {message['type']!r}.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            parts += name, b": ", value, CRLF
        values = []
        closing = False
        for name, value in message.get("headers", ()):
            name = name.lower()
            if name not in SOUND and HEADER_RE.search(name):
                raise RuntimeError(f"{name!r} is no name of a header.")
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                closing = True
            values.append(value)
            parts += name, b": ", value, CRLF
        if HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("A header's value holds a control character.")
        if not self.keep_alive and not closing:
            parts.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(CRLF)
        self._head = b"".join(parts)
        self._loop.call_soon(self._send_head)

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head:
            self.transport.write(head)

    def _go_on(self, message: Any) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"An answer goes on with 'http.response.body', not {message['type']!r}.")
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("The body of an answer is longer than its content-length.")
        head, self._head = self._head, b""
        if head or body:
            self.transport.write(head + body if head else body)
        if not more:
            self._end()

    def _end(self) -> None:
        if self.expected_content_length != 0:
            raise RuntimeError("The body of an answer is shorter than its content-length.")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class NotSpoken(Exception):
    """A request asks for what is not spoken here: a tunnel, another version of HTTP, another coding of its body. ``refused_with`` is the answer."""


def new_parser(protocol: Protocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's: what comes after the last request is not looked at
    return parser


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with these exchanges. A connection that is kept alive has one timer, which looks again when it fires early; uvicorn makes
    and cancels one for each request."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._idle_since: float | None = None
        self._answering: Any = None
        self._in_head = self._coded = False
        #: The status of the answer to a request that cannot be parsed.
        self.refused_with = 400

    def on_message_begin(self) -> None:
        self._in_head, self._coded = True, False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a field that trails the body is no header (RFC 9110, 6.5.1): those were believed by others before it came
            return
        name = name.lower()
        if name == b"transfer-encoding":
            if self._coded or value.strip().lower() != b"chunked":
                raise self._not_spoken(501)  # RFC 9112, 6.1: a server does not guess what a coding that it does not know has inside
            self._coded = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _not_spoken(self, status: int) -> NotSpoken:
        self.refused_with = status
        return NotSpoken(status)

    def _check_version(self, version: str) -> None:
        """Versions but 1.1 are for old clients, which know of no chunks: a proxy before us may have seen another body (RFC 9112, 6.1)."""
        if version != "1.0":
            raise self._not_spoken(505)
        if self._coded:
            raise self._not_spoken(400)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._fed(data)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _fed(self, data: bytes) -> bytes:
        """Have data parsed; what is still to be parsed then."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if not self._should_upgrade():
                return self._head_without_upgrade() + rest
            self.handle_websocket_upgrade()
        return b""

    def _head_without_upgrade(self) -> bytes:
        """The head of a request that asks for a protocol that is not spoken here, without that: clients of HTTP/2 may ask for it in any request."""
        self.parser = new_parser(self)
        head = [b"%b %b HTTP/%b\r\n" % (self._method, self.url, self._version.encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token for token in value.split(b",") if token.strip().lower() not in (b"upgrade", b"http2-settings")]
                value = b",".join(tokens)
            if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
                head.append(b"%b: %b\r\n" % (name, value))
        return b"".join([*head, b"\r\n"])

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            self._method, self._version = self.parser.get_method(), self.parser.get_http_version()
            if self._method == b"CONNECT":
                raise self._not_spoken(400)
            if self._version != "1.1":
                self._check_version(self._version)
            if self._should_upgrade():
                super().on_headers_complete()
            return
        if self.limit_concurrency is not None or self.root_path:
            super().on_headers_complete()
            return
        version = self.parser.get_http_version()
        scope: Any = self.scope
        if version != "1.1":
            self._check_version(version)
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        if self.url == b"/":
            scope["path"], scope["raw_path"], scope["query_string"] = "/", b"/", b""
        else:
            parsed = httptools.parse_url(self.url)
            path = parsed.path.decode("ascii")
            scope["path"] = unquote(path) if "%" in path else path
            scope["raw_path"], scope["query_string"] = parsed.path, parsed.query or b""
            if parsed.host is not None:
                self._name_host(parsed)
        before = self.cycle
        self.cycle = Exchange(self, version != "1.0" and self.parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # pipelined: it has its turn when the one before it has its answer
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _name_host(self, parsed: Any) -> None:
        """An absolute address names the host, whatever the header says (RFC 9112, 3.2.2)."""
        host = parsed.host if parsed.port is None else b"%b:%d" % (parsed.host, parsed.port)
        self.headers[:] = [(b"host", host), *(one for one in self.headers if one[0] != b"host")]

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over with its request, and be done with it. uvicorn would write the request once more, for another parser."""
        self.connections.discard(self)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # the answers to the requests before this one would come amid its frames
            return
        parsed = httptools.parse_url(self.url)
        scope: Any = self.scope
        scope |= {"path": unquote(parsed.path.decode("ascii")), "raw_path": parsed.path, "query_string": parsed.query or b""}
        del self.parser  # it and this object would keep each other in memory
        accept: Any = self.ws_protocol_class
        accept(self.transport, scope, self.server_state.default_headers)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.wait_idle()

    def wait_idle(self) -> None:
        """From now on the connection is idle, until data comes."""
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return  # the next answer sets a timer again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.idled()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

    def idled(self) -> None:
        """No data came since the last answer for as long as a connection is kept alive."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:  # uvicorn tells the latest request alone
            self._answering.disconnected = True
            self._answering.message_event.set()
        self._answering = None
