"""Responses that functions yield piece by piece, through the gateway of a real daemon."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import os, time
from triggers import Rest

STREAM = {"invoke_mode": "RESPONSE_STREAM"}

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)

@app.function(url=STREAM, timeout=60)
def parts(event, context):
    yield {"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["a=1", "b=2"]}
    yield "one "
    wait_for("go-on")
    yield b"two"

@app.function(url=STREAM)
async def plain(event, context):
    yield "no metadata"

@app.function(url=STREAM)
def whole(event, context):
    return {"statusCode": 202, "body": "whole"}

@app.function(url=STREAM)
def nothing(event, context):
    if False:
        yield

@app.function(url=STREAM)
def breaks(event, context):
    yield "half"
    raise ValueError("no more")

@app.function(url=STREAM)
def fails(event, context):
    raise ValueError("at once")
    yield

@app.function(url=STREAM)
def dies(event, context):
    yield "half"
    os._exit(3)

@app.function(url=STREAM)
def injects(event, context):
    yield {"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}
    yield "body"

@app.function(url=STREAM, timeout=2)
def late(event, context):
    yield "half"
    time.sleep(30)

@app.function(url=STREAM, timeout=60)
def large(event, context):
    for number in range(400):
        open("sent", "w").write(str(number))
        yield b"x" * 100_000

@app.on(Rest("GET /rest", stream=True))
def rest(event, context):
    yield {"statusCode": 200, "headers": {"x-path": event["path"]}}
    yield "rest"
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("streaming"), CODE) as running:
        yield running.start()


def connect(process: DaemonProcess) -> http.client.HTTPConnection:
    parts = urlsplit(process.facts["gateway"])
    return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)


def get(process: DaemonProcess, path: str) -> tuple[int, str, bytes]:
    connection = connect(process)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type") or "", answer.read()
    finally:
        connection.close()


def test_pieces_arrive_as_they_are_yielded(process: DaemonProcess) -> None:
    connection = connect(process)
    try:
        connection.request("GET", "/_url/parts")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-type"), answer.headers.get_all("set-cookie")) == (201, "text/plain", ["a=1", "b=2"])
        assert answer.read(4) == b"one "
        (process.folder / "go-on").touch()
        assert answer.read() == b"two"
    finally:
        connection.close()


def test_the_other_ways_to_answer(process: DaemonProcess) -> None:
    assert get(process, "/_url/plain") == (200, "application/octet-stream", b"no metadata")
    assert get(process, "/_url/whole") == (202, "text/plain; charset=utf-8", b"whole")
    assert get(process, "/_url/nothing") == (200, "application/octet-stream", b"")
    assert get(process, "/prod/rest")[2] == b"rest"


def test_failures_before_the_first_piece_are_answered(process: DaemonProcess) -> None:
    for name in ("fails", "injects"):
        assert get(process, f"/_url/{name}")[0] == 502, name


@pytest.mark.parametrize("name", ["breaks", "dies", "late"])
def test_failures_after_it_leave_the_answer_without_an_end(process: DaemonProcess, name: str) -> None:
    with pytest.raises(http.client.IncompleteRead) as broken:
        get(process, f"/_url/{name}")
    assert broken.value.partial == b"half"


def test_whoever_takes_it_whole_gets_it_whole(process: DaemonProcess) -> None:
    (process.folder / "go-on").touch()
    answer = process.client("lambda").invoke(FunctionName="parts", Payload=b"{}")
    value = json.load(answer["Payload"])
    assert (value["statusCode"], value["body"], value["isBase64Encoded"]) == (201, "one two", False)


def test_a_slow_reader_holds_the_function_up_and_nothing_else(process: DaemonProcess) -> None:
    parts = urlsplit(process.facts["gateway"])
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect((str(parts.hostname), int(parts.port or 0)))
        client.sendall(b"GET /_url/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        sent = process.folder / "sent"

        def rests() -> bool:
            before = sent.read_text() if sent.exists() else ""
            process.until(lambda: get(process, "/_url/whole")[0] == 202, "others are answered")
            process.until(lambda: get(process, "/_url/whole")[0] == 202, "others are answered")
            return bool(before) and sent.read_text() == before

        process.until(rests, "the function waits for its reader")
        assert int(sent.read_text()) < 250, "not all of it is somewhere in between"
        received = bytearray()
        while piece := client.recv(1 << 20):
            received += piece
        assert received.partition(b"\r\n\r\n")[2].count(b"x") == 400 * 100_000


def test_a_client_that_leaves_does_not_stop_the_function(process: DaemonProcess, tmp_path: Path) -> None:
    parts = urlsplit(process.facts["gateway"])
    sent = process.folder / "sent"
    sent.write_text("0")
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as client:
        client.sendall(b"GET /_url/large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000)
    process.until(lambda: sent.read_text() == "399", "the function goes on to its end")
