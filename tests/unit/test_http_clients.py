"""The connections of the Runtime API: when their answers are sent."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from eventflow.runtime.http_clients import Client, Whole
from eventflow.runtime.loopback_http import Request, answer

NEXT = b"GET /next HTTP/1.1\r\n\r\n"
POST = b"POST /done HTTP/1.1\r\nContent-Length: 4\r\n\r\n"


class Served:
    """A client whose POSTs are answered at once, and whose GETs when the test says so."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.theirs.setblocking(False)
        self.client = Client(ours, self._route, selectors.DefaultSelector())

    def _route(self, client: Client, request: Request) -> Whole:
        return Whole(100, lambda body: client.send(answer(202, body or b"")) if request.method == "POST" else None)

    def send(self, data: bytes) -> bytes:
        """What is answered at once."""
        self.theirs.sendall(data)
        self.client.turn()
        return self.received()

    def received(self) -> bytes:
        try:
            return self.theirs.recv(100_000)
        except BlockingIOError:
            return b""


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.client.close()
    found.theirs.close()


def test_an_answer_that_nobody_waits_for_goes_with_the_next_one(served: Served) -> None:
    assert served.send(POST + b"one1" + NEXT) == b""
    served.client.send(answer(200, b"two"))
    assert served.received() == answer(202, b"one1") + answer(200, b"two")


def test_an_answer_that_somebody_may_wait_for_is_sent_at_once(served: Served) -> None:
    assert served.send(POST + b"one1") == answer(202, b"one1")
    assert served.send(NEXT) == b""
    served.client.send(answer(200, b"two"))
    assert served.received() == answer(200, b"two")
    assert served.send(POST + b"one1" + POST + b"th") == answer(202, b"one1")
    assert served.send(b"ree"[:2]) == answer(202, b"three"[:4])


def test_before_a_body_is_sent_its_sender_is_told_to_go_on(served: Served) -> None:
    expecting = b"POST /done HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    assert served.send(expecting) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert served.send(b"body") == answer(202, b"body")


def test_what_cannot_be_read_ends_the_connection_after_the_answers_before_it(served: Served) -> None:
    received = served.send(POST + b"one1" + b"nonsense\r\n\r\n")
    assert received.startswith(answer(202, b"one1"))
    assert b"InvalidRequestFormat" in received
    assert not served.client.is_open


def test_a_connection_that_is_not_kept_ends_with_its_answer(served: Served) -> None:
    last = POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert served.send(last + b"one1") == answer(202, b"one1")
    assert not served.client.is_open
