"""snap_start with real processes: what a copy of the initialised app keeps, what is renewed, and what happens when the template fails."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from eventflow.outcome import Outcome, Status
from eventflow.runtime.limits import WatchLimiter
from tests.patience import PATIENCE
from tests.process.daemon_process import alive
from tests.process.spine import Spine, with_spine

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find the template")


def value_of(outcome: Outcome) -> Any:
    assert outcome.status is Status.SUCCESS, outcome
    import json

    return json.loads(outcome.payload)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def both_at_once(spine: Spine, function: str) -> list[Any]:
    """Two invocations that wait for each other, so that there are two environments."""
    return [value_of(one) for one in await asyncio.gather(spine.invoke(function), spine.invoke(function))]


def test_the_init_runs_once_and_environments_are_copies_with_hooks_in_lambda_s_order(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        first, second = await both_at_once(spine, "look")
        assert first["init"] == second["init"]
        assert first["pid"] != second["pid"]
        assert first["order"] == second["order"] == ["before 2", "before 1", "after 1", "after 2 now"]
        assert first["random"] != second["random"]
        assert first["type"] == "snap-start"
        assert first["stream"] is None
        assert first["tmp"] != second["tmp"]
        assert str(spine.folder) in first["tmp"]
        text = spine.log_text("look")
        assert text.count("the init ran") == 1
        report = next(line for line in text.splitlines() if line.startswith("REPORT"))
        assert "\tRestore Duration: " in report
        assert "\tBilled Restore Duration: " in report
        assert "Init Duration" not in report

    code = """
    import glob, os, random, tempfile, time, uuid
    from snapshot_restore_py import register_after_restore, register_before_snapshot
    INIT = str(uuid.uuid4())
    ORDER = []
    print("the init ran", tempfile.gettempdir())
    register_before_snapshot(ORDER.append, "before 1")
    register_before_snapshot(ORDER.append, "before 2")
    @register_after_restore
    def again(): ORDER.append("after 1")
    def named(text, *, when): ORDER.append(f"{text} {when}")
    register_after_restore(named, "after 2", when="now")
    @app.function(snap_start=True, timeout=60)
    def look(event, context):
        open(f"{HERE}/copy-{os.getpid()}", "w").close()
        while len(glob.glob(f"{HERE}/copy-*")) < 2:
            time.sleep(0.01)
        return {"init": INIT, "pid": os.getpid(), "order": ORDER, "random": random.random(), "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
                "stream": os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME"), "tmp": tempfile.gettempdir()}
    """
    with_spine(tmp_path, code, work)


def test_state_of_one_environment_never_reaches_another(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        assert value_of(await spine.invoke("count")) == 1
        assert value_of(await spine.invoke("count")) == 2
        environment = await spine.environment("count")
        os.kill(environment.pid, signal.SIGKILL)
        await spine.until(lambda: not spine.environments("count"))
        assert value_of(await spine.invoke("count")) == 1

    with_spine(
        tmp_path,
        """
        SEEN = []
        @app.function(snap_start=True)
        def count(event, context):
            SEEN.append(1)
            return len(SEEN)
        """,
        work,
    )


@pytest.mark.parametrize(
    ("line", "error_type", "message"),
    [
        ("raise ValueError('not today')", "ValueError", "not today"),
        ("import nothing_of_this_name", "Runtime.ImportModuleError", "nothing_of_this_name"),
        ("os._exit(7)", "Runtime.ExitError", "exit status 7"),
        ("os.kill(os.getpid(), 9)", "Runtime.ExitError", "signal: killed"),
        ("register_before_snapshot(fail)", "Runtime.BeforeSnapshotError", "KeyError: 'hook'"),
        ("register_after_restore(fail)", "Runtime.AfterRestoreError", "KeyError: 'hook'"),
    ],
)
def test_an_init_or_a_hook_that_fails_is_the_function_s_error_and_the_next_event_tries_again(
    tmp_path: Path, line: str, error_type: str, message: str
) -> None:
    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("broken")
        assert (outcome.status, outcome.error_type) == (Status.FUNCTION_ERROR, error_type)
        assert message in (outcome.error_message or "")
        assert "the init began" in spine.log_text("broken")
        (spine.folder / "mended").touch()
        assert value_of(await spine.invoke("broken")) == "works"

    code = f"""
    import os
    from pathlib import Path
    from snapshot_restore_py import register_after_restore, register_before_snapshot
    def fail():
        if not Path({str(tmp_path)!r}, "mended").exists():
            raise KeyError("hook")
    # What loads the app to see what it consists of is no environment.
    if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
        print("the init began", flush=True)
        if not Path({str(tmp_path)!r}, "mended").exists():
            {line}
    @app.function(snap_start=True)
    def broken(event, context):
        return "works"
    """
    with_spine(tmp_path, code, work)


def test_an_init_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.runtime.launcher.INIT_SECONDS", 0.5)

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("stuck")
        assert outcome.error_type == "Sandbox.Timedout"
        assert "The init phase of stuck did not finish within" in (outcome.error_message or "")

    with_spine(
        tmp_path,
        """
        import os, time
        if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
            time.sleep(60)
        @app.function(snap_start=True)
        def stuck(event, context): ...
        """,
        work,
    )


@pytest.mark.slow
def test_hooks_after_the_restore_have_ten_seconds(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("stuck")
        assert outcome.error_type == "SnapStartTimeoutException"
        assert "SnapStartTimeoutException" in spine.log_text("stuck")

    with_spine(
        tmp_path,
        """
        import time
        from snapshot_restore_py import register_after_restore
        @register_after_restore
        def stay():
            while True:
                try:
                    time.sleep(60)
                except Exception:
                    pass
        @app.function(snap_start=True)
        def stuck(event, context): ...
        """,
        work,
    )


def test_a_template_that_dies_is_made_again_and_its_environments_end_with_it(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        value_of(await spine.invoke("slow", b"0"))
        environment = await spine.environment("slow")
        template = parent_of(environment.pid)
        assert template != spine.nursery.pid
        running = asyncio.create_task(spine.invoke("slow", b"20"))
        await spine.until(lambda: environment.in_flight)
        os.kill(template, signal.SIGKILL)
        assert (await running).error_type == "Runtime.ExitError"
        await spine.until(lambda: not alive(environment.pid))
        value_of(await spine.invoke("slow", b"0"))
        other = await spine.environment("slow")
        assert parent_of(other.pid) not in (template, spine.nursery.pid)

    with_spine(
        tmp_path,
        """
        import time
        @app.function(snap_start=True, timeout=60)
        def slow(event, context): time.sleep(event)
        """,
        work,
    )


def test_everything_ends_with_the_zygote(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        value_of(await spine.invoke("noop"))
        environment = await spine.environment("noop")
        pids = [environment.pid, parent_of(environment.pid)]
        os.kill(spine.nursery.pid, signal.SIGKILL)
        await asyncio.wait_for(spine.lost.wait(), PATIENCE)
        await spine.until(lambda: not any(alive(pid) for pid in pids))

    with_spine(tmp_path, "@app.function(snap_start=True)\ndef noop(event, context): ...", work)


def test_threads_of_the_init_are_warned_of(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        assert value_of(await spine.invoke("threads")) == 1
        assert "snap_start: the init started threads (ticker)" in spine.log_text("threads")

    with_spine(
        tmp_path,
        """
        import threading
        threading.Thread(target=threading.Event().wait, name="ticker", daemon=True).start()
        @app.function(snap_start=True)
        def threads(event, context): return threading.active_count()
        """,
        work,
    )


@pytest.mark.parametrize("limiter", [None, WatchLimiter()], ids=["best", "watch"])
def test_the_init_of_a_template_has_the_function_s_memory(tmp_path: Path, limiter: Any) -> None:
    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("greedy")
        assert outcome.status is Status.FUNCTION_ERROR
        assert outcome.error_type in ("Runtime.OutOfMemory", "MemoryError", "Runtime.ExitError"), outcome

    with_spine(
        tmp_path,
        """
        import os
        if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
            HELD = b"x" * (900 << 20)
        @app.function(snap_start=True)
        def greedy(event, context): ...
        """,
        work,
        limiter=limiter,
    )
