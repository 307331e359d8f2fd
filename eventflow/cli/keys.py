"""``eventflow keys``: the API keys of a running daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from eventflow.cli.display import client_of, json_option, print_json, print_table, state_option
from eventflow.errors import EventflowError

HEADINGS = ("KEY", "ID", "ENABLED", "VALUE", "USAGE PLANS")


@click.command()
@click.argument("name", required=False)
@state_option
@json_option
def keys(name: str | None, state: Path | None, as_json: bool) -> None:
    """Show the API keys, their usage plans and what was used of them. With NAME, print the value of that key, if it was made here."""
    found = client_of(state).get("keys")["keys"]
    if name is not None:
        click.echo(value_of(name, found))
    elif as_json:
        print_json(found)
    else:
        print_table(HEADINGS, [row(key) for key in found])


def value_of(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    for key in found:
        if key["name"] == name:
            if key["value"] is None:
                raise EventflowError(
                    f"The application gave the API key {name!r} its value, which is not told; it is where the application has it from."
                )
            return str(key["value"])
    has = ", ".join(key["name"] for key in found)
    raise EventflowError(f"There is no API key named {name!r}; the application has: {has or 'none'}.")


def row(key: Mapping[str, Any]) -> Sequence[object]:
    plans = ", ".join(plan["name"] + use(plan) for plan in key["plans"])
    return key["name"], key["id"], "yes" if key["enabled"] else "no", "made here" if key["value"] else "given", plans or None


def use(plan: Mapping[str, Any]) -> str:
    return "" if plan["quota"] is None else f" ({plan['used']} of {plan['quota']} this {plan['period'].lower()})"
