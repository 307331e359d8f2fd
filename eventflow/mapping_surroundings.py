"""What event source mappings find around them in the daemon: functions, queues, streams, and a supervisor for each."""

from __future__ import annotations

from typing import Protocol

from eventflow.clock import Clock
from eventflow.dispatch.dispatcher import Dispatcher, UnknownFunction
from eventflow.dispatch.journal import Journal
from eventflow.errors import ServiceError
from eventflow.function import LATEST, Function
from eventflow.services.functions import Functions
from eventflow.services.mappings.names import FunctionName
from eventflow.services.mappings.records import Record
from eventflow.services.mappings.target import Hooks, MappingTarget
from eventflow.services.objects import Objects
from eventflow.services.queues import Queues
from eventflow.services.tables.streams import Streams
from eventflow.supervisor import Supervisor
from eventflow.target import JournalCursor
from eventflow.trigger import Trigger


class MakeTarget(Protocol):
    def __call__(self, made: type[MappingTarget], function: Function, trigger: Trigger, /) -> MappingTarget: ...


class MappingSurroundings:
    """The ``Surroundings`` of ``eventflow.services.mappings``."""

    def __init__(
        self,
        clock: Clock,
        region: str,
        dispatcher: Dispatcher,
        functions: Functions,
        queues: Queues,
        streams: Streams,
        objects: Objects,
        journal: Journal,
        make_target: MakeTarget,
    ) -> None:
        self._clock = clock
        self._region = region
        self._dispatcher = dispatcher
        self._functions = functions
        self._queues = queues
        self._streams = streams
        self._objects = objects
        self._journal = journal
        self._make_target = make_target

    def function(self, name: FunctionName) -> Function | None:
        """A function or a version of it as it runs now; of an alias the version that this invocation goes to."""
        try:
            key = name.name if name.version == LATEST else str(name)
            if self._functions.knows(name.name):
                key, _version = self._functions.route(name.name, name.qualifier or None)
            return self._dispatcher.lane(key).function
        except (ServiceError, UnknownFunction):
            return None

    def target(self, function: Function, trigger: Trigger, record: Record, hooks: Hooks) -> MappingTarget:
        target = self._make_target(MappingTarget, function, trigger)
        target.adopt(record.function, trigger, record.uuid, record.owner, JournalCursor(self._journal, record.owner, trigger.kind), hooks)
        return target

    async def visibility(self, queue: str) -> int:
        return (await self._queues.find(self._region, queue)).number("VisibilityTimeout")

    async def stream(self, table: str, arn: str | None) -> str:
        return (await self._streams.source(self._region, table, arn)).arn

    def has_bucket(self, name: str) -> bool:
        try:
            self._objects.bucket(name)
        except ServiceError:
            return False
        return True

    def runner(self) -> Supervisor:
        return Supervisor(self._clock)
