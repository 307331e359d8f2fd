"""How environments end, with real processes and real signals: limits, exits, exceptions, kills, and what Lambda calls each."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from eventflow.outcome import Status
from eventflow.runtime.limits import CgroupV1Limiter, WatchLimiter, choose_limiter
from tests.patience import PATIENCE
from tests.process.daemon_process import alive
from tests.process.spine import Spine, with_spine


def test_the_time_limit_kills_the_whole_process_group(tmp_path: Path) -> None:
    code = """
    import os, signal, subprocess, time
    @app.function(timeout=2)
    def f(event, context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "300"])
        open(event["file"], "w").write(f"{os.getpid()} {child.pid}")
        print("still here", context.get_remaining_time_in_millis())
        while True:
            try:
                time.sleep(300)
            except BaseException:
                pass
    """

    async def work(spine: Spine) -> None:
        file = tmp_path / "pids"
        outcome = await spine.invoke("f", json.dumps({"file": str(file)}).encode())
        assert outcome.error_type == "Sandbox.Timedout"
        assert re.fullmatch(r"RequestId: \S+ Error: Task timed out after 2\.00 seconds", outcome.error_message or "")
        assert 1950 <= outcome.duration_ms < 30_000
        pids = [int(pid) for pid in file.read_text().split()]
        await spine.until(lambda: not any(alive(pid) for pid in pids))
        assert "still here" in spine.log_text("f")
        assert "Task timed out after 2.00 seconds" in spine.log_text("f")

    with_spine(tmp_path, code, work)


HOG = """
@app.function(memory=128, timeout=60)
def hog(event, context):
    kept = []
    while True:
        kept.append(bytearray(8 * 1024 * 1024))
@app.function(memory=128, timeout=60)
def at_once(event, context):
    return len(bytearray(4 * 1024 * 1024 * 1024))
@app.function(memory=1024)
def fits(event, context):
    return len(bytearray(400 * 1024 * 1024))
"""


@pytest.mark.parametrize("kind", ["cgroup", "watch"])
def test_the_memory_limit_is_enforced_with_and_without_control_groups(tmp_path: Path, kind: str) -> None:
    limiter = WatchLimiter() if kind == "watch" else choose_limiter(f"test-{os.getpid()}-memory")
    if kind == "cgroup" and limiter.watched:
        pytest.skip("control groups cannot be written here (they need root, or a delegated cgroup v2)")

    async def work(spine: Spine) -> None:
        for function in ("hog", "at_once"):
            outcome = await spine.invoke(function)
            assert (outcome.status, outcome.error_type) == (Status.FUNCTION_ERROR, "Runtime.OutOfMemory"), outcome
        assert (await spine.invoke("fits")).value() == 400 * 1024 * 1024

    with_spine(tmp_path, HOG, work, limiter=limiter)


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        ("raise ValueError('bad')", "ValueError", "bad"),
        ("import os; os._exit(3)", "Runtime.ExitError", r"RequestId: \S+ Error: Runtime exited with error: exit status 3"),
        ("import sys; sys.exit(2)", "Runtime.ExitError", r"RequestId: \S+ Error: Runtime exited with error: exit status 2"),
        ("import sys; sys.exit(0)", "Runtime.ExitError", r"RequestId: \S+ Error: Runtime exited without providing a reason"),
        ("import os; os.kill(os.getpid(), 11)", "Runtime.ExitError", r"RequestId: \S+ Error: Runtime exited with error: signal: segmentation fault"),
        ("return object()", "Runtime.MarshalError", "Unable to marshal response: Object of type object is not JSON serializable"),
        ("return float('nan')", "Runtime.MarshalError", "Unable to marshal response: .*"),
        (
            "return 'x' * 7_000_000",
            "Function.ResponseSizeTooLarge",
            r"Response payload size exceeded maximum allowed payload size \(6291556 bytes\)\.",
        ),
        ("raise KeyboardInterrupt", "Runtime.ExitError", r"RequestId: \S+ Error: Runtime exited with error: exit status 1"),
        ("import os\n    [os.close(fd) for fd in range(3, 64) if is_socket(fd)]\n    import time; time.sleep(5)", "Runtime.ExitError", ".*"),
    ],
)
def test_each_end_has_lambda_s_name_and_the_next_invocation_works(tmp_path: Path, body: str, error_type: str, message: str) -> None:
    code = f"""
import os, stat
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
@app.function()
def f(event, context):
    if event.get("good"):
        return "good"
    {body}
"""

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f")
        assert (outcome.status, outcome.error_type) == (Status.FUNCTION_ERROR, error_type)
        assert re.fullmatch(message, outcome.error_message or ""), outcome.error_message
        assert outcome.value()["errorType"] == error_type
        assert (await spine.invoke("f", b'{"good": 1}')).value() == "good"

    with_spine(tmp_path, code, work)


def test_an_exception_s_stack_begins_in_the_user_s_code(tmp_path: Path) -> None:
    code = """
    def inner():
        raise LookupError("deep")
    @app.function()
    def f(event, context):
        inner()
    """

    async def work(spine: Spine) -> None:
        error = (await spine.invoke("f")).value()
        assert [re.sub(r'File ".*/', 'File "', frame.splitlines()[0].strip()) for frame in error["stackTrace"]] == [
            'File "app.py", line 8, in f',
            'File "app.py", line 5, in inner',
        ]
        assert error["requestId"] in spine.log_text("f")
        assert "[ERROR] LookupError: deep" in spine.log_text("f")

    with_spine(tmp_path, code, work)


def test_a_killed_environment_is_the_function_s_error_and_the_event_is_retried(tmp_path: Path) -> None:
    code = """
    import time
    @app.function(timeout=60)
    def f(event, context):
        time.sleep(60)
    """

    async def work(spine: Spine) -> None:
        id = await spine.emit("f")
        await spine.until(lambda: any(one.in_flight for one in spine.environments("f")))
        os.kill((await spine.environment("f")).pid, signal.SIGKILL)
        await spine.settled()
        event = await spine.event(id)
        assert (event["state"], event["attempts"][0]["error_type"]) == ("waiting", "Runtime.ExitError")
        assert "signal: killed" in event["reason"]

    with_spine(tmp_path, code, work)


def test_an_idle_environment_whose_socket_has_closed_gets_nothing_more(tmp_path: Path) -> None:
    """Its exit is heard of later, by another way."""

    async def work(spine: Spine) -> None:
        await spine.invoke("f")
        (environment,) = spine.environments("f")
        environment.connection.shutdown(socket.SHUT_RDWR)
        spine.pool._readable(environment)
        outcome = await spine.invoke("f")
        assert outcome.status is Status.SUCCESS, outcome

    with_spine(tmp_path, "@app.function()\ndef f(event, context): ...\n", work)


def test_an_init_of_former_settings_that_fails_is_not_charged_to_who_waits_for_the_new(tmp_path: Path) -> None:
    code = """
    import os, time
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "MODE" not in os.environ:
        while not os.path.exists(HERE + "/go"):
            time.sleep(0.005)
        raise RuntimeError("former settings")
    @app.function()
    def f(event, context):
        return os.environ["MODE"]
    """

    async def work(spine: Spine) -> None:
        waiting = asyncio.create_task(spine.invoke("f"))
        await spine.until(lambda: spine.environments("f"))
        function = replace(spine.dispatcher.functions()["f"], environment={"MODE": "new"})
        spine.dispatcher._lanes["f"].function = function
        spine.pool.put(function, spine.nursery)
        (tmp_path / "go").touch()
        assert (await waiting).value() == "new"

    with_spine(tmp_path, code, work)


def test_the_zygote_s_death_is_not_the_function_s_and_another_takes_over(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(timeout=60)
    def f(event, context):
        if not os.path.exists(event):
            open(event, "w").close()
            time.sleep(60)
        return "second"
    """

    async def work(spine: Spine) -> None:
        file = tmp_path / "first"
        id = await spine.emit("f", json.dumps(str(file)).encode())
        await spine.until(file.exists)
        environment = await spine.environment("f")
        os.kill(spine.nursery.pid, signal.SIGKILL)
        await asyncio.wait_for(spine.lost.wait(), PATIENCE)
        await spine.until(lambda: not alive(environment.pid))
        await spine.load()
        await spine.until(lambda: not spine.dispatcher._wakes)
        await spine.settled()
        event = await spine.event(id)
        assert [attempt["status"] for attempt in event["attempts"]] == ["system_error", "success"]

    with_spine(tmp_path, code, work)


@pytest.mark.parametrize(
    ("line", "error_type", "message"),
    [
        ("raise RuntimeError('no database')", "RuntimeError", "no database"),
        ("import not_there", "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'not_there'"),
        ("import os; os._exit(9)", "Runtime.ExitError", ".*exit status 9"),
        ("import sys; sys.exit(4)", "Runtime.ExitError", ".*exit status 4"),
        ("del f", "Runtime.HandlerNotFound", "Handler 'f' missing on module 'app'"),
    ],
)
def test_an_init_that_fails_is_charged_to_the_event(tmp_path: Path, line: str, error_type: str, message: str) -> None:
    code = f"""
import os
@app.function()
def f(event, context):
    pass
if os.path.exists({str(tmp_path / "broken")!r}):
    {line}
"""

    async def work(spine: Spine) -> None:
        (tmp_path / "broken").touch()
        outcome = await spine.invoke("f")
        assert (outcome.status, outcome.error_type) == (Status.FUNCTION_ERROR, error_type)
        assert re.fullmatch(message, outcome.error_message or ""), outcome.error_message
        id = await spine.emit("f")
        await spine.settled()
        assert (await spine.event(id))["state"] == "waiting"
        (tmp_path / "broken").unlink()
        assert (await spine.invoke("f")).ok

    with_spine(tmp_path, code, work)


def test_where_control_groups_cannot_be_made_the_watch_stands_in(tmp_path: Path) -> None:
    assert choose_limiter("x", tmp_path / "nothing-there").watched
    for controller in ("memory", "cpu", "pids"):
        (tmp_path / controller).mkdir()
    assert choose_limiter("x", tmp_path).watched, "folders of that name are no control groups"
    (tmp_path / "cgroup.controllers").touch()
    assert choose_limiter("x", tmp_path).watched
    assert not CgroupV1Limiter("x").watched


def test_an_attempt_that_found_no_environment_is_dated_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(spine: Spine) -> None:
        def refuses(*_arguments: object, **_named: object) -> None:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        began = spine.clock.now()
        monkeypatch.setattr(spine.pool._launcher, "launch", refuses)
        id = await spine.emit("f")
        await spine.settled()
        monkeypatch.undo()
        await spine.journal.prune(began - 86_400, began - 86_400)
        [attempt] = (await spine.event(id))["attempts"]
        assert attempt["status"] == "system_error"
        assert attempt["started_at"] >= began

    with_spine(tmp_path, "@app.function()\ndef f(event, context):\n    pass\n", work)
