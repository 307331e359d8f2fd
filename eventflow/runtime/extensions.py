"""Lambda's extensions: programs that register with an environment and are told of each invocation, and of its end."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventflow.runtime.loopback_http import answer

if TYPE_CHECKING:
    from eventflow.runtime.http_clients import Client

#: Lambda: ten extensions for a function.
MOST = 10
INVOKE = "INVOKE"
SHUTDOWN = "SHUTDOWN"


class Refused(Exception):
    """An extension asked for what it may not; ``error_type`` is Lambda's. All are answered 403."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(eq=False)
class Extension:
    """``state`` is Lambda's: Started, Registered, Ready (it waits for an event in ``waiting``), Running, InitError, ExitError."""

    name: str
    external: bool
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    events: frozenset[str] = frozenset()
    state: str = "Started"
    waiting: Client | None = None

    def send(self, event: dict[str, Any]) -> None:
        waiting, self.waiting, self.state = self.waiting, None, "Running"
        if waiting is not None:
            waiting.send(answer(200, json.dumps(event).encode(), {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}))


class Extensions:
    """Those of one environment: external ones were started by it, internal ones are threads of the runtime that register before it is ready."""

    def __init__(self) -> None:
        self.all: list[Extension] = []
        self.closed = False

    def expect(self, name: str) -> None:
        """An external one was started."""
        self.all.append(Extension(name, external=True))

    @property
    def registered(self) -> bool:
        """Whether all that were started have registered."""
        return all(one.state != "Started" for one in self.all)

    @property
    def ready(self) -> bool:
        """Whether all wait for an event; those that want none at all need not."""
        return all(one.state == "Ready" or (one.state == "Registered" and not one.external and not one.events) for one in self.all)

    def register(self, name: str, body: bytes) -> Extension:
        """Raises Refused."""
        if not name:
            raise Refused("Extension.InvalidExtensionName", "Empty extension name")
        events = events_in(body)
        known = next((one for one in self.all if one.name == name), None)
        allowed = {INVOKE, SHUTDOWN} if known is not None and known.external else {INVOKE}
        for event in events:
            if event not in allowed:
                raise Refused(
                    "Extension.InvalidEventType",
                    f"{event}: {'event not supported for internal extensions' if event == SHUTDOWN else 'ErrorInvalidEventType'}",
                )
        if known is None:
            known = self._internal(name)
        elif not known.external:
            raise Refused("Extension.InvalidExtensionState", "Extension with this name already registered")
        elif known.state != "Started":
            raise Refused("Extension.InvalidExtensionState", transition(known, "Registered", name))
        known.state, known.events = "Registered", frozenset(events)
        return known

    def _internal(self, name: str) -> Extension:
        if self.closed:
            raise Refused("Extension.RegistrationClosed", "Extension registration closed already")
        if len(self.all) >= MOST:
            raise Refused("Extension.TooManyExtensions", f"Extension limit ({MOST}) reached")
        self.all.append(Extension(name, external=False))
        return self.all[-1]

    def of(self, identifier: str) -> Extension:
        """The one with this identifier. Raises Refused."""
        if not identifier:
            raise Refused("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        try:
            identifier = str(uuid.UUID(identifier))
        except ValueError as error:
            raise Refused("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier") from error
        for one in self.all:
            if one.id == identifier and one.state != "Started":
                return one
        raise Refused("Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")

    def wait(self, extension: Extension, client: Client) -> None:
        """It waits for its next event. Raises Refused."""
        if extension.state not in ("Registered", "Running", "Ready"):
            raise Refused("Extension.InvalidExtensionState", transition(extension, "Ready", extension.id))
        extension.state, extension.waiting = "Ready", client

    def failed(self, extension: Extension, state: str, error_type: str) -> None:
        """It gives up. Raises Refused."""
        if not error_type:
            raise Refused("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
        if state == "InitError" and extension.state != "Registered":
            raise Refused("Extension.InvalidExtensionState", transition(extension, state, extension.id))
        extension.state = state

    def tell(self, kind: str, event: dict[str, Any]) -> None:
        for one in self.all:
            if kind in one.events and one.state == "Ready":
                one.send({"eventType": kind, **event})


def events_in(body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused("InvalidRequestFormat", str(error)) from error
    events = value.get("events") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(events, list | None) or not all(isinstance(event, str) for event in events or []):
        raise Refused("InvalidRequestFormat", "the body is an object with a list of events")
    if value.get("configurationKeys"):
        raise Refused("InvalidRequestFormat", "configurationKeys are deprecated; use environment variables instead")
    return events or []


def transition(extension: Extension, state: str, name: str) -> str:
    return f"State transition from {extension.state} to {state} failed for extension {name}. Error: State transition is not allowed"
