"""``eventflow functions``, ``invoke`` and ``logs``: the functions of a running daemon."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from eventflow.cli.client import Client
from eventflow.cli.display import client_of, json_option, local_time, print_json, print_table, state_option
from eventflow.clock import Clock, SystemClock
from eventflow.connection import segment

FOLLOW_SECONDS = 0.5
LARGEST_PAGE = 1_000
ATTACH = """{function} waits for a debugger on 127.0.0.1:{port}. In VS Code, put this into the configurations of .vscode/launch.json and start it:
{{"name": "eventflow", "type": "debugpy", "request": "attach", "connect": {{"host": "127.0.0.1", "port": {port}}}, "justMyCode": true}}"""
HEADINGS = ("FUNCTION", "MEMORY MB", "TIMEOUT S", "RESERVED", "RETRIES", "READY", "RUNNING", "TRIGGERS")


@click.command()
@state_option
@json_option
def functions(state: Path | None, as_json: bool) -> None:
    """List the functions, their settings and how much they have to do."""
    found = client_of(state).get("functions")["functions"]
    if as_json:
        print_json(found)
    else:
        print_table(HEADINGS, [row(function) for function in found])


def row(function: Mapping[str, Any]) -> Sequence[object]:
    settings = [function.get(name) for name in ("name", "memory", "timeout", "reserved_concurrency", "retries", "ready", "running")]
    return [*settings, ", ".join(function.get("triggers", ())) or "-"]


@click.command()
@click.argument("function")
@click.option(
    "--payload", default="{}", metavar="JSON|@FILE|-", help="The event: JSON, a file that holds it, or - for standard input; {} by default."
)
@click.option("--async", "asynchronous", is_flag=True, help="Return once the event is on disk.")
@click.option("--tail", is_flag=True, help="Show the last 4 KB of the function's log, on standard error.")
@click.option("--debug", is_flag=True, help="Wait in the function's process for a debugger (debugpy), before its init.")
@click.option("--debug-port", type=click.IntRange(1_024, 65_535), default=5678, show_default=True, help="The port of loopback that --debug waits on.")
@state_option
@json_option
def invoke(function: str, payload: str, asynchronous: bool, tail: bool, debug: bool, debug_port: int, state: Path | None, as_json: bool) -> None:
    """Invoke FUNCTION and print what it returns. The exit status is 1 when the function fails."""
    if asynchronous and debug:
        raise click.UsageError("--debug waits for the function; an --async invocation is not waited for.")
    if asynchronous and tail:
        raise click.UsageError("--tail shows the log of an invocation that is waited for; an --async one is not. See `eventflow logs`.")
    client, event = client_of(state), read_payload(payload)
    if debug:
        click.echo(ATTACH.format(function=function, port=debug_port), err=True)
    answer = client.debug(function, event, debug_port) if debug else client.invoke(function, event, asynchronous=asynchronous)
    if tail:
        click.echo(answer.get("log_tail", ""), err=True, nl=False)
    if as_json:
        print_json(answer)
    elif asynchronous:
        click.echo(answer["request_id"])
    else:
        print_json(answer.get("payload"))
    if answer.get("function_error"):
        raise click.ClickException(failure(function, answer.get("payload")))


def read_payload(payload: str) -> Any:
    """The JSON value that the option gives directly, in a file or on standard input."""
    if payload == "-":
        where, text = "standard input", sys.stdin.read()
    elif payload.startswith("@"):
        where, text = payload[1:], read_file(Path(payload[1:]))
    else:
        where, text = "--payload", payload
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        hint = " Write JSON in single quotes, or --payload @FILE." if where == "--payload" else ""
        raise click.UsageError(f"The payload ({where}) is not JSON: {error}.{hint}") from error


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def read_file(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"The payload's file {file} cannot be read: {error}.") from error


def failure(function: str, payload: Any) -> str:
    error = payload if isinstance(payload, dict) else {}
    return f"Function {function!r} failed: {error.get('errorType', 'Unhandled')}: {error.get('errorMessage', '')}"


@click.command()
@click.argument("function")
@click.option("--access", is_flag=True, help="FUNCTION is the name of an API: show its access log.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing lines as they come, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, LARGEST_PAGE), default=100, show_default=True, help="How many of the newest lines to show.")
@state_option
@json_option
def logs(function: str, access: bool, follow: bool, limit: int, state: Path | None, as_json: bool) -> None:
    """Show what FUNCTION wrote to standard output, standard error and its logging, with Lambda's START, END and REPORT lines."""
    client = client_of(state)
    show = print_line_json if as_json else print_text if access else print_line
    room = "access" if access else "logs"
    cursor = show_page(client, function, None, limit, show, room)
    if follow:
        try:
            asyncio.run(follow_lines(client, function, cursor, SystemClock(), show, room))
        except KeyboardInterrupt:
            return


async def follow_lines(
    client: Client, function: str, cursor: str, clock: Clock, show: Callable[[Mapping[str, Any]], None], room: str = "logs"
) -> None:
    """Show new lines until cancelled."""
    while True:
        following = show_page(client, function, cursor, LARGEST_PAGE, show, room)
        if following == cursor:
            await clock.sleep(FOLLOW_SECONDS)
        cursor = following


def show_page(client: Client, function: str, since: str | None, limit: int, show: Callable[[Mapping[str, Any]], None], room: str = "logs") -> str:
    page = client.get(f"{room}/{segment(function)}", since=since or None, limit=limit)
    for line in page["lines"]:
        show(line)
    return str(page["next"])


def print_line(line: Mapping[str, Any]) -> None:
    click.echo(f"{local_time(line['time'])}  {line['text']}")


def print_text(line: Mapping[str, Any]) -> None:
    click.echo(line["text"])


def print_line_json(line: Mapping[str, Any]) -> None:
    click.echo(json.dumps(line, ensure_ascii=False))
