"""The parts that the daemon and the test harness are both made of, put together once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from eventflow.aws.dynamodb import DynamoDB
from eventflow.aws.dynamodbstreams import DynamoDBStreams
from eventflow.aws.events import EventsService
from eventflow.aws.lambda_ import LambdaService
from eventflow.aws.logs import LogsService
from eventflow.aws.operation import Service
from eventflow.aws.s3 import S3Service
from eventflow.aws.scheduler import SchedulerService
from eventflow.aws.snapshots import Snapshots
from eventflow.aws.sqs import SqsService
from eventflow.clock import Clock, iso
from eventflow.database import MEMORY, Database
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.dispatch.journal import BucketMessage, BusMessage, Message, QueueMessage
from eventflow.errors import LoadError
from eventflow.function import Function
from eventflow.journals.sqlite import SqliteJournal, note_in
from eventflow.manifest import Manifest, required_resources
from eventflow.mapping_surroundings import MappingSurroundings
from eventflow.notifications import BucketNotifications
from eventflow.outcome import Outcome
from eventflow.runtime import runtimes
from eventflow.services.api_keys import ApiKeys
from eventflow.services.bus import Buses, Doors
from eventflow.services.bus.declaration import declare_rules
from eventflow.services.failure_records import FailureRecords
from eventflow.services.functions import Functions, Neighbours, Place
from eventflow.services.log_groups import LogGroups
from eventflow.services.mappings import Mappings
from eventflow.services.objects import Objects
from eventflow.services.objects.declaration import configure
from eventflow.services.queues import Queues
from eventflow.services.schedules import DaemonTargets, Schedules
from eventflow.services.schedules.declaration import declare_schedules
from eventflow.services.tables import Tables
from eventflow.services.tables.declaration import declare
from eventflow.target import FunctionTarget, Sources, owner_of
from eventflow.trigger import Resource, Trigger

T = TypeVar("T", bound=FunctionTarget)
#: Where the code of functions made by API is, beside the state file; where that is in memory, beside the buckets.
CODE, CODE_OF_TESTS = "functions", ".functions"


class Core:
    """Journal, dispatcher and services on one database, for one account and one region. Call ``open`` before anything else."""

    def __init__(self, database: Database, clock: Clock, *, buckets: Path, account: str, region: str) -> None:
        self.database = database
        self.clock = clock
        self.account = account
        self.region = region
        self.queues = Queues(database, clock, account)
        self.tables = Tables(database, clock, account)
        self.objects = Objects(database, clock, buckets, account)
        self.journal = SqliteJournal(database, clock, self._deliver)
        self.dispatcher = Dispatcher(self.journal, clock, self.arn)
        self.concurrency = Concurrency()
        self.log_groups = LogGroups(database, clock)
        doors = Doors(self.journal.append_in, self.dispatcher.knows, self.queues.send_in, self.log_groups.write_in)
        self.buses = Buses(database, clock, account, doors, self.dispatcher.offer, self.queues.wake)
        self.notifications = BucketNotifications(
            database, clock, self.objects, self.queues, self.dispatcher, self.journal, account=account, region=region, bus=self.buses
        )
        self.api_keys = ApiKeys(database, clock)
        self.failure_records = FailureRecords(database, clock, self.objects, note_in)
        neighbours = Neighbours(region, self.queues, self.buses, self.objects, self.dispatcher.knows, runtimes.check, self._drop_events)
        code = buckets / CODE_OF_TESTS if database.path == MEMORY else Path(database.path).parent / CODE
        self.functions = Functions(database, clock, Place(region, account), code, neighbours, self.dispatcher.functions)
        self.schedules = Schedules(database, clock, account, DaemonTargets(self.dispatcher, self.queues, self.buses))
        sources = (self.queues, self.tables.streams, self.objects)
        around = MappingSurroundings(clock, region, self.dispatcher, self.functions, *sources, self.journal, self._target)
        self.mappings = Mappings(database, clock, around, account=account, region=region)
        self.dispatcher.functions_changed = self.mappings.functions_changed

    async def open(self) -> None:
        await self.journal.open()
        await self.queues.open()
        await self.tables.prepare()
        self.tables.streams.trimming.start()
        self.tables.upkeep.start()
        await self.objects.open()
        self.objects.lifecycle.start()
        await self.log_groups.open()
        await self.buses.open()
        await self.schedules.open()
        await self.api_keys.open()
        await self.failure_records.open()
        await self.functions.open()
        await self.mappings.open()

    async def start(self, *, sweeping: bool = False) -> None:
        """Begin what happens by itself: schedules, notifications of buckets, rules of buses, event source mappings. Call it once functions and
        triggers are there. ``sweeping``: buckets and mappings are looked at by their ``sweep`` alone."""
        self.schedules.start()
        await (self.notifications.start_sweeping() if sweeping else self.notifications.start())
        self.buses.start()
        self.failure_records.start()
        self.mappings.start(sweeping=sweeping)

    async def stop(self) -> None:
        """Begin nothing more by itself; what runs may go on until ``close``, and what is not delivered is on disk."""
        await self.mappings.stop()
        await self.functions.close()
        await self.notifications.stop()
        await self.schedules.close()
        await self.failure_records.stop()

    def close(self) -> None:
        self.api_keys.close()
        self.buses.close()
        self.queues.close()
        self.tables.upkeep.close()
        self.tables.streams.trimming.close()
        self.objects.close()

    async def invoke(self, function: str, payload: bytes, **options: Any) -> Outcome:
        """As the dispatcher's ``invoke``, of a function that may be named with an alias."""
        name, colon, qualifier = function.partition(":")
        if not colon:
            return await self.dispatcher.invoke(function, payload, **options)
        key, _version = self.functions.route(name, qualifier)
        return await self.dispatcher.invoke(key, payload, arn=self.arn(function), **options)

    def arn(self, function: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{function}"

    def aws_services(self, runtime: str) -> list[Service]:
        """The services behind the AWS endpoint; ``runtime`` is what Lambda says the functions run on."""
        loaded_at = iso(self.clock.now())
        functions = LambdaService(self.functions, self.dispatcher, self.concurrency, loaded_at, runtime)
        functions.mappings = self.mappings
        return [
            functions,
            S3Service(self.objects, self.notifications, Snapshots(self.functions.ledger.code)),
            DynamoDB(self.tables),
            DynamoDBStreams(self.tables.streams),
            SqsService(self.queues),
            SchedulerService(self.schedules),
            EventsService(self.buses),
            LogsService(self.log_groups, self.account),
        ]

    async def ensure(self, manifest: Manifest, triggers: Iterable[tuple[str, Trigger]]) -> None:
        """Make what the application declares and its triggers need, where it is not there yet."""
        triggers = list(triggers)
        for resource in required_resources(manifest, triggers):
            await self._ensure(resource)
        rules = [resource for resource in manifest.resources if resource.kind == "rule"]
        if rules or not manifest.module:  # a template may have had rules before
            named = {(one.options["bus"], one.options["name"]): (one.options["rule"], one.options["targets"]) for one in rules}
            await declare_rules(self.buses.catalog, self.region, manifest.app, named)
        schedules = {resource.name: resource.options for resource in manifest.resources if resource.kind == "schedule"}
        if schedules or not manifest.module:
            await declare_schedules(self.schedules, self.region, manifest.app, schedules)
        await self.buses.keep_subscriptions({owner_of(function, trigger) for function, trigger in triggers if trigger.kind == "bus"})

    async def _ensure(self, resource: Resource) -> None:
        name, options = resource.name, resource.options
        if resource.kind == "bucket":
            said = dict(options)
            path = said.pop("path", None)
            await self.objects.ensure_bucket(name, path=None if path is None else Path(path))
            await configure(self.objects, name, **said)
        elif resource.kind == "queue":
            await self.queues.ensure(self.region, name, **options)
        elif resource.kind == "table":
            key = dict(options)
            view = key.pop("stream", None)
            if "definition" in key:
                await declare(self.tables, self.region, name, **key)
                return
            await self.tables.ensure(self.region, name, **key)
            if view is not None:
                await self.tables.ensure_stream(self.region, name, view)
        elif resource.kind == "stream":
            await self.tables.ensure_stream(self.region, name)
        elif resource.kind == "log_group":
            await self.log_groups.declare(self.region, name, **options)
        elif resource.kind == "bus":
            await self.buses.catalog.ensure(self.region, name)
        elif resource.kind in ("api", "url", "api_key", "authorizer", "route", "usage_plan"):
            return  # the gateway has it (eventflow/gateway): there is nothing to make
        elif resource.kind in ("role", "policy", "rule", "schedule"):
            return  # roles and policies are kept with the application and not enforced yet, rules and schedules are declared all at once
        else:
            raise LoadError(f"The application needs a {resource.kind} named {name!r}; eventflow has buckets, queues, tables and buses.")

    def target(self, function: Function, trigger: Trigger) -> FunctionTarget:
        return self._target(FunctionTarget, function, trigger)

    def _target(self, made: type[T], function: Function, trigger: Trigger) -> T:
        sources = Sources(
            bucket=self.objects.source,
            queue=lambda name: self.queues.source(self.region, name),
            stream=lambda table, arn: self.tables.streams.source(self.region, table, arn),
            send=self._send,
            put=self._put,
            bus=lambda name: self.buses.source(self.region, name, owner_of(function.name, trigger)),
        )
        return made(
            function,
            trigger,
            self.dispatcher,
            self.journal,
            self.clock,
            sources,
            account=self.account,
            region=self.region,
            concurrency=self.concurrency.allowed(function.name),
        )

    async def _drop_events(self, function: str, heirs: Mapping[str, str]) -> int:
        """End all events that wait for a function which was deleted. It takes none any more, but some may be on their way to the disk."""
        running = self.dispatcher.left_running(function)
        await self.dispatcher.handed_in()
        reason = f"{function} was deleted while the event waited for it."
        dropped, handed_on = await self.journal.drop(function, "FunctionDeleted", reason, heirs, running)
        if handed_on:
            await self.dispatcher.look_anew()
        return dropped

    async def _send(self, queue: str, body: str) -> None:
        follow = await self.database.write(lambda connection: self._deliver(connection, QueueMessage(queue, body)))
        follow()

    async def _put(self, bucket: str, key: str, body: str) -> None:
        follow = await self.database.write(lambda connection: self._deliver(connection, BucketMessage(bucket, key, body, "")))
        follow()

    def _deliver(self, connection: sqlite3.Connection, message: Message) -> Callable[[], None]:
        """Hand on, inside a transaction, what an event's end causes; call what this returns once that is on disk."""
        if isinstance(message, BusMessage):
            buses, about = self.buses, (message.detail_type, message.detail)
            _id, effects = buses.put_in(connection, self.region, "lambda", *about, resources=message.resources, bus=message.bus, trace=message.trace)
            return lambda: buses.after(effects)
        if isinstance(message, BucketMessage):
            self.failure_records.add_in(connection, message)
            return self.failure_records.wake
        self.queues.send_in(connection, self.region, message.queue, message.body, message.attributes, self.clock.now())
        return lambda: self.queues.wake(self.region, message.queue)
