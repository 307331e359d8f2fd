"""What the parts of the buses share: changes that are noticed by who keeps rules in memory, and pages of lists."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.services.bus import records
from eventflow.services.bus.errors import invalid, unlike

T = TypeVar("T")

LARGEST_PAGE = 100


class Shelf:
    """The buses' rows in the database; ``wake`` has what they do by themselves looked at."""

    def __init__(self, database: Database, clock: Clock, account: str, wake: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._wake = wake

    async def _change(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Change what a bus does with events."""

        def revised(connection: sqlite3.Connection) -> T:
            value = change(connection)
            records.revise(connection, self._clock.new_id())
            return value

        return await self._database.write(revised)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._database.read(query)

    async def _page(self, query: Any, key: Callable[[Any], str], limit: int | None, token: str | None) -> tuple[list[Any], str | None]:
        """A page, and the token of the next."""
        if limit is not None and not 1 <= limit <= LARGEST_PAGE:
            raise unlike("limit", limit, f"have value between 1 and {LARGEST_PAGE}")
        after, most = after_token(token), limit or LARGEST_PAGE
        found = await self._read(lambda connection: query(connection, after=after, limit=most + 1))
        page = found[:most]
        return page, token_after(key(page[-1])) if len(found) > most else None


def token_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def after_token(token: str | None) -> str:
    try:
        return "" if token is None else base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("NextToken is not valid: take it as the last answer had it, or leave it out.") from error
