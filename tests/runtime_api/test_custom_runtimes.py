"""Runtimes that are programs of their own: a ``bootstrap`` in the function's folder, which speaks the Runtime API."""

from pathlib import Path

from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged

BASH = """
#!/bin/sh
set -euo pipefail
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  headers="$(mktemp)"
  event=$(curl -sS -LD "$headers" "$api/invocation/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  [[ "$event" == *"x"* ]] && echo "has an x" > /dev/stderr
  echo "handling $event" >&2
  curl -sS "$api/invocation/$id/response" -d "Echoing request: '$event'" > /dev/null
done
"""


def test_first(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided.al2023", {"bootstrap": BASH})

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f", b'{"a": "x"}')
        assert outcome.payload == b"""Echoing request: '{"a": "x"}'"""
        outcome = await spine.invoke("f", b'{"a": 2}')

    with_packages(tmp_path, [function], work)
