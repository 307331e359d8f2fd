"""``eventflow run`` and ``eventflow dev``: the daemon itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

import click

from eventflow.settings import LOG_FORMATS, Flags, read_settings
from eventflow.source import folder_of

DIRECTORY = click.Path(path_type=Path)
FILE = click.Path(path_type=Path)
OPTIONS = (
    click.option("--state", type=DIRECTORY, metavar="DIR", help="Where everything durable is kept; by default .eventflow beside the application."),
    click.option("--buckets", type=DIRECTORY, metavar="DIR", help="Where the buckets' directories are; by default buckets in the state directory."),
    click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="The port of the AWS endpoint (4566; 0 takes any free one)."),
    click.option("--host", help="The address of the AWS endpoint (127.0.0.1)."),
    click.option(
        "--gateway-port", type=click.IntRange(0, 65_535), metavar="N", help="The port of the API gateway, for an application with routes (8080)."
    ),
    click.option("--gateway-host", help="The address of the API gateway (127.0.0.1)."),
    click.option("--tls-cert", type=FILE, metavar="FILE", help="The API gateway's certificate with its chain (PEM): it then speaks HTTPS."),
    click.option("--tls-key", type=FILE, metavar="FILE", help="The key of that certificate (PEM)."),
    click.option("--tls-client-ca", type=FILE, metavar="FILE", help="Serve only clients with a certificate of one of these authorities (PEM)."),
    click.option("--trusted-proxies", metavar="ADDRESSES", help="Proxies before the API gateway whose X-Forwarded-For or Forwarded is believed."),
    click.option("--gateway-rate", type=float, metavar="N", help="Requests a second that the API gateway takes of all clients together (10000)."),
    click.option("--gateway-burst", type=int, metavar="N", help="Requests at once that the API gateway takes of all clients together (5000)."),
    click.option("--open", "open", is_flag=True, default=None, help="Take any credentials; only on a loopback address."),
    click.option("--region", help="The default region (us-east-1)."),
    click.option("--account-id", metavar="DIGITS", help="The account id (000000000000)."),
    click.option("--retention-days", type=int, metavar="N", help="How long finished events are kept (14)."),
    click.option("--grace-seconds", type=float, metavar="N", help="How long a stopping daemon waits for running functions (30)."),
    click.option("--log-format", type=click.Choice(LOG_FORMATS), help="auto: text on a terminal, JSON lines elsewhere."),
)


def daemon_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = option(command)
    return click.argument("app", default=".", metavar="[APP]")(command)


@click.command()
@daemon_options
def run(app: str, **flags: Unpack[Flags]) -> None:
    """Run an application until it is stopped.

    APP is a file (app.py), module:app, or a folder that has an app.py or names its application in eventflow.toml; by default this folder.
    SIGTERM and Ctrl-C stop it gracefully; a second one waits for nothing.
    """
    start(app, flags, watch=False)


@click.command()
@daemon_options
def dev(app: str, **flags: Unpack[Flags]) -> None:
    """Run an application and load it again when its files change. No event is dropped."""
    start(app, flags, watch=True)


def start(app: str, flags: Flags, *, watch: bool) -> None:
    settings = read_settings(folder_of(app), flags)
    raise SystemExit(daemon_module().run(app, settings, watch=watch))


def daemon_module() -> ModuleType:
    """The daemon is most of eventflow: only a verb that has understood its settings waits for the import."""
    return import_module("eventflow.daemon")
