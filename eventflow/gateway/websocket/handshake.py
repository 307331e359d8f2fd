"""The opening handshake: is it one, and the two answers to it."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from eventflow.gateway.refusals import JSON_TYPE
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer

#: What describes the connection is written here.
OWN = frozenset(
    (b"connection", b"upgrade", b"content-length", b"date", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol")
)


def checked(request: Request) -> bytes | Answer:
    """The value of Sec-WebSocket-Accept, or the answer to what is no handshake (RFC 6455, 4.2.1)."""
    from websockets.datastructures import Headers
    from websockets.http11 import Request as Handshake
    from websockets.server import ServerProtocol

    if request.method != "GET":
        return Answer(405, (JSON_TYPE, (b"allow", b"GET")), b'{"message":"Method Not Allowed"}')
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
    fields = [(name, value) for name, value in answer.headers if name not in OWN]
    fields += [*date, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
    return head(answer.status, fields) + answer.body


def head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *[name + b": " + value for name, value in fields]]
    return b"\r\n".join(lines) + b"\r\n\r\n"
