"""One WebSocket connection on its socket: frames in and out within AWS's limits, and no more memory than it needs while it is idle."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol as Seam

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from eventflow.clock import Clock, Timer
from eventflow.gateway.websocket.events import Facts

#: AWS: 128 KB a message, in frames of 32 KB ("Amazon API Gateway quotas", WebSocket APIs).
LARGEST_MESSAGE = 131_072
LARGEST_FRAME = 32_768
#: So many messages of one connection run at once; what it sends meanwhile waits in its socket.
MOST_AT_ONCE = 8
#: Bytes for a client that reads slowly: from the first on nothing more is read of it, beyond the second nothing is taken for it.
FULL = 65_536
MOST_UNSENT = 262_144
#: The kernel's own share of that.
SEND_BUFFER = 65_536
#: Seconds for the client's part of the closing handshake.
CLOSE_SECONDS = 5.0
#: Seconds for a client to read why it is closed, where it cannot be told that nothing more comes.
LINGER_SECONDS = 0.5
#: Bytes that are looked at before it is asked again whether there is room for more messages.
SLICE = 4096
#: What all connections read into, one after the other: none of them keeps a buffer of its own.
RECEIVED = bytearray(65_536)
VIEW = memoryview(RECEIVED)

#: The library tells every connection that closes; that is the access log's.
wire_log = logging.getLogger("eventflow.websocket.wire")
wire_log.setLevel(logging.ERROR)


class Owner(Seam):
    """Whom a connection tells of what happens. ``message`` is called with a whole message and answers with ``Connection.done``; ``ended`` once, when
    nothing can be sent any more, whoever closed it."""

    clock: Clock

    def message(self, connection: Connection, text: str) -> None: ...
    def ended(self, connection: Connection, code: int, reason: str) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Take a transport whose handshake is over, and call ``open``.

    The parser is the package websockets' own, without its I/O; a connection that was told to ``rest`` has none.

    ``heard`` is when bytes of the client's last came, ``active`` when a message last went either way or the client sent a ping, ``opened`` when it
    began, ``choked`` since when it has not read what was sent, all in monotonic seconds.
    """

    __slots__ = (
        "__weakref__",
        "_arrived",
        "_fed",
        "_message",
        "_opcode",
        "_owner",
        "_parsed",
        "_paused",
        "_running",
        "_texts",
        "_timer",
        "_transport",
        "_wire",
        "active",
        "choked",
        "closing",
        "ended",
        "facts",
        "heard",
        "opened",
        "pinged",
    )

    def __init__(self, owner: Owner, transport: asyncio.Transport, facts: Facts) -> None:
        self.facts = facts
        self._owner = owner
        self._transport = transport
        self._wire: Protocol | None = None
        self._arrived = b""  # not parsed yet, while too many messages run or the client does not read
        self._texts: list[str] = []  # parsed in the same slice, waiting for their turn
        self._message: bytearray | None = None  # the frames so far of a message that has several
        self._opcode = Opcode.TEXT
        self._fed = self._parsed = self._running = 0
        self._paused = self.closing = self.ended = False
        self._timer: Timer | None = None
        self.choked: float | None = None
        self.pinged: float | None = None
        self.opened = self.heard = self.active = owner.clock.monotonic()

    def open(self) -> None:
        self._transport.set_write_buffer_limits(high=FULL)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._transport.set_protocol(self)

    # What the transport tells.

    def get_buffer(self, sizehint: int) -> memoryview:
        return VIEW

    def buffer_updated(self, nbytes: int) -> None:
        self.heard = self._owner.clock.monotonic()
        self.pinged = None
        self._arrived += VIEW[:nbytes]
        self._read()

    def eof_received(self) -> None:
        """The transport closes itself then."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wire = None
        self._arrived = b""
        self._end(1006, "")

    def pause_writing(self) -> None:
        self.choked = self._owner.clock.monotonic()

    def resume_writing(self) -> None:
        self.choked = None
        self._read()

    # Messages in.

    def _read(self) -> None:
        """Parse what has arrived for as long as its messages can be run and its answers be sent; the rest stays, and the client waits."""
        self._run_texts()
        while self._arrived and not self._crowded:
            piece, self._arrived = self._arrived[:SLICE], self._arrived[SLICE:]
            self._parse(piece)
            self._run_texts()
        self._pace()

    @property
    def paused(self) -> bool:
        """Whether the client is not being read, so that silence says nothing about it."""
        return self._paused

    @property
    def _crowded(self) -> bool:
        return not self.closing and (bool(self._texts) or self._running >= MOST_AT_ONCE or self.choked is not None)

    def _pace(self) -> None:
        if self._transport.is_closing() or self._crowded == self._paused:
            return
        self._paused = not self._paused
        if self._paused:
            self._transport.pause_reading()
        else:
            self.heard = self._owner.clock.monotonic()
            self._transport.resume_reading()

    def _run_texts(self) -> None:
        while self._texts and self._running < MOST_AT_ONCE and self.choked is None and not self.closing:
            self._running += 1
            self._owner.message(self, self._texts.pop(0))

    def done(self) -> None:
        """A message has been dealt with."""
        self._running -= 1
        if not self.ended:
            self._read()

    def _parse(self, piece: bytes) -> None:
        wire = self._wire
        if wire is None:
            wire = self._wire = made_wire()
        if wire.eof_sent:
            return  # the connection is over, and what still comes is not looked at
        wire.receive_data(piece)
        self._fed += len(piece)
        for frame in wire.events_received():
            assert isinstance(frame, Frame)
            self._parsed += length_of(frame)
            if not self.closing or frame.opcode is Opcode.CLOSE:
                self._frame(frame)
        if wire.parser_exc is not None:
            self._fail(wire)
        self._flush(wire)

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
            self._data(frame)
        elif opcode is Opcode.PING:
            self.active = self.heard
        elif opcode is Opcode.CLOSE:
            self._closed_by_client()

    def _data(self, frame: Frame) -> None:
        self.active = self.heard
        if frame.opcode is Opcode.BINARY:
            self.close(1003, "Binary frames are not supported")
        elif not frame.fin:
            if self._message is None:
                self._message = bytearray()
            self._message += frame.data
        else:
            data = frame.data if self._message is None else self._message + frame.data
            self._message = None
            try:
                self._texts.append(str(data, "utf-8"))
            except UnicodeDecodeError:
                self.close(1007, "The message is not UTF-8")

    def rest(self) -> None:
        """Keep no parser, if every byte that it got was in a frame, so that it holds nothing."""
        if self._fed == self._parsed and self._message is None and not self.closing:
            self._wire, self._fed, self._parsed = None, 0, 0

    # Messages out.

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def send(self, data: bytes, *, limited: bool = True) -> bool:
        """Send a message, as text if it is UTF-8; False if too much waits for the client already, or it is gone. Messages arrive in the order of
        these calls."""
        if self.closing or (limited and self.unsent + len(data) > MOST_UNSENT):
            return False
        self.active = self._owner.clock.monotonic()
        self._transport.write(Frame(Opcode.TEXT if is_text(data) else Opcode.BINARY, data).serialize(mask=False))
        return True

    def ping(self) -> None:
        self.pinged = self._owner.clock.monotonic()
        self._transport.write(Frame(Opcode.PING, b"").serialize(mask=False))

    # The end.

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the connection counts as ended at once."""
        if self.closing or self.ended:
            return
        if self._wire is None:
            self._wire = made_wire()
        if self._wire.state is State.OPEN:
            self._wire.send_close(code, reason)
        self._closing()
        self._flush(self._wire)
        self._end(code, reason)
        asyncio.get_running_loop().call_soon(self._read)  # the client's answer may be among what waits to be parsed

    def abort(self, code: int = 1006, reason: str = "") -> None:
        """Drop a client that cannot be talked to any more."""
        self._transport.abort()
        self._end(code, reason)

    def _closed_by_client(self) -> None:
        """The parser has answered already."""
        wire = self._wire
        assert wire is not None
        assert wire.close_rcvd is not None
        code, reason = wire.close_rcvd.code, wire.close_rcvd.reason
        self.closing = True
        self._flush(wire)
        self._transport.close()
        if self._timer is None:
            self._abort_later()
        self._end(code, reason)

    def _fail(self, wire: Protocol) -> None:
        """The client broke the protocol; the parser has written down what is to be said, and takes in nothing more.

        The socket stays open for a moment: closed with something unread in it, it would be reset, and the client would not learn why."""
        if self.closing:
            self._flush(wire)
            self._transport.close()
            return
        said = wire.close_sent
        self._closing()
        self._flush(wire)
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        elif self._timer is not None:  # TLS has no half of a close
            self._timer.cancel()
            self._timer = self._owner.clock.call_later(LINGER_SECONDS, self._transport.close)
        self._end(1006 if said is None else said.code, "" if said is None else said.reason)

    def _closing(self) -> None:
        self.closing = True
        self._texts.clear()
        self._message = None
        self._abort_later()

    def _abort_later(self) -> None:
        self._timer = self._owner.clock.call_later(CLOSE_SECONDS, self._transport.abort)

    def _end(self, code: int, reason: str) -> None:
        if not self.ended:
            self.ended = self.closing = True
            self._owner.ended(self, code, reason)

    def _flush(self, wire: Protocol) -> None:
        data = b"".join(wire.data_to_send())
        if data and not self._transport.is_closing():
            self._transport.write(data)


def made_wire() -> Protocol:
    return Protocol(Side.SERVER, max_size=(LARGEST_MESSAGE, LARGEST_FRAME), logger=wire_log)


def length_of(frame: Frame) -> int:
    """The fewest bytes that a masked frame can have had on the wire."""
    size = len(frame.data)
    return size + (6 if size < 126 else 8 if size < 65_536 else 14)


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
