"""A request as the gateway's parts see it: parsed once, changed by nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from eventflow.gateway.forwarding import Network, client_of
from eventflow.gateway.tracing import is_trace
from eventflow.remembered import remembered

if TYPE_CHECKING:
    from eventflow.body_budget import Share

#: A text as a JSON string in ASCII; the C function that json.dumps uses.
quoted = json.encoder.encode_basestring_ascii
#: A name of the DNS and a port.
LONGEST_HOST = 255 + len(":65535")
#: RFC 3986, 3.2.2 and 3.2.3.
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]*)?")


class Request:
    """``path`` is decoded and ``raw_path`` as it was sent, both without the query; ``route_path`` is what routes are compared with: without stage
    and base path; ``mount`` is the base path if it led to the API. ``headers`` are as they came (names in lower case), ``source_ip`` is the
    client's, proxies that are trusted passed over, ``peer`` that of whoever sent it here. ``received`` is when its head was there, in Unix seconds,
    ``started`` the same in monotonic seconds. ``parameters`` are those of the path.
    """

    __slots__ = (
        "_header_map",
        "_trace",
        "ambiguous",
        "body",
        "complete",
        "domain",
        "headers",
        "host",
        "http_version",
        "method",
        "mount",
        "named",
        "parameters",
        "path",
        "peer",
        "query",
        "raw_path",
        "received",
        "request_id",
        "route_path",
        "scheme",
        "scope",
        "share",
        "source_ip",
        "source_port",
        "started",
        "unpacked",
    )

    def __init__(self, scope: MutableMapping[str, Any], received: float, started: float, request_id: str, trusted: Sequence[Network] = ()) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.http_version: str = scope["http_version"]
        self.scheme: str = scope["scheme"]
        client = scope["client"]
        self.source_ip: str = client[0] if client else ""
        self.source_port: int = client[1] if client else 0
        self.received = received
        self.started = started
        self.request_id = request_id
        self.body = b""
        self.unpacked = False  # whether the body came compressed, and is not any more
        self.complete = False  # whether nothing of it is left to be read
        self.host = self.domain = ""
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                self.host = value.decode("latin-1")
        self.ambiguous = hosts > 1  # some would take the one, some the other
        self.peer = self.source_ip
        if trusted:
            self._pass_over(trusted)
        domain = domain_of(self.host)
        self.domain = domain or ""
        self.ambiguous = self.ambiguous or domain is None
        self.route_path = self.path
        self.mount = ""
        self.named = b""  # the header that names the request in its answer
        self.parameters: Mapping[str, str] = {}
        self.share: Share | None = None  # of the budget that its body is held in
        self._header_map: dict[str, str] | None = None
        self._trace: str | None = None

    def _pass_over(self, trusted: Sequence[Network]) -> None:
        client = client_of(self.source_ip, self.headers, trusted)
        self.source_ip = client.address
        self.ambiguous = self.ambiguous or client.disputed
        self.scheme = client.scheme or self.scheme
        self.host = client.host or self.host

    @property
    def header_map(self) -> dict[str, str]:
        """Header names in lower case to values, those of one name joined by commas."""
        if self._header_map is None:
            found: dict[str, str] = {}
            for raw_name, raw_value in self.headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                found[name] = f"{found[name]},{value}" if name in found else value
            self._header_map = found
        return self._header_map

    def header(self, name: str, default: str = "") -> str:
        return self.header_map.get(name, default)

    @property
    def port(self) -> str:
        """The port that the client asked for."""
        _host, _, port = self.host.rpartition(":")
        return port if port.isdigit() else "443" if self.scheme == "https" else "80"

    @property
    def trace(self) -> str:
        """The trace header of the request, one begun here where it brought none that is one."""
        if self._trace is None:
            brought = self.header_map.get("x-amzn-trace-id")
            self._trace = (
                brought if brought is not None and is_trace(brought) else f"Root=1-{int(self.received):08x}-{self.request_id.replace('-', '')[8:]}"
            )
        return self._trace

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The names and values of the query, decoded, in their order; a name without a value has the empty one."""
        return parse_qsl(self.query, keep_blank_values=True, encoding="utf-8", errors="replace") if self.query else []


@remembered(1024, LONGEST_HOST)
def domain_of(host: str) -> str | None:
    """The name or address in a Host header, an IPv6 address with its brackets; None for what is no host."""
    found = HOST.fullmatch(host) if len(host) <= LONGEST_HOST else None
    return found[1].lower() if found is not None else None
