"""Routes that lead to no function: to an HTTP server, or to nothing at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from eventflow import App, SettingError
from tests.gateway.server import GatewayServer, gateway, until
from tests.patience import PATIENCE


class Backend:
    """A server that says what it is told to, byte for byte, and remembers what it was asked."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.says: list[bytes] = [b""]
        self.go_on = threading.Event()
        self.asked: list[bytes] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with connection:
                received = connection.recv(65536)
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                self.asked.append(received)
                for number, part in enumerate(self.says):
                    if number:
                        self.go_on.wait(PATIENCE)
                        self.go_on.clear()
                    connection.sendall(part)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    running = Backend()
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(backend: Backend) -> Iterator[GatewayServer]:
    app = App("integrations")
    app.proxy("ANY /old/{proxy+}", backend.url + "/new/{proxy}?fixed=1")
    app.proxy("GET /gone", "http://127.0.0.1:9/")
    rest = app.rest_api(stage="v1")
    app.mock("GET /health", 203, '{"up":true}', {"x-a": "b"})
    app.proxy("GET /rest", backend.url, rest, timeout=0.2)
    app.proxy("ANY /old/{proxy+}", backend.url + "/new/{proxy}?fixed=1", rest)
    with gateway(app) as running:
        yield running


def test_a_mock_answers_by_itself(server: GatewayServer) -> None:
    found = server.get("/v1/health")
    assert (found.status, found.json(), found["x-a"], found["content-type"]) == (203, {"up": True}, "b", "application/json")


def test_a_request_is_passed_on(server: GatewayServer, backend: Backend) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-One: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Hop: x\r\n"
    backend.says = [head + b"Connection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello"]
    headers = {"X-Mine": "yes", "Connection": "x-secret", "X-Secret": "1", "Te": "trailers", "X-Forwarded-For": "203.0.113.7"}
    found = server.request("POST", "/old/a%20b/c?x=%31", b"body", headers)
    assert (found.status, found.body, found["x-one"], found["x-hop"], found["keep-alive"]) == (201, b"hello", "1", None, None)
    assert found.all("set-cookie") == ["a=1", "b=2"]
    asked, _, body = backend.asked[-1].decode().partition("\r\n\r\n")
    lines = asked.lower().split("\r\n")
    assert lines[0] == "post /new/a%20b/c?fixed=1&x=%31 http/1.1"
    assert {"x-mine: yes", f"host: {backend.url[7:]}", "x-forwarded-for: 203.0.113.7, 127.0.0.1", "x-forwarded-proto: http"} <= set(lines)
    assert not [line for line in lines if line.startswith(("te:", "x-secret"))]
    assert body == "body"


@pytest.mark.parametrize("path", ["/old/../a", "/old/b/..", "/old/%2e%2e/a", "/old/b%2f..%2fa", "/old/./a", "/old/..;x/a", "/old/..%5ca"])
@pytest.mark.parametrize("stage", ["", "/v1"])
def test_nobody_climbs_out_of_what_a_route_leads_to(server: GatewayServer, backend: Backend, stage: str, path: str) -> None:
    before = len(backend.asked)
    assert server.get(stage + path).status == 400
    assert len(backend.asked) == before


def test_an_answer_streams_through(server: GatewayServer, backend: Backend) -> None:
    backend.says = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"]
    with server.connect() as client:
        client.sendall(b"GET /old/x HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"one" not in received:
            received += client.recv(65536)
        assert b"two" not in received
        backend.go_on.set()
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(65536)
    assert b"two" in received


def test_an_answer_that_breaks_off_is_no_whole_answer(server: GatewayServer, backend: Backend) -> None:
    backend.says = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]
    received = server.raw(b"GET /old/x HTTP/1.1\r\nHost: x\r\n\r\n", silence=2.0)
    assert received.endswith(b"half")
    backend.says = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    received = server.raw(b"GET /old/x HTTP/1.1\r\nHost: x\r\n\r\n", silence=2.0)
    assert not received.endswith(b"0\r\n\r\n")
    assert b"half" in received


def test_variables_of_paths_are_encoded_once(server: GatewayServer, backend: Backend) -> None:
    backend.says = [b"HTTP/1.1 204 No Content\r\n\r\n"]
    for path in ("/old/a%20b%3F", "/v1/old/a%20b%3F"):
        assert server.get(path).status == 204
        assert backend.asked[-1].startswith(b"GET /new/a%20b%3F?fixed=1 HTTP/1.1\r\n"), path


@pytest.mark.parametrize("nonsense", [b"", b"HELLO\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000])
def test_servers_that_do_not_answer(server: GatewayServer, backend: Backend, nonsense: bytes) -> None:
    backend.says = [nonsense]
    found = server.get("/old/x")
    assert (found.status, found.json()) == (503, {"message": "Service Unavailable"})


def test_a_server_that_is_not_there(server: GatewayServer) -> None:
    assert server.get("/gone").status == 503


def test_a_server_that_is_late(server: GatewayServer, backend: Backend) -> None:
    backend.says = [b"", b""]
    found = server.get("/v1/rest")
    assert (found.status, found.json()) == (504, {"message": "Endpoint request timed out"})
    backend.go_on.set()
    until(lambda: not backend.go_on.is_set())


@pytest.mark.parametrize(
    "declare, message",
    [
        (lambda app: app.proxy("GET /x", "ftp://x/"), "address of an HTTP server"),
        (lambda app: app.proxy("GET /x", "http://u:p@x/"), "nothing would send its user"),
        (lambda app: app.proxy("GET /x", "http://x/{y}"), "{y} is no variable of the route"),
        (lambda app: app.mock("GET /x", 99), "statusCode takes a whole number"),
        (lambda app: app.mock("GET /x", api=app.http_api()), "only REST APIs have mock integrations"),
        (lambda app: app.proxy("GET x", "http://x/"), "its path begins with '/'"),
    ],
)
def test_what_cannot_be_is_refused(declare: object, message: str) -> None:
    app = App("wrong")
    declare(app)  # type: ignore[operator]
    with pytest.raises(SettingError, match=message), gateway(app):
        pass
