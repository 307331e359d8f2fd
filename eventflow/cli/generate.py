"""``eventflow generate-event``: events as the triggers send them, to try a function with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eventflow.cli.display import print_json
from eventflow.clock import SystemClock
from eventflow.event import s3_event, scheduled_event, sqs_event
from eventflow.settings import Settings, read_settings

REMOVALS = ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated")
NAMES = (
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
    *REMOVALS,
)
ALIASES = {"s3": "bucket", "sqs": "queue", "cron": "schedule", "events": "schedule", "httpapi": "http", "apigateway": "rest"}


class Kinds(click.Group):
    """The kinds of events, also under AWS's names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group(cls=Kinds)
def generate_event() -> None:
    """Print an event as a trigger would send it.

    For example: eventflow generate-event bucket --key cat.jpg | eventflow invoke thumbnail --payload -
    """


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--account-id", metavar="DIGITS", help="The account id; by default the settings'.")(command)
    return click.option("--region", help="The region; by default the settings'.")(command)


def place(region: str | None, account_id: str | None) -> Settings:
    return read_settings(Path.cwd(), {"region": region, "account_id": account_id})


@generate_event.command("bucket")
@click.option("--bucket", default="uploads", show_default=True, help="The bucket's name.")
@click.option("--key", default="photo.jpg", show_default=True, help="The object's key, not URL-encoded.")
@click.option("--name", type=click.Choice(NAMES), default=NAMES[0], show_default=True, help="What happened.")
@click.option("--size", type=click.IntRange(0), default=1024, show_default=True, help="The object's size in bytes.")
@place_options
def bucket_event(bucket: str, key: str, name: str, size: int, region: str | None, account_id: str | None) -> None:
    """An object was created or removed (also: s3)."""
    settings, clock = place(region, account_id), SystemClock()
    removed = name in REMOVALS
    event = s3_event(
        bucket=bucket,
        key=key,
        name=name,
        sequencer=f"{int(clock.now() * 1000):018X}",
        region=settings.region,
        account=settings.account_id,
        time=clock.now(),
        request_id=clock.new_id(),
        configuration="generated",
        size=None if removed else size,
        etag=None if removed else md5(key),
    )
    print_json(event)


@generate_event.command("schedule")
@click.option("--rule", default="rule", show_default=True, help="The rule's name in the event's ARN.")
@place_options
def schedule_event(rule: str, region: str | None, account_id: str | None) -> None:
    """An instant of a schedule has come (also: cron, events)."""
    settings, clock = place(region, account_id), SystemClock()
    print_json(scheduled_event(id=clock.new_id(), time=clock.now(), account=settings.account_id, region=settings.region, rule=rule))


@generate_event.command("queue")
@click.option("--queue", default="orders", show_default=True, help="The queue's name.")
@click.option("--body", "bodies", multiple=True, default=("Hello",), help="A message's body; several make a batch.")
@place_options
def queue_event(queue: str, bodies: tuple[str, ...], region: str | None, account_id: str | None) -> None:
    """A batch of messages has come (also: sqs)."""
    settings, clock = place(region, account_id), SystemClock()
    sent = str(int(clock.now() * 1000))
    messages = [
        {
            "MessageId": clock.new_id(),
            "ReceiptHandle": clock.new_id(),
            "Body": body,
            "MD5OfBody": md5(body),
            "Attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": sent,
                "SenderId": settings.account_id,
                "ApproximateFirstReceiveTimestamp": sent,
            },
        }
        for body in bodies
    ]
    print_json(sqs_event(messages, arn=f"arn:aws:sqs:{settings.region}:{settings.account_id}:{queue}", region=settings.region))


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request; several may be given."),
        click.option("--body", default="", help="The request's body."),
        click.option("--target", default="/items/7", show_default=True, help="The path that is asked for, with perhaps a query."),
        click.option("--route", default="GET /items/{id}", show_default=True, help="The route that leads to the function."),
    ):
        command = option(command)
    return place_options(command)


@generate_event.command("http")
@request_options
def http_event(route: str, target: str, body: str, headers: tuple[str, ...], region: str | None, account_id: str | None) -> None:
    """A request has come to an HTTP API: payload 2.0."""
    print_request("HTTP", route, target, body, headers, place(region, account_id))


@generate_event.command("rest")
@request_options
def rest_event(route: str, target: str, body: str, headers: tuple[str, ...], region: str | None, account_id: str | None) -> None:
    """A request has come to a REST API: payload 1.0."""
    print_request("REST", route, target, body, headers, place(region, account_id))


def print_request(protocol: str, route: str, target: str, body: str, headers: tuple[str, ...], settings: Settings) -> None:
    from eventflow.gateway.generated import generated_event

    pairs = [(name.strip(), value.strip()) for name, _colon, value in (header.partition(":") for header in headers)]
    print_json(generated_event(protocol, route, target, body.encode(), pairs, SystemClock(), settings.account_id, settings.region))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
