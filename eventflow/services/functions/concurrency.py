"""What all versions of a function share: the concurrency that is reserved for it, what becomes of recursive loops, and its tags."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from eventflow.dispatch.concurrency import ACCOUNT_LIMIT, ALWAYS_UNRESERVED
from eventflow.services.functions import rows
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import invalid, wrong
from eventflow.services.functions.records import Shared

MOST_TAGS = 50
KEY = re.compile(r"(?!aws:).{1,128}", re.DOTALL)
LONGEST_VALUE = 256


class SharedSettings:
    """Each change is a change of the function: it runs with it once the call returns."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def reserve(self, name: str, count: int | None) -> None:
        """Let at most ``count`` invocations run at once, all versions together, and keep that many free for it; None shares what there is."""
        ledger = self._ledger
        declared = sum(function.reserved_concurrency or 0 for function in ledger.declared().values())

        def changed(connection: sqlite3.Connection, shared: Shared) -> Shared:
            others: int = connection.execute(rows.RESERVED, (name,)).fetchone()[0]
            if count is not None and declared + others + count > ACCOUNT_LIMIT - ALWAYS_UNRESERVED:
                raise wrong(
                    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value "
                    f"of [{ALWAYS_UNRESERVED}]."
                )
            warm = sum(one.wanted for one in ledger.routes[name].provisions.values())
            if count is not None and count < warm:
                raise wrong(f"Specified ReservedConcurrentExecutions for function should not be less than its provisioned concurrency of [{warm}].")
            return replace(shared, reserved_concurrency=count)

        await self._change(name, changed, runs=True)

    async def guard_recursion(self, name: str, loop: str) -> None:
        """What becomes of chains in which the function stands too often: ``Terminate`` or ``Allow``."""
        if loop not in ("Terminate", "Allow"):
            raise invalid(loop, "recursiveLoop", "satisfy enum value set: [Terminate, Allow]")
        await self._change(name, lambda _connection, shared: replace(shared, recursive_loop=loop), runs=True)

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        await self._change(name, lambda _connection, shared: replace(shared, tags=checked_tags({**shared.tags, **tags})))

    async def untag(self, name: str, keys: Iterable[str]) -> None:
        gone = set(keys)
        await self._change(
            name, lambda _connection, shared: replace(shared, tags={key: value for key, value in shared.tags.items() if key not in gone})
        )

    async def _change(self, name: str, changed: Callable[[sqlite3.Connection, Shared], Shared], *, runs: bool = False) -> None:
        ledger = self._ledger
        ledger.check_changeable(name)

        def change(connection: sqlite3.Connection) -> None:
            rows.set_shared(connection, changed(connection, rows.found_shared(connection, ledger.place, name)))

        async def work() -> None:
            await ledger.write(change)
            if runs:
                await ledger.deploy(name)

        await ledger.alone(name, work)


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """A function's tags. Raises ServiceError."""
    if len(tags) > MOST_TAGS:
        raise wrong(f"The number of tags exceeds the limit of {MOST_TAGS}: {len(tags)}.")
    for key, value in tags.items():
        if not KEY.fullmatch(key) or len(value) > LONGEST_VALUE:
            raise wrong(
                f"The tag {key[:200]!r} is invalid: a key has 1 to 128 characters and does not begin with aws:, a value has up to {LONGEST_VALUE}."
            )
    return dict(tags)
