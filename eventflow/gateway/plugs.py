"""What is plugged into the gateway's pipeline, in the order in which a request meets it. One line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.gateway.functions import Invoke
from eventflow.gateway.seams import Plug, Sockets


@dataclass(frozen=True)
class Surroundings:
    """What plugs may use: the daemon's account, region and database, the credentials that it knows (access key id to secret), and the dispatcher's
    synchronous ``invoke``; ``trusted_proxies`` are addresses and networks that are believed who their clients are."""

    clock: Clock
    account: str
    region: str
    invoke: Invoke
    database: Database
    credentials: Mapping[str, str]
    trusted_proxies: str = ""


def make_plugs(surroundings: Surroundings) -> Sequence[Plug]:
    """Throttling, authorizers, keys and usage plans, validation."""
    return ()


def make_sockets(surroundings: Surroundings) -> Sockets | None:
    """The WebSocket APIs."""
    return None
