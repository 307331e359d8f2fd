"""``eventflow events`` and ``eventflow dlq``: asynchronous events, what became of them, and sending them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from eventflow.cli.display import client_of, json_option, local_time, print_facts, print_json, print_table, state_option
from eventflow.connection import segment
from eventflow.journals.history import STATES

LARGEST_PAGE = 1_000

function_option = click.option("--function", metavar="NAME", help="Only this function's events.")
limit_option = click.option("--limit", type=click.IntRange(1, LARGEST_PAGE), default=50, show_default=True, help="The most events to list.")
before_option = click.option("--before", type=int, metavar="CURSOR", help="Go on with older ones, from the cursor that the list before ended with.")


@click.group()
def events() -> None:
    """List, show and replay asynchronous events."""


@click.group()
def dlq() -> None:
    """List and redrive the events that failed for good."""


@events.command("list")
@click.option("--status", type=click.Choice(STATES), help="Only events in this state.")
@function_option
@limit_option
@before_option
@state_option
@json_option
def list_events(status: str | None, function: str | None, limit: int, before: int | None, state: Path | None, as_json: bool) -> None:
    """List events, the newest first."""
    show_list(client_of(state).get("events", state=status, function=function, limit=limit, before=before), as_json)


@dlq.command("list")
@function_option
@limit_option
@before_option
@state_option
@json_option
def list_dead(function: str | None, limit: int, before: int | None, state: Path | None, as_json: bool) -> None:
    """List dead events and why they died, the newest first."""
    show_list(client_of(state).get("dlq", function=function, limit=limit, before=before), as_json)


def show_list(page: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    print_table(("EVENT", "ACCEPTED", "FUNCTION", "STATE", "FAILURES", "SOURCE", "REASON"), [row(event) for event in page["events"]])
    if page.get("next") is not None:
        click.echo(f"There are older ones: --before {page['next']}", err=True)


def row(event: Mapping[str, Any]) -> Sequence[object]:
    accepted = local_time(event.get("accepted_at"))
    return [
        event["id"],
        accepted,
        event["function"],
        state_text(event),
        event.get("failed_attempts"),
        event.get("source"),
        one_line(event.get("reason")),
    ]


def state_text(event: Mapping[str, Any]) -> str:
    retry_at = event.get("retry_at")
    return f"waiting until {local_time(retry_at)}" if event["state"] == "waiting" and retry_at is not None else str(event["state"])


def one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())


@events.command("show")
@click.argument("id")
@state_option
@json_option
def show_event(id: str, state: Path | None, as_json: bool) -> None:
    """Show one event: its payload, its attempts, and why it is where it is."""
    event = client_of(state).get(f"events/{segment(id)}")
    if as_json:
        print_json(event)
        return
    print_facts(facts(event))
    for number, attempt in enumerate(event.get("attempts", ()), 1):
        click.echo(f"\nAttempt {number}")
        print_facts((f"  {name}", value) for name, value in attempt_facts(attempt))


def facts(event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Event", event["id"]
    yield "Function", event["function"]
    yield "Qualifier", event.get("qualifier")
    yield "State", state_text(event)
    yield "Reason", event.get("reason")
    yield "Source", event.get("source")
    yield "Accepted", local_time(event.get("accepted_at"))
    yield "Settled", local_time(event.get("settled_at"))
    yield "Trace", event.get("trace")
    if "payload" in event:
        yield "Payload", json.dumps(event["payload"], indent=2, ensure_ascii=False)


def attempt_facts(attempt: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Started", local_time(attempt.get("started_at"))
    yield "Outcome", attempt.get("status")
    if attempt.get("error_type"):
        yield "Error", f"{attempt['error_type']}: {attempt.get('error_message') or ''}"
    yield "Duration", milliseconds(attempt.get("duration_ms"))
    yield "Init", milliseconds(attempt.get("init_ms"))
    yield "Billed", milliseconds(attempt.get("billed_ms"))
    if attempt.get("max_memory_mb"):
        yield "Memory used", f"{attempt['max_memory_mb']} of {attempt.get('memory_mb')} MB"


def milliseconds(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value} ms" if isinstance(value, int) else f"{value:.2f} ms"


@events.command("replay")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@state_option
@json_option
def replay(ids: tuple[str, ...], state: Path | None, as_json: bool) -> None:
    """Run done or dead events again, with all their attempts before them."""
    client = client_of(state)
    replayed = [done for event_id in ids for done in client.post(f"events/{segment(event_id)}/replay")["replayed"]]
    show_sent(replayed, "replayed", as_json)


@dlq.command("redrive")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--function", metavar="NAME", help="All dead events of this function.")
@click.option("--all", "everything", is_flag=True, help="All dead events.")
@state_option
@json_option
def redrive(ids: tuple[str, ...], function: str | None, everything: bool, state: Path | None, as_json: bool) -> None:
    """Run dead events again: those named, those of one function, or all."""
    if sum((bool(ids), function is not None, everything)) != 1:
        raise click.UsageError("Say which events: their ids, or --function NAME, or --all (one of the three).")
    answer = client_of(state).post("dlq/redrive", {"function": function, "ids": list(ids) or None})
    show_sent(answer["redriven"], "redriven", as_json)
    missing = sorted(set(ids) - set(answer["redriven"]))
    if missing:
        names = ", ".join(missing)
        raise click.ClickException(f"Not dead, not known, or of a function that is not there: {names}. `eventflow dlq list` shows the dead.")
    if everything and answer.get("left"):
        click.echo(f"{answer['left']} left as they are: their functions are not there. `eventflow dlq list` shows them.", err=True)


def show_sent(ids: Sequence[str], verb: str, as_json: bool) -> None:
    if as_json:
        print_json({verb: list(ids)})
        return
    for event_id in ids:
        click.echo(event_id)
    click.echo(f"{len(ids)} {'event' if len(ids) == 1 else 'events'} {verb}.", err=True)
