"""Small questions to large stores: a query in a table of 10,000,000 items, a receive from a queue of 1,000,000 messages, a page of a bucket of
1,000,000 objects, each beside the same question to a small one. Takes some five minutes and 5 GB below ``TMPDIR``, so it runs only when named.
``SIZE=0.1`` asks for a tenth of all.
"""

import http.client
import os
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Figure
from benchmarks.tree import peak_of
from eventflow.services.tables.items import INSERT as INSERT_ITEM
from eventflow.services.tables.keys import RowKey, encode
from tests.process.daemon_process import DaemonProcess, daemon

SIZE = float(os.environ.get("SIZE", "1"))
ITEMS, MESSAGES, OBJECTS = int(10_000_000 * SIZE), int(1_000_000 * SIZE), int(1_000_000 * SIZE)
FEW = 1_000
#: Items that share a hash key.
TOGETHER = 10
OBJECTS_A_FOLDER = 1_000
CALLS = 200
PAGES = 20
BODY = "x" * 100
CACHE_KB = 200_000
MESSAGE = "INSERT INTO queue_messages (queue, visible_at, sent_at, message_id, sender) VALUES (?, ?, ?, ?, 'benchmark')"
MESSAGE_BODY = "INSERT INTO queue_bodies (id, body) SELECT id, ? FROM queue_messages WHERE queue = ?"


def make_table(client: Any, name: str) -> None:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )


def items(table: int, many: int) -> Iterator[tuple[int, int, bytes, bytes, str, int, int]]:
    """Rows of a table in the order of their index, near enough: in any other order each is written to another page, which takes hours."""
    sorts = [encode({"N": str(number)}) for number in range(TOGETHER)]
    for group in sorted(range(many // TOGETHER), key=lambda group: key_of(group).slot):
        key, text = key_of(group), f"group-{group}"
        for number, sort in enumerate(sorts):
            body = f'{{"pk":{{"S":"{text}"}},"sk":{{"N":"{number}"}},"text":{{"S":"{BODY}"}}}}'
            yield table, key.slot, key.hash, sort, body, 0, 120


def key_of(group: int) -> RowKey:
    return RowKey(f"group-{group}".encode(), b"")


def fill(state: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """Write items and messages as the services would have; ``sizes`` are those of the tables and queues of each name."""
    connection = sqlite3.connect(state / "eventflow.db", isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):  # if this breaks off, all of it is thrown away
        connection.execute(f"PRAGMA {setting}").fetchall()
    now = int(time.time() * 1000)
    for name, (many_items, many_messages) in sizes.items():
        connection.execute("BEGIN")
        (table,) = connection.execute("SELECT id FROM tables WHERE name = ?", (name,)).fetchone()
        connection.executemany(INSERT_ITEM, items(table, many_items))
        (queue,) = connection.execute("SELECT id FROM queues WHERE name = ?", (name,)).fetchone()
        connection.executemany(MESSAGE, ((queue, now, now, str(uuid.uuid4())) for _ in range(many_messages)))
        connection.execute(MESSAGE_BODY, (BODY, queue))
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


def make_objects(bucket: Path, many: int) -> None:
    """Empty files in folders of a thousand, put there by hand."""
    for first in range(0, many, OBJECTS_A_FOLDER):
        folder = bucket / f"{first // OBJECTS_A_FOLDER:04}"
        folder.mkdir()
        for number in range(min(OBJECTS_A_FOLDER, many - first)):
            os.close(os.open(folder / f"object-{number:04}", os.O_WRONLY | os.O_CREAT))


def milliseconds(call: Callable[[int], Any], calls: int = CALLS) -> float:
    """The median of so many calls, one after another."""
    times = []
    for number in range(calls):
        begin = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def query(process: DaemonProcess, table: str, many: int) -> float:
    client, groups = process.client("dynamodb"), many // TOGETHER

    def call(number: int) -> None:
        value = {":pk": {"S": f"group-{number * 7919 % groups}"}}
        found = client.query(TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=value)
        assert found["Count"] == TOGETHER

    return milliseconds(call)


def receive(process: DaemonProcess, queue: str) -> float:
    client = process.client("sqs")
    url = client.get_queue_url(QueueName=queue)["QueueUrl"]

    def call(_number: int) -> None:
        assert len(client.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]) == 1

    return milliseconds(call)


def page(process: DaemonProcess, bucket: str, many: int) -> float:
    """Asked for with a presigned address: most of what a page takes through boto3 is boto3 reading the answer."""
    client, folders = process.client("s3"), many // OBJECTS_A_FOLDER
    place = urlsplit(process.facts["url"])
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    afters = [f"{number * 31 % max(1, folders - 1):04}/object-0500" if folders > 1 else "" for number in range(PAGES)]
    addresses = [client.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "StartAfter": after}) for after in afters]

    def call(number: int) -> None:
        connection.request("GET", addresses[number].removeprefix(process.facts["url"]))
        answer = connection.getresponse().read()
        assert answer.count(b"<Key>") == min(1000, many), answer[:1000]

    milliseconds(call, PAGES)  # files that nobody asked for before are read for their ETags, once
    return milliseconds(call, PAGES)


@contextmanager
def timed(what: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    print(f"  {what}: {time.perf_counter() - begin:.0f} s", flush=True)


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, daemon(Path(name), "") as process:
        process.start()
        for size in ("few", "many"):
            make_table(process.client("dynamodb"), size)
            process.client("sqs").create_queue(QueueName=size)
            process.client("s3").create_bucket(Bucket=f"{size}-objects")
        process.stop()
        with timed(f"{ITEMS:,} items and {MESSAGES:,} messages written"):
            fill(process.state, {"few": (FEW, FEW), "many": (ITEMS, MESSAGES)})
        with timed(f"{OBJECTS:,} files made"):
            make_objects(process.bucket("few-objects"), FEW)
            make_objects(process.bucket("many-objects"), OBJECTS)
        with timed("on the disk"):
            os.sync()  # else the daemon's own syncs wait for it
        with timed("daemon started"):
            process.start()
        found = []
        for what, ask, many in (
            (f"query of ten items among {ITEMS:,} through boto3", lambda size, many: query(process, size, many), ITEMS),
            (f"receive from {MESSAGES:,} messages through boto3", lambda size, _many: receive(process, size), MESSAGES),
            (f"list 1,000 keys of {OBJECTS:,}", lambda size, many: page(process, f"{size}-objects", many), OBJECTS),
        ):
            with timed(what):
                few = ask("few", FEW)
                found.append(Figure(f"{what}, p50", "ms", ask("many", many), few, f"of {FEW:,}"))
        found.append(Figure("the daemon's memory at its highest meanwhile", "MB", peak_of(process)))
        process.stop()
        print("  taking it all away ...", flush=True)
    return found
