"""What the decorators stacked on one handler say of it, and whether it is a handler at all."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.errors import SettingError
from eventflow.function import STREAMED, Destination, Function, checked
from eventflow.reference import BucketRef, QueueRef, TableRef
from eventflow.trigger import Trigger


@dataclass
class Registration:
    """What the decorators stacked on one handler have said so far. ``handler`` is the outermost of them, which the module's name is bound to."""

    handler: Callable[..., Any]
    place: str
    settings: dict[str, Any] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)
    _identities: set[tuple[type, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return str(self.settings.get("name") or self.handler.__name__)

    def add(self, settings: Mapping[str, Any]) -> None:
        for setting, value in checked(self.name, settings).items():
            if setting in self.settings and self.settings[setting] != value:
                raise SettingError(
                    f"Function {self.name!r} ({self.place}): its decorators say {setting}={shown(self.settings[setting])} "
                    f"and {setting}={shown(value)}; keep one of them."
                )
            self.settings[setting] = value
        if self.settings.get("retry_delays") is not None and "retries" in self.settings:
            raise SettingError(
                f"Function {self.name!r} ({self.place}): retries and retry_delays are two ways to say how often; keep one of them. "
                "Lambda has retries; retry_delays is eventflow's own."
            )

    def is_new(self, trigger: Trigger) -> bool:
        """Whether no trigger with this one's memory came before; it is known from now on."""
        identity = type(trigger), json.dumps(trigger.identity(), sort_keys=True, default=repr)
        if identity in self._identities:
            return False
        self._identities.add(identity)
        return True

    @property
    def yields(self) -> bool:
        innermost = inspect.unwrap(self.handler)
        return inspect.isgeneratorfunction(innermost) or inspect.isasyncgenfunction(innermost)

    @property
    def streams(self) -> bool:
        """Whether somebody takes its response in pieces."""
        url = self.settings.get("url") or {}
        return url.get("invoke_mode") == STREAMED or any(route.options.get("stream") for trigger in self.triggers for route in trigger.routes())

    @property
    def path(self) -> str:
        return f"{self.handler.__module__}:{self.handler.__qualname__}"

    def look_up(self) -> object:
        """What ``path`` leads to now, or None."""
        found: object = sys.modules.get(self.handler.__module__)
        for part in self.handler.__qualname__.split("."):
            found = getattr(found, part, None)
        return found

    def function(self) -> Function:
        return Function(handler=self.path, **{**checked(self.name, {"name": self.name}), **self.settings})


def check_handler(handler: object) -> None:
    """Refuse what cannot be called as ``handler(event, context)``."""
    if not callable(handler) or inspect.isclass(handler):
        raise SettingError(
            f"Only a function can handle events, and {shown(handler)} is none; write the decorator above `def handler(event, context):`."
        )
    if not hasattr(handler, "__name__") or not hasattr(handler, "__qualname__"):
        raise SettingError(f"{shown(handler)} has no __name__ by which it could be found again; wrap it in `def handler(event, context):`.")
    where = f"Function {handler.__name__!r} ({place_of(inspect.unwrap(handler))})"
    try:
        inspect.signature(handler).bind({}, None)
    except TypeError as error:
        raise SettingError(f"{where} cannot be called as handler(event, context): {error}.") from error
    except ValueError:
        return  # a built-in without a signature: only the call can tell


def place_of(handler: object) -> str:
    """``file:line`` of a function's source."""
    code = getattr(handler, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(handler)


def shown(value: object) -> str:
    if isinstance(value, (QueueRef, BucketRef, TableRef, Destination)):
        return str(value)
    name = getattr(value, "__name__", None)
    kind = "class" if isinstance(value, type) else type(value).__name__
    return f"{kind} {name}" if name else repr(value)
