"""Which API a request is for: by its host, or by the first parts of its path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eventflow.errors import SettingError
from eventflow.gateway.apis import SOCKETS, URL, Api


class Table:
    """All APIs of one version of an application. It is never changed: the gateway takes another one."""

    def __init__(self, apis: Iterable[Api]) -> None:
        self.apis = tuple(apis)
        #: What the first part of a host of execute-api leads to: stages by the first part of the path.
        self.hosts = hosts_of([api for api in self.apis if api.protocol != URL])
        self.mounts: dict[str, Api] = {}
        #: Function URLs by their ids and by their functions' names.
        self.urls: dict[str, Api] = {}
        for api in self.apis:
            if api.protocol == URL:
                self.urls[api.id] = api
                self.urls.setdefault(api.name.lower(), api)
            if api.mount is None or api.protocol == SOCKETS:  # what asks for a WebSocket is no request of another API's (websocket/front.py)
                continue
            other = self.mounts.setdefault(api.mount, api)
            if other is not api:
                raise SettingError(
                    f"The {other} and the {api} are both at {api.mount or '/'!r} of the gateway; give one of them another base_path, such as '/v2'."
                )
        #: The one API that every path leads to, if there is no other.
        self.only = self.mounts.get("") if len(self.mounts) == 1 else None
        self._deepest = max((mount.count("/") for mount in self.mounts), default=0)

    @property
    def serves(self) -> bool:
        return bool(self.apis)

    def staged(self, label: str, path: str) -> Api | None:
        """The stage that a path leads to at the host of an API."""
        stages = self.hosts.get(label)
        if stages is None:
            return None
        return stages.get("/" + path[1:].partition("/")[0]) or stages.get("")

    def protocol_of(self, label: str) -> str:
        """That of the API of a host, for the answer to a request that leads nowhere."""
        return next((api.protocol for api in self.hosts.get(label, {}).values()), "HTTP")

    def mounted(self, path: str) -> tuple[Api, str] | None:
        """The API at a path, and where it is mounted: the longest that fits, as with API mappings."""
        parts = path.split("/", self._deepest + 1)[: self._deepest + 1]
        while parts:
            mount = "/".join(parts)
            if mount in self.mounts:
                return self.mounts[mount], mount
            parts.pop()
        return None


def hosts_of(apis: Sequence[Api]) -> dict[str, dict[str, Api]]:
    """An API has its id as a host, its name if no other API has that, and in any case ``rest-<name>`` (its protocol's). Raises SettingError where one
    of them is what another API is called."""
    hosts: dict[str, dict[str, Api]] = {}
    for api in apis:
        hosts.setdefault(api.id, {})[api.stage.segment] = api
    owners = {api.id: api.id for api in apis}
    for label, api in [(api.name, api) for api in alone(apis)] + [(f"{api.protocol.lower()}-{api.name}", api) for api in apis]:
        if owners.setdefault(label, api.id) != api.id:
            one = next(iter(hosts[label].values()))
            raise SettingError(f"The {one} and the {api} would both be at the host {label}.execute-api; give one of them another name.")
        hosts[label] = hosts[api.id]
    return hosts


def alone(apis: Sequence[Api]) -> Iterable[Api]:
    """APIs that no other one shares its name with. A WebSocket API is asked for by other requests (websocket/front.py), and so in nobody's way."""
    owners: dict[str, set[str]] = {}
    for api in apis:
        owners.setdefault(api.name, set()).add(api.protocol)
    for api in apis:
        others = owners[api.name] - {api.protocol}
        if not others or (api.protocol != SOCKETS and others == {SOCKETS}):
            yield api
