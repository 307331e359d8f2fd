"""``eventflow export``: an application in the words of others, without a daemon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventflow.cli.export_sam import sam
from eventflow.cli.importing import declared
from eventflow.errors import EventflowError
from eventflow.manifest import resolve_triggers
from eventflow.settings import Settings, read_settings
from eventflow.source import folder_of

if TYPE_CHECKING:
    from eventflow.gateway.apis import Api

PROTOCOLS = ("HTTP", "REST")


@click.group()
def export() -> None:
    """Write an application in the words of others: its APIs as OpenAPI, all of it as a SAM template."""


export.add_command(sam)


@export.command()
@click.argument("app", default=".", metavar="[APP]")
@click.option("--api", metavar="NAME", help="The API, where there are several: shop, or rest/shop beside an HTTP API of that name.")
@click.option("--public", is_flag=True, help="Leave out what is behind the API: functions, authorizers, addresses.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to FILE.")
def openapi(app: str, api: str | None, public: bool, output: Path | None) -> None:
    """Print the OpenAPI 3.1 document of an API, with AWS's extensions: it makes the same API again, here and there."""
    from eventflow.gateway.composition import described
    from eventflow.gateway.openapi.export import document

    settings = read_settings(folder_of(app))
    manifest, _awaited = declared(app, settings)
    found = chosen(described(manifest.app, settings.account_id, manifest.resources, resolve_triggers(manifest)), api)
    servers = [server(stage, settings) for stage in found]
    text = json.dumps(document(found[0], settings.account_id, settings.region, *servers, extensions=not public), indent=2)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise EventflowError(f"{output} cannot be written: {error.strerror}. Name another file with --output.") from error


def chosen(apis: Sequence[Api], name: str | None) -> Sequence[Api]:
    """The stages of the API that is meant."""
    served: dict[str, list[Api]] = {}
    for api in apis:
        if api.protocol in PROTOCOLS:
            served.setdefault(f"{api.protocol.lower()}/{api.name}", []).append(api)
    found = [stages for full, stages in served.items() if name in (None, full, stages[0].name)]
    if len(found) == 1:
        return found[0]
    has = ", ".join(served) or "none"
    if name is None:
        raise EventflowError(f"The application has no API that OpenAPI describes, or several; say which with --api. It has: {has}.")
    raise EventflowError(f"There is no one API named {name!r}; the application has: {has}.")


def server(api: Api, settings: Settings) -> str:
    """Where the daemon would serve it."""
    scheme = "http" if settings.tls_cert is None else "https"
    if api.mount is None:
        return f"{scheme}://{api.id}.execute-api.localhost:{settings.gateway_port}{api.stage.segment}"
    host = f"[{settings.gateway_host}]" if ":" in settings.gateway_host else settings.gateway_host
    return f"{scheme}://{host}:{settings.gateway_port}{api.mount}"
