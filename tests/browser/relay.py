"""A network that can be lost: a relay of TCP connections between a browser and the gateway."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """Listens on ``port`` and passes on to ``target``. ``cut`` ends all connections and takes no more; ``mend`` takes them again; ``freeze`` passes
    nothing on any more (or no answers) and tells nobody, as a network does that has swallowed the packets, until ``thaw``."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._sockets: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._asking = threading.Event()
        self._answering = threading.Event()
        self.thaw()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        # Accepting is woken by the shutdown; closing alone would let it wait on.
        for one in (self._listener, *self._sockets):
            end(one)
        self.thaw()

    def mend(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def freeze(self, *, answers_alone: bool = False) -> None:
        self._answering.clear()
        if not answers_alone:
            self._asking.clear()

    def thaw(self) -> None:
        self._asking.set()
        self._answering.set()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _address = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:  # nobody is there, for now
                end(near)
                continue
            self._sockets |= {near, far}
            for source, sink, flowing in ((near, far, self._asking), (far, near, self._answering)):
                threading.Thread(target=self._pass_on, args=(source, sink, flowing), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, flowing: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                flowing.wait()
                sink.sendall(data)
        for one in (source, sink):
            end(one)
            self._sockets.discard(one)


def end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
