"""Publishing: a version is what ``$LATEST`` was, for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from eventflow.function import LATEST
from eventflow.services.functions import rows
from eventflow.services.functions.archive import LARGEST_UNZIPPED
from eventflow.services.functions.code import Code
from eventflow.services.functions.drops import Drops
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import Place, conflict, wrong
from eventflow.services.functions.records import NEWEST, LayerUse, Settings, Version, number_of
from eventflow.services.functions.revisions import check_revision

#: AWS: 75 GB of archives for an account and region, all versions and layers counted (Lambda quotas).
MOST_STORED = 75 * 1024**3


class Versions:
    """The published versions of functions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.drops = Drops(ledger)

    async def publish(self, name: str, *, sha256: str | None = None, description: str | None = None, revision: str | None = None) -> Version:
        """Publish ``$LATEST``; where that is what the newest version was published of, the answer is that version. ``sha256`` and ``revision`` are
        what ``$LATEST`` must have. Raises ServiceError."""
        ledger = self._ledger
        ledger.check_changeable(name)

        def change(connection: sqlite3.Connection) -> Version:
            latest = rows.found_version(connection, ledger.place, name, NEWEST)
            check_revision(revision, latest.revision)
            if sha256 is not None and sha256 != latest.code.sha256:
                raise wrong(
                    f"CodeSHA256 ({sha256}) is different from current CodeSHA256 in $LATEST ({latest.code.sha256}). "
                    "Please try again with the CodeSHA256 in $LATEST."
                )
            return publish_in(connection, latest, description, ledger.clock.new_id(), ledger.clock.now())

        async def work() -> Version:
            version = await ledger.write(change)
            await self.published(version)
            return version

        return await ledger.alone(name, work)

    async def published(self, version: Version) -> None:
        """Run a version that was published just now."""
        if version.number not in self._ledger.routes[version.function].numbers:
            await self._ledger.deploy(version.function, [version.number])
            self._ledger.routes[version.function].numbers.add(version.number)

    async def page(self, name: str, marker: str | None, limit: int) -> tuple[list[Version], str | None]:
        """A function's versions, ``$LATEST`` first, and the marker of the next page."""
        first = number_of(marker) if marker is not None and (marker == LATEST or marker.isdecimal()) else NEWEST
        found = await self._ledger.database.read(lambda connection: rows.versions(connection, name, first, limit + 1))
        return found[:limit], found[limit].version if len(found) > limit else None

    async def delete(self, name: str, number: int) -> None:
        """Delete a published version. Raises ServiceError where an alias names it."""
        ledger = self._ledger
        ledger.check_changeable(name)
        if number == NEWEST:
            raise wrong("$LATEST version cannot be deleted without deleting the function.")

        async def work() -> None:
            aliases = [alias.name for alias in ledger.routes[name].aliases.values() if number in (alias.number, alias.other)]
            if aliases:
                raise conflict(f"Unable to delete version because the following aliases reference it: [{', '.join(sorted(aliases))}]")
            gone = await ledger.write(partial(self._delete_in, name, number))
            ledger.routes[name].numbers.discard(number)
            ledger.routes[name].provisions.pop(str(number), None)
            await ledger.remove([gone.key])
            await self.drops.try_to_finish(name)
            ledger.code.forget(gone.contents)

        await ledger.alone(name, work)

    def _delete_in(self, name: str, number: int, connection: sqlite3.Connection) -> Version:
        gone = rows.found_version(connection, self._ledger.place, name, number)
        connection.execute(rows.DELETE_VERSION, (name, number))
        self.drops.record_in(connection, [gone.key])
        return gone


def publish_in(connection: sqlite3.Connection, latest: Version, description: str | None, revision: str, now: float) -> Version:
    """Write down ``$LATEST`` as a version, unless the newest one is the same."""
    before = rows.newest_published(connection, latest.function)
    if before is not None and same(before, latest):
        return before
    check_stored(connection, latest.code.size)
    settings = latest.settings if description is None else replace(latest.settings, description=description)
    number = rows.count_up(connection, "function", latest.function)
    version = replace(latest, number=number, settings=settings, revision=revision, modified_at=now, described=latest.settings.description)
    rows.put_version(connection, version)
    return version


def same(published: Version, latest: Version) -> bool:
    """Whether nothing of ``$LATEST`` has changed since."""
    settings = replace(published.settings, description=published.described or "")
    return (published.code, published.layers, settings) == (latest.code, latest.layers, latest.settings)


def check_stored(connection: sqlite3.Connection, more: int) -> None:
    """Raises Lambda's error where all code together would be too much."""
    if rows.total_size(connection) + more > MOST_STORED:
        raise rows.storage_exceeded()


def check_unzipped(code: Code, layers: Sequence[LayerUse]) -> None:
    size = code.unzipped + sum(layer.code.unzipped for layer in layers)
    if layers and size > LARGEST_UNZIPPED:
        raise wrong(
            f"Function code combined with layers exceeds the maximum allowed size of {LARGEST_UNZIPPED} bytes. The actual size is {size} bytes."
        )


def layers_in(connection: sqlite3.Connection, place: Place, settings: Settings, former: Sequence[LayerUse]) -> tuple[LayerUse, ...]:
    """The layer versions that settings name. One that the function had before may have been deleted since."""
    known = {layer.arn: layer for layer in former}
    return tuple(rows.layer_use(connection, place, arn) or known.get(arn) or missing_layer(arn) for arn in settings.layers)


def missing_layer(arn: str) -> LayerUse:
    raise wrong(f"Layer version {arn} does not exist.")
