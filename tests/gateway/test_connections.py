"""Connections as clients make them that are old, slow, mistaken or mean harm."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App
from eventflow.http_guard import Limits, guarded
from tests.gateway.server import GatewayServer, gateway, until
from tests.patience import PATIENCE
from triggers import Http

LIMITS = Limits(head_bytes=10_240, head_seconds=0.6, idle_seconds=1.0)
app = App("connections")
held, release = threading.Event(), threading.Event()


@app.on(Http("$default"))
def echo(event: Any, context: Any) -> Any:
    return {"path": event["rawPath"], "method": event["requestContext"]["http"]["method"], "body": event.get("body"), "headers": event["headers"]}


@app.on(Http("GET /held"))
def hold(event: Any, context: Any) -> Any:
    held.set()
    release.wait(PATIENCE)
    return "held"


@app.on(Http("GET /late", timeout=0.1))
def late(event: Any, context: Any) -> Any:
    release.wait(PATIENCE)
    return "late"


@app.on(Http("GET /large"))
def large(event: Any, context: Any) -> Any:
    return "x" * 5_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app, options={"protocol": guarded(LIMITS), "keep_alive": 1}) as running:
        yield running


def test_a_connection_is_kept(server: GatewayServer) -> None:
    received = server.raw(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 OK") == 2


def test_pipelined_requests_are_answered_in_their_order(server: GatewayServer) -> None:
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n%03d" % (number, number) for number in range(30)
    )
    received = server.raw(requests, silence=PATIENCE)
    bodies = [json.loads(part[: part.index(b"}}") + 2]) for part in received.split(b"\r\n\r\n")[1:]]
    assert [(body["path"], body["body"]) for body in bodies] == [(f"/{number}", f"{number:03}") for number in range(30)]


def test_a_pipelined_mistake_leaves_the_answers_before_it_alone(server: GatewayServer) -> None:
    held.clear()
    release.clear()
    with server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n" + b"no request at all\r\n\r\n")
        assert held.wait(PATIENCE)
        release.set()
        received = read_all(client)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]
    assert b"held" in received
    assert b"/next" in received


SMUGGLING = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "chunks and length": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 5\r\n\r\nabcde",
    "a signed length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
    "a length below zero": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcde",
    "a space before the colon": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and then another": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a folded header": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nabcde",
    "chunks of no size": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "chunks longer than they say": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 5\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/3.9\r\nHost: x\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two hosts, the first of them empty": b"GET / HTTP/1.1\r\nHost: \r\nHost: b\r\n\r\n",
    "three of them, not two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: \r\nHost: b\r\n\r\n",
    "a host that is none (no host)": b"GET / HTTP/1.1\r\nHost: a b/c@d\r\n\r\n",
    "a tunnel": b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n",
    "chunks of an old client": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunks of something compressed": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "the version two": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "the version two, with another protocol": b"GET / HTTP/2.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "the version before the first": b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a1030352362c1012cf23628256e745e903cea696e9f62a60ba0ae8311d704dea5e41949b"),
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_what_two_servers_could_read_in_two_ways_is_refused(server: GatewayServer, shape: str) -> None:
    before = len(server.events)
    received = server.raw(SMUGGLING[shape] + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 505 "), received
    assert not [event for event in server.events[before:] if event["rawPath"] == "/smuggled" and "no host" not in shape and "two hosts" not in shape]


STATUSES = {"chunks of something compressed": 501, "two codings": 501, "the version two": 505, "no version": 505, "chunks of an old client": 400}


@pytest.mark.parametrize("shape", STATUSES)
def test_what_is_not_spoken_here_is_called_so(server: GatewayServer, shape: str) -> None:
    assert server.raw(SMUGGLING[shape]).startswith(b"HTTP/1.1 %d " % STATUSES[shape])


BROKEN = b"POST /broken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


def test_a_body_that_breaks_later_is_answered(server: GatewayServer) -> None:
    with server.connect() as client:
        client.sendall(BROKEN)
        time.sleep(0.05)
        client.sendall(b"zz\r\nmore of it\r\n")
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_body_that_breaks_behind_another_request_is_answered_after_it(server: GatewayServer) -> None:
    held.clear()
    release.clear()
    before = len(server.events)
    with server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n" + BROKEN + b"zz\r\n")
        assert held.wait(PATIENCE)
        client.sendall(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        release.set()
        received = read_all(client)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]
    assert [event["rawPath"] for event in server.events[before:]] == ["/held", "/next"]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"


def test_an_upgrade_that_is_not_spoken_here_is_passed_over(server: GatewayServer) -> None:
    """Java's client asks for HTTP/2 in its first request, whatever that is."""
    post = b"POST /first HTTP/1.1\r\nHost: x\r\n" + H2C + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    received = server.raw(post + b"GET /second HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n" + b"GET /third HTTP/1.1\r\nHost: x\r\n\r\n", silence=PATIENCE)
    bodies = [json.loads(part[: part.index(b"}}") + 2]) for part in received.split(b"\r\n\r\n")[1:]]
    assert [(body["path"], body["body"]) for body in bodies] == [("/first", "hello"), ("/second", None), ("/third", None)]
    assert not {"upgrade", "http2-settings", "connection"} & bodies[0]["headers"].keys()


def test_many_upgrades_in_one_piece(server: GatewayServer) -> None:
    received = server.raw((b"GET / HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n") * 300, silence=PATIENCE)
    assert received.count(b"HTTP/1.1 200 OK") == 300


def test_a_body_that_comes_after_an_upgrade(server: GatewayServer) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + H2C + b"Content-Type: text/plain\r\nContent-Length: 4\r\n\r\n")
        time.sleep(0.05)
        client.sendall(b"late")
        assert b'"body": "late"' in client.recv(65536)


def test_large_heads_are_refused(server: GatewayServer) -> None:
    fits = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 10_000 + b"\r\n\r\n"
    assert b" 200 OK" in server.raw(fits)[:20]
    for head in (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 10_300 + b"\r\n\r\n", b"GET /" + b"a" * 10_300 + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
        received = server.raw(head)
        assert b" 431 " in received[:20]
        assert received.endswith(b'{"message":"Request Header Fields Too Large"}')


def test_a_head_without_an_end_is_not_kept(server: GatewayServer) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        received = b""
        try:
            for _ in range(10_000):
                client.sendall(b"A: " + b"a" * 1000 + b"\r\n")
        except OSError:
            pass
        else:
            pytest.fail("ten megabytes of headers were taken")
        assert received == b""


def test_a_client_that_sends_a_byte_now_and_then_is_left(server: GatewayServer) -> None:
    begin = time.monotonic()
    with server.connect() as client:
        try:
            for octet in b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1000:
                client.sendall(bytes([octet]))
                time.sleep(0.02)
        except OSError:
            pass
        assert time.monotonic() - begin < 20
        assert server.get("/meanwhile").status == 200


def test_a_client_that_says_nothing_is_left(server: GatewayServer) -> None:
    with server.connect() as client:
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""


def test_bodies_up_to_ten_megabytes(server: GatewayServer) -> None:
    found = server.request("POST", "/x", b"a" * 4_000_000, {"Content-Type": "text/plain"})
    assert (found.status, len(found.json()["body"])) == (200, 4_000_000)
    found = server.request("POST", "/x", b"\0" * 5_000_000)
    assert (found.status, found.json()) == (413, {"message": "Request Entity Too Large"}), "more than Lambda takes, in Base64"
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10485761\r\n\r\n"
    assert b" 413 " in server.raw(head)[:20]
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = server.raw(chunked + (b"100000\r\n" + b"a" * 0x100000 + b"\r\n") * 11)
    assert received == b"" or b" 413 " in received[:20]


def test_expect_100_continue(server: GatewayServer) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ab")
        assert b'"body": "ab"' in client.recv(65536)


@pytest.mark.parametrize("path", ["/%ff%fe", "/%00", "/%C0%AF", "/%e2%98", "/a%2Fb", "//a//", "/../../etc/passwd", "/%"])
def test_strange_paths(server: GatewayServer, path: str) -> None:
    received = server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert received[:20].startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), received


def test_old_clients(server: GatewayServer) -> None:
    received = server.raw(b"GET /old HTTP/1.0\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in received
    assert b"/old" in received
    assert server.raw(b"GET /older HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK"), "it need not name the host"


def test_absolute_addresses_name_the_host(server: GatewayServer) -> None:
    received = server.raw(b"GET http://shop.example:81/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n")
    body = json.loads(received.partition(b"\r\n\r\n")[2])
    assert (body["path"], body["headers"]["host"]) == ("/a", "shop.example:81")
    assert server.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_head_requests(server: GatewayServer) -> None:
    found = server.request("HEAD", "/x")
    assert (found.status, found.body) == (200, b"")
    assert int(found["content-length"] or 0) > 0


def test_late_functions(server: GatewayServer) -> None:
    release.clear()
    found = server.get("/late")
    release.set()
    assert (found.status, found.json()) == (503, {"message": "Service Unavailable"})


def test_a_client_that_reads_nothing_is_left(server: GatewayServer) -> None:
    with server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: server.connections)
        until(lambda: not server.connections)


def test_a_client_that_leaves_in_the_middle_of_its_body_costs_nothing(server: GatewayServer) -> None:
    before = len(server.events)
    for _ in range(5):
        with server.connect() as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert server.get("/after").status == 200
    assert len(server.events) == before + 1


def read_all(client: socket.socket) -> bytes:
    client.settimeout(PATIENCE)
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


TRAILED = b"POST /trailed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Who: ann\r\n\r\n5\r\nhello\r\n0\r\n"


def test_fields_after_a_body_are_no_headers(server: GatewayServer) -> None:
    fields = b"X-Who: bob\r\nAuthorization: open sesame\r\nX-Forwarded-For: 192.0.2.1\r\nHost: y\r\n\r\n"
    received = server.raw(TRAILED + fields + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n", silence=PATIENCE)
    first, second = (json.loads(part[: part.index(b"}}") + 2]) for part in received.split(b"\r\n\r\n")[1:])
    assert (first["path"], first["body"], second["path"]) == ("/trailed", "hello", "/next")
    assert (first["headers"]["x-who"], first["headers"]["x-forwarded-for"]) == ("ann", "127.0.0.1")
    assert "authorization" not in first["headers"] | second["headers"]


@pytest.mark.parametrize("flood", [b"a: b\r\n" * 1000, b"a" * 10_000], ids=["many fields", "one field without an end"])
def test_a_flood_after_a_body_is_ended(server: GatewayServer, flood: bytes) -> None:
    with server.connect() as client:
        client.settimeout(0.5)
        assert was_ended(client, flood)


def was_ended(client: socket.socket, flood: bytes) -> bool:
    try:
        client.sendall(TRAILED)
        for _ in range(400):
            client.sendall(flood)
            time.sleep(0.001)
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body(status: int) -> None:
    app = App("bodiless")

    @app.on(Http("GET /"))
    def handler(event: Any, context: Any) -> Any:
        return {"statusCode": status, "body": "{}"}

    with gateway(app) as server:
        received = server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    assert received.count(b"HTTP/1.1 %d " % status) == 2
    assert b"{}" not in received
