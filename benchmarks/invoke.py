"""The synchronous invoke over HTTP: a no-op function through the Lambda API, signed and verified, beside the same server's bare echo."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import ministack_peer
from benchmarks.echo import echo_server
from benchmarks.measure import Figure, Value
from benchmarks.throughput import CODE, PAYLOAD
from benchmarks.wrk import Raw, Target, load, medians, script
from tests.process.daemon_process import daemon

PEER_SECONDS = 8
CLIENTS = 32


def signed(url: str, access_key: str, secret_key: str) -> dict[str, str]:
    """The headers of an invocation as boto3 signs it; they are good for fifteen minutes."""
    request = AWSRequest("POST", url, data=PAYLOAD, headers={"Content-Type": "application/json", "Host": url.split("/")[2]})
    SigV4Auth(Credentials(access_key, secret_key), "lambda", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def target(url: str, path: Path, access_key: str, secret_key: str) -> Target:
    """An invocation, signed for the next quarter of an hour."""
    return Target(url, script(path, [Raw("POST", urlsplit(url).path, signed(url, access_key, secret_key), PAYLOAD)]))


@contextmanager
def ours(folder: Path) -> Iterator[Target]:
    with daemon(folder, CODE) as process:
        process.start()
        credentials = json.loads((process.state / "credentials.json").read_text())
        url = f"{process.facts['url']}/2015-03-31/functions/noop/invocations"
        yield target(url, folder / "ours.lua", credentials["access_key_id"], credentials["secret_access_key"])
        process.stop()


@contextmanager
def bare_echo(folder: Path) -> Iterator[Target]:
    with echo_server() as url:
        yield target(f"{url}/2015-03-31/functions/noop/invocations", folder / "echo.lua", "AKIDEXAMPLE", "secret")


def peers() -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """MiniStack's median latency at one client, and its requests a second at many."""
    program = ministack_peer.command()
    if program is None:
        print("skipped: MiniStack is not installed (make setup-bench)", flush=True)
        return (), ()
    with ministack_peer.ministack(program) as url, tempfile.TemporaryDirectory() as name:
        address = f"{url}/2015-03-31/functions/noop/invocations"
        peer = target(address, Path(name) / "peer.lua", "test", "test")
        one, many = load(peer, 1), load(peer, CLIENTS, PEER_SECONDS)
    return (Value(ministack_peer.NAME, one.p50),), (Value(ministack_peer.NAME, many.rate),) if many.rate else ()


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    with tempfile.TemporaryDirectory() as name, ours(Path(name)) as mine, bare_echo(Path(name)) as bare:
        one, one_bare = medians([mine, bare], 1)
        many, many_bare = medians([mine, bare], CLIENTS)
    limit = "bare echo on the same server"
    peers_one, peers_many = peers()
    return [
        Figure("invoke over HTTP, signed, one client, p50", "ms", one.p50, limit=one_bare.p50, limit_name=limit, peers=peers_one),
        Figure("the same, above the echo", "ms", one.p50 - one_bare.p50),
        Figure(f"invoke over HTTP, signed, {CLIENTS} clients", "requests/s", many.rate, limit=many_bare.rate, limit_name=limit, peers=peers_many),
    ]
