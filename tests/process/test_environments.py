"""Environments with real processes and real signals: what Lambda promises of a function's life."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable
from pathlib import Path

import pytest

from eventflow.errors import LoadError, Throttled
from tests.patience import PATIENCE
from tests.process.daemon_process import alive
from tests.process.spine import Spine, with_spine


def test_an_environment_is_reused_warm_and_init_runs_once(tmp_path: Path) -> None:
    code = """
    import os
    started = []
    started.append(1)
    @app.function()
    def f(event, context):
        started.append(1)
        return [os.getpid(), len(started)]
    """

    async def work(spine: Spine) -> None:
        first, second = [await spine.invoke("f") for _ in range(2)]
        assert first.value()[0] == second.value()[0]
        assert [first.value()[1], second.value()[1]] == [2, 3]
        assert first.init_ms is not None
        assert second.init_ms is None
        assert first.billed_ms >= first.init_ms

    with_spine(tmp_path, code, work)


def test_handlers_may_be_async_and_keep_one_loop(tmp_path: Path) -> None:
    code = """
    import asyncio
    loops = []
    @app.function()
    async def f(event, context):
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return len(set(loops))
    """

    async def work(spine: Spine) -> None:
        assert [(await spine.invoke("f")).value() for _ in range(3)] == [1, 1, 1]

    with_spine(tmp_path, code, work)


def test_the_log_has_lambda_s_lines_and_everything_printed_in_order(tmp_path: Path) -> None:
    code = """
    import logging, os, sys
    @app.function()
    def f(event, context):
        print("one")
        print("two", file=sys.stderr)
        os.system("echo three")
        logging.warning("four %s", 4)
        sys.stdout.write("no newline")
    """

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f")
        text = spine.log_text("f")
        id = re.search("START RequestId: ([0-9a-f-]+) Version: \\$LATEST", text)
        assert id is not None
        lines = text.splitlines()
        assert lines[1:4] == ["one", "two", "three"]
        assert re.fullmatch(rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT[\d:.]+Z\t{id[1]}\tfour 4", lines[4])
        assert lines[5:7] == ["no newline", f"END RequestId: {id[1]}"]
        assert re.fullmatch(
            rf"REPORT RequestId: {id[1]}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
            r"\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms",
            lines[7],
        )
        assert outcome.log_tail.decode().splitlines()[1] == "one"

    with_spine(tmp_path, code, work)


def test_output_is_kept_apart_when_many_quick_events_follow_each_other(tmp_path: Path) -> None:
    code = """
    import os
    @app.function(reserved_concurrency=1)
    def f(event, context):
        os.write(1, f"event {event}\\n".encode())
    """

    async def work(spine: Spine) -> None:
        ids = await asyncio.gather(*(spine.emit("f", str(n).encode()) for n in range(300)))
        await spine.settled()
        spine.logs.flush()
        told = {line.text: line.request_id for line in spine.logs.read("f", limit=10_000)[0] if line.text.startswith("event ")}
        assert told == {f"event {n}": id for n, id in enumerate(ids)}

    with_spine(tmp_path, code, work)


def test_decimals_and_unicode_are_answered_as_on_lambda(tmp_path: Path) -> None:
    code = """
    from decimal import Decimal
    @app.function()
    def f(event, context):
        return {"n": Decimal("1.5"), "text": event["text"]}
    """

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f", '{"text": "žluť"}'.encode())).value() == {"n": 1.5, "text": "žluť"}

    with_spine(tmp_path, code, work)


def test_a_handler_that_forks_answers_once(tmp_path: Path) -> None:
    code = """
    import os
    @app.function()
    def f(event, context):
        return "child" if os.fork() == 0 else "parent"
    """

    async def work(spine: Spine) -> None:
        assert [(await spine.invoke("f")).value() for _ in range(3)] == ["parent"] * 3

    with_spine(tmp_path, code, work)


def test_a_hundred_megabytes_of_output_are_survived(tmp_path: Path) -> None:
    code = """
    @app.function(timeout=30)
    def f(event, context):
        for n in range(1600):
            print("x" * 65535)
        return "done"
    """

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f")
        assert outcome.value() == "done"
        assert len(outcome.log_tail) == 4096
        kept = sum(file.stat().st_size for file in (tmp_path / "logs").iterdir())
        assert kept < 200 * 1024 * 1024

    with_spine(tmp_path, code, work)


def test_reserved_concurrency_throttles_synchronous_invocations_and_holds_events(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(reserved_concurrency=2, timeout=60)
    def f(event, context):
        while event == "hold" and not os.path.exists(HERE + "/go-on"):
            time.sleep(0.01)
    """

    async def work(spine: Spine) -> None:
        running = [asyncio.create_task(spine.invoke("f", b'"hold"')) for _ in range(2)]
        await spine.until(lambda: spine.concurrency.busy("f") == 2)
        with pytest.raises(Throttled) as refusal:
            await spine.invoke("f", b"0")
        assert refusal.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        await asyncio.gather(*(spine.emit("f", b"0") for _ in range(6)))
        (tmp_path / "go-on").touch()
        most = 0

        async def watch() -> None:
            nonlocal most
            while not spine.dispatcher.idle:
                most = max(most, sum(1 for one in spine.environments("f") if one.in_flight))
                await asyncio.sleep(0.002)

        await asyncio.wait_for(watch(), PATIENCE)
        assert most <= 2
        assert [(await task).ok for task in running] == [True, True]

    with_spine(tmp_path, code, work)


def test_a_function_that_is_switched_off_ends_its_events_at_once(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        event = await spine.event(await after(spine, spine.emit("f")))
        assert (event["state"], event["reason"].split(":")[0], event["attempts"]) == ("dead", "ZeroReservedConcurrency", [])
        with pytest.raises(Throttled):
            await spine.invoke("f")

    async def after(spine: Spine, emitting: Awaitable[str]) -> str:
        id = await emitting
        await spine.settled()
        return id

    with_spine(tmp_path, "@app.function(reserved_concurrency=0)\ndef f(event, context):\n    pass\n", work)


def test_a_busy_function_does_not_keep_another_from_its_first_environment(tmp_path: Path) -> None:
    code = """
    import os
    @app.function(timeout=60)
    def busy(event, context):
        while not os.path.exists(HERE + "/enough"):
            pass
    @app.function()
    def other(event, context):
        return None
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("busy") for _ in range(8)))
        await spine.until(lambda: len(spine.environments("busy")) >= min(2, os.cpu_count() or 1))
        id = await spine.emit("other")
        await spine.until(lambda: not spine.dispatcher.lane("other").running and not spine.dispatcher.lane("other").ready)
        assert (await spine.event(id))["state"] == "done"
        assert spine.dispatcher.lane("busy").running
        (tmp_path / "enough").touch()

    with_spine(tmp_path, code, work)


def test_sleeping_functions_grow_beyond_the_processors(tmp_path: Path) -> None:
    code = """
    import glob, os, time
    @app.function(timeout=60, retries=0)
    def f(event, context):
        open(f"{HERE}/asleep-{os.getpid()}", "w").close()
        while len(glob.glob(HERE + "/asleep-*")) < event:
            time.sleep(0.05)
    """

    async def work(spine: Spine) -> None:
        together = min(15, os.cpu_count() or 1) + 1
        ids = await asyncio.gather(*(spine.emit("f", str(together).encode()) for _ in range(16)))
        await spine.settled()
        assert {(await spine.event(id))["state"] for id in ids} == {"done"}

    with_spine(tmp_path, code, work)


def test_idle_environments_end_and_nothing_is_left(tmp_path: Path) -> None:
    code = """
    import os
    @app.function()
    def f(event, context):
        open(os.environ["TMPDIR"] + "/x", "w").close()
        return os.getpid()
    """

    async def work(spine: Spine) -> None:
        pid = (await spine.invoke("f")).value()
        await spine.until(lambda: not spine.environments("f"))
        assert not alive(pid)
        assert list((tmp_path / "run").iterdir()) == []

    with_spine(tmp_path, code, work, idle_seconds=0.4)


def test_the_environment_variables_are_lambda_s(tmp_path: Path) -> None:
    code = """
    import os
    @app.function(memory=256, environment={"COLOUR": "blue"})
    def f(event, context):
        ours = ("FUNCTION_NAME", "FUNCTION_MEMORY_SIZE", "FUNCTION_VERSION", "LOG_GROUP_NAME")
        names = ["_HANDLER", "COLOUR"] + ["AWS_LAMBDA_" + name for name in ours]
        told = {"trace": os.environ["_X_AMZN_TRACE_ID"], "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn}
        return {**{name: os.environ[name] for name in names}, **told}
    """

    async def work(spine: Spine) -> None:
        value = (await spine.invoke("f")).value()
        assert value.pop("trace").startswith("Root=1-")
        assert value == {
            "_HANDLER": "app.f",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
            "COLOUR": "blue",
            "memory": "256",
            "arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        }

    with_spine(tmp_path, code, work)


def test_new_code_takes_over_without_dropping_what_runs(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(timeout=60)
    def f(event, context):
        while event == "hold" and not os.path.exists(HERE + "/go-on"):
            time.sleep(0.01)
        return "old"
    """

    async def work(spine: Spine) -> None:
        running = asyncio.create_task(spine.invoke("f", b'"hold"'))
        await spine.until(lambda: any(one.in_flight for one in spine.environments("f")))
        source = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text(source.replace('"old"', '"new"'))
        former = spine.nursery
        await spine.load()
        assert (await spine.invoke("f", b"0")).value() == "new"
        assert not running.done()
        (tmp_path / "go-on").touch()
        assert (await running).value() == "old"
        await spine.until(lambda: not spine.pool.busy(former))
        await former.close()

    with_spine(tmp_path, code, work)


def test_an_app_that_cannot_be_loaded_is_refused_with_its_traceback(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        await spine.nursery.warm()  # it has the former code in memory only then
        (tmp_path / "app.py").write_text("from eventflow import App\napp = App('t')\n1/0\n")
        with pytest.raises(LoadError, match=r"(?s)app\.py.*line 3.*ZeroDivisionError"):
            await spine.load()
        (tmp_path / "app.py").write_text("import os\nos._exit(7)\n")
        with pytest.raises(LoadError, match="ended its process"):
            await spine.load()
        assert (await spine.invoke("f")).ok, "the former code goes on"

    with_spine(tmp_path, "@app.function()\ndef f(event, context):\n    pass\n", work)


def test_an_edit_of_the_same_length_within_the_same_second_is_loaded(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        source = (tmp_path / "app.py").read_text()
        for text in ("aaa", "bbb", "ccc"):
            (tmp_path / "app.py").write_text(source.replace("xxx", text))
            os.utime(tmp_path / "app.py", (1_700_000_000, 1_700_000_000))
            former = spine.nursery
            await spine.load()
            assert (await spine.invoke("f")).value() == text
            await former.close()

    with_spine(tmp_path, "@app.function()\ndef f(event, context):\n    return 'xxx'\n", work)


def test_environments_inherit_what_boto3_read_for_the_app_s_clients(tmp_path: Path) -> None:
    code = """
    import boto3
    session = boto3.DEFAULT_SESSION
    read = set() if session is None else {key[1] for key in session._session.get_component("data_loader")._cache if key[0] == "load_service_model"}
    boto3.client("sqs", region_name="us-east-1")
    boto3.resource("dynamodb", region_name="us-east-1")
    @app.function()
    def f(event, context):
        return [sorted(read), session._session._credentials is None]
    """

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f")).value() == [["dynamodb", "sqs"], True]

    with_spine(tmp_path, code, work)


def test_clients_made_in_advance_are_equal_to_those_that_would_have_been_made(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        for _ in range(2):
            told = json.loads((await spine.invoke("plain")).payload)
            assert told == {"left": 0, "same": False, "retries": 2, "pool": 33, "heard": [], "calls": 1}
            await spine.until(lambda: not spine.environments("plain"))
        # A variable of the function's own that botocore reads makes another client, and so does a listener that is there before the client.
        told = json.loads((await spine.invoke("persistent")).payload)
        assert (told["left"], told["retries"]) == (4, 7)
        told = json.loads((await spine.invoke("listening")).payload)
        assert (told["left"], told["heard"]) == (4, ["before-parameter-build.s3.ListBuckets"])

    code = """
    import os
    import boto3
    from botocore.config import Config
    CALLS, HEARD = [], []
    def left():
        return sum(map(len, boto3.DEFAULT_SESSION.client.func.__self__.made.values()))
    if os.environ.get("LISTEN"):
        boto3.DEFAULT_SESSION.events.register("before-parameter-build.s3", lambda event_name, **_: HEARD.append(event_name))
    one = boto3.client("s3", config=Config(max_pool_connections=33))
    other = boto3.client("s3")
    another = boto3.client("s3")
    table = boto3.resource("dynamodb").Table("images")
    def told():
        CALLS.append(1)
        try:
            one.list_buckets()
        except Exception:
            pass
        return {"left": left(), "same": other is another, "retries": one.meta.config.retries["total_max_attempts"],
                "pool": one.meta.config.max_pool_connections, "heard": HEARD, "calls": len(CALLS)}
    @app.function(timeout=20)
    def plain(event, context): return told()
    @app.function(timeout=20, environment={"AWS_MAX_ATTEMPTS": "7"})
    def persistent(event, context): return told()
    @app.function(timeout=20, environment={"LISTEN": "1"})
    def listening(event, context): return told()
    """
    variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    with_spine(tmp_path, code, work, idle_seconds=0.2, variables={**variables, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "2"})


def test_what_is_asked_for_before_the_zygote_is_warm_comes_as_soon_as_it_is(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    library = tmp_path_factory.mktemp("library")
    (library / "slow_to_import.py").write_text("import time\ntime.sleep(1)\n")

    async def work(spine: Spine) -> None:
        assert not spine.nursery.is_warm.is_set()
        assert (await spine.invoke("f")).value() == "works"
        assert spine.nursery.is_warm.is_set()

    code = f"""
    import sys
    sys.path.insert(0, {str(library)!r})
    import slow_to_import
    @app.function()
    def f(event, context): return "works"
    """
    with_spine(tmp_path, code, work)
