"""Libraries of packaged functions that are loaded before an environment is asked for, with real processes."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventflow.runtime.runtimes import OURSELVES
from tests.process.daemon_process import alive
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find whose child an environment is")

#: The library takes longer than what is worth a process, in the only way that is the same on every machine.
LIBRARY = "import logging, os, time\nPID = os.getpid()\nlogging.getLogger().addHandler(logging.NullHandler())\ntime.sleep(0.05)\n"
RECORD = "slowly/__init__.py,,\nslowly-1.0.dist-info/RECORD,,\n"
HANDLER = """
import logging, os, tempfile
import slowly, beside
def handler(event, context):
    logging.warning("from %d with %d", os.getpid(), len(logging.getLogger().handlers))
    if "wait" in event:
        while not os.path.exists(event["wait"]):
            pass
    return {"library": slowly.PID, "beside": beside.PID, "pid": os.getpid(), "parent": os.getppid(), "mine": os.environ["MINE"],
            "stream": context.log_stream_name, "variable": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], "tmp": tempfile.gettempdir()}
"""


def function_with(folder: Path, library: str = LIBRARY, record: str = RECORD) -> Any:
    files = {"app.py": HANDLER, "beside.py": "import os\nPID = os.getpid()\n", "slowly/__init__.py": library, "slowly-1.0.dist-info/RECORD": record}
    return packaged(folder, OURSELVES, files, environment={"MINE": "set"})


async def anew(spine: Spine) -> dict[str, Any]:
    """What an environment tells that has just started: those before it are gone."""
    for environment in spine.environments("f"):
        await spine.until(lambda one=environment: one.pid)
        environment.kill()
    await spine.until(lambda: not spine.environments("f"))
    return dict((await spine.invoke("f")).value())


async def preloaded(spine: Spine) -> dict[str, Any]:
    """The first that found the library loaded."""
    while True:
        told = await anew(spine)
        if told["library"] != told["pid"]:
            return told


def test_a_later_environment_finds_libraries_loaded_and_does_the_rest_of_its_init(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        first = (await spine.invoke("f")).value()
        assert first["library"] == first["beside"] == first["pid"]
        second, third = await preloaded(spine), await anew(spine)
        assert second["library"] == third["library"] == second["parent"] == third["parent"]
        assert second["library"] not in (first["pid"], spine.nursery.pid)
        for told in (second, third):
            assert told["beside"] == told["pid"]  # the function's own module: each has its own
            assert (told["mine"], told["stream"]) == ("set", told["variable"])
        for told in (first, second, third):
            assert spine.log_text("f").count(f"from {told['pid']} with 2") == 1
        assert len({told[name] for told in (first, second, third) for name in ("pid", "stream", "tmp")}) == 9

    with_packages(tmp_path, [function_with(tmp_path)], work)


@pytest.mark.slow
def test_what_no_distribution_installed_is_the_function_s_own(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        await spine.invoke("f")
        assert spine.pool._launcher.preloads.name_of(spine.dispatcher.functions()["f"], spine.nursery) is None
        told = await anew(spine)
        assert told["library"] == told["pid"]

    with_packages(tmp_path, [function_with(tmp_path, record="other/__init__.py,,\n")], work)


def test_with_another_setting_the_former_process_ends_after_what_it_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def work(spine: Spine) -> None:
        await spine.invoke("f")
        before = await preloaded(spine)
        running = asyncio.create_task(spine.invoke("f", b'{"wait": "%s"}' % str(gate).encode()))
        await spine.until(lambda: any(one.in_flight for one in spine.environments("f")))
        function = replace(spine.dispatcher.functions()["f"], environment={"MINE": "other"})
        spine.dispatcher._lanes["f"].function = function
        spine.pool.put(function, spine.nursery)
        assert (await spine.invoke("f")).value()["mine"] == "other"
        assert alive(before["library"])
        gate.touch()
        assert (await running).value()["mine"] == "set"
        await spine.until(lambda: not alive(before["library"]))
        after = await preloaded(spine)
        assert (after["mine"], after["library"] == before["library"]) == ("other", False)
        await spine.until(lambda: len(list((spine.folder / "run").glob("preloaded-*"))) == 1)

    with_packages(tmp_path, [function_with(tmp_path)], work)


THREAD = "import threading\nthreading.Thread(target=time.sleep, args=(900,), daemon=True).start()\n"
#: Where it is loaded before there is an environment, the folder for temporary files tells.
DEATH = "if 'preloaded' in os.environ['TMPDIR']:\n    os._exit(3)\n"


@pytest.mark.slow
@pytest.mark.parametrize("more", [THREAD, DEATH])
def test_what_cannot_be_loaded_before_is_loaded_by_each_environment(tmp_path: Path, more: str) -> None:
    async def work(spine: Spine) -> None:
        await spine.invoke("f")
        assert spine.nursery.unloaded
        await spine.until(lambda: not spine.nursery.unloaded)  # it has been tried, and has ended
        told = await anew(spine)
        assert told["library"] == told["pid"]
        assert not spine.nursery.unloaded  # and is not tried again

    with_packages(tmp_path, [function_with(tmp_path, library=LIBRARY + more)], work)


@pytest.mark.slow
def test_environments_come_from_the_zygote_again_when_the_process_died(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        await spine.invoke("f")
        told = await preloaded(spine)
        os.kill(told["library"], signal.SIGKILL)
        await spine.until(lambda: not spine.environments("f"))  # its environments die with it
        told = (await spine.invoke("f")).value()
        assert told["library"] == told["pid"]
        assert (await preloaded(spine))["library"] != told["pid"]  # and is made once more

    with_packages(tmp_path, [function_with(tmp_path)], work)
