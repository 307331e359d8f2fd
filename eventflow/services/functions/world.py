"""The services that functions made by API name things of, on the one database."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping

from eventflow.errors import ServiceError
from eventflow.services.bus import Buses
from eventflow.services.objects import Objects
from eventflow.services.queues import Queues


class Neighbours:
    """A ``World``. ``has_function`` tells whether a function runs, and ``drop_events`` drops the events of one, by the dispatcher's key of it."""

    def __init__(
        self,
        region: str,
        queues: Queues,
        buses: Buses,
        objects: Objects,
        has_function: Callable[[str], bool],
        check_runtime: Callable[[str], None],
        drop_events: Callable[[str, Mapping[str, str]], Awaitable[int]],
    ) -> None:
        self._region = region
        self._queues = queues
        self._buses = buses
        self._objects = objects
        self._has_function = has_function
        self.check_runtime = check_runtime
        self._drop_events = drop_events

    async def exists(self, kind: str, name: str) -> bool:
        try:
            match kind:
                case "queue":
                    await self._queues.find(self._region, name)
                case "bus":
                    await self._buses.catalog.bus(self._region, name)
                case "bucket":
                    self._objects.bucket(name)
                case _:
                    return self._has_function(name)
        except ServiceError:
            return False
        return True

    async def drop_events(self, key: str, heirs: Mapping[str, str]) -> int:
        return await self._drop_events(key, heirs)

    async def content(self, bucket: str, key: str, version: str | None) -> AsyncIterable[bytes]:
        return (await self._objects.get(bucket, key, version_id=version)).content
