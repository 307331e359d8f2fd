"""``eventflow journal``: whether the state file is whole, and what can be saved of one that is not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from eventflow.cli.display import json_option, print_facts, print_json, print_table, state_option
from eventflow.clock import SystemClock
from eventflow.errors import StorageError
from eventflow.journals.check import Report, check
from eventflow.journals.repair import Repair, repair, sound_already
from eventflow.settings import read_settings
from eventflow.state_directory import StateDirectory


@click.group()
def journal() -> None:
    """Check the state file, and repair one that is damaged."""


@journal.command("check")
@state_option
@json_option
def check_command(state: Path | None, as_json: bool) -> None:
    """Look at the whole state file, whether the daemon runs or not, and change nothing. The exit status is 1 when something is wrong."""
    directory = directory_of(state)
    report = check(directory.database, in_use=directory.owner() is not None)
    if as_json:
        print_json({**asdict(report), "path": str(report.path), "sound": report.sound})
    else:
        show(report)
    if not report.sound:
        raise click.ClickException(
            f"The state file {report.path} is damaged. Keep a copy, stop the daemon, and run `eventflow journal repair`, or restore a backup."
        )


def show(report: Report) -> None:
    print_facts(
        [
            ("State file", f"{report.path}, {report.bytes >> 10} KB"),
            ("Schema", ", ".join(f"{component} {version}" for component, version in report.schema.items())),
            ("Events", ", ".join(f"{count} {state}" for state, count in report.events.items())),
            ("Rows", ", ".join(f"{count} {table}" for table, count in report.rows.items() if table not in ("events", "schema_versions"))),
            ("Note", "\n".join(report.notes)),
            ("Verdict", "sound" if report.sound else f"{len(report.problems)} problems"),
        ]
    )
    for problem in report.problems:
        click.echo(f"- {problem}")


@journal.command("repair")
@state_option
@json_option
def repair_command(state: Path | None, as_json: bool) -> None:
    """Save what can be read of a damaged state file into a new one; the damaged one is kept beside it. The daemon must be stopped."""
    directory = directory_of(state)
    if not directory.database.exists() and not Path(f"{directory.database}.repaired").exists():
        raise StorageError(f"There is no state file {directory.database}. Name the state directory with --state DIR.")
    try:
        directory.hold("eventflow journal repair")
    except OSError as error:
        raise StorageError(f"The state directory {directory.path} cannot be used: {error}. Check its disk and its owner.") from error
    try:
        sound = sound_already(directory.database)
        if sound is not None:
            click.echo(f"The state file {directory.database} is sound: nothing was changed.")
            return
        stamp = datetime.fromtimestamp(SystemClock().now(), UTC).strftime("%Y%m%d-%H%M%S")
        result = repair(directory.database, stamp)
    finally:
        directory.release()
    if as_json:
        print_json({**asdict(result), "kept": str(result.kept)})
    else:
        show_repair(result)


def show_repair(result: Repair) -> None:
    rows = [
        (name, saved.rows, saved.of_strays, saved.bad_rows, saved.bad_pages, saved.refused)
        for name, saved in sorted(result.tables.items())
        if saved.rows or not saved.whole
    ]
    print_table(("TABLE", "SAVED", "OF THEM STRAY", "UNREADABLE ROWS", "UNREADABLE PAGES", "CONTRADICTORY"), rows)
    for note in result.notes:
        click.echo(f"- {note}")
    click.echo(f"The damaged file is {result.kept}. Start the daemon; remove that file when you miss nothing.")


def directory_of(state: Path | None) -> StateDirectory:
    return StateDirectory(read_settings(Path.cwd(), {"state": state}).state)
