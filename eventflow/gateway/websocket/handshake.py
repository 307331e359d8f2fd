"""The opening handshake: is it one, what it says of the connection, and the two answers to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus

from eventflow.gateway.refusals import JSON_TYPE, REST, identified
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Refusal
from eventflow.gateway.websocket.events import Facts, short_id
from eventflow.gateway.websocket.front import CONNECT, SocketApi
from eventflow.gateway.websocket.integration import complaint, wording
from eventflow.gateway.websocket.steps import Found

log = logging.getLogger("eventflow.gateway")

#: What describes the connection is written here.
OWN = frozenset(
    (b"connection", b"upgrade", b"content-length", b"date", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol")
)


UPGRADE = Answer(426, (JSON_TYPE, (b"upgrade", b"websocket")), b'{"message":"Upgrade Required"}')
STOPPING = Answer(503, (JSON_TYPE, (b"retry-after", b"1")), b'{"message":"Service Unavailable"}')
BUSY = Answer(429, (JSON_TYPE, (b"retry-after", b"1"), (b"x-amzn-errortype", b"TooManyRequestsException")), b'{"message":"Too Many Requests"}')
NO_HOST = Answer(400, (JSON_TYPE,), b'{"message":"Bad Request"}')
FORBIDDEN = Answer(403, (JSON_TYPE, (b"x-amzn-errortype", b"ForbiddenException")), b'{"message":"Forbidden"}')


def checked(request: Request) -> bytes | Answer:
    """The value of Sec-WebSocket-Accept, or the answer to what is no handshake (RFC 6455, 4.2.1)."""
    from websockets.datastructures import Headers
    from websockets.http11 import Request as Handshake
    from websockets.server import ServerProtocol

    if request.method != "GET":
        return Answer(405, (JSON_TYPE, (b"allow", b"GET")), b'{"message":"Method Not Allowed"}')
    if request.http_version != "1.1":
        return Answer(505, (JSON_TYPE,), b'{"message":"HTTP Version Not Supported"}')
    if request.ambiguous:
        return NO_HOST
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers])
    response = ServerProtocol().accept(Handshake(request.raw_path, headers))
    if response.status_code == 101:
        return response.headers["Sec-WebSocket-Accept"].encode()
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.raw_items() if name.lower().encode() not in OWN]
    return Answer(response.status_code, own, bytes(response.body or b""))


def offered(request: Request) -> list[str]:
    """The subprotocols that the client would speak."""
    return [one.strip() for one in request.header("sec-websocket-protocol").split(",") if one.strip()]


def accepting(accept: bytes, subprotocol: str | None, date: Iterable[tuple[bytes, bytes]]) -> bytes:
    fields = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept), *date]
    if subprotocol is not None:
        fields.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
    return head(101, fields)


def refusing(answer: Answer, date: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An answer in the place of the handshake's; the connection ends with it."""
    body = b"" if answer.status in (204, 304) else answer.body
    fields = [(name, value) for name, value in answer.headers if name not in OWN]
    fields += [*date, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    return head(answer.status, fields) + body


def head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *[name + b": " + value for name, value in fields]]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Waiting(asyncio.Protocol):
    """A connection while $connect is asked. A client that sends before it is answered breaks the protocol (RFC 6455, 4.1), and is not waited for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.abort()


def facts_of(request: Request, socket: SocketApi, found: Found, connection: str) -> Facts:
    findings = found.findings
    return Facts(
        connection,
        socket.api.id,
        socket.api.stage.name,
        socket.domain,
        request.received,
        request.source_ip,
        request.header_map.get("user-agent"),
        findings.authorizer,
        findings.identity or None,
    )


def chosen(answer: Answer, request: Request) -> str | None:
    """The subprotocol that the function chose. One that the client did not offer would end the connection in the client."""
    for name, value in answer.headers:
        if name == b"sec-websocket-protocol":
            subprotocol = value.decode("latin-1")
            if subprotocol in offered(request):
                return subprotocol
            log.warning("%s: the function chose the subprotocol %r, which the client did not offer", CONNECT, subprotocol)
    return None


def refused(refusal: Refusal, request: Request, connection: str) -> Answer:
    """A refusal of the handshake."""
    kind = REST[refusal.kind]
    headers = [JSON_TYPE, *refusal.headers, *identified("WEBSOCKET", request.request_id)]
    if kind.error:
        headers.append((b"x-amzn-errortype", kind.error.encode()))
    return Answer(refusal.status or kind.status, headers, complaint(wording(refusal), connection, short_id(request.request_id)))


def end_with(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
        transport.close()
