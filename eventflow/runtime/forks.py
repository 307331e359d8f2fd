"""Forks environments on request: the loop that the zygote runs, and every template below it.

What comes over ``control`` is one JSON line for each environment, with two descriptors: the environment's socket and its log file. Lines about
anything else than a fork have none, and go to ``other``.

    -> {"fork": <environment>, "function": {...}, "environment": {...}, "tmp": path, "procs": [paths], "data_limit": bytes, "learn": bool}
    <- {"forked": <environment>, "pid": n} | {"exited": pid, "status": wait status}
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from eventflow import faultpoint
from eventflow.runtime import child

MESSAGE = 262_144
#: The next environment's process is forked in advance this long after the last one was asked for, so that it does not compete with that one's start.
SPARE_SECONDS = 0.05

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Forked:
    """A process that waits for its orders: it has imported nothing of the app, and belongs to no function yet."""

    pid: int
    orders: socket.socket


class ForkServer:
    """``prepare`` is what every child does before it has its orders, ``begin`` its life after them: it gets the request and the descriptor of its
    socket and returns its exit status. With ``spare`` there is
    always a process for the next request. One that ``lingers`` ends only when its children have ended. ``launch``, ``other`` and ``exited`` may be
    replaced by whoever also has other children.
    """

    def __init__(
        self,
        control: socket.socket,
        prepare: Callable[[], None],
        begin: Callable[[Request, int], int],
        *,
        spare: bool = False,
        lingers: bool = False,
    ) -> None:
        self._control = control
        self._prepare = prepare
        self._begin = begin
        self._keeps_spare = spare
        self._lingers = lingers
        self._is_left = False
        self._spare: Forked | None = None
        self._poll = select.poll()
        self._watched: dict[int, tuple[socket.socket, Callable[[], object]]] = {}
        self._timers: dict[object, tuple[float, Callable[[], None]]] = {}
        self._received = b""
        self._descriptors: list[int] = []
        self._serving = True
        self.children: set[int] = set()
        self.launch: Callable[[Request, int, int], None] = self.fork
        self.other: Callable[[Request], None] = lambda _message: None
        self.exited: Callable[[dict[int, int]], None] = self.tell_exits

    def serve(self) -> None:
        """Fork and reap until the control socket closes."""
        awake, self._signalled = socket.socketpair()
        for end in (awake, self._signalled):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._signalled.fileno())
        self.watch(self._control, self._receive)
        self.watch(awake, lambda: self._reap(awake))
        if self._keeps_spare:
            self._make_spare()
        while self._serving:
            for descriptor, _events in self._poll.poll(self._until_timer()):
                if descriptor in self._watched:
                    self._watched[descriptor][1]()
            for key in [key for key, (at, _call) in self._timers.items() if at <= time.monotonic()]:
                self._timers.pop(key)[1]()

    def watch(self, connection: socket.socket, call: Callable[[], object]) -> None:
        """Call when something can be read; children close the socket."""
        self._watched[connection.fileno()] = (connection, call)
        self._poll.register(connection, select.POLLIN)

    def forget(self, connection: socket.socket) -> None:
        self._poll.unregister(connection)
        del self._watched[connection.fileno()]
        connection.close()

    def call_later(self, key: object, seconds: float, call: Callable[[], None]) -> None:
        """Call once after this time; a later call with the same key replaces it."""
        self._timers[key] = (time.monotonic() + seconds, call)

    def cancel(self, key: object) -> None:
        self._timers.pop(key, None)

    def fork(self, request: Request, connection: int, log: int) -> None:
        """Make a process of the app's, hand it its two descriptors, which are closed here, and tell of it."""
        faultpoint.reach("zygote.asked")
        forked = self._sent(json.dumps(request).encode() + b"\n", [connection, log])
        os.close(connection)
        os.close(log)
        faultpoint.reach("zygote.forked")
        self.children.add(forked.pid)
        self.tell({"forked": request["fork"], "pid": forked.pid})
        if self._keeps_spare:
            self.call_later("spare", SPARE_SECONDS, self._make_spare)

    def child(self, live: Callable[[], int]) -> int:
        """Fork a process that lets go of all that is this one's, and ends with what ``live`` returns; its pid."""
        pid = os.fork()
        if pid == 0:
            self._become(live)
        return pid

    def tell(self, message: Request) -> None:
        send(self._control, message)

    def tell_exits(self, statuses: dict[int, int]) -> None:
        for pid, status in statuses.items():
            if pid in self.children:
                self.children.discard(pid)
                self.tell({"exited": pid, "status": status})

    def _until_timer(self) -> float | None:
        """Milliseconds until the next timer, or None for ever."""
        if not self._timers:
            return None
        return max(0.0, min(at for at, _call in self._timers.values()) - time.monotonic()) * 1000 + 1

    def _receive(self) -> None:
        data, descriptors, _flags, _address = socket.recv_fds(self._control, MESSAGE, 64)
        if not data:
            self._leave_off()
            return
        self._received += data
        self._descriptors += descriptors
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "fork" not in message:
                self.other(message)
                continue
            connection, log = self._descriptors[:2]
            del self._descriptors[:2]
            self.launch(message, connection, log)

    def _leave_off(self) -> None:
        """Nobody asks for more."""
        self._poll.unregister(self._control)
        self._is_left, self._keeps_spare = True, False
        self.cancel("spare")
        if self._spare is not None:
            self._spare.orders.close()
            self._spare = None
        self._serving = self._lingers and bool(self.children)

    def _reap(self, awake: socket.socket) -> None:
        awake.recv(4096)
        statuses: dict[int, int] = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            statuses[pid] = status
        if self._spare is not None and self._spare.pid in statuses:
            self._spare.orders.close()
            self._spare = None
        self.exited(statuses)
        if self._is_left and not self.children:
            self._serving = False

    # Processes.

    def _sent(self, order: bytes, descriptors: list[int]) -> Forked:
        """The process that got these orders: the spare one, or a new one."""
        forked, self._spare = self._spare or self._fork(), None
        try:
            socket.send_fds(forked.orders, [order], descriptors)
        except OSError:  # somebody killed the spare one
            forked.orders.close()
            forked = self._fork()
            socket.send_fds(forked.orders, [order], descriptors)
        forked.orders.close()
        return forked

    def _make_spare(self) -> None:
        if self._spare is None:
            self._spare = self._fork()

    def _fork(self) -> Forked:
        ours, theirs = socket.socketpair()
        parent = os.getpid()

        def live() -> int:
            ours.close()
            child.become_group_leader(parent)
            self._prepare()
            received = receive_order(theirs)
            if received is None:
                return 0  # the parent ended without an order for us
            request, connection, log = received
            theirs.close()
            faultpoint.reach("environment.begun")
            child.redirect(log)
            child.enter_limits(request["procs"], request["data_limit"])
            child.take_variables(request)
            return self._begin(request, connection)

        pid = self.child(live)
        theirs.close()
        return Forked(pid, ours)

    def _become(self, live: Callable[[], int]) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for connection, _call in self._watched.values():
                connection.close()
            self._signalled.close()
            if self._spare is not None:
                self._spare.orders.close()
            status = live()
        except BaseException:
            traceback.print_exc()
        finally:
            child.leave(status)


def send(control: socket.socket, message: Request) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


def receive_order(orders: socket.socket) -> tuple[Request, int, int] | None:
    """Wait for a request and its descriptors; None when the other end is closed."""
    text, descriptors = b"", []
    while not text.endswith(b"\n"):
        data, more, _flags, _address = socket.recv_fds(orders, MESSAGE, 2)
        if not data:
            return None
        text += data
        descriptors += more
    connection, log = descriptors
    os.set_inheritable(connection, False)
    return json.loads(text), connection, log
