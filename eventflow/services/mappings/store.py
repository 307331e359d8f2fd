"""The event source mappings of one account: made, changed and deleted by API, kept on disk, and run."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.function import LATEST, Function
from eventflow.services.mappings import records
from eventflow.services.mappings.declared import Declared, declared
from eventflow.services.mappings.names import BUCKET, FunctionName, Source, function_name, source_of
from eventflow.services.mappings.poller import Makings, Poller, Runner, Swept
from eventflow.services.mappings.records import Record, State
from eventflow.services.mappings.refusals import declared as declared_there
from eventflow.services.mappings.refusals import duplicate, invalid, unknown_mapping
from eventflow.services.mappings.settings import failure_queue, settled, trigger_of
from eventflow.services.mappings.tags import checked_tags
from eventflow.services.mappings.target import NOTHING_YET
from eventflow.trigger import Trigger

#: Each runs pollers of its own.
MOST_MAPPINGS = 1000
PAGE = 100
#: What ends a mapping's state is told by, in AWS's words, which differ by source.
REASONS = {"queue": "USER_INITIATED", "stream": "User action"}
ENDS = {"UUID", "FunctionName", "EventSourceArn", "Enabled", "Tags"}
Params = Mapping[str, Any]
Answer = dict[str, Any]


class Surroundings(Makings, Protocol):
    """Where mappings find what they are about. ``visibility`` gives a queue's visibility timeout in seconds, ``stream`` the ARN of a stream (the
    newest of the table where none is asked for); both raise ServiceError where there is none. ``runner`` makes what keeps one mapping's trigger
    running."""

    async def visibility(self, queue: str) -> int: ...
    async def stream(self, table: str, arn: str | None) -> str: ...
    def has_bucket(self, name: str) -> bool: ...
    def runner(self) -> Runner: ...


class Mappings:
    """Every method that changes something returns once that is on disk. ``open`` reads what there is, ``start`` has it polled, ``take_up`` tells what
    the application declares, ``functions_changed`` that functions came, changed or went."""

    def __init__(self, database: Database, clock: Clock, surroundings: Surroundings, *, account: str, region: str) -> None:
        self._database = database
        self._clock = clock
        self._surroundings = surroundings
        self._account, self._region = account, region
        self._declared: dict[str, Declared] = {}
        self._kept: list[Record] = []
        self._pollers: dict[str, Poller] = {}
        self._making = 0
        self._stopped = False
        self._make_runner: Callable[[], Runner] = surroundings.runner

    # Life.

    async def open(self) -> None:
        await self._database.migrate("mappings", "eventflow.services")
        self._kept = await self._database.read(records.load)

    def start(self, *, sweeping: bool = False) -> None:
        """Poll; ``sweeping``: by ``sweep`` alone. What was on its way to a state goes on to it."""
        if sweeping:
            self._make_runner = Swept
        for record in self._kept:
            self._add(record)
        self._kept = []

    def take_up(self, triggers: Iterable[tuple[str, Trigger]]) -> None:
        """These are what the application declares now."""
        self._declared = {one.uuid: one for one in declared(triggers, self._region, self._account)}

    def functions_changed(self) -> None:
        for poller in self._pollers.values():
            poller.poke()

    async def stop(self) -> None:
        """Poll no more, for good; batches that run go on. What is changed from here on is polled by it at the next start."""
        self._stopped = True
        await asyncio.gather(*(poller.close() for poller in self._pollers.values()))

    async def sweep(self) -> int:
        """Look at all sources once; how many messages and records were delivered."""
        swept = 0
        for poller in list(self._pollers.values()):
            await poller.settled()
            swept += await poller.sweep()
        return swept

    def status(self) -> list[dict[str, object]]:
        """What ``eventflow status`` shows of each that polls."""
        return [{**one, "mapping": uuid} for uuid, poller in self._pollers.items() for one in poller.status()]

    def _add(self, record: Record) -> Poller:
        poller = Poller(record, self._make_runner(), self._surroundings, self._database, self._clock, self._region, self._account, self._gone)
        self._pollers[record.uuid] = poller
        if not self._stopped:
            poller.poke()
        return poller

    def _gone(self, uuid: str) -> None:
        self._pollers.pop(uuid, None)

    # Operations.

    async def create(self, params: Params) -> Answer:
        """Raises ServiceError in Lambda's words."""
        source = source_of(params.get("EventSourceArn"), self._region, self._account)
        function = self._named(params["FunctionName"])
        settings = settled(source, {name: value for name, value in params.items() if name not in ENDS})
        enabled = params.get("Enabled") is not False
        result = NOTHING_YET if source.kind == "stream" else None
        tags = checked_tags(params.get("Tags") or {})
        record = Record(self._clock.new_id(), function, source, settings, tags, enabled, State.CREATING, self._clock.now(), result)
        await self._check(record)
        if len(self._pollers) + self._making >= MOST_MAPPINGS:
            raise invalid(f"There are {MOST_MAPPINGS} event source mappings, and more are not run. Delete one that is not needed.")
        self._making += 1
        try:
            await self._database.write(lambda connection: records.insert(connection, record))
        finally:
            self._making -= 1
        told = self._told(self._add(record))
        return told | {"State": record.state}

    async def get(self, uuid: str) -> Answer:
        one = self._declared.get(uuid)
        return await self._told_declared(one) if one is not None else self._told(self._poller(uuid))

    async def update(self, uuid: str, params: Params) -> Answer:
        poller = self._changeable(uuid)
        old = poller.record
        function = old.function if params.get("FunctionName") is None else self._named(params["FunctionName"])
        if "StartingPosition" in params or "EventSourceArn" in params:
            raise invalid("EventSourceArn and StartingPosition stay as they are: create another event source mapping.")
        settings = settled(old.source, {name: value for name, value in params.items() if name not in ENDS}, old.settings)
        enabled = old.enabled if params.get("Enabled") is None else params["Enabled"]
        state = State.UPDATING if enabled == old.enabled else State.ENABLING if enabled else State.DISABLING
        record = dataclasses.replace(old, function=function, settings=settings, enabled=enabled, state=state, modified_at=self._clock.now())
        await self._check(record)
        return await self._change(poller, record, "update")

    async def delete(self, uuid: str) -> Answer:
        poller = self._changeable(uuid)
        return await self._change(poller, poller.record.after(State.DELETING, self._clock.now()), "delete")

    async def page(self, params: Params) -> Answer:
        """Those of a function, of a source, or all, by UUID."""
        limit = min(params.get("MaxItems") or PAGE, PAGE)
        after = started(params.get("Marker"))
        wanted = self._wanted(params.get("FunctionName"))
        rows = await asyncio.gather(*(self._told_declared(one) for one in self._declared.values() if wanted(one.function)))
        rows += [self._told(poller) for poller in self._pollers.values() if wanted(poller.record.function)]
        source = params.get("EventSourceArn")
        found = sorted((row for row in rows if source in (None, row["EventSourceArn"]) and row["UUID"] > after), key=lambda row: str(row["UUID"]))
        answer: Answer = {"EventSourceMappings": found[:limit]}
        return answer | {"NextMarker": marker(found[limit - 1]["UUID"])} if len(found) > limit else answer

    # Tags, for Lambda's ListTags, TagResource and UntagResource.

    def tags(self, uuid: str) -> dict[str, str]:
        return {} if uuid in self._declared else dict(self._poller(uuid).record.tags)

    async def change_tags(self, uuid: str, added: Mapping[str, str], removed: Sequence[str] = ()) -> None:
        poller = self._own(uuid)
        tags = checked_tags({key: value for key, value in {**poller.record.tags, **added}.items() if key not in removed})
        await self._database.write(lambda connection: records.tag(connection, uuid, tags))
        poller.record = dataclasses.replace(poller.record, tags=tags)

    # What a change asks.

    async def check_timeout(self, function: str, timeout: float) -> None:
        """Refuse a time limit that is longer than the visibility timeout of a queue which is polled for the function (its ``$LATEST``)."""
        for record in [poller.record for poller in self._pollers.values()]:
            if (record.function.name, record.function.version, record.source.kind) == (function, LATEST, "queue"):
                await self._check_visibility(record.source, timeout)

    async def _check(self, record: Record) -> None:
        """Whether function, source and destination are there and go together, and nothing else joins them."""
        function = self._surroundings.function(record.function)
        if function is None:
            raise invalid("Function does not exist")
        trigger_of(record.function, record.source, record.settings)
        await (self._check_queue(record.source, function) if record.source.kind == "queue" else self._check_stream(record))
        for one in self._declared.values():
            ends = (record.source.kind, record.source.name if one.kind == "stream" else record.source.arn, record.function.name)
            if (one.kind, one.source, one.function.name) == ends:
                raise duplicate(one.kind, record.source.arn, one.function.name, one.uuid)

    async def _check_queue(self, source: Source, function: Function) -> None:
        await self._check_visibility(source, function.timeout)

    async def _check_visibility(self, source: Source, timeout: float) -> None:
        visibility = await self._visibility(source.name)
        if visibility < timeout:
            raise invalid(f"Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout:g} seconds")

    async def _visibility(self, queue: str) -> int:
        try:
            return await self._surroundings.visibility(queue)
        except ServiceError as error:
            code = "AWS.SimpleQueueService.NonExistentQueue" if error.code == "QueueDoesNotExist" else error.code
            raise invalid(f"Error occurred while ReceiveMessage. SQS Error Code: {code}. SQS Error Message: {error.message}") from error

    async def _check_stream(self, record: Record) -> None:
        try:
            await self._surroundings.stream(record.source.name, record.source.arn)
        except ServiceError as error:
            raise invalid(f"Stream not found: {record.source.arn}") from error
        destination = record.settings["DestinationConfig"]["OnFailure"].get("Destination")
        if destination and (bucket := BUCKET.fullmatch(destination)) is not None:
            if not self._surroundings.has_bucket(bucket[1]):
                raise invalid(f"The destination {destination} is invalid: there is no such bucket.")
        elif destination:
            region, account, name = failure_queue(destination)
            if (region, account) != (self._region, self._account):
                raise invalid(f"The destination {destination} is not of this account and region, which are {self._account} and {self._region}.")
            await self._visibility(name)

    def _named(self, text: str) -> FunctionName:
        name = function_name(text, self._region, self._account)
        if name is None:
            raise invalid("Function does not exist")
        return name

    def _wanted(self, text: str | None) -> Callable[[FunctionName], bool]:
        if text is None:
            return lambda _function: True
        name = function_name(text, self._region, self._account)
        return lambda function: name is not None and name.name == function.name and name.qualifier in ("", function.qualifier)

    def _poller(self, uuid: str) -> Poller:
        if uuid not in self._pollers:
            raise unknown_mapping()
        return self._pollers[uuid]

    def _own(self, uuid: str) -> Poller:
        if (one := self._declared.get(uuid)) is not None:
            raise declared_there(uuid, str(one), one.function.name)
        return self._poller(uuid)

    def _changeable(self, uuid: str) -> Poller:
        return self._own(uuid)

    async def _change(self, poller: Poller, record: Record, verb: str) -> Answer:
        await self._database.write(lambda connection: records.change(connection, record, verb))
        poller.record = dataclasses.replace(record, result=poller.record.result, tags=poller.record.tags)
        told = self._told(poller)
        poller.poke()
        return told

    # What is told.

    def _told(self, poller: Poller) -> Answer:
        record, problem = poller.record, poller.problem
        answer = self._common(record.uuid, record.function, record.source.arn, record.settings)
        answer |= {"State": record.state, "LastModified": record.modified_at}
        answer["StateTransitionReason"] = f"PROBLEM: {problem}" if problem else REASONS[record.source.kind]
        return answer | ({"LastProcessingResult": record.result} if record.result is not None else {})

    async def _told_declared(self, one: Declared) -> Answer:
        source, reason = one.source, f"Declared by the application: {one}"
        if one.kind == "stream":
            try:
                source = await self._surroundings.stream(one.source, None)
            except ServiceError as error:
                source = f"arn:aws:dynamodb:{self._region}:{self._account}:table/{one.source}"
                reason = f"PROBLEM: {error.message}. {reason}"
        answer = self._common(one.uuid, one.function, source, one.settings)
        return answer | {"State": State.ENABLED, "StateTransitionReason": reason}

    def _common(self, uuid: str, function: FunctionName, source: str, settings: Mapping[str, Any]) -> Answer:
        arn = f"arn:aws:lambda:{self._region}:{self._account}:event-source-mapping:{uuid}"
        function_arn = function.arn(self._region, self._account)
        return {"UUID": uuid, "EventSourceMappingArn": arn, "EventSourceArn": source, "FunctionArn": function_arn, **settings}


def marker(uuid: str) -> str:
    return base64.urlsafe_b64encode(uuid.encode()).decode()


def started(text: str | None) -> str:
    """The UUID after which a page begins."""
    if not text:
        return ""
    try:
        return str(UUID(base64.urlsafe_b64decode(text.encode()).decode()))
    except ValueError as error:
        raise invalid("Invalid Marker: pass the NextMarker that the former page ended with.") from error
