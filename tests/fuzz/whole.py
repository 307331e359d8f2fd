"""The whole endpoint with every service behind it, as a target: no request is a mistake of ours, and none makes a file outside of the buckets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from eventflow.aws.credentials import Credentials
from eventflow.aws.endpoint import Endpoint
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.testing.virtual_clock import VirtualClock

ACCOUNT, REGION = "000000000000", "us-east-1"
#: A long poll may wait for the virtual clock, which does not move: it is left.
PATIENCE = 2.0


class Whole:
    """One endpoint on a state of its own, which all requests share; the request before may have made the bucket that this one fills."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="eventflow-fuzz-"))
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        database = Database(self._folder / "state.db")
        core = Core(database, VirtualClock(), buckets=self._folder / "buckets", account=ACCOUNT, region=REGION)
        await core.open()
        await core.objects.ensure_bucket("bucket")
        await core.queues.ensure(REGION, "queue")
        await core.tables.ensure(REGION, "table", key="pk")
        self._endpoint = Endpoint(core.aws_services("python3.11"), Credentials("AKID", "secret"), core.clock, ACCOUNT, REGION, open=True)
        self._beside = self._files()

    def _files(self) -> list[str]:
        return sorted(entry.name for entry in self._folder.iterdir())

    def answer(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> int:
        """The status of the answer; 0 where none came."""
        return self._loop.run_until_complete(self._answer(method, path, query, headers, body))

    async def _answer(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> int:
        statuses: list[int] = []
        messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "scheme": "http",
        }
        try:
            await asyncio.wait_for(self._endpoint(scope, receive, send), PATIENCE)
        except TimeoutError:
            return 0
        return statuses[0] if statuses else 0

    def check(self, status: int) -> None:
        assert status < 500 or status == 501, status
        assert self._files() == self._beside


@cache
def whole() -> Whole:
    return Whole()
