"""Delivers what happens in buckets to whom ``PutBucketNotificationConfiguration`` named: each rule is a ``Bucket`` trigger, started at runtime."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import unquote_plus

from eventflow import faultpoint
from eventflow.clock import Clock, iso
from eventflow.database import Database
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.journal import CursorMove, Journal
from eventflow.errors import Overloaded, ServiceError, SettingError
from eventflow.journals.sqlite import move_cursor
from eventflow.manifest import trigger_class
from eventflow.services.objects import Objects
from eventflow.services.objects.notification_rules import BUS_ARN, FUNCTION_ARN, QUEUE_ARN, Rule, no_such_destination, read_rules
from eventflow.services.objects.settings import NOTIFICATION
from eventflow.services.queues import Queues
from eventflow.supervisor import Supervisor
from eventflow.target import FIRST_PAUSE, LONGEST_PAUSE, JournalCursor
from eventflow.trigger import BucketSource, Cursor, Trigger

log = logging.getLogger("eventflow.notifications")

KIND = "bucket"
#: So many entries of a memory that nobody needs any more are forgotten at a time.
FORGOTTEN_AT_ONCE = 1_000
#: What EventBridge calls the ways in which objects come and go.
REASONS = {"Put": "PutObject", "Post": "POST Object", "Copy": "CopyObject", "CompleteMultipartUpload": "CompleteMultipartUpload"}


class Bus(Protocol):
    """The event bus, as far as buckets put events on it: inside somebody else's transaction, and what is to follow its commit."""

    def put_in(
        self, connection: sqlite3.Connection, region: str, source: str, detail_type: str, detail: Mapping[str, Any], *,
        resources: Sequence[str] = (), time: float | None = None, trace: str | None = None
    ) -> tuple[str, Any]: ...  # fmt: skip
    def after(self, effects: Any) -> None: ...


class BucketNotifications:
    """The notification rules of all buckets and the triggers that serve them. ``put`` works from ``start`` on, ``stop`` is for good.

    An event for a queue or the bus and the trigger's memory of it are one transaction; for a function it is an event in the journal, as an
    application's own ``Bucket`` trigger makes it. ``bus`` is None where there is none: a rule for it is refused.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        objects: Objects,
        queues: Queues,
        dispatcher: Dispatcher,
        journal: Journal,
        *,
        account: str,
        region: str,
        bus: Bus | None = None,
    ) -> None:
        self.database = database
        self.clock = clock
        self.objects = objects
        self.queues = queues
        self.dispatcher = dispatcher
        self.journal = journal
        self.account = account
        self.region = region
        self.bus = bus
        self._supervisor = Supervisor(clock)
        self._targets: dict[str, RuleTarget] = {}
        self._changing = asyncio.Lock()
        self._started = False
        #: The rules' triggers where they are swept instead of running.
        self._swept: list[tuple[Trigger, Any]] | None = None

    async def start(self) -> None:
        """Begin to deliver, with what happened since the last stop."""
        async with self._changing:
            self._started = True
            await self._run()

    async def start_sweeping(self) -> None:
        """The same for a test on a virtual clock: nothing watches, and ``sweep`` delivers what is due."""
        self._swept = []
        await self.start()

    async def sweep(self) -> int:
        """Deliver what happened since the last sweep; how many events that were."""
        return sum([await trigger.sweep(target) for trigger, target in self._swept or ()])

    async def stop(self) -> None:
        self._started = False
        await self._supervisor.stop()

    def status(self) -> list[dict[str, object]]:
        """What ``eventflow status`` shows of each rule."""
        return self._supervisor.status()

    def get(self, bucket: str) -> Mapping[str, Any]:
        """The configuration, with an id in each of its rules."""
        kept = self.objects.settings.get(bucket, NOTIFICATION)
        found: Mapping[str, Any] = kept["configuration"] if kept else {}
        return found

    async def put(self, bucket: str, configuration: Mapping[str, Any]) -> None:
        """Replace a bucket's configuration. When this returns it is on disk, and every change of an object from now on is told."""
        rules, kept = read_rules(configuration, self.clock.new_id)
        async with self._changing:
            if not self._started:
                raise ServiceError("ServiceUnavailable", "The daemon is starting or stopping: send this again when it runs.", 503)
            for rule in rules:
                await self._check_destination(bucket, rule)
            former = self._rules(bucket)
            rules = [next((one for one in former if one.same(rule)), made_new(rule, self.clock.new_id())) for rule in rules]
            await self._send_test_events(bucket, rules)
            value = {"configuration": kept, "rules": [asdict(rule) for rule in rules]}
            if rules:
                await self.objects.settings.put(bucket, NOTIFICATION, value)
            else:
                await self.objects.settings.delete(bucket, NOTIFICATION)
            faultpoint.reach("notification.configured")
            await self._run()
            waiting = [target for target in self._targets.values() if target.rule in rules and not target.is_ready.is_set()]
            if waiting:
                reports = " ".join(text for target in waiting for text in target.reports)
                text = f"The configuration is kept, but the bucket is not watched yet: what changes until then may not be told. {reports}"
                raise ServiceError("ServiceUnavailable", text, 503)

    async def refresh(self) -> None:
        """Stop what serves buckets that are gone."""
        async with self._changing:
            if self._started:
                await self._run()

    def _rules(self, bucket: str) -> list[Rule]:
        kept = self.objects.settings.get(bucket, NOTIFICATION)
        return [Rule(**{**rule, "events": tuple(rule["events"])}) for rule in kept["rules"]] if kept else []

    async def _check_destination(self, bucket: str, rule: Rule) -> None:
        try:
            trigger_of(bucket, rule)
        except SettingError as error:
            raise ServiceError("NotImplemented", f"The notification {rule.id} cannot be served here. {error}", 501) from error
        if rule.kind == FUNCTION_ARN and self._function(rule) is None:
            raise no_such_destination(rule.arn, "The destination function does not exist")
        if rule.kind == BUS_ARN and self.bus is None:
            raise ServiceError("NotImplemented", "EventBridgeConfiguration: there is no event bus here.", 501, Header="EventBridgeConfiguration")
        if rule.kind == QUEUE_ARN:
            region, name = self._queue(rule)
            if name.endswith(".fifo"):
                raise no_such_destination(rule.arn, "FIFO SQS queues are not supported")
            try:
                await self.queues.find(region, name)
            except ServiceError:
                raise no_such_destination(rule.arn, "The destination queue does not exist") from None

    def _function(self, rule: Rule) -> str | None:
        name = rule.arn.rpartition(":")[2]
        mine = rule.arn == f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"
        return name if mine and name in self.dispatcher.functions() else None

    def _queue(self, rule: Rule) -> tuple[str, str]:
        parts = rule.arn.split(":")
        if len(parts) != 6 or parts[:3] != ["arn", "aws", "sqs"] or parts[4] != self.account:
            raise no_such_destination(rule.arn, "The ARN is not of a queue of this account")
        return parts[3], parts[5]

    async def _send_test_events(self, bucket: str, rules: Sequence[Rule]) -> None:
        """What S3 sends to a queue that it is told of, so that somebody can see that it arrives."""
        event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": iso(self.clock.now()), "Bucket": bucket}
        identifier = self.clock.new_id()
        body = json.dumps({**event, "RequestId": identifier, "HostId": identifier})
        arns = [rule.arn for rule in rules if rule.kind == QUEUE_ARN]

        def change(connection: sqlite3.Connection) -> None:
            for arn in arns:
                self.queues.send_in(connection, self.region, arn, body)

        if arns:
            await self.database.write(change)
            for arn in arns:
                self.queues.wake(self.region, arn)

    async def _run(self) -> None:
        # What a Bucket trigger asks of its target, a rule's has; it has no function that could be invoked, nor other sources.
        wanted: list[tuple[Trigger, Any]] = [
            (trigger_of(bucket.name, rule), self._target(bucket.region, bucket.name, rule)) for bucket, rule in self._all()
        ]
        current = {target.owner: target for _trigger, target in wanted}
        gone = [owner for owner in self._targets if owner not in current]
        if self._swept is None:
            await self._supervisor.run(wanted)
        else:
            await self._sweep_first([(trigger, target) for trigger, target in wanted if target.owner not in self._targets])
            self._swept = wanted
        self._targets = current
        for owner in gone:
            await self._forget(owner)

    async def _sweep_first(self, wanted: Sequence[tuple[Trigger, Any]]) -> None:
        """What is there before a rule is old."""
        for trigger, target in wanted:
            await trigger.sweep(target)
            target.ready()

    def _all(self) -> list[tuple[Any, Rule]]:
        return [(bucket, rule) for bucket in self.objects.list_buckets() for rule in self._rules(bucket.name)]

    def _target(self, region: str, bucket: str, rule: Rule) -> RuleTarget:
        known = self._targets.get(owner_of(bucket, rule))
        if known is not None:
            return known
        return RuleTarget(self, region, bucket, rule, self._delivery(rule))

    def _delivery(self, rule: Rule) -> Deliver:
        if rule.kind == FUNCTION_ARN:
            return self._to_function
        return self._to_queue if rule.kind == QUEUE_ARN else self._to_bus

    async def _forget(self, owner: str) -> None:
        """Take away the memory of a rule that is gone."""
        while entries := await self.journal.read_cursor(owner, limit=FORGOTTEN_AT_ONCE):
            await self.journal.move_cursor(CursorMove(owner, dict.fromkeys(entries)))

    # Deliveries: each returns once the event and the trigger's memory of it are on disk.

    async def _to_function(self, target: RuleTarget, event: Any, id: str, trace: str | None, move: CursorMove | None) -> None:
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        pause = FIRST_PAUSE
        while True:
            try:
                name = target.rule.arn.rpartition(":")[2]
                await self.dispatcher.emit(name, body, key=f"{target.owner}/{id}", trace=trace, source=target.source, cursor=move)
                return
            except Overloaded:
                await self.clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _to_queue(self, target: RuleTarget, event: Any, id: str, trace: str | None, move: CursorMove | None) -> None:
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False)

        def change(connection: sqlite3.Connection) -> None:
            self.queues.send_in(connection, self.region, target.rule.arn, body, trace=trace)
            if move:
                move_cursor(connection, move)

        await self.database.write(change)
        self.queues.wake(self.region, target.rule.arn)

    async def _to_bus(self, target: RuleTarget, event: Any, id: str, trace: str | None, move: CursorMove | None) -> None:
        bus, record = self.bus, event["Records"][0]
        if bus is None:
            raise ServiceError("NotImplemented", "There is no event bus here any more; take EventBridgeConfiguration out of the bucket's.", 501)
        detail_type, detail = bus_event(record)
        resources = [record["s3"]["bucket"]["arn"]]

        def change(connection: sqlite3.Connection) -> Any:
            _id, effects = bus.put_in(connection, self.region, "aws.s3", detail_type, detail, resources=resources, trace=trace)
            if move:
                move_cursor(connection, move)
            return effects

        bus.after(await self.database.write(change))


def bus_event(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A record of S3's own events as S3 sends it to EventBridge ("EventBridge event message structure", S3 User Guide): type and detail."""
    kind, _, action = record["eventName"].partition(":")
    given = record["s3"]["object"]
    members = {"key": unquote_plus(given["key"]), "size": given.get("size"), "etag": given.get("eTag"), "version-id": given.get("versionId")}
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": record["s3"]["bucket"]["name"]},
        "object": {name: value for name, value in members.items() if value is not None} | {"sequencer": given["sequencer"]},
        "request-id": record["responseElements"]["x-amz-request-id"],
        "requester": record["userIdentity"]["principalId"],
        "source-ip-address": record["requestParameters"]["sourceIPAddress"],
    }
    if kind == "ObjectCreated":
        return "Object Created", detail | {"reason": REASONS.get(action, action)}
    reason = "DeleteObject" if kind == "ObjectRemoved" else "Lifecycle Expiration"
    way = "Delete Marker Created" if action == "DeleteMarkerCreated" else "Permanently Deleted"
    return "Object Deleted", detail | {"reason": reason, "deletion-type": way}


class RuleTarget:
    """A ``Target`` (see ``eventflow.trigger``) of one rule; ``function`` is the rule's id, by which S3's events name it."""

    def __init__(self, notifications: BucketNotifications, region: str, bucket: str, rule: Rule, deliver: Deliver) -> None:
        self.function = rule.id
        self.version = ""
        self.timeout = 0.0
        self.concurrency = 0
        self.account = notifications.account
        self.region = region
        self.clock = notifications.clock
        self.rule = rule
        self.owner = owner_of(bucket, rule)
        self.source = f"notification {rule.id} of bucket {bucket}"
        self.cursor: Cursor = JournalCursor(notifications.journal, self.owner, KIND)
        self.is_ready = asyncio.Event()
        self.reports: list[str] = []
        self._notifications = notifications
        self._deliver = deliver

    async def emit(self, payload: Any, *, id: str | None = None, trace: str | None = None, cursor: Mapping[str, Any] | None = None) -> str:
        identifier = id or self.clock.new_id()
        faultpoint.reach("notification.emitting")
        await self._deliver(self, payload, identifier, trace, CursorMove(self.owner, cursor) if cursor else None)
        faultpoint.reach("notification.emitted")
        return identifier

    def ready(self) -> None:
        self.is_ready.set()

    def report(self, message: str) -> None:
        if message not in self.reports:
            self.reports.append(message)
            log.warning("%s: %s", self.source, message)

    async def bucket(self, name: str) -> BucketSource:
        return await self._notifications.objects.source(name)


Deliver = Callable[[RuleTarget, Any, str, str | None, CursorMove | None], Awaitable[None]]


def owner_of(bucket: str, rule: Rule) -> str:
    return f"notification/{bucket}/{rule.generation}"


def made_new(rule: Rule, generation: str) -> Rule:
    return Rule(rule.id, rule.kind, rule.arn, rule.events, rule.prefix, rule.suffix, generation)


def trigger_of(bucket: str, rule: Rule) -> Trigger:
    made: Any = trigger_class(KIND)
    trigger: Trigger = made(name=bucket, events=rule.events, prefix=rule.prefix, suffix=rule.suffix)
    return trigger
