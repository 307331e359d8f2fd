"""``eventflow run`` and ``eventflow dev``: the daemon itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, Unpack, cast

import click

from eventflow.errors import SettingError
from eventflow.settings import LOG_FORMATS, Flags, read_settings
from eventflow.source import folder_of, locate

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


OVERRIDES = "--parameter-overrides"
TEMPLATE_OPTIONS = (
    click.option(OVERRIDES, multiple=True, metavar="KEY=VALUE...", help="Of a template: values of its parameters."),
    click.option("--env-vars", type=FILE, metavar="FILE", help="Of a template: a JSON file with variables by function, as sam local takes it."),
    click.option(
        "--stack-name", metavar="NAME", help="Of a template: the stack's name, with which resources are named (samconfig.toml, or the folder's)."
    ),
    click.option("--config-env", metavar="NAME", help="Of a template: the environment in samconfig.toml (default)."),
    click.option("--lenient", is_flag=True, default=None, help="Of a template: leave out what eventflow does not have, with a list."),
)


class TemplateFlags(TypedDict, total=False):
    """What a command line can say of a template."""

    parameter_overrides: tuple[str, ...]
    env_vars: Path | None
    stack_name: str | None
    config_env: str | None
    lenient: bool | None


class TakesOverrides(click.Command):
    """``--parameter-overrides A=1 B=2``: the words with a ``=`` that follow the first are its values too, as SAM's command line has it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found: list[str] = []
        for word in args:
            if "=" in word and not word.startswith("-") and found[-2:-1] == [OVERRIDES]:
                found.append(OVERRIDES)
            found.append(word)
        return super().parse_args(ctx, found)


def daemon_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*OPTIONS, *TEMPLATE_OPTIONS)):
        command = option(command)
    return click.argument("app", default=".", metavar="[APP]")(command)


class RunFlags(Flags, TemplateFlags, total=False):
    """All that the two verbs take."""


@click.command(cls=TakesOverrides)
@daemon_options
def run(app: str, **flags: Unpack[RunFlags]) -> None:
    """Run an application until it is stopped.

    APP is a file (app.py, template.yaml), module:app, or a folder that has an app.py or a template.yaml, or names its application in eventflow.toml;
    by default this folder. SIGTERM and Ctrl-C stop it gracefully; a second one waits for nothing.
    """
    start(app, flags, watch=False)


@click.command(cls=TakesOverrides)
@daemon_options
def dev(app: str, **flags: Unpack[RunFlags]) -> None:
    """Run an application and load it again when its files change. No event is dropped."""
    start(app, flags, watch=True)


def start(app: str, flags: RunFlags, *, watch: bool) -> None:
    settings = read_settings(folder_of(app), daemon_flags(flags))
    template = template_options(app, flags)
    raise SystemExit(daemon_module().run(app, settings, watch=watch, template=template))


def daemon_flags(flags: RunFlags) -> Flags:
    return cast("Flags", {name: value for name, value in flags.items() if name not in TemplateFlags.__annotations__})


def template_options(app: str, flags: RunFlags) -> dict[str, Any]:
    """What the flags say of a template, in the words of ``TemplateOptions``. Raises SettingError for an application that is none."""
    from eventflow.sam.configuration import overrides_of

    given: dict[str, Any] = {name: value for name in TemplateFlags.__annotations__ if (value := flags.get(name))}
    if given and locate(app).template is None:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SettingError(f"{named} is for templates, and {app} is none.")
    if "parameter_overrides" in given:
        given["overrides"] = overrides_of(given.pop("parameter_overrides"), OVERRIDES)
    if "env_vars" in given:
        given["env_vars"] = str(Path(given["env_vars"]).resolve())
    return given


def daemon_module() -> ModuleType:
    """The daemon is most of eventflow: only a verb that has understood its settings waits for the import."""
    return import_module("eventflow.daemon")
