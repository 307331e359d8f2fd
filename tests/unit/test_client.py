"""The client against a channel that does what a test says, and its connection against a server that does."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventflow.bulk import Bulk
from eventflow.client import MOST_BYTES, MOST_EVENTS, Client, DaemonError, FunctionError, NotAccepted
from eventflow.connection import Address, Connection, Refused, Unreachable
from eventflow.errors import SettingError
from tests.patience import PATIENCE


class FakeClock:
    """Time passes only in pauses; chance is always the greatest."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []
        self.ids = 0

    def monotonic(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    def chance(self) -> float:
        return 1.0

    def new_id(self) -> str:
        self.ids += 1
        return f"call{self.ids}"


class FakeDaemon:
    """Keeps events as the daemon does, by key. ``deeds`` says what becomes of the next requests: an error instead of an answer, or None.
    ``after`` is the same for a request that is carried out all the same: its answer is lost."""

    def __init__(self) -> None:
        self.deeds: list[DaemonError | None] = []
        self.after: list[DaemonError | None] = []
        self.events: dict[str, bytes] = {}
        self.requests: list[tuple[str, list[bytes], list[str | None]]] = []
        self.answers: list[Any] = []
        self.addresses: list[Address] = []
        self.closed = 0

    def connect(self, address: Address) -> "FakeDaemon":
        self.addresses.append(address)
        return self

    def ask(self, method: str, path: str, body: bytes = b"", *, seconds: float = 0.0) -> Any:
        if self.deeds and (deed := self.deeds.pop(0)) is not None:
            raise deed
        if path.endswith("/invoke"):
            self.requests.append((path, [body], []))
            return self.answers.pop(0)
        bulk = Bulk.decode(body)
        assert bulk.keys is not None
        self.requests.append((path, list(bulk.payloads), list(bulk.keys)))
        for key, payload in zip(bulk.keys, bulk.payloads, strict=True):
            self.events.setdefault(str(key), payload)
        if self.after and (loss := self.after.pop(0)) is not None:
            raise loss
        return {"request_ids": [f"id of {key}" for key in bulk.keys]}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def far() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(far: FakeDaemon, clock: FakeClock) -> Client:
    return Client("http://127.0.0.1:1", token="t", clock=clock, connect=far.connect, patience=10.0)


LOST = Unreachable("lost", sent=True)
NOT_THERE = Unreachable("not there", sent=False)
BUSY = Refused("busy", 429, retry_after=3.0)
STOPPING = Refused("stopping", 503)


def test_events_have_ids_in_order_and_arrive_as_they_are(client: Client, far: FakeDaemon) -> None:
    assert client.emit_many("a/b", [{"n": 1}, b' {"n" : 2}', None], keys=["k1", "k2", "k3"]) == ["id of k1", "id of k2", "id of k3"]
    assert far.requests == [("functions/a%2Fb/events", [b'{"n":1}', b' {"n" : 2}', b"null"], ["k1", "k2", "k3"])]
    assert client.emit("f", 1, key="k4") == "id of k4"
    assert client.emit_many("f", []) == []
    assert len(far.requests) == 2


def test_keys_are_made_up_and_never_twice(client: Client, far: FakeDaemon) -> None:
    client.emit_many("f", [1, 2, 3])
    client.emit("f", 4)
    keys = [key for _path, _payloads, keys in far.requests for key in keys]
    assert len(set(keys)) == 4


def test_much_travels_in_requests_of_bounded_size(client: Client, far: FakeDaemon) -> None:
    large = b'"' + b"x" * (MOST_BYTES // 2) + b'"'
    payloads = [b"1"] * (MOST_EVENTS * 2 + 1) + [large] * 3
    ids = client.emit_many("f", payloads)
    assert [payload for _path, sent, _keys in far.requests for payload in sent] == payloads
    assert [len(sent) for _path, sent, _keys in far.requests] == [MOST_EVENTS, MOST_EVENTS, 2, 1, 1]
    assert len(ids) == len(set(ids)) == len(payloads)


@pytest.mark.parametrize("failure", [LOST, NOT_THERE, BUSY, STOPPING])
def test_events_are_sent_again_and_accepted_once(client: Client, far: FakeDaemon, clock: FakeClock, failure: DaemonError) -> None:
    far.deeds = [failure, None]
    far.after = [LOST, None]
    assert len(client.emit_many("f", [1, 2])) == 2
    assert [keys for _path, _payloads, keys in far.requests] == [["call1/0", "call1/1"]] * 2  # the same keys each time
    assert list(far.events.values()) == [b"1", b"2"]
    assert len(clock.pauses) == 2


def test_pauses_grow_and_are_as_long_as_the_daemon_asks(client: Client, far: FakeDaemon, clock: FakeClock) -> None:
    client._patience = 60.0
    far.deeds = [STOPPING] * 7 + [BUSY]
    client.emit("f", 1)
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 5.0]
    clock.chance = lambda: 0.0  # type: ignore[method-assign]
    far.deeds = [STOPPING]
    client.emit("f", 1)
    assert clock.pauses[-1] == 0.025


def test_patience_ends_and_the_error_tells_how_to_go_on(client: Client, far: FakeDaemon, clock: FakeClock) -> None:
    payloads = [1] * (MOST_EVENTS + 5)
    far.deeds = [None] + [LOST] * 100
    with pytest.raises(NotAccepted, match="1000 of 1005 events for 'f' were acknowledged: lost") as caught:
        client.emit_many("f", payloads)
    assert 8.0 < clock.time <= 10.0
    assert len(caught.value.request_ids) == MOST_EVENTS
    far.deeds = []
    ids = client.emit_many("f", payloads, keys=caught.value.keys)
    assert ids[:MOST_EVENTS] == caught.value.request_ids
    assert len(far.events) == len(payloads)


def test_patience_counts_from_each_request_s_first_failure(client: Client, far: FakeDaemon, clock: FakeClock) -> None:
    far.deeds = [BUSY, BUSY, None, BUSY, BUSY, None]
    client.emit_many("f", [1] * (MOST_EVENTS + 1))
    assert clock.time > 10.0


@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_what_is_wrong_with_the_request_is_told_at_once(client: Client, far: FakeDaemon, clock: FakeClock, status: int) -> None:
    far.deeds = [Refused("no", status)]
    with pytest.raises(NotAccepted, match="no"):
        client.emit("f", 1)
    assert clock.pauses == []


@pytest.mark.parametrize(("values", "error"), [([1, {1}], TypeError), ([1, float("nan")], ValueError)])
def test_what_json_cannot_say_is_told_before_anything_is_sent(client: Client, far: FakeDaemon, values: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="event 2 is not JSON"):
        client.emit_many("f", values)
    assert far.requests == []


@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"], ["a", ""], ["a", "x" * 257], ["a", 7]])
def test_keys_that_are_none_are_told_before_anything_is_sent(client: Client, far: FakeDaemon, keys: list[Any]) -> None:
    with pytest.raises(ValueError):
        client.emit_many("f", [1, 2], keys=keys)
    assert far.requests == []


def said(payload: Any, failed: bool = False) -> dict[str, Any]:
    return {"function_error": "Unhandled" if failed else None, "payload": payload, "request_id": "r"}


def test_an_invocation_returns_what_the_function_returns(client: Client, far: FakeDaemon) -> None:
    far.answers = [said({"a": 1}), said(None)]
    assert client.invoke("f", {"x": "é"}) == {"a": 1}
    assert client.invoke("f") is None
    assert [json.loads(sent[0]) for _path, sent, _keys in far.requests] == [{"payload": {"x": "é"}}, {"payload": None}]


def test_a_function_that_fails_raises(client: Client, far: FakeDaemon) -> None:
    far.answers = [said({"errorType": "ValueError", "errorMessage": "no luck"}, failed=True)]
    with pytest.raises(FunctionError, match="Function 'f' failed: ValueError: no luck") as caught:
        client.invoke("f")
    assert (caught.value.request_id, caught.value.error["errorType"]) == ("r", "ValueError")


def test_an_invocation_is_repeated_only_if_it_surely_did_not_begin(client: Client, far: FakeDaemon) -> None:
    far.deeds, far.answers = [NOT_THERE, BUSY, STOPPING], [said(1)]
    assert client.invoke("f") == 1
    far.deeds, far.answers = [LOST], [said(1)]
    with pytest.raises(DaemonError, match="lost"):
        client.invoke("f")


def test_payloads_of_invocations_cannot_smuggle_anything(client: Client, far: FakeDaemon) -> None:
    with pytest.raises(ValueError):
        client.invoke("f", b'1,"async":true')
    assert far.requests == []


def announce(state: Path, **facts: Any) -> None:
    state.mkdir(exist_ok=True)
    (state / "daemon.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid(), "token": "t", **facts}))


def test_the_daemon_is_found_as_the_command_line_finds_it(tmp_path: Path, far: FakeDaemon, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DaemonError, match="No daemon runs on the state directory"):
        Client(state=tmp_path / "s")
    announce(tmp_path / "s")
    announce(tmp_path / "named", token="other")
    monkeypatch.setenv("EVENTFLOW_STATE", str(tmp_path / "s"))
    monkeypatch.chdir(tmp_path)
    Client(connect=far.connect)
    Client(state="named", connect=far.connect)
    Client("http://elsewhere:80", connect=far.connect)
    Client("http://elsewhere:80", token="given", connect=far.connect)
    assert [(one.url, one.token) for one in far.addresses] == [
        ("http://127.0.0.1:1", "t"),
        ("http://127.0.0.1:1", "other"),
        ("http://elsewhere:80", "t"),
        ("http://elsewhere:80", "given"),
    ]
    with pytest.raises(SettingError, match="token is refused without url"):
        Client(token="t")
    with pytest.raises(DaemonError, match="no address"):
        Client("https://elsewhere", token="t")


@pytest.mark.parametrize("failure", [LOST, NOT_THERE, Refused("token", 401)])
def test_a_daemon_that_was_started_again_is_found_anew(tmp_path: Path, far: FakeDaemon, clock: FakeClock, failure: DaemonError) -> None:
    announce(tmp_path)
    client = Client(state=tmp_path, clock=clock, connect=far.connect)
    client.emit("f", 1)

    def pause(seconds: float) -> None:
        clock.time += seconds
        if clock.time > 3:
            announce(tmp_path, url="http://127.0.0.1:2", token="new")
        else:
            (tmp_path / "daemon.json").unlink(missing_ok=True)

    clock.pause = pause  # type: ignore[method-assign]
    far.deeds = [failure]
    assert client.emit("f", 2) == "id of call2/0"
    assert far.addresses[-1].url == "http://127.0.0.1:2"


# The connection.


@contextmanager
def server(*answers: bytes | None) -> Iterator[tuple[str, list[bytes], list[int]]]:
    """Answers one request after another, over as many connections as come; None closes the connection instead. Gives its address, what it was
    sent, and the number of the connection that each request came on."""
    listening = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []
    came: list[int] = []

    def serve() -> None:
        left = list(answers)
        number = 0
        while left:
            connection, _ = listening.accept()
            with connection:
                number += 1
                while left and (request := connection.recv(65536)):
                    asked.append(request)
                    came.append(number)
                    answer = left.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if b"keep" not in answer:
                        break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked, came
    finally:
        thread.join(PATIENCE)
        listening.close()


def http(body: str, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]).encode()


KEEP = "X-Test: keep"


def test_a_connection_stays_open(tmp_path: Path) -> None:
    with server(http("1", "200 OK", KEEP), http("2", "200 OK", KEEP)) as (url, asked, came):
        connection = Connection(Address(url, "secret"))
        assert (connection.ask("POST", "x", b"{}"), connection.ask("GET", "y?a=b")) == (1, 2)
        connection.close()
    assert came == [1, 1]
    assert asked[0].startswith(b"POST /_eventflow/x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer secret\r\nContent-Length: 2\r\n\r\n{}" in asked[0]


def test_one_that_the_daemon_closed_is_opened_again_before_anything_is_sent() -> None:
    with server(http("1"), http("2"), http("3", "200 OK", "Connection: close")) as (url, _asked, came):
        connection = Connection(Address(url, "t"))
        answers = []
        for _ in range(3):
            answers.append(connection.ask("GET", "x"))
            if connection._socket is not None:
                connection._socket.recv(1, socket.MSG_PEEK)  # until its end has come
        connection.close()
    assert (answers, came) == ([1, 2, 3], [1, 2, 3])


def test_a_fork_has_its_own_connection() -> None:
    with server(http("1", "200 OK", KEEP), http("2", "200 OK", KEEP)) as (url, _asked, came):
        connection = Connection(Address(url, "t"))
        connection.ask("GET", "x")
        first = connection._socket
        assert first is not None
        kept = first.dup()
        connection._owner += 1  # as if this were the child
        kept.shutdown(socket.SHUT_RDWR)
        connection.ask("GET", "x")
        connection.close()
        kept.close()
    assert came == [1, 2]


def test_it_is_told_whether_a_request_may_have_been_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable) as caught:
        Connection(Address(gone, "t")).ask("GET", "x")
    assert not caught.value.sent
    for answer in (None, b"SMTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"):
        with server(answer) as (url, _asked, _came), pytest.raises(Unreachable) as caught:
            Connection(Address(url, "t")).ask("POST", "x")
        assert caught.value.sent


def test_a_refusal_says_how_long_to_wait() -> None:
    busy = http('{"error": "busy"}', "429 Too Many Requests", "Retry-After: 7", "Connection: close")
    with server(busy) as (url, _asked, _came), pytest.raises(Refused, match="busy") as caught:
        Connection(Address(url, "t")).ask("POST", "x")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
