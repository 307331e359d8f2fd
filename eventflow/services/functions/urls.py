"""Function URLs: an address for ``$LATEST`` or for an alias of a function."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from eventflow.errors import ServiceError
from eventflow.function import names_version
from eventflow.services.functions import rows
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import conflict, invalid, not_found
from eventflow.services.functions.records import Url

T = TypeVar("T")
AUTH = ("NONE", "AWS_IAM")
MODES = ("BUFFERED", "RESPONSE_STREAM")


class Door(Protocol):
    """Who serves function URLs. ``check`` raises ServiceError for one that could not be served, ``address`` is a URL's address by its id, ``take_up``
    has exactly these served, from when it returns."""

    def check(self, url: Url) -> None: ...
    def address(self, id: str) -> str: ...
    async def take_up(self, urls: list[Url]) -> None: ...


class Urls:
    """The addresses of functions. Until there is a ``door``, nothing could serve them, and all that concerns them is refused."""

    def __init__(self, ledger: Ledger) -> None:
        self.door: Door | None = None
        self._ledger = ledger

    def address(self, url: Url) -> str:
        return self._open().address(url.id)

    def _open(self) -> Door:
        if self.door is None:
            raise ServiceError(
                "NotImplemented",
                "eventflow does not serve function URLs that are made by API yet; the application's @app.function(url=True) has one.",
                501,
            )
        return self.door

    async def _change(self, name: str, change: Callable[[sqlite3.Connection], T]) -> T:
        door = self._open()
        self._ledger.check_changeable(name)

        async def work() -> T:
            changed = await self._ledger.write(change)
            await door.take_up(await self.all())
            return changed

        return await self._ledger.alone(name, work)

    def _qualifier(self, name: str, qualifier: str | None) -> str:
        if qualifier is None:
            return ""
        if names_version(qualifier):
            raise invalid(qualifier, "qualifier", r"satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)")
        if name in self._ledger.routes and qualifier not in self._ledger.routes[name].aliases:
            raise not_found(f"Function not found: {self._ledger.place.function_arn(name, qualifier)}")
        return qualifier

    async def create(self, name: str, qualifier: str | None, auth: str, mode: str, cors: Mapping[str, Any] | None) -> Url:
        ledger, alias = self._ledger, self._qualifier(name, qualifier)
        check(auth, mode)
        now = ledger.clock.now()
        url = Url(name, alias, url_id(ledger.clock.new_id()), auth, mode, cors, now, now)
        self._open().check(url)

        def change(connection: sqlite3.Connection) -> Url:
            if rows.url(connection, name, alias) is not None:
                arn = ledger.place.function_arn(name, alias or None)
                raise conflict(
                    f"Failed to create function url config for [functionArn = {arn}]. "
                    "Error message:  FunctionUrlConfig exists for this Lambda function"
                )
            rows.put_url(connection, url)
            return url

        return await self._change(name, change)

    async def update(self, name: str, qualifier: str | None, auth: str | None, mode: str | None, cors: Mapping[str, Any] | None) -> Url:
        ledger, alias, door = self._ledger, self._qualifier(name, qualifier), self._open()

        def change(connection: sqlite3.Connection) -> Url:
            former = self._found(connection, name, alias)
            changed = replace(former, auth=auth or former.auth, mode=mode or former.mode, modified_at=ledger.clock.now())
            changed = changed if cors is None else replace(changed, cors=cors or None)
            check(changed.auth, changed.mode)
            door.check(changed)
            rows.put_url(connection, changed)
            return changed

        return await self._change(name, change)

    async def delete(self, name: str, qualifier: str | None) -> None:
        alias = self._qualifier(name, qualifier)

        def change(connection: sqlite3.Connection) -> None:
            self._found(connection, name, alias)
            connection.execute(rows.DELETE_URL, (name, alias))

        await self._change(name, change)

    async def find(self, name: str, qualifier: str | None) -> Url:
        alias = self._qualifier(name, qualifier)
        return await self._ledger.database.read(lambda connection: self._found(connection, name, alias))

    def _found(self, connection: sqlite3.Connection, name: str, alias: str) -> Url:
        url = rows.url(connection, name, alias)
        if url is None:
            raise not_found("The resource you requested does not exist.")
        return url

    async def all(self, name: str | None = None) -> list[Url]:
        """The URLs of a function, or of all."""
        return await self._ledger.database.read(lambda connection: rows.urls(connection, name))


def check(auth: str, mode: str) -> None:
    if auth not in AUTH:
        raise invalid(auth, "authType", f"satisfy enum value set: [{', '.join(AUTH)}]")
    if mode not in MODES:
        raise invalid(mode, "invokeMode", f"satisfy enum value set: [{', '.join(MODES)}]")


def url_id(fresh: str) -> str:
    """What a URL's host begins with: 32 lower-case letters and digits, as Lambda's, from a fresh identifier."""
    return hashlib.sha256(fresh.encode()).hexdigest()[:32]
