"""``eventflow generate-event``: events as the triggers send them, to try a function with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventflow.cli.display import print_json
from eventflow.cli.generated import MOST_RECEIVES, StandingClock, bus_event, queue_event, stream_event, told_by_bus, told_by_queue
from eventflow.clock import SystemClock
from eventflow.event import destination_record, s3_event, scheduled_event
from eventflow.settings import Settings, read_settings

if TYPE_CHECKING:
    from eventflow.gateway.generated import Asked, Generator

REMOVALS = ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete", "LifecycleExpiration:DeleteMarkerCreated")
NAMES = (
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
    *REMOVALS,
)
VIEWS = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")
CONDITIONS = ("Success", "RetriesExhausted", "EventAgeExceeded", "RecursiveLoop")
AUTHORIZERS = ("token", "request", "http-1.0", "http-2.0", "websocket")
ALIASES = {
    "s3": "bucket",
    "sqs": "queue",
    "cron": "schedule",
    "events": "schedule",
    "dynamodb": "stream",
    "eventbridge": "bus",
    "httpapi": "http",
    "apigateway": "rest",
}


class Kinds(click.Group):
    """The kinds of events, also under AWS's names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


class Instant(click.ParamType[float]):
    """A time in ISO 8601, UTC if it says nothing else; Unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-01-31T09:05:00Z.", param, ctx)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Json(click.ParamType[Any]):
    """A JSON value, an object where ``mapping`` asks for one."""

    name = "json"

    def __init__(self, *, mapping: bool = False) -> None:
        self._mapping = mapping

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = json.loads(value, parse_float=Decimal if param is not None and param.name in ("olds", "news") else float)
        except ValueError as error:
            self.fail(f"this is not JSON: {error}. Write it in single quotes.", param, ctx)
        if self._mapping and not isinstance(found, dict):
            self.fail("it takes a JSON object.", param, ctx)
        return found


class Pair(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``, or with another sign between them."""

    def __init__(self, sign: str) -> None:
        self._sign = sign
        self.name = f"name{sign}value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, sign, text = str(value).partition(self._sign)
        if not sign or not name.strip():
            self.fail(f"{value!r} is not NAME{self._sign}VALUE.", param, ctx)
        return name.strip(), text.strip() if self._sign == ":" else text


OBJECT = Json(mapping=True)


@click.group(cls=Kinds)
def generate_event() -> None:
    """Print an event as a trigger would send it.

    For example: eventflow generate-event bucket --key cat.jpg | eventflow invoke thumbnail --payload -
    """


Place = tuple[Settings, SystemClock]


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--time", "at", type=Instant(), metavar="TIME", help="When it happened, as in 2026-01-31T09:05:00Z; by default now."),
        click.option("--account-id", metavar="DIGITS", help="The account id; by default the settings'."),
        click.option("--region", help="The region; by default the settings'."),
    ):
        command = option(command)
    return command


def place(region: str | None, account_id: str | None, at: float | None) -> Place:
    clock = SystemClock() if at is None else StandingClock(at)
    return read_settings(Path.cwd(), {"region": region, "account_id": account_id}), clock


@generate_event.command("bucket")
@click.option("--bucket", default="uploads", show_default=True, help="The bucket's name.")
@click.option("--key", default="photo.jpg", show_default=True, help="The object's key, not URL-encoded.")
@click.option("--name", type=click.Choice(NAMES), default=NAMES[0], show_default=True, help="What happened.")
@click.option("--size", type=click.IntRange(0), default=1024, show_default=True, help="The object's size in bytes.")
@click.option("--etag", metavar="TEXT", help="The object's ETag, without quotes; by default one is made up.")
@click.option("--version-id", metavar="ID", help="The version, of a bucket that has versions.")
@click.option("--sequencer", metavar="TEXT", help="What tells the order of two events of one key; by default the time.")
@click.option("--principal", metavar="ID", help="Who did it; by default the account.")
@click.option("--function", default="generated", show_default=True, help="The function, which the event has as its configurationId.")
@click.option("--through", type=click.Choice(("bus", "queue")), help="As the bucket's notifications send it: to EventBridge, or to a queue.")
@click.option("--queue", default="events", show_default=True, help="The queue of --through queue.")
@place_options
def bucket(
    bucket: str, key: str, name: str, size: int, etag: str | None, version_id: str | None, sequencer: str | None, principal: str | None,
    function: str, through: str | None, queue: str, **where: Any
) -> None:  # fmt: skip
    """An object was created or removed (also: s3)."""
    settings, clock = place(**where)
    removed = name in REMOVALS
    event = s3_event(
        bucket=bucket,
        key=key,
        name=name,
        sequencer=sequencer or f"{int(clock.now() * 1000):018X}",
        region=settings.region,
        account=settings.account_id,
        time=clock.now(),
        request_id=clock.new_id(),
        configuration=function,
        size=None if removed else size,
        etag=None if removed else etag or hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(),
        version=version_id,
        principal=principal,
    )
    if through == "bus":
        print_json(told_by_bus(settings, clock, event))
    else:
        print_json(event if through is None else told_by_queue(settings, clock, event, queue))


@generate_event.command("schedule")
@click.option("--rule", default="rule", show_default=True, help="The rule's name in the event's ARN.")
@click.option("--input", "given", type=Json(), metavar="JSON", help="What a Schedule(..., input=...) sends in the place of the event.")
@place_options
def schedule(rule: str, given: Any, **where: Any) -> None:
    """An instant of a schedule has come (also: cron, events)."""
    settings, clock = place(**where)
    event = scheduled_event(id=clock.new_id(), time=clock.now(), account=settings.account_id, region=settings.region, rule=rule)
    print_json(event if given is None else given)


@generate_event.command("queue")
@click.option("--queue", default="orders", show_default=True, help="The queue's name; .fifo at its end makes it a FIFO queue.")
@click.option("--body", "bodies", multiple=True, default=("Hello",), help="A message's body; several make a batch.")
@click.option("--attribute", "attributes", type=Pair("="), multiple=True, metavar="NAME=VALUE", help="An attribute of the messages, a text.")
@click.option("--group", metavar="ID", help="The MessageGroupId.")
@click.option("--deduplication-id", metavar="ID", help="The MessageDeduplicationId of a FIFO queue's first message.")
@click.option("--receives", type=click.IntRange(1, MOST_RECEIVES), default=1, show_default=True, help="How often the messages have been received.")
@click.option("--trace", metavar="HEADER", help="The AWSTraceHeader.")
@place_options
def queue(queue: str, bodies: tuple[str, ...], attributes: Sequence[tuple[str, str]], **options: Any) -> None:
    """A batch of messages has come (also: sqs)."""
    settings, clock = place(*(options.pop(name) for name in ("region", "account_id", "at")))
    print_json(queue_event(settings, clock, queue, bodies, attributes=dict(attributes), **options))


@generate_event.command("stream")
@click.option("--table", default="orders", show_default=True, help="The table's name.")
@click.option("--key", default="id", show_default=True, metavar="NAME", help="The attribute that is the partition key.")
@click.option("--sort", metavar="NAME", help="The attribute that is the sort key.")
@click.option("--new", "news", type=OBJECT, multiple=True, metavar="JSON", help="An item after its change, as plain JSON; several make a batch.")
@click.option("--old", "olds", type=OBJECT, multiple=True, metavar="JSON", help="The item before it: without a --new in its place it was removed.")
@click.option("--view", type=click.Choice(VIEWS), default=VIEWS[0], show_default=True, help="What the stream shows of items.")
@click.option("--expired", is_flag=True, help="The items' time to live removed them.")
@place_options
def stream(table: str, key: str, sort: str | None, news: tuple[Any, ...], olds: tuple[Any, ...], view: str, expired: bool, **where: Any) -> None:
    """Items of a table were changed (also: dynamodb). Without --new and --old, one was put."""
    if expired and news:
        raise click.UsageError("--expired goes with --old alone: what its time to live removed is not there any more.")
    if not news and not olds:
        news, olds = ((), ({key: "1", **({sort: "1"} if sort else {})},)) if expired else (({key: "1", **({sort: "1"} if sort else {})},), ())
    count = max(len(news), len(olds))
    changes = [(olds[place] if place < len(olds) else None, news[place] if place < len(news) else None) for place in range(count)]
    settings, clock = place(**where)
    print_json(stream_event(settings, clock, table, [key, *([sort] if sort else [])], changes, view, expired=expired))


@generate_event.command("bus")
@click.option("--source", default="shop", show_default=True, help="Who says it.")
@click.option("--detail-type", default="sold", show_default=True, help="What it is.")
@click.option("--detail", type=OBJECT, default="{}", show_default=True, metavar="JSON", help="What is said: a JSON object.")
@click.option("--resource", "resources", multiple=True, metavar="ARN", help="What it is about; several may be given.")
@click.option("--id", "identifier", metavar="ID", help="The event's id; by default a new one.")
@place_options
def bus(source: str, detail_type: str, detail: Any, resources: tuple[str, ...], identifier: str | None, **where: Any) -> None:
    """An event was put on a bus (also: eventbridge)."""
    print_json(bus_event(*place(**where), source, detail_type, detail, resources, identifier))


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--stage-variable", "variables", type=Pair("="), multiple=True, metavar="NAME=VALUE", help="A variable of the stage."),
        click.option("--stage", metavar="NAME", help="The API's stage; by default $default, or prod of other APIs than HTTP APIs."),
        click.option(
            "--header", "headers", type=Pair(":"), multiple=True, metavar="NAME:VALUE", help="A header of the request; several may be given."
        ),
        click.option("--target", default="/items/7", show_default=True, help="The path that is asked for, with perhaps a query."),
        click.option("--route", default="GET /items/{id}", show_default=True, help="The route that leads to the function."),
    ):
        command = option(command)
    return place_options(command)


def body_options(command: Callable[..., Any]) -> Callable[..., Any]:
    claims = "What the authorizer said: '{\"lambda\": {...}}' or '{\"jwt\": {...}}' of HTTP APIs, the context itself elsewhere."
    command = click.option("--authorizer", type=OBJECT, metavar="JSON", help=claims)(command)
    return click.option("--body", default="", help="The request's body.")(command)


@generate_event.command("http")
@body_options
@request_options
def http(**options: Any) -> None:
    """A request has come to an HTTP API: payload 2.0 (also: httpapi)."""
    generator, asked = request_of(options)
    print_json(generator.request("HTTP", asked))


@generate_event.command("rest")
@body_options
@request_options
def rest(**options: Any) -> None:
    """A request has come to a REST API: payload 1.0 (also: apigateway)."""
    generator, asked = request_of(options)
    print_json(generator.request("REST", asked))


@generate_event.command("url")
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@click.option("--target", default="/", show_default=True, help="The path that is asked for, with perhaps a query.")
@click.option("--header", "headers", type=Pair(":"), multiple=True, metavar="NAME:VALUE", help="A header of the request; several may be given.")
@click.option("--body", default="", help="The request's body.")
@place_options
def url(method: str, target: str, **options: Any) -> None:
    """A request has come to a function URL: payload 2.0."""
    generator, asked = request_of({"route": f"{method.upper()} /", "target": target, **options})
    print_json(generator.request("URL", asked))


@generate_event.command("websocket")
@click.option("--route", default="$default", show_default=True, help="The route: $connect, $disconnect, $default or a key of messages.")
@click.option("--body", default='{"action": "hello"}', show_default=True, help="The message.")
@click.option("--query", default="", help="The query that was connected with, as in token=x.")
@click.option("--header", "headers", type=Pair(":"), multiple=True, metavar="NAME:VALUE", help="A header of the handshake; several may be given.")
@click.option("--authorizer", type=OBJECT, metavar="JSON", help="What the authorizer of $connect said.")
@click.option("--stage", metavar="NAME", help="The API's stage; by default prod.")
@click.option("--code", type=click.IntRange(1000, 4999), default=1000, show_default=True, help="Why a connection ended.")
@click.option("--reason", default="", help="The text that goes with the code.")
@place_options
def websocket(query: str, code: int, reason: str, **options: Any) -> None:
    """A connection to a WebSocket API was opened or closed, or has sent a message."""
    generator, asked = request_of({**options, "target": f"/?{query}" if query else "/"})
    print_json(generator.connection(asked, code, reason))


@generate_event.command("authorizer")
@click.option("--type", "kind", type=click.Choice(AUTHORIZERS), default="token", show_default=True, help="The authorizer's kind and payload.")
@click.option("--identity", "identity", multiple=True, default=("secret",), show_default=True, help="What an identity source gave: the token first.")
@request_options
def authorizer(kind: str, identity: tuple[str, ...], **options: Any) -> None:
    """A Lambda authorizer is asked."""
    if kind == "websocket":
        options |= {"route": "$connect", "target": "/"}
    generator, asked = request_of(options)
    print_json(generator.authorizer(kind, asked, identity))


@generate_event.command("destination")
@click.option("--condition", type=click.Choice(CONDITIONS), default="RetriesExhausted", show_default=True, help="How the event ended.")
@click.option("--function", default="function", show_default=True, help="The function's name.")
@click.option("--request", type=Json(), default="{}", metavar="JSON", help="The event; {} by default.")
@click.option("--response", type=Json(), metavar="JSON", help="What the function returned, or its error object.")
@click.option("--attempts", type=click.IntRange(0, 3), default=3, show_default=True, help="How often it ran.")
@place_options
def destination(condition: str, function: str, request: Any, response: Any, attempts: int, **where: Any) -> None:
    """An asynchronous event came to its end: what an on_success or on_failure function gets."""
    settings, clock = place(**where)
    record = destination_record(
        time=clock.now(),
        request_id=clock.new_id(),
        function_arn=f"arn:aws:lambda:{settings.region}:{settings.account_id}:function:{function}",
        condition=condition,
        invoke_count=attempts,
        request=request,
        response=response,
        function_error=None if condition == "Success" else "Unhandled",
    )
    print_json(record)


def request_of(options: Mapping[str, Any]) -> tuple[Generator, Asked]:
    from eventflow.gateway.generated import Asked, Generator

    given = dict(options)
    settings, clock = place(*(given.pop(name) for name in ("region", "account_id", "at")))
    variables, body = dict(given.pop("variables", ())), given.pop("body", "")
    return Generator(clock, settings.account_id, settings.region), Asked(**given, body=body.encode(), stage_variables=variables)
