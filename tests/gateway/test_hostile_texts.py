"""Headers that are made to take long, or to stay: each is read in a time that grows with its length, and nothing long is remembered."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from eventflow import App
from eventflow.body_budget import BodyBudget
from eventflow.gateway.compression import wanted
from eventflow.gateway.events import body_2, canonical, is_textual
from eventflow.gateway.forwarding import forwarded
from eventflow.gateway.request import domain_of
from eventflow.gateway.tracing import is_trace
from eventflow.gateway.websocket.events import cased
from tests.gateway.server import gateway, until
from triggers import Rest

LONG = 10_000
TEXTS: dict[str, Callable[[], object]] = {
    "semicolons of a content type": lambda: body_2(b"x", "a/" + ";" * LONG),
    "half of a charset": lambda: body_2(b"x", ";charset=utf-" * (LONG // 13)),
    "suffixes": lambda: body_2(b"x", "application/" + "+json" * (LONG // 5) + "x"),
    "spaces of a coding": lambda: wanted("a" + " " * LONG + "x"),
    "codings": lambda: wanted("a;q=1," * (LONG // 6)),
    "letters of a hop": lambda: forwarded("a" * LONG),
    "spaces of a hop": lambda: forwarded(" " * LONG),
    "quotation marks": lambda: forwarded('a="' * (LONG // 3)),
    "a host": lambda: domain_of("[" + ":" * LONG),
    "a trace": lambda: is_trace("Root=1;" * 140),
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_header_takes_long(name: str) -> None:
    begin = time.process_time()
    TEXTS[name]()
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize(
    ("content_type", "textual"),
    [
        ("", True),
        ("text/plain", True),
        ("TEXT/Html; charset=x", True),
        ("application/json", True),
        ("application/vnd.api+JSON; v=1", True),
        ("application/octet-stream; charset=UTF-8", True),
        ("image/svg+xml", False),
        ("application/octet-stream", False),
        ("charset=utf-8", False),
        ("image/png", False),
    ],
)
def test_which_bodies_are_texts(content_type: str, textual: bool) -> None:
    assert body_2(b"x", content_type) == (('"x"', False) if textual else ('"eA=="', True))


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate ; Q = 0.8", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=", None),
        ("gzip;q=nan", None),
        ("gzip;q=1.2.3, deflate;q=0.1", "deflate"),
        ("gzip;level=9", None),
        ("*;q=0.1", "gzip"),
        ("br, identity", None),
        ("", None),
    ],
)
def test_the_coding_that_a_client_likes_best(accepted: str, coding: str | None) -> None:
    assert wanted(accepted) == coding


def test_nothing_long_is_remembered() -> None:
    for remembered in (domain_of, canonical, is_textual, cased):
        remembered.cache_clear()
    for number in range(100):
        domain_of(f"{number}" + "a" * LONG)
        assert canonical(b"%d-" % number + b"a" * LONG).endswith("-A" + "a" * (LONG - 1))
        cased(b"%d-" % number + b"a" * LONG)
        body_2(b"x", f"text/{number}" + "a" * LONG)
    for remembered in (domain_of, canonical, is_textual, cased):
        assert remembered.cache_info().currsize == 0


def test_a_small_body_that_becomes_large_counts_as_large() -> None:
    app = App("bomb")
    app.rest_api(minimum_compression_size=0)

    @app.on(Rest("POST /x"))
    def handler(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": str(len(event["body"]))}

    with gateway(app) as server:
        server.service.app._bodies = BodyBudget(1_000_000)
        small, bomb = gzip.compress(b"x" * 100_000), gzip.compress(b"x" * 2_000_000)
        assert len(bomb) < 10_000
        answer = server.request("POST", "/prod/x", bomb, {"content-encoding": "gzip"})
        assert (answer.status, answer["retry-after"]) == (503, "1")
        assert server.request("POST", "/prod/x", small, {"content-encoding": "gzip"}).text == "100000"
        assert server.service.app._bodies.held == 0


@pytest.mark.parametrize("behind", [b"", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["one request", "another behind it"])
def test_a_server_that_falls_silent_is_left_with_its_client(behind: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    left = threading.Event()

    def serve() -> None:
        connection, _address = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        connection.settimeout(20)
        if connection.recv(1) == b"":
            left.set()
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    app = App("silent")
    app.proxy("GET /x", f"http://127.0.0.1:{listener.getsockname()[1]}/")
    with gateway(app) as server:
        with server.connect() as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + behind)
            received = b""
            while b"begun" not in received:
                received += client.recv(65536)
        until(left.is_set)
    thread.join()
    listener.close()
