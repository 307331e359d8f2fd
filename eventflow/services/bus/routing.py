"""From an event to all that follows from it: archives, subscriptions, and the targets of the rules that it matches, in the caller's transaction."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.dispatch.dispatcher import LARGEST_EVENT
from eventflow.dispatch.journal import Event
from eventflow.errors import ServiceError
from eventflow.pattern import Pattern, compile_pattern
from eventflow.pattern_index import PatternIndex
from eventflow.services.bus import archives, records, retries, subscriptions
from eventflow.services.bus.entries import PutEvent, as_json
from eventflow.services.bus.inputs import Cause
from eventflow.services.bus.names import rule_arn
from eventflow.services.bus.targets import Target, read_target
from eventflow.services.log_groups import WriteLog

log = logging.getLogger("eventflow.bus")

REPLAY_NAME = "replay-name"


class Send(Protocol):
    """``Queues.send_in``: sends inside this transaction, or raises ServiceError and has written nothing."""

    def __call__(
        self, connection: sqlite3.Connection, region: str, name_or_arn: str, body: str, attributes: Mapping[str, Any] | None = None, /,
        *, trace: str | None = None, group: str | None = None
    ) -> object: ...  # fmt: skip


def no_log_group(_connection: sqlite3.Connection, _region: str, name: str, *_event: object) -> None:
    """For buses beside which there are no log groups."""
    raise ServiceError("ResourceNotFoundException", f"There is no log group {name}.")


@dataclass(frozen=True)
class Doors:
    """Where deliveries go. ``append`` stores events of functions inside this transaction (for each its id and
    whether it is new), ``known`` tells whether a function is loaded, ``log`` adds an event to a log group."""

    append: Callable[[sqlite3.Connection, Sequence[Event]], list[tuple[str, bool]]]
    known: Callable[[str], bool]
    send: Send
    log: WriteLog = no_log_group


@dataclass(slots=True)
class Effects:
    """What is to be told to others once the transaction is on disk."""

    events: list[Event] = field(default_factory=list)
    queues: set[tuple[str, str]] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    retries: bool = False


@dataclass(frozen=True)
class RuleOfBus:
    arn: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class BusBook:
    """All that one bus does with an event. ``patterns`` are those of its rules, by their texts."""

    patterns: Mapping[str, Pattern]
    rules: PatternIndex[RuleOfBus]
    archives: tuple[tuple[int, Pattern | None], ...]
    subscriptions: PatternIndex[subscriptions.Reader]


class Failure(Exception):
    """A delivery failed. ``code`` is EventBridge's error code for dead letters; ``final`` says that it is not tried again."""

    def __init__(self, code: str, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.final = final


class Router:
    """Known to the writer's thread alone: what it remembers of rules is that of the database's last change of them."""

    def __init__(self, clock: Clock, account: str, doors: Doors) -> None:
        self._clock = clock
        self._account = account
        self._doors = doors
        self._revision: str | None = None
        self._books: dict[tuple[str, str], BusBook] = {}
        self._former: dict[tuple[str, str], BusBook] = {}

    def put(self, connection: sqlite3.Connection, region: str, event: PutEvent, effects: Effects) -> None:
        """Let an event arrive at its bus, which must be there."""
        faultpoint.reach("event.taken")
        self.route(connection, region, event, effects, visited=frozenset(), only=None)
        faultpoint.reach("event.routed")

    def route(
        self,
        connection: sqlite3.Connection,
        region: str,
        event: PutEvent,
        effects: Effects,
        *,
        visited: frozenset[tuple[str, str]],
        only: Collection[str] | None,
    ) -> None:
        """``visited`` are the buses that the event comes from, ``only`` the rules that a replay is for."""
        book, now = self._book(connection, region, event.bus), self._clock.now()
        replayed = REPLAY_NAME in event.event
        if not replayed:
            archives.keep(connection, book.archives, event, now)
        if only is None:
            effects.owners |= subscriptions.keep(connection, book.subscriptions, event)
        here = visited | {(region, event.bus)}
        for rule in book.rules.matching(event.event):
            if only is None or rule.arn in only:
                self.deliver_to(connection, region, rule.arn, rule.targets, event, effects, here)

    def deliver_to(
        self, connection: sqlite3.Connection, region: str, rule: str, targets: Sequence[Target], event: PutEvent, effects: Effects,
        visited: frozenset[tuple[str, str]] = frozenset()
    ) -> None:  # fmt: skip
        now = self._clock.now()
        for target in targets:
            if target.kind == "bus":
                self._forward(connection, rule, target, event, effects, visited)
                continue
            delivery = retries.Delivery(region, rule, target, target.payload(Cause(event.event, event.text, rule, now)), event.text, event.trace, now)
            self.attempt(connection, delivery, effects)

    def _forward(
        self, connection: sqlite3.Connection, rule: str, target: Target, event: PutEvent, effects: Effects, visited: frozenset[tuple[str, str]]
    ) -> None:
        """To another bus, unless the event has come from there: a bus sees an event once on its way, so that a loop ends."""
        if (target.region, target.name) in visited:
            log.warning("event %s: %s leads back to the bus %s, where it was before; it stops there", event.id, rule, target.name)
            return
        if records.look_up(connection, target.region, target.name) is None:
            delivery = retries.Delivery(target.region, rule, target, event.text, event.text, event.trace, self._clock.now())
            self._bury(connection, delivery, Failure("NO_RESOURCE", f"Event bus {target.name} does not exist.", final=True), effects)
            return
        onward = PutEvent(target.name, event.event, event.text, event.time, event.trace)
        self.route(connection, target.region, onward, effects, visited=visited, only=None)

    # Deliveries.

    def attempt(self, connection: sqlite3.Connection, delivery: retries.Delivery, effects: Effects) -> None:
        """Deliver; what fails is tried again by the target's policy, and ends in its dead-letter queue."""
        try:
            self._deliver(connection, delivery, effects)
        except Failure as failure:
            now = self._clock.now()
            exhausted = retries.exhausted(delivery, now)
            if failure.final or exhausted is not None:
                self._bury(connection, delivery, failure, effects, None if failure.final else exhausted)
            else:
                retries.keep(connection, delivery, now)
                effects.retries = True

    def _deliver(self, connection: sqlite3.Connection, delivery: retries.Delivery, effects: Effects) -> None:
        target = delivery.target
        if target.kind == "function":
            self._emit(connection, delivery, effects)
            return
        if target.kind == "log group":
            self._log(connection, delivery)
            return
        try:
            self._doors.send(connection, target.region, target.name, delivery.payload, None, trace=delivery.trace, group=target.group)
        except ServiceError as error:
            gone = "NonExistentQueue" in error.code or "QueueDoesNotExist" in error.code
            raise Failure("NO_RESOURCE" if gone else "INVALID_PARAMETER", error.message, final=True) from error
        effects.queues.add((target.region, target.name))

    def _log(self, connection: sqlite3.Connection, delivery: retries.Delivery) -> None:
        """Into the stream that has the rule's name, at the instant at which the bus took the event."""
        target, stream = delivery.target, delivery.rule_arn.rpartition("/")[2]
        try:
            self._doors.log(connection, target.region, target.name, stream, delivery.payload, delivery.accepted_at)
        except ServiceError as error:
            raise Failure("NO_RESOURCE", f"Log group {target.name}: {error.message}", final=True) from error

    def _emit(self, connection: sqlite3.Connection, delivery: retries.Delivery, effects: Effects) -> None:
        name, payload = delivery.target.name, delivery.payload.encode()
        if not self._doors.known(name):
            # Unlike on AWS it is tried again: an application may be loaded with it in a moment.
            raise Failure("NO_RESOURCE", f"Function not found: {delivery.target.arn}", final=False)
        if len(payload) > LARGEST_EVENT:
            raise Failure("INVALID_PARAMETER", f"The event has {len(payload)} bytes, a function takes {LARGEST_EVENT}.", final=True)
        event = Event(self._clock.new_id(), name, payload, self._clock.now(), trace=delivery.trace, source=delivery.rule_arn)
        self._append(connection, event, effects)

    def _bury(
        self, connection: sqlite3.Connection, delivery: retries.Delivery, failure: Failure, effects: Effects, exhausted: str | None = None
    ) -> None:
        target = delivery.target
        if target.dead_letters is None:
            log.warning("%s could not deliver to %s, and it has no dead-letter queue: %s", delivery.rule_arn, target.arn, failure.message)
            return
        attributes = retries.dead_letter_attributes(delivery, failure.code, failure.message, exhausted)
        try:
            self._doors.send(connection, target.region, target.dead_letters, delivery.event, attributes, trace=delivery.trace)
        except ServiceError as error:
            log.error("%s could not deliver to %s, nor to its dead-letter queue %s: %s", delivery.rule_arn, target.arn, target.dead_letters, error)
            return
        effects.queues.add((target.region, target.dead_letters))

    def hand_over(self, connection: sqlite3.Connection, owner: str, limit: int, effects: Effects) -> bool:
        """Give a reader that is no more what waits for it, up to so much: events of its function, which ignores those that it has. Whether that was
        all."""
        function, now = owner.partition("/")[0], self._clock.now()
        waiting = subscriptions.waiting(connection, owner, limit)
        for one in waiting:
            event = Event(self._clock.new_id(), function, as_json(one.event).encode(), now, key=one.id, trace=one.trace, source="Bus")
            self._append(connection, event, effects)
        if waiting:
            subscriptions.forget(connection, owner, waiting[-1].position)
        return len(waiting) < limit

    def _append(self, connection: sqlite3.Connection, event: Event, effects: Effects) -> None:
        ((_request_id, fresh),) = self._doors.append(connection, [event])
        if fresh:
            effects.events.append(event)

    # What is remembered.

    def _book(self, connection: sqlite3.Connection, region: str, bus: str) -> BusBook:
        revision = records.revision(connection)
        if revision != self._revision:
            self._former, self._books = self._books, {}
            self._revision = revision
        book = self._books.get((region, bus))
        if book is None:
            book = self._books[region, bus] = self._read(connection, region, bus)
        return book

    def _read(self, connection: sqlite3.Connection, region: str, bus: str) -> BusBook:
        enabled = records.enabled_rules(connection, region, bus)
        former = self._former.get((region, bus))
        # To compile them all again whenever one rule changes would hold up the writer for seconds where there are thousands.
        known = former.patterns if former else {}
        patterns = {text: known.get(text) or compile_pattern(text) for text in (rule.pattern or "" for rule in enabled)}
        rules = [(patterns[rule.pattern or ""], self._rule(connection, region, bus, rule)) for rule in enabled]
        return BusBook(patterns, PatternIndex(rules), archives.of_bus(connection, region, bus), subscriptions.of_bus(connection, region, bus))

    def _rule(self, connection: sqlite3.Connection, region: str, bus: str, rule: records.Rule) -> RuleOfBus:
        targets = tuple(read_target(target, self._account) for target in records.targets(connection, rule.id))
        return RuleOfBus(rule_arn(region, self._account, bus, rule.name), targets)
