"""The API gateway of a real daemon: functions in processes of their own, reloads under load, stops with requests under way, TLS."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import HEADER, DaemonProcess, daemon

CODE = """
import os, time
from triggers import Http, Rest

@app.on(Http("GET /version"))
def version(event, context):
    return "1"

@app.on(Http("GET /slow"), timeout=20)
def slow(event, context):
    open("started", "w").close()
    time.sleep(1.5)
    return "slow"

@app.on(Http("GET /dies"))
def dies(event, context):
    os._exit(3)

@app.on(Rest("GET /times-out"), timeout=1)
def times_out(event, context):
    time.sleep(30)

@app.on(Http("GET /one"), reserved_concurrency=1, timeout=25)
def one(event, context):
    while not os.path.exists("enough"):
        time.sleep(0.01)
    return context.aws_request_id

@app.function(url=True)
def own(event, context):
    return event["rawPath"]

async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})

app.asgi("/legacy", hello)
"""


class Client:
    """Asks the gateway of a daemon over one connection."""

    def __init__(self, process: DaemonProcess, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(process.facts["gateway"])
        self.connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
            if context is None
            else http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=PATIENCE, context=context)
        )

    def get(self, path: str) -> tuple[int, str]:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *failure: object) -> None:
        self.connection.close()


def get(process: DaemonProcess, path: str) -> tuple[int, str]:
    with Client(process) as client:
        return client.get(path)


def test_functions_answer_and_what_becomes_of_those_that_do_not_and_of_requests_under_way_at_a_stop(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start()
        assert get(process, "/version") == (200, "1")
        assert get(process, "/legacy/a/b") == (200, "/legacy/a/b")
        assert get(process, "/_url/own/x%20y") == (200, "/x%20y")
        assert get(process, "/dies") == (500, '{"message":"Internal Server Error"}')
        assert get(process, "/prod/times-out") == (502, '{"message": "Internal server error"}')
        found: list[tuple[int, str]] = []
        threads = [threading.Thread(target=lambda: found.append(get(process, "/one"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        process.until(lambda: len(found) == 3, "three are refused")
        (tmp_path / "enough").touch()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _body in found) == [200, 503, 503, 503], "one runs at a time, and the others are told so"
        assert process.facts["gateway"] in process.cli("status").stdout
        assert json.loads(process.cli("status", "--json").stdout)["gateway"] == process.facts["gateway"]
        is_let_end(process)


def is_let_end(process: DaemonProcess) -> None:
    """A stop waits for a request that is under way."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(get(process, "/slow")))
    thread.start()
    process.until(lambda: (process.folder / "started").exists(), "the request is under way")
    assert process.stop() == 0
    thread.join()
    assert found == [(200, "slow")]


@pytest.mark.slow
def test_no_request_fails_while_functions_are_loaded_again(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start(verb="dev")
        answers: list[tuple[int, str]] = []
        done = threading.Event()

        def ask() -> None:
            with Client(process) as client:
                while not done.is_set():
                    answers.append(client.get("/version"))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for version in ("2", "3"):
                process.app.write_text(HEADER + CODE.replace('return "1"', f'return "{version}"'))
                process.until(lambda expected=version: get(process, "/version")[1] == expected, f"version {version} answers")  # type: ignore[misc]
            process.app.write_text(HEADER + CODE + '\n@app.on(Http("GET /version"))\ndef twice(event, context): pass\n')
            process.until(lambda: "two functions have the route GET /version" in process.log.read_text(), "the mistake is told")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert {status for status, _body in answers} == {200}
        assert answers[-1] == (200, "3"), "the former application goes on when the changed one is refused"


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with daemon(tmp_path / "one", CODE) as first, daemon(tmp_path / "two", CODE) as second:
        first.start()
        port = str(urlsplit(first.facts["gateway"]).port)
        second.start("--gateway-port", port, ready=False)
        assert second.process is not None
        assert second.process.wait(DAEMON) == 1
        assert "Choose another with --gateway-port" in second.log.read_text()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "app").mkdir()
    with daemon(tmp_path / "app", CODE) as process:
        process.start("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
        assert process.facts["gateway"].startswith("https://")
        with Client(process, ssl.create_default_context(cafile=str(certificate[0]))) as client:
            assert client.get("/version") == (200, "1")
            assert client.get("/version") == (200, "1")


@pytest.mark.parametrize(
    "wrong", [lambda cert, key: key.write_text("nonsense"), pytest.param(lambda cert, key: cert.unlink(), marks=pytest.mark.slow)]
)
def test_a_certificate_that_is_none_is_told(tmp_path: Path, certificate: tuple[Path, Path], wrong: Callable[[Path, Path], None]) -> None:
    wrong(*certificate)
    (tmp_path / "app").mkdir()
    with daemon(tmp_path / "app", CODE) as process:
        process.start("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]), ready=False)
        assert process.process is not None
        assert process.process.wait(DAEMON) == 1
        assert "PEM" in process.log.read_text()


@pytest.mark.slow
def test_mutual_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "app").mkdir()
    cert, key = map(str, certificate)
    with daemon(tmp_path / "app", CODE) as process:
        process.start("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert)
        context = ssl.create_default_context(cafile=cert)
        with Client(process, context) as stranger, pytest.raises(OSError):
            stranger.get("/version")
        context.load_cert_chain(cert, key)
        with Client(process, context) as client:
            assert client.get("/version") == (200, "1")
