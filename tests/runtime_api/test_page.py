"""The functions on the page about languages do what it says."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from eventflow.function import Function
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged

PAGE = Path(__file__).parents[2] / "docs" / "languages.md"
BLOCK = re.compile(r"^```(\w+)\n(?P<text>(?:#![^\n]*\n)?(?://|#) (?P<name>\S+)\n.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, ("node", "bash", "curl"))), reason="there is no node, no bash or no curl on this machine")
def test_the_pages_functions(tmp_path: Path) -> None:
    texts = {block["name"]: block["text"] for block in BLOCK.finditer(PAGE.read_text())}
    functions: list[Function] = [
        packaged(tmp_path, "nodejs20.x", {"index.mjs": texts.pop("index.mjs")}, "index.handler", name="node", memory=256, timeout=60),
        packaged(tmp_path, "provided.al2023", {"bootstrap": texts.pop("bootstrap")}, name="shell", timeout=60),
        packaged(
            tmp_path,
            "provided.al2023",
            {"bootstrap": texts.pop("awslambdaric").replace("python3", sys.executable), "app.py": "def handler(event, context):\n    return event"},
            name="client",
            timeout=60,
        ),
    ]
    assert not texts

    async def work(spine: Spine) -> None:
        event = json.dumps({"name": "error"}).encode()
        assert (await spine.invoke("node", event)).value() == {"greeting": "hello error", "from": "node"}
        assert "\tINFO\tasked by error" in spine.log_text("node")
        assert (await spine.invoke("shell", event)).value() == {"shell": {"name": "error"}}
        assert "an error is coming" in spine.log_text("shell")
        assert (await spine.invoke("client", event)).value() == {"name": "error"}

    with_packages(tmp_path, functions, work)
