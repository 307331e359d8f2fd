"""Other servers of the same APIs: MiniStack and moto from the Python index, dynalite (DynamoDB) and s3rver (S3) from npm.

None stores durably here, and only s3rver looks at signatures.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import ministack_peer
from benchmarks.server import free_port, started

NODE = Path(__file__).parents[1] / ".venv" / "peers" / "node" / "node_modules" / ".bin"
#: What a peer serves of what is measured; those that are not named here serve all of it.
#: moto takes minutes to be sent the thousands of messages that are to be received: what it does for one grows with their number.
SERVICES = {"dynalite": frozenset({"dynamodb"}), "s3rver": frozenset({"s3"}), "moto": frozenset({"dynamodb", "s3"})}
#: Name, address, access key and secret.
Peer = tuple[str, str, str, str]


def commands(folder: Path) -> dict[str, tuple[list[str], int, tuple[str, str]]]:
    """What starts each peer that is installed, its port, and the keys it takes."""
    found: dict[str, tuple[list[str], int, tuple[str, str]]] = {}
    ministack = ministack_peer.command()
    if ministack is not None:
        found["MiniStack"] = ([ministack], free_port(), ("test", "test"))
    port = free_port()
    found["moto"] = ([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, ("test", "test"))
    node = shutil.which("node")
    if node is not None and (NODE / "dynalite").exists():
        port = free_port()
        found["dynalite"] = ([node, str(NODE / "dynalite"), "--port", str(port), "--createTableMs", "0"], port, ("test", "test"))
        port = free_port()
        found["s3rver"] = ([node, str(NODE / "s3rver"), "-d", str(folder / "s3rver"), "-p", str(port), "--silent"], port, ("S3RVER", "S3RVER"))
    for name in ("MiniStack", "dynalite", "s3rver"):
        if name not in found:
            print(f"skipped: {name} is not installed (make setup-bench)", flush=True)
    return found


@contextmanager
def running(folder: Path) -> Iterator[list[Peer]]:
    """All peers that are installed, each on a port of its own."""
    (folder / "s3rver").mkdir()
    with ExitStack() as stack:
        peers: list[Peer] = []
        for name, (command, port, keys) in commands(folder).items():
            stack.enter_context(started(command, port, folder, GATEWAY_PORT=str(port)))
            peers.append((name, f"http://127.0.0.1:{port}", *keys))
        yield peers
