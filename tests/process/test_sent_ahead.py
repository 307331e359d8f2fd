"""Quick functions: several invocations travel to an environment at once, and callers share environments; each still runs and ends by itself."""

import asyncio
import os
import textwrap
from pathlib import Path

from tests.process.spine import Spine, with_spine


def test_events_sent_ahead_to_an_environment_that_dies_are_not_charged_and_what_it_answered_is_not_lost(tmp_path: Path) -> None:
    code = """
    import os
    ran = os.open(HERE + "/ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    @app.function(reserved_concurrency=1)
    def f(event, context):
        os.write(ran, b"%d\\n" % event)
        if event == 150:
            os._exit(1)
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("f", b"-1") for _ in range(200)))
        await spine.settled()
        ids = await spine.dispatcher.emit_many("f", [str(n).encode() for n in range(400)])
        await spine.settled()
        events = [await spine.event(id) for id in ids]
        assert [event["state"] for event in events] == ["waiting" if n == 150 else "done" for n in range(400)]
        assert {len(event["attempts"]) for event in events} == {1}
        ran = [int(line) for line in (tmp_path / "ran").read_text().split()]
        assert sorted(n for n in ran if n >= 0) == list(range(400))

    with_spine(tmp_path, f"HERE = {str(tmp_path)!r}\n" + textwrap.dedent(code), work)


def test_what_is_answered_does_not_wait_for_a_slow_one_behind_it(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(reserved_concurrency=1, timeout=60)
    def f(event, context):
        while event == "hold" and not os.path.exists(HERE + "/go-on"):
            time.sleep(0.01)
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("f", b"0") for _ in range(200)))
        await spine.settled()
        ids = await spine.dispatcher.emit_many("f", [b"0"] * 20 + [b'"hold"'] + [b"0"] * 20)
        async with asyncio.timeout(50):  # before the one behind it is ended by its time limit
            while (await spine.event(ids[19]))["state"] != "done":  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(0.01)
        assert (await spine.event(ids[20]))["state"] == "ready"
        (tmp_path / "go-on").touch()
        await spine.settled()
        assert (await spine.event(ids[40]))["state"] == "done"

    with_spine(tmp_path, code, work)


def test_a_deadline_counts_from_an_event_s_own_start_among_many(tmp_path: Path) -> None:
    code = """
    import time
    @app.function(reserved_concurrency=1, timeout=2)
    def f(event, context):
        time.sleep(event)
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("f", b"0") for _ in range(200)))
        await spine.settled()
        ids = await spine.dispatcher.emit_many("f", [b"0"] * 10 + [b"0.6"] * 4 + [b"20", b"0"])
        await spine.settled()
        events = [await spine.event(id) for id in ids]
        assert [event["state"] for event in events] == ["done"] * 14 + ["waiting", "done"], "four in a row take longer than the limit"
        assert 1950 < events[14]["attempts"][0]["duration_ms"] < 19_000

    with_spine(tmp_path, code, work)


def test_many_callers_of_a_quick_function_share_few_environments(tmp_path: Path) -> None:
    code = """
    @app.function()
    def f(event, context):
        return event
    """

    async def work(spine: Spine) -> None:
        for _ in range(60):
            await spine.invoke("f", b"0")
        for _ in range(20):
            outcomes = await asyncio.gather(*(spine.invoke("f", str(n).encode()) for n in range(32)))
            assert [outcome.value() for outcome in outcomes] == list(range(32))
        assert spine.concurrency.busy("f") == 0
        assert len(spine.environments("f")) < 32, "as many would be one for each caller"

    with_spine(tmp_path, code, work)


def test_callers_wait_for_a_quick_function_s_environment_only_briefly(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(timeout=60)
    def f(event, context):
        while event == "hold" and not os.path.exists(HERE + "/go-on"):
            time.sleep(0.01)
        return event
    """

    async def work(spine: Spine) -> None:
        for _ in range(60):
            await spine.invoke("f", b"0")
        slow = asyncio.ensure_future(spine.invoke("f", b'"hold"'))
        await asyncio.sleep(0)
        assert (await spine.invoke("f", b"0")).value() == 0
        assert not slow.done()
        (tmp_path / "go-on").touch()
        assert (await slow).value() == "hold"

    with_spine(tmp_path, code, work)


def test_events_of_a_quick_function_do_not_wait_for_environments_that_hang(tmp_path: Path) -> None:
    code = """
    import os, time
    @app.function(timeout=60)
    def f(event, context):
        while event == "hold" and not os.path.exists(HERE + "/go-on"):
            time.sleep(0.01)
    """

    async def work(spine: Spine) -> None:
        for _ in range(100):
            await spine.emit("f", b"0")
        await spine.settled()
        slow = [await spine.emit("f", b'"hold"') for _ in range((os.cpu_count() or 1) + 1)]
        await spine.until(lambda: not spine.dispatcher.backlog("f"))
        quick = [await spine.emit("f", b"0") for _ in range(20)]
        await spine.until(lambda: not any(id in spine.dispatcher.lane("f").running for id in quick) and not spine.dispatcher.backlog("f"))
        assert all([(await spine.event(id))["state"] == "ready" for id in slow])
        (tmp_path / "go-on").touch()

    with_spine(tmp_path, code, work)


def test_callers_behind_one_that_kills_the_environment_are_answered_by_another(tmp_path: Path) -> None:
    code = """
    import os
    @app.function(reserved_concurrency=40)
    def f(event, context):
        if event == 5:
            os._exit(1)
        return event
    """

    async def work(spine: Spine) -> None:
        for _ in range(60):
            await spine.invoke("f", b"0")
        outcomes = await asyncio.gather(*(spine.invoke("f", str(n).encode()) for n in range(32)))
        assert [outcome.value() for n, outcome in enumerate(outcomes) if n != 5] == [n for n in range(32) if n != 5]
        assert outcomes[5].error_type == "Runtime.ExitError"
        assert spine.concurrency.busy("f") == 0
        assert (await spine.invoke("f", b"1")).ok

    with_spine(tmp_path, code, work)


def test_events_sent_ahead_to_a_handler_that_exits_by_itself_are_not_charged(tmp_path: Path) -> None:
    code = """
    import sys
    @app.function(reserved_concurrency=1)
    def f(event, context):
        if event == "exit":
            sys.exit(3)
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("f", b'"warm"') for _ in range(200)))
        await spine.settled()
        payloads = [b'"exit"' if n == 150 else b"1" for n in range(400)]
        ids = await spine.dispatcher.emit_many("f", payloads)
        await spine.settled()
        events = [await spine.event(id) for id in ids]
        assert [event["state"] for event in events] == ["waiting" if n == 150 else "done" for n in range(400)]
        assert {len(event["attempts"]) for event in events} == {1}

    with_spine(tmp_path, code, work)


def test_the_ledger_knows_when_each_of_many_quick_events_began(tmp_path: Path) -> None:
    code = """
    import time
    @app.function(reserved_concurrency=1)
    def f(event, context):
        print(time.time())
    """

    async def work(spine: Spine) -> None:
        await asyncio.gather(*(spine.emit("f") for _ in range(200)))
        await spine.settled()
        ids = await spine.dispatcher.emit_many("f", [b"{}"] * 200)
        await spine.settled()
        printed = {line.request_id: line.text for line in spine.logs.read("f", limit=5000)[0] if line.text[:1].isdigit()}
        began = [(await spine.event(id))["attempts"][0]["started_at"] for id in ids]
        assert len(set(began)) == 200
        assert began == sorted(began)
        assert all(abs(at - float(printed[id])) < 5 for at, id in zip(began, ids, strict=True))

    with_spine(tmp_path, code, work)
