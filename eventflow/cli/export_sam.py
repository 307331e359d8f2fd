"""``eventflow export sam``: an application as a SAM template and the directory of its code, ready for ``sam build`` and ``sam deploy``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from eventflow.cli.importing import declared
from eventflow.errors import EventflowError
from eventflow.manifest import resolve_triggers
from eventflow.settings import read_settings
from eventflow.source import folder_of, locate

TEMPLATE, CODE = "template.yaml", "code"
#: The first line of a template, by which an output directory of ours is known again.
MARK = "# Written by `eventflow export sam`. "
NEXT = "It is replaced as a whole by the next export; `sam build && sam deploy --guided` brings it to AWS."
PREFIX = "python"


@click.command()
@click.argument("app", default=".", metavar="[APP]")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default="sam", show_default=True, metavar="DIR", help="Where template and code go."
)
@click.option("--lenient", is_flag=True, help="Leave out what a template cannot say, and list it.")
def sam(app: str, output: Path, lenient: bool) -> None:
    """Write a SAM template and the directory of its code, which run on AWS Lambda without eventflow."""
    from eventflow.cli.sam_apis import ApiWriter
    from eventflow.gateway.composition import described
    from eventflow.sam.bundle import build, handlers
    from eventflow.sam.writer import document, refuse, write

    settings = read_settings(folder_of(app))
    source = locate(app)
    if source.template is not None:
        raise EventflowError(f"{source.template} is a template already; what is exported is an application in Python.")
    manifest, awaited = declared(app, settings)
    texts, entries = handlers(manifest, awaited)
    apis = described(manifest.app, settings.account_id, manifest.resources, resolve_triggers(manifest))
    draft = write(manifest, texts, ApiWriter(apis))
    for function in manifest.functions:
        if ".asgi_functions." in function.handler:
            draft.cannot(
                f"Function {function.name}", "app.asgi is eventflow's own bridge; on Lambda an adapter such as Mangum calls the application."
            )
    if not lenient:
        refuse(draft)
    root = Path(manifest.root)
    out = [output, settings.state, settings.buckets, *(Path(one.options["path"]) for one in manifest.resources if "path" in one.options)]
    runtime = f"{PREFIX}{sys.version_info.major}.{sys.version_info.minor}"
    with replaced(output) as folder:
        (folder / CODE).mkdir()
        build(root, folder / CODE, [*out, folder], entries)
        (folder / TEMPLATE).write_text(yaml_of(document(draft, runtime, f"{CODE}/")), encoding="utf-8")
    click.echo(f"Wrote {output / TEMPLATE} and {output / CODE}: {len(manifest.functions)} functions, {len(draft.resources)} resources.")
    for line in draft.notes:
        click.echo(f"Of this machine alone: {line}", err=True)
    for line in draft.left:
        click.echo(f"Left out: {line}", err=True)


class replaced:  # noqa: N801 - it reads as what it does
    """A new directory that takes the place of ``output`` once it is whole. Raises EventflowError where that has something that is not ours."""

    def __init__(self, output: Path) -> None:
        self._output = output
        if output.exists() and not is_ours(output):
            raise EventflowError(f"{output} is there, and was not written by `eventflow export sam`; name another directory with --output.")

    def __enter__(self) -> Path:
        try:
            self._output.parent.mkdir(parents=True, exist_ok=True)
            self._new = Path(tempfile.mkdtemp(prefix=f".{self._output.name}-", dir=self._output.parent))
            self._new.chmod(0o755)
        except OSError as error:
            raise EventflowError(f"{self._output} cannot be written: {error.strerror}. Name another directory with --output.") from error
        return self._new

    def __exit__(self, kind: Any, error: Any, _traceback: Any) -> None:
        try:
            if kind is None:
                former = Path(tempfile.mkdtemp(prefix=f".{self._output.name}-former-", dir=self._output.parent))
                if self._output.exists():
                    self._output.rename(former / "former")
                self._new.rename(self._output)
                shutil.rmtree(former)
        finally:
            shutil.rmtree(self._new, ignore_errors=True)
        if isinstance(error, OSError):
            raise EventflowError(f"{self._output} cannot be written: {error}.") from error


def is_ours(output: Path) -> bool:
    if not output.is_dir():
        return False
    try:
        return not any(output.iterdir()) or (output / TEMPLATE).read_text(encoding="utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def yaml_of(template: dict[str, Any]) -> str:
    try:
        import yaml
    except ImportError as error:
        raise EventflowError("Writing a template takes the extra `sam`: pip install 'eventflow[sam]'.") from error

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return f"{MARK}{NEXT}\n" + yaml.dump(template, Dumper=Dumper, sort_keys=False, width=150, allow_unicode=True)
