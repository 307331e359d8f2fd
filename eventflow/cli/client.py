"""What the command line asks a running daemon: its control API, one question at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from eventflow.connection import ANSWER_SECONDS, INVOKE_SECONDS, Address, Connection, segment

#: How long a debugger may take: as long as the daemon lets it, and a little.
DEBUG_SECONDS = 86_400.0 + INVOKE_SECONDS


@dataclass(frozen=True)
class Client:
    """The control API of the daemon that owns the state directory ``state``. Nothing is tried again: the person who asked sees why."""

    state: Path
    address: Address

    @classmethod
    def of(cls, state: Path) -> Client:
        """The daemon that runs on a state directory; DaemonError says what to do when there is none."""
        return cls(state, Address.of(state))

    def get(self, path: str, **query: object) -> Any:
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = ANSWER_SECONDS) -> Any:
        return self._ask("POST", path, json.dumps(body or {}).encode(), seconds)

    def invoke(self, function: str, payload: Any, *, asynchronous: bool = False) -> Any:
        body = {"payload": payload, "async": asynchronous}
        return self.post(f"functions/{segment(function)}/invoke", body, seconds=INVOKE_SECONDS)

    def debug(self, function: str, payload: Any, port: int) -> Any:
        """Invoke in an environment that waits for a debugger on this port."""
        return self.post(f"functions/{segment(function)}/invoke", {"payload": payload, "debug_port": port}, seconds=DEBUG_SECONDS)

    def _ask(self, method: str, path: str, body: bytes = b"", seconds: float = ANSWER_SECONDS) -> Any:
        connection = Connection(self.address)
        try:
            return connection.ask(method, path, body, seconds=seconds)
        finally:
            connection.close()
