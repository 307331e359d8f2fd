"""Lets boto3 in functions reach this daemon's WebSocket APIs at the addresses that their events name.

Handlers of WebSocket APIs build the management API's endpoint from the event: ``https://{domainName}/{stage}``. On AWS that is an address; here it is
a name that only requests to this daemon have. So a handler of botocore's own events sends what is for one of the daemon's domains to the daemon
instead, before it is signed, with the domain in the Host header. Nothing else is touched.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

#: The daemon's AWS endpoint and, behind it, the domains of its WebSocket APIs, with spaces between them.
VARIABLE = "EVENTFLOW_WEBSOCKETS"
HANDLERS = "botocore.handlers"
EVENT = "before-sign.apigatewaymanagementapi"


class Handlers(MetaPathFinder):
    """Adds the handler to those of every session, in the moment in which botocore is imported."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != HANDLERS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                add(module)

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Do it in this process and those that are forked from it."""
    if HANDLERS in sys.modules:
        add(sys.modules[HANDLERS])
    else:
        sys.meta_path.insert(0, Handlers())


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
