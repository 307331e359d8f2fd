"""The way from the command line to a running daemon: its control API over HTTP."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from eventflow.errors import EventflowError

ANNOUNCEMENT = "daemon.json"
ANSWER_SECONDS = 30.0
#: A function may run for 900 seconds; the daemon gets some more to end it and to answer.
INVOKE_SECONDS = 960.0


class DaemonError(EventflowError):
    """The daemon is not there, does not answer, or refused what was asked."""


@dataclass(frozen=True)
class Client:
    """The control API of the daemon at ``url``, which owns the state directory ``state``."""

    state: Path
    url: str
    pid: int
    token: str

    @classmethod
    def of(cls, state: Path) -> Client:
        """The daemon that runs on a state directory; DaemonError says what to do when there is none."""
        file = state / ANNOUNCEMENT
        try:
            said = json.loads(file.read_text())
            client = cls(state, said["url"], int(said["pid"]), said["token"])
        except FileNotFoundError:
            raise DaemonError(
                f"No daemon runs on the state directory {state}. Start one with `eventflow run APP`, or name its directory with --state DIR."
            ) from None
        except PermissionError as error:
            raise DaemonError(f"{file} belongs to another user, who runs that daemon; work as that user.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaemonError(f"{file} cannot be read ({type(error).__name__}: {error}); start the daemon again with `eventflow run APP`.") from error
        if not is_alive(client.pid):
            raise DaemonError(
                f"The daemon on {state} (pid {client.pid}) has ended without cleaning up, as after a crash or kill -9. "
                "Start it again with `eventflow run APP`; what it had accepted is still there."
            )
        return client

    def get(self, path: str, **query: object) -> Any:
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = ANSWER_SECONDS) -> Any:
        return self._ask("POST", path, body or {}, seconds)

    def invoke(self, function: str, payload: Any, *, asynchronous: bool = False) -> Any:
        body = {"payload": payload, "async": asynchronous}
        return self.post(f"functions/{segment(function)}/invoke", body, seconds=INVOKE_SECONDS)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS) -> Any:
        status, data = self._exchange(method, f"/_eventflow/{path}", body, seconds)
        try:
            answer = json.loads(data)
        except ValueError as error:
            if status >= 500:
                raise DaemonError(f"The daemon (pid {self.pid}) failed on this with status {status}; its own log tells why.") from error
            raise DaemonError(f"{self.url} answered {status} with something that is no JSON; is it an eventflow daemon?") from error
        if status >= 400:
            raise DaemonError(refusal(answer, status))
        return answer

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float) -> tuple[int, bytes]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=seconds)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError as error:
            raise DaemonError(f"The daemon (pid {self.pid}) did not answer at {self.url} within {seconds:.0f} seconds.") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise DaemonError(f"The daemon (pid {self.pid}) does not answer at {self.url}: {reason}. It may be stopping; try again.") from error
        finally:
            connection.close()


def refusal(answer: Any, status: int) -> str:
    text = answer.get("error") if isinstance(answer, dict) else None
    return str(text or f"The daemon refused this with status {status}.")


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
