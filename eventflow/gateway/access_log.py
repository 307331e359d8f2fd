"""Access logs: a line for each request that an API answered, in a file of the state directory or in a log group."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from eventflow.clock import Clock
from eventflow.errors import SettingError
from eventflow.gateway.access_format import Answered, LineFormat
from eventflow.gateway.apis import Api, Route
from eventflow.gateway.events import Writer
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Findings, Integration, Step
from eventflow.services.log_groups import NAME, LogGroups
from eventflow.services.logs import LogStore
from eventflow.trigger import ApiRoute

log = logging.getLogger("eventflow.gateway")

#: Lines that wait for the disk, of all APIs together, in bytes; what comes when there are more is dropped.
MOST_WAITING = 8 * 1024 * 1024
#: How often, in seconds, it is told that lines were dropped.
TELL_AFTER = 10.0
SETTINGS = ("format", "log_group")


@dataclass(frozen=True, slots=True)
class Destination:
    """A file of the access logs by its name, or a log group with a stream in it."""

    file: str
    log_group: str | None = None


class Lines:
    """What waits to be written. ``put`` takes no time worth mentioning and never fails; one group of lines is written after the other, in a thread
    or in the database's transactions, while others gather."""

    def __init__(self, clock: Clock, files: LogStore | None, groups: LogGroups | None, region: str) -> None:
        self._clock = clock
        self._files = files
        self._groups = groups
        self._region = region
        self._pending: defaultdict[Destination, list[bytes]] = defaultdict(list)
        self._waiting = 0
        self._writing: asyncio.Task[None] | None = None
        self._told_at = -TELL_AFTER
        self._untold = 0
        self._lost = 0  # since lines could last be written
        #: How many lines were lost, since the start.
        self.dropped = 0

    def put(self, destination: Destination, line: bytes) -> None:
        if self._waiting + len(line) > MOST_WAITING:
            self.drop(1, "they come faster than they can be written")
            return
        self._waiting += len(line)
        self._pending[destination].append(line)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def drop(self, count: int, why: object) -> None:
        self.dropped += count
        self._untold += count
        self._lost += count
        now = self._clock.monotonic()
        if now - self._told_at >= TELL_AFTER:
            log.warning("%d lines of access logs are lost: %s", self._untold, why)
            self._told_at, self._untold = now, 0

    async def written(self) -> None:
        """All that was put is written, or lost."""
        while self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        try:
            while self._pending:
                pending, self._pending = self._pending, defaultdict(list)
                for destination, lines in pending.items():
                    await self._write_lines(destination, lines)
        finally:
            self._writing = None

    async def _write_lines(self, destination: Destination, lines: list[bytes]) -> None:
        try:
            if destination.log_group is None:
                assert self._files is not None
                await asyncio.get_running_loop().run_in_executor(None, self._files.put, destination.file, b"".join(lines))
            else:
                await self._write_events(destination.log_group, destination.file, [line[:-1].decode("ascii") for line in lines])
            self._tell_of_the_end()
        except Exception as error:  # a log never takes down what it tells of
            self.drop(len(lines), error)
        finally:
            self._waiting -= sum(map(len, lines))

    def _tell_of_the_end(self) -> None:
        """That lines can be written again is told once, with how many were lost meanwhile: nobody else would tell of the last of them."""
        if self._lost:
            log.warning("lines of access logs are written again; %d were lost, %d since the start", self._lost, self.dropped)
            self._lost = self._untold = 0
            self._told_at = -TELL_AFTER

    async def _write_events(self, group: str, stream: str, messages: list[str]) -> None:
        groups = self._groups
        assert groups is not None
        now = self._clock.now()

        def change(connection: sqlite3.Connection) -> None:
            groups.ensure_in(connection, self._region, group)
            for message in messages:
                groups.write_in(connection, self._region, group, stream, message, now)

        await groups.database.write_along(change)


class ApiLog:
    """The access log of one API."""

    def __init__(self, lines: Lines, destination: Destination, api: Api, format: LineFormat, account: str, time: Callable[[float], str]) -> None:
        self._lines = lines
        self._destination = destination
        self.api = api
        self._format = format
        self._account = account
        self._time = time

    @property
    def file(self) -> str | None:
        """The name of its file, if it is not in a log group."""
        return self._destination.file if self._destination.log_group is None else None

    def record(self, request: Request, route: Route | None, findings: Findings, answer: Answer, seconds: float) -> None:
        try:
            one = Answered(self.api, self._account, self._time(request.received), request, route, findings, answer, seconds)
            self._lines.put(self._destination, self._format.line(one))
        except Exception as error:  # the answer is on its way: what is wrong with its line must not touch it
            self._lines.drop(1, f"{type(error).__name__}: {error}")


class AccessLogs:
    """The plug: ``access_log`` of an API is ``common``, ``combined``, ``json`` or a format, or a dict of that with a ``log_group``."""

    route_options: frozenset[str] = frozenset()
    api_options = frozenset(("access_log",))

    def __init__(self, clock: Clock, account: str, region: str, files: LogStore | None, groups: LogGroups | None) -> None:
        self._account = account
        self._files = files
        self._groups = groups
        self._time = Writer(account).time
        self.lines = Lines(clock, files, groups, region)

    def load(self, apis: Sequence[Api]) -> None:
        for api in apis:
            if "access_log" in api.options:
                api.access_log = self._log(api)

    def _log(self, api: Api) -> ApiLog:
        where, option = f"The {api}", api.options["access_log"]
        settings = option if isinstance(option, Mapping) else {"format": option}
        for name in settings:
            if name not in SETTINGS:
                raise SettingError(f"{where}: access_log has no setting {name!r}; it has: {', '.join(SETTINGS)}.")
        text, group = settings.get("format", "json"), settings.get("log_group")
        if not isinstance(text, str) or not text:
            raise SettingError(f"{where}: access_log={text!r} is refused: it takes common, combined, json, or a format with $context variables.")
        if group is not None and (not isinstance(group, str) or not NAME.fullmatch(group)):
            raise SettingError(f"{where}: access_log: log_group={group!r} is refused: it takes the name of a log group of CloudWatch Logs.")
        if (self._files if group is None else self._groups) is None:
            raise SettingError(f"{where}: access_log is refused: there is no place for it here; the daemon has one.")
        destination = Destination(file_of(api), group)
        return ApiLog(self.lines, destination, api, LineFormat(where, text), self._account, self._time)

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        return None

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        return ()

    def took_up(self) -> None:
        """The APIs have their logs."""

    async def read(self, file: str, since: str, limit: int) -> tuple[list[str], str]:
        """Up to ``limit`` lines of a file and the cursor to read on from; without a cursor the newest lines."""
        await self.lines.written()
        if self._files is None:
            return [], since
        found, following = await asyncio.get_running_loop().run_in_executor(None, partial(self._files.read_raw, file, since, limit))
        return [line.rstrip(b"\n").decode(errors="replace") for line in found], following


def file_of(api: Api) -> str:
    """``http-shop``, and ``http-shop.dev`` for a stage beside others."""
    return f"{api.protocol.lower()}-{api.name}" + (f".{api.stage.name}" if api.staged and api.stage.segment else "")
