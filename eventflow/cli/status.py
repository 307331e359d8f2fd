"""``eventflow status`` and ``eventflow env``: the daemon as a whole, and how to reach it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from eventflow.aws.credentials import Credentials
from eventflow.cli.client import Client
from eventflow.cli.display import client_of, json_option, print_facts, print_json, print_table, state_option
from eventflow.errors import EventflowError

CREDENTIALS = "credentials.json"
STATES = ("ready", "waiting", "running", "done", "dead")


@click.command()
@click.option("--settings", "with_settings", is_flag=True, help="Show every setting and where its value comes from.")
@state_option
@json_option
def status(with_settings: bool, state: Path | None, as_json: bool) -> None:
    """Show the daemon, its triggers and its events."""
    found = client_of(state).get("status")
    if as_json:
        print_json(found)
        return
    print_facts(facts(found))
    show_triggers(found.get("triggers", ()))
    show_authorizers(found.get("authorizers", ()))
    show_events(found)
    if with_settings:
        click.echo()
        print_table(("SETTING", "VALUE", "FROM"), [(name, entry["value"], entry["origin"]) for name, entry in found["settings"].items()])


def facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "App", found["app"]
    yield "Daemon", f"eventflow {found['version']}, pid {found['pid']}, since {found['started_at']}"
    yield "Endpoint", found["url"]
    if found.get("gateway"):
        yield "Gateway", found["gateway"]
    yield "State", found["state"]
    yield "Buckets", found.get("buckets")
    yield "Memory limits", found.get("memory_limits")


def show_triggers(triggers: Any) -> None:
    if triggers:
        click.echo()
        print_table(("TRIGGER", "FUNCTION", "STATE"), [(one["trigger"], one["function"], trigger_state(one)) for one in triggers])
    for one in triggers:
        for report in one.get("reports", ()):
            click.echo(f"{one['trigger']}: {report}")


def show_authorizers(authorizers: Any) -> None:
    if authorizers:
        click.echo()
        rows = [(one["name"], one.get("source") or one.get("function") or "", authorizer_state(one)) for one in authorizers]
        print_table(("AUTHORIZER", "ASKS", "STATE"), rows)


def authorizer_state(authorizer: Mapping[str, Any]) -> str:
    if authorizer.get("failure"):
        return f"failed: {authorizer['failure']}"
    if authorizer["type"] != "jwt":
        return "ready"
    return {None: "not asked yet", 1: "1 key"}.get(authorizer["keys"], f"{authorizer['keys']} keys")


def trigger_state(trigger: Mapping[str, Any]) -> str:
    if trigger.get("failure"):
        return f"failed: {trigger['failure']}"
    return "ready" if trigger.get("ready") else "starting"


def show_events(found: Mapping[str, Any]) -> None:
    """One line a function: how many of its events are in each state."""
    counts = found.get("events", {})
    running = {function["name"]: function.get("running", 0) for function in found.get("functions", ())}
    names = sorted({*counts, *running})
    if names:
        click.echo()
        rows = [(name, *({"running": running.get(name, 0), **counts.get(name, {})}.get(state, 0) for state in STATES)) for name in names]
        print_table(("FUNCTION", *(state.upper() for state in STATES)), rows)


@click.command()
@state_option
@json_option
def env(state: Path | None, as_json: bool) -> None:
    """Print what points boto3 and the AWS CLI at the daemon; use it as: eval "$(eventflow env)"."""
    variables = client_variables(client_of(state))
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def client_variables(client: Client) -> dict[str, str]:
    file = client.state / CREDENTIALS
    try:
        credentials = Credentials.load(file)
    except OSError as error:
        raise EventflowError(f"The daemon's credentials {file} cannot be read: {error.strerror}. Work as the user who runs it.") from error
    region = client.get("status")["settings"]["region"]["value"]
    return {
        "AWS_ENDPOINT_URL": client.address.url,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
