"""An issuer's keys: when they are asked for, how long they are used, and what an issuer can do that is down, slow or hostile."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.cli.status import authorizer_state
from eventflow.clock import SystemClock
from eventflow.gateway.authorizers.fetching import Fetcher, FetchFailed, checked_url
from eventflow.gateway.authorizers.keys import FILE, REMOTE, KeySource, key_source
from eventflow.gateway.authorizers.tokens import InvalidKeys, read_keys
from eventflow.gateway.deadlines import within
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.certificates import identity
from tests.gateway.issuer import AUDIENCE, EC, OTHER_RSA, RSA, Issuer, public_set
from tests.gateway.server import gateway
from tests.patience import PATIENCE
from triggers import Http

ONE = json.dumps(public_set(RSA)).encode()
TWO = json.dumps(public_set(OTHER_RSA)).encode()


class Upstream:
    """What the issuer answers next; an exception is raised, None never comes. ``asked`` counts."""

    def __init__(self, *answers: bytes | Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.cancelled = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def kept(work: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work(VirtualClock()))


def test_keys_are_fetched_once_by_many_and_used_for_two_hours() -> None:
    async def work(clock: VirtualClock) -> None:
        upstream = Upstream(ONE, FetchFailed("down"))
        source = KeySource("https://x", upstream, clock, REMOTE)
        found = await asyncio.gather(*(source.find("one") for _ in range(50)))
        assert upstream.asked == 1
        assert all(len(keys) == 1 for keys in found)
        await clock.advance("59m")
        assert await source.find("one")
        assert upstream.asked == 1
        await clock.advance("2m")
        assert await source.find("one"), "stale keys are used while others are asked for"
        await clock.settle()
        assert upstream.asked == 2
        await clock.advance("58m")
        assert await source.find("one")
        await clock.advance("2m")
        with pytest.raises(FetchFailed, match="down"):
            await source.find("one")
        assert not source.usable()

    kept(work)


def test_an_unknown_key_has_them_fetched_again_but_not_more_often_than_allowed() -> None:
    async def work(clock: VirtualClock) -> None:
        upstream = Upstream(ONE, TWO, ONE)
        source = KeySource("https://x", upstream, clock, REMOTE)
        assert await source.find("one")
        assert not await source.find("two"), "30 s have not passed since they were fetched"
        for number in range(100):
            assert not await source.find(f"made up {number}")
        assert upstream.asked == 1
        await clock.advance(31)
        generation = source.generation
        assert await source.find("two")
        assert (upstream.asked, source.generation) == (2, generation + 1)
        assert not await source.find("one"), "it was rotated away"
        assert upstream.asked == 2

    kept(work)


def test_a_failure_is_remembered_and_tried_again() -> None:
    async def work(clock: VirtualClock) -> None:
        upstream = Upstream(FetchFailed("refused"), FetchFailed("refused"), ONE)
        source = KeySource("https://x", upstream, clock, REMOTE)
        for _ in range(20):
            with pytest.raises(FetchFailed, match="refused"):
                await source.find("one")
        assert upstream.asked == 1
        await clock.advance(11)
        with pytest.raises(FetchFailed):
            await source.find("one")
        await clock.advance(11)
        assert await source.find("one")
        assert source.error is None

    kept(work)


def test_nobody_waits_long_for_an_issuer_that_hangs() -> None:
    async def work(clock: VirtualClock) -> None:
        upstream = Upstream(None)
        source = KeySource("https://x", upstream, clock, REMOTE)
        first = asyncio.create_task(source.find("one"))
        await clock.advance(1.4)
        later = asyncio.create_task(source.find("one"))
        await clock.settle()
        assert not first.done()
        await clock.advance(0.1)
        assert first.done()
        assert later.done()
        for task in (first, later):
            with pytest.raises(FetchFailed):
                await task
        with pytest.raises(FetchFailed):  # at once, though the fetch is still under way
            await asyncio.wait_for(source.find("one"), PATIENCE)
        await clock.advance(4)
        assert (upstream.asked, upstream.cancelled) == (1, 1)
        assert source.error == "https://x has not answered within 5 s"

    kept(work)


def test_an_unknown_key_does_not_keep_known_ones_waiting() -> None:
    async def work(clock: VirtualClock) -> None:
        source = KeySource("https://x", Upstream(ONE, None), clock, REMOTE)
        assert await source.find("one")
        await clock.advance(31)
        unknown = asyncio.create_task(source.find("two"))
        await clock.settle()
        assert await asyncio.wait_for(source.find("one"), PATIENCE)
        await clock.advance(2)
        assert await unknown == ()

    kept(work)


def test_what_is_no_key_set_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def work(clock: VirtualClock) -> None:
        source = KeySource("https://x", Upstream(ONE, b"<html>"), clock, FILE)
        assert await source.find("one")
        for _ in range(3):
            await clock.advance(11)
            assert await source.find("one")
            await clock.settle()
        assert "is no JWKS" in str(source.error)
        await clock.advance(60)
        with pytest.raises(FetchFailed):
            await source.find("one")

    with caplog.at_level(logging.WARNING, "eventflow.gateway"):
        kept(work)
    assert len(caplog.records) == 1, "once, and not at every try"


def entry(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**RSA.as_dict(private=False), **changes}.items() if value is not None}


CURVE = EC.as_dict(private=False)


@pytest.mark.parametrize(
    "key",
    [
        entry(kid=None),
        entry(kid=1),
        entry(use="enc"),
        entry(kty="oct", k="c2VjcmV0"),
        entry(kty=["RSA"]),
        entry(key_ops=["encrypt"]),
        entry(key_ops="verify"),
        entry(alg=["RS256"]),
        entry(n=None),
        entry(n=7),
        entry(n="AQAB"),
        entry(e="AQ"),
        entry(e="A" * 400),
        {"kty": "EC", "kid": "x", "crv": "P-256"},
        {**CURVE, "crv": "P-1"},
        {**CURVE, "x": "AA"},
        {**CURVE, "y": CURVE["x"]},
        7,
        None,
        [],
    ],
)
def test_keys_that_cannot_check_signatures_are_left_out(key: Any) -> None:
    good = RSA.as_dict(private=False)
    assert list(read_keys(json.dumps({"keys": [key, {**good, "kid": "good"}]}).encode())) == ["good"]
    with pytest.raises(InvalidKeys, match="none of its keys"):
        read_keys(json.dumps({"keys": [key]}).encode())


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[],"keys":[]}', b"\xff", b"[" * 100_000])
def test_documents_that_are_no_key_set(document: bytes) -> None:
    with pytest.raises(InvalidKeys):
        read_keys(document)


def test_a_private_key_in_the_set_is_not_loaded_as_one() -> None:
    document = json.dumps({"keys": [RSA.as_dict(private=True), EC.as_dict(private=True)]}).encode()
    for keys in read_keys(document).values():
        assert not hasattr(keys[0].public, "sign")


@pytest.mark.parametrize(
    "address", ["http://example.com/x", "ftp://localhost/", "https://", "https://a b/", "https://u:p@a/", "https://ä.de/", "http://localhost:0/"]
)
def test_addresses_that_nobody_should_get_keys_from(address: str) -> None:
    with pytest.raises(ValueError, match=r"is|has"):
        checked_url(address)


# Real sockets from here on.


@contextmanager
def listening(serve: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """A server on a thread for each connection; ``serve`` gets it and how many there were before."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_now: list[socket.socket] = []

    def run() -> None:
        for number in range(1000):
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            open_now.append(connection)
            threading.Thread(target=each, args=(connection, number), daemon=True).start()

    def each(connection: socket.socket, number: int) -> None:
        try:
            serve(connection, number)
        except OSError:
            pass  # the other side gave up, or the test has ended

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_now:
            connection.close()
        thread.join(PATIENCE)


def response(body: bytes, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body


def fetched(answer: bytes) -> bytes:
    def serve(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()

    with listening(serve) as port:
        return asyncio.run(Fetcher(SystemClock()).get(f"http://127.0.0.1:{port}/keys?a=1"))


def test_documents_come_in_all_forms_of_http() -> None:
    assert fetched(response(b"{}")) == b"{}"
    assert fetched(b"HTTP/1.0 200 OK\r\n\r\n{}") == b"{}"
    assert fetched(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n") == b"{}"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"", "404 Not Found"), "answers with status 404"),
        (response(b"", "302 Found", "location: http://127.0.0.1:1/\r\n"), "answers with status 302"),
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "Expected HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, "more than"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1_200_000, "more than"),
    ],
)
def test_documents_that_cannot_be_had(answer: bytes, why: str) -> None:
    with pytest.raises(FetchFailed, match=why):
        fetched(answer)


def test_nobody_listens() -> None:
    with pytest.raises(FetchFailed, match=r"http://127.0.0.1:1/: .*(refused|failed)"):
        asyncio.run(Fetcher(SystemClock()).get("http://127.0.0.1:1/"))


def test_a_resolver_that_hangs_holds_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def resolve(*_given: Any, **_more: Any) -> Any:
        gate.wait(PATIENCE)
        raise socket.gaierror("nowhere")

    async def work() -> None:
        clock = SystemClock()
        fetcher = Fetcher(clock)
        before = set(threading.enumerate())
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await within(clock, 0.01, fetcher.get("https://login.example.com/keys"))
        of_the_loop = ("asyncio_", "ThreadPoolExecutor")
        assert len([thread for thread in threading.enumerate() if thread not in before and not thread.name.startswith(of_the_loop)]) == 1
        waiting = asyncio.create_task(fetcher.get("https://login.example.com/keys"))
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(FetchFailed, match="nowhere"):
            await waiting

    async def prepared() -> None:
        await asyncio.to_thread(lambda: None)  # the event loop's own thread
        await work()

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(ssl, "create_default_context", lambda: None)
    asyncio.run(prepared())


def test_an_address_that_leads_nowhere_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(response(b"{}"))

    with listening(serve) as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, at)) for host, at in (("127.0.0.2", 1), ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: found)
        assert asyncio.run(Fetcher(SystemClock()).get(f"http://localhost:{port}/")) == b"{}"


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("localhost", False), ("127.0.0.1", False)])
def test_only_the_hosts_own_certificate_is_believed(tmp_path: Path, host: str, trusted: bool) -> None:
    authority = identity(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity(tmp_path, "localhost" if host == "127.0.0.1" else "elsewhere", authority).files)

    def serve(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(response(b"{}"))

    async def work(port: int) -> bytes:
        fetcher = Fetcher(SystemClock())
        if trusted or host == "localhost":
            fetcher._tls = ssl.create_default_context(cafile=str(authority.files[0]))
        return await fetcher.get(f"https://{host}:{port}/")

    with listening(serve) as port:
        if trusted:
            assert asyncio.run(work(port)) == b"{}"
        else:
            with pytest.raises(FetchFailed, match="certificate verify failed"):
                asyncio.run(work(port))


def discover(configuration: Callable[[int], Any]) -> tuple[Any, list[str]]:
    """What an issuer's configuration leads to, and the paths that were asked for."""
    paths: list[str] = []
    where: list[int] = []

    def serve(connection: socket.socket, number: int) -> None:
        paths.append(connection.recv(65536).decode().split(" ")[1])
        connection.sendall(response(ONE if paths[-1] == "/keys" else json.dumps(configuration(where[0])).encode()))

    async def work(port: int) -> Any:
        source = key_source(f"http://127.0.0.1:{port}/", None, VirtualClock(), Fetcher(VirtualClock()))
        return await source.find("one")

    with listening(serve) as port:
        where.append(port)
        return asyncio.run(work(port)), paths


def test_an_issuers_configuration_leads_to_its_keys() -> None:
    found, paths = discover(lambda port: {"issuer": f"http://127.0.0.1:{port}/", "jwks_uri": f"http://127.0.0.1:{port}/keys"})
    assert (len(found), paths) == (1, ["/.well-known/openid-configuration", "/keys"])


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        (lambda port: {"issuer": f"http://127.0.0.1:{port}", "jwks_uri": f"http://127.0.0.1:{port}/keys"}, "of another issuer"),
        (lambda port: {"issuer": f"http://127.0.0.1:{port}/"}, "has no jwks_uri"),
        (lambda port: {"issuer": f"http://127.0.0.1:{port}/", "jwks_uri": "http://example.com/keys"}, "not https"),
        (lambda port: {"issuer": f"http://127.0.0.1:{port}/", "jwks_uri": "file:///etc/passwd"}, "is no address"),
        (lambda port: [], "of another issuer"),
    ],
)
def test_configurations_that_lead_nowhere(configuration: Callable[[int], Any], why: str) -> None:
    with pytest.raises(FetchFailed, match=why):
        discover(configuration)


def hang(connection: socket.socket, number: int) -> None:
    connection.recv(65536)
    time.sleep(600)


def drip(connection: socket.socket, number: int) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x: y\r\n")
        time.sleep(0.05)


@pytest.mark.parametrize("serve", [hang, drip])
def test_an_issuer_that_hangs_blocks_nobody_and_lets_nobody_in(serve: Callable[[socket.socket, int], None]) -> None:
    with listening(serve) as port:
        app = App("hanging")
        jwt = app.jwt_authorizer("users", issuer="https://login.example.com/", audience=AUDIENCE, jwks=f"http://127.0.0.1:{port}/keys")

        @app.on(Http("GET /closed", authorizer=jwt))
        @app.on(Http("GET /open", authorizer="none"))
        def answer(event: Any, context: Any) -> str:
            return "open"

        with gateway(app) as server:
            token = Issuer(time.time()).token()
            answers: list[tuple[int, float]] = []

            def ask() -> None:
                began = time.monotonic()
                answers.append((server.get("/closed", authorization=token).status, time.monotonic() - began))

            waiting = [threading.Thread(target=ask) for _ in range(8)]
            for thread in waiting:
                thread.start()
            time.sleep(0.1)
            for _ in range(5):
                began = time.monotonic()
                assert server.get("/open").text == "open"
                assert time.monotonic() - began < 30
            for thread in waiting:
                thread.join()
            assert {status for status, _seconds in answers} == {401}
            assert max(seconds for _status, seconds in answers) < 30
            began = time.monotonic()
            assert server.get("/closed", authorization=token).status == 401
            assert time.monotonic() - began < 30, "the next one is not kept waiting"
            assert not server.events[5:], "no function ran for it"


def test_rotation_over_a_real_connection() -> None:
    documents = [ONE]

    def serve(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(response(documents[0]))

    with listening(serve) as port:
        app = App("rotating")
        jwt = app.jwt_authorizer("users", issuer="https://login.example.com/", audience=AUDIENCE, jwks=f"http://127.0.0.1:{port}/keys")

        @app.on(Http("GET /closed", authorizer=jwt))
        def answer(event: Any, context: Any) -> str:
            return "in"

        clock = VirtualClock()
        with gateway(app, clock=clock) as server:
            issuer = Issuer(clock.now())
            before, after = issuer.token(exp=int(clock.now()) + 9999), issuer.token(key=OTHER_RSA, exp=int(clock.now()) + 9999)
            assert server.get("/closed", authorization=before).status == 200
            documents[0] = TWO
            assert server.get("/closed", authorization=after).status == 401, "not before 30 s have passed"
            server.load(app)  # a reload keeps the keys
            assert server.get("/closed", authorization=before).status == 200
            clock.advance_from_thread(server._loop, 31)
            assert server.get("/closed", authorization=after).status == 200
            assert server.get("/closed", authorization=before).status == 401


def test_the_file_must_be_there_at_the_load() -> None:
    app = App("missing")
    app.on(Http("GET /x", authorizer=app.jwt_authorizer("users", issuer="x", audience="y", jwks="missing.json")))(lambda_free)
    with gateway(App("empty")) as server, pytest.raises(SettingError, match="there is no such file"):
        server.load(app)


def lambda_free(event: Any, context: Any) -> Any:
    return None


def test_status_tells_of_keys_that_cannot_be_had() -> None:
    app = App("told")
    jwt = app.jwt_authorizer("users", issuer="https://login.example.com/", audience=AUDIENCE, jwks="http://127.0.0.1:1/keys")
    app.on(Http("GET /x", authorizer=jwt))(lambda_free)
    with gateway(app) as server:
        told = {"name": "users", "type": "jwt", "source": "http://127.0.0.1:1/keys", "keys": None, "failure": None}
        assert server.service.authorizers() == [told]
        assert server.get("/x", authorization=Issuer(time.time()).token()).status == 401
        (shown,) = server.service.authorizers()
        assert authorizer_state(shown).startswith("failed: http://127.0.0.1:1/keys: ")
        assert authorizer_state({**told, "keys": 2}) == "2 keys"
