"""Node functions by name, with the bootstrap that eventflow brings: what a handler finds and may do on Lambda."""

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventflow.dispatch.invocation import ResponseStream
from eventflow.function import Function
from eventflow.outcome import Outcome
from eventflow.runtime import frames
from tests.patience import PATIENCE
from tests.process.spine import Spine, with_packages
from tests.runtime_api.direct import Direct
from tests.runtime_api.packages import packaged, write

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")

#: One module with many handlers; each function below is one of them.
MODULE = """
const os = require('os');
exports.plain = async (event, context) => ({ event, name: context.functionName, memory: context.memoryLimitInMB });
exports.nothing = async () => {};
exports.callback = (event, context, callback) => setTimeout(() => callback(null, { waited: true }), 5);
exports.failing = (event, context, callback) => callback(new RangeError('out of it'));
exports.text = (event, context, callback) => callback('only a text');
exports.done = (event, context) => { context.done(null, 'done'); };
exports.succeed = (event, context) => { setTimeout(() => context.succeed('succeeded'), 5); };
exports.fail = (event, context) => { context.fail(new TypeError('failed')); };
exports.silent = () => {};
exports.unsettled = () => new Promise(() => {});
exports.thrown = () => { throw new SyntaxError('thrown'); };
exports.rejected = async () => { await null; throw Object.assign(new Error('rejected'), { name: 'Custom', code: 42 }); };
exports.unhandled = async () => { Promise.reject(new Error('nobody')); await new Promise((resolve) => setTimeout(resolve, 1000)); };
exports.uncaught = async () => { setTimeout(() => { throw new Error('later'); }, 1); await new Promise((resolve) => setTimeout(resolve, 1000)); };
exports.circular = async () => { const circle = {}; circle.circle = circle; return circle; };
exports.exit = () => { process.exit(9); };
exports.twice = (event, context) => { context.succeed(1); context.succeed(2); };
exports.waiting = (event, context, callback) => {
  setTimeout(() => { console.log('emptied'); }, 50);
  callback(null, 'waited');
};
exports.hasty = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setTimeout(() => { console.log('too late'); }, 60000);
  callback(null, context.getRemainingTimeInMillis() > 0);
};
exports.logs = async () => {
  console.log('one %s %j', 'text', { a: 1 });
  console.warn('two');
  console.error('three');
  console.debug('four');
  process.stdout.write('five\\n');
  return process.env._X_AMZN_TRACE_ID;
};
exports.nested = { deep: { handler: async () => 'nested' } };
exports.notAFunction = 7;
"""
RESULTS: list[tuple[str, Any]] = [
    ("nothing", None),
    ("callback", {"waited": True}),
    ("done", "done"),
    ("succeed", "succeeded"),
    ("silent", None),
    ("twice", 1),
    ("waiting", "waited"),
    ("hasty", True),
    ("nested.deep.handler", "nested"),
]
ERRORS = [
    ("failing", "RangeError", "out of it"),
    ("text", "string", "only a text"),
    ("fail", "TypeError", "failed"),
    ("unsettled", "Runtime.NodeJsExit", "never settled"),
    ("thrown", "SyntaxError", "thrown"),
    ("rejected", "Custom", "rejected"),
    ("unhandled", "Runtime.UnhandledPromiseRejection", "Error: nobody"),
    ("uncaught", "Error", "later"),
    ("circular", "Error", "Unable to stringify response body"),
    ("exit", "Runtime.ExitError", "Runtime exited with error: exit status 9"),
    ("notAFunction", "Runtime.HandlerNotFound", "index.notAFunction is not a function"),
    ("absent", "Runtime.HandlerNotFound", "index.absent is undefined or not exported"),
]


def node(folder: Path, files: dict[str, str], handler: str, **settings: Any) -> Function:
    return packaged(folder, "nodejs20.x", files, handler, timeout=60, memory=256, **settings)


def of_module(folder: Path, handler: str) -> Function:
    return node(folder, {"index.js": MODULE}, f"index.{handler}", name=re.sub(r"\W", "-", handler))


def until(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, in time."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def run(folder: Path, functions: list[Function], expected: list[Any], seen: Any) -> None:
    """Invoke each of them once, a few at a time, and compare what ``seen`` makes of the outcomes."""

    async def work(spine: Spine) -> None:
        some = asyncio.Semaphore(4)

        async def outcome(function: Function) -> Outcome:
            async with some:
                return await spine.invoke(function.name)

        outcomes = await asyncio.gather(*map(outcome, functions))
        assert [seen(one) for one in outcomes] == expected

    with_packages(folder, functions, work)


def test_a_handler_what_it_is_given_and_its_log(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("plain", b'{"a": "\xc5\xbe"}')
        assert outcome.value() == {"event": {"a": "ž"}, "name": "plain", "memory": "256"}
        outcome = await spine.invoke("logs")
        assert outcome.value().startswith("Root=1-")
        text = spine.log_text("logs")
        id = re.search("START RequestId: ([0-9a-f-]+)", text)
        assert id is not None
        stamp = rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z\t{id[1]}"
        lines = text.splitlines()[1:6]
        for line, wanted in zip(lines, ('INFO\tone text {"a":1}', "WARN\ttwo", "ERROR\tthree", "DEBUG\tfour"), strict=False):
            assert re.fullmatch(rf"{stamp}\t{re.escape(wanted)}", line)
        assert lines[4] == "five"
        failed = await spine.invoke("rejected")
        error = json.loads(failed.payload)
        assert (error["errorType"], error["errorMessage"], error["trace"][0][-8:]) == ("Custom", "rejected", "rejected")
        assert '\tERROR\tInvoke Error \t{"errorType":"Custom","errorMessage":"rejected","code":42,' in spine.log_text("rejected")

    with_packages(tmp_path, [of_module(tmp_path, name) for name in ("plain", "logs", "rejected")], work)


SEEN = """
const before = process.moduleLoadList.filter((name) => / (net|stream|http)$/.test(name));
const fs = require('fs');
const os = require('os');
exports.handler = async (event) => {
  if (event.busy) { fs.writeFileSync(event.busy, String(process.pid)); for (;;); }
  const handed = fs.readdirSync('/proc/self/fd').filter((name) => {
    try { return fs.readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:'); } catch { return false; }
  });
  const list = `${os.tmpdir()}/list`;
  require('child_process').spawnSync('sh', ['-c', `ls -l /proc/self/fd > ${list}`], { stdio: 'ignore' });
  const inherited = fs.readFileSync(list, 'utf8').match(/socket:/g)?.length ?? 0;
  return { before, arguments: process.argv.length, handed: handed.length, inherited };
};
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc, and only Linux ends a process with its parent")


@linux_only
def test_node_begins_with_a_connection_of_its_own_and_ends_with_its_environment(tmp_path: Path) -> None:
    """Neither network modules nor a connection are waited for; and a handler that never comes back is no reason to live on."""
    with Direct(tmp_path, node(tmp_path, {"index.js": SEEN}, "index.handler"), TMPDIR=str(tmp_path)) as direct:
        assert direct.answer().kind == frames.READY
        for _ in range(2):
            assert json.loads(direct.invoke({}).content) == {"before": [], "arguments": 2, "handed": 1, "inherited": 0}
        direct.send({"busy": str(tmp_path / "pid")})
        pid = int(until(lambda: text_of(tmp_path / "pid")))
        direct.process.kill()
        until(partial(is_gone, pid))


#: Late enough for node to be waiting for the next invocation by then.
LEAVING = """
exports.handler = async (event) => {
  if (event.exit) setTimeout(() => process.exit(3), 100);
  if (event.throws) setTimeout(() => { throw new Error('later'); }, 100);
  return process.pid;
};
"""


@linux_only
def test_node_may_end_between_two_invocations(tmp_path: Path) -> None:
    with Direct(tmp_path, node(tmp_path, {"index.js": LEAVING}, "index.handler")) as direct:
        assert direct.answer().kind == frames.READY
        seen = set()
        for event in ({"exit": 1}, {"throws": 1}, {}):
            answer = direct.invoke(event)
            pid = json.loads(answer.content)
            assert answer.kind == frames.RESULT
            assert pid not in seen
            seen.add(pid)
            if event:
                until(partial(is_gone, pid))
        assert "later" in direct.log()


@linux_only
def test_node_behind_a_wrapper_finds_the_api_by_its_address(tmp_path: Path) -> None:
    wrapper = write(tmp_path / "wrapper", {"wrapper": '#!/bin/bash\nexec "$@"\n'}) / "wrapper"
    function = node(tmp_path, {"index.js": SEEN}, "index.handler")
    with Direct(tmp_path, function, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper), TMPDIR=str(tmp_path)) as direct:
        assert direct.answer().kind == frames.READY
        for _ in range(2):
            assert len(json.loads(direct.invoke({}).content)["before"]) > 0


@pytest.mark.slow
def test_every_way_to_end_an_invocation(tmp_path: Path) -> None:
    durations: list[float] = []

    def seen(outcome: Outcome) -> Any:
        durations.append(outcome.duration_ms)
        return outcome.value()

    run(tmp_path, [of_module(tmp_path, name) for name, _value in RESULTS], [value for _name, value in RESULTS], seen)
    assert durations[[name for name, _value in RESULTS].index("waiting")] >= 50


@pytest.mark.slow
def test_every_way_to_fail(tmp_path: Path) -> None:
    functions, wanted = [of_module(tmp_path, name) for name, *_error in ERRORS], iter(ERRORS)

    def seen(outcome: Outcome) -> tuple[str | None, bool]:
        _name, _error_type, says = next(wanted)
        return outcome.error_type, says in (outcome.error_message or "")

    run(tmp_path, functions, [(error_type, True) for _name, error_type, _says in ERRORS], seen)


ESM = "export const handler = async () => import.meta.url.split('/').pop();\n"
CJS = "exports.handler = async () => __filename.split('/').pop();\n"
MODULES: list[tuple[str, dict[str, str], str]] = [
    ("index.handler", {"index.mjs": ESM}, "index.mjs"),
    ("index.handler", {"index.cjs": CJS}, "index.cjs"),
    ("index.handler", {"index.js": ESM, "package.json": '{"type": "module"}'}, "index.js"),
    ("src/index.handler", {"src/index.js": ESM, "package.json": '{"type": "module"}'}, "index.js"),
    ("src/index.handler", {"src/index.js": CJS, "package.json": '{"type": "commonjs"}'}, "index.js"),
    ("index.handler", {"index.js": "\ufeff" + CJS}, "index.js"),
    ("my-index.handler", {"my-index.js": CJS}, "my-index.js"),
    ("index.handler", {"index.js": "exports.handler = async () => require('./beside')", "beside.js": "module.exports = 'beside'"}, "beside"),
    ("index.handler", {"index.js": "exports.handler = async () => require('own')", "node_modules/own/index.js": "module.exports = 'own'"}, "own"),
    ("index.handler", {"index.js": "exports.handler = async () => require('layered')"}, "layered"),
]
BROKEN = [
    ("gone.handler", {}, "Runtime.ImportModuleError", "Error: Cannot find module 'gone'"),
    ("index.handler", {"index.js": "require('nowhere')"}, "Runtime.ImportModuleError", "Error: Cannot find module 'nowhere'"),
    ("index.handler", {"index.js": "exports.handler = ("}, "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
    ("index.handler", {"index.js": "throw new TypeError('at load')"}, "TypeError", "at load"),
    ("index", {"index.js": CJS}, "Runtime.MalformedHandlerName", "Bad handler"),
    ("../index.handler", {"index.js": CJS}, "Runtime.MalformedHandlerName", "'../index.handler' is not a valid handler name."),
]


@pytest.mark.slow
def test_modules_are_found_as_on_lambda(tmp_path: Path) -> None:
    layer = write(tmp_path / "layer", {"nodejs/node_modules/layered/index.js": "module.exports = 'layered'"})
    functions = [node(tmp_path, files, handler, name=f"m{number}", layers=(layer,)) for number, (handler, files, _) in enumerate(MODULES)]
    broken = [node(tmp_path, files, handler, name=f"b{number}") for number, (handler, files, *_) in enumerate(BROKEN)]
    for function in broken:
        assert function.package is not None
        Path(function.package.folder).mkdir(exist_ok=True)
    wanted = [*(value for *_, value in MODULES), *((error_type, True) for *_, error_type, _message in BROKEN)]
    messages = iter([""] * len(MODULES) + [message for *_, message in BROKEN])

    def seen(outcome: Outcome) -> Any:
        says = next(messages)
        return (outcome.error_type, (outcome.error_message or "").startswith(says)) if says else outcome.value()

    run(tmp_path, [*functions, *broken], wanted, seen)


STREAMS = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.metadata) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  if (event.early) throw new Error('early');
  stream.write('one ');
  stream.write(Buffer.from('two'));
  if (event.late) throw new Error('late');
  if (event.endless) return;
  if (event.large) for (let n = 0; n < 64; n += 1) {
    if (!stream.write('x'.repeat(65536))) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
});
"""


@pytest.mark.slow
def test_streamed_responses(tmp_path: Path) -> None:
    async def streamed(spine: Spine, event: str) -> tuple[bytes, Outcome]:
        stream = ResponseStream()
        running = asyncio.ensure_future(spine.dispatcher.invoke("f", event.encode(), stream=stream))
        running.add_done_callback(lambda _done: stream.end())
        pieces = b""
        while (piece := await asyncio.wait_for(stream.next(), PATIENCE)) is not None:
            pieces += piece
        return pieces, await running

    async def work(spine: Spine) -> None:
        assert (await streamed(spine, "{}"))[0] == b"{}" + bytes(8) + b"one two"
        assert (await streamed(spine, '{"metadata": 1}'))[0] == b'{"statusCode":201}' + bytes(8) + b"one two"
        assert len((await streamed(spine, '{"large": 1}'))[0]) == 10 + 7 + 64 * 65536
        assert (await spine.invoke("f")).payload == b"one two"
        assert (await spine.invoke("f", b'{"metadata": 1}')).value() == {"statusCode": 201, "body": "one two", "isBase64Encoded": False}
        for event, pieces, message in (("early", b"", "early"), ("late", b"{}" + bytes(8) + b"one two", "late"), ("endless", None, "never settled")):
            told, outcome = await streamed(spine, json.dumps({event: 1}))
            assert pieces is None or told == pieces
            assert message in (outcome.error_message or "")

    with_packages(tmp_path, [node(tmp_path, {"index.js": STREAMS}, "index.handler")], work)
