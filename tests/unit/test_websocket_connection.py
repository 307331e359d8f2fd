"""A WebSocket connection without a socket: whatever pieces the bytes come in, the same messages come out, within the limits."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.gateway.websocket import connection as limits
from eventflow.gateway.websocket.connection import MOST_AT_ONCE, RECEIVED, Connection
from tests.gateway.frames import CLOSE, CONT, PING, PONG, TEXT, frame
from tests.gateway.wire import FACTS, Listener, Wire, on_a_loop, receive


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[str], bytes, int]:
    """Texts, the frames that they are sent in with pings between, and how many pings that are."""
    texts = draw(st.lists(st.text(max_size=40), max_size=30))
    sent, pings = b"", 0
    for text in texts:
        data = text.encode()
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
        parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for place, part in enumerate(parts):
            if draw(st.booleans()):
                sent += frame(PING, b"p")
                pings += 1
            sent += frame(TEXT if place == 0 else CONT, part, fin=place == len(parts) - 1, mask=draw(st.binary(min_size=4, max_size=4)))
    return texts, sent, pings


@settings(max_examples=100, deadline=None)
@given(conversations(), st.randoms(use_true_random=False))
def test_messages_are_the_same_in_whatever_pieces_they_come(conversation: tuple[list[str], bytes, int], chance: random.Random) -> None:
    texts, sent, pings = conversation

    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        rest = sent
        while rest or listener.running:
            if rest and wire.reading and chance.random() < 0.7:
                size = chance.choice((1, 2, 3, 7, 50, 10_000))
                receive(connection, rest[:size])
                rest = rest[size:]
            elif listener.running:
                listener.finish()
        assert listener.texts == texts
        assert listener.most <= MOST_AT_ONCE
        assert wire.written == frame(PONG, b"p", mask=None) * pings
        assert wire.reading
        assert listener.ends == []
        connection.rest()
        assert connection._wire is None, "an idle connection has no parser"

    on_a_loop(work)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8))
def test_whatever_comes_a_connection_ends_once_at_most_and_keeps_little(pieces: list[bytes]) -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        for piece in pieces:
            if wire.closed:
                break
            receive(connection, piece)
            while listener.running:
                listener.finish()
        assert len(listener.ends) <= 1
        if not wire.closed:
            connection.connection_lost(None)
        assert len(listener.ends) == 1

    on_a_loop(work)


def test_a_client_that_sends_more_than_runs_is_not_read() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        receive(connection, frame(TEXT, b"{}") * 5000)
        assert (len(listener.texts), wire.reading) == (MOST_AT_ONCE, False)
        while listener.running:
            listener.finish()
        assert (len(listener.texts), wire.reading) == (5000, True)

    on_a_loop(work)


def test_nothing_runs_for_a_client_that_does_not_read() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        connection.pause_writing()
        assert connection.choked is not None
        receive(connection, frame(TEXT, b"{}") * 3)
        assert (listener.texts, wire.reading) == ([], False)
        connection.resume_writing()
        assert (len(listener.texts), wire.reading) == (3, True)

    on_a_loop(work)


def test_what_is_sent_is_bounded_by_what_waits() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        assert wire.high == limits.FULL
        wire.unsent = limits.MOST_UNSENT - 2
        assert not connection.send(b"xxx")
        assert wire.written == b""
        assert connection.send(b"xx")
        assert wire.written == frame(TEXT, b"xx", mask=None)
        connection.close(1000, "bye")
        assert not connection.send(b"")

    on_a_loop(work)


def test_a_close_waits_for_the_client_and_not_for_ever() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        connection.close(1001, "Going away")
        connection.close(1000, "again")
        assert listener.ends == [(1001, "Going away")]
        assert wire.written == frame(CLOSE, (1001).to_bytes(2) + b"Going away", mask=None)
        assert not wire.closed
        receive(connection, frame(TEXT, b"too late") + frame(CLOSE, (1001).to_bytes(2)))
        assert listener.texts == []
        assert wire.closed
        connection.connection_lost(None)
        assert listener.ends == [(1001, "Going away")]

    on_a_loop(work)


def test_connections_share_what_they_read_into() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        other = Connection(listener, Wire(), FACTS)  # type: ignore[arg-type]
        receive(connection, frame(TEXT, b"first")[:5])
        receive(other, frame(TEXT, b"other"))
        receive(connection, frame(TEXT, b"first")[5:])
        assert listener.texts == ["other", "first"]
        assert connection.get_buffer(1).obj is RECEIVED

    on_a_loop(work)


def test_a_client_that_broke_the_protocol_may_still_read_why() -> None:
    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        receive(connection, frame(TEXT, b"x" * 40_000))
        assert [code for code, _reason in listener.ends] == [1009]
        assert wire.written[:4] == frame(CLOSE, (1009).to_bytes(2) + b"x" * (len(wire.written) - 4), mask=None)[:4]
        assert (wire.eof, wire.closed) == (True, False), "closed with something unread, the socket would be reset"
        receive(connection, b"more of it")
        assert listener.texts == []

    on_a_loop(work)
