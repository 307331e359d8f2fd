"""Layers at /opt, where the machine permits it, and without that."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from eventflow.runtime import opt
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged, write

OURSELVES = f"python3.{sys.version_info.minor}"
PYTHON = """
import os
def read(path):
    return open(path).read() if os.path.exists(path) else None
def handler(event, context):
    import beside
    return [read("/opt/data/words"), read("/opt/data/other"), beside.NAME, sorted(set(event["there"]) - set(os.listdir("/opt")))]
"""
SHELL = """#!/bin/bash
set -e
API=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  ID=$(curl -sS -D - -o /dev/null $API/next | tr -d '\\r' | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //Ip')
  curl -sS -o /dev/null -d "\\"$(cat /opt/data/words 2>/dev/null)\\"" $API/$ID/response
done
"""
permitted = pytest.mark.skipif(not opt.works(), reason="this machine lets no process have mounts of its own")
#: Lets go of root, and says what it sees of the layers, and which signal it gets when its parent ends.
AS_NOBODY = """
import ctypes, os, sys
from eventflow.runtime import child, opt
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
child.prctl(4, 1)  # its files below /proc are its own, as after a start as this user
child.die_with_parent()
if sys.argv[1] == "denied":
    opt.say = lambda file, text: file == "setgroups"
shown = opt.show(sys.argv[2:])
signal = ctypes.c_int()
child.prctl(2, ctypes.byref(signal))
print(shown, open("/opt/data/words").read() if shown else "-", os.geteuid(), signal.value)
"""


def layers(folder: Path) -> tuple[Path, Path]:
    below = write(folder / "below", {"data/words": "below", "data/other": "other", "python/beside.py": "NAME = 'layer'\n"})
    return below, write(folder / "above", {"data/words": "above"})


@permitted
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_functions_see_their_layers_at_opt_and_nobody_else_does(tmp_path: Path) -> None:
    there = sorted(path.name for path in Path(opt.OPT).iterdir())

    async def work(spine: Spine) -> None:
        event = f'{{"there": {there!r}}}'.replace("'", '"').encode()
        assert (await spine.invoke("f", event)).value() == ["above", "other", "layer", []]
        assert (await spine.invoke("shell")).value() == "above"
        assert (await spine.invoke("bare")).value() == ""

    functions = [
        packaged(tmp_path, OURSELVES, {"app.py": PYTHON}, layers=layers(tmp_path), timeout=60),
        packaged(tmp_path, "provided.al2023", {"bootstrap": SHELL}, name="shell", layers=layers(tmp_path), timeout=60),
        packaged(tmp_path, "provided.al2023", {"bootstrap": SHELL}, name="bare", timeout=60),
    ]
    with_packages(tmp_path, functions, work)
    assert sorted(path.name for path in Path(opt.OPT).iterdir()) == there


@pytest.mark.slow
def test_where_they_cannot_be_shown_they_are_found_where_they_lie(tmp_path: Path) -> None:
    """A folder whose name an overlay cannot be told stands for a machine that permits none."""

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f", b'{"there": []}')).value() == [None, None, "layer", []]

    folder = tmp_path / "a,b"
    with_packages(tmp_path, [packaged(tmp_path, OURSELVES, {"app.py": PYTHON}, layers=layers(folder), timeout=60)], work)


@permitted
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can let go of root")
def test_who_is_not_root_has_a_user_namespace_for_it() -> None:
    """Where it may be begun and not be ended, as with AppArmor's restrictions, the process stays what it was."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        found = layers(folder)
        for one in [folder, *folder.rglob("*")]:
            one.chmod(0o755)
        told = {}
        for how in ("permitted", "denied"):
            ran = subprocess.run([sys.executable, "-c", AS_NOBODY, how, *map(str, found)], capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
            told[how] = ran.stdout.split()
    nothing = ["False", "-", "12345", "9"]
    assert told["permitted"] in (["True", "above", "12345", "9"], nothing)
    assert told["denied"] == nothing
