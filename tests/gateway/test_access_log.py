"""Access logs: what a line says, that nothing which a client sends leaves its field, and that no log holds up its API."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from eventflow import App, SettingError
from eventflow.clock import SystemClock
from eventflow.gateway import access_log
from eventflow.gateway.access_format import FORMATS, LineFormat, written
from eventflow.gateway.access_log import Destination, Lines
from eventflow.services.logs import LogStore
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.server import GatewayServer, gateway, until
from triggers import Http, Rest, WebSocket

KEY = "k" * 30
#: What tools such as goaccess read (httpd.apache.org/docs/current/logs.html).
COMMON = re.compile(r'(\S+) - (\S+) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+)')
COMBINED = re.compile(COMMON.pattern + r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


def logged(format: Any) -> App:
    app = App("logged")
    app.http_api(access_log=format)
    app.rest_api(access_log=format)
    app.api_key("partner", KEY)
    app.usage_plan("basic", keys=["partner"])

    @app.on(Http("GET /items/{id}"))
    @app.on(Rest("GET /items/{id}", api_key=True))
    def items(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": "12345"}

    @app.on(Http("GET /shut", throttle=(0, 0)))
    def shut(event: Any, context: Any) -> Any:
        return None

    return app


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LogStore]:
    store = LogStore(tmp_path / "access", SystemClock())
    yield store
    store.close()


def lines(server: GatewayServer, api: str = "default") -> list[str]:
    found = server.run(server.service.access_lines(api, "", 100))
    assert found is not None
    return found[0]


def test_the_common_format_is_everybodys(files: LogStore) -> None:
    with gateway(logged("common"), access_files=files) as server:
        server.get("/items/1?page=2")
        server.get("/none", user_agent='evil" 200 1')
        found = [COMMON.fullmatch(line) for line in lines(server)]
    assert all(found)
    assert [(one[1], one[2], *one.group(4, 5, 6)) for one in found if one] == [
        ("127.0.0.1", "-", "GET /items/1?page=2 HTTP/1.1", "200", "5"),
        ("127.0.0.1", "-", "GET /none HTTP/1.1", "404", "23"),
    ]


def test_the_combined_format_has_referer_and_agent(files: LogStore) -> None:
    with gateway(logged("combined"), access_files=files) as server:
        server.get("/items/1", referer="https://example.org/a b", user_agent='say "hi" \\')
        found = COMBINED.fullmatch(lines(server)[0])
    assert found is not None
    assert found.group(7, 8) == ("https://example.org/a b", 'say \\"hi\\" \\\\')


def test_the_json_format_is_json(files: LogStore) -> None:
    with gateway(logged("json"), access_files=files) as server:
        server.get("/items/%22,%22status%22:%22200", user_agent='Ünïcode \t "quoted"'.encode().decode("latin-1"))
        server.get("/shut")
        first, second = map(json.loads, lines(server))
    assert (first["path"], first["status"], first["routeKey"]) == ('/items/","status":"200', "200", "GET /items/{id}")
    assert (second["status"], second["error"]) == ("429", "Too Many Requests")


def test_variables_of_a_format_of_ones_own(files: LogStore) -> None:
    names = [
        *("accountId", "apiId", "stage", "status", "resourcePath", "httpMethod", "identity.apiKeyId", "error.responseType", "error.messageString"),
        *("responseLength", "protocol", "integrationLatency", "responseLatency", "requestTimeEpoch", "domainName", "authorizer.principalId"),
    ]
    form = json.dumps({name: f"$context.{name}" for name in names})
    with gateway(logged(form), access_files=files) as server:
        server.get("/prod/items/1", x_api_key=KEY)
        server.get("/prod/items/1")
        api = next(api for api in server.service.app.table.apis if api.protocol == "REST")
        text = lines(server, "rest-default")
        key = server.service.admission.describe()[0]["id"]
    answered, refused = map(json.loads, text)
    expected = {"accountId": "123456789012", "apiId": api.id, "stage": "prod", "status": "200", "resourcePath": "/items/{id}", "httpMethod": "GET"}
    assert expected.items() <= answered.items()
    assert (answered["identity.apiKeyId"], answered["error.responseType"], answered["responseLength"]) == (key, "-", "5")
    assert answered["integrationLatency"].isdigit()
    assert (refused["status"], refused["error.responseType"], refused["error.messageString"]) == ("403", "INVALID_API_KEY", '"Forbidden"')
    assert KEY not in "".join(text)


def test_a_log_group_gets_each_line_as_an_event() -> None:
    with gateway(logged({"format": "common", "log_group": "/gateway/access"})) as server:
        server.get("/items/1")
        server.run(server.service._access_logs.lines.written())
        events, _more = server.run(server.log_groups.read("us-east-1", "/gateway/access", (0, 0)))
        assert [event.stream for event in events] == ["http-default"]
        assert COMMON.fullmatch(events[0].message)
        assert server.run(server.service.access_lines("default", "", 10)) is None


@pytest.mark.parametrize(
    ("format", "why"),
    [
        ("$context.nothing", r"\$context.nothing is refused: there is no such variable here; there are: accountId"),
        ("$context.identity.apiKey", r"keys are not written into logs; \$context.identity.apiKeyId"),
        ("$context.own.user", r"\$context.own.user is refused"),
        ("$input.body $context.status", r"'\$input' is refused: variables are written as"),
        ("none at all", "it takes common, combined, json"),
        ("$context.status\n", "a format is one line"),
        ({"format": "common", "group": "x"}, "access_log has no setting 'group'"),
        ({"log_group": "no spaces"}, "log_group='no spaces' is refused"),
        (5, "access_log=5 is refused"),
    ],
)
def test_what_is_no_access_log_is_refused(format: Any, why: str, files: LogStore) -> None:
    with pytest.raises(SettingError, match=why), gateway(logged(format), access_files=files):
        pass


def test_every_variable_can_be_asked_for() -> None:
    for name in FORMATS:
        LineFormat("here", name)


@settings(deadline=None)
@given(st.text())
def test_no_value_leaves_its_field(text: str) -> None:
    field = written(text, True)
    assert field.isascii()
    assert field.isprintable()
    assert '"' not in field.replace('\\"', "")
    if text:
        assert json.loads(f'"{field}"') == text[:4096]
    assert " " not in written(text, False)


def test_lines_that_cannot_be_written_are_dropped_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(LogStore):
        def put(self, name: str, lines: bytes) -> None:
            raise OSError(28, "No space left on device")

    async def run() -> None:
        clock = VirtualClock()
        waiting = Lines(clock, Broken(tmp_path / "access", clock), None, "us-east-1")
        for _ in range(3):
            waiting.put(Destination("http-x"), b"line\n")
            await waiting.written()
        assert waiting.dropped == 3
        assert caplog.text.count("lines of access logs are lost: [Errno 28] No space left on device") == 1

    asyncio.run(run())


def test_that_lines_are_written_again_is_told_with_how_many_were_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(LogStore):
        full = True

        def put(self, name: str, lines: bytes) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            super().put(name, lines)

    async def run() -> None:
        clock = VirtualClock()
        store = Full(tmp_path / "access", clock)
        waiting = Lines(clock, store, None, "us-east-1")
        for full in (True, True, True, False, False, True, False):
            store.full = full
            waiting.put(Destination("http-x"), b"line\n")
            await waiting.written()
        assert waiting.dropped == 4
        assert store.read_raw("http-x")[0] == [b"line\n"] * 3
        store.close()

    asyncio.run(run())
    assert [record.message for record in caplog.records] == [
        "1 lines of access logs are lost: [Errno 28] No space left on device",
        "lines of access logs are written again; 3 were lost, 3 since the start",
        "1 lines of access logs are lost: [Errno 28] No space left on device",
        "lines of access logs are written again; 1 were lost, 4 since the start",
    ]


def test_half_a_line_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, write = LogStore(tmp_path / "access", VirtualClock()), os.write
    store.put("http-x", b"first\n")

    def half(file: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(28, "No space left on device")
        return write(file, data[:4])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        store.put("http-x", b"the second\n")
    monkeypatch.setattr(os, "write", write)
    store.put("http-x", b"third\n")
    assert store.read_raw("http-x")[0] == [b"first\n", b"third\n"]
    store.close()


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        clock = VirtualClock()
        store = LogStore(tmp_path / "access", clock)
        waiting = Lines(clock, store, None, "us-east-1")
        monkeypatch.setattr(access_log, "MOST_WAITING", 100)
        for _ in range(50):
            waiting.put(Destination("http-x"), b"0123456789" * 2)
        assert waiting.dropped == 45
        await waiting.written()
        waiting.put(Destination("http-x"), b"and on it goes\n")
        await waiting.written()
        assert store.read_raw("http-x")[0][-1].endswith(b"and on it goes\n")
        store.close()

    asyncio.run(run())
    assert "they come faster than they can be written" in caplog.text


def test_a_websocket_api_logs_handshakes_and_messages(files: LogStore) -> None:
    app = App("chat")
    app.websocket_api(access_log="$context.eventType $context.connectionId $context.routeKey $context.status", throttle=(100, 100))
    app.on(WebSocket("$connect"), name="connect")(lambda event, context: {"statusCode": 200})
    app.on(WebSocket("$default"), name="message")(lambda event, context: {"statusCode": 200})
    with gateway(app, access_files=files) as server, connect(f"ws://127.0.0.1:{server.port}/prod") as socket:
        socket.send('{"action": "hello"}')
        until(lambda: len(lines(server)) == 2)
        found = [line.split(" ") for line in lines(server)]
    assert [(line[0], line[2]) for line in found] == [("CONNECT", "$connect"), ("MESSAGE", "$default")]
    assert found[0][1] == found[1][1] != "-"
