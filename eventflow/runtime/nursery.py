"""The daemon's end of the zygote: start it, ask it for forks, hear what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from eventflow.errors import LoadError

#: An app that is still importing after this long is refused; Lambda gives an init 10 s, a cold disk may need more for the first.
LOAD_SECONDS = 60.0
#: The reference of a nursery without an application: for functions whose code is a package of their own. It tells an empty manifest.
NO_APP = ""
#: What a zygote is started with that is to wait until the application is to be loaded.
PREPARED = "prepared"
#: Before the two messages that such a one gets.
LENGTH = struct.Struct(">I")
#: A message that a socket takes at once, whether anybody reads or not.
LARGEST_SHARED = 131_072


class Listener(Protocol):
    """Who is told of the processes. ``lost`` means that the zygote died, and every environment with it."""

    def forked(self, environment: str, pid: int) -> None: ...
    def exited(self, pid: int, status: int) -> None: ...
    def lost(self, nursery: Nursery) -> None: ...


class Nursery:
    """One zygote process for one state of the app's code. ``lost`` is true when it died by itself after it had loaded the app."""

    def __init__(self, reference: str, variables: Mapping[str, str], listener: Listener, template: Mapping[str, Any] | None = None) -> None:
        """``template`` is what a template of SAM is run with (``TemplateOptions.to_json``)."""
        self._reference = reference
        self._template = template
        self._variables = dict(variables)
        self._listener = listener
        self._received = b""
        self._manifest: asyncio.Future[dict[str, Any]] | None = None
        self._closing = False
        self._prepared = False
        #: After ``prepare``: whether it has loaded what it was told.
        self.is_prepared = asyncio.Event()
        self.lost = False
        self.pid = 0
        #: What the application's environments share, for ``prepare`` of the next; None before it is warm.
        self.shared: Mapping[str, Any] | None = None
        #: Whether it forks at once; before that it is asked all the same, and forks when it has loaded what the environments share.
        self.is_warm = asyncio.Event()
        #: What the functions with ``snap_start`` have below this zygote, by name; ``at_end`` removes it.
        self.templates: dict[str, dict[str, Any]] = {}
        #: What is to be done when a preloaded process below this zygote has ended, by its name; it is told whether that had come so far as to fork.
        self.unloaded: dict[str, Callable[[bool], None]] = {}
        self.at_end = contextlib.ExitStack()
        self.at_end.callback(self._all_unloaded)

    def prepare(self, shared: Mapping[str, Any]) -> None:
        """Start a zygote that loads what the application shared before, so that ``start`` has only the application itself to load."""
        message = json.dumps(shared).encode()
        if len(message) > LARGEST_SHARED:
            return
        self._spawn(PREPARED)
        self._prepared = True
        self._control.send(LENGTH.pack(len(message)) + message)

    async def start(self) -> dict[str, Any]:
        """Start the zygote; the app's manifest. Raises ``LoadError`` with what is wrong with the app."""
        self._manifest = asyncio.get_running_loop().create_future()
        if self._prepared and not self._closing:
            self._control.send(LENGTH.pack(2) + b"{}")
        else:
            self._closing = False
            self._spawn(*([] if self._template is None else [json.dumps(self._template)]))
        try:
            return await asyncio.wait_for(asyncio.shield(self._manifest), LOAD_SECONDS)
        except TimeoutError:
            await self.close()
            raise LoadError(
                f"{self._reference} was still being imported after {LOAD_SECONDS:.0f} s. Move slow work from module level into the handler."
            ) from None
        except LoadError:
            await self.close()
            raise

    def _spawn(self, *arguments: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "eventflow.runtime.zygote", str(theirs.fileno()), self._reference, *arguments]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=self._variables, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.pid = self._process.pid
        self._control = ours
        ours.setblocking(False)
        asyncio.get_running_loop().add_reader(ours, self._readable)

    async def warm(self) -> None:
        """Wait until it forks at once. Raises ``LoadError`` if it dies before that."""
        await self.is_warm.wait()
        if self._closing:
            raise LoadError(f"The process that loads {self._reference} ended while it loaded what the functions share.")

    def tell(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Ask for an environment, with its descriptors, or say something else. Raises OSError when the zygote cannot be asked."""
        message = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self._control, [message], list(descriptors)) if descriptors else self._control.send(message)
        if sent < len(message):
            # The rest of a line whose beginning went out must follow, or the zygote would wait for it for ever.
            self._control.setblocking(True)
            try:
                self._control.sendall(message[sent:])
            finally:
                self._control.setblocking(False)

    async def close(self) -> None:
        """End the zygote and, through it, all its environments."""
        if self._closing or not self.pid:
            return
        self._closing = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if not self.is_warm.is_set():
            self._kill()  # it is still importing, and would not notice
        try:
            await asyncio.to_thread(self._process.wait, 2)
        except subprocess.TimeoutExpired:
            self._kill()
            await asyncio.to_thread(self._process.wait)
        self.at_end.close()

    def _all_unloaded(self) -> None:
        for call in self.unloaded.values():
            call(False)
        self.unloaded.clear()

    def _kill(self) -> None:
        """End the zygote and the fork in which it may be loading the app."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _readable(self) -> None:
        try:
            data = self._control.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        if "forked" in message:
            self._listener.forked(message["forked"], message["pid"])
        elif "exited" in message:
            self._listener.exited(message["exited"], message["status"])
        elif "unloaded" in message:
            self.unloaded.pop(message["unloaded"])(message["was_ready"])
        elif "prepared" in message:
            self.is_prepared.set()
        elif "warm" in message:
            self.shared = message.get("shared")
            self.is_warm.set()
        elif self._manifest is not None and not self._manifest.done():
            if "load_error" in message:
                self._manifest.set_exception(LoadError(message["load_error"]))
            else:
                self._manifest.set_result(message["manifest"])

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._control)
        if self._manifest is not None and not self._manifest.done():
            self._manifest.set_exception(LoadError(f"The process that loads {self._reference} ended before the app was loaded."))
        elif self._manifest is None:  # it was prepared, and nobody has needed it yet
            self._closing = True
            self._control.close()
            self._process.kill()
            self._process.wait()
        elif not self._closing:
            self._closing = self.lost = True
            self._control.close()
            self._process.kill()
            self._process.wait()  # it closed its end, so it is dead or dying: this does not block
            self.at_end.close()
            self._listener.lost(self)


def exit_reason(status: int) -> str:
    """A wait status in the words of Lambda's errors."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"Runtime exited with error: signal: {(signal.strsignal(number) or str(number)).lower()}"
    code = os.waitstatus_to_exitcode(status)
    return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"
