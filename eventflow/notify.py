"""Tells the service manager that started the daemon (systemd) how it is, in datagrams to the socket that it named."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from eventflow.clock import Clock, Timer
from eventflow.settings import ServiceManager

log = logging.getLogger("eventflow.daemon")

#: How long a service manager shall wait for the next sign of life of a daemon that is still starting (a large journal, an application's imports).
START_PATIENCE = 30.0
BEATS_IN_A_PATIENCE = 3
#: What stopping takes beside the grace time: environments are ended, outcomes written, connections closed.
STOP_MARGIN = 15.0


class Notifier:
    """Sends what systemd's ``sd_notify`` takes, one ``NAME=value`` a line; without a service manager it does nothing.

    Signs of life (``WATCHDOG=1``) come from a timer of the event loop that everything else runs in: when the loop hangs they cease, and the
    service manager ends the daemon and starts it again. ``status`` gives the short line that ``systemctl status`` shows.
    """

    def __init__(self, manager: ServiceManager, clock: Clock, status: Callable[[], str]) -> None:
        self._manager = manager
        self._clock = clock
        self._status = status
        self._said = ""
        self._starting = False
        self._timer: Timer | None = None
        self._broken = False

    def starting(self) -> None:
        """Ask for patience until ``ready``, as long as the event loop goes round."""
        self._starting = True
        self._beat()

    def ready(self) -> None:
        self._starting = False
        self._said = self._status()
        self._send("READY=1", f"STATUS={self._said}")

    def reloading(self) -> None:
        """New code is being loaded; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds(self._clock.monotonic())}", "STATUS=loading the application again")

    def stopping(self, grace: float) -> None:
        """Ask for the grace time; signs of life go on until ``close``."""
        self._starting = False
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds(grace + STOP_MARGIN)}", f"STATUS={self._status()}")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        lines = []
        if self._manager.watchdog_seconds:
            lines.append("WATCHDOG=1")
        if self._starting:
            lines.append(f"EXTEND_TIMEOUT_USEC={microseconds(START_PATIENCE)}")
        elif (status := self._status()) != self._said:
            self._said = status
            lines.append(f"STATUS={status}")
        if lines:
            self._send(*lines)
        if pause := self._pause():
            self._timer = self._clock.call_later(pause, self._beat)

    def _pause(self) -> float:
        """Half of the time in which the service manager wants to hear from us; 0 when it does not."""
        if not self._manager.socket:
            return 0.0
        wanted = [self._manager.watchdog_seconds / 2] if self._manager.watchdog_seconds else []
        return min([*wanted, START_PATIENCE / BEATS_IN_A_PATIENCE] if self._starting else wanted, default=0.0)

    def _send(self, *lines: str) -> None:
        if not self._manager.socket:
            return
        address = self._manager.socket
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.setblocking(False)
                connection.sendto("\n".join(lines).encode(), "\0" + address[1:] if address.startswith("@") else address)
            self._broken = False
        except OSError as error:
            if not self._broken:
                log.warning("the service manager cannot be told %s at %s: %s", lines[0], address, error)
            self._broken = True


def microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
