"""Lifecycle rules as they are carried out: at each midnight of UTC, and soon after a configuration was put, page by page."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence

from eventflow.clock import Clock
from eventflow.errors import EventflowError
from eventflow.services.objects.buckets import Bucket, Buckets
from eventflow.services.objects.lifecycle import DAY, Rule, abortion, expiration, from_json, midnight_after
from eventflow.services.objects.listing import ObjectListing, Query
from eventflow.services.objects.settings import LIFECYCLE, BucketSettings
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.uploads import Uploads
from eventflow.services.objects.version_listing import Listed, VersionListing, VersionQuery
from eventflow.services.objects.writer import ObjectWriter

log = logging.getLogger("eventflow.objects")
#: So many keys, versions or uploads are looked at before everybody else has a turn.
PAGE = 1000


class LifecycleSweep:
    """Carries out the lifecycle configurations of all buckets. ``start`` has that go on until ``close``; ``sweep`` does it once."""

    def __init__(
        self,
        buckets: Buckets,
        settings: BucketSettings,
        listing: ObjectListing,
        versions: VersionListing,
        writer: ObjectWriter,
        uploads: Uploads,
        clock: Clock,
    ) -> None:
        self._buckets = buckets
        self._settings = settings
        self._listing = listing
        self._versions = versions
        self._writer = writer
        self._uploads = uploads
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def rules(self, bucket: str) -> tuple[Rule, ...]:
        return from_json(self._settings.get(bucket, LIFECYCLE) or ())

    def start(self) -> None:
        self._wake.set()
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def wake(self) -> None:
        """A configuration was put: carry it out soon."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            now = self._clock.now()
            idle = not any(self.rules(name) for name in self._buckets.all())
            # A second past midnight: a wait that is rounded may end a moment before.
            await self._clock.wait(self._wake, None if idle else (math.floor(now / DAY) + 1) * DAY + 1 - now)
            self._wake.clear()
            await self.sweep()

    async def sweep(self) -> int:
        """Remove all that is due now, in all buckets; how much that was. What cannot be removed is told in the log, and tried again next time."""
        count = 0
        for bucket in list(self._buckets.all().values()):
            rules = [rule for rule in self.rules(bucket.name) if rule.enabled]
            if not rules:
                continue
            try:
                count += await self._sweep(bucket, rules)
            except EventflowError as error:
                log.warning("the lifecycle of bucket %s is carried on later: %s", bucket.name, error)
        return count

    async def _sweep(self, bucket: Bucket, rules: Sequence[Rule]) -> int:
        now, count = self._clock.now(), 0
        if any(rule.days is not None or rule.date is not None for rule in rules):
            count += await self._expire(bucket, rules, now)
        if self._settings.versioning(bucket.name) and any(has_part_for_versions(rule) for rule in rules):
            count += await self._expire_versions(bucket, rules, now)
        if any(rule.abort_days is not None for rule in rules):
            count += await self._abort(bucket, rules, now)
        if count:
            log.info("the lifecycle of bucket %s removed %d objects, versions and uploads", bucket.name, count)
        return count

    async def _expire(self, bucket: Bucket, rules: Sequence[Rule], now: float) -> int:
        def due(stored: StoredObject) -> bool:
            version = stored.version
            found = expiration(rules, version.key, version.size, stored.attributes.tags, stored.modified)
            return found is not None and found[0] <= now

        count, after = 0, ""
        # What name, size and time rule out is not even looked up.
        prefix = common_start([rule.filter.prefix for rule in rules if rule.days is not None or rule.date is not None])
        while True:
            found, last = await self._listing.found(bucket, Query(prefix, after=after, limit=PAGE))
            for item in found:
                key, size, modified = item.key, item.state.size, item.state.mtime_ns / 1e9
                if any((at := rule.expires_at(modified)) is not None and at <= now and rule.filter.admits(key, size) for rule in rules):
                    count += await self._writer.expire(bucket, key, due)
            if last is None:
                return count
            after = last
            await asyncio.sleep(0)

    async def _expire_versions(self, bucket: Bucket, rules: Sequence[Rule], now: float) -> int:
        # What a page dooms goes when the next page is there: that one begins behind a version which must still be.
        count, query, doom = 0, VersionQuery(limit=PAGE), Doom(rules, now)
        while True:
            waiting, page = doom.take(), await self._versions.page(bucket, query)
            for entry in page.entries:
                doom.look(entry)
            if page.last is None:
                waiting += doom.take(whole=True)
            for entry in waiting:
                await self._writer.expire_version(bucket, entry.key, entry.id)
            count += len(waiting)
            if page.last is None:
                return count
            query = VersionQuery(key_marker=page.last[0], version_marker=page.last[1], limit=PAGE)
            await asyncio.sleep(0)

    async def _abort(self, bucket: Bucket, rules: Sequence[Rule], now: float) -> int:
        count, after = 0, ("", "")
        while True:
            page = await self._uploads.begun(bucket, after, PAGE)
            for upload in page:
                found = abortion(rules, upload.key, upload.initiated_at)
                if found and found[0] <= now:
                    await self._uploads.expire(bucket, upload)
                    count += 1
            if len(page) < PAGE:
                return count
            after = page[-1].key, page[-1].id


def has_part_for_versions(rule: Rule) -> bool:
    return rule.noncurrent_days is not None or rule.lonely_markers or rule.days is not None


class Doom:
    """Which versions are to go now. It looks at them in the order of their listing, and remembers of a key's no more than it needs."""

    def __init__(self, rules: Sequence[Rule], now: float) -> None:
        self._rules = rules
        self._now = now
        self._former: Listed | None = None
        self._place = 0
        self._found: list[Listed] = []

    def look(self, entry: Listed) -> None:
        former = self._former
        if former is None or former.key != entry.key:
            self._end_key()
            self._place = 0
        else:
            self._place += 1
            if any(noncurrent_is_due(entry, rule, modified(former), self._place - 1, self._now) for rule in self._rules):
                self._found.append(entry)
        self._former = entry

    def take(self, *, whole: bool = False) -> list[Listed]:
        """What was found since the last time. ``whole`` says that nothing follows."""
        if whole:
            self._end_key()
        found, self._found = self._found, []
        return found

    def _end_key(self) -> None:
        """A key whose only entry is a delete marker: that hides nothing."""
        only = self._former if self._place == 0 else None
        if only and only.marker and only.latest and any(lonely_is_due(only, rule, self._now) for rule in self._rules):
            self._found.append(only)


def lonely_is_due(marker: Listed, rule: Rule, now: float) -> bool:
    """Whether a delete marker goes that hides nothing. A rule that gives a number of days asks for that too, of those as old."""
    if not rule.filter.matches(marker.key, 0, {}) or not (rule.lonely_markers or rule.days is not None):
        return False
    return rule.lonely_markers or midnight_after(modified(marker), rule.days or 0) <= now


def noncurrent_is_due(entry: Listed, rule: Rule, since: float, newer: int, now: float) -> bool:
    if rule.noncurrent_days is None or newer < rule.newer_noncurrent or midnight_after(since, rule.noncurrent_days) > now:
        return False
    size, tags = (entry.stored.version.size, entry.stored.attributes.tags) if entry.stored else (0, {})
    return rule.filter.matches(entry.key, size, tags)


def modified(entry: Listed) -> float:
    return entry.stored.modified if entry.stored else entry.marker.modified_at if entry.marker else 0.0


def common_start(prefixes: Sequence[str]) -> str:
    """What all of some texts begin with."""
    least, greatest = min(prefixes), max(prefixes)
    length = next((place for place, (one, other) in enumerate(zip(least, greatest, strict=False)) if one != other), min(len(least), len(greatest)))
    return least[:length]
