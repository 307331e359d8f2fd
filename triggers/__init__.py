"""The triggers that come with eventflow; each is brought in when it is first used, with the library that it needs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggers.bucket import Bucket
    from triggers.bus import Bus
    from triggers.http import Http, Rest
    from triggers.queue import Queue
    from triggers.schedule import Schedule
    from triggers.stream import Stream
    from triggers.websocket import WebSocket

__all__ = ["Bucket", "Bus", "Http", "Queue", "Rest", "Schedule", "Stream", "WebSocket"]

_HOMES = {"Rest": "http"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"triggers.{_HOMES.get(name, name.lower())}"), name)
