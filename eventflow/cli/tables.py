"""``eventflow tables``: the tables of the daemon, and their items as lines of JSON, out and in."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from eventflow.cli.display import client_of, json_option, print_json, print_table, state_option
from eventflow.cli.status import client_variables
from eventflow.clock import BlockingClock
from eventflow.connection import DaemonError
from eventflow.errors import EventflowError

F = TypeVar("F", bound=Callable[..., Any])

#: Items in one request, as BatchWriteItem allows; and how often, and after how many seconds, what it could not do is tried again.
BATCH = 25
TRIES = 12
LONGEST_PAUSE = 5.0
#: No item of 400 KB has a longer line: in base64 and with every character escaped.
LONGEST_LINE = 16 * 1024 * 1024

region_option = click.option("--region", metavar="REGION", help="The region of the table; by default the daemon's.")


@click.group()
def tables() -> None:
    """List tables, and export and import their items."""


@tables.command("list")
@region_option
@state_option
@json_option
def list_tables(region: str | None, state: Path | None, as_json: bool) -> None:
    """List the tables: items, bytes, keys, indexes."""
    found = []
    with dynamodb(state, region) as client:
        for page in client.get_paginator("list_tables").paginate():
            found += [summary(client.describe_table(TableName=name)["Table"]) for name in page["TableNames"]]
    if as_json:
        print_json({"tables": found})
        return
    rows = [
        (each["name"], each["status"], each["items"], each["bytes"], ", ".join(each["key"]), ", ".join(each["indexes"]) or None) for each in found
    ]
    print_table(("TABLE", "STATUS", "ITEMS", "BYTES", "KEY", "INDEXES"), rows)


def summary(table: Mapping[str, Any]) -> dict[str, Any]:
    indexes = [index["IndexName"] for scope in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes") for index in table.get(scope, ())]
    return {
        "name": table["TableName"],
        "status": table["TableStatus"],
        "items": table["ItemCount"],
        "bytes": table["TableSizeBytes"],
        "key": [element["AttributeName"] for element in table["KeySchema"]],
        "indexes": indexes,
    }


@tables.command("export")
@click.argument("name")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to FILE, compressed if it ends in .gz.")
@region_option
@state_option
def export_table(name: str, output: Path | None, region: str | None, state: Path | None) -> None:
    """Write all items of a table as lines of DynamoDB JSON, {"Item": {...}} each, as AWS's exports have them."""
    with dynamodb(state, region) as client:
        if output is None:
            count = write_lines(items_of(client, name), sys.stdout.buffer)
        else:
            with whole_file(output) as stream:
                count = write_lines(items_of(client, name), stream)
    click.echo(f"{count} {'item' if count == 1 else 'items'} exported.", err=True)


def items_of(client: Any, table: str) -> Iterator[Mapping[str, Any]]:
    """Page by page: what is changed meanwhile is there as it was when its page was read."""
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def write_lines(items: Iterable[Mapping[str, Any]], stream: IO[bytes]) -> int:
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007 - the last number is the answer
        stream.write(json.dumps({"Item": item}, ensure_ascii=False, separators=(",", ":"), default=in_base64).encode() + b"\n")
    stream.flush()
    return count


def in_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all of it is on disk; before that, and after an error, whatever had the name is as it was."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as stream:
                    yield stream  # type: ignore[misc]  # it is an IO[bytes] in all that is used of it
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise EventflowError(f"{path} cannot be written: {error.strerror or error}. Make room, or name another file with --output.") from error
    finally:
        part.unlink(missing_ok=True)


@tables.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--from-line", type=click.IntRange(1), default=1, show_default=True, help="Begin with this line of the file.")
@region_option
@state_option
def import_table(name: str, file: Path, from_line: int, region: str | None, state: Path | None) -> None:
    """Put the items of an export into a table that is there; FILE is - for standard input, and is read as gzip if it ends in .gz.

    Lines are put in their order, and an item with a key that is known replaces the one that is there: to import a file twice does no harm. What
    was put before an error stays, and the error says with which line to go on.
    """
    with dynamodb(state, region) as client, source(file) as stream:
        count = Import(client, name).run(stream, from_line)
    click.echo(f"{count} {'item' if count == 1 else 'items'} imported.", err=True)


@contextmanager
def source(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream  # type: ignore[misc]  # as above
    except (OSError, EOFError) as error:
        raise EventflowError(f"{file} cannot be read: {error}.") from error


class Import:
    """Puts lines into one table, a batch at a time."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._key = [element["AttributeName"] for element in client.describe_table(TableName=table)["Table"]["KeySchema"]]
        self._clock = BlockingClock()

    def run(self, stream: IO[bytes], from_line: int) -> int:
        """How many lines were put."""
        count, first, batch = 0, from_line, dict[str, Any]()
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
            if number < from_line or not line.strip():
                continue
            try:
                item = item_of(line, number)
            except EventflowError:
                self._put(list(batch.values()), first)
                raise
            key = json.dumps([item.get(name) for name in self._key], default=in_base64)
            if key in batch or len(batch) == BATCH:  # a batch has no key twice
                self._put(list(batch.values()), first)
                batch, first = {}, number
            batch[key] = item
            count += 1
        self._put(list(batch.values()), first)
        return count

    def _put(self, items: list[Any], first: int) -> None:
        """Put a batch whole, however often that has to be tried; ``first`` is its first line."""
        from botocore.exceptions import BotoCoreError, ClientError

        requests = [{"PutRequest": {"Item": item}} for item in items]
        try:
            for attempt in range(TRIES):
                if not requests:
                    return
                requests = self._client.batch_write_item(RequestItems={self._table: requests})["UnprocessedItems"].get(self._table, [])
                if requests:
                    self._clock.pause(min(LONGEST_PAUSE, 0.1 * 2**attempt))
        except (ClientError, BotoCoreError) as error:
            raise EventflowError(
                f"{told(error)} All lines before {first} are imported: mend what follows, and go on with --from-line {first}."
            ) from error
        raise EventflowError(
            f"The table's provisioned throughput does not let the import go on. All lines before {first} are imported: "
            f"raise it with UpdateTable, and go on with --from-line {first}."
        )


def item_of(line: bytes, number: int) -> dict[str, Any]:
    """The item of a line, with binary as bytes."""
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError("it is longer than any item")
        found = json.loads(line)
        if not isinstance(found, dict) or not isinstance(found.get("Item"), dict):
            raise ValueError('it has no "Item"')
        return {name: with_bytes(value) for name, value in found["Item"].items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise EventflowError(
            f'Line {number} is no line of an export, {{"Item": {{...}}}}: {error}. '
            f"The lines before it are imported: mend it, and go on with --from-line {number}."
        ) from error


def with_bytes(value: Any) -> dict[str, Any]:
    """An attribute value with its base64 texts decoded."""
    ((kind, content),) = value.items()
    match kind:
        case "B":
            content = base64.b64decode(content, validate=True)
        case "BS":
            content = [base64.b64decode(member, validate=True) for member in content]
        case "L":
            content = [with_bytes(member) for member in content]
        case "M":
            content = {name: with_bytes(member) for name, member in content.items()}
    return {kind: content}


@contextmanager
def dynamodb(state: Path | None, region: str | None) -> Iterator[Any]:
    """A client of the daemon's own DynamoDB; its errors are sentences."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    variables = client_variables(client_of(state))
    client = get_session().create_client(
        "dynamodb",
        region_name=region or variables["AWS_REGION"],
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard", "total_max_attempts": TRIES}),
    )
    try:
        yield client
    except (ClientError, BotoCoreError) as error:
        raise DaemonError(told(error)) from error
    finally:
        client.close()


def told(error: Any) -> str:
    said = getattr(error, "response", {}).get("Error", {})
    return f"{said['Code']}: {said.get('Message', '')}." if said else f"{error}."
