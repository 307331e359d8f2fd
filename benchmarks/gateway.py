"""The API gateway: a route whose function returns a constant, beside the same server's bare echo; among ten routes and among a thousand."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks import gateway_peers
from benchmarks.echo import echo_server
from benchmarks.measure import Figure, Value
from benchmarks.wrk import Raw, Target, medians, script, warm_up
from tests.process.daemon_process import daemon

CLIENTS = 32
PEER_SECONDS = 4
CODE = """
from triggers import Http

def constant(event, context):
    return {"hello": "world"}

app.on(Http("GET /constant"))(constant)
for number in range(ROUTES - 1):
    app.on(Http(f"GET /v{number}/items/{{id}}"))(constant)
"""


def target(url: str, folder: Path, name: str) -> Target:
    return Target(url, script(folder / f"{name}.lua", [Raw("GET", "/constant", {}, b"")]))


@contextmanager
def ours(folder: Path, routes: int) -> Iterator[Target]:
    (folder / str(routes)).mkdir()
    with daemon(folder / str(routes), CODE.replace("ROUTES", str(routes))) as process:
        process.start("--gateway-port", "0", "--gateway-rate", "1000000", "--gateway-burst", "1000000")
        yield target(f"{process.facts['gateway']}/constant", folder, str(routes))
        process.stop()


@contextmanager
def bare_echo(folder: Path) -> Iterator[Target]:
    with echo_server() as url:
        yield target(f"{url}/constant", folder, "echo")


def peer(name: str, program: str | None, serving: Callable[[str], AbstractContextManager[str]], folder: Path) -> tuple[Value, ...]:
    """Its requests a second at many clients."""
    if program is None:
        print(f"skipped: {name} is not installed (make setup-bench)", flush=True)
        return ()
    try:
        with serving(program) as url:
            one = target(url, folder, name.replace(" ", "-"))
            warm_up(one, CLIENTS)
            (found,) = medians([one], CLIENTS, PEER_SECONDS)
            assert found.rate, f"no answer in {PEER_SECONDS} s"
            return (Value(name, found.rate),)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"skipped: {name} did not answer as it should: {str(error)[:200]}", flush=True)
        return ()


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ours(folder, 10) as few, ours(folder, 1000) as many, bare_echo(folder) as bare:
            one, one_bare = medians([few, bare], 1)
            crowd, crowd_many, crowd_bare = medians([few, many, bare], CLIENTS)
        peers = peer(gateway_peers.CHALICE, gateway_peers.chalice_program(), gateway_peers.chalice, folder)
        peers += peer(gateway_peers.OFFLINE, gateway_peers.offline_program(), gateway_peers.offline, folder)
    limit = "bare echo on the same server"
    return [
        Figure("GET of a constant function, one client, p50", "ms", one.p50, limit=one_bare.p50, limit_name=limit),
        Figure("the same, above the echo", "ms", one.p50 - one_bare.p50),
        Figure(f"the same, {CLIENTS} clients", "requests/s", crowd.rate, limit=crowd_bare.rate, limit_name=limit, peers=peers),
        Figure(f"the same, {CLIENTS} clients, p99 beside p50", "ms", crowd.p99, limit=crowd.p50, limit_name="p50"),
        Figure("the same, among 1,000 routes", "requests/s", crowd_many.rate, peer=crowd.rate, peer_name="among 10 routes"),
    ]
