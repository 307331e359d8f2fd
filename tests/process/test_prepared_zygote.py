"""The zygote that ``eventflow dev`` has ready for the next change: it has loaded all but the application."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventflow.errors import LoadError
from eventflow.runtime.nursery import Nursery
from eventflow.settings import inherited_variables
from tests.patience import DAEMON
from tests.process.daemon_process import children_of, daemon

pytestmark = pytest.mark.slow

APP = "import helper\nfrom eventflow import App\napp = App('t')\n@app.function(description=helper.SAYS)\ndef first(event, context): ...\n"


class Deaf:
    def forked(self, environment: str, pid: int) -> None: ...
    def exited(self, pid: int, status: int) -> None: ...
    def lost(self, nursery: Nursery) -> None:
        raise AssertionError("a zygote that was never needed was missed")


class World:
    """An application and a library beside it; zygotes one after the other."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app" / "app.py"
        self.helper = folder / "library" / "helper.py"
        for file in (self.app, self.helper):
            file.parent.mkdir()
        self.app.write_text(APP)
        self.helper.write_text("SAYS = 'one'\n")
        paths = os.pathsep.join([str(self.helper.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.variables = {**inherited_variables(), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        self.nurseries: list[Nursery] = []

    def nursery(self) -> Nursery:
        self.nurseries.append(Nursery(str(self.app), self.variables, Deaf()))
        return self.nurseries[-1]

    async def first(self) -> Nursery:
        nursery = self.nursery()
        await nursery.start()
        await nursery.warm()
        return nursery

    async def prepared(self) -> Nursery:
        shared = (await self.first()).shared
        assert shared is not None
        nursery = self.nursery()
        nursery.prepare(shared)
        async with asyncio.timeout(DAEMON):
            await nursery.is_prepared.wait()
        return nursery

    async def close(self) -> None:
        for nursery in self.nurseries:
            await nursery.close()


def described(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {function["name"]: function["description"] for function in manifest["functions"]}


def run(folder: Path, work: Any) -> None:
    async def whole() -> None:
        world = World(folder)
        try:
            await work(world)
        finally:
            await world.close()

    asyncio.run(whole())


def test_it_loads_the_application_as_it_is_then(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        nursery = await world.prepared()
        pid = nursery.pid
        world.app.write_text(APP.replace("first", "second"))
        assert described(await nursery.start()) == {"second": "one"}
        await nursery.warm()
        assert nursery.pid == pid
        assert nursery.shared is not None
        assert "helper" in nursery.shared["modules"]

    run(tmp_path, work)


def test_a_library_that_was_changed_meanwhile_is_loaded_anew(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        nursery = await world.prepared()
        world.helper.write_text("SAYS = 'another'\n")
        os.utime(world.helper, (1, 1))
        assert described(await nursery.start()) == {"first": "another"}
        await nursery.warm()

    run(tmp_path, work)


def test_one_that_died_is_replaced(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        nursery = await world.prepared()
        os.kill(nursery.pid, 9)
        async with asyncio.timeout(DAEMON):
            while not nursery._closing:  # noqa: ASYNC110 - it says so to nobody
                await asyncio.sleep(0.01)
        former = nursery.pid
        assert described(await nursery.start()) == {"first": "one"}
        await nursery.warm()
        assert nursery.pid != former

    run(tmp_path, work)


def test_a_broken_application_is_told(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        nursery = await world.prepared()
        world.app.write_text("def broken(:\n")
        with pytest.raises(LoadError, match=r"app\.py"):
            await nursery.start()

    run(tmp_path, work)


CODE = """
    import time

    @app.function(timeout=20)
    def work(event, context):
        time.sleep(0.01)
        with open("handled", "a") as file:
            file.write(f"{event} v0\\n")
"""


def test_no_event_is_dropped_while_files_change(tmp_path: Path) -> None:
    """Events flow without a pause while the code is changed four times: each is handled once, and the last by the last code."""
    with daemon(tmp_path, CODE) as running:
        running.start(verb="dev")
        client, source, sent, stopped = running.client("lambda"), running.app.read_text(), [0], threading.Event()

        def flow() -> None:
            while not stopped.is_set():
                client.invoke(FunctionName="work", InvocationType="Event", Payload=str(sent[0]).encode())
                sent[0] += 1
                stopped.wait(0.01)

        sender = threading.Thread(target=flow)
        sender.start()
        try:
            for number in range(1, 5):
                running.app.write_text(source.replace("v0", f"v{number}"))
                running.until(lambda: running.log.read_text().count("loaded the changed application") >= number, "the change is loaded")  # noqa: B023
                running.until(lambda: any(line.endswith(f" v{number}") for line in running.rows("handled")), "the new code handles events")  # noqa: B023
        finally:
            stopped.set()
            sender.join()
        running.until(lambda: len(running.rows("handled")) >= sent[0], "all were handled")
        handled = sorted(int(line.split()[0]) for line in running.rows("handled"))
        assert handled == list(range(sent[0]))
        assert running.stop() == 0


def test_a_process_is_ready_for_the_first_change_however_long_the_libraries_took(tmp_path: Path) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("needs /proc to see the process")
    library, application = tmp_path / "library", tmp_path / "application"
    library.mkdir()
    application.mkdir()
    (library / "slowly.py").write_text("import time\ntime.sleep(1)\n")
    with daemon(application, "import slowly\n@app.function()\ndef f(event, context): ...\n") as running:
        running.variables = {"PYTHONPATH": os.pathsep.join([str(library), *filter(None, [os.environ.get("PYTHONPATH")])])}
        running.start(verb="dev")
        running.until(lambda: any(b"\0prepared\0" in command_of(pid) for pid in children_of(running.facts["pid"])), "it is being prepared")
        assert running.stop() == 0


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
