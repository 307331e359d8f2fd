"""The data services over HTTP: requests as boto3 signs them, sent by wrk, to a daemon that verifies and stores, and to others that do neither.

Each workload is a few hundred different requests that are sent again and again. Runs only when it is named: it takes ten minutes.
"""

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks import service_peers
from benchmarks.echo import echo_server
from benchmarks.measure import RUNS, Figure, Value, percentile
from benchmarks.wrk import Load, Raw, Target, load, medians, script
from tests.process.daemon_process import daemon

CLIENTS = 32
KEYS = 400
MESSAGES = 6_000
TEXT = "x" * 240
OBJECT = b"0123456789abcdef" * 640
#: Headers that say how the connection is to be used, which is wrk's to say.
HOP = frozenset(("expect", "connection", "content-length", "transfer-encoding"))


class Captured(Exception):
    """Not an error: the request that boto3 was about to send."""

    def __init__(self, request: Any) -> None:
        self.request = request


@dataclass(frozen=True)
class Place:
    """One server under test: its address and the keys that it knows."""

    name: str
    url: str
    access_key: str = "test"
    secret_key: str = "test"

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return make(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=config,
        )

    def raw(self, service: str, operation: str, many: list[dict[str, Any]]) -> list[Raw]:
        """The requests of these calls as they would go over the wire, signed for the next quarter of an hour."""
        client, found = self.client(service), []

        def capture(request: Any, **_: Any) -> None:
            raise Captured(request)

        client.meta.events.register("before-send", capture)
        for parameters in many:
            try:
                getattr(client, operation)(**parameters)
            except Captured as captured:
                found.append(raw_of(captured.request))
        return found


def raw_of(request: Any) -> Raw:
    url = urlsplit(request.url)
    headers = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items() if name.lower() not in HOP}
    body = request.body
    if hasattr(body, "read"):
        body = body.read()
    return Raw(request.method, url.path + (f"?{url.query}" if url.query else ""), headers | {"Host": url.netloc}, body or b"")


def key(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"item-{number}"}, "sk": {"N": "0"}}


def make_table(place: Place) -> None:
    client = place.client("dynamodb")
    client.create_table(
        TableName="bench",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName="bench", WaiterConfig={"Delay": 1})
    for number in range(KEYS):
        client.put_item(TableName="bench", Item=key(number) | {"text": {"S": TEXT}, "count": {"N": "0"}})
        if number < KEYS // 10:
            for sort in range(10):
                client.put_item(TableName="bench", Item={"pk": {"S": f"ten-{number}"}, "sk": {"N": str(sort)}, "text": {"S": TEXT[:100]}})


def put_item(place: Place) -> list[Raw]:
    items = [{"TableName": "bench", "Item": key(number) | {"text": {"S": TEXT}, "count": {"N": str(number)}}} for number in range(KEYS)]
    return place.raw("dynamodb", "put_item", items)


def get_item(place: Place) -> list[Raw]:
    return place.raw("dynamodb", "get_item", [{"TableName": "bench", "Key": key(number)} for number in range(KEYS)])


def update_item(place: Place) -> list[Raw]:
    update = {
        "UpdateExpression": "SET #c = #c + :one, seen = :now",
        "ExpressionAttributeNames": {"#c": "count"},
        "ExpressionAttributeValues": {":one": {"N": "1"}, ":now": {"S": "now"}},
    }
    return place.raw("dynamodb", "update_item", [{"TableName": "bench", "Key": key(number), **update} for number in range(KEYS)])


def query(place: Place) -> list[Raw]:
    values = [{":pk": {"S": f"ten-{number}"}} for number in range(KEYS // 10)]
    many = [{"TableName": "bench", "KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": value} for value in values]
    return place.raw("dynamodb", "query", many)


def make_queue(place: Place, name: str = "bench") -> str:
    return str(place.client("sqs").create_queue(QueueName=name)["QueueUrl"])


def send_message(place: Place) -> list[Raw]:
    url = make_queue(place, "sent")
    return place.raw("sqs", "send_message", [{"QueueUrl": url, "MessageBody": f"{number} {TEXT}"} for number in range(KEYS)])


def filled(place: Place, name: str) -> str:
    url, client = make_queue(place, name), place.client("sqs")
    for first in range(0, MESSAGES, 10):
        entries = [{"Id": str(number), "MessageBody": f"{number} {TEXT}"} for number in range(first, first + 10)]
        client.send_message_batch(QueueUrl=url, Entries=entries)
    return url


def receive_message(place: Place) -> list[Raw]:
    """A message that was received is there again after a second, so that there are always some."""
    url = filled(place, "received")
    return place.raw("sqs", "receive_message", [{"QueueUrl": url, "VisibilityTimeout": 1}] * 4)


def delete_message(place: Place) -> list[Raw]:
    """One request for each message that there is: run it for no longer than they last."""
    url, client = filled(place, f"deleted-{time.monotonic_ns()}"), place.client("sqs")
    handles: list[str] = []
    while len(handles) < MESSAGES:
        found = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=3600).get("Messages", [])
        if not found:
            break
        handles += [message["ReceiptHandle"] for message in found]
    return place.raw("sqs", "delete_message", [{"QueueUrl": url, "ReceiptHandle": handle} for handle in handles])


def make_bucket(place: Place) -> None:
    client = place.client("s3")
    client.create_bucket(Bucket="bench")
    for number in range(KEYS):
        client.put_object(Bucket="bench", Key=f"object-{number}", Body=OBJECT)


def put_object(place: Place) -> list[Raw]:
    return place.raw("s3", "put_object", [{"Bucket": "bench", "Key": f"object-{number}", "Body": OBJECT} for number in range(KEYS)])


def get_object(place: Place) -> list[Raw]:
    return place.raw("s3", "get_object", [{"Bucket": "bench", "Key": f"object-{number}"} for number in range(KEYS)])


@dataclass(frozen=True)
class Workload:
    """``seconds`` is how long one run may take: until its requests are used up, where each is good for once."""

    name: str
    service: str
    requests: Callable[[Place], list[Raw]]
    seconds: int = 2
    again: bool = True


WORKLOADS = (
    Workload("put item", "dynamodb", put_item),
    Workload("get item", "dynamodb", get_item),
    Workload("update item", "dynamodb", update_item),
    Workload("query of ten items", "dynamodb", query),
    Workload("send message", "sqs", send_message),
    Workload("receive message", "sqs", receive_message),
    Workload("delete message", "sqs", delete_message, seconds=1, again=False),
    Workload("put object of 10 KB", "s3", put_object),
    Workload("get object of 10 KB", "s3", get_object),
)
MAKE: dict[str, Callable[[Place], Any]] = {"dynamodb": make_table, "sqs": make_queue, "s3": make_bucket}


@contextmanager
def ours(folder: Path) -> Iterator[Place]:
    with daemon(folder, "") as process:
        process.start()
        credentials = json.loads((process.state / "credentials.json").read_text())
        yield Place("eventflow", process.facts["url"], credentials["access_key_id"], credentials["secret_access_key"])
        process.stop()


def loads(workload: Workload, places: list[Place], folder: Path, clients: int) -> list[Load]:
    """The medians of several runs of each place, taken in turn."""
    if workload.again:
        return medians([target(workload, place, folder) for place in places], clients, workload.seconds)
    runs = [[load(target(workload, place, folder), clients, workload.seconds) for _ in range(RUNS)] for place in places]
    return [Load(*map(statistics.median, zip(*each, strict=True))) for each in runs]


def target(workload: Workload, place: Place, folder: Path) -> Target:
    return Target(place.url, script(folder / f"{place.name}.lua", workload.requests(place)))


def answering(workload: Workload, places: list[Place], folder: Path) -> list[Place]:
    """Ours, and of the others those that answer this as they should: after minutes nothing is to end because one does not."""
    found = places[:1]
    for place in places[1:]:
        try:
            if workload.again:
                load(target(workload, place, folder), CLIENTS, 1)
            found.append(place)
        except (AssertionError, BotoCoreError, ClientError, subprocess.SubprocessError) as error:
            print(f"skipped: {place.name}, {workload.name}: {str(error)[:200]}", flush=True)
    return found


def limits(place: Place, folder: Path) -> tuple[Load, Load]:
    """What the same server does with such requests when it only sends them back: for one client, and for many."""
    with echo_server() as url:
        bare = Target(url, script(folder / "echo.lua", put_item(place)))
        (one,), (many,) = medians([bare], 1), medians([bare], CLIENTS)
    return one, many


def through_boto3(place: Place) -> dict[str, float]:
    """Milliseconds of a call through boto3, one after another, median: what a program sees."""
    dynamodb, s3 = place.client("dynamodb"), place.client("s3")
    calls: dict[str, Callable[[int], Any]] = {
        "put item": lambda number: dynamodb.put_item(TableName="bench", Item=key(number) | {"text": {"S": TEXT}}),
        "get item": lambda number: dynamodb.get_item(TableName="bench", Key=key(number)),
        "put object of 10 KB": lambda number: s3.put_object(Bucket="bench", Key=f"object-{number}", Body=OBJECT),
        "get object of 10 KB": lambda number: s3.get_object(Bucket="bench", Key=f"object-{number}")["Body"].read(),
    }
    found = {}
    for name, call in calls.items():
        times = []
        for number in range(KEYS):
            begin = time.perf_counter()
            call(number)
            times.append((time.perf_counter() - begin) * 1000)
        found[name] = percentile(times, 50)
    return found


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mine = stack.enter_context(ours(folder))
        peers = [Place(name, url, *keys) for name, url, *keys in stack.enter_context(service_peers.running(folder))]
        served = {place: services_of(place) for place in (mine, *peers)}
        for place, services in served.items():
            for service in services:
                MAKE[service](place)
        limit = limits(mine, folder)
        for workload in WORKLOADS:
            places = answering(workload, [place for place, services in served.items() if workload.service in services], folder)
            one, many = loads(workload, places, folder, 1), loads(workload, places, folder, CLIENTS)
            found += rows(workload.name, places, (one, many), limit)
            print(f"  {workload.name}: {many[0].rate:,.0f}/s", flush=True)
        boto = {place.name: through_boto3(place) for place in (mine, *peers) if {"dynamodb", "s3"} <= services_of(place)}
    for name, milliseconds in boto["eventflow"].items():
        others = tuple(Value(peer, times[name]) for peer, times in boto.items() if peer != "eventflow")
        found.append(Figure(f"{name} through boto3, one client, p50", "ms", milliseconds, peers=others))
    return found


def rows(name: str, places: list[Place], loads: tuple[list[Load], list[Load]], limits: tuple[Load, Load]) -> list[Figure]:
    (one, many), (one_bare, many_bare) = loads, limits
    latency = tuple(Value(place.name, load.p50) for place, load in zip(places[1:], one[1:], strict=True))
    rate = tuple(Value(place.name, load.rate) for place, load in zip(places[1:], many[1:], strict=True))
    limit = "bare echo on the same server"
    return [
        Figure(f"{name}, one client, p50", "ms", one[0].p50, limit=one_bare.p50, limit_name=limit, peers=latency),
        Figure(f"{name}, {CLIENTS} clients", "requests/s", many[0].rate, limit=many_bare.rate, limit_name=limit, peers=rate),
    ]


def services_of(place: Place) -> frozenset[str]:
    return service_peers.SERVICES.get(place.name, frozenset(MAKE))
