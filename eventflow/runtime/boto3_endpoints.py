"""Lets boto3 in functions reach this daemon's WebSocket APIs at the addresses that their events name.

Handlers of WebSocket APIs build the management API's endpoint from the event: ``https://{domainName}/{stage}``. On AWS that is an address; here it is
a name that only requests to this daemon have. So a handler of botocore's own events sends what is for one of the daemon's domains to the daemon
instead, before it is signed, with the domain in the Host header. Nothing else is touched.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from eventflow.runtime.after_import import AfterImport

#: The daemon's AWS endpoint and, behind it, the domains of its WebSocket APIs, with spaces between them.
VARIABLE = "EVENTFLOW_WEBSOCKETS"
HANDLERS = "botocore.handlers"
EVENT = "before-sign.apigatewaymanagementapi"


def install() -> None:
    """Do it in this process and those that are forked from it, for all sessions: in the moment in which botocore is imported."""
    if HANDLERS in sys.modules:
        add(sys.modules[HANDLERS])
    else:
        sys.meta_path.insert(0, AfterImport(HANDLERS, add))


def add(handlers: ModuleType) -> None:
    handlers.BUILTIN_HANDLERS.append((EVENT, redirect))


def redirect(request: Any, **_others: object) -> None:
    """Before a request is signed: send it to the daemon if it is for one of its domains."""
    endpoint, *domains = os.environ.get(VARIABLE, "").split() or [""]  # noqa: TID251 - a function's own
    asked = urlsplit(request.url)
    if asked.hostname in domains:
        daemon = urlsplit(endpoint)
        request.headers["Host"] = asked.netloc
        request.url = urlunsplit((daemon.scheme, daemon.netloc, asked.path, asked.query, ""))
