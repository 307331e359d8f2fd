"""What is plugged into the gateway's pipeline, in the order in which a request meets it. One line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.gateway.access_log import AccessLogs
from eventflow.gateway.admission import Admission, AuthorizerKeys
from eventflow.gateway.authorizers.client_certificates import ClientCertificates
from eventflow.gateway.authorizers.plug import Authorizers
from eventflow.gateway.functions import Invoke
from eventflow.gateway.seams import Plug, Sockets
from eventflow.gateway.throttle import ACCOUNT_LIMIT, Limit
from eventflow.gateway.validation import RequestValidation
from eventflow.gateway.websocket.farewells import Emit
from eventflow.gateway.websocket.sockets import WebSockets
from eventflow.services.api_keys import ApiKeys
from eventflow.services.log_groups import LogGroups
from eventflow.services.logs import LogStore
from eventflow.settings import variable


@dataclass(frozen=True)
class Surroundings:
    """What plugs may use: the daemon's account, region and database, the credentials that it knows (access key id to secret), and the dispatcher's
    synchronous ``invoke`` and its ``emit_many``; ``trusted_proxies`` are addresses and networks that are believed who their clients are.
    ``api_keys`` is open; ``account_limit`` is for all requests together. ``access_files`` and ``log_groups`` are where access logs go;
    ``mutual_tls`` is whether clients show certificates."""

    clock: Clock
    account: str
    region: str
    invoke: Invoke
    database: Database
    credentials: Mapping[str, str]
    api_keys: ApiKeys
    access_files: LogStore | None
    log_groups: LogGroups
    trusted_proxies: str = ""
    account_limit: Limit = ACCOUNT_LIMIT
    emit_many: Emit | None = None
    mutual_tls: bool = False


def make_admission(surroundings: Surroundings) -> Admission:
    """Throttling, and API keys with their usage plans."""
    around = surroundings
    return Admission(around.clock, around.api_keys, around.account, around.account_limit, variable)


def make_access_logs(surroundings: Surroundings) -> AccessLogs:
    around = surroundings
    return AccessLogs(around.clock, around.account, around.region, around.access_files, around.log_groups)


def make_plugs(surroundings: Surroundings, admission: Admission) -> Sequence[Plug]:
    """Throttling and keys, clients' certificates, authorizers, keys that these found, validation."""
    certificates = (ClientCertificates(),) if surroundings.mutual_tls else ()
    return (admission, *certificates, Authorizers(surroundings), AuthorizerKeys(admission), RequestValidation())


def make_sockets(surroundings: Surroundings) -> Sockets | None:
    """The WebSocket APIs, where events can be emitted."""
    return None if surroundings.emit_many is None else WebSockets(surroundings, surroundings.emit_many)
