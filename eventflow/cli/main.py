"""The command line's front: its verbs, each imported when it is called, and how an error is told."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from eventflow.errors import EventflowError

#: Verb: the module and command that it is, and its line in ``eventflow --help``.
VERBS: Mapping[str, tuple[str, str]] = {
    "init": ("init:init", "Write a small application to begin with."),
    "run": ("run:run", "Run an application until it is stopped."),
    "dev": ("run:dev", "Run an application and load it again when its files change."),
    "status": ("status:status", "Show the daemon, its triggers and its events."),
    "functions": ("functions:functions", "List the functions."),
    "invoke": ("functions:invoke", "Invoke a function."),
    "logs": ("functions:logs", "Show what a function wrote."),
    "keys": ("keys:keys", "Show the API keys, their usage plans and what was used of them."),
    "events": ("events:events", "List, show and replay asynchronous events."),
    "dlq": ("events:dlq", "List and redrive the events that failed for good."),
    "tables": ("tables:tables", "List tables, and export and import their items."),
    "export": ("export:export", "Write an application's APIs as OpenAPI, or all of it as a SAM template."),
    "env": ("status:env", "Print what points boto3 and the AWS CLI at the daemon."),
    "generate-event": ("generate:generate_event", "Print an event as a trigger would send it."),
    "service": ("service:service", "Have systemd run the daemon: install, uninstall, status."),
    "journal": ("journal:journal", "Check the state file, and repair one that is damaged."),
    "doctor": ("doctor:doctor", "Tell what of the isolation works on this machine."),
}


class Failure(click.ClickException):
    """An error of eventflow, with the exit status that belongs to it."""

    def __init__(self, error: EventflowError) -> None:
        super().__init__(str(error))
        self.status = error.exit_status

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has one for each class
        return self.status


class Verbs(click.Group):
    """The group of all verbs. ``eventflow --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command = getattr(import_module(f"eventflow.cli.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_path, line) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb; what eventflow raises on purpose is a sentence on standard error and exit status 1."""
        try:
            return super().invoke(ctx)
        except EventflowError as error:
            raise Failure(error) from error


@click.group(cls=Verbs, subcommand_metavar="VERB [ARGS]...", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eventflow")
def cli() -> None:
    """The serverless runtime you own: handler(event, context) functions on files, schedules and queues, durable, on one machine."""


def main() -> None:
    cli(prog_name="eventflow")
