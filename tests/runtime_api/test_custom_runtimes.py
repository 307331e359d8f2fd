"""Runtimes that are programs of their own, which nobody wrote for eventflow: bash and curl, AWS's runtime client for Python, plain Java."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventflow.runtime.limits import Limiter, WatchLimiter
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged, write
from tests.runtime_api.programs import OBEDIENT

#: As in AWS's tutorial, for /bin/sh, which is bash on Amazon Linux.
BASH = """
#!/bin/sh
set -euo pipefail
source ./function.sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  headers="$(mktemp)"
  event=$(curl -sS -LD "$headers" "$api/invocation/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  response=$(handler "$event")
  curl -sS "$api/invocation/$id/response" -d "$response" > /dev/null
done
"""
FUNCTION = """
handler() {
  [[ "$1" == *"x"* ]] && echo "has an x" > /dev/stderr
  echo "handling $1" >&2
  echo "Echoing request: '$1'"
}
"""


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="there is no bash or no curl on this machine")
def test_bash(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided.al2023", {"bootstrap": BASH, "function.sh": FUNCTION}, timeout=60)

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f", b'{"a": "x"}')
        assert outcome.payload == b"""Echoing request: '{"a": "x"}'"""
        assert outcome.value() == """Echoing request: '{"a": "x"}'"""
        large = json.dumps("y" * 100_000).encode()
        assert len((await spine.invoke("f", large)).payload) == len(large) + 19
        assert spine.log_text("f").splitlines()[1:3] == ["has an x", 'handling {"a": "x"}']

    with_packages(tmp_path, [function], work)


@pytest.mark.slow
def test_awslambdaric(tmp_path: Path) -> None:
    pytest.importorskip("awslambdaric")
    code = """
    import logging
    def handler(event, context):
        logging.getLogger().warning("seen by %s", context.function_name)
        if "boom" in event:
            raise ValueError(event["boom"])
        return {"event": event, "left": context.get_remaining_time_in_millis() > 0, "custom": context.client_context.custom}
    """
    bootstrap = f"#!/bin/sh\nexec {sys.executable} -m awslambdaric $_HANDLER\n"
    fine = packaged(tmp_path, "provided.al2023", {"bootstrap": bootstrap, "app.py": code}, timeout=60)
    broken = packaged(tmp_path, "provided.al2023", {"bootstrap": bootstrap}, "gone.handler", name="gone")

    async def work(spine: Spine) -> None:
        context = '{"custom": {"a": 1}}'
        outcome = await spine.dispatcher.invoke("f", b'{"n": 1}', client_context=context)
        assert outcome.value() == {"event": {"n": 1}, "left": True, "custom": {"a": 1}}
        assert "seen by f" in spine.log_text("f")
        failed = await spine.invoke("f", b'{"boom": "b"}')
        assert (failed.error_type, failed.error_message) == ("ValueError", "b")
        gone = await spine.invoke("gone")
        assert (gone.error_type, gone.error_message) == ("Runtime.ImportModuleError", "Unable to import module 'gone': No module named 'gone'")
        # Another client of AWS's streams: a handler over the client's own HTTP code, many at a time.
        outcomes = await asyncio.gather(*(spine.dispatcher.invoke("f", json.dumps({"n": n}).encode(), client_context=context) for n in range(40)))
        assert [one.value()["event"]["n"] for one in outcomes] == list(range(40))

    with_packages(tmp_path, [fine, broken], work)


JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Main {
    public static void main(String[] arguments) throws Exception {
        String api = "http://" + System.getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/";
        HttpClient client = HttpClient.newHttpClient();
        while (true) {
            HttpResponse<String> next = client.send(HttpRequest.newBuilder(URI.create(api + "next")).build(), HttpResponse.BodyHandlers.ofString());
            String id = next.headers().firstValue("Lambda-Runtime-Aws-Request-Id").get();
            System.out.println("handling " + next.body());
            String body = "{\\"java\\": " + next.body() + "}";
            client.send(HttpRequest.newBuilder(URI.create(api + id + "/response")).POST(HttpRequest.BodyPublishers.ofString(body)).build(),
                HttpResponse.BodyHandlers.discarding());
        }
    }
}
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("java") and shutil.which("javac")), reason="there is no java or no javac on this machine")
def test_java(tmp_path: Path) -> None:
    bootstrap = "#!/bin/sh\nexec java -Xmx128m -XX:+UseSerialGC -cp $LAMBDA_TASK_ROOT Main\n"
    function = packaged(tmp_path, "provided.al2023", {"bootstrap": bootstrap}, memory=512, timeout=60)
    source = write(tmp_path / "source", {"Main.java": JAVA})
    subprocess.run(["javac", "-d", str(tmp_path / "f"), str(source / "Main.java")], check=True)

    async def work(spine: Spine) -> None:
        for number in range(3):
            assert (await spine.invoke("f", str(number).encode())).value() == {"java": number}
        assert "handling 2" in spine.log_text("f")

    with_packages(tmp_path, [function], work)


# What the pool does with them.


@pytest.mark.slow
def test_the_time_limit_ends_all_of_its_programs(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided", {"bootstrap": OBEDIENT}, timeout=1)
    endless = (
        "import subprocess\nbelow = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{below.pid}}')\nprint('begun', flush=True)\nsignal.pause()"
    )

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f", json.dumps({"do": endless}).encode())
        assert outcome.error_type == "Sandbox.Timedout"
        assert (outcome.error_message or "").endswith("Error: Task timed out after 1.00 seconds")
        assert "begun" in spine.log_text("f")
        pids = (tmp_path / "pids").read_text().split()
        await spine.until(lambda: not any(runs(pid) for pid in pids))
        assert (await spine.invoke("f", json.dumps({"do": "answer(1)"}).encode())).value() == 1

    with_packages(tmp_path, [function], work)


def runs(pid: str) -> bool:
    try:
        return "Z" not in Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_program_that_exits_is_an_exit_of_the_function(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided", {"bootstrap": OBEDIENT}, timeout=60)

    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f", json.dumps({"do": "os._exit(3)"}).encode())
        assert outcome.error_type == "Runtime.ExitError"
        assert (outcome.error_message or "").endswith("Error: Runtime exited with error: exit status 3")
        outcome = await spine.invoke("f", json.dumps({"do": "answer(2)"}).encode())
        assert outcome.value() == 2

    with_packages(tmp_path, [function], work)


@pytest.mark.slow
def test_a_runtime_that_never_asks_is_ended_at_the_limit_of_the_init(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided", {"bootstrap": "#!/bin/sh\necho begun\nsleep 600\n"}, timeout=60)

    async def work(spine: Spine) -> None:
        await spine.nursery.warm()  # until then, environments are given more time
        outcome = await spine.invoke("f")
        assert outcome.error_type == "Sandbox.Timedout"
        assert "init phase of f did not finish within 10.00 seconds" in (outcome.error_message or "")
        assert "begun" in spine.log_text("f")

    with_packages(tmp_path, [function], work)


@pytest.mark.slow
@pytest.mark.parametrize("limiter", [None, WatchLimiter()], ids=["strongest", "watched"])
def test_the_memory_limit_counts_the_program(tmp_path: Path, limiter: Limiter | None) -> None:
    function = packaged(tmp_path, "provided", {"bootstrap": OBEDIENT}, timeout=60)
    greedy = "held = []\nwhile True:\n    held.append(bytearray(4_000_000))\n    import time; time.sleep(0.005)"

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f", json.dumps({"do": "answer(1)"}).encode())).value() == 1
        outcome = await spine.invoke("f", json.dumps({"do": greedy}).encode())
        assert outcome.error_type == "Runtime.OutOfMemory"

    with_packages(tmp_path, [function], work, limiter=limiter)
